//! Sending: source to link. Puts the stages together and waits for them.

use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use super::adapt::{Adapt, Compress};
use super::crew::{Blocks, Crew, panicked};
use super::encode::{Encoding, Level, Outgoing};
use super::held_at_target::HeldAtTarget;
use super::link_writer::{LinkWriter, PipeSink};
use super::memory::{Pool, Workshop};
use super::ordered::{Taker, ordered};
use super::rate::Rate;
use super::reading::{Bench, start_reading};
use super::sequence::{FrameSink, Sequencer};
use crate::error::Result;
use crate::progress::{Figures, Stage};
use crate::stop::{Stop, Stopped};
use crate::usedmap::UsedMap;
use crate::volume::Source;
use crate::wire::{End, Prelude, RootDigest};

/// What is sent.
pub enum Input {
    /// A volume by its used map.
    Volume {
        /// Where the bytes are.
        source: Arc<dyn Source>,
        /// Which of them are data; of the source's size. For a delta, which of them were written since the base.
        map: Arc<UsedMap>,
        /// For a delta, which of them were discarded since; all else is kept. The prelude names the base then.
        discarded: Option<Arc<UsedMap>>,
    },
    /// A byte stream to its end.
    Stream(File),
}

/// How it is sent.
pub struct Sending {
    /// The stream's first bytes.
    pub prelude: Prelude,
    /// Workers and buffers.
    pub workshop: Workshop,
    /// How hard to compress.
    pub compress: Compress,
    /// Whether the source may be written to meanwhile. If not, it is looked at again before the end is written.
    pub source_may_change: bool,
    /// What the target has from an earlier transfer; nothing where the prelude does not say that this one resumes.
    pub held: HeldAtTarget,
    /// A limit for the links, if any.
    pub rate: Option<Arc<Rate>>,
    /// What is counted.
    pub figures: Arc<Figures>,
    /// What ends the run early.
    pub stop: Stop,
}

impl Sending {
    /// The same once more, for another pass over the source.
    pub(super) fn again(&self) -> Self {
        Sending {
            prelude: self.prelude.clone(),
            workshop: self.workshop,
            compress: self.compress,
            source_may_change: self.source_may_change,
            held: self.held.clone(),
            rate: self.rate.clone(),
            figures: self.figures.clone(),
            stop: self.stop.clone(),
        }
    }
}

/// Sends `input` over `link`; returns when all of it has been written to the link.
///
/// # Errors
/// The first failure of any stage, or what the run's [`Stop`] was set to.
pub fn send(input: Input, link: impl Write + Send + 'static, link_name: &str, sending: Sending) -> Result<End> {
    let stop = sending.stop.clone();
    let writer =
        LinkWriter { link, rate: sending.rate.clone(), figures: sending.figures.clone(), stop: stop.clone() };
    let mut sink = PipeSink { writer, name: link_name.into() };
    sending.figures.threads(Stage::Link, 1);
    let mut crew = Crew::new(&stop);
    let (production, steady_source) = Production::start(&mut crew, input, sending)?;
    let end = Arc::new(Mutex::new(None));
    let written = end.clone();
    crew.start("link", Blocks::OnPipe, move || {
        if let Ok(totals) = sink.prelude(&production.prelude).and_then(|()| production.run(sink)) {
            *written.lock().unwrap_or_else(PoisonError::into_inner) = Some(totals);
        }
    })?;
    let done = crew.wait();
    // Held until here for the link's thread, which may outlive a run that is ended and must not keep a volume open.
    drop(steady_source);
    done?;
    let totals = end.lock().unwrap_or_else(PoisonError::into_inner).take();
    // Without an end and without an error only a worker that panicked can have been.
    totals.ok_or_else(|| panicked("a worker"))
}

/// The stages up to the sink: what reads, the workers, and the queue that their frames come from.
pub(super) struct Production {
    pub(super) prelude: Prelude,
    taker: Taker<Outgoing>,
    steady_source: Option<std::sync::Weak<dyn Source>>,
    adapt: Option<Adapt>,
    encoding: Arc<Encoding>,
    figures: Arc<Figures>,
    stop: Stop,
}

impl Production {
    /// Starts the threads that read and encode. The caller keeps the source, if there is one that must not change,
    /// until the run has ended.
    pub(super) fn start(
        crew: &mut Crew,
        input: Input,
        sending: Sending,
    ) -> Result<(Self, Option<Arc<dyn Source>>)> {
        let Sending { prelude, workshop, compress, source_may_change, held, rate: _, figures, stop } = sending;
        let adapt = (compress == Compress::Auto).then(|| Adapt::new(figures.snapshot(), workshop.highest_level));
        let begin = match (&adapt, compress) {
            (Some(adapt), _) => adapt.level(),
            (None, Compress::Zstd(level)) => Some(level),
            (None, Compress::None | Compress::Auto) => None,
        };
        let encoding = Arc::new(Encoding {
            compress,
            digest: prelude.digest,
            level: Level::new(begin),
            scratch: Pool::new(workshop.workers, workshop.part_size, None),
            figures: figures.clone(),
            stop: stop.clone(),
        });
        figures.threads(Stage::Cpu, workshop.workers);
        figures.set_level(begin);
        let (reserver, taker) = ordered(workshop.buffers);
        let bench = Bench {
            workers: Arc::new(workshop.hire(&stop)?),
            pool: Pool::new(workshop.buffers, workshop.part_size, Some(figures.clone())),
            encoding: encoding.clone(),
            figures: figures.clone(),
            stop: stop.clone(),
        };
        let steady_source = match &input {
            Input::Volume { source, .. } if !source_may_change => Some(source.clone()),
            _ => None,
        };
        start_reading(crew, input, held, bench, reserver, workshop)?;
        let weak = steady_source.as_ref().map(Arc::downgrade);
        let production = Production { prelude, taker, steady_source: weak, adapt, encoding, figures, stop };
        Ok((production, steady_source))
    }

    /// Passes all of the volume to the sink; the totals.
    pub(super) fn run(self, sink: impl FrameSink) -> Result<End, Stopped> {
        let sequencer = Sequencer {
            sink,
            steady_source: self.steady_source,
            adapt: self.adapt,
            encoding: self.encoding,
            figures: self.figures,
            stop: self.stop,
            root: RootDigest::new(self.prelude.digest),
            totals: End::default(),
            position: 0,
        };
        sequencer.run(&self.prelude, &self.taker)
    }
}
