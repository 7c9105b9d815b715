//! The journal of a run: what is written is queued, and a thread records it once it is on stable storage.
//!
//! The thread takes what is queued when it is [`THRESHOLD`] bytes of the volume, or when the oldest of it has waited
//! for [`INTERVAL`]. Then, in this order: the target is synced, the records are appended, the file is synced. Who
//! writes only queues, in the meantime too; only when [`MOST_WAITING`] records are queued it waits.

use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::about::About;
use super::file::{Found, JournalFile, failed};
use super::held::Held;
use super::record::{LENGTH, Record};
use crate::error::{Error, Result};
use crate::stop::Stop;
use crate::usedmap::Extent;
use crate::volume::{JournalPlace, Target};
use crate::wire::Digest;

/// The most records that wait to be recorded.
pub(super) const MOST_WAITING: usize = 1 << 16;
/// So many bytes of the volume are recorded together at the latest.
const THRESHOLD: u64 = 256 << 20;
/// What was written is recorded after this time at the latest, if the target can be synced so fast.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long the end of a failed run waits for the last records: a thin pool that is full holds back a sync for ever.
const PATIENCE: Duration = Duration::from_secs(5);

/// Records what a target has, while it is written. Dropped without [`Journal::finish`] it records what is still
/// queued, and stays for the next run; but if nothing was recorded it is removed.
pub struct Journal {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// What earlier runs have recorded.
    held: Option<Held>,
}

struct Shared {
    state: Mutex<State>,
    /// Something is queued, or the end has come: for the thread.
    work: Condvar,
    /// There is room in the queue again, or the thread has ended: for all others.
    news: Condvar,
    stop: Stop,
}

#[derive(Default)]
struct State {
    waiting: Vec<Record>,
    bytes: u64,
    /// When the oldest of them came.
    since: Option<Instant>,
    closing: Option<Closing>,
    /// Nothing is recorded any more: why is said here, or by the run's [`Stop`].
    is_deaf: bool,
    trouble: Option<Error>,
    /// The thread is done, the target and the journal are closed.
    has_ended: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Closing {
    /// The volume is whole, and the journal is removed.
    Whole,
    /// The run ends before: what is queued is recorded, and stays.
    Unfinished,
}

impl Journal {
    /// Begins a journal, to be called before [`Target::begin`]: from here on nothing of an earlier transfer to this
    /// target is believed any more. `about.target` is the place's identity.
    ///
    /// # Errors
    /// A guard's, when somebody else's file lies there or another run has it; or the system's. The transfer could go
    /// on without a journal then, but could not be resumed.
    pub fn begin(place: &JournalPlace, about: &About, target: Arc<dyn Target>, stop: &Stop) -> Result<Self> {
        let journal = JournalFile::create(place)?;
        let header = about.encode();
        let written = journal.file.write_all_at(&header, 0).and_then(|()| journal.file.sync_data());
        if let Err(e) = written {
            // A torn header is believed by nobody, so that leaving it does no harm.
            let _ = journal.remove();
            return Err(failed(place, "cannot write journal", &e));
        }
        let recorder = Recorder { journal, id: about.id, count: 0, end: header.len() as u64, target };
        Self::start(recorder, None, stop)
    }

    /// Goes on with the journal of an earlier transfer to this target, to be called before [`Target::resume`]; what
    /// it is about and what the target has. `None` where there is none, or none that is believed: of another target,
    /// or with nothing in it. The caller compares what it is about with the transfer: [`About::check`]. The file is
    /// locked until the [`Held`] is dropped, too.
    ///
    /// # Errors
    /// A guard's, when another run has it, or it is no journal, or a newer lvpipe's; else the system's; or what the
    /// run's [`Stop`] was set to.
    pub fn resume(
        place: &JournalPlace,
        target: Arc<dyn Target>,
        stop: &Stop,
    ) -> Result<Option<(Self, About, Held)>> {
        let Some(Found { journal, about, held, count, end }) = JournalFile::find(place, stop)? else {
            return Ok(None);
        };
        // What lies behind is torn.
        let cut = journal.file.set_len(end).and_then(|()| journal.file.sync_data());
        cut.map_err(|e| failed(place, "cannot write journal", &e))?;
        target.keep_unfinished();
        let recorder = Recorder { journal, id: about.id, count, end, target };
        let journal = Self::start(recorder, Some(held.clone()), stop)?;
        Ok(Some((journal, about, held)))
    }

    /// What the journal of an earlier transfer to a target says, without going on with it; `None` as
    /// [`Journal::resume`]. It is locked until the [`Held`] is dropped.
    ///
    /// # Errors
    /// As [`Journal::resume`].
    pub fn read(place: &JournalPlace, stop: &Stop) -> Result<Option<(About, Held)>> {
        Ok(JournalFile::find(place, stop)?.map(|found| (found.about, found.held)))
    }

    /// What the journal at this place is about, for those who only look: of which transfer something may have arrived.
    /// A run that has it goes on undisturbed.
    ///
    /// # Errors
    /// The system's.
    pub fn about(place: &JournalPlace) -> Result<Option<About>> {
        JournalFile::about(place)
    }

