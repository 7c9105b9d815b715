//! From what the options have said to a plan with everything opened.
//!
//! In mbuffer's order: first the contradictions, then the buffer, the input, the outputs. The first thing that cannot
//! be done is the reason why there is no plan; an output that cannot be opened is one only if it was the last.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use super::super::inherited::Streams;
use super::{Setup, Target};
use crate::buffer::descriptor::Kind;
use crate::buffer::geometry::{Geometry, Wanted};
use crate::buffer::input::Input;
use crate::buffer::media::Changer;
use crate::buffer::memory::{Memory, Place};
use crate::buffer::output::{OpenMode, Output};
use crate::buffer::rate::{Rate, Slope};
use crate::buffer::ring::Watermarks;
use crate::buffer::run::Plan;
use crate::buffer::view::Unopened;
use crate::buffer::writer::Manner;
use crate::buffer::{Fatal, reason};

impl Setup {
    /// Opens what is left to open: the plan, or mbuffer's reason why there is none.
    pub fn plan(mut self, streams: Streams) -> Result<Plan, Fatal> {
        let geometry = self.geometry()?;
        self.say_adjusted(geometry);
        self.check(geometry)?;
        let memory = self.memory(geometry)?;
        let input = self.open_input(streams)?;
        let stdin_is_data = self.input_file.as_ref().is_none_or(|path| path.as_os_str() == "-");
        let files = self.targets.iter().any(|target| matches!(target, Target::File(..) | Target::Stdout));
        let (outputs, unopened) = self.open_outputs(&input, streams, files)?;
        let stdout_is_data = outputs.iter().any(|output| output.name() == "<stdout>");
        self.warn_of_nobody(files);
        let manner = self.manner(geometry, &outputs, stdin_is_data, stdout_is_data)?;
        self.check_input_block(&input, geometry);
        let (senders, hashers) = (outputs.len() - 1 + self.hashes.len(), self.hashes.len());
        self.log.info(&format!("{senders} senders, {hashers} hashers"));
        let watchdog = match self.watchdog.take() {
            Some((seconds, None)) => Some(self.start_watchdog(seconds)?),
            Some((_, watchdog)) => watchdog,
            None => None,
        };
        Ok(Plan {
            geometry,
            memory,
            input,
            outputs,
            unopened,
            read_rate: self.read_rate.map(|most| Rate { most, slope: self.slope(false) }),
            marks: self.marks(),
            volumes: self.volumes,
            changer: manner.changer.clone(),
            manner,
            hashes: self.hashes,
            show: self.show,
            watchdog,
        })
    }

    /// The buffer's shape, as far as it is asked for yet.
    pub(super) fn geometry(&self) -> Result<Geometry, Fatal> {
        let (typed, file) = (self.wanted, self.configured);
        if typed.total.is_some() {
            return Geometry::choose(typed, &self.machine);
        }
        let block = typed.block.or(file.block);
        let blocks = typed.blocks.or(file.blocks);
        // Three numbers from files would have to agree; where two say it all, the third is not needed.
        let total = file.total.filter(|_| block.is_none() || blocks.is_none());
        Geometry::choose(Wanted { block, blocks, total }, &self.machine)
    }

    /// What `-m` has made of the other two.
    fn say_adjusted(&self, geometry: Geometry) {
        let Some(wanted) = self.wanted.total else { return };
        let (block, blocks, total) = (binary(geometry.block), geometry.blocks, binary(geometry.total()));
        let (said, otherwise) = match (self.wanted.block, self.wanted.blocks) {
            (Some(_), Some(_)) => return,
            (Some(_), None) => (format!("adjusted number of blocks to {blocks}"), "adjusted totalmem to"),
            (None, Some(_)) => (format!("adjusting blocksize to {block}"), "adjusting total buffer memory to"),
            (None, None) => (
                format!("adjusted blocksize to {block}, number of blocks to {blocks}"),
                "overruling total memory to",
            ),
        };
        self.log.info(&said);
        if geometry.total() != wanted {
            self.log.info(&format!("{otherwise} {total}"));
        }
    }

