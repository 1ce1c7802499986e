//! How long to wait after a fault: twice as long each time, up to a bound, and never as long as another sink, so that a
//! receiver that comes back is not met by everybody at once.

use std::time::Duration;

use crate::entropy;

/// Counts faults in a row.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    faults: u32,
}

impl Backoff {
    pub fn reset(&mut self) {
        self.faults = 0;
    }

    /// The next pause: between half and all of its bound.
    pub fn next(&mut self) -> Duration {
        let bound = FIRST.saturating_mul(1 << self.faults.min(DOUBLINGS)).min(LONGEST);
        self.faults = self.faults.saturating_add(1);
        // Without randomness there is no jitter, which harms nobody's safety.
        let [part] = entropy::bytes::<1>().unwrap_or_default();
        bound / 2 + bound * u32::from(part) / 512
    }
}

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
const DOUBLINGS: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_within_their_bounds() {
        let mut backoff = Backoff::default();
        let mut bound = FIRST;
        for _ in 0..40 {
            let pause = backoff.next();
            assert!(pause >= bound / 2 && pause <= bound, "{pause:?} of {bound:?}");
            bound = (bound * 2).min(LONGEST);
        }
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
