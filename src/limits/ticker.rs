//! The monotonic time of the limits. The wall clock would do harm here: set back an hour, it would throttle everybody for
//! an hour.

use std::time::Duration;

use governor::clock::{Clock, FakeRelativeClock, QuantaClock, Reference};
use governor::nanos::Nanos;

/// Counts nanoseconds since some start.
#[derive(Clone, Debug)]
pub struct Ticker(Source);

#[derive(Clone, Debug)]
enum Source {
    Machine { clock: QuantaClock, start: <QuantaClock as Clock>::Instant },
    Manual(FakeRelativeClock),
}

/// Moves a manual [`Ticker`].
#[derive(Clone, Debug, Default)]
pub struct ManualTicks(FakeRelativeClock);

impl Ticker {
    /// The machine's monotonic clock.
    #[must_use]
    pub fn machine() -> Self {
        let clock = QuantaClock::default();
        let start = clock.now();
        Self(Source::Machine { clock, start })
    }

    /// A clock that stands until it is moved.
    #[must_use]
    pub fn manual(ticks: &ManualTicks) -> Self {
        Self(Source::Manual(ticks.0.clone()))
    }
}

impl ManualTicks {
    pub fn advance(&self, span: Duration) {
        self.0.advance(span);
    }
}

impl Clock for Ticker {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        match &self.0 {
            Source::Machine { clock, start } => clock.now().duration_since(*start),
            Source::Manual(clock) => clock.now(),
        }
    }
}
