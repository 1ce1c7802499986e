//! The only reader of the clocks: the one on the wall, and the steady one that nobody sets.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kernel::time::Timestamp;

/// Tells the time. Cloned freely; tests set theirs by hand.
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone, Default)]
enum Source {
    #[default]
    System,
    Manual(Arc<Manual>),
}

/// Both clocks of a test, in microseconds.
#[derive(Default)]
struct Manual {
    wall: AtomicU64,
    steady: AtomicU64,
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at `start` until it is moved.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(Manual { wall: AtomicU64::new(start.as_micros()), steady: AtomicU64::new(0) })))
    }

    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            // A clock before 1970 is a clock that was never set: the epoch makes everything look expired.
            Source::System => SystemTime::now().duration_since(UNIX_EPOCH).map_or(Timestamp::EPOCH, |since| Timestamp::EPOCH.plus(since)),
            Source::Manual(manual) => Timestamp::from_micros(manual.wall.load(Ordering::Acquire)),
        }
    }

    /// Time since some moment in the past, by the clock that nobody sets. Good for spans alone.
    #[must_use]
    pub fn steady(&self) -> Duration {
        static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
        match &self.0 {
            Source::System => BEGUN.elapsed(),
            Source::Manual(manual) => Duration::from_micros(manual.steady.load(Ordering::Acquire)),
        }
    }

    /// Lets time pass on a manual clock. The machine's clock stays as it is.
    pub fn advance(&self, span: Duration) {
        if let Source::Manual(manual) = &self.0 {
            manual.wall.store(self.now().plus(span).as_micros(), Ordering::Release);
            manual.steady.store(u64::try_from((self.steady() + span).as_micros()).unwrap_or(u64::MAX), Ordering::Release);
        }
    }

    /// Sets a manual clock, forward or back, as an operator or a time server sets a machine's: no time passes.
    pub fn set(&self, time: Timestamp) {
        if let Source::Manual(manual) = &self.0 {
            manual.wall.store(time.as_micros(), Ordering::Release);
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Manual(_) => "Manual",
        })
    }
}
