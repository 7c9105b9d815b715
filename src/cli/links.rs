//! Options of links that both sides have.

use clap::Args;

use super::patience::Patience;

/// How links are kept.
#[derive(Debug, Args)]
#[command(next_help_heading = "Links")]
pub struct LinkArgs {
    /// Plain TCP: no encryption, and whoever can connect is believed. Both sides must say so
    #[arg(long)]
    pub insecure: bool,

    /// When no link is left, try for so long to get one again
    #[arg(long, value_name = "TIME", default_value = "60")]
    pub retry_for: Patience,

    /// Give a link up on which nothing has moved for so long
    #[arg(short = 'W', long, value_name = "TIME", default_value = "30")]
    pub stall_timeout: Patience,
}
