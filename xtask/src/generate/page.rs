//! One manual page from one command.
//!
//! A command's `after_long_help`, or else its `after_help`, is split into sections. A line that begins in the first column and ends with a
//! colon is a heading: `Examples:` becomes the section EXAMPLES. Indented lines are set as they are; others are
//! paragraphs, parted by empty lines.

use anyhow::{Context, Result};
use clap::Command;
use clap_mangen::Man;
use roff::{Roff, bold, roman};

use super::sections::{self, Item};

/// A manual page.
#[derive(Debug)]
pub struct Page {
    /// Its file name, such as `lvpipe-send.1`.
    pub file: String,
    /// Its source.
    pub roff: Vec<u8>,
}

/// The pages of a program, on which [`Command::build`] was called, and of all its subcommands that are not hidden.
pub fn all(program: &Command) -> Result<Vec<Page>> {
    let source = format!("{} {}", program.get_name(), program.get_version().unwrap_or_default());
    let mut names = Vec::new();
    collect(program, &mut names);
    let related = |name: &str| names.iter().map(|(name, _)| name.clone()).filter(|other| other != name).collect();
    names.iter().map(|(name, command)| page(name, command, &source, related(name))).collect()
}

/// Every command with the name of its page: `lvpipe-send` for the subcommand `send`.
fn collect<'a>(command: &'a Command, names: &mut Vec<(String, &'a Command)>) {
    names.push((command.get_display_name().unwrap_or(command.get_name()).to_string(), command));
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        collect(subcommand, names);
    }
}

fn page(name: &str, command: &Command, source: &str, related: Vec<String>) -> Result<Page> {
    let man = Man::new(command.clone()).source(source);
    let mut out = Vec::new();
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    man.render_description_section(&mut out)?;
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        man.render_options_section(&mut out)?;
    }
    if command.get_subcommands().any(|subcommand| !subcommand.is_hide_set()) {
        man.render_subcommands_section(&mut out)?;
    }
    let own = command.get_after_long_help().or(command.get_after_help());
    let own = own.map(|help| help.to_string()).unwrap_or_default();
    let mut roff = Roff::new();
    for (title, items) in split(&own).into_iter().chain(sections::shared(command)) {
        set(&mut roff, &title, &items);
    }
    if !related.is_empty() {
        let pages = related.iter().map(|name| format!("{name}(1)")).collect::<Vec<_>>();
        set(&mut roff, "SEE ALSO", &[Item::Paragraph(pages.join(", "))]);
    }
    roff.to_writer(&mut out).context("into memory")?;
    Ok(Page { file: format!("{name}.1"), roff: out })
}

/// The sections of an `after_long_help`. Text before the first heading is a section NOTES.
fn split(help: &str) -> Vec<(String, Vec<Item>)> {
    let mut sections: Vec<(String, Vec<Item>)> = Vec::new();
    let mut is_new_paragraph = true;
    for line in help.lines() {
        let is_indented = line.starts_with([' ', '\t']);
        if let Some(title) = line.strip_suffix(':').filter(|_| !is_indented) {
            sections.push((title.to_uppercase(), Vec::new()));
            is_new_paragraph = true;
            continue;
        }
        if line.trim().is_empty() {
            is_new_paragraph = true;
            continue;
        }
        if sections.is_empty() {
            sections.push(("NOTES".into(), Vec::new()));
        }
        let Some((_, items)) = sections.last_mut() else { continue };
        match (items.last_mut(), is_indented, is_new_paragraph) {
            (Some(Item::Verbatim(text)), true, false) => *text += &format!("\n{}", line.trim()),
            (Some(Item::Paragraph(text)), false, false) => *text += &format!(" {line}"),
            (_, true, _) => items.push(Item::Verbatim(line.trim().into())),
            (_, false, _) => items.push(Item::Paragraph(line.into())),
        }
        is_new_paragraph = false;
    }
    sections
}

/// Writes a section.
fn set(roff: &mut Roff, title: &str, items: &[Item]) {
    roff.control("SH", [title]);
    for item in items {
        match item {
            Item::Paragraph(text) => {
                roff.control("PP", []);
                roff.text([roman(text.as_str())]);
            }
            Item::Term(term, text) => {
                roff.control("TP", []);
                roff.text([bold(term.as_str())]);
                roff.text([roman(text.as_str())]);
            }
            Item::Verbatim(text) => {
                roff.control("PP", []);
                roff.control("RS", ["4"]);
                roff.control("nf", []);
                for line in text.lines() {
                    roff.text([roman(line)]);
                }
                roff.control("fi", []);
                roff.control("RE", []);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Arg;

    fn program() -> Command {
        let send = Command::new("send")
            .about("Send a volume")
            .arg(Arg::new("SOURCE").required(true).help("What is sent"))
            .after_long_help("Examples:\n  lvpipe send a | b\n  .c\n\nSnapshots:\nOne\nparagraph.\n\nAnother.");
        let hidden = Command::new("inner").hide(true);
        let mut program = Command::new("lvpipe").version("1.2.3").subcommands([send, hidden]);
        program = program.disable_help_subcommand(true);
        program.build();
        program
    }

    #[test]
    fn every_command_that_is_not_hidden_has_a_page() {
        let pages = all(&program()).expect("pages");
        assert_eq!(pages.iter().map(|page| page.file.as_str()).collect::<Vec<_>>(), ["lvpipe.1", "lvpipe-send.1"]);
    }

    #[test]
    fn the_help_behind_the_options_becomes_sections() {
        let pages = all(&program()).expect("pages");
        let text = String::from_utf8(pages[1].roff.clone()).expect("text");
        for piece in [
            ".TH lvpipe-send 1",
            "lvpipe 1.2.3",
            ".SH EXAMPLES\n.PP\n.RS 4\n.nf\nlvpipe send a | b\n\\&.c\n.fi\n.RE\n",
            ".SH SNAPSHOTS\n.PP\nOne paragraph.\n.PP\nAnother.\n",
            ".SH \"EXIT STATUS\"\n",
            ".SH \"SEE ALSO\"\n.PP\nlvpipe(1)\n",
        ] {
            assert!(text.contains(piece), "{piece:?} is not in\n{text}");
        }
        assert!(!text.contains("EXTRA"), "{text}");
    }

    #[test]
    fn text_before_a_heading_is_kept() {
        assert_eq!(
            split("One.\n  two"),
            [("NOTES".to_string(), vec![Item::Paragraph("One.".into()), Item::Verbatim("two".into())])]
        );
        assert_eq!(split(""), []);
    }
}