    /// What contradicts itself.
    fn check(&self, geometry: Geometry) -> Result<(), Fatal> {
        let named = |target: &Target| matches!(target, Target::File(..));
        let input_file = self.input_file.as_ref().is_some_and(|path| path.as_os_str() != "-");
        let output_file = self.targets.iter().any(named);
        if self.least_rate.is_none() && self.start_writing.is_some() && self.start_reading.is_some() {
            return Err(Fatal::new("setting both low watermark and high watermark doesn't make any sense..."));
        }
        if self.autoload.is_there() && !input_file && !output_file {
            return Err(Fatal::new(
                "Setting autoloader time or command without using a device doesn't make any sense!",
            ));
        }
        if self.volumes != 1 && !input_file {
            return Err(Fatal::new(
                "multi-volume support for input needs an explicitly specified input device (option -i)",
            ));
        }
        if self.autoload.is_there() && input_file && output_file {
            return Err(Fatal::new(
                "Which one is your autoloader? Input or output? Replace input or output with a pipe.",
            ));
        }
        if let Some(size) = self.volume_size {
            // Only an output with a name has volumes: a pipe would end with the first.
            if !output_file {
                return Err(Fatal::new("Setting OutVolsize without an output device doesn't make sense!"));
            }
            if size < geometry.block {
                let block = geometry.block;
                return Err(Fatal::new(format!(
                    "If non-zero, OutVolsize must be at least as large as the buffer blocksize ({block})!"
                )));
            }
        }
        Ok(())
    }

    fn memory(&self, geometry: Geometry) -> Result<Memory, Fatal> {
        if geometry.blocks > 10_000 {
            let blocks = geometry.blocks;
            self.log.warning(&format!(
                "high value of number of blocks({blocks}): increase block size for better performance"
            ));
        }
        if self.place == Place::Anonymous && geometry.total() / self.machine.page > self.machine.free_pages / 2 {
            self.log.warning("allocating more than half of available memory");
        }
        let (blocks, total) = (geometry.blocks, binary(geometry.total()));
        self.log.info(&format!("{blocks} blocks with {}", binary(geometry.block)));
        self.log.info(&match self.place {
            Place::Anonymous => format!("allocating {total} as buffer"),
            _ => format!("mapping temporary file with {total} as buffer"),
        });
        let mut memory = Memory::new(&self.place, geometry.total(), &self.log)?;
        if self.lock {
            match memory.lock() {
                Ok(()) => self.log.info("memory locked successfully"),
                Err(_) => {
                    self.log.warning("could not change to uid 0 to lock memory (is mbuffer setuid root?)");
                }
            }
        }
        Ok(memory)
    }

    fn open_input(&mut self, streams: Streams) -> Result<Input, Fatal> {
        if let Some(input) = self.input.take() {
            return Ok(input);
        }
        match &self.input_file {
            Some(path) if path.as_os_str() != "-" => Input::open(path, self.direct, &self.log),
            _ => streams.stdin.map_or_else(Input::closed, |stdin| Ok(Input::stdin(stdin))),
        }
    }

