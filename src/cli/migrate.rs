//! `lvpipe migrate`: a volume that is in use to another host, with a moment's pause.

mod dry_run;
mod report;

use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;

use super::links::LinkTimes;
use super::patience::Patience;
use super::shared::{Messages, Resources, name_parser};
use super::ssh_links::SshLinks;
use crate::byte_size::ByteSize;
use crate::engine::{Compress, Rate};
use crate::error::{Error, Result};
use crate::link::ssh::{Session, SshUrl};
use crate::migrate::plan::Plan;
use crate::migrate::{About, Audience, Carrying, Course, Pause, Places};
use crate::progress::{Console, Figures, ProgressKind};
use crate::stop::Stop;
use crate::volume::{NewVolume, Rounds};
use crate::wire::{DigestKind, PartSize};

/// Move a volume that is in use to another host, with a moment's pause
///
/// The source, a thin LV, is copied while it is in use: all of it, and then round after round what has been written
/// meanwhile, until that would take less than --downtime. Then its user is paused, the rest is brought over and
/// verified, and the far side goes on. Until then a failure, a signal or a lost connection leaves the source as if
/// nothing had been, and nothing on the far side.
///
/// The commands are for sh(1), and have LVPIPE_SOURCE, LVPIPE_TARGET and LVPIPE_HOST in their environment. The source
/// stays, as it was when it was paused: nobody may use it again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lvpipe migrate vg/vm1 ssh://host/vg/vm1 --pause ./pause --unpause ./unpause --done ./start
  lvpipe migrate vg/vm1 ssh://host/vg/pool:vm1 --create --pause 'virsh suspend vm1'
  lvpipe migrate vg/vm1 ssh://host//srv/vm1.img --pause ./pause --downtime 0.5 --max-downtime 5
  lvpipe migrate vg/vm1 ssh://host/vg/vm1 --pause ./pause --dry-run      see what would be done")]
pub struct Migrate {
    /// The thin LV to move: vg/lv
    #[arg(value_parser = name_parser())]
    source: OsString,

    /// Where to: ssh://[USER@]HOST[:PORT]/TARGET, a volume or with a second slash a file there, which is made
    #[arg(value_name = "ssh://HOST/TARGET")]
    #[allow(rustdoc::broken_intra_doc_links, reason = "brackets in the help mean what they mean in any help")]
    target: OsString,

    /// With ssh://HOST/VG/POOL:NAME, make the thin volume there
    #[arg(long)]
    create: bool,

    /// What makes the source's user stand still, here: from its end on nobody writes. If somebody is seen to do so before
    /// the far side takes over, it is not switched
    #[arg(long, value_name = "COMMAND", help_heading = "Commands")]
    pause: String,

    /// What lets the source's user go on, here, when the migration fails after the pause command has begun. Without it
    /// the source stays paused then
    #[arg(long, value_name = "COMMAND", help_heading = "Commands")]
    unpause: Option<String>,

    /// What uses the volume on the far side, there, when it has all of it. If it fails, what it has started is ended and
    /// the source goes on
    #[arg(long, value_name = "COMMAND", help_heading = "Commands")]
    done: Option<String>,

    /// What is to be done when the far side has taken over, here. If it fails, the far side has taken over all the same
    #[arg(long, value_name = "COMMAND", help_heading = "Commands")]
    resume: Option<String>,

    /// Pause when what is left would take no longer than this, besides what the commands take
    #[arg(long, value_name = "TIME", default_value = "1", help_heading = "Downtime")]
    downtime: Patience,

    /// Where the source is written so fast that it cannot be brought down to --downtime, pause for no longer than this;
    /// else give up, with the source as if nothing had been. If the last of it is not on the far side so long after the
    /// pause has begun, the source goes on too [default: however long]
    #[arg(long, value_name = "TIME", help_heading = "Downtime")]
    max_downtime: Option<Patience>,

    /// Look at both sides and say what would be done. Nothing is written, and no command is run
    #[arg(long)]
    dry_run: bool,

    /// Compression: auto (by what the links and the processors have left), none, zstd or zstd:LEVEL (-7 to 19)
    #[arg(long, value_name = "KIND", default_value = "auto")]
    compress: Compress,

    /// The digest of each part and of the whole
    #[arg(long, value_name = "KIND", default_value_t)]
    digest: DigestKind,

    /// The unit of transfer: a power of two from 64k to 64M
    #[arg(short = 's', long, value_name = "SIZE", default_value = "1M")]
    part_size: PartSize,

    /// Send at most so many bytes a second, as in 50M; in the pause, as fast as it goes
    #[arg(short, long, value_name = "RATE", allow_negative_numbers = true)]
    rate: Option<ByteSize>,

    #[command(flatten)]
    ssh: SshLinks,

    #[command(flatten)]
    times: LinkTimes,

    #[command(flatten)]
    resources: Resources,

    #[command(flatten)]
    messages: Messages,
}

