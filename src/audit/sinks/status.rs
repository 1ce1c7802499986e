//! How a sink is doing: counters that its thread writes and everybody reads.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use kernel::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::Sink;

/// Shared by a sink's thread and whoever asks.
#[derive(Debug)]
pub struct Status {
    name: Box<str>,
    kind: &'static str,
    target: String,
    /// The first record that the receiver does not have for certain.
    pub next: AtomicU64,
    /// Records that the latest checkpoint covers.
    pub head: AtomicU64,
    /// When the oldest record was written that is not acknowledged, in milliseconds since 1970; 0 when there is none.
    pub oldest_ms: AtomicU64,
    pub batches: AtomicU64,
    pub events: AtomicU64,
    pub bytes: AtomicU64,
    pub errors: AtomicU64,
    pub dropped: AtomicU64,
    pub blocks: AtomicBool,
    trouble: Mutex<Trouble>,
}

#[derive(Debug, Default)]
struct Trouble {
    /// What is wrong now.
    now: Option<String>,
    last: Option<(Timestamp, String)>,
}

/// A sink at one moment, for people and metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkReport {
    pub name: String,
    pub kind: String,
    pub target: String,
    pub state: SinkState,
    /// The first record that the receiver does not have for certain; everything before it was acknowledged, skipped on record,
    /// or left out by the filter.
    pub next: u64,
    pub lag_records: u64,
    pub lag_seconds: u64,
    pub batches: u64,
    pub events: u64,
    pub bytes: u64,
    pub errors: u64,
    pub dropped: u64,
    pub last_error: Option<String>,
    pub last_error_at: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SinkState {
    /// The receiver takes what it is sent.
    Shipping,
    /// Tries again and again.
    Failing,
    /// So far behind that grants are refused.
    Blocking,
}

impl Status {
    #[must_use]
    pub fn new(sink: &Sink) -> Self {
        Self {
            name: sink.name.clone(),
            kind: sink.carrier.kind(),
            target: sink.carrier.target(),
            next: AtomicU64::new(0),
            head: AtomicU64::new(0),
            oldest_ms: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            events: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            blocks: AtomicBool::new(false),
            trouble: Mutex::default(),
        }
    }

    /// Notes a fault. True when it is a new one, so that it is told once and not at every try.
    pub fn fail(&self, now: Timestamp, what: String) -> bool {
        self.errors.fetch_add(1, Ordering::Relaxed);
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let new = trouble.now.as_ref() != Some(&what);
        trouble.now = Some(what.clone());
        trouble.last = Some((now, what));
        new
    }

    /// The receiver takes again. True when it did not before.
    pub fn recover(&self) -> bool {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).now.take().is_some()
    }

    #[must_use]
    pub fn report(&self, now: Timestamp) -> SinkReport {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (next, head) = (read(&self.next), read(&self.head));
        let lag_records = head.saturating_sub(next);
        let oldest = read(&self.oldest_ms);
        let lag_seconds = if lag_records == 0 || oldest == 0 { 0 } else { now.as_millis().saturating_sub(oldest) / 1_000 };
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let state = match (self.blocks.load(Ordering::Relaxed), &trouble.now) {
            (true, _) => SinkState::Blocking,
            (false, Some(_)) => SinkState::Failing,
            (false, None) => SinkState::Shipping,
        };
        SinkReport {
            name: self.name.to_string(),
            kind: self.kind.to_owned(),
            target: self.target.clone(),
            state,
            next,
            lag_records,
            lag_seconds,
            batches: read(&self.batches),
            events: read(&self.events),
            bytes: read(&self.bytes),
            errors: read(&self.errors),
            dropped: read(&self.dropped),
            last_error: trouble.last.as_ref().map(|(_, what)| what.clone()),
            last_error_at: trouble.last.as_ref().map(|(when, _)| when.to_string()),
        }
    }
}
