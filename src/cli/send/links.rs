//! Where `send` sends to: the options that name receivers, and the ways to them that they make.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use crate::cli::links::LinkArgs;
use crate::cli::ssh_links::SshLinks;
use crate::engine::spread::LinkCount;
use crate::error::{Error, Result};
use crate::link::address::Address;
use crate::link::dial::Dialer;
use crate::link::key::Key;
use crate::link::key_source::KeySource;
use crate::link::ssh::{Ssh, SshOptions, SshUrl};
use crate::link::{Dial, Security};
use crate::stop::Stop;

/// Receivers, and links to them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Links")]
pub struct SendLinks {
    /// Send to a receiver that listens there (lvpipe recv -I PORT). Given more than once: other ways to it, or more
    /// receivers
    #[arg(short = 'O', long = "connect", value_name = "HOST:PORT")]
    connect: Vec<Address>,

    /// The receiver's key, in a file; else in the environment as LVPIPE_KEY, else it is asked for. Of several
    /// receivers one for all, or one each in the order of -O
    #[arg(long, value_name = "FILE")]
    key_file: Vec<PathBuf>,

    #[command(flatten)]
    both: LinkArgs,

    #[command(flatten)]
    ssh: SshLinks,

    /// With ssh://HOST/-, a command on the far side that gets the stream on its standard input
    #[arg(long, value_name = "COMMAND")]
    exec: Option<String>,

    /// With ssh://HOST/VG/POOL:NAME, make the thin volume there
    #[arg(long, conflicts_with = "exec")]
    create: bool,
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
            let (binds, timeout) = (self.ssh.bind.clone(), self.ssh.connect_timeout());
            dials.push(Arc::new(Dialer::new(vec![address.clone()], binds, timeout, security)?));
        }
        for url in destinations {
            dials.push(Arc::new(Ssh::new(url.clone(), self.ssh_options(resume)?, Key::generate()?)));
        }
        let links = self.ssh.count(self.connect.is_empty());
        Ok(Some(Ways { dials, links }))
    }

    /// What would have no effect is a mistake: the user believes that something is encrypted, or goes over 8 links.
    fn refuse_idle_options(&self) -> Result<()> {
        let own =
            [("--key-file", !self.key_file.is_empty()), ("--exec", self.exec.is_some()), ("--create", self.create)];
        let (both, any, ssh) = (self.both.given(), self.ssh.given(), self.ssh.given_for_ssh());
        match both.iter().chain(&any).chain(&own).chain(&ssh).find(|(_, given)| *given) {
            None => Ok(()),
            Some((option, _)) => Err(Error::usage("cannot send", option, "there is no receiver to connect to")
                .way_out("name one: -O HOST:PORT, or ssh://HOST/TARGET")),
        }
    }

    /// The same, where there are receivers, but none of the kind that an option is for.
    fn refuse_what_no_receiver_needs(&self, has_ssh: bool) -> Result<()> {
        let has_address = !self.connect.is_empty();
        let for_ssh = self.ssh.given_for_ssh().map(|(option, given)| (option, given && !has_ssh, "ssh://"));
        if !has_address {
            self.ssh.refuse_links_beside_none("cannot send")?;
        }
        let idle = [
            ("--create", self.create && !has_ssh, "ssh://HOST/VG/POOL:NAME"),
            ("--insecure", self.both.insecure && !has_address, "-O; over ssh:// the key is made for the transfer"),
            (
                "--key-file",
                !self.key_file.is_empty() && !has_address,
                "-O; over ssh:// the key is made for the transfer",
            ),
        ];
        match idle.iter().chain(&for_ssh).find(|(_, given, _)| *given) {
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
        let mut arguments = Vec::new();
        if let Some(exec) = &self.exec {
            arguments.extend(["--exec".into(), exec.clone()]);
        }
        if resume {
            arguments.push("--resume".into());
        }
        self.ssh.options(self.both.times(), arguments, self.create)
    }
}
