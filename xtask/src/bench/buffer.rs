//! lvpipe in mbuffer's place against mbuffer: pipe to pipe, and pipe to TCP to file. The limit is told as well: the
//! same producer and consumer with nothing but a pipe of the largest size between them.
//!
//! The limit is out of reach by construction: there each byte is copied twice, here up to four times, and both cores
//! are busy. So what counts is the processor time of the whole pipeline, the neighbours' included, and what was tried
//! is judged by that, on two cores, 4 GiB of zeros in writes of 4 KiB:
//!
//! - Moving pages through the buffer (splice): a fifth less time, a third of the processor time. Not safe, see
//!   `lvpipe::buffer::ring`.
//! - Copying from a pipe of our own (tee(2), then splice(2) to take the pages out): the producer no longer spins on its
//!   pipe's lock, its processor time falls by a tenth to a third; what the two calls take themselves eats most of it
//!   up. Dropped: tee and splice are two steps, and where several processes read one pipe, bytes came twice or were
//!   lost. One read(2) gives each byte to exactly one reader.
//! - Giving huge pages to the output's pipe for good instead of copying into it: the consumer takes a third of the
//!   time, as it frees no pages, and lvpipe a fifth less. Kept. The fresh pages must not be made by the reader's
//!   system call: it clears them under the lock of the producer's pipe, which then takes half as long again.
//! - One thread that reads and writes through 256 KiB, copying: a twentieth less time than two threads that copy, but
//!   a tenth more processor time in the pipeline, most of it the producer's on its lock. Left out.
//! - Pipes of 256 or 512 KiB: up to twice the time, all of it switching. Larger than the system's limit: not granted.
//! - Slots of 128 KiB or 1 MiB instead of 256 KiB, naps of 50 or 150 us: no difference beyond the noise.
//! - Reads of at most 64, 128 or 256 KiB, no nap, a nap of 200 us, naps after larger crumbs: from 0.58 to 0.71 of
//!   mbuffer's time as medians of four, where reads without a limit had 0.60: no difference beyond the noise.
//! - Each thread tied to its neighbour's core: an eighth less time, but only where the neighbours are tied as well.

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
