//! Sending: source to link. Puts the stages together and waits for them.

use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use super::adapt::{Adapt, Compress};
use super::crew::{Blocks, Crew, panicked};
use super::encode::{Encoding, Level};
use super::link_writer::LinkWriter;
use super::memory::{Pool, Workshop};
use super::ordered::ordered;
use super::rate::Rate;
use super::reading::{Bench, start_reading};
use crate::error::Result;
use crate::progress::{Figures, Stage};
use crate::stop::Stop;
use crate::usedmap::UsedMap;
use crate::volume::Source;
use crate::wire::{End, Prelude, RootDigest};

/// What is sent.
pub enum Input {
    /// A volume by its used map.
    Volume {
        /// Where the bytes are.
        source: Arc<dyn Source>,
        /// Which of them are data; of the source's size.
        map: Arc<UsedMap>,
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
    /// A limit for the links, if any.
    pub rate: Option<Rate>,
    /// What is counted.
    pub figures: Arc<Figures>,
    /// What ends the run early.
    pub stop: Stop,
}

/// Sends `input` over `link`; returns when all of it has been written to the link.
///
/// # Errors
/// The first failure of any stage, or what the run's [`Stop`] was set to.
pub fn send(input: Input, link: impl Write + Send + 'static, link_name: &str, sending: Sending) -> Result<End> {
    let Sending { prelude, workshop, compress, source_may_change, rate, figures, stop } = sending;
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
    figures.threads(Stage::Link, 1);
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
    let end = Arc::new(Mutex::new(None));
    let writer = LinkWriter {
        link,
        name: link_name.into(),
        steady_source: steady_source.as_ref().map(Arc::downgrade),
        rate,
        adapt,
        encoding,
        figures,
        stop: stop.clone(),
        root: RootDigest::new(prelude.digest),
        totals: End::default(),
        position: 0,
    };

    let mut crew = Crew::new(&stop);
    start_reading(&mut crew, input, bench, reserver, workshop)?;
    let written = end.clone();
    crew.start("link", Blocks::OnPipe, move || {
        if let Ok(totals) = writer.run(&prelude, &taker) {
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
