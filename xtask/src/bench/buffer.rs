//! lvpipe in mbuffer's place against mbuffer: pipe to pipe, and pipe to TCP to file. The limit is told as well: the
//! same producer and consumer with nothing but a pipe of the largest size between them.
//!
//! What was tried, on two cores: moving pages (splice) takes a fifth less time and a third of the processor time, but
//! is not safe, see `lvpipe::buffer::ring`. Slots of 128 KiB or 1 MiB instead of 256 KiB, and no nap after crumbs, make
//! no difference beyond the noise: four threads on two cores are busy copying.

use std::net::TcpListener;
use std::path::Path;

use anyhow::{Result, ensure};

use super::figures::Row;
use super::race::{Contender, Outcome, race};
use crate::pipeline::Pipeline;

/// Options of the two rows from pipe to pipe: the defaults, and what backup scripts use.
const OPTIONS: [&[&str]; 2] = [&["-q"], &["-q", "-s", "128k", "-m", "1G"]];

/// All rows, `bytes` bytes through each contender; the file is made in `directory`.
pub fn rows(lvpipe: &Path, runs: u32, bytes: u64, directory: &Path) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for options in OPTIONS {
        let shown = options.join(" ");
        let outcomes = pipe_to_pipe(lvpipe, options, runs, bytes)?;
        rows.push(Row::race(&format!("`lvpipe {shown}`, pipe to pipe"), "`mbuffer`", &outcomes, 0.5));
        rows.push(Row::cpu("its processor time", "`mbuffer`", &outcomes, 1, 1.0));
        let against_limit = [outcomes[0].clone(), outcomes[2].clone()];
        rows.push(Row::limit("the same against the limit", "nothing between, widest pipe", &against_limit));
    }
    let outcomes = over_tcp(lvpipe, runs, bytes, directory)?;
    rows.push(Row::race("`lvpipe -O`, `lvpipe -I -o`: pipe to TCP to file", "`mbuffer`", &outcomes, 0.8));
    Ok(rows)
}

fn pipe_to_pipe(lvpipe: &Path, options: &[&str], runs: u32, bytes: u64) -> Result<Vec<Outcome>> {
    let count = bytes.to_string();
    let between = |program: &Path| {
        let mut words: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&program];
        words.extend(options.iter().map(|option| option as &dyn AsRef<std::ffi::OsStr>));
        Pipeline::new(&[&"head", &"-c", &count, &"/dev/zero"]).pipe(&words).pipe(&[&"cat"])
    };
    let nothing = Pipeline::new(&[&"head", &"-c", &count, &"/dev/zero"]).pipe(&[&"cat"]).widest_pipes();
    let contenders = [
        Contender::new("lvpipe", between(lvpipe), &[]),
        Contender::new("mbuffer", between(Path::new("mbuffer")), &[]),
        Contender::new("nothing between", nothing, &[]),
    ];
    race(&contenders, runs, &|| Ok(()), &|| Ok(()))
}

fn over_tcp(lvpipe: &Path, runs: u32, bytes: u64, directory: &Path) -> Result<Vec<Outcome>> {
    let files = ["lvpipe", "mbuffer"].map(|name| directory.join(format!("{name}.received")));
    let contender = |name: &str, program: &Path, file: &Path| -> Result<Contender> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let (program, shown) = (program.display(), file.display());
        // The sender tries again until the receiver listens; it reads nothing before it is connected.
        let script = format!(
            "'{program}' -q -v 0 -I {port} -f -o '{shown}' & \
             until head -c {bytes} /dev/zero | '{program}' -q -v 0 -O 127.0.0.1:{port}; do sleep 0.01; done; wait $!"
        );
        Ok(Contender::new(name, Pipeline::new(&[&"sh", &"-c", &script]), &[file]))
    };
    let contenders =
        [contender("lvpipe, TCP", lvpipe, &files[0])?, contender("mbuffer, TCP", Path::new("mbuffer"), &files[1])?];
    let check = || {
        for file in &files {
            let len = std::fs::metadata(file)?.len();
            ensure!(len == bytes, "{} has {len} bytes instead of {bytes}", file.display());
        }
        Ok(())
    };
    race(&contenders, runs, &|| Ok(()), &check)
}
