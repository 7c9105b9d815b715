//! The workshop's tasks: `cargo xtask TASK`, a file each.

mod bench;
mod binary;
mod demo;
mod ext4_image;
mod fuzz;
mod generate;
mod lab;
mod package;
mod pipeline;
mod setup;
mod test;

use std::process::ExitCode;

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
    Bench(bench::Args),
    Demo(demo::Args),
    Fuzz(fuzz::Args),
    Generate(generate::Args),
    Lab(lab::Args),
    Package(package::Args),
    Setup(setup::Args),
    Test(test::Args),
}

fn main() -> ExitCode {
    let done = match Xtask::parse().task {
        Task::Bench(args) => bench::run(&args),
        Task::Demo(args) => demo::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Generate(args) => generate::run(&args),
        Task::Lab(args) => lab::run(&args),
        Task::Package(args) => package::run(&args),
        Task::Setup(args) => setup::run(&args),
        Task::Test(args) => test::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
