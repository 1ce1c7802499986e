//! How often a subject may try a second factor.
//!
//! One counter per subject stands behind every endpoint, session and address, so that nothing is gained by a new sign-in or
//! a second tab. Only somebody who holds the subject's first factor reaches it: before sign-in there is no subject to count
//! for, and so no stranger can lock a person out. Whoever does reach it can make the person wait, and is on record.
//!
//! An attempt is counted when it begins, before the code is looked at, and a success clears the count. Counting afterwards
//! would let a hundred requests at once all pass the check that only the first should pass.

use std::time::Duration;

use crate::time::Timestamp;

/// Whether a code may be tried now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Allowance {
    Try,
    /// Not before this time has passed.
    Wait(Duration),
    /// Not until an administrator has reset the factors (NIST SP 800-63B §3.2.2: at most 100 failures in a row).
    Stopped,
}

/// Judges the next attempt after `failures` wrong codes in a row, the last of them at `last_failure`.
///
/// A clock that was set back lengthens a wait and never shortens it; failures without a known time count as just now.
pub fn state(failures: u32, last_failure: Option<Timestamp>, now: Timestamp) -> Allowance {
    if failures >= FAILURES_MAX {
        return Allowance::Stopped;
    }
    let passed = last_failure.map_or(Duration::ZERO, |last| now.since(last));
    match delay_after(failures).saturating_sub(passed) {
        Duration::ZERO => Allowance::Try,
        remaining => Allowance::Wait(remaining),
    }
}

/// The wait after a number of wrong codes in a row: none for a person who mistypes, then 30 s, doubling up to two hours.
#[must_use]
pub fn delay_after(failures: u32) -> Duration {
    let Some(doublings) = failures.checked_sub(FAILURES_FREE + 1) else { return Duration::ZERO };
    2_u32.checked_pow(doublings).map_or(DELAY_MAX, |factor| DELAY_FIRST.saturating_mul(factor).min(DELAY_MAX))
}

/// Wrong codes without a wait: two fingers slip, and a phone's clock takes two tries to mend.
pub const FAILURES_FREE: u32 = 4;

/// Wrong codes in a row after which nothing more is tried.
pub const FAILURES_MAX: u32 = 100;

const DELAY_FIRST: Duration = Duration::from_secs(30);

/// Long enough that a day of guessing succeeds with a probability of less than 1 in 10 000, with three codes good at a time.
const DELAY_MAX: Duration = Duration::from_secs(2 * 3_600);

#[cfg(test)]
#[path = "lockout_tests.rs"]
mod tests;
