//! The way to the writer thread: a bounded queue of records that somebody waits for, and beside it the ends of exchanges.
//!
//! A full queue means that the disk is slower than the traffic: the record is refused, and with it the request. The end of an
//! exchange cannot be refused, because its request has passed already; it has its own place, which cannot run full: each
//! recorded exchange puts one thing there, and no exchange begins while the writer stands still.
//!
//! Waking the writer costs more than writing a record. So it is woken by the first record alone, lets others gather for a
//! moment that depends on how fast they come, and is not woken at all by what nobody waits for while it gathers.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kernel::Failure;
use tokio::sync::oneshot;

use super::log::{Line, Need};

/// The queue. One writer takes from it.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    capacity: usize,
}

/// A record on its way.
#[derive(Debug)]
pub struct Item {
    pub line: Line,
    pub need: Need,
    /// Told when the need is met, or that it cannot be. Nobody listening changes nothing.
    pub reply: Option<oneshot::Sender<Result<(), Failure>>>,
}

/// What the writer takes at once, oldest first.
#[derive(Debug, Default)]
pub struct Work {
    pub items: Vec<Item>,
    pub ends: Vec<Line>,
    pub phase: Phase,
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
    /// After the first record that somebody waits for.
    pub waited_for: Duration,
    /// So many of those end the gathering.
    pub enough: usize,
    /// After the first one that nobody waits for.
    pub alone: Duration,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    ends: Vec<Line>,
    phase: Phase,
    writer: Sleep,
}

/// What the writer is to be woken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sleep {
    #[default]
    Awake,
    ForAnything,
    /// For so many records that somebody waits for.
    ForItems(usize),
}

impl Queue {
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { state: Mutex::default(), wake: Condvar::new(), capacity: capacity.max(1) }
    }

    /// Puts a record in the queue. Full or closed is a failure of the audit log.
    pub fn push(&self, item: Item) -> Result<(), Failure> {
        let mut state = self.lock();
        if state.phase == Phase::Closed || state.items.len() >= self.capacity {
            return Err(Failure::Audit);
        }
        state.items.push_back(item);
        self.wake(state);
        Ok(())
    }

    /// Puts the end of an exchange down. Never blocks and never refuses before the writer has stopped.
    pub fn push_end(&self, line: Line) -> Result<(), Failure> {
        let mut state = self.lock();
        if state.phase == Phase::Closed {
            return Err(Failure::Audit);
        }
        state.ends.push(line);
        self.wake(state);
        Ok(())
    }

    /// Waits for work for at most `patience` (for ever when none is given), lets more gather, and takes at most `limit`
    /// records of it.
    pub fn take(&self, patience: Option<Duration>, gather: Gather, limit: usize) -> Work {
        let mut state = self.lock();
        if state.is_idle() {
            state = self.sleep(state, Sleep::ForAnything, patience);
        }
        if state.items.is_empty() && !state.ends.is_empty() {
            state = self.sleep(state, Sleep::ForItems(1), Some(gather.alone));
        }
        if state.phase == Phase::Paused {
            return Work { phase: Phase::Paused, ..Work::default() };
        }
        let enough = gather.enough.min(limit);
        if !state.items.is_empty() && state.items.len() < enough && !gather.waited_for.is_zero() {
            state = self.sleep(state, Sleep::ForItems(enough), Some(gather.waited_for));
        }
        if state.phase == Phase::Paused {
            return Work { phase: Phase::Paused, ..Work::default() };
        }
        let count = state.items.len().min(limit);
        Work { items: state.items.drain(..count).collect(), ends: std::mem::take(&mut state.ends), phase: state.phase }
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

    /// Sends the writer away: what comes from now on waits, within the queue's bound.
    pub fn pause(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Paused;
        }
        self.wake(state);
    }

    /// Another writer may take from it.
    pub fn resume(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Paused {
            state.phase = Phase::Open;
        }
    }

    #[must_use]
    pub fn depth(&self) -> usize {
        let state = self.lock();
        state.items.len() + state.ends.len()
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

    /// Nothing under the lock panics, so a poisoned lock holds a whole state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.items.is_empty() && self.ends.is_empty() && matches!(self.phase, Phase::Open)
    }

    /// Whether what the writer sleeps for is there.
    fn is_awaited(&self) -> bool {
        match self.writer {
            Sleep::Awake => true,
            Sleep::ForAnything => !self.is_idle(),
            Sleep::ForItems(count) => self.items.len() >= count || self.phase != Phase::Open,
        }
    }
}
