//! Where `send` sends to: the options that name receivers, and the ways to them that they make.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::links::LinkArgs;
use crate::cli::patience::Patience;
use crate::engine::spread::LinkCount;
use crate::error::{Error, Result};
use crate::link::address::{Address, PortRange};
use crate::link::dial::Dialer;
use crate::link::key::Key;
use crate::link::key_source::KeySource;
use crate::link::ssh::{Ssh, SshOptions, SshUrl};
use crate::link::{Dial, Security};
use crate::stop::Stop;

/// As many links as there are unless the user says how many.
const MOST_LINKS: u16 = 8;

/// Receivers, and links to them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Links")]
pub struct SendLinks {
    /// Send to a receiver that listens there (lvpipe recv -I PORT). Given more than once: other ways to it, or more
    /// receivers
    #[arg(short = 'O', long = "connect", value_name = "HOST:PORT")]
    connect: Vec<Address>,

    /// So many connections to each receiver [default: as many as help, up to 8]
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    links: Option<u16>,

    /// The receiver's key, in a file; else in the environment as LVPIPE_KEY, else it is asked for. Of several
    /// receivers one for all, or one each in the order of -O
    #[arg(long, value_name = "FILE")]
    key_file: Vec<PathBuf>,

    #[command(flatten)]
    both: LinkArgs,

    /// How long a connection may take to be made [default: 10]
    #[arg(long, value_name = "TIME")]
    connect_timeout: Option<Patience>,

    /// Connect from this local address. Given more than once, the links are spread over them
    #[arg(long, value_name = "ADDRESS")]
    bind: Vec<IpAddr>,

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

    /// With ssh://HOST/-, a command on the far side that gets the stream on its standard input
    #[arg(long, value_name = "COMMAND")]
    exec: Option<String>,

    /// With ssh://HOST/VG/POOL:NAME, make the thin volume there
    #[arg(long, conflicts_with = "exec")]
    create: bool,
}

/// How data gets to a receiver behind ssh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Via {
    /// Over TCP links beside ssh, through ssh where none can be made
    Auto,
    /// Through ssh's own pipe
    Ssh,
}

/// The ways to all receivers, and how they are used.
pub struct Ways {
    pub dials: Vec<Arc<dyn Dial>>,
    pub links: LinkCount,
}

impl SendLinks {
    /// What both sides have.
    pub fn both(&self) -> &LinkArgs {
        &self.both
    }

    /// The ways to the receivers; `None` where none is named, which is what a pipe is for.
    ///
    /// # Errors
    /// A usage error for what does not fit together; what is wrong with a key.
    pub fn ways(&self, destinations: &[SshUrl], resume: bool, stop: &Stop) -> Result<Option<Ways>> {
        if self.connect.is_empty() && destinations.is_empty() {
            return self.refuse_idle_options().map(|()| None);
        }
        if self.exec.is_some() && (destinations.is_empty() || destinations.iter().any(|url| url.target != "-")) {
            return Err(Error::usage("cannot send", "--exec", "it is for ssh://HOST/-"));
        }
        self.refuse_what_no_receiver_needs(!destinations.is_empty())?;
        let mut dials: Vec<Arc<dyn Dial>> = Vec::new();
        for (address, key) in self.connect.iter().zip(self.keys(stop)?) {
            let security = key.map_or(Security::Insecure, Security::Key);
            let timeout = self.connect_timeout();
            dials.push(Arc::new(Dialer::new(vec![address.clone()], self.bind.clone(), timeout, security)?));
        }
        for url in destinations {
            dials.push(Arc::new(Ssh::new(url.clone(), self.ssh_options(resume)?, Key::generate()?)));
        }
        let links = match (self.links, self.via) {
            (_, Via::Ssh) if self.connect.is_empty() => LinkCount::Fixed(0),
            (Some(count), _) => LinkCount::Fixed(count),
            (None, _) => LinkCount::UpTo(MOST_LINKS),
        };
        Ok(Some(Ways { dials, links }))
    }

    fn connect_timeout(&self) -> Duration {
        self.connect_timeout.map_or(Duration::from_secs(10), |patience| patience.0)
    }

