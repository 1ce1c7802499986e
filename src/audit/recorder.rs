//! The recorder: how everybody else puts something on record. Cloned freely.
//!
//! A record is written out by the caller's task and handed over in a queue; one of those who wait, or a thread, writes what
//! has gathered, and the caller is answered when the durability in force holds. A caller that goes away while it waits changes nothing: the record is written all the same.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use kernel::Failure;
use kernel::event::{Body, Event, Weight};
use kernel::policy::Reason;
use kernel::policy::permit::{Admitted, Recorded};
use prometheus_client::registry::Registry;
use zeroize::Zeroizing;

use crate::clock::Clock;

use super::log::Need;
use super::media::{Disk, Media};
use super::meters::{Meters, StatsSnapshot};
use super::note::Signer;
use super::pen::Pen;
use super::pseudonym::{self, Privacy};
use super::queue::Queue;
use super::record;
use super::recover::{self, Place, StartFault};
use super::sinks::Prover;
use super::writer::Writer;

/// What the log needs to know.
pub struct Settings {
    /// Folder of the log, made if need be, for the owner alone.
    pub dir: PathBuf,
    /// File outside of that folder that remembers the latest signed head, so that a folder that was put back to an earlier
    /// state is known for it.
    pub head: PathBuf,
    /// What requests wait for. Everything but requests is always `Synced`.
    pub durability: Durability,
    /// Ed25519 seed.
    pub signing_key: Zeroizing<[u8; 32]>,
    /// First line of every checkpoint, and name of the key: `portcullis/<host of the gateway>`.
    pub origin: String,
    /// Most records that may wait; more are refused, and their requests with them.
    pub queue: usize,
    /// Size at which a segment ends; [`SEGMENT_BYTES`] unless there is a reason.
    pub segment_bytes: u64,
}

/// When a record counts as kept (contract.md, section 6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When it stands in the queue.
    Queued,
    /// When it was written to the file.
    #[default]
    Written,
    /// When it was fdatasync'ed.
    Synced,
}

/// The audit log, as everybody sees it.
#[derive(Clone)]
pub struct Recorder {
    pub(super) shared: Arc<Shared>,
    pub(super) writer: Arc<WriterThread>,
    privacy: Arc<Privacy>,
}

