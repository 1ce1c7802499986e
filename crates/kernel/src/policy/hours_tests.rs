//! Hours: days, zones and the edges of a window.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use jiff::civil::time;
use proptest::prelude::*;

use super::*;

const WORKDAYS: [Weekday; 5] = [Weekday::Monday, Weekday::Tuesday, Weekday::Wednesday, Weekday::Thursday, Weekday::Friday];

/// Central European time, as a rule, so that no time zone database is asked.
fn berlin() -> TimeZone {
    TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
}

fn hours(days: &[Weekday], from: Time, until: Time) -> Hours {
    Hours { days: Days::new(days.iter().copied()), from, until, zone: berlin() }
}

fn utc(text: &str) -> Timestamp {
    let instant: jiff::Timestamp = text.parse().unwrap();
    Timestamp::from_micros(u64::try_from(instant.as_microsecond()).unwrap())
}

fn check(hours: &Hours, now: &str, expected: bool) {
    assert_eq!(hours.contains(utc(now)), expected, "{now}");
}

#[test]
fn hours_hold_their_first_moment_and_not_their_last() {
    let office = hours(&WORKDAYS, time(6, 0, 0, 0), time(20, 0, 0, 0));
    // 2026-01-05 is a Monday; Berlin is one hour ahead of UTC in winter.
    check(&office, "2026-01-05T04:59:59.999999Z", false);
    check(&office, "2026-01-05T05:00:00Z", true);
    check(&office, "2026-01-05T18:59:59.999999Z", true);
    check(&office, "2026-01-05T19:00:00Z", false);
}

#[test]
fn days_are_those_of_the_zone() {
    let whole_day = hours(&[Weekday::Monday], time(0, 0, 0, 0), time(23, 59, 59, 999_999_999));
    check(&whole_day, "2026-01-04T22:59:59Z", false);
    check(&whole_day, "2026-01-04T23:00:00Z", true);
    check(&whole_day, "2026-01-05T22:59:59Z", true);
    check(&whole_day, "2026-01-05T23:00:00Z", false);
}

#[test]
fn hours_across_midnight_belong_to_the_day_on_which_they_began() {
    let night = hours(&[Weekday::Friday], time(22, 0, 0, 0), time(4, 0, 0, 0));
    // 2026-01-09 is a Friday.
    check(&night, "2026-01-08T23:00:00Z", false);
    check(&night, "2026-01-09T20:59:59Z", false);
    check(&night, "2026-01-09T21:00:00Z", true);
    check(&night, "2026-01-09T23:00:00Z", true);
    check(&night, "2026-01-10T02:59:59Z", true);
    check(&night, "2026-01-10T03:00:00Z", false);
    check(&night, "2026-01-10T21:00:00Z", false);
}

#[test]
fn hours_that_end_as_they_begin_are_a_whole_day() {
    let from_noon = hours(&[Weekday::Friday], time(12, 0, 0, 0), time(12, 0, 0, 0));
    check(&from_noon, "2026-01-09T10:59:59Z", false);
    check(&from_noon, "2026-01-09T11:00:00Z", true);
    check(&from_noon, "2026-01-10T10:59:59Z", true);
    check(&from_noon, "2026-01-10T11:00:00Z", false);
}

#[test]
fn hours_follow_the_clock_on_the_wall_through_summer_time() {
    let office = hours(&[Weekday::Sunday], time(6, 0, 0, 0), time(20, 0, 0, 0));
    check(&office, "2026-03-22T04:59:59Z", false);
    check(&office, "2026-03-22T05:00:00Z", true);
    // From 2026-03-29, 02:00, Berlin is two hours ahead.
    check(&office, "2026-03-29T03:59:59Z", false);
    check(&office, "2026-03-29T04:00:00Z", true);
    check(&office, "2026-03-29T18:00:00Z", false);
}

#[test]
fn an_hour_that_comes_twice_is_inside_twice_and_one_that_is_left_out_never() {
    let at_two = hours(&[Weekday::Sunday], time(2, 0, 0, 0), time(3, 0, 0, 0));
    // On 2026-10-25 the hour from two to three comes twice.
    check(&at_two, "2026-10-24T23:59:59Z", false);
    check(&at_two, "2026-10-25T00:30:00Z", true);
    check(&at_two, "2026-10-25T01:30:00Z", true);
    check(&at_two, "2026-10-25T02:00:00Z", false);
    // On 2026-03-29 it is left out.
    check(&at_two, "2026-03-29T00:59:59.999999Z", false);
    check(&at_two, "2026-03-29T01:00:00Z", false);
}

#[test]
fn no_days_hold_no_time() {
    for (from, until) in [(time(0, 0, 0, 0), time(23, 0, 0, 0)), (time(23, 0, 0, 0), time(22, 0, 0, 0))] {
        let never = hours(&[], from, until);
        check(&never, "2026-01-05T12:00:00Z", false);
        check(&never, "2026-01-05T22:30:00Z", false);
    }
}

#[test]
fn a_time_beyond_the_calendar_is_outside() {
    let always = hours(&[Weekday::Monday, Weekday::Friday, Weekday::Saturday, Weekday::Sunday], time(0, 0, 0, 0), time(0, 0, 0, 0));
    for micros in [u64::MAX, u64::MAX / 2, i64::MAX.cast_unsigned()] {
        assert!(!always.contains(Timestamp::from_micros(micros)));
    }
}

#[test]
fn a_set_of_days_holds_what_was_put_in() {
    let all = [WORKDAYS.as_slice(), &[Weekday::Saturday, Weekday::Sunday]].concat();
    for day in &all {
        let one = Days::new([*day]);
        assert!(all.iter().all(|other| one.contains(*other) == (other == day)), "{day:?}");
    }
    assert_eq!(Days::new(all.clone()), Days::new(all.into_iter().rev()));
}

proptest! {
    #[test]
    fn a_span_and_its_complement_hold_every_time_once(seconds in 0_u64..4_000_000_000, from in 0_i8..24, until in 0_i8..24) {
        prop_assume!(from != until);
        let every_day = [WORKDAYS.as_slice(), &[Weekday::Saturday, Weekday::Sunday]].concat();
        let (from, until) = (time(from, 0, 0, 0), time(until, 0, 0, 0));
        let now = Timestamp::from_seconds(seconds);
        prop_assert!(hours(&every_day, from, until).contains(now) != hours(&every_day, until, from).contains(now));
    }
}
