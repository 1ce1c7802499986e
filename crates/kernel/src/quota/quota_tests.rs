//! Rates: how they are read, and what they allow.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use super::*;

fn check(text: &str, expected: Result<(u32, u64), RateFault>) {
    let found = Rate::parse(text).map(|rate| {
        assert_eq!(rate.burst, rate.count, "the burst is the count");
        (rate.count.get(), rate.per.as_secs())
    });
    assert_eq!(found, expected, "{text:?}");
}

#[test]
fn a_rate_is_a_count_in_a_second_a_minute_or_an_hour() {
    check("20/s", Ok((20, 1)));
    check("10/m", Ok((10, 60)));
    check("100/h", Ok((100, 3_600)));
    check(" 5 / s ", Ok((5, 1)));
    check("4294967295/s", Ok((u32::MAX, 1)));
}

#[test]
fn any_other_form_is_refused() {
    for text in ["", "20", "/s", "20/", "20/d", "20/S", "20/s/s", "-1/s", "1.5/s", "1e3/s", "4294967296/s", "20 per s"] {
        check(text, Err(RateFault::Form));
    }
}

#[test]
fn a_rate_of_zero_is_refused_by_name() {
    check("0/s", Err(RateFault::Zero));
    check("000/h", Err(RateFault::Zero));
}

#[test]
fn one_is_regained_in_an_even_share_of_the_time() {
    for (text, millis) in [("20/s", 50), ("10/m", 6_000), ("100/h", 36_000), ("1/s", 1_000)] {
        assert_eq!(Rate::parse(text).unwrap().interval(), Duration::from_millis(millis), "{text}");
    }
}
