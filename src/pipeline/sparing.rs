//! A line of the log that is written once a second, however often there is a reason.

use std::sync::atomic::{AtomicU64, Ordering};

use kernel::time::Timestamp;

/// Counts reasons between two lines.
#[derive(Debug)]
pub struct Sparing {
    /// The second of the latest line, by the gateway's clock.
    written: AtomicU64,
    kept_back: AtomicU64,
}

impl Sparing {
    pub const fn new() -> Self {
        Self { written: AtomicU64::new(0), kept_back: AtomicU64::new(0) }
    }

    /// None where the line is not to be written; else how many others were not since the one before.
    pub fn count(&self, now: Timestamp) -> Option<u64> {
        let second = now.as_seconds();
        let last = self.written.load(Ordering::Relaxed);
        // A clock that was put back is another second as well.
        if last != second && self.written.compare_exchange(last, second, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            return Some(self.kept_back.swap(0, Ordering::Relaxed));
        }
        self.kept_back.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_line_a_second_and_it_counts_the_others() {
        let sparing = Sparing::new();
        let at = Timestamp::from_seconds;
        assert_eq!(sparing.count(at(7)), Some(0));
        assert_eq!((sparing.count(at(7)), sparing.count(at(7))), (None, None));
        assert_eq!(sparing.count(at(8)), Some(2));
        assert_eq!((sparing.count(at(8)), sparing.count(at(9))), (None, Some(1)));
        assert_eq!(sparing.count(at(3)), Some(0));
    }
}
