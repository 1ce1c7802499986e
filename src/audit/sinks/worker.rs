//! The life of one sink: reads what is signed, sends it, and moves its position when the receiver has it.
//!
//! At least once and in order. What is on its way is remembered by its end alone, so that memory is bounded by one batch; after
//! a fault everything that was not acknowledged is read from the files again. Nothing is skipped but what a record says.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use kernel::event::{Body, ChangedBy, EntityChange, EntityFacts, Event};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{Backlog, Begin, Sink};

use super::super::Recorder;
use super::super::follow::{self, FollowFault, Head, Limits, Place, Reader};
use super::backoff::Backoff;
use super::courier::{Courier, Receipt};
use super::event::Item;
use super::fault::SinkFault;
use super::position::{Position, PositionFile, Stored};
use super::sent::Sent;
use super::status::Status;

/// What a sink is made of.
pub struct Worker {
    sink: Sink,
    dir: PathBuf,
    recorder: Recorder,
    clock: Clock,
    status: Arc<Status>,
    courier: Courier,
    reader: Reader,
    file: PositionFile,
    /// What is put on record before anything is shipped.
    owed: Option<Owed>,
    /// What the receiver has.
    acknowledged: Position,
    saved: Position,
    saved_at: Instant,
    /// Size of the checkpoint that was sent last.
    checkpoint_sent: u64,
    /// The checkpoint up to which is being sent, and which is sent behind its records.
    target: Option<Head>,
    sent: VecDeque<Sent>,
    asked_at: Instant,
    /// What the receiver has not taken of a batch.
    pending: Option<Pending>,
}

/// How a sink begins, where that is not what its receiver has.
#[derive(Clone, Copy, Debug)]
enum Owed {
    /// Its position is not one that this gateway wrote.
    Rewind,
    /// It is new, or its position was removed: it passes over what is before this record.
    Gap(u64),
}

struct Pending {
    items: Vec<Item>,
    end: Position,
}

enum Turn {
    Shipped,
    /// Everything was sent; acknowledgements may be missing.
    Idle,
}

/// What a sink needs of its surroundings.
pub struct Surroundings {
    pub dir: PathBuf,
    pub recorder: Recorder,
    pub clock: Clock,
    pub status: Arc<Status>,
}

impl Worker {
    pub fn new(sink: Sink, around: Surroundings) -> Result<Self, SinkFault> {
        let Surroundings { dir, recorder, clock, status } = around;
        let file = PositionFile::new(&dir, &sink.name, recorder.positions());
        let head = follow::head(&dir)?.map_or(0, |head| head.size);
        let oldest = Position { place: Place { next: follow::first(&dir)?, ..Place::default() }, checkpoint: 0 };
        let (position, owed) = match (file.load()?, sink.begin) {
            (Some(Stored::Proven(position)), _) => (position, None),
            (Some(Stored::Unproven), _) => (oldest, Some(Owed::Rewind)),
            (None, Begin::Oldest) => (oldest, None),
            (None, Begin::Newest) => (oldest, (oldest.place.next < head).then_some(Owed::Gap(head))),
        };
        // A position is only ever behind what was synced and signed.
        if position.place.next > head {
            return Err(SinkFault::Beyond(position.place.next));
        }
        // From now on what a new sink begins with is settled, whatever is dropped or written meanwhile. What is owed comes first.
        if owed.is_none() {
            file.save(position)?;
        }
        status.next.store(position.place.next, Relaxed);
        status.head.store(head, Relaxed);
        Ok(Self {
            courier: Courier::new(&sink)?,
            reader: Reader::new(&dir, position.place),
            sink,
            dir,
            recorder,
            clock,
            status,
            file,
            owed,
            acknowledged: position,
            saved: position,
            saved_at: Instant::now(),
            checkpoint_sent: position.checkpoint,
            target: None,
            sent: VecDeque::new(),
            asked_at: Instant::now(),
            pending: None,
        })
    }

    /// Ships until told to stop, and then what is left, until there is nothing or the receiver fails.
    pub async fn run(&mut self, stop: &CancellationToken) {
        let mut backoff = Backoff::default();
        loop {
            let turn = self.turn().await;
            let pause = match turn {
                Ok(Turn::Shipped) => {
                    backoff.reset();
                    self.tell_recovery();
                    // Whoever else runs on this thread gets its turn.
                    tokio::task::yield_now().await;
                    continue;
                }
                Ok(Turn::Idle) if stop.is_cancelled() && self.has_nothing_to_wait_for() => return,
                Ok(Turn::Idle) if stop.is_cancelled() => STOPPING_PAUSE,
                Ok(Turn::Idle) => self.idle_pause(),
                Err(_) if stop.is_cancelled() => return,
                Err(fault) => {
                    self.fail(&fault);
                    backoff.next()
                }
            };
            // A stop ends the pause, and the next turn ships what is left.
            let _stopped = stop.run_until_cancelled(sleep(pause)).await;
        }
    }

