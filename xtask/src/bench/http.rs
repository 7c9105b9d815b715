//! A volume over HTTP, on loopback: pulled from lvpipe's server, against the same over links, and against what one
//! would use without lvpipe, nginx and aria2c; the raw volume to curl, against nginx; the server's memory with many
//! clients.
//!
//! All of it is plain: what TLS costs is told by the rows over links. The servers run all the while, and what they do
//! before the first request is no part of the times.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::figures::Row;
use super::material::{self, Material};
use super::race::{Contender, race};
use super::same;
use super::transfer::{Running, Transfer};
use super::two_hosts::Host;
use crate::pipeline::{Measured, Pipeline};

const ADDRESS: &str = "127.0.0.1";
/// Connections of `pull`, and links of `send`.
const LINKS: &str = "4";
/// Clients at once, less than the server takes by default.
const CLIENTS: usize = 60;
/// What each of them reads, in bytes.
const SHARE: u64 = 64 << 20;
/// What the server may take for all of them, in bytes: some buffers of one part for each.
const MOST_MEMORY: u64 = 512 << 20;

/// All rows. `noise` is a dense file of `bytes` bytes.
pub fn rows(lvpipe: &Path, runs: u32, material: &Material, noise: &Path, bytes: u64) -> Result<Vec<Row>> {
    let nginx = Nginx::start(material.directory())?;
    let mut rows = volume(lvpipe, runs, material, &nginx)?;
    rows.push(raw(lvpipe, runs, noise, bytes, &nginx)?);
    rows.push(memory(lvpipe, noise)?);
    Ok(rows)
}

/// The image from file to file.
fn volume(lvpipe: &Path, runs: u32, material: &Material, nginx: &Nginx) -> Result<Vec<Row>> {
    let image = material.image();
    let served = Served::start(lvpipe, image)?;
    let copies = ["pulled.img", "sent.img", "fetched.img"].map(|name| material.directory().join(name));
    let [pulled, sent, fetched] = &copies;
    let url = served.url(image)?;
    let pull = Pipeline::new(&[&lvpipe, &"pull", &"-q", &"--insecure", &"-n", &LINKS, &url, pulled]);
    let transfer = Transfer {
        lvpipe,
        sender: Host::Local,
        receiver: Host::Local,
        address: ADDRESS,
        key: None,
        options: ["-n", LINKS].map(String::from).to_vec(),
        source: image,
        target: sent,
    };
    let send = || Ok(Measured { time: transfer.run()?, ..Measured::default() });
    let dir = format!("--dir={}", material.directory().display());
    let aria2c = ["-x8", "-s8", "--quiet", "--file-allocation=none", "--allow-overwrite=true", "--out=fetched.img"];
    let mut words: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"aria2c", &dir];
    words.extend(aria2c.iter().map(|word| word as &dyn AsRef<std::ffi::OsStr>));
    let from_nginx = nginx.url(image)?;
    words.push(&from_nginx);
    let contenders = [
        Contender::new("serve, pull", pull, &[pulled]),
        Contender::measured_by("send -O", send, &[sent]),
        Contender::new("nginx, aria2c", Pipeline::new(&words), &[fetched]),
    ];
    let check = || copies.iter().try_for_each(|copy| same(image, copy));
    let [pull, send, aria2c]: [_; 3] = race(&contenders, runs, &|| material.warm(), &check)?
        .try_into()
        .map_err(|_| anyhow::anyhow!("as many outcomes as contenders"))?;
    let what = format!("`serve`, `pull -n {LINKS}` of the image over loopback");
    Ok(vec![
        Row::race(&what, &format!("`send -O -n {LINKS}`"), &[pull.clone(), send], 1.25),
        Row::race("the same", "nginx, `aria2c -x8`", &[pull, aria2c], 1.0),
    ])
}

