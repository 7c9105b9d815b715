//! The receiver started over ssh, and links to it.
//!
//! `ssh HOST lvpipe recv --from-ssh TARGET` is run with the user's own ssh: its configuration, agents and jump hosts
//! hold. The first line to it is a [`Request`] with the key of this transfer, the first line from it a [`Greeting`]
//! with the port that it listens on. From then on ssh's pipes are link 0. The links with other numbers are TCP to
//! that port; where none can be made, everything goes through ssh.

mod process;
mod session;

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::address::{Address, PortRange};
use super::dial::Dialer;
use super::key::Key;
use super::{Dial, HangUp, Link, Security, pipe};
use crate::error::{Error, Result, Status};
use crate::stop::{Interruptible, Stop};
use crate::wire::prelude::VERSION;
use process::Process;
pub use session::{Reply, Session};

/// What a login shell may print before the greeting.
const MOST_NOISE: usize = 64 << 10;

/// `ssh://[USER@]HOST[:PORT]/TARGET`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshUrl {
    /// `HOST` or `USER@HOST`, for ssh.
    pub host: String,
    /// Another port than ssh's configuration says.
    pub port: Option<u16>,
    /// For the far side: `vg/lv`, `-`, or with a second slash an absolute path.
    pub target: String,
}

impl FromStr for SshUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "expected ssh://[USER@]HOST[:PORT]/TARGET, as in ssh://root@host/vg/vm1 or \
                            ssh://host//srv/vm1.img";
        let (authority, target) = text.strip_prefix("ssh://").and_then(|rest| rest.split_once('/')).ok_or(FORM)?;
        let (user, place) = authority.rsplit_once('@').map_or((None, authority), |(u, p)| (Some(u), p));
        // A literal IPv6 address has colons of its own.
        let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or(FORM)?)),
            None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map(|port| port.parse::<u16>().map_err(|_| FORM)).transpose()?;
        // ssh would take a name that begins with a dash for an option.
        let is_name =
            |name: &str| !name.is_empty() && !name.starts_with('-') && !name.contains(char::is_whitespace);
        if !is_name(host) || user.is_some_and(|user| !is_name(user)) || target.is_empty() || port == Some(0) {
            return Err(FORM.into());
        }
        let host = user.map_or_else(|| host.to_string(), |user| format!("{user}@{host}"));
        Ok(SshUrl { host, port, target: target.into() })
    }
}

impl fmt::Display for SshUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)
    }
}

/// What the sender says first.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    /// The key of this transfer.
    pub key: String,
    /// Where to listen, if at all.
    pub ports: Option<String>,
    /// Whether links over TCP are wanted.
    pub listen: bool,
}

/// What the far side answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct Greeting {
    /// Its version of lvpipe.
    pub lvpipe: String,
    /// Its version of the wire format.
    pub wire: u16,
    /// Where it listens.
    pub port: Option<u16>,
}

/// How the receiver is started.
pub struct SshOptions {
    /// ssh and its options, in words.
    pub command: Vec<String>,
    /// lvpipe's name on the far side.
    pub remote: String,
    /// More arguments for `lvpipe recv` there.
    pub arguments: Vec<String>,
    /// Whether the target is `VG/POOL:NAME`, a thin volume to be made.
    pub create: bool,
    /// Whether links over TCP are wanted besides ssh's own.
    pub tcp: bool,
    /// Where the receiver may listen.
    pub ports: Option<PortRange>,
    /// Local addresses for the links.
    pub binds: Vec<std::net::IpAddr>,
    /// How long a TCP connection may take.
    pub connect_timeout: Duration,
}

/// A receiver behind ssh.
pub struct Ssh {
    url: SshUrl,
    options: SshOptions,
    /// Of this transfer.
    key: Key,
    /// The way to its port, known once it has been started.
    tcp: Mutex<Option<Arc<Dialer>>>,
    started: Mutex<u32>,
}

impl Ssh {
    /// Nothing is started yet.
    pub fn new(url: SshUrl, options: SshOptions, key: Key) -> Self {
        Ssh { url, options, key, tcp: Mutex::default(), started: Mutex::new(0) }
    }

    fn start(&self, stop: &Stop) -> Result<Link> {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        let command = self.command(*started > 0)?;
        *started += 1;
        drop(started);
        let (process, from, to) = self.begin(command, stop)?;
        let Link { name, reader, writer, hang_up } = pipe::link(from, to, &self.name());
        // What ssh was started with may outlive it and keep its pipes, as a command to proxy the connection.
        let hang_up = HangUp::new(move || {
            process.end();
            hang_up.hang_up();
        });
        Ok(Link { name, reader, writer, hang_up })
    }

