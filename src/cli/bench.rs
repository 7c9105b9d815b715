//! `lvpipe bench`: how fast a volume could be moved, and what would hold it up.

mod advice;
mod destination;
mod opened;
mod plan;
mod text;

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::links::LinkTimes;
use super::patience::Patience;
use super::shared::{Resources, SourceArgs, name_parser, print, random_id};
use super::ssh_links::SshLinks;
use crate::engine::spread::LinkCount;
use crate::engine::trial::Sample;
use crate::engine::{Compress, Work, Workshop};
use crate::error::{Error, Result};
use crate::link::Dial;
use crate::link::ssh::{Session, SshUrl};
use crate::measure::estimate::{Carried, Receiver, Way, estimate};
use crate::measure::far::Wanted;
use crate::measure::figures::{Far, FarFigures, Report, Target, Transfer, Volume, best_links};
use crate::measure::link::{Linking, measure};
use crate::measure::machine::Measuring;
use crate::measure::target;
use crate::migrate::Order;
use crate::progress::StepLine;
use crate::stop::Stop;
use crate::volume::Expected;
use crate::wire::{DigestKind, PartSize};
use destination::Destination;
use opened::Opened;
use plan::Plan;

/// The parts that links are measured with: small ones, so that a slow link has something to show.
const LINK_PART: u64 = 256 << 10;
/// What is estimated where no volume is named.
const SUCH_DATA: u64 = 1 << 40;
/// Links that are assumed where none is measured, in bytes a second of TCP's payload: 94 % of the line's bits, for
/// frames of 1538 bytes on the wire carry 1448.
const ASSUMED: [(&str, Option<f64>); 3] =
    [("1 Gbit/s", Some(117.5e6)), ("10 Gbit/s", Some(1175e6)), ("none", None)];

/// Measure how fast a volume could be moved, and what would hold it up
///
/// Everything is measured with what a transfer is made of: the source is read at places all over what is used of it,
/// its own data are compressed at each level that auto moves between, and the links carry a transfer to nowhere. From
/// that follow the time that the whole would take, what would be the bottleneck, and the command line to use. Nothing
/// that exists is written to: instead of a target, a scratch file in its directory or a temporary thin volume in its
/// pool is, and is removed again. What runs meanwhile on the machines and on the link counts, and is disturbed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lvpipe bench vg/vm1                                   the volume, and this machine's processors
  lvpipe bench vg/vm1 ssh://root@host                   the link too, and the processors there
  lvpipe bench vg/vm1 ssh://root@host/vg/vm1            and writing where the target would be
  lvpipe bench vg/vm1 /srv/vm1.img                      a copy on this machine
  lvpipe bench ssh://root@host                          without a volume: with generated data
  lvpipe bench --json vg/vm1 | jq '.estimates[].seconds'")]
pub struct Bench {
    /// What is to be moved: vg/lv, a device, or an image file [default: generated data, some 2:1]
    #[arg(value_parser = name_parser())]
    source: Option<OsString>,

    /// Where to: ssh://[USER@]HOST[:PORT], with /TARGET as for `lvpipe send` to measure writing there too; or a target
    /// on this machine. A thin pool stands for a new volume in it
    #[arg(value_parser = name_parser())]
    #[allow(rustdoc::broken_intra_doc_links, reason = "brackets in the help mean what they mean in any help")]
    destination: Option<OsString>,

    /// How long to measure, in all. Where a round trip takes a tenth of a second, or the link
    /// carries less than a megabyte a second, give it 30 or more
    #[arg(long, value_name = "TIME", default_value = "10")]
    time: Patience,

    /// Print a JSON object: all figures, rates in bytes a second, times in seconds
    #[arg(long)]
    json: bool,

    /// The digest of the transfer that is to come
    #[arg(long, value_name = "KIND", default_value_t)]
    digest: DigestKind,

    /// Its unit of transfer: a power of two from 64k to 64M
    #[arg(short = 's', long, value_name = "SIZE", default_value = "1M")]
    part_size: PartSize,

    #[command(flatten)]
    times: LinkTimes,

    #[command(flatten)]
    links: SshLinks,

    #[command(flatten)]
    source_args: SourceArgs,

    #[command(flatten)]
    resources: Resources,

    /// Say nothing but the report, and errors
    #[arg(short, long, help_heading = "Messages")]
    quiet: bool,
}

/// What is measured of the volume.
struct Measured {
    volume: Option<Volume>,
    source: Option<Transfer>,
    sample: Sample,
    data: &'static str,
}

impl Bench {
    pub(super) fn run(mut self, stop: &Stop) -> Result<()> {
        if self.destination.is_none() && self.source.as_deref().is_some_and(destination::is_far) {
            self.destination = self.source.take();
        }
        if let Some(source) = &self.source {
            opened::refuse_what_is_no_volume(source)?;
        }
        let destination = Destination::named(self.destination.as_deref())?;
        self.refuse_idle_options(&destination)?;
        let line = StepLine::new(self.quiet);
        let report = self.measure(&destination, &line, stop)?;
        drop(line);
        let text = match self.json {
            true => {
                serde_json::to_string(&report).map_err(|e| Error::io("cannot print", "stdout", &e.into()))? + "\n"
            }
            false => text::report(&report),
        };
        print(&text)
    }