    /// The outputs that could be opened; names of those that could not, with the reason. `files`: some are files.
    fn open_outputs(
        &mut self,
        input: &Input,
        streams: Streams,
        files: bool,
    ) -> Result<(Vec<Output>, Vec<Unopened>), Fatal> {
        if self.targets.is_empty() {
            self.targets.push(Target::Stdout);
        }
        // mbuffer's warning below is about these errors only if they are the first.
        let failed_before = self.log.failed();
        let mut outputs = Vec::new();
        let mut unopened = Vec::new();
        for target in self.targets.drain(..) {
            let (name, opened) = match target {
                Target::Connected(output) => (String::new(), Ok(output)),
                Target::Refused => continue,
                Target::Stdout => {
                    let closed = || io::Error::from_raw_os_error(libc::EBADF);
                    ("<stdout>".to_owned(), streams.stdout.map(Output::stdout).ok_or_else(closed))
                }
                Target::File(path, mode) => {
                    let mode = OpenMode { direct: self.direct, ..mode };
                    (path.display().to_string(), Output::open(&path, mode, input.as_fd(), &self.log))
                }
            };
            match opened {
                Ok(output) => outputs.push(output),
                Err(error) => {
                    let why = reason(&error);
                    self.log.error(&format!("unable to open output {name}: {why}"));
                    unopened.push(Unopened { name, why });
                }
            }
        }
        if !unopened.is_empty() && !failed_before {
            self.log.warning("unable to open all outputs");
        }
        match outputs.is_empty() {
            false => Ok((outputs, unopened)),
            true if self.hashes.is_empty() => Err(Fatal::new("no output left - nothing to do")),
            true => {
                self.warn_of_nobody(files);
                Err(Fatal::new("no output to send data to"))
            }
        }
    }

    fn manner(&self, geometry: Geometry, outputs: &[Output], stdin: bool, stdout: bool) -> Result<Manner, Fatal> {
        // The memory is mapped, so a block's size fits.
        let block = geometry.block as usize;
        let device = outputs.last().filter(|main| main.kind() == Kind::Device);
        if device.is_none() {
            self.log.info("no device on output stream");
        }
        if let Some(main) = device {
            let native = main.native_block();
            self.log.info(&format!("output device's native block-size is {native} bytes"));
            if !geometry.block.is_multiple_of(native) {
                self.log.warning(&format!("Block size is not a multiple of native output size ({native}B)."));
                if self.device_blocks {
                    return Err(Fatal::new("unable to set output blocksize"));
                }
            }
            if self.device_blocks {
                self.log.info(&format!("setting output blocksize to {native}"));
            }
        }
        Ok(Manner {
            rate: self.write_rate.map(|most| Rate { most, slope: self.slope(true) }),
            pause: self.pause,
            block,
            device_blocks: self.device_blocks,
            volume: self.volume_size.map(|size| size / geometry.block * geometry.block),
            watched: self.watchdog.is_some(),
            tape_aware: self.tape_aware,
            changer: Changer {
                autoload: self.autoload.clone(),
                stdin_is_data: stdin,
                stdout_is_data: stdout,
                ..Changer::default()
            },
        })
    }

    /// A volume that is full, or read, would have nobody to change it.
    fn warn_of_nobody(&self, files: bool) {
        if files && !self.autoload.is_there() && File::open("/dev/tty").is_err() {
            self.log.warning("No controlling terminal and no autoloader command specified.");
        }
    }

    fn check_input_block(&self, input: &Input, geometry: Geometry) {
        if input.kind() != Kind::Device {
            self.log.info("no device on input stream");
            return;
        }
        let native = input.native_block();
        self.log.info(&format!("input device's native block-size is {native} bytes"));
        if !geometry.block.is_multiple_of(native) {
            self.log.warning(&format!("Block size is not a multiple of native input size ({native}B)."));
        }
    }

    fn marks(&self) -> Watermarks {
        match self.least_rate {
            Some(_) if self.start_writing.is_some() && self.start_reading.is_some() => Watermarks::default(),
            _ => Watermarks { start_writing: self.start_writing, start_reading: self.start_reading },
        }
    }

    fn slope(&self, rising: bool) -> Option<Slope> {
        let least = self.least_rate?;
        let low = self.start_reading.unwrap_or(0.0);
        Some(Slope { least, low, high: self.start_writing.unwrap_or(100.0), rising })
    }
}

/// Bytes in the largest unit that leaves no rest.
fn binary(bytes: u64) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1 << 20) => format!("{}MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{}kiB", bytes >> 10),
        _ => format!("{bytes} iB"),
    }
}