    /// Starts what is to run there, tells it the key and learns where it listens: from then on its pipes, what comes
    /// and what goes, are the caller's.
    fn begin(&self, mut command: Command, stop: &Stop) -> Result<(Process, File, File)> {
        // Ended by whatever fails from here on; its pipes are closed before.
        let (starting, process, mut to, from) =
            Process::start(&mut command).map_err(|e| Error::io("cannot start ssh", &self.url, &e))?;
        let request = Request {
            key: self.key.to_string(),
            ports: self.options.ports.as_ref().map(ToString::to_string),
            listen: self.options.tcp,
        };
        let line = serde_json::to_string(&request)
            .map_err(|e| Error::io("cannot start ssh", &self.url, &e.into()))?
            + "\n";
        // One that has ended by now is told by what it answers: nothing.
        let _ = to.write_all(line.as_bytes());
        let greeting = self.hear(&from, &process, stop)?;
        self.learn(&greeting, stop)?;
        starting.started();
        Ok((process, from, to))
    }

    fn command(&self, again: bool) -> Result<Command> {
        let mut words = vec![self.options.remote.as_str(), "recv", "--from-ssh"];
        words.extend(self.options.arguments.iter().map(String::as_str));
        // A receiver that was lost in the middle knows from its journal what it has.
        // One that makes its target, or gives it to a command, begins anew.
        let begins_anew = self.options.create || words.contains(&"--exec");
        if again && !begins_anew && !words.contains(&"--resume") {
            words.push("--resume");
        }
        words.extend([if self.options.create { "--create" } else { "--" }, &self.url.target]);
        self.remote(words)
    }

    /// ssh with these words for the far side.
    fn remote(&self, words: Vec<&str>) -> Result<Command> {
        let (program, options) = self
            .options
            .command
            .split_first()
            .ok_or_else(|| Error::usage("cannot start ssh", "--rsh", "the command is empty"))?;
        let remote = shlex::try_join(words)
            .map_err(|_| Error::usage("cannot start receiver", &self.url, "an argument has a NUL in it"))?;
        let mut command = Command::new(program);
        command.args(options).args(self.port()).arg(&self.url.host).arg(remote);
        Ok(command)
    }

    fn port(&self) -> Vec<OsString> {
        self.url.port.map_or_else(Vec::new, |port| vec!["-p".into(), port.to_string().into()])
    }

    /// Reads up to the greeting. There is no time limit: ssh may be asking for a password, or for a key to be touched.
    /// What ends the run ends this too.
    fn hear(&self, from: &File, process: &Process, stop: &Stop) -> Result<Greeting> {
        let mut from = Interruptible::new(from, stop);
        let mut line = Vec::new();
        let mut noise = 0;
        loop {
            let mut byte = [0];
            match from.read(&mut byte) {
                Ok(0) => {
                    let error = self.unheard(process, stop);
                    stop.check()?;
                    return Err(error);
                }
                Err(e) => {
                    stop.check()?;
                    return Err(Error::io("cannot start receiver", &self.url, &e));
                }
                Ok(_) if byte[0] != b'\n' => line.push(byte[0]),
                Ok(_) => {
                    if let Ok(greeting) = serde_json::from_slice::<Greeting>(&line) {
                        return Ok(greeting);
                    }
                    line.clear();
                }
            }
            noise += 1;
            if noise > MOST_NOISE {
                return Err(Error::stream("cannot start receiver", &self.url, "what answers there is not lvpipe"));
            }
        }
    }

    /// The far side ended before it greeted: its own message is on stderr already.
    fn unheard(&self, process: &Process, stop: &Stop) -> Error {
        let what = "cannot start receiver";
        let Some(status) = process.wait(stop) else {
            return Error::new(Status::Io, what, &self.url, "ssh says no more, and does not end");
        };
        match status.code() {
            // ssh(1): 255 if an error occurred; else the remote command's status.
            Some(255) => Error::new(Status::Io, what, &self.url, "ssh failed: see its message"),
            Some(127) => Error::new(Status::Peer, what, &self.url, "there is no lvpipe there")
                .way_out("install it there, or say where it is: --remote-lvpipe PATH"),
            Some(2) => Error::new(Status::Peer, what, &self.url, "lvpipe there refused: see its message")
                .way_out("if it does not know --from-ssh it is older than this one: update it"),
            Some(code) if code < 128 => {
                Error::new(remote_status(code), what, &self.url, "it has ended: see its message")
            }
            _ => Error::new(Status::Io, what, &self.url, "it was killed"),
        }
    }