    fn refuse_idle_options(&self, destination: &Destination) -> Result<()> {
        if matches!(destination, Destination::There { .. }) {
            return self.links.refuse_links_beside_none("cannot measure");
        }
        let (any, ssh) = (self.links.given(), self.links.given_for_ssh());
        match any.iter().chain(&ssh).find(|(_, given)| *given) {
            None => Ok(()),
            Some((option, _)) => Err(Error::usage("cannot measure", option, "there is no other machine")
                .way_out("name one: ssh://HOST, or ssh://HOST/TARGET")),
        }
    }

    fn measure(&self, destination: &Destination, line: &StepLine, stop: &Stop) -> Result<Report> {
        let workshop = self.resources.workshop(self.part_size, Work::CompressAdaptively)?;
        let measuring = Measuring { workshop: &workshop, digest: self.digest, stop };
        let plan = self.plan(destination);
        // First what may be refused, or ask for a password.
        let opened = self.open(line, stop)?;
        let expected = opened.as_ref().map_or(Expected::default(), Opened::expected);
        let scratch = match destination {
            Destination::Here(name) => Some(target::find(name, expected, stop)?),
            Destination::Nowhere | Destination::There { .. } => None,
        };
        let far = match destination {
            Destination::There { url, target, .. } => {
                Some(self.meet(url, target.as_deref(), expected, &plan, line, stop)?)
            }
            Destination::Nowhere | Destination::Here(_) => None,
        };
        let measured = self.read(opened, &measuring, &plan, line, stop)?;
        line.say("measuring this machine's processors");
        let here = measuring.processors(&measured.sample, plan.processors)?;
        let mut target: Option<Target> = None;
        if let Some(scratch) = scratch {
            line.say("writing where the target would be");
            let (found, notices) = target::measure(scratch, &measured.sample, self.part_size, plan.target, stop)?;
            self.tell(line, &notices);
            target = Some(found);
        }
        let Measured { volume, source, sample, data } = measured;
        // Its memory is the links' from here on.
        drop(sample);
        let (far, far_target) = match far {
            None => (None, None),
            Some((session, figures)) => {
                let (far, target) = self.link(session, figures, &plan, line, stop)?;
                (Some(far), target)
            }
        };
        let target = target.or(far_target);
        let used = volume.as_ref().map_or(SUCH_DATA, |volume| volume.used);
        let way = Way {
            source: source.as_ref(),
            here: &here,
            link: None,
            receiver: match (&far, destination) {
                (Some(far), _) => Receiver::There(&far.machine),
                (None, Destination::Here(_)) => Receiver::Here,
                (None, _) => Receiver::Unknown,
            },
            target: target.as_ref().and_then(|target| target.written.as_ref()),
        };
        let ways = ways(&way, far.as_ref(), destination);
        let estimates: Vec<_> = match used {
            // Whatever could be said would be said of nothing.
            0 => Vec::new(),
            _ => ways.iter().map(|(link, way)| estimate(way, used, *link)).collect(),
        };
        // The last one is the one with the widest link.
        let faster = ways.last().zip(estimates.last()).and_then(|((_, way), now)| advice::other_digest(way, now));
        let bottleneck = advice::bottleneck(&estimates, faster, far.as_ref());
        let options = advice::options(&estimates, faster, far.as_ref());
        let command = self.command(destination, target.as_ref(), options);
        Ok(Report { volume, data, source, here, target, far, estimates, bottleneck, command })
    }

    fn plan(&self, destination: &Destination) -> Plan {
        let (target, far, far_target) = match destination {
            Destination::Nowhere => (false, false, false),
            Destination::Here(_) => (true, false, false),
            Destination::There { target, .. } => (false, true, target.is_some()),
        };
        Plan::divide(self.time.0, plan::Wanted { source: self.source.is_some(), target, far, far_target })
    }

    /// Starts the far side, which measures itself.
    fn meet(
        &self,
        url: &SshUrl,
        target: Option<&str>,
        expected: Expected<'_>,
        plan: &Plan,
        line: &StepLine,
        stop: &Stop,
    ) -> Result<(Session, FarFigures)> {
        line.clear();
        let session = Session::start(url.clone(), self.links.options(&self.times, Vec::new(), false)?, stop)?;
        line.say(&format!("{url} measures itself"));
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let wanted = Wanted {
            target: target.map(Into::into),
            size: expected.size,
            used: expected.used,
            source: expected.source.map(Into::into),
            part_size: self.part_size.bytes() as u64,
            digest: self.digest.to_string(),
            processors_milliseconds: milliseconds(plan.far_processors),
            target_milliseconds: milliseconds(plan.far_target),
        };
        let figures: FarFigures = session.ask(&Order::Measure(wanted), stop)?;
        self.tell(line, &figures.notices);
        Ok((session, figures))
    }

