//! The way to the writer: a bounded queue of records that somebody waits for, and beside it the ends of exchanges.
//!
//! A full queue means that the disk is slower than the traffic: the record is refused, and with it the request. The end of an
//! exchange cannot be refused, because its request has passed already; it has its own place, which cannot run full: each
//! recorded exchange puts one thing there, and no exchange begins while the writer stands still.
//!
//! Waking the writer's thread costs more than writing a record. So while the queue is *led*, whoever waits for a record to be
//! written takes what has gathered and writes it himself (see [`pen`](super::pen)), and the thread is woken for the rest: what
//! is to be synced, and what nobody waits for. Otherwise it is woken by the first record alone, lets others gather for a moment
//! that depends on how fast they come, and is not woken at all by what nobody waits for while it gathers.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kernel::Failure;

use super::batch::{Answer, Batch};
use super::log::Need;

/// The queue. Whoever holds the pen takes from it.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    /// The writer has left, because it was sent away.
    left: Condvar,
    capacity: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    #[default]
    Open,
    /// What comes waits for another writer: see [`relay`](super::relay).
    Paused,
    /// No more is taken in; what is there is still written.
    Closed,
}

/// How long the writer lets records gather before it takes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gather {
    /// After the first record that can be refused.
    pub waited_for: Duration,
    /// So many of those end the gathering.
    pub enough: usize,
    /// After the first end of an exchange.
    pub alone: Duration,
    /// Whether it begins at once, before there is a first one: where they come fast, nobody need wake the writer for that.
    pub unasked: bool,
}

#[derive(Debug, Default)]
struct State {
    /// Oldest first; lines are added to the last.
    batches: VecDeque<Batch>,
    /// How many lines there are that could have been refused, and how many that could not.
    items: usize,
    ends: usize,
    /// Batches that were written, to be used again.
    spare: Vec<Batch>,
    /// How many of the lines are written by one of those who wait for them, while the queue is led.
    led_lines: usize,
    led: Led,
    phase: Phase,
    writer: Sleep,
    left: bool,
    /// The thread is wanted for something else than lines.
    called: bool,
}

/// Whether those who wait write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Led {
    #[default]
    No,
    Yes,
}

/// What the writer is to be woken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sleep {
    #[default]
    Awake,
    ForAnything,
    /// For so many records that can be refused.
    ForItems(usize),
}