    /// Checks the far side's version, and notes where it listens.
    fn learn(&self, greeting: &Greeting, stop: &Stop) -> Result<()> {
        if greeting.wire != VERSION {
            let older = if greeting.wire > VERSION { "this lvpipe" } else { "the one there" };
            let why = format!(
                "lvpipe {} there speaks version {} of the format, this one ({}) version {VERSION}: {older} is older",
                greeting.lvpipe,
                greeting.wire,
                env!("CARGO_PKG_VERSION")
            );
            return Err(Error::new(Status::Peer, "cannot use receiver", &self.url, why).way_out("update it"));
        }
        let dialer = match greeting.port.filter(|_| self.options.tcp) {
            None => None,
            Some(port) => {
                let address = Address::new(self.host_name(stop), port);
                let binds = self.options.binds.clone();
                let security = Security::Key(self.key.clone());
                Some(Arc::new(Dialer::new(vec![address], binds, self.options.connect_timeout, security)?))
            }
        };
        *self.tcp.lock().unwrap_or_else(PoisonError::into_inner) = dialer;
        Ok(())
    }

    /// What ssh's configuration calls the host: `ssh -G`.
    fn host_name(&self, stop: &Stop) -> String {
        let named = self.url.host.rsplit_once('@').map_or(&*self.url.host, |(_, host)| host);
        let text = self.configuration(stop).unwrap_or_default();
        let name = text.lines().find_map(|line| line.strip_prefix("hostname "));
        name.unwrap_or(named).to_string()
    }

    /// What `ssh -G` prints; `None` where it fails, or the run has ended.
    fn configuration(&self, stop: &Stop) -> Option<String> {
        let (program, options) = self.options.command.split_first()?;
        let mut command = Command::new(program);
        command.args(options).args(self.port()).args(["-G", &self.url.host]).stderr(Stdio::null());
        // Ended when this returns.
        let (_starting, process, _, from) = Process::start(&mut command).ok()?;
        let mut text = Vec::new();
        Interruptible::new(&from, stop).take(MOST_NOISE as u64).read_to_end(&mut text).ok()?;
        process.wait(stop).filter(|status| status.success())?;
        Some(String::from_utf8_lossy(&text).into_owned())
    }
}

impl Ssh {
    /// A link beside ssh's own.
    fn dial_beside(&self, number: u16, stop: &Stop) -> Result<Link> {
        let tcp = self.tcp.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match tcp {
            Some(dialer) => dialer.dial(number, stop),
            None => Err(Error::new(Status::Io, "cannot connect", &self.url, "the receiver does not listen")),
        }
    }
}

impl Dial for Ssh {
    fn name(&self) -> String {
        self.url.to_string()
    }

    fn dial(&self, number: u16, stop: &Stop) -> Result<Link> {
        if number == 0 { self.start(stop) } else { self.dial_beside(number, stop) }
    }

    fn is_standby(&self, number: u16) -> bool {
        number == 0
    }
}

/// The far side's exit status as one of this side's.
fn remote_status(code: i32) -> Status {
    match u8::try_from(code).map(Status::from_code) {
        Ok(Status::Guard) => Status::Peer,
        Ok(status) => status,
        Err(_) => Status::Io,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_an_ssh_url() {
        let url = |text: &str| text.parse::<SshUrl>().map(|url| (url.host, url.port, url.target));
        let is = |host: &str, port, target: &str| Ok((host.to_string(), port, target.to_string()));
        assert_eq!(url("ssh://root@host/vg/vm1"), is("root@host", None, "vg/vm1"));
        assert_eq!(url("ssh://host:2222//srv/a b.img"), is("host", Some(2222), "/srv/a b.img"));
        assert_eq!(url("ssh://u@[2001:db8::1]:22/-"), is("u@2001:db8::1", Some(22), "-"));
        for bad in
            ["host/vg/a", "ssh://host", "ssh://host/", "ssh:///vg/a", "ssh://-oProxyCommand=x/a", "ssh://h:x/a"]
        {
            assert!(url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_target_with_blanks_and_quotes_arrives_as_it_is() {
        let url = SshUrl { host: "h".into(), port: None, target: "/srv/it's a.img".into() };
        let options = SshOptions {
            command: vec!["ssh".into()],
            remote: "lvpipe".into(),
            arguments: vec!["--rate".into(), "tar x; true".into()],
            create: false,
            tcp: false,
            ports: None,
            binds: Vec::new(),
            connect_timeout: Duration::from_secs(1),
        };
        let ssh = Ssh::new(url, options, Key::generate().expect("random bytes"));
        let command = ssh.command(true).expect("no NUL");
        let remote = command.get_args().last().and_then(|word| word.to_str()).expect("UTF-8").to_string();
        let words = shlex::split(&remote).expect("a shell reads it");
        let expected =
            ["lvpipe", "recv", "--from-ssh", "--rate", "tar x; true", "--resume", "--", "/srv/it's a.img"];
        assert_eq!(words, expected);
    }
}
