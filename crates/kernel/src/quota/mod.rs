//! Rates: how many of something in how long, and how many at once.

use std::num::NonZeroU32;
use std::time::Duration;

use thiserror::Error;

/// `count` in each `per`, with up to `burst` at once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    pub count: NonZeroU32,
    pub per: Duration,
    pub burst: NonZeroU32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RateFault {
    #[error("a rate is written like \"20/s\", \"10/m\" or \"100/h\"")]
    Form,
    #[error("a rate of zero would let nothing pass")]
    Zero,
}

impl Rate {
    /// Reads `"20/s"`, `"10/m"` or `"100/h"`. The burst is the count.
    pub fn parse(text: &str) -> Result<Self, RateFault> {
        let (count, unit) = text.split_once('/').ok_or(RateFault::Form)?;
        let per = match unit.trim() {
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3_600),
            _ => return Err(RateFault::Form),
        };
        let count: u32 = count.trim().parse().map_err(|_| RateFault::Form)?;
        let count = NonZeroU32::new(count).ok_or(RateFault::Zero)?;
        Ok(Self { count, per, burst: count })
    }

    /// The time in which one is regained.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.per / self.count.get()
    }
}

#[cfg(test)]
#[path = "quota_tests.rs"]
mod tests;
