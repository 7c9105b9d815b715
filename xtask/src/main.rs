//! The workshop's tasks: `cargo xtask TASK`, a file each.

mod binary;
mod generate;
mod setup;
mod test;

use clap::{Parser, Subcommand};

/// What `cargo xtask` can do.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Xtask {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    Generate(generate::Args),
    Setup(setup::Args),
    Test(test::Args),
}

fn main() -> anyhow::Result<()> {
    match Xtask::parse().task {
        Task::Generate(args) => generate::run(&args),
        Task::Setup(args) => setup::run(&args),
        Task::Test(args) => test::run(&args),
    }
}
