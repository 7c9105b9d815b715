//! The ways to move a volume from one host to another that are compared, each as an admin would type it.
//!
//! What listens is started before the clock: a receiver, or a server from which the other side pulls. lvpipe's own
//! steps differ from each other by one thing each, so that the table shows what it is worth.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::session::{Listener, Session};
use crate::bench::two_hosts::{FAR, NEAR};
use crate::pipeline::Pipeline;

/// One way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// mbuffer on both sides, every byte.
    Mbuffer,
    /// All processors compress what mbuffer carries.
    ZstdMbuffer,
    /// tar finds the holes.
    SparseTar,
    /// Eight connections to an NBD server that tells the holes.
    Nbdcopy,
    /// qemu's copy from the same server.
    QemuImg,
    /// Every byte, a digest of each part; zeros are not written.
    HttpDense,
    /// That over eight connections.
    HttpConnections,
    /// That compressed.
    HttpZstd,
    /// That without the holes.
    HttpMap,
    /// The same by `send` and `recv`.
    SendPlain,
    /// That encrypted.
    SendTls,
    /// That with the level that suits: all defaults.
    Defaults,
}

/// Whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What one would use without lvpipe.
    Other,
    /// lvpipe with options that switch something off.
    Step,
    /// lvpipe as it is.
    Defaults,
}

/// Where a way runs.
pub struct Setting<'a> {
    /// The program.
    pub lvpipe: &'a Path,
    /// What is sent.
    pub image: &'a Path,
    /// A directory for the copy, which gets the image's name.
    pub target: &'a Path,
    /// Where what listens does so; nobody else uses it.
    pub port: u16,
    /// The file for a key that both sides have.
    pub key: &'a Path,
}

impl Way {
    /// All of them, in the order of the table.
    pub const ALL: [Way; 12] = [
        Way::Mbuffer,
        Way::ZstdMbuffer,
        Way::SparseTar,
        Way::Nbdcopy,
        Way::QemuImg,
        Way::HttpDense,
        Way::HttpConnections,
        Way::HttpZstd,
        Way::HttpMap,
        Way::SendPlain,
        Way::SendTls,
        Way::Defaults,
    ];

    /// Whose it is.
    pub fn kind(self) -> Kind {
        match self {
            Way::Mbuffer | Way::ZstdMbuffer | Way::SparseTar | Way::Nbdcopy | Way::QemuImg => Kind::Other,
            Way::Defaults => Kind::Defaults,
            _ => Kind::Step,
        }
    }

