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

use crate::error::Result;
use crate::stop::Stop;

/// Moves volumes: used blocks only, compressed in parallel, verified, written sparse.
#[derive(Debug, Parser)]
#[command(name = "lvpipe", version, about, max_term_width = 100, arg_required_else_help = true)]
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
/// What failed; a command line that does not parse ends the process here, with the parser's message and status 2.
pub fn run() -> Result<()> {
    let cli = Cli::parse();
    let stop = Stop::new();
    signals::watch(&stop)?;
    let done = match cli.task {
        Task::Send(send) => send.run(&stop),
        Task::Recv(recv) => recv.run(&stop),
        Task::Map(map) => map.run(&stop),
        Task::Inspect(inspect) => inspect.run(&stop),
    };
    // Where a signal ended the run, what failed because of it is not what the user wants to read.
    stop.check().and(done)
}