    /// Opens the volume, if there is one.
    fn open(&self, line: &StepLine, stop: &Stop) -> Result<Option<Opened>> {
        let Some(name) = &self.source else { return Ok(None) };
        line.say("reading the map");
        let (opened, notices) = Opened::open(name, self.source_args.map_choice(), stop)?;
        self.tell(line, &notices);
        Ok(Some(opened))
    }

    /// Reads the volume, if there is one; else, and where there is nothing on it, generates data.
    fn read(
        &self,
        opened: Option<Opened>,
        measuring: &Measuring<'_>,
        plan: &Plan,
        line: &StepLine,
        stop: &Stop,
    ) -> Result<Measured> {
        let generated = |volume| {
            let sample = measuring.generated()?;
            Ok(Measured { volume, source: None, sample, data: "generated" })
        };
        let Some(opened) = opened else { return generated(None) };
        stop.check()?;
        line.say("reading the source");
        let volume = opened.volume.clone();
        let (moved, sample, notice) = opened.read(measuring, plan.source)?;
        self.tell(line, notice.as_slice());
        match moved {
            Some(_) => Ok(Measured { volume: Some(volume), source: moved, sample, data: "volume" }),
            None => generated(Some(volume)),
        }
    }

    /// Measures the way to the far side, which has measured itself.
    fn link(
        &self,
        session: Session,
        figures: FarFigures,
        plan: &Plan,
        line: &StepLine,
        stop: &Stop,
    ) -> Result<(Far, Option<Target>)> {
        line.say(&format!("sending to {}", session.name()));
        let round_trip = session.round_trip(stop);
        let part_size = PartSize::new(LINK_PART).unwrap_or(self.part_size);
        let linking = Linking {
            // Where nobody gets through beside ssh, no link will.
            count: round_trip.map_or(LinkCount::Fixed(0), |_| self.links.count(true)),
            time: plan.link,
            workshop: self.workshop_for_links(part_size)?,
            transfer: random_id("cannot measure link")?,
            stall: self.times.stall_timeout(),
            stop: stop.clone(),
        };
        session.begin_transfer(&Order::Swallow, stop)?;
        let (host, session) = (session.name(), Arc::new(session));
        let links = measure(session as Arc<dyn Dial>, linking)?;
        let FarFigures { machine, target, .. } = figures;
        Ok((Far { host, machine, round_trip: round_trip.map(|time| time.as_secs_f64()), links }, target))
    }

    fn workshop_for_links(&self, part_size: PartSize) -> Result<Workshop> {
        self.resources.workshop(part_size, Compress::None.work())
    }

    /// What is to be typed.
    fn command(&self, destination: &Destination, target: Option<&Target>, options: Vec<String>) -> String {
        let source =
            self.source.as_deref().map_or("SOURCE".to_string(), |name| name.to_string_lossy().into_owned());
        let new = destination.to_be_made(target.and_then(|target| target.pool.as_deref()), &source);
        let mut words = vec!["lvpipe".to_string(), "send".into(), source];
        if self.digest != DigestKind::default() {
            words.extend(["--digest".into(), self.digest.to_string()]);
        }
        if self.part_size != PartSize::default() {
            words.extend(["-s".into(), format!("{}k", self.part_size.bytes() >> 10)]);
        }
        words.extend(options);
        let create = new.is_some().then(|| "--create".to_string());
        match destination {
            Destination::Nowhere => words.push("ssh://HOST/TARGET".into()),
            Destination::Here(target) => {
                let target = new.unwrap_or_else(|| target.to_string_lossy().into_owned());
                let receiver = ["lvpipe".into(), "recv".into()].into_iter().chain(create).chain([target]);
                return format!("{} | {}", quoted(&words), quoted(&Vec::from_iter(receiver)));
            }
            Destination::There { url, target, text } => {
                words.extend(self.links.words());
                words.extend(create);
                words.push(match (new, target) {
                    (Some(new), _) => format!("ssh://{url}/{new}"),
                    (None, Some(_)) => text.clone(),
                    (None, None) => format!("ssh://{url}/TARGET"),
                });
            }
        }
        quoted(&words)
    }

    fn tell(&self, line: &StepLine, notices: &[String]) {
        if !self.quiet {
            notices.iter().for_each(|notice| line.println(&format!("lvpipe: {notice}")));
        }
    }
}

/// For a shell.
fn quoted(words: &[String]) -> String {
    shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "))
}

/// The links that are estimated, in words, and the way over each: one where the way is known, else some.
fn ways<'a>(way: &Way<'a>, far: Option<&Far>, destination: &Destination) -> Vec<(&'static str, Way<'a>)> {
    if let Some(far) = far {
        let link = best_links(&far.links).map(Carried::from);
        return vec![("measured", Way { link, ..*way })];
    }
    if let Destination::Here(_) = destination {
        return vec![("none", *way)];
    }
    let assumed = |rate| Carried { rate, processor_seconds_a_byte: 0.0 };
    ASSUMED.map(|(name, rate)| (name, Way { link: rate.map(assumed), ..*way })).into()
}