    /// For the plot.
    pub fn name(self) -> &'static str {
        match self {
            Way::Mbuffer => "mbuffer",
            Way::ZstdMbuffer => "zstd -T0 | mbuffer",
            Way::SparseTar => "tar -S | mbuffer",
            Way::Nbdcopy => "nbdcopy, 8 connections",
            Way::QemuImg => "qemu-img convert",
            Way::HttpDense => "HTTP, dense, SHA-256",
            Way::HttpConnections => "+ 8 connections",
            Way::HttpZstd => "+ zstd",
            Way::HttpMap => "+ used map",
            Way::SendPlain => "send, recv: plain TCP",
            Way::SendTls => "+ TLS",
            Way::Defaults => "+ auto: the defaults",
        }
    }

    /// For the tables: what is typed, without addresses.
    pub fn markdown(self) -> &'static str {
        match self {
            Way::Mbuffer => "`mbuffer`",
            Way::ZstdMbuffer => "`zstd -T0 \\| mbuffer`",
            Way::SparseTar => "`tar -S \\| mbuffer`",
            Way::Nbdcopy => "`nbdcopy -C 8` from nbdkit",
            Way::QemuImg => "`qemu-img convert -W -m 8` from nbdkit",
            Way::HttpDense => "`lvpipe serve --map none --compress none`, `pull -n 1`",
            Way::HttpConnections => "the same, `pull -n 8`",
            Way::HttpZstd => "the same, `--compress zstd`",
            Way::HttpMap => "the same, with the map",
            Way::SendPlain => "`lvpipe send --insecure --compress zstd`, `recv`",
            Way::SendTls => "the same over TLS",
            Way::Defaults => "**`lvpipe send`, `recv`: the defaults**",
        }
    }

    /// Both sides as they are to be run.
    pub fn session(self, setting: &Setting<'_>) -> Result<Session> {
        match self {
            Way::Mbuffer | Way::ZstdMbuffer | Way::SparseTar => self.by_mbuffer(setting),
            Way::Nbdcopy | Way::QemuImg => self.by_nbd(setting),
            Way::HttpDense | Way::HttpConnections | Way::HttpZstd | Way::HttpMap => self.by_http(setting),
            Way::SendPlain | Way::SendTls | Way::Defaults => self.by_links(setting),
        }
    }

    fn by_mbuffer(self, setting: &Setting<'_>) -> Result<Session> {
        let (image, copy) = (setting.image, setting.copy()?);
        let mbuffer = ["mbuffer", "-q", "-v", "0"];
        let port = setting.port.to_string();
        let far = format!("{FAR}:{port}");
        let to = [&mbuffer[..], &["-O", &far]].concat();
        let from = [&mbuffer[..], &["-I", &port]].concat();
        let (sender, receiver) = match self {
            Way::Mbuffer => (pipe(&to, &[&"-i", &image]), pipe(&from, &[&"-o", &copy])),
            Way::SparseTar => {
                let directory = image.parent().context("an image is in a directory")?;
                let tar = Pipeline::new(&[&"tar", &"-C", &directory, &"-cS", &setting.name()?]);
                (then(tar, &to), pipe(&from, &[]).pipe(&[&"tar", &"-C", &setting.target, &"-xS"]))
            }
            _ => {
                let zstd = Pipeline::new(&[&"zstd", &"-q", &"-T0", &"-c", &image]);
                (then(zstd, &to), pipe(&from, &[]).pipe(&[&"zstd", &"-q", &"-d", &"-o", &copy]))
            }
        };
        Ok(Session { sender, receiver, listener: Listener::Receiver, port: setting.port })
    }

    fn by_nbd(self, setting: &Setting<'_>) -> Result<Session> {
        let port = setting.port.to_string();
        let server = ["nbdkit", "-f", "-r", "-i", NEAR, "-p", &port, "file"];
        let (url, copy) = (format!("nbd://{NEAR}:{port}"), setting.copy()?);
        let client: &[&str] = match self {
            Way::Nbdcopy => &["nbdcopy", "-C", "8", "-T", "8", "--flush", &url],
            _ => &["qemu-img", "convert", "-f", "raw", "-O", "raw", "-W", "-m", "8", &url],
        };
        Ok(Session {
            sender: pipe(&server, &[&setting.image]),
            receiver: pipe(client, &[&copy]),
            listener: Listener::Sender,
            port: setting.port,
        })
    }

    fn by_http(self, setting: &Setting<'_>) -> Result<Session> {
        let listen = format!("{NEAR}:{}", setting.port);
        let mut options = vec!["serve", "-q", "--insecure", "--insecure", "--listen", &listen];
        if self != Way::HttpMap {
            options.extend(["--map", "none"]);
        }
        let is_dense = matches!(self, Way::HttpDense | Way::HttpConnections);
        options.extend(["--compress", if is_dense { "none" } else { "zstd" }]);
        let connections = if self == Way::HttpDense { "1" } else { "8" };
        let url = format!("http://{listen}/{}", setting.name()?);
        let (lvpipe, copy) = (setting.lvpipe, setting.copy()?);
        Ok(Session {
            sender: words(&[&lvpipe], &options, &[&setting.image]),
            receiver: words(&[&lvpipe], &["pull", "-q", "--insecure", "-n", connections, &url], &[&copy]),
            listener: Listener::Sender,
            port: setting.port,
        })
    }

    fn by_links(self, setting: &Setting<'_>) -> Result<Session> {
        let at = format!("{FAR}:{}", setting.port);
        let security: &[&dyn AsRef<OsStr>] = match self {
            Way::SendPlain => &[&"--insecure"],
            _ => &[&"--key-file", &setting.key],
        };
        // For the bytes that it says it has sent.
        let mut options = vec!["send", "--progress", "json", "-O", &at];
        if self != Way::Defaults {
            options.extend(["--compress", "zstd"]);
        }
        let (lvpipe, copy) = (setting.lvpipe, setting.copy()?);
        let [sender, receiver] = [[security, &[&setting.image]].concat(), [security, &[&copy]].concat()];
        Ok(Session {
            sender: words(&[&lvpipe], &options, &sender),
            receiver: words(&[&lvpipe], &["recv", "-q", "-I", &at], &receiver),
            listener: Listener::Receiver,
            port: setting.port,
        })
    }
}

impl Setting<'_> {
    /// The name of the image, and of its copy.
    fn name(&self) -> Result<&str> {
        self.image.file_name().and_then(OsStr::to_str).context("an image has a name")
    }

    /// What is written.
    pub fn copy(&self) -> Result<PathBuf> {
        Ok(self.target.join(self.name()?))
    }
}

/// A command from its fixed words and its files.
fn pipe(command: &[&str], files: &[&dyn AsRef<OsStr>]) -> Pipeline {
    words(&[], command, files)
}

fn words(program: &[&dyn AsRef<OsStr>], options: &[&str], files: &[&dyn AsRef<OsStr>]) -> Pipeline {
    let mut all = program.to_vec();
    all.extend(options.iter().map(|option| option as &dyn AsRef<OsStr>));
    all.extend(files);
    Pipeline::new(&all)
}

/// What goes on into this command.
fn then(pipeline: Pipeline, command: &[&str]) -> Pipeline {
    let words: Vec<&dyn AsRef<OsStr>> = command.iter().map(|word| word as &dyn AsRef<OsStr>).collect();
    pipeline.pipe(&words)
}
