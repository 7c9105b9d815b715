//! Pages that are lent, by producers to the pipe instead of copying into it, or to consumers: what was read is what
//! goes out, whatever either does with those pages afterwards.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, SpliceFFlags, fcntl, splice};

use crate::pair::{BOTH, Place, Program, bytes, code, wait};

/// Bytes that wait in a pipe.
fn waiting(pipe: &impl AsRawFd) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: FIONREAD stores an int at the address it is given.
    let done = unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
    assert_eq!(done, 0, "FIONREAD");
    usize::try_from(bytes).expect("not negative")
}

#[test]
fn a_file_that_changes_after_it_was_read_goes_out_as_it_was() {
    let before = bytes(6 << 20);
    for program in BOTH {
        for line in ["-q -s 64k -m 16M", "-q -s 1M -m 16M"] {
            let place = Place::new();
            place.write("in", &before);
            let file = OpenOptions::new().read(true).write(true).open(place.path("in")).expect("a file");
            let args: Vec<&str> = line.split_whitespace().collect();
            let mut command = place.command(program, &args);
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
            let pipe = child.stdin.take().expect("a pipe");
            let mut offset = 0;
            while offset < before.len() as i64 {
                let rest = before.len() - offset as usize;
                let flags = SpliceFFlags::empty();
                let moved = splice(&file, Some(&mut offset), pipe.as_fd(), None, rest, flags).expect("moved");
                assert!(moved > 0, "the file is shorter than it was");
            }
            let start = Instant::now();
            while waiting(&pipe) > 0 {
                assert!(start.elapsed() < Duration::from_secs(20), "{program:?} {line}: it does not read");
                thread::sleep(Duration::from_millis(2));
            }
            file.write_all_at(&vec![b'!'; before.len()], 0).expect("written");
            drop(pipe);
            let mut out = Vec::new();
            child.stdout.take().expect("a pipe").read_to_end(&mut out).expect("data");
            assert_eq!(code(wait(&mut child, line)), 0);
            let changed = out.iter().filter(|byte| **byte == b'!').count();
            assert!(out == before, "{program:?} {line}: {} bytes, {changed} of them '!'", out.len());
        }
    }
}

#[test]
fn a_consumer_that_keeps_the_pages_keeps_what_was_in_them() {
    const KEPT: usize = 512 << 10;
    let sent = bytes(96 << 20);
    for line in ["-q -s 128k -m 64M", "-q -s 2M -m 64M", "-q -s 128k -m 64M -L", "-q"] {
        let place = Place::new();
        place.write("in", &sent);
        let args: Vec<&str> = line.split_whitespace().collect();
        let mut command = place.command(Program::Lvpipe, &args);
        let input = File::open(place.path("in")).expect("a file");
        let mut child = command.stdin(input).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut output = child.stdout.take().expect("a pipe");
        // The pages move on to a pipe that nobody reads until all the buffer was used anew.
        let (mut kept, keeper) = std::io::pipe().expect("a pipe");
        fcntl(&keeper, FcntlArg::F_SETPIPE_SZ(1 << 20)).expect("room for them");
        let mut moved = 0;
        while moved < KEPT {
            let flags = SpliceFFlags::empty();
            let more = splice(&output, None, &keeper, None, KEPT - moved, flags).expect("moved");
            assert!(more > 0, "{line}: the output ended");
            moved += more;
        }
        drop(keeper);
        let (mut out, mut rest) = (Vec::new(), Vec::new());
        output.read_to_end(&mut rest).expect("data");
        assert_eq!(code(wait(&mut child, line)), 0);
        kept.read_to_end(&mut out).expect("data");
        assert_eq!(out.len(), KEPT);
        out.append(&mut rest);
        assert!(out == sent, "{line}: {} bytes came, not all as they were sent", out.len());
    }
}