    /// What would have no effect is a mistake: the user believes that something is encrypted, or goes over 8 links.
    fn refuse_idle_options(&self) -> Result<()> {
        let idle = [
            ("--links", self.links.is_some()),
            ("--key-file", !self.key_file.is_empty()),
            ("--connect-timeout", self.connect_timeout.is_some()),
            ("--bind", !self.bind.is_empty()),
            ("--exec", self.exec.is_some()),
            ("--create", self.create),
            ("--via", self.via != Via::Auto),
            ("--port-range", self.port_range.is_some()),
            ("--rsh", self.rsh.is_some()),
            ("--remote-lvpipe", self.remote_lvpipe.is_some()),
        ];
        match self.both.given().iter().chain(&idle).find(|(_, given)| *given) {
            None => Ok(()),
            Some((option, _)) => Err(Error::usage("cannot send", option, "there is no receiver to connect to")
                .way_out("name one: -O HOST:PORT, or ssh://HOST/TARGET")),
        }
    }

    /// The same, where there are receivers, but none of the kind that an option is for.
    fn refuse_what_no_receiver_needs(&self, has_ssh: bool) -> Result<()> {
        let has_address = !self.connect.is_empty();
        let idle = [
            ("--create", self.create && !has_ssh, "ssh://HOST/VG/POOL:NAME"),
            ("--via", self.via != Via::Auto && !has_ssh, "ssh://"),
            ("--port-range", self.port_range.is_some() && !has_ssh, "ssh://"),
            ("--rsh", self.rsh.is_some() && !has_ssh, "ssh://"),
            ("--remote-lvpipe", self.remote_lvpipe.is_some() && !has_ssh, "ssh://"),
            ("--links", self.links.is_some() && self.via == Via::Ssh && !has_address, "links beside ssh's own"),
            ("--insecure", self.both.insecure && !has_address, "-O; over ssh:// the key is made for the transfer"),
            (
                "--key-file",
                !self.key_file.is_empty() && !has_address,
                "-O; over ssh:// the key is made for the transfer",
            ),
        ];
        match idle.iter().find(|(_, given, _)| *given) {
            None => Ok(()),
            Some((option, _, what)) => Err(Error::usage("cannot send", option, format!("it is for {what}"))),
        }
    }

    /// A key for each of `-O`; `None` where none is needed.
    fn keys(&self, stop: &Stop) -> Result<Vec<Option<Key>>> {
        let receivers = self.connect.len();
        if self.both.insecure {
            if !self.key_file.is_empty() {
                return Err(Error::usage("cannot send", "--insecure", "with a key it would not be"));
            }
            return Ok(vec![None; receivers]);
        }
        if receivers == 0 {
            return Ok(Vec::new());
        }
        match self.key_file.len() {
            0 | 1 => {
                let key = KeySource::find(self.key_file.first().cloned()).for_sender(stop)?;
                Ok(vec![Some(key); receivers])
            }
            count if count == receivers => {
                let each = self.key_file.iter().map(|file| KeySource::find(Some(file.clone())).for_sender(stop));
                each.map(|key| key.map(Some)).collect()
            }
            count => {
                let why = format!("{count} keys for {receivers} addresses: give one for all, or one each");
                Err(Error::usage("cannot send", "--key-file", why))
            }
        }
    }

    fn ssh_options(&self, resume: bool) -> Result<SshOptions> {
        let command = shlex::split(self.rsh.as_deref().unwrap_or("ssh"))
            .ok_or_else(|| Error::usage("cannot start ssh", "--rsh", "its quotes do not match"))?;
        let time = |option: &str, time: Duration| [option.to_string(), Patience(time).to_string()];
        let mut arguments = time("--stall-timeout", self.both.stall_timeout()).to_vec();
        arguments.extend(time("--retry-for", self.both.retry_for()));
        if let Some(exec) = &self.exec {
            arguments.extend(["--exec".into(), exec.clone()]);
        }
        if resume {
            arguments.push("--resume".into());
        }
        Ok(SshOptions {
            command,
            remote: self.remote_lvpipe.as_deref().unwrap_or("lvpipe").into(),
            arguments,
            create: self.create,
            tcp: self.via == Via::Auto,
            ports: self.port_range.clone(),
            binds: self.bind.clone(),
            connect_timeout: self.connect_timeout(),
        })
    }
}
