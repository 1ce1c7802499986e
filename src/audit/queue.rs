//! The way to the writer thread: a bounded queue of records that somebody waits for, and beside it the ends of exchanges.
//!
//! A full queue means that the disk is slower than the traffic: the record is refused, and with it the request. The end of an
//! exchange cannot be refused, because its request has passed already; it has its own place, which cannot run full: each
//! recorded exchange puts one thing there, and no exchange begins while the writer stands still.

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
    /// No more is taken in; what is there is still written.
    Closed,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    ends: Vec<Line>,
    phase: Phase,
    /// Whether the writer sleeps: it is woken only then.
    asleep: bool,
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

    /// Waits for work for at most `patience` (for ever when none is given), and takes at most `limit` records of it.
    pub fn take(&self, patience: Option<Duration>, limit: usize) -> Work {
        let mut state = self.lock();
        let idle = |state: &mut State| state.items.is_empty() && state.ends.is_empty() && state.phase == Phase::Open;
        if idle(&mut state) {
            state.asleep = true;
            state = match patience {
                Some(span) => self.wake.wait_timeout_while(state, span, idle).unwrap_or_else(PoisonError::into_inner).0,
                None => self.wake.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner),
            };
            state.asleep = false;
        }
        let count = state.items.len().min(limit);
        Work { items: state.items.drain(..count).collect(), ends: std::mem::take(&mut state.ends), phase: state.phase }
    }

    /// Ends intake. The writer finishes what is there and stops.
    pub fn close(&self) {
        let mut state = self.lock();
        state.phase = Phase::Closed;
        self.wake(state);
    }

    #[must_use]
    pub fn depth(&self) -> usize {
        let state = self.lock();
        state.items.len() + state.ends.len()
    }

    fn wake(&self, state: MutexGuard<'_, State>) {
        let asleep = state.asleep;
        drop(state);
        if asleep {
            self.wake.notify_one();
        }
    }

    /// Nothing under the lock panics, so a poisoned lock holds a whole state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
