//! The writer: whoever has it in hand is the only one that touches the files.
//!
//! It takes whatever has gathered while it was writing, writes it at once, syncs once if anybody asked for that, and answers
//! everybody. It works in a thread of its own, and in the tasks of those who wait for it ([`pen`](super::pen)). After a fault
//! of the disk it refuses at once, tries again every second, and goes on by itself when the disk does, with everything that
//! was acknowledged still there.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kernel::Failure;
use kernel::event::{Body, Event, LifecycleChange, LifecycleFacts};

use crate::clock::Clock;

use super::batch::{Batch, Lines};
use super::log::{Line, Log, LogFault, Look, Need, Remedy};
use super::pace::Pace;
use super::pen::{Helped, Turn};
use super::queue::{Gather, Led, Phase};
use super::record;
use super::recorder::Shared;
use super::recover::{Repair, StartFault};

/// Writes until the queue is closed and empty.
#[derive(Debug)]
pub struct Writer {
    log: Log,
    shared: Arc<Shared>,
    clock: Clock,
    /// Ends of exchanges that a fault kept from being written.
    backlog: Lines,
    /// When the files were last looked after.
    looked: Option<Instant>,
    /// When the oldest record that no checkpoint covers was written.
    uncovered_since: Option<Instant>,
    pace: Pace,
    state: State,
    /// Why the log could not be mended the last time.
    told: Option<String>,
    /// Who writes, as the queue was told.
    led: Led,
    /// The batch before, for its memory.
    spent: Option<Batch>,
}

#[derive(Debug)]
enum State {
    Healthy,
    /// Nothing is written before the log was mended.
    Faulty {
        /// What the worst fault so far asks for.
        remedy: Remedy,
        /// In words, for the record.
        cause: String,
        since: Instant,
        next_try: Instant,
    },
}

impl Writer {
    pub(super) fn new(log: Log, shared: Arc<Shared>, clock: Clock) -> Self {
        Self {
            log,
            shared,
            clock,
            backlog: Lines::default(),
            looked: None,
            uncovered_since: None,
            pace: Pace::new(),
            state: State::Healthy,
            told: None,
            led: Led::No,
            spent: None,
        }
    }

    /// Before anything else: puts a repair on record, ends a segment that is full, and signs.
    pub fn settle(&mut self, repair: Option<Repair>) -> Result<(), StartFault> {
        self.shared.meters.opened(&self.log, repair.as_ref());
        if let Some(repair) = repair {
            let detail = format!(
                "the last run did not end well: {} bytes at the end cut off, {} records after the last checkpoint taken over, {} records in all",
                repair.bytes_cut, repair.uncovered, repair.records
            );
            tracing::warn!(audit.bytes_cut = repair.bytes_cut, audit.records = repair.records, "audit log repaired");
            let line = self.lifecycle(LifecycleChange::LogRepaired, detail).map_err(|failure| StartFault::Log(failure.to_string()))?;
            self.log.append(line.once(), Need::Synced, Look::Now)?;
            self.log.checkpoint()?;
        }
        if self.log.is_full() {
            self.log.rotate(self.clock.now())?;
        }
        self.shared.meters.look(&self.log);
        self.set_led(Led::Yes);
        Ok(())
    }

    /// What the thread does each time something is to be done.
    pub fn turn(&mut self) -> Turn {
        let (mut batch, phase) = self.shared.queue.take(self.spent.take());
        self.pace.took(batch.items(), Instant::now());
        if phase == Phase::Paused {
            return if self.leave() { Turn::Last } else { Turn::Done };
        }
        let idle = batch.lines.is_empty();
        // A segment that was filled by those who wait takes no more.
        self.tend();
        if matches!(self.state, State::Faulty { .. }) {
            self.refuse(&batch);
            self.try_again(phase);
        } else {
            self.write(&batch);
            self.tend();
        }
        if phase == Phase::Closed && idle {
            self.finish();
            return Turn::Last;
        }
        batch.clear();
        self.spent = Some(batch);
        Turn::Done
    }

    /// What one of those who wait does, for all of them: writes, and leaves to the thread whatever may take longer.
    pub fn help(&mut self) -> Helped {
        for _ in 0..HELPED_BATCHES_MAX {
            let thread_is_wanted = matches!(self.state, State::Faulty { .. }) || self.log.owes_sync() || self.log.is_full();
            if thread_is_wanted {
                break;
            }
            let Some(mut batch) = self.shared.queue.take_led(self.spent.take()) else { return Helped::Whole };
            self.pace.took(batch.items(), Instant::now());
            self.write(&batch);
            batch.clear();
            self.spent = Some(batch);
        }
        self.shared.queue.call();
        Helped::ThreadCalled
    }

