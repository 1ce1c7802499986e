//! How long records gather before they are written: as long as it pays, never so long that a request notices.
//!
//! One wake of the writer, one write and one answer cost some ten microseconds together, however many records share them. Where
//! records come rarely, waiting for more only makes a request late. Where they come fast, a machine is busy with other requests
//! meanwhile, and a few tenths of a millisecond are neither seen nor lost.

use std::time::{Duration, Instant};

use super::queue::Gather;

/// How fast records come that somebody waits for.
#[derive(Debug)]
pub struct Pace {
    /// Since when it is counted, and how many came since.
    since: Instant,
    count: usize,
    /// Records a second, smoothed.
    rate: f64,
}

impl Pace {
    pub fn new() -> Self {
        Self { since: Instant::now(), count: 0, rate: 0.0 }
    }

    /// A batch was taken that had this many records somebody waits for.
    pub fn took(&mut self, items: usize, now: Instant) {
        self.count += items;
        let span = now.duration_since(self.since);
        // Some records at once are no pace: what counts is how many come in a while.
        if span >= WHILE {
            let rate = f64::from(u32::try_from(self.count).unwrap_or(u32::MAX)) / span.as_secs_f64();
            self.rate += (rate - self.rate) * WEIGHT;
            (self.since, self.count) = (now, 0);
        }
    }

    /// Whether records come so fast that the machine is busy.
    #[must_use]
    pub const fn is_fast(&self) -> bool {
        self.rate >= FAST
    }

    /// How long the next batch may gather.
    #[must_use]
    pub fn gather(&self) -> Gather {
        let most = if self.rate >= FAST { LONGEST } else { LONG };
        let wanted = WANTED / self.rate.max(1.0);
        // Less than two records in that time: nothing would gather.
        let waited_for = if self.rate * most.as_secs_f64() < 2.0 { Duration::ZERO } else { Duration::from_secs_f64(wanted).min(most) };
        Gather { waited_for, enough: ENOUGH, alone: ALONE, unasked: self.is_fast() }
    }
}

/// Records that should share a batch: more of them make each hardly cheaper.
const WANTED: f64 = 16.0;

/// So many end the gathering at once.
const ENOUGH: usize = 32;

/// Records a second at which a machine is busy, and the longest gathering below and above that. A record waits half of it
/// on average.
const FAST: f64 = 16_000.0;
const LONG: Duration = Duration::from_micros(240);
const LONGEST: Duration = Duration::from_micros(500);

/// For what nobody waits for. Whoever waits for a record of their own meanwhile writes it too, and the thread is woken less often.
const ALONE: Duration = Duration::from_millis(20);

/// How long is counted at a time, and how much the latest count weighs.
const WHILE: Duration = Duration::from_millis(4);
const WEIGHT: f64 = 0.3;

#[cfg(test)]
mod tests {
    use super::*;

    fn gathers(rate: f64) -> Duration {
        Pace { rate, ..Pace::new() }.gather().waited_for
    }

    #[test]
    fn records_that_come_rarely_do_not_wait() {
        for rate in [0.0, 1.0, 100.0, 2_500.0, 8_000.0] {
            assert_eq!(gathers(rate), Duration::ZERO, "{rate} a second");
        }
    }

    #[test]
    fn records_that_come_fast_gather_and_never_for_longer_than_half_a_millisecond() {
        for rate in [9_000.0, 15_000.0, 20_000.0, 50_000.0, 200_000.0] {
            let gathered = rate * gathers(rate).as_secs_f64();
            assert!((2.0..=16.1).contains(&gathered) && gathers(rate) <= LONGEST, "{gathered} of {rate} a second");
        }
    }

    #[test]
    fn the_pace_follows_what_comes_in_a_while_and_not_what_comes_at_once() {
        let mut pace = Pace::new();
        let mut now = pace.since;
        // Five at once, a thousand times a second: 5,000 a second.
        for _ in 0..500 {
            (0..5).for_each(|_| pace.took(1, now));
            now += Duration::from_millis(1);
        }
        assert!((4_000.0..6_000.0).contains(&pace.rate) && !pace.is_fast(), "{}", pace.rate);
        for _ in 0..500 {
            pace.took(20, now);
            now += Duration::from_millis(1);
        }
        assert!(pace.is_fast(), "{}", pace.rate);
        pace.took(0, now + Duration::from_secs(1));
        pace.took(0, now + Duration::from_secs(2));
        assert!(!pace.is_fast(), "{}", pace.rate);
    }
}
