//! What several manual pages say in the same words.

use clap::Command;
use lvpipe::error::Status;
use lvpipe::progress::JSON_FIELDS;

/// A piece of a section.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// Filled text.
    Paragraph(String),
    /// A term and what it means.
    Term(String, String),
    /// Lines set as they are.
    Verbatim(String),
}

/// The sections that stand on this command's page besides its own.
pub fn shared(command: &Command) -> Vec<(String, Vec<Item>)> {
    let has = |option: &str| command.get_arguments().any(|argument| argument.get_long() == Some(option));
    let mut sections = Vec::new();
    if has("progress") {
        let mut items = progress();
        if command.get_name() == "migrate" {
            items.extend(rounds());
        }
        sections.push(("PROGRESS".to_string(), items));
    }
    sections.push(("EXIT STATUS".to_string(), exit_status(command)));
    sections
}

/// What a migration adds to that.
fn rounds() -> Vec<Item> {
    let mut items = vec![Item::Paragraph(
        "These are the fields of a round while it is under way; there is no last line of that kind. When a round is over, \
         and at the end, there is a line of the migration's own, with the role migrate and these fields:"
            .into(),
    )];
    items.extend(
        lvpipe::migrate::JSON_FIELDS
            .map(|(name, unit, meaning)| Item::Term(format!("{name} ({unit})"), format!("{meaning}."))),
    );
    items
}

fn exit_status(command: &Command) -> Vec<Item> {
    let row = |status: Status, text: &str| Item::Term(status.code().to_string(), text.into());
    if command.get_name() == "doctor" {
        return vec![
            Item::Term("0".into(), "No check says MISSING; a feature may be slower than it could be.".into()),
            row(
                Status::Io,
                "A check says MISSING: a feature cannot be used here at all. Or an I/O operation failed.",
            ),
            row(Status::Usage, "The command line asks for something that cannot be."),
            Item::Term("128+n".into(), "Ended by signal n.".into()),
        ];
    }
    vec![
        Item::Term("0".into(), "Done, and verified as far as this side can.".into()),
        row(Status::Io, "An I/O operation failed."),
        row(Status::Usage, "The command line asks for something that cannot be."),
        row(Status::Stream, "The stream is truncated, corrupt, or not lvpipe's."),
        row(Status::Guard, "The source or the target was refused before anything was written."),
        row(Status::Peer, "The peer refused, or could not prove who it is."),
        Item::Term("128+n".into(), "Ended by signal n.".into()),
        Item::Paragraph("Without a subcommand, in mbuffer's place, the statuses are mbuffer's own.".into()),
    ]
}

fn progress() -> Vec<Item> {
    let mut items = vec![
        Item::Paragraph(
            "All of it goes to standard error. Of several lvpipes on one terminal, as in a pipeline, one draws its bar \
             at a time, the sender first. SIGUSR1 prints the state as one line, with any kind of progress. With \
             NO_COLOR set in the environment, there are no colours."
                .into(),
        ),
        Item::Paragraph(
            "With --progress json there is one JSON object a line, every second and, in place of the summary, at the \
             end. Messages and errors are lines that do not begin with a brace. The fields:"
                .into(),
        ),
    ];
    items.extend(
        JSON_FIELDS.map(|(name, unit, meaning)| Item::Term(format!("{name} ({unit})"), format!("{meaning}."))),
    );
    items
}