impl Migrate {
    pub(super) fn run(self, stop: &Stop) -> Result<()> {
        let url = self.url()?;
        let target = self.name_there(&url)?;
        self.ssh.refuse_links_beside_none("cannot migrate")?;
        let workshop = self.resources.workshop(self.part_size, self.compress.work())?;
        let teller = Teller { messages: &self.messages, console: Arc::default() };
        let (rounds, notices) = Rounds::open(&self.source, stop)?;
        notices.iter().for_each(|notice| teller.notice(notice));
        let about = About { source: rounds.name(), target, host: url.host.clone() };
        let places = self.places(&url, about.clone());
        if places.pause.undo.is_none() && !self.dry_run {
            let source = rounds.name();
            teller.notice(&format!("without --unpause, {source} stays paused if the last of it fails"));
        }
        let session = Session::start(url.clone(), self.ssh.options(&self.times, Vec::new(), false)?, stop)?;
        if self.dry_run {
            return self.only_look(&rounds, &places, &session, stop);
        }
        let carrying = Carrying {
            links: self.ssh.count(true),
            retry_for: self.times.retry_for(),
            stall: self.times.stall_timeout(),
            part_size: self.part_size,
            digest: self.digest,
            compress: self.compress,
            workshop,
            rate: self.rate.map(|ByteSize(bytes)| Arc::new(Rate::new(bytes))),
        };
        let audience = Audience {
            show: &|figures| teller.show(figures),
            round: &|round| teller.tell(&report::round(round), || report::round_as_json(round)),
            notice: teller.for_threads(),
        };
        let plan = Plan::new(self.downtime.0, self.max_downtime.map(|most| most.0));
        let course =
            Course { rounds, session: Arc::new(session), places, carrying, plan, audience, rounds_done: 0 };
        match course.run(stop) {
            Ok(downtime) => {
                let About { source, target, host } = &about;
                let there = report::There { source, target, host, digest: self.digest };
                teller.tell(&there.summary(&downtime), || report::end_as_json(Some(&downtime)));
                Ok(())
            }
            Err(error) => {
                teller.tell("", || report::end_as_json(None));
                Err(error)
            }
        }
    }

    fn url(&self) -> Result<SshUrl> {
        let target = self.target.to_string_lossy();
        let wrong = |why: String| Error::usage("cannot migrate to", &target, why);
        let url: SshUrl = target.parse().map_err(wrong)?;
        if url.target == "-" {
            return Err(
                wrong("a pipe cannot take what is written a second time".into()).way_out("name a volume or a file")
            );
        }
        Ok(url)
    }

    /// What the target is called when it is there.
    fn name_there(&self, url: &SshUrl) -> Result<String> {
        if !self.create {
            return Ok(url.target.clone());
        }
        let wrong = |why: String| Error::usage("cannot create target", &url.target, why);
        let new: NewVolume = url.target.parse().map_err(wrong)?;
        Ok(format!("{}/{}", new.vg(), new.name()))
    }

    fn places(&self, url: &SshUrl, about: About) -> Places {
        Places {
            target: url.target.clone(),
            create: self.create,
            pause: Pause { command: self.pause.clone(), undo: self.unpause.clone(), about },
            done: self.done.clone(),
            resume: self.resume.clone(),
        }
    }
}

/// Prints lines, without tearing the bar of the round that is under way.
struct Teller<'a> {
    messages: &'a Messages,
    console: Arc<Mutex<Option<Console>>>,
}

impl Teller<'_> {
    fn show(&self, figures: Arc<Figures>) -> crate::progress::Reporter {
        let reporter = self.messages.report(figures);
        *self.console.lock().unwrap_or_else(PoisonError::into_inner) = Some(reporter.console());
        reporter
    }

    /// For people, or for programs if that is what is asked for.
    fn tell(&self, text: &str, json: impl FnOnce() -> String) {
        match self.messages.progress {
            _ if self.messages.quiet => {}
            ProgressKind::Json => print(&self.console, &json()),
            _ if text.is_empty() => {}
            _ => print(&self.console, text),
        }
    }

    fn notice(&self, text: &str) {
        (self.for_threads())(text);
    }

    /// Says each thing once: a port that is closed is closed in every round.
    fn for_threads(&self) -> Arc<dyn Fn(&str) + Send + Sync> {
        let (console, quiet, said) = (self.console.clone(), self.messages.quiet, Mutex::new(Vec::new()));
        Arc::new(move |text| {
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            if !quiet && !said.iter().any(|earlier| earlier == text) {
                said.push(text.to_string());
                print(&console, &format!("lvpipe: {text}"));
            }
        })
    }
}

fn print(console: &Mutex<Option<Console>>, line: &str) {
    match &*console.lock().unwrap_or_else(PoisonError::into_inner) {
        Some(console) => console.println(line),
        // Standard error may be closed.
        None => _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes()),
    }
}
