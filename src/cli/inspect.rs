//! `lvpipe inspect`: what a saved stream holds, and whether it is whole; which state of a volume a target holds.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use clap::Args;

use super::recv::read_prelude;
use super::shared::{Messages, Resources, name_parser, print};
use crate::byte_size::ByteSize;
use crate::engine::Work;
use crate::engine::recv::{Receiving, recv};
use crate::engine::walk::{Walked, walk};
use crate::error::{Error, Result};
use crate::progress::{Figures, Outcome, Role};
use crate::stop::Stop;
use crate::volume::{NullTarget, Standing, held_state, open_to_read, stdin_stream};
use crate::wire::{DigestKind, Lineage, Prelude};

/// Show what a stream holds, and whether it is whole; or which state of its source a target holds
///
/// Without --verify only the frames' headers are read: it tells whether the stream is complete. With --verify all
/// contents are decompressed and compared with their digests, as recv does, without writing anything.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lvpipe inspect vm1.lvp                                what it is, and whether its end is there
  lvpipe inspect --verify vm1.lvp                       whether every byte of it is what was sent
  lvpipe inspect vg/vm1                                 which snapshot it holds
  ssh host cat vm1.lvp | lvpipe inspect --json -")]
pub struct Inspect {
    /// The stream: a file, or - for standard input. Or a target: vg/lv or a file that lvpipe recv has written
    #[arg(value_parser = name_parser())]
    stream: OsString,

    /// Check the contents against their digests
    #[arg(long)]
    verify: bool,

    /// Print a JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    resources: Resources,

    #[command(flatten)]
    messages: Messages,
}

/// What is told of a stream.
#[derive(Debug, serde::Serialize)]
struct Report {
    transfer: String,
    lineage: Lineage,
    /// Bytes of the volume.
    size: u64,
    /// Bytes in the source's used map.
    used: Option<u64>,
    part_size: usize,
    digest: String,
    parts: u64,
    /// It goes on with an earlier transfer: some parts may be there by their digest only.
    resumes: bool,
    /// Bytes of data in the parts.
    data: u64,
    /// Bytes of the stream after its prelude.
    stream: u64,
    holes: u64,
    /// Of a delta, bytes that are as in the base.
    kept: u64,
    root: Option<String>,
    verified: bool,
    /// Bytes follow the stream's end.
    trailing: bool,
}

impl Inspect {
    pub(super) fn run(self, stop: &Stop) -> Result<()> {
        if let Some(standing) = held_state(&self.stream)? {
            return print(&self.target(&standing)?);
        }
        let shown = self.stream.to_string_lossy();
        let (stream, name) = match &*shown {
            "-" => (stdin_stream()?, "stdin"),
            name => {
                let file = open_to_read(Path::new(&self.stream), stop)?;
                (file.map_err(|e| Error::io("cannot open stream", name, &e))?, name)
            }
        };
        let prelude = read_prelude(&stream, name, stop)?;
        let report = if self.verify {
            self.verify(stream, name, prelude, stop)?
        } else {
            let walked = walk(stream, &prelude, name, stop)?;
            let Walked { received, kept, bytes, trailing } = walked;
            let report = report(&prelude, received);
            Report { stream: bytes, trailing, kept, holes: report.holes - kept, ..report }
        };
        let text = match self.json {
            true => {
                serde_json::to_string(&report).map_err(|e| Error::io("cannot print", "stdout", &e.into()))? + "\n"
            }
            false => report.text(),
        };
        print(&text)
    }

    /// What a target holds.
    fn target(&self, standing: &Standing) -> Result<String> {
        if self.verify {
            let why = "it is a target: there is nothing to compare it with";
            return Err(Error::usage("cannot verify", self.stream.display(), why));
        }
        let (state, base, mark) = match standing {
            Standing::At { state, mark } => (state, None, Some(mark.to_string())),
            Standing::Between { base, state, .. } => (state, Some(base.to_string()), None),
        };
        if self.json {
            let object = serde_json::json!({ "state": state.to_string(), "base": base, "mark": mark });
            return Ok(object.to_string() + "\n");
        }
        Ok(match base {
            None => format!("holds    {state}\n"),
            Some(base) => format!("holds    a part of {state}, the rest of {base}: a delta to it broke off\n"),
        })
    }