/// A dense volume to curl.
fn raw(lvpipe: &Path, runs: u32, noise: &Path, bytes: u64, nginx: &Nginx) -> Result<Row> {
    let served = Served::start(lvpipe, noise)?;
    let curl = |url: String| Pipeline::new(&[&"curl", &"--silent", &"--fail", &"--output", &"/dev/null", &url]);
    let contenders = [
        Contender::new("serve, curl", curl(served.url(noise)?), &[]),
        Contender::new("nginx, curl", curl(nginx.url(noise)?), &[]),
    ];
    let outcomes = race(&contenders, runs, &|| material::warm(noise), &|| Ok(()))?;
    Ok(Row::rates("`serve`, the raw volume to `curl`", "nginx", &outcomes, bytes, 0.8))
}

/// Peak memory of the server when all clients have come.
fn memory(lvpipe: &Path, noise: &Path) -> Result<Row> {
    let served = Served::start(lvpipe, noise)?;
    let url = served.url(noise)?;
    let range = format!("0-{}", SHARE - 1);
    let start = |_| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--fail", "--output", "/dev/null", "--limit-rate", "16M", "--range", &range, &url]);
        curl.spawn().context("curl")
    };
    let clients: Vec<_> = (0..CLIENTS).map(start).collect::<Result<_>>()?;
    for mut client in clients {
        let status = client.wait()?;
        ensure!(status.success(), "curl: {status}");
    }
    let what = format!("peak memory of `serve`, {CLIENTS} clients at once");
    Ok(Row::memory(&what, served.running.peak()?, MOST_MEMORY))
}

/// The name under which a file is served.
fn name(file: &Path) -> Result<&str> {
    file.file_name().and_then(|name| name.to_str()).context("a file has a name")
}

/// lvpipe's server, until it is dropped.
struct Served {
    running: Running,
    root: String,
}

impl Served {
    fn start(lvpipe: &Path, volume: &Path) -> Result<Self> {
        let mut command = Command::new(lvpipe);
        let listen = format!("{ADDRESS}:0");
        let mut running = Running::start(command.args(["serve", "--insecure", "--listen", &listen]).arg(volume))?;
        let root = running.line_with("serving on ")?;
        let (_, root) = root.trim().split_once(": ").context("address and URL")?;
        Ok(Served { running, root: root.into() })
    }

    fn url(&self, volume: &Path) -> Result<String> {
        Ok(format!("{}{}", self.root, name(volume)?))
    }
}

/// nginx with a directory's files, until it is dropped.
struct Nginx {
    running: Running,
    _prefix: tempfile::TempDir,
    port: u16,
}

impl Nginx {
    fn start(files: &Path) -> Result<Self> {
        let prefix = tempfile::tempdir()?;
        let port = TcpListener::bind((ADDRESS, 0))?.local_addr()?.port();
        let files: PathBuf = files.canonicalize()?;
        // As its own documentation has it for large files; it may read what root may.
        let configuration = format!(
            "daemon off; user root; worker_processes auto; pid nginx.pid; error_log stderr;\n\
             events {{ }}\n\
             http {{ access_log off; sendfile on; sendfile_max_chunk 2m; tcp_nopush on;\n\
             server {{ listen {ADDRESS}:{port}; root \"{}\"; }} }}\n",
            files.display()
        );
        let path = prefix.path().join("nginx.conf");
        fs::write(&path, configuration)?;
        let running = Running::start(
            Command::new("nginx").arg("-p").arg(prefix.path()).args(["-e", "stderr", "-c"]).arg(&path),
        )?;
        let asked = Instant::now();
        while std::net::TcpStream::connect((ADDRESS, port)).is_err() {
            ensure!(asked.elapsed() < Duration::from_secs(5), "nginx does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Nginx { running, _prefix: prefix, port })
    }

    fn url(&self, file: &Path) -> Result<String> {
        Ok(format!("http://{ADDRESS}:{}/{}", self.port, name(file)?))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Has ended already where this fails.
        let _ = self.running.terminate();
    }
}