    /// Puts the position on disk, last of all.
    pub fn close(&mut self) {
        if self.owed.is_none()
            && let Err(fault) = self.save()
        {
            tracing::error!(sink = %self.sink.name, error = %fault, "what the receiver has could not be written down: it will be sent again");
        }
    }

    /// Syslog has nothing to wait for: what is younger than its window is sent again at the next start.
    fn has_nothing_to_wait_for(&self) -> bool {
        !self.sent.iter().any(|sent| matches!(sent.receipt, Receipt::Ticket(_)))
    }

    fn idle_pause(&self) -> Duration {
        let asks = self.sent.iter().any(|sent| matches!(sent.receipt, Receipt::Ticket(_)));
        if asks { self.sink.flush_interval.min(ASK_EVERY) } else { self.sink.flush_interval }
    }

    async fn turn(&mut self) -> Result<Turn, SinkFault> {
        self.pay().await?;
        self.courier.check().await?;
        self.settle().await?;
        self.tend_position()?;
        if self.sent.len() >= SENT_MAX {
            return Ok(Turn::Idle);
        }
        self.drop_overflow().await?;
        if self.pending.is_none() {
            self.pending = self.next_batch().await?;
        }
        let Some(pending) = &mut self.pending else { return Ok(Turn::Idle) };
        let events = pending.items.len() as u64;
        if events > 0 {
            let (bytes, receipt) = self.courier.send(&mut pending.items).await?;
            let end = pending.end;
            self.pending = None;
            self.note_sent(Sent::now(end, receipt));
            self.status.batches.fetch_add(1, Relaxed);
            self.status.events.fetch_add(events, Relaxed);
            self.status.bytes.fetch_add(bytes, Relaxed);
        } else {
            // The filter left nothing: the position moves when what was sent before is acknowledged.
            let end = pending.end;
            self.pending = None;
            self.note_sent(Sent::now(end, Receipt::Now));
        }
        self.settle().await?;
        Ok(Turn::Shipped)
    }

    /// Puts on record that this sink does not go on where its receiver is.
    async fn pay(&mut self) -> Result<(), SinkFault> {
        let first = self.acknowledged.place.next;
        match self.owed {
            None => return Ok(()),
            Some(Owed::Gap(end)) => self.skip(first, end).await?,
            Some(Owed::Rewind) => {
                let name = &self.sink.name;
                tracing::error!(sink = %name, first, "the position of a sink is not one that this gateway wrote: everything is shipped again");
                self.tell(EntityChange::SinkRewind { sink: name.to_string(), first }).await?;
                self.file.save(self.acknowledged)?;
            }
        }
        self.owed = None;
        Ok(())
    }

    async fn tell(&self, change: EntityChange) -> Result<(), SinkFault> {
        let facts = EntityFacts { change, by: ChangedBy::Gateway, failure: None };
        let event = Event { time: self.clock.now(), body: Body::Entity(Box::new(facts)) };
        self.recorder.keep(event).await.map_err(SinkFault::Gap)
    }

    fn note_sent(&mut self, sent: Sent) {
        self.checkpoint_sent = sent.end.checkpoint;
        // Under a window in time, batches of one moment are remembered as one.
        match (self.sent.back_mut(), sent.receipt) {
            (Some(last), Receipt::After(_)) if last.receipt == sent.receipt && sent.at.duration_since(last.began) < MERGE_WITHIN => {
                last.end = sent.end;
                last.at = sent.at;
            }
            _ => self.sent.push_back(sent),
        }
    }

    /// Takes from the front what counts as taken by now.
    async fn settle(&mut self) -> Result<(), SinkFault> {
        let now = Instant::now();
        let mut named = None;
        while let Some(front) = self.sent.front().copied() {
            let taken = match front.receipt {
                Receipt::Now => true,
                Receipt::After(window) => now.duration_since(front.at) >= window,
                Receipt::Ticket(ticket) => {
                    if named.is_none() {
                        named = Some(self.ask(now).await?);
                    }
                    named.as_ref().is_some_and(|named| named.contains(&ticket))
                }
            };
            if !taken {
                let age = now.duration_since(front.at);
                let waits = matches!(front.receipt, Receipt::Ticket(_));
                return if waits && age > TICKET_PATIENCE.max(self.sink.timeout) { Err(SinkFault::Unacknowledged(age)) } else { Ok(()) };
            }
            self.sent.pop_front();
            self.acknowledged = front.end;
            self.status.next.store(front.end.place.next, Relaxed);
        }
        if self.pending.is_none() {
            self.status.oldest_ms.store(0, Relaxed);
        }
        Ok(())
    }