    fn verify(&self, stream: File, name: &str, prelude: Prelude, stop: &Stop) -> Result<Report> {
        if prelude.resumes {
            let why =
                "it goes on with an earlier transfer: of what the target holds already it has the digests only";
            return Err(Error::guard("cannot verify", name, why)
                .way_out("lvpipe recv --resume compares all of it with the target"));
        }
        let figures = Figures::new(Role::Recv);
        figures.set_volume(prelude.volume_size);
        figures.set_used(prelude.used);
        let receiving = Receiving {
            workshop: self.resources.workshop(prelude.part_size, Work::Decompress)?,
            prelude: prelude.clone(),
            stream: name.into(),
            record: None,
            holds: None,
            figures: figures.clone(),
            stop: stop.clone(),
        };
        let after = stream.try_clone().map_err(|e| Error::io("cannot open stream", name, &e))?;
        let reporter = self.messages.report(figures.clone());
        let target = Arc::new(NullTarget::default());
        let received = match recv(stream, target.clone(), receiving) {
            Ok(received) => received,
            Err(error) => {
                reporter.finish(Outcome::Failed);
                return Err(error);
            }
        };
        // Its summary would speak of a target; the report says it all.
        drop(reporter);
        let trailing = io::Read::read(&mut &after, &mut [0]).is_ok_and(|length| length > 0);
        let stream = figures.snapshot().wire;
        let report = report(&prelude, received);
        // The totals count what is kept among the holes; the target was told of holes alone.
        let holes = if prelude.is_delta() { target.holes() } else { report.holes };
        let (kept, verified) = (report.holes - holes, prelude.digest != DigestKind::None);
        Ok(Report { stream, verified, trailing, kept, holes, ..report })
    }
}

fn report(prelude: &Prelude, received: crate::engine::Received) -> Report {
    let crate::engine::Received { end, size } = received;
    Report {
        transfer: prelude.transfer.iter().map(|byte| format!("{byte:02x}")).collect(),
        lineage: prelude.lineage.clone(),
        size,
        used: prelude.used,
        part_size: prelude.part_size.bytes(),
        digest: prelude.digest.to_string(),
        parts: end.parts,
        resumes: prelude.resumes,
        data: end.data,
        stream: 0,
        holes: end.holes,
        kept: 0,
        root: (prelude.digest != DigestKind::None).then(|| end.root.to_string()),
        verified: false,
        trailing: false,
    }
}

impl Report {
    fn text(&self) -> String {
        let lineage = &self.lineage;
        let or_unknown = |text: &Option<String>| text.as_deref().map_or_else(|| "unknown".into(), printable);
        let size = |bytes: u64| format!("{} ({bytes} bytes)", ByteSize(bytes));
        let mut rows = vec![
            ("source", format!("{} on {}", or_unknown(&lineage.source), or_unknown(&lineage.host))),
            ("sent", lineage.time.map_or_else(|| "unknown".into(), utc)),
            ("volume", size(self.size)),
            ("data", format!("{} in {} parts of {}", size(self.data), self.parts, ByteSize(self.part_size as u64))),
            ("stream", size(self.stream)),
            ("holes", size(self.holes)),
            ("digest", self.root.as_ref().map_or_else(|| "none".into(), |root| format!("{} {root}", self.digest))),
        ];
        if let Some(uuid) = &lineage.uuid {
            rows.insert(1, ("uuid", printable(uuid)));
        }
        if let Some(base) = &lineage.base {
            rows.push(("delta", format!("since {}", printable(base))));
            rows.push(("kept", size(self.kept)));
        }
        if let Some(state) = &lineage.state {
            rows.push(("state", printable(state)));
        }
        if self.resumes {
            rows.push(("resumes", "an earlier transfer, to a target that holds a part of it".into()));
        }
        rows.push(("whole", if self.verified { "yes, verified" } else { "yes, contents not verified" }.into()));
        if self.trailing {
            rows.push(("but", "other bytes follow the end of the stream".into()));
        }
        rows.into_iter().map(|(name, value)| format!("{name:<8} {value}\n")).collect()
    }
}

/// Seconds since 1970 as people write a moment.
fn utc(seconds: u64) -> String {
    let moment = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    moment.map_or_else(|| "unknown".into(), |moment| moment.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// Text from a stream, which may come from anybody, without what would move the cursor or forge a line.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}
