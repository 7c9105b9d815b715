//! The definition of the command line.

/// The program's options and subcommands: parser, help, manual pages and completions all come from it.
pub fn command() -> clap::Command {
    clap::Command::new("lvpipe")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Moves volumes: used blocks only, compressed in parallel, verified, written sparse")
}