/// The thread, and who ends it: `shutdown`, or the last recorder when it goes.
pub(super) struct WriterThread {
    shared: Arc<Shared>,
    pub(super) pen: Pen,
    pub(super) handle: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for WriterThread {
    fn drop(&mut self) {
        self.shared.queue.close();
    }
}

/// Sees every event that was kept, in the task of whoever recorded it: it must not block.
pub trait Observer: fmt::Debug + Send + Sync {
    fn kept(&self, event: &Event);
}

/// While it lives, no grant is given.
#[derive(Debug)]
pub struct Hold(Arc<Shared>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.holds.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What recorder and writer share.
#[derive(Debug)]
pub(super) struct Shared {
    pub queue: Queue,
    /// Whether the log is in order. The writer says so.
    pub available: AtomicBool,
    /// Whether somebody waited in vain: the disk hangs. The next batch that is done says that it does not any more.
    pub stalled: AtomicBool,
    pub meters: Meters,
    /// How many sinks hold grants back.
    holds: AtomicUsize,
    pub origin: String,
    pub epoch: AtomicU64,
    /// Of the positions of sinks.
    pub positions: Prover,
    durability: Durability,
    observer: OnceLock<Arc<dyn Observer>>,
}

impl Recorder {
    /// Opens the log, mends what a crash left behind, and starts the writer. Blocks on the disk.
    pub fn start(settings: Settings, clock: Clock) -> Result<Self, StartFault> {
        Self::start_on(Box::new(Disk), settings, clock)
    }

    /// As [`start`](Self::start), on another file system.
    pub fn start_on(media: Box<dyn Media>, settings: Settings, clock: Clock) -> Result<Self, StartFault> {
        let recorder = Self::open(media, settings, clock)?;
        let pen = recorder.writer.pen.clone();
        let thread = thread::Builder::new().name("audit".to_owned()).spawn(move || pen.run()).map_err(StartFault::Thread)?;
        *recorder.writer.handle.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(recorder)
    }

    /// As [`start_on`](Self::start_on), with nobody yet who does what is left to the thread.
    pub(super) fn open(media: Box<dyn Media>, settings: Settings, clock: Clock) -> Result<Self, StartFault> {
        let signer = Signer::new(&settings.signing_key, &settings.origin).map_err(StartFault::Key)?;
        let place = Place { folder: &settings.dir, head: &settings.head, segment_bytes: settings.segment_bytes };
        let positions = Prover::new(&settings.signing_key, &settings.origin);
        let (log, repair) = recover::open(media, place, signer, clock.now())?;
        let shared = Arc::new(Shared {
            queue: Queue::new(settings.queue),
            available: AtomicBool::new(true),
            stalled: AtomicBool::new(false),
            meters: Meters::default(),
            holds: AtomicUsize::new(0),
            origin: settings.origin,
            epoch: AtomicU64::new(log.epoch()),
            positions,
            durability: settings.durability,
            observer: OnceLock::new(),
        });
        let mut writer = Writer::new(log, Arc::clone(&shared), clock);
        writer.settle(repair)?;
        let pen = Pen::new(writer, Arc::clone(&shared));
        let writer = WriterThread { shared: Arc::clone(&shared), pen, handle: Mutex::default() };
        Ok(Self { shared, writer: Arc::new(writer), privacy: Arc::default() })
    }

    /// This recorder, with what it keeps of people. Clones made before go on as they were.
    #[must_use]
    pub fn with_privacy(self, privacy: Privacy) -> Self {
        Self { privacy: Arc::new(privacy), ..self }
    }

    /// Puts an allowed request on record, and gives the proof without which nothing is forwarded.
    pub async fn record(&self, admitted: Admitted, event: Event) -> Result<Recorded, Failure> {
        if self.holds_grants() {
            self.shared.meters.refused.inc();
            return Err(Failure::Audit);
        }
        self.keep(event).await?;
        Ok(Recorded::assertion(admitted))
    }

    /// Puts anything else on record: refusals, sign-ins, changes. Returns when it is kept as its weight demands.
    pub async fn keep(&self, event: Event) -> Result<(), Failure> {
        let kept = self.hand_over(&event).await;
        match (&kept, self.shared.observer.get()) {
            (Ok(()), Some(observer)) => observer.kept(&event),
            (Ok(()), None) => {}
            (Err(_), _) if says_that_nothing_was_kept(&event.body) => {}
            (Err(_), _) => {
                self.shared.meters.refused.inc();
            }
        }
        kept
    }

    /// An event as records show it: with pseudonyms where people are sealed, with networks where addresses are not kept. For
    /// whoever tells others of it.
    pub async fn shown(&self, event: &Event) -> Result<Event, Failure> {
        pseudonym::prepare(event, &self.privacy).await.map(|(event, _)| event.into_owned())
    }

    /// Names who sees every event that is kept. The first one stays.
    pub fn observe_with(&self, observer: Arc<dyn Observer>) {
        let _one_already = self.shared.observer.set(observer);
    }

    /// Puts the end of an exchange on record, from a drop guard. Never blocks, and never refuses while the writer lives: the
    /// ends have a place of their own, which holds at most one for each exchange that was recorded and is not over.
    pub fn keep_later(&self, event: Event) {
        let kept = pseudonym::prepare_now(&event, &self.privacy)
            .and_then(|(event, sealed)| record::lend(&event, &self.shared.origin, sealed, |line| self.shared.queue.push_end(line)))
            .flatten();
        if let Err(failure) = kept {
            self.shared.meters.refused.inc();
            tracing::error!(error = %failure, "the end of an exchange was not recorded");
        }
    }

    /// Whether records can be kept now.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.shared.available.load(Ordering::Acquire) && !self.shared.stalled.load(Ordering::Acquire)
    }

    /// Refuses grants until what is returned is dropped. Everything else is recorded as ever.
    #[must_use]
    pub fn hold_grants(&self) -> Hold {
        self.shared.holds.fetch_add(1, Ordering::AcqRel);
        Hold(Arc::clone(&self.shared))
    }

    /// Whether a sink is so far behind that grants are refused.
    #[must_use]
    pub fn holds_grants(&self) -> bool {
        self.shared.holds.load(Ordering::Acquire) > 0
    }

    #[must_use]
    pub fn stats(&self) -> StatsSnapshot {
        self.shared.meters.snapshot(self.shared.queue.depth())
    }

    /// How often the log was opened, this time included.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.shared.epoch.load(Ordering::Acquire)
    }

