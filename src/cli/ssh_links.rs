//! Options of links to a far side that ssh starts: for all that go to an ssh://.

use std::net::IpAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::links::LinkTimes;
use super::patience::Patience;
use crate::engine::spread::LinkCount;
use crate::error::{Error, Result};
use crate::link::address::PortRange;
use crate::link::ssh::SshOptions;

/// As many links as there are unless the user says how many.
const MOST_LINKS: u16 = 8;

/// How the far side is started, and how many links go to it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Links")]
pub struct SshLinks {
    /// So many connections to each receiver [default: as many as help, up to 8]
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    links: Option<u16>,

    /// How long a connection may take to be made [default: 10]
    #[arg(long, value_name = "TIME")]
    connect_timeout: Option<Patience>,

    /// Connect from this local address. Given more than once, the links are spread over them
    #[arg(long, value_name = "ADDRESS")]
    pub bind: Vec<IpAddr>,

    /// With ssh://, how the data goes: over TCP where that can be had, or all of it through ssh
    #[arg(long, value_name = "WAY", default_value = "auto")]
    via: Via,

    /// With ssh://, where the receiver may listen, for firewalls [default: any free port]
    #[arg(long, value_name = "FIRST-LAST")]
    port_range: Option<PortRange>,

    /// With ssh://, the ssh to use and its options [default: ssh]
    #[arg(long, value_name = "COMMAND")]
    rsh: Option<String>,

    /// With ssh://, where lvpipe is on the far side [default: lvpipe]
    #[arg(long, value_name = "PATH")]
    remote_lvpipe: Option<String>,
}

/// How data gets to a receiver behind ssh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Via {
    /// Over TCP links beside ssh, through ssh where none can be made
    Auto,
    /// Through ssh's own pipe
    Ssh,
}

impl SshLinks {
    /// How many links. Where nothing but ssh leads to the far side, `--via ssh` leaves none beside it.
    pub fn count(&self, only_ssh: bool) -> LinkCount {
        match (self.links, self.via) {
            (_, Via::Ssh) if only_ssh => LinkCount::Fixed(0),
            (Some(count), _) => LinkCount::Fixed(count),
            (None, _) => LinkCount::UpTo(MOST_LINKS),
        }
    }

    /// How long a connection may take to be made.
    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout.map_or(Duration::from_secs(10), |patience| patience.0)
    }

    /// A number of links that there will not be is a mistake.
    ///
    /// # Errors
    /// A usage error. `what` was to be done.
    pub fn refuse_links_beside_none(&self, what: &str) -> Result<()> {
        if self.links.is_some() && self.via == Via::Ssh {
            return Err(Error::usage(what, "--links", "it is for links beside ssh's own"));
        }
        Ok(())
    }

    /// How the far side is started, with these more `arguments`, those of [`LinkTimes`] among them.
    ///
    /// # Errors
    /// A usage error for a command that cannot be understood.
    pub fn options(&self, times: &LinkTimes, arguments: Vec<String>, create: bool) -> Result<SshOptions> {
        let command = shlex::split(self.rsh.as_deref().unwrap_or("ssh"))
            .ok_or_else(|| Error::usage("cannot start ssh", "--rsh", "its quotes do not match"))?;
        Ok(SshOptions {
            command,
            remote: self.remote_lvpipe.as_deref().unwrap_or("lvpipe").into(),
            arguments: times.arguments().into_iter().chain(arguments).collect(),
            create,
            tcp: self.via == Via::Auto,
            ports: self.port_range.clone(),
            binds: self.bind.clone(),
            connect_timeout: self.connect_timeout(),
        })
    }

    /// The options that were given, but for the number of links: to be typed again.
    pub fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        let mut push = |option: &str, value: Option<String>| {
            value.into_iter().for_each(|value| words.extend([option.to_string(), value]));
        };
        push("--connect-timeout", self.connect_timeout.map(|time| time.to_string()));
        self.bind.iter().for_each(|address| push("--bind", Some(address.to_string())));
        push("--port-range", self.port_range.as_ref().map(ToString::to_string));
        push("--rsh", self.rsh.clone());
        push("--remote-lvpipe", self.remote_lvpipe.clone());
        words
    }

    /// The options that any receiver can have, and whether each was given.
    pub fn given(&self) -> [(&'static str, bool); 3] {
        [
            ("--links", self.links.is_some()),
            ("--connect-timeout", self.connect_timeout.is_some()),
            ("--bind", !self.bind.is_empty()),
        ]
    }

    /// The same of those that are for ssh:// only.
    pub fn given_for_ssh(&self) -> [(&'static str, bool); 4] {
        [
            ("--via", self.via != Via::Auto),
            ("--port-range", self.port_range.is_some()),
            ("--rsh", self.rsh.is_some()),
            ("--remote-lvpipe", self.remote_lvpipe.is_some()),
        ]
    }
}
