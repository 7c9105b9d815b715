//! The lab's machine: a qemu process, its disks, its console. Killed when dropped.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result};

use super::console::Line;
use super::contents::{DISK_BYTES, DISKS, MEMORY_MIB};

/// What a machine is made of.
pub struct Parts<'a> {
    pub kernel: &'a Path,
    /// The archives of the initramfs, in the order in which they are unpacked.
    pub archives: &'a [PathBuf],
    /// Where the initramfs and the disks are put.
    pub directory: &'a Path,
}

impl Parts<'_> {
    fn qemu(&self) -> Result<Command> {
        let initramfs = self.directory.join("initramfs.cpio");
        let mut joined = File::create(&initramfs)?;
        for archive in self.archives {
            std::io::copy(&mut File::open(archive)?, &mut joined)?;
        }
        let mut qemu = Command::new("qemu-system-x86_64");
        // In software, always: it boots in 3 s, is the same everywhere, and a nested /dev/kvm that opens may yet hang.
        qemu.args(["-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"])
            .args(["-m", &MEMORY_MIB.to_string()])
            .args(["-display", "none", "-nodefaults", "-no-user-config", "-no-reboot"])
            .arg("-kernel")
            .arg(self.kernel)
            .arg("-initrd")
            .arg(&initramfs)
            // Only a panic may print into the scenarios' output; the rest stays in the kernel's log.
            .args(["-append", "console=ttyS0 panic=-1 quiet loglevel=1"]);
        for number in 0..DISKS {
            let disk = self.directory.join(format!("disk{number}.raw"));
            // Made anew, and sparse.
            if disk.exists() {
                fs::remove_file(&disk)?;
            }
            File::create(&disk)?.set_len(DISK_BYTES)?;
            qemu.arg("-drive").arg(format!(
                "if=virtio,format=raw,cache=unsafe,discard=unmap,detect-zeroes=off,file={}",
                disk.display()
            ));
        }
        Ok(qemu)
    }

    /// Boots it with the console on this terminal, until it is powered off. Ctrl-A X ends it.
    pub fn boot_on_terminal(&self) -> Result<ExitStatus> {
        self.qemu()?.args(["-serial", "mon:stdio"]).status().context("cannot run qemu-system-x86_64")
    }

    /// Boots it with the console in our hands, and in the file `log`.
    pub fn boot(&self, log: &Path) -> Result<Machine> {
        let mut log = File::create(log)?;
        let mut process = self
            .qemu()?
            .args(["-serial", "stdio"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run qemu-system-x86_64")?;
        let mut console = BufReader::new(process.stdout.take().context("its stdout is a pipe")?);
        let (to, lines) = channel();
        // Ends with the machine, whose end of the pipe is then closed.
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            while matches!(console.read_until(b'\n', &mut bytes), Ok(1..)) {
                let _ = log.write_all(&bytes);
                if to.send(Line::parse(&bytes)).is_err() {
                    return;
                }
                bytes.clear();
            }
        });
        Ok(Machine { process, lines })
    }
}

/// A machine that runs.
pub struct Machine {
    process: Child,
    lines: Receiver<Line>,
}

/// Why there is no further line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// Nothing came in the time given.
    TimeOut,
    /// The machine is off.
    Off,
}

impl Machine {
    /// The next line of the console, waited for as long as `time`.
    pub fn line(&self, time: Duration) -> std::result::Result<Line, Silence> {
        self.lines.recv_timeout(time).map_err(|why| match why {
            RecvTimeoutError::Timeout => Silence::TimeOut,
            RecvTimeoutError::Disconnected => Silence::Off,
        })
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may be off already; then there is nothing to do but to collect its status.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