    /// What proves positions of this log's sinks.
    pub(super) fn positions(&self) -> Prover {
        self.shared.positions.clone()
    }

    #[cfg(test)]
    pub(super) fn queue(&self) -> &Queue {
        &self.shared.queue
    }

    /// Puts the log's metrics in a registry.
    pub fn register(&self, registry: &mut Registry) {
        self.shared.meters.register(registry);
    }

    /// Takes no more, writes what is there, signs the last checkpoint and ends the writer. Blocks on the disk; call it last,
    /// away from the tasks of requests. A second call does nothing.
    pub fn shutdown(&self) {
        self.shared.queue.close();
        let handle = self.writer.handle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if handle.is_some_and(|handle| handle.join().is_err()) {
            tracing::error!("the audit log's writer ended by a defect");
        }
    }

    async fn hand_over(&self, event: &Event) -> Result<(), Failure> {
        if !self.is_available() {
            return Err(Failure::Audit);
        }
        let wanted = match (event.body.weight(), self.shared.durability) {
            (Weight::Synced, _) | (Weight::Configured, Durability::Synced) => Some(Need::Synced),
            (Weight::Configured, Durability::Written) => Some(Need::Written),
            (Weight::Configured, Durability::Queued) => None,
        };
        let (event, sealed) = pseudonym::prepare(event, &self.privacy).await?;
        let (queue, origin) = (&self.shared.queue, &self.shared.origin);
        let Some(need) = wanted else {
            return record::lend(&event, origin, sealed, |line| queue.push_unwatched(line))?;
        };
        let answer = record::lend(&event, origin, sealed, |line| queue.push(line, need))??;
        if need == Need::Written {
            // Whatever becomes of this task, its line is written.
            let help = Help(&self.writer.pen);
            // Others that are as far get their lines into the same batch.
            tokio::task::yield_now().await;
            drop(help);
        }
        if let Some(kept) = answer.now() {
            return kept;
        }
        match tokio::time::timeout(ANSWER_WITHIN, answer).await {
            Ok(kept) => kept,
            Err(_) => {
                // Whoever comes next does not wait as long to hear the same.
                self.shared.stalled.store(true, Ordering::Release);
                tracing::error!(audit.waited = ?ANSWER_WITHIN, "the audit log's disk does not answer: requests are refused until it does");
                Err(Failure::Audit)
            }
        }
    }
}

/// Dropped, it sees to it that what waits is written.
struct Help<'a>(&'a Pen);

impl Drop for Help<'_> {
    fn drop(&mut self) {
        self.0.help();
    }
}

/// Whether an event tells of a request that was refused because its record could not be kept: that was counted already.
fn says_that_nothing_was_kept(body: &Body) -> bool {
    matches!(body, Body::Decision(facts) if facts.reason == Some(Reason::AuditUnavailable))
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("dir", &self.dir)
            .field("head", &self.head)
            .field("durability", &self.durability)
            .field("signing_key", &"***")
            .field("origin", &self.origin)
            .field("queue", &self.queue)
            .field("segment_bytes", &self.segment_bytes)
            .finish()
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("shared", &self.shared).finish_non_exhaustive()
    }
}

/// Size of a segment, unless configured. Small enough to be read again at start in a fraction of a second.
pub const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// Records that may wait, unless configured: a second of heavy traffic.
pub const QUEUE: usize = 16_384;

/// A disk that does not answer for longer is down.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(5);
