//! Options of links that both sides have.

use std::time::Duration;

use clap::Args;

use super::patience::Patience;

/// How links are kept.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Links")]
pub struct LinkArgs {
    /// Plain TCP: no encryption, and whoever can connect is believed. Both sides must say so
    #[arg(long)]
    pub insecure: bool,

    #[command(flatten)]
    times: LinkTimes,
}

/// How long a link that is lost is waited for.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Links")]
pub struct LinkTimes {
    /// When no link is left, try for so long to get one again [default: 60]
    #[arg(long, value_name = "TIME")]
    retry_for: Option<Patience>,

    /// Give a link up on which nothing has moved for so long [default: 30]
    #[arg(short = 'W', long, value_name = "TIME")]
    stall_timeout: Option<Patience>,
}

impl LinkArgs {
    /// How long to try to get a link again.
    pub fn retry_for(&self) -> Duration {
        self.times.retry_for()
    }

    /// How long a link may stand still.
    pub fn stall_timeout(&self) -> Duration {
        self.times.stall_timeout()
    }

    /// Both of them.
    pub fn times(&self) -> &LinkTimes {
        &self.times
    }

    /// The options, and whether each was given: where there are no links, they have no effect.
    pub fn given(&self) -> [(&'static str, bool); 3] {
        [
            ("--insecure", self.insecure),
            ("--retry-for", self.times.retry_for.is_some()),
            ("--stall-timeout", self.times.stall_timeout.is_some()),
        ]
    }
}

impl LinkTimes {
    /// How long to try to get a link again.
    pub fn retry_for(&self) -> Duration {
        self.retry_for.map_or(Duration::from_secs(60), |patience| patience.0)
    }

    /// How long a link may stand still.
    pub fn stall_timeout(&self) -> Duration {
        self.stall_timeout.map_or(Duration::from_secs(30), |patience| patience.0)
    }

    /// The same as arguments, for the other side.
    pub fn arguments(&self) -> Vec<String> {
        let time = |option: &str, time: Duration| [option.to_string(), Patience(time).to_string()];
        [time("--stall-timeout", self.stall_timeout()), time("--retry-for", self.retry_for())].concat()
    }
}
