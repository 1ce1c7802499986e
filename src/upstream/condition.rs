//! Whether an upstream is fit to be asked: what exchanges and health checks told of it.
//!
//! An upstream that is out is passed over, never forbidden: when all of a route's are out, all are tried.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// What is known of one upstream. Read for every request, so that it is a few atomics and no lock.
#[derive(Debug)]
pub struct Condition {
    born: Instant,
    /// Exchanges in a row that the upstream failed.
    failures: AtomicU32,
    /// Times in a row that it was ejected.
    ejections: AtomicU32,
    /// Milliseconds from `born`. Zero: it was never ejected.
    ejected_until: AtomicU64,
    /// Health checks took it out.
    unhealthy: AtomicBool,
    /// Milliseconds from `born` to the moment when health checks brought it back. Zero: never.
    recovered: AtomicU64,
}

impl Condition {
    pub fn new() -> Self {
        Self {
            born: Instant::now(),
            failures: AtomicU32::new(0),
            ejections: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            unhealthy: AtomicBool::new(false),
            recovered: AtomicU64::new(0),
        }
    }

    /// There was no connection. Asked again only after a span that grows.
    pub fn unreachable(&self, span: Duration) {
        let before = self.ejections.fetch_add(1, Ordering::Relaxed).min(DOUBLINGS_MAX);
        let span = span.saturating_mul(1 << before).min(EJECTION_MAX.max(span));
        self.failures.store(0, Ordering::Relaxed);
        self.ejected_until.store(self.now().saturating_add(millis(span)).max(1), Ordering::Relaxed);
    }

    /// There was a connection and no answer, or none that is HTTP. Once says little; in a row it counts like no connection.
    pub fn failed(&self, span: Duration) {
        if self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1) >= FAILURES_MAX {
            self.unreachable(span);
        }
    }

    /// There was an answer. Most calls change nothing, and then nothing is written that other threads read.
    pub fn answered(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        if self.ejections.load(Ordering::Relaxed) != 0 {
            self.ejections.store(0, Ordering::Relaxed);
            let now = self.now();
            // One that was tried although it was out is back at once, and warms up from here.
            self.ejected_until.fetch_min(now, Ordering::Relaxed);
        }
    }

    /// What health checks found. Returns whether that is news.
    pub fn set_healthy(&self, healthy: bool) -> bool {
        let was_unhealthy = self.unhealthy.swap(!healthy, Ordering::Relaxed);
        if healthy && was_unhealthy {
            self.recovered.store(self.now().max(1), Ordering::Relaxed);
        }
        was_unhealthy == healthy
    }

    pub fn is_out(&self) -> bool {
        if self.unhealthy.load(Ordering::Relaxed) {
            return true;
        }
        let until = self.ejected_until.load(Ordering::Relaxed);
        until != 0 && self.now() < until
    }

    /// The share of work that it may have, of [`FULL`]: less for a while after it came back, so that caches and connections
    /// of a program that was restarted grow before the whole load comes.
    pub fn share(&self, slow_start: Duration) -> u64 {
        let back = self.ejected_until.load(Ordering::Relaxed).max(self.recovered.load(Ordering::Relaxed));
        let span = millis(slow_start);
        if back == 0 || span == 0 {
            return FULL;
        }
        let since = self.now().saturating_sub(back);
        (since.saturating_mul(FULL) / span).clamp(LEAST, FULL)
    }

    fn now(&self) -> u64 {
        millis(self.born.elapsed())
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// The share of an upstream that is well.
pub const FULL: u64 = 100;
/// The share of one that has just come back.
const LEAST: u64 = 10;

/// Failed exchanges in a row that count like no connection.
const FAILURES_MAX: u32 = 5;
/// The span of an ejection doubles so often.
const DOUBLINGS_MAX: u32 = 5;
const EJECTION_MAX: Duration = Duration::from_secs(60);
