//! The command line: one file a subcommand, with its options and what it runs.
//!
//! The options are defined once, here and in the subcommands' files: the parser, the help, the manual pages and the
//! completions are all made from [`command`].

mod inspect;
mod map;
mod recv;
mod send;
mod shared;
mod signals;

use clap::{CommandFactory, Parser, Subcommand};

use crate::error::{Error, Result};
use crate::stop::Stop;

/// Moves volumes: used blocks only, compressed in parallel, verified, written sparse.
#[derive(Debug, Parser)]
#[command(name = "lvpipe", version, about, max_term_width = 100)]
#[command(after_help = "\
Examples:
  lvpipe send vg/vm1 | ssh host lvpipe recv vg/vm1      copy a volume to another host
  lvpipe send vg/vm1 > vm1.lvp                          back it up
  lvpipe recv vg/vm1 < vm1.lvp                          restore it
  lvpipe map vg/vm1                                     see what there is to send
  lvpipe inspect --verify vm1.lvp                       check a backup")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    Send(send::Send),
    Recv(recv::Recv),
    Map(map::Map),
    Inspect(inspect::Inspect),
}

/// The program's options and subcommands: parser, help, manual pages and completions all come from it.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs what the process's command line asks for.
///
/// # Errors
/// What failed. A command line that does not parse is status 2, with the parser's words.
pub fn run() -> Result<()> {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return explain(&error),
    };
    let stop = Stop::new();
    signals::watch(&stop)?;
    let done = match cli.task {
        Task::Send(send) => send.run(&stop),
        Task::Recv(recv) => recv.run(&stop),
        Task::Map(map) => map.run(&stop),
        Task::Inspect(inspect) => inspect.run(&stop),
    };
    // Where a signal ended the run, what failed because of it is not what the user wants to read. One that came
    // when all was done changes nothing.
    done.or_else(|error| stop.check().and(Err(error)))
}

/// Help and version are no failure. What is one begins as all messages do, with the program's name.
fn explain(error: &clap::Error) -> Result<()> {
    if !error.use_stderr() {
        let printed = error.print();
        return printed.map_err(|e| Error::io("cannot print", "stdout", &e));
    }
    let text = error.render().to_string();
    Err(Error::usage(text.strip_prefix("error: ").unwrap_or(&text).trim_end(), "", ""))
}
