//! Tests of hours: the first moment inside and the first outside, nights, zones and the change to summer time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;

use super::hours::{Days, Hours};
use crate::time::Timestamp;

fn clock(text: &str) -> Time {
    text.parse().unwrap()
}

fn hours(days: &[Weekday], from: &str, until: &str, zone: &str) -> Hours {
    Hours { days: Days::new(days.iter().copied()), from: clock(from), until: clock(until), zone: TimeZone::posix(zone).unwrap() }
}

#[track_caller]
fn check(hours: &Hours, inside: &[&str], outside: &[&str]) {
    let holds = |text: &str| {
        let instant: jiff::Timestamp = text.parse().unwrap();
        hours.contains(Timestamp::from_micros(u64::try_from(instant.as_microsecond()).unwrap()))
    };
    for text in inside {
        assert!(holds(text), "{text} is inside");
    }
    for text in outside {
        assert!(!holds(text), "{text} is outside");
    }
}

#[test]
fn a_day_begins_at_its_first_moment_and_ends_before_its_last() {
    // 2026-06-01 is a Monday.
    let monday = hours(&[Weekday::Monday], "06:00", "20:00", "UTC0");
    check(
        &monday,
        &["2026-06-01T06:00:00Z", "2026-06-01T19:59:59.999999Z", "2026-06-08T12:00:00Z"],
        &["2026-06-01T05:59:59.999999Z", "2026-06-01T20:00:00Z", "2026-06-02T12:00:00Z", "2026-05-31T12:00:00Z"],
    );
}

#[test]
fn a_night_belongs_to_the_day_on_which_it_began() {
    let monday_night = hours(&[Weekday::Monday], "22:00", "06:00", "UTC0");
    check(
        &monday_night,
        &["2026-06-01T22:00:00Z", "2026-06-01T23:59:59Z", "2026-06-02T00:00:00Z", "2026-06-02T05:59:59.999999Z"],
        &["2026-06-01T21:59:59Z", "2026-06-02T06:00:00Z", "2026-06-01T05:00:00Z", "2026-06-02T22:00:00Z", "2026-06-01T12:00:00Z"],
    );
}

#[test]
fn hours_that_end_where_they_begin_last_a_whole_day() {
    let monday = hours(&[Weekday::Monday], "06:00", "06:00", "UTC0");
    check(&monday, &["2026-06-01T06:00:00Z", "2026-06-02T05:59:59Z"], &["2026-06-01T05:59:59Z", "2026-06-02T06:00:00Z"]);
}

#[test]
fn hours_are_those_of_the_zone_summer_and_winter() {
    let berlin = hours(&[Weekday::Monday], "06:00", "20:00", "CET-1CEST,M3.5.0,M10.5.0/3");
    check(
        &berlin,
        &["2026-06-01T04:00:00Z", "2026-01-05T05:00:00Z"],
        &["2026-06-01T03:59:59Z", "2026-01-05T04:59:59Z", "2026-06-01T18:00:00Z"],
    );
    let tonga = hours(&[Weekday::Monday], "00:00", "12:00", "<+13>-13");
    check(&tonga, &["2026-05-31T11:00:00Z"], &["2026-06-01T11:00:00Z"]);
}

#[test]
fn no_day_is_never_and_a_time_beyond_the_calendar_is_outside() {
    let never = hours(&[], "00:00", "23:00", "UTC0");
    check(&never, &[], &["2026-06-01T12:00:00Z"]);
    let all: Vec<_> = Weekday::Monday.cycle_forward().take(7).collect();
    assert!(!hours(&all, "00:00", "00:00", "UTC0").contains(Timestamp::from_micros(u64::MAX)));
}

#[test]
fn a_set_of_days_holds_those_and_no_other() {
    let days = Days::new([Weekday::Monday, Weekday::Sunday, Weekday::Monday]);
    let held: Vec<_> = Weekday::Monday.cycle_forward().take(7).filter(|day| days.contains(*day)).collect();
    assert_eq!(held, [Weekday::Monday, Weekday::Sunday]);
}