impl Queue {
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { state: Mutex::default(), wake: Condvar::new(), left: Condvar::new(), capacity: capacity.max(1) }
    }

    /// Puts a record in the queue, and gives what to wait for. Full or closed is a failure of the audit log.
    pub fn push(&self, line: &[u8], need: Need) -> Result<Answer, Failure> {
        let mut state = self.lock_with_room()?;
        state.items += 1;
        state.led_lines += usize::from(need == Need::Written);
        let answer = state.last().push(line, need);
        self.wake(state);
        Ok(answer)
    }

    /// As [`push`](Self::push), where the place in the queue is all that is asked for.
    pub fn push_unwatched(&self, line: &[u8]) -> Result<(), Failure> {
        let mut state = self.lock_with_room()?;
        state.items += 1;
        state.last().push_unwatched(line);
        self.wake(state);
        Ok(())
    }

    /// Puts the end of an exchange down. Never blocks and never refuses before the writer has stopped.
    pub fn push_end(&self, line: &[u8]) -> Result<(), Failure> {
        let mut state = self.lock();
        if state.phase == Phase::Closed {
            return Err(Failure::Audit);
        }
        state.ends += 1;
        state.last().push_end(line);
        self.wake(state);
        Ok(())
    }

    /// Waits for work of the thread's for at most `patience` (for ever when none is given), and lets more gather.
    pub fn wait(&self, patience: Option<Duration>, gather: Gather) {
        let mut state = self.lock();
        if gather.unasked && state.led == Led::No && state.items < gather.enough && state.phase == Phase::Open {
            state = self.sleep(state, Sleep::ForItems(gather.enough), Some(gather.waited_for));
        }
        if state.is_idle() {
            state = self.sleep(state, Sleep::ForAnything, patience);
        }
        if state.items_to_take() == 0 && state.ends > 0 {
            state = self.sleep(state, Sleep::ForItems(1), Some(gather.alone));
        }
        let gathers = (1..gather.enough).contains(&state.items_to_take()) && !gather.waited_for.is_zero() && !gather.unasked;
        if gathers && state.phase == Phase::Open {
            state = self.sleep(state, Sleep::ForItems(gather.enough), Some(gather.waited_for));
        }
        state.called = false;
    }

    /// Takes a batch, an empty one where nothing is there. The one that was taken before can be given back, for its memory.
    pub fn take(&self, spent: Option<Batch>) -> (Batch, Phase) {
        let mut state = self.lock();
        state.spare(spent);
        if state.phase == Phase::Paused {
            return (Batch::default(), Phase::Paused);
        }
        (state.first(), state.phase)
    }

    /// Takes a batch that one of those who wait for it may write: the queue is led, and nothing is to be synced.
    pub fn take_led(&self, spent: Option<Batch>) -> Option<Batch> {
        let mut state = self.lock();
        state.spare(spent);
        (state.led == Led::Yes && state.phase == Phase::Open && state.front_is_led()).then(|| state.first())
    }

    /// Whether there are lines that whoever held the pen a moment ago has to look after: those who waited for it did not.
    #[must_use]
    pub fn has_led_lines(&self) -> bool {
        let state = self.lock();
        state.led == Led::Yes && state.phase == Phase::Open && state.front_is_led()
    }

    /// Says who writes from now on.
    pub fn lead(&self, led: Led) {
        let mut state = self.lock();
        state.led = led;
        self.wake(state);
    }

    /// Wakes the thread for something else than lines.
    pub fn call(&self) {
        let mut state = self.lock();
        state.called = true;
        self.wake(state);
    }

    fn sleep<'a>(&self, mut state: MutexGuard<'a, State>, sleep: Sleep, patience: Option<Duration>) -> MutexGuard<'a, State> {
        state.writer = sleep;
        let asleep = |state: &mut State| !state.is_awaited();
        let mut state = match patience {
            Some(span) => self.wake.wait_timeout_while(state, span, asleep).unwrap_or_else(PoisonError::into_inner).0,
            None => self.wake.wait_while(state, asleep).unwrap_or_else(PoisonError::into_inner),
        };
        state.writer = Sleep::Awake;
        state
    }

    /// Ends intake. The writer finishes what is there and stops.
    pub fn close(&self) {
        let mut state = self.lock();
        state.phase = Phase::Closed;
        self.wake(state);
    }

    /// Sends the writer away: what comes from now on waits, within the queue's bound. Where it has not left within `limit`,
    /// because a disk holds it, it is not sent away after all, and the answer is no.
    pub fn pause(&self, limit: Duration) -> bool {
        let mut state = self.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Paused;
        }
        self.wake(state);
        let stays = |state: &mut State| !state.left && state.phase == Phase::Paused;
        let mut state = self.left.wait_timeout_while(self.lock(), limit, stays).unwrap_or_else(PoisonError::into_inner).0;
        if stays(&mut state) {
            state.phase = Phase::Open;
        }
        state.left
    }

    /// The writer that was sent away is done. No means that it goes on: it is not to leave any more.
    pub fn leave(&self) -> bool {
        let mut state = self.lock();
        state.left = state.phase == Phase::Paused;
        self.left.notify_all();
        state.left
    }

    /// Another writer may take from it.
    pub fn resume(&self) {
        let mut state = self.lock();
        state.left = false;
        if state.phase == Phase::Paused {
            state.phase = Phase::Open;
        }
    }

    #[must_use]
    pub fn depth(&self) -> usize {
        let state = self.lock();
        state.items + state.ends
    }

    /// Wakes the writer, where it sleeps and what it sleeps for is there. It is told once.
    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let awaited = state.writer != Sleep::Awake && state.is_awaited();
        if awaited {
            state.writer = Sleep::Awake;
        }
        drop(state);
        if awaited {
            self.wake.notify_one();
        }
    }

    fn lock_with_room(&self) -> Result<MutexGuard<'_, State>, Failure> {
        let state = self.lock();
        if state.phase != Phase::Closed && state.items < self.capacity { Ok(state) } else { Err(Failure::Audit) }
    }

    /// Nothing under the lock panics, so a poisoned lock holds a whole state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether the thread has nothing to do.
    fn is_idle(&self) -> bool {
        self.items_to_take() == 0 && self.ends == 0 && !self.called && matches!(self.phase, Phase::Open)
    }

    fn front_is_led(&self) -> bool {
        self.batches.front().is_some_and(|first| first.led() > 0 && first.need() == Need::Written)
    }

    /// The lines that could have been refused and that are the thread's.
    const fn items_to_take(&self) -> usize {
        match self.led {
            Led::No => self.items,
            Led::Yes => self.items.saturating_sub(self.led_lines),
        }
    }

    fn spare(&mut self, spent: Option<Batch>) {
        let spared = self.spare.len() < SPARE_MAX;
        self.spare.extend(spent.filter(|_| spared));
    }

    fn first(&mut self) -> Batch {
        let batch = self.batches.pop_front().unwrap_or_default();
        self.items -= batch.items();
        self.ends -= batch.ends();
        self.led_lines -= batch.led();
        batch
    }

    /// The batch that lines are added to.
    fn last(&mut self) -> &mut Batch {
        match self.batches.pop_back() {
            Some(last) if !last.is_full() => self.batches.push_back_mut(last),
            full => {
                self.batches.extend(full);
                self.batches.push_back_mut(self.spare.pop().unwrap_or_default())
            }
        }
    }

    /// Whether what the writer sleeps for is there.
    fn is_awaited(&self) -> bool {
        match self.writer {
            Sleep::Awake => true,
            Sleep::ForAnything => !self.is_idle(),
            Sleep::ForItems(count) => self.items_to_take() >= count || self.called || self.phase != Phase::Open,
        }
    }
}

/// Batches whose memory is kept.
const SPARE_MAX: usize = 2;