    fn start(recorder: Recorder, held: Option<Held>, stop: &Stop) -> Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            work: Condvar::new(),
            news: Condvar::new(),
            stop: stop.clone(),
        });
        let own = shared.clone();
        let thread = thread::Builder::new().name("journal".into()).spawn(move || recorder.run(&own));
        let thread = thread.map_err(|e| Error::io("cannot start thread", "journal", &e))?;
        Ok(Journal { shared, thread: Some(thread), held })
    }

    /// Queues what the target has written: a part with its digest, or a hole. From any thread, as soon as
    /// [`Target::write`] or [`Target::hole`] has returned. Waits only where [`MOST_WAITING`] records are queued.
    ///
    /// What a run finds to be there already needs not be told again.
    pub fn written(&self, offset: u64, length: u64, digest: Option<Digest>) {
        // Every run tells all holes to the target again; the journal would grow with each.
        let is_known = digest.is_none() && self.held.as_ref().is_some_and(|held| held.contains(offset, length));
        if !is_known {
            self.shared.queue(Record { extent: Extent { offset, length }, digest });
        }
    }

    /// Why nothing is recorded any more, if that is so; the transfer goes on.
    pub fn trouble(&self) -> Option<Error> {
        self.shared.lock().trouble.clone()
    }

    /// The volume is whole and [`Target::finish`] has returned: removes the journal.
    ///
    /// # Errors
    /// When it cannot be removed. The volume is whole all the same.
    pub fn finish(mut self) -> Result<()> {
        self.close(Closing::Whole);
        match self.trouble() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn close(&mut self, how: Closing) {
        let Some(thread) = self.thread.take() else { return };
        let mut state = self.shared.lock();
        state.closing = Some(how);
        self.shared.work.notify_one();
        let mut stopped = None;
        // A panic there would not be told.
        while !state.has_ended && !thread.is_finished() {
            if self.shared.stop.is_set() && stopped.get_or_insert_with(Instant::now).elapsed() >= PATIENCE {
                return; // it ends with the process
            }
            state = self.shared.wait_for_news(state);
        }
        drop(state);
        let _ = thread.join();
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close(Closing::Unfinished);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // What is queued is queued: a panic elsewhere leaves nothing half-done here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self, record: Record) {
        let mut state = self.lock();
        while state.waiting.len() >= MOST_WAITING && !state.is_deaf && !self.stop.is_set() {
            state = self.wait_for_news(state);
        }
        if state.is_deaf || state.waiting.len() >= MOST_WAITING {
            return;
        }
        let was_due = state.is_due();
        state.since.get_or_insert_with(Instant::now);
        state.waiting.push(record);
        state.bytes = state.bytes.saturating_add(record.data_bytes());
        // The first one sets the clock.
        if state.waiting.len() == 1 || (state.is_due() && !was_due) {
            self.work.notify_one();
        }
    }

    /// Waits, but not for ever: nothing here is woken when the run is stopped.
    fn wait_for_news<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let waited = self.news.wait_timeout(state, Duration::from_millis(100));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Records nothing from now on.
    fn give_up(&self, trouble: Option<Error>) {
        let mut state = self.lock();
        (state.is_deaf, state.trouble) = (true, trouble);
        (state.waiting, state.bytes, state.since) = (Vec::new(), 0, None);
        self.news.notify_all();
    }

    /// Waits for what is to be recorded next; `None` at the end.
    fn next(&self) -> Option<Vec<Record>> {
        let mut state = self.lock();
        loop {
            match state.closing {
                Some(Closing::Whole) => return None,
                Some(Closing::Unfinished) if state.waiting.is_empty() => return None,
                Some(Closing::Unfinished) => break,
                None if state.is_due() => break,
                None => {}
            }
            let left = state.since.map(|since| INTERVAL.saturating_sub(since.elapsed()));
            let waited = self.work.wait_timeout(state, left.unwrap_or(Duration::MAX));
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        let waiting = std::mem::take(&mut state.waiting);
        (state.bytes, state.since) = (0, None);
        self.news.notify_all();
        Some(waiting)
    }
}

impl State {
    fn is_due(&self) -> bool {
        let is_old = self.since.is_some_and(|since| since.elapsed() >= INTERVAL);
        is_old || self.bytes >= THRESHOLD || self.waiting.len() >= MOST_WAITING / 2
    }
}

impl Record {
    /// What of it had to be written: as good as nothing, for a hole.
    fn data_bytes(&self) -> u64 {
        if self.digest.is_some() { self.extent.length } else { 0 }
    }
}

/// The thread's own.
struct Recorder {
    journal: JournalFile,
    id: [u8; 16],
    /// Records in the file.
    count: u64,
    /// Where the next one goes.
    end: u64,
    target: Arc<dyn Target>,
}

impl Recorder {
    fn run(mut self, shared: &Shared) {
        while let Some(records) = shared.next() {
            if let Err(error) = self.target.sync() {
                // The system says so only once: the sync at the end may well succeed, with the data lost.
                shared.stop.fail(error);
                shared.give_up(None);
            } else if let Err(error) = self.append(&records) {
                shared.give_up(Some(error));
            }
        }
        let is_whole = shared.lock().closing == Some(Closing::Whole);
        let removed = if is_whole || self.count == 0 { self.journal.remove() } else { Ok(()) };
        // Both files are closed before anybody hears of the end.
        drop(self);
        let mut state = shared.lock();
        if is_whole {
            // Whatever was not recorded, it is of no interest any more.
            state.trouble = removed.err();
        }
        state.has_ended = true;
        shared.news.notify_all();
    }

    /// Appends records of what is on stable storage; they are there too, on return.
    fn append(&mut self, records: &[Record]) -> Result<()> {
        let bytes: Vec<u8> =
            records.iter().zip(self.count..).flat_map(|(record, number)| record.encode(&self.id, number)).collect();
        let file = &self.journal.file;
        let written = file.write_all_at(&bytes, self.end).and_then(|()| file.sync_data());
        written.map_err(|e| {
            failed(&self.journal.place, "cannot write journal", &e)
                .way_out("the transfer goes on, but if it fails, what follows cannot be resumed")
        })?;
        self.count += records.len() as u64;
        self.end += (records.len() * LENGTH) as u64;
        self.target.keep_unfinished();
        Ok(())
    }
}
