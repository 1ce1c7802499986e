//! The pauses of one session behind a lock that is held for a few instructions and never across an await.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kernel::session::{Pauses, pauses::SHORTEST};
use kernel::time::Timestamp;

pub struct Pausing(Mutex<Pauses>);

impl Pausing {
    pub const fn new(pauses: Pauses) -> Self {
        Self(Mutex::new(pauses))
    }

    pub fn note(&self, last_seen: Timestamp, now: Timestamp) {
        if now.since(last_seen) >= SHORTEST {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).note(last_seen, now);
        }
    }

    pub fn resumed_after(&self, idle_timeout: Duration) -> Option<Timestamp> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).resumed_after(idle_timeout)
    }
}

impl fmt::Debug for Pausing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pausing")
    }
}