    /// Asks for all that is open, at most twice a second.
    async fn ask(&mut self, now: Instant) -> Result<std::collections::BTreeSet<u64>, SinkFault> {
        if now.duration_since(self.asked_at) < ASK_EVERY {
            return Ok(std::collections::BTreeSet::new());
        }
        self.asked_at = now;
        let ticket = |sent: &Sent| if let Receipt::Ticket(ticket) = sent.receipt { Some(ticket) } else { None };
        let tickets: Vec<u64> = self.sent.iter().filter_map(ticket).collect();
        self.courier.acknowledged(&tickets).await
    }

    /// The next records that are signed, and behind the last of them the checkpoint that signs them.
    async fn next_batch(&mut self) -> Result<Option<Pending>, SinkFault> {
        let next = self.reader.place().next;
        if self.target.as_ref().is_none_or(|head| head.size <= next) {
            self.target = follow::head(&self.dir)?;
        }
        let Some(target) = self.target.clone() else { return Ok(None) };
        if target.size < next {
            return Err(SinkFault::Beyond(next));
        }
        let limits = Limits { records: self.sink.batch_records, bytes: self.sink.batch_bytes };
        let records = match self.reader.read(target.size, limits) {
            Err(FollowFault::Dropped { next, first }) => {
                self.skip(next, first).await?;
                return Ok(None);
            }
            read => read?,
        };
        let place = self.reader.place();
        let mut items = Vec::with_capacity(records.len() + 1);
        for record in records {
            items.push(Item::of(record)?);
        }
        if self.status.oldest_ms.load(Relaxed) == 0
            && let Some(item) = items.first()
        {
            self.status.oldest_ms.store(item.brief.time, Relaxed);
        }
        let read = !items.is_empty();
        items.retain(|item| item.passes(&self.sink.filter));
        let mut checkpoint = self.checkpoint_sent;
        if place.next == target.size && target.size > checkpoint {
            checkpoint = target.size;
            items.push(Item::of_checkpoint(&target, self.clock.now().as_millis()));
        }
        let more = read || checkpoint > self.checkpoint_sent;
        Ok(more.then_some(Pending { items, end: Position { place, checkpoint } }))
    }

    /// Where more waits than may, the oldest are skipped, a tenth of the limit at once, so that few records say so.
    async fn drop_overflow(&mut self) -> Result<(), SinkFault> {
        let Backlog::Drop(most) = self.sink.backlog else { return Ok(()) };
        let (next, head) = (self.acknowledged.place.next, self.status.head.load(Relaxed));
        if head.saturating_sub(next) <= most {
            return Ok(());
        }
        self.skip(next, head.saturating_sub(most - most / 10)).await
    }

    /// Passes over records, `first` up to, not including, `end`. First it is put on record, then it is done.
    async fn skip(&mut self, first: u64, end: u64) -> Result<(), SinkFault> {
        self.tell(EntityChange::SinkGap { sink: self.sink.name.to_string(), first, last: end.saturating_sub(1) }).await?;
        tracing::error!(sink = %self.sink.name, first, last = end.saturating_sub(1), "records were not shipped and are skipped");
        self.status.dropped.fetch_add(end.saturating_sub(first), Relaxed);
        self.acknowledged.place = Place { next: end, ..Place::default() };
        self.status.next.store(end, Relaxed);
        self.go_back();
        self.save()
    }

    /// Reads again from what the receiver has for certain.
    fn go_back(&mut self) {
        self.sent.clear();
        self.pending = None;
        self.target = None;
        self.checkpoint_sent = self.acknowledged.checkpoint;
        self.reader.go_to(self.acknowledged.place);
    }

    fn fail(&mut self, fault: &SinkFault) {
        if self.status.fail(self.clock.now(), fault.to_string()) {
            tracing::error!(sink = %self.sink.name, error = %fault, "a sink does not take records; they wait on disk");
        }
        self.courier.break_off();
        // Where only this batch is open, what the receiver did take of it is not sent again.
        if !self.sent.is_empty() || self.pending.is_none() {
            self.go_back();
        }
    }

    fn tell_recovery(&self) {
        if self.status.recover() {
            tracing::info!(sink = %self.sink.name, "a sink takes records again");
        }
    }

    fn tend_position(&mut self) -> Result<(), SinkFault> {
        if self.saved_at.elapsed() < SAVE_EVERY { Ok(()) } else { self.save() }
    }

    fn save(&mut self) -> Result<(), SinkFault> {
        self.saved_at = Instant::now();
        if self.acknowledged == self.saved {
            return Ok(());
        }
        self.file.save(self.acknowledged)?;
        self.saved = self.acknowledged;
        Ok(())
    }
}

/// Batches that are on their way at once.
const SENT_MAX: usize = 256;
/// Positions are written down this often: a crash sends again what was acknowledged since.
const SAVE_EVERY: Duration = Duration::from_millis(250);
const MERGE_WITHIN: Duration = Duration::from_millis(250);
const ASK_EVERY: Duration = Duration::from_millis(500);
/// An indexer that has not written a batch by then has lost it.
const TICKET_PATIENCE: Duration = Duration::from_secs(120);
const STOPPING_PAUSE: Duration = Duration::from_millis(50);