    /// How long the thread waits, and what for.
    pub fn rest(&self) -> (Option<Duration>, Gather) {
        (self.patience(), self.pace.gather())
    }

    /// How long to wait for work: until a checkpoint or another try is due.
    fn patience(&self) -> Option<Duration> {
        match &self.state {
            State::Faulty { next_try, .. } => Some(next_try.saturating_duration_since(Instant::now())),
            // Others may write meanwhile, and the checkpoint is the thread's.
            State::Healthy => {
                Some(self.uncovered_since.map_or(CHECKPOINT_WITHIN, |since| CHECKPOINT_WITHIN.saturating_sub(since.elapsed())))
            }
        }
    }

    fn write(&mut self, batch: &Batch) {
        if batch.lines.is_empty() {
            return;
        }
        let kept = self.append(&batch.lines, batch.need());
        if self.shared.stalled.load(Ordering::Relaxed) {
            self.shared.stalled.store(false, Ordering::Release);
        }
        if kept.is_err() {
            self.keep_for_later(batch);
        }
        batch.settle(&kept);
    }

    /// Those who wait write for as long as that does not keep them: the thread takes over where the disk is slow.
    fn set_led(&mut self, led: Led) {
        if self.led != led {
            self.led = led;
            self.shared.queue.lead(led);
        }
    }

    fn append(&mut self, lines: &Lines, need: Need) -> Result<(), Failure> {
        let look = self.look();
        let began = Instant::now();
        match self.log.append(lines.iter(), need, look) {
            Ok(appended) => {
                // A sync says nothing of how long a write takes.
                if appended.sync.is_none() {
                    self.set_led(if began.elapsed() < SLOW_WRITE { Led::Yes } else { Led::No });
                }
                self.shared.meters.appended(lines.len(), &appended, &self.log);
                self.uncovered_since.get_or_insert_with(Instant::now);
                Ok(())
            }
            Err(fault) => {
                self.fail(fault);
                Err(Failure::Audit)
            }
        }
    }

    /// Where batches come one upon the other, not every one of them looks after the files: what was removed or taken over is
    /// noticed a moment later, and nothing is lost by that.
    fn look(&mut self) -> Look {
        let now = Instant::now();
        if self.pace.is_fast() && self.looked.is_some_and(|last| now.duration_since(last) < LOOK_WITHIN) {
            return Look::Spared;
        }
        self.looked = Some(now);
        Look::Now
    }

    /// The end of an exchange cannot be refused, and a record in the queue was promised its place there: nobody is told that
    /// they got lost, so they are kept.
    fn keep_for_later(&mut self, batch: &Batch) {
        batch.unwatched().for_each(|line| self.backlog.push(line));
    }

    /// Signs when it is time, and ends a segment that is full.
    fn tend(&mut self) {
        let due = self.uncovered_since.is_some_and(|since| since.elapsed() >= CHECKPOINT_WITHIN);
        if due && matches!(self.state, State::Healthy) {
            self.sign();
        }
        if matches!(self.state, State::Healthy) && self.log.is_full() {
            match self.log.rotate(self.clock.now()) {
                Ok(()) => self.uncovered_since = None,
                Err(fault) => self.fail(fault),
            }
            self.shared.meters.look(&self.log);
        }
    }

    fn sign(&mut self) {
        match self.log.checkpoint() {
            Ok(sync) => {
                self.uncovered_since = None;
                self.shared.meters.look(&self.log);
                sync.into_iter().for_each(|span| self.shared.meters.sync_seconds.observe(span.as_secs_f64()));
            }
            Err(fault) => self.fail(fault),
        }
    }

    fn fail(&mut self, fault: LogFault) {
        self.shared.available.store(false, Ordering::Release);
        self.set_led(Led::No);
        self.shared.meters.faults.inc();
        let (remedy, cause) = (fault.remedy(), fault.to_string());
        match remedy {
            Remedy::Cut | Remedy::Rescue => {
                tracing::error!(error = cause, "audit records cannot be kept: requests are refused until they can");
            }
            Remedy::Stop => {
                tracing::error!(
                    error = cause,
                    "audit records cannot be kept any more: requests are refused until somebody restarts this gateway"
                );
            }
        }
        let now = Instant::now();
        self.state = State::Faulty { remedy, cause, since: now, next_try: now + TRY_EVERY };
        if fault.is_full() {
            self.say_that_the_disk_is_full();
        }
    }

