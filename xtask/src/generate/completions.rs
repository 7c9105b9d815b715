//! The shells' completions, from the options that are shown.

use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::Shell;

/// Each shell's script, with the path that it has in the repository.
pub fn all(command: &Command) -> Vec<(PathBuf, Vec<u8>)> {
    let mut command = shown(command.clone());
    let shells = [("lvpipe.bash", Shell::Bash), ("_lvpipe", Shell::Zsh), ("lvpipe.fish", Shell::Fish)];
    let script = |(file, shell)| {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut command, "lvpipe", &mut script);
        (Path::new("completions").join(file), script)
    };
    shells.into_iter().map(script).collect()
}

/// The command without what is hidden in it, which clap's generators would complete too. A command cannot be made to
/// forget an option or a subcommand, so that one which has such a thing is put together anew from the others.
fn shown(command: Command) -> Command {
    let hides = command.get_arguments().any(|argument| argument.is_hide_set())
        || command.get_subcommands().any(Command::is_hide_set);
    if !hides {
        return command.mut_subcommands(shown);
    }
    // Names are to live as long as the program; there are few of them.
    let mut copy = Command::new(&*command.get_name().to_owned().leak());
    if command.get_version().is_some() {
        copy = copy.version(""); // that it has the option is what counts
    }
    if let Some(about) = command.get_about() {
        copy = copy.about(about.clone());
    }
    let arguments = command.get_arguments().filter(|argument| !argument.is_hide_set());
    let subcommands = command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set());
    copy.args(arguments.cloned()).subcommands(subcommands.cloned().map(shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of hidden subcommands and options, at any depth.
    fn hidden(command: &Command, names: &mut Vec<String>) {
        let arguments = command.get_arguments().filter(|argument| argument.is_hide_set());
        names.extend(arguments.filter_map(|argument| Some(format!("--{}", argument.get_long()?))));
        for subcommand in command.get_subcommands() {
            if subcommand.is_hide_set() {
                names.push(subcommand.get_name().to_owned());
            }
            hidden(subcommand, names);
        }
    }

    #[test]
    fn what_is_hidden_is_not_completed() {
        let command = lvpipe::cli::command();
        let mut names = Vec::new();
        hidden(&command, &mut names);
        assert!(["attend", "--from-ssh"].iter().all(|known| names.iter().any(|name| name == known)), "{names:?}");
        for (path, script) in all(&command) {
            let script = String::from_utf8(script).expect("text");
            for name in &names {
                // fish names options without their dashes.
                let word = name.trim_start_matches('-');
                assert!(!script.contains(word), "{} has {name}", path.display());
            }
        }
    }

    #[test]
    fn what_is_shown_is_completed() {
        let command = lvpipe::cli::command();
        for (path, script) in all(&command) {
            let script = String::from_utf8(script).expect("text");
            for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
                let options = subcommand.get_arguments().filter(|argument| !argument.is_hide_set());
                for word in options.filter_map(|option| option.get_long()).chain([subcommand.get_name()]) {
                    assert!(script.contains(word), "{} lacks {word}", path.display());
                }
            }
        }
    }
}
