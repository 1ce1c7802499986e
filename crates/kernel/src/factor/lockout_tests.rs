//! Lockout: when wrong codes keep a person waiting, and for how long.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use proptest::prelude::*;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3_600);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(1_000_000 + seconds)
}

#[test]
fn the_wait_grows_with_every_failure() {
    assert!((0..=4).all(|failures| delay_after(failures) == Duration::ZERO));
    let seconds = [30, 60, 120, 240, 480, 960, 1_920, 3_840, 7_200, 7_200];
    for (failures, wait) in (5..).zip(seconds) {
        assert_eq!(delay_after(failures), Duration::from_secs(wait), "after {failures}");
    }
    for failures in [36, 37, 38, 69, 99, 100, u32::MAX] {
        assert_eq!(delay_after(failures), Duration::from_secs(7_200), "after {failures}");
    }
}

#[test]
fn the_first_failures_are_free() {
    for failures in 0..=4 {
        assert_eq!(state(failures, Some(at(0)), at(0)), Allowance::Try, "{failures}");
    }
    assert_eq!(state(5, Some(at(0)), at(0)), Allowance::Wait(Duration::from_secs(30)));
    assert_eq!(state(0, None, at(0)), Allowance::Try);
}

#[test]
fn a_wait_ends_to_the_microsecond() {
    assert_eq!(state(5, Some(at(0)), at(29)), Allowance::Wait(Duration::from_secs(1)));
    let end = at(30);
    let just_before = Timestamp::from_micros(end.as_micros() - 1);
    assert_eq!(state(5, Some(at(0)), just_before), Allowance::Wait(Duration::from_micros(1)));
    assert_eq!(state(5, Some(at(0)), end), Allowance::Try);
}

#[test]
fn a_hundred_failures_in_a_row_stop_for_good() {
    let much_later = at(1_000_000_000);
    assert_eq!(state(99, Some(at(0)), much_later), Allowance::Try);
    for failures in [100, 101, u32::MAX] {
        assert_eq!(state(failures, Some(at(0)), much_later), Allowance::Stopped);
    }
}

#[test]
fn a_clock_set_back_shortens_no_wait() {
    assert_eq!(state(5, Some(at(100)), at(0)), Allowance::Wait(Duration::from_secs(30)));
}

#[test]
fn failures_without_a_time_count_as_just_now() {
    assert_eq!(state(5, None, at(0)), Allowance::Wait(Duration::from_secs(30)));
}

/// Attempts that somebody who never stops gets in one day, the counter beginning at zero.
fn attempts_in_a_day() -> u32 {
    let (mut now, mut failures, mut last) = (at(0), 0, None);
    loop {
        match state(failures, last, now) {
            Allowance::Try => (failures, last) = (failures + 1, Some(now)),
            Allowance::Wait(remaining) => now = now.plus(remaining),
            Allowance::Stopped => return failures,
        }
        if now.since(at(0)) >= DAY {
            return failures;
        }
    }
}

#[test]
fn a_day_of_guessing_succeeds_with_less_than_one_in_ten_thousand() {
    // Three steps are good at any time, so three codes of a million.
    let tries = attempts_in_a_day();
    let probability = 1.0 - (1.0 - 3.0 / 1_000_000.0_f64).powi(i32::try_from(tries).unwrap());
    assert!(probability <= 1e-4, "{tries} attempts: {probability}");
    assert!(tries >= 15, "a person who came back in the evening was not shut out: {tries}");
}

proptest! {
    #[test]
    fn more_failures_never_mean_a_shorter_wait(failures in 0_u32..200, passed in 0_u64..20_000) {
        let rank = |allowance| match allowance {
            Allowance::Try => Duration::ZERO,
            Allowance::Wait(remaining) => remaining,
            Allowance::Stopped => Duration::MAX,
        };
        prop_assert!(rank(state(failures, Some(at(0)), at(passed))) <= rank(state(failures + 1, Some(at(0)), at(passed))));
    }

    #[test]
    fn a_wait_that_is_kept_lets_one_try(failures in 0_u32..100, passed in 0_u64..10_000) {
        let now = at(passed);
        if let Allowance::Wait(remaining) = state(failures, Some(at(0)), now) {
            prop_assert_eq!(state(failures, Some(at(0)), now.plus(remaining)), Allowance::Try);
        }
    }
}