    /// The last record of a full disk, in the room that was kept for it. There may be less than that by now; then
    /// the record of the recovery is the first to tell.
    fn say_that_the_disk_is_full(&mut self) {
        let detail = "the disk is full: requests are refused until there is room".to_owned();
        let said = self.lifecycle(LifecycleChange::LogFull, detail).map(|line| {
            let appended = self.log.make_room_for_a_last_record().and_then(|()| self.log.append(line.once(), Need::Synced, Look::Now))?;
            self.shared.meters.appended(1, &appended, &self.log);
            self.log.checkpoint().map(drop)
        });
        if let Ok(Err(fault)) = said {
            tracing::debug!(error = %fault, "the last record of a full disk was not written whole");
            self.worsen(&fault);
        }
        self.shared.meters.look(&self.log);
    }

    /// Answers everybody at once while nothing can be written.
    fn refuse(&mut self, batch: &Batch) {
        self.keep_for_later(batch);
        batch.settle(&Err(Failure::Audit));
    }

    fn try_again(&mut self, phase: Phase) {
        let State::Faulty { remedy, cause, since, next_try } = &mut self.state else { return };
        // A gateway that is stopping has one try, at once.
        if phase == Phase::Open && Instant::now() < *next_try {
            return;
        }
        *next_try = Instant::now() + TRY_EVERY;
        let (remedy, outage, cause) = (*remedy, since.elapsed(), cause.clone());
        let mended = self.log.mend(remedy, self.clock.now()).and_then(|()| self.catch_up(outage, &cause));
        self.shared.meters.look(&self.log);
        match mended {
            Ok(()) => {
                self.state = State::Healthy;
                self.told = None;
                self.uncovered_since = None;
                self.shared.available.store(true, Ordering::Release);
                tracing::warn!(audit.outage_s = outage.as_secs(), "audit records can be kept again");
            }
            Err(again) => {
                let text = again.to_string();
                // Told once, and not every second.
                if self.told.as_ref() != Some(&text) && text != cause {
                    tracing::error!(error = text, "the audit log cannot be mended yet");
                }
                self.told = Some(text);
                self.worsen(&again);
            }
        }
    }

    /// A fault on the way back may ask for more than the one before it: after a failed sync, no file is trusted any more.
    fn worsen(&mut self, again: &LogFault) {
        if let State::Faulty { remedy, .. } = &mut self.state {
            *remedy = again.remedy().max(*remedy);
        }
    }

    /// The first records after a fault: that there was one, and what had to wait. Signed at once.
    fn catch_up(&mut self, outage: Duration, cause: &str) -> Result<(), LogFault> {
        let detail = format!("records could not be kept for {} s: {cause}; {} had to wait", outage.as_secs(), self.backlog.len());
        let said = self.lifecycle(LifecycleChange::LogRecovered, detail).ok();
        let count = self.backlog.len() + usize::from(said.is_some());
        let lines = said.iter().flat_map(Line::once).chain(self.backlog.iter());
        let appended = self.log.append(lines, Need::Synced, Look::Now)?;
        self.backlog.clear();
        self.shared.meters.appended(count, &appended, &self.log);
        self.log.checkpoint().map(drop)
    }

    /// Closes the log for another writer. What could not be written yet goes back to where that one finds it. No where that
    /// took so long that this one is to go on.
    fn leave(&mut self) -> bool {
        self.close();
        if !self.shared.queue.leave() {
            return false;
        }
        self.set_led(Led::No);
        for line in self.backlog.iter() {
            let _only_a_closed_queue_refuses = self.shared.queue.push_end(line);
        }
        self.backlog.clear();
        true
    }

    /// The last checkpoint, over everything.
    fn close(&mut self) {
        if matches!(self.state, State::Healthy) && self.log.is_uncovered() {
            self.sign();
        }
        if matches!(self.state, State::Healthy)
            && let Err(fault) = self.log.rest()
        {
            tracing::warn!(error = %fault, "the room that was taken for more records could not be given back");
        }
    }

    fn finish(&mut self) {
        self.close();
        if !self.backlog.is_empty() {
            tracing::error!(audit.lost = self.backlog.len(), "ends of exchanges were not recorded: the disk failed until the end");
        }
        self.shared.available.store(false, Ordering::Release);
    }

    fn lifecycle(&self, change: LifecycleChange, detail: String) -> Result<Line, Failure> {
        let facts = LifecycleFacts { change, detail: Some(detail) };
        record::encode(&Event { time: self.clock.now(), body: Body::Lifecycle(Box::new(facts)) }, &self.shared.origin)
    }
}

/// Greatest age of a record that no checkpoint covers.
const CHECKPOINT_WITHIN: Duration = Duration::from_secs(1);

/// Time between two tries to mend the log.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// A write that takes longer is not made in the task of a request.
const SLOW_WRITE: Duration = Duration::from_millis(2);

/// Batches that one of those who wait writes for the others.
const HELPED_BATCHES_MAX: usize = 4;

/// Greatest time between two looks after the files, while records come.
const LOOK_WITHIN: Duration = Duration::from_millis(2);
