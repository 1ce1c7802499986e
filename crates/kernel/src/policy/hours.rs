//! Hours of the week in a time zone, as a rule's `hours` states them.

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;

use crate::time::Timestamp;

/// Days and hours. `until` before `from` spans midnight, and then belongs to the day on which it began.
#[derive(Clone, Debug)]
pub struct Hours {
    pub days: Days,
    pub from: Time,
    /// First moment that is outside.
    pub until: Time,
    pub zone: TimeZone,
}

/// A set of weekdays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days([bool; 7]);

impl Days {
    #[must_use]
    pub fn new(days: impl IntoIterator<Item = Weekday>) -> Self {
        let mut set = [false; 7];
        for day in days {
            if let Some(slot) = set.get_mut(index(day)) {
                *slot = true;
            }
        }
        Self(set)
    }

    #[must_use]
    pub fn contains(self, day: Weekday) -> bool {
        self.0.get(index(day)).copied().unwrap_or(false)
    }
}

fn index(day: Weekday) -> usize {
    usize::try_from(day.to_monday_zero_offset()).unwrap_or(0)
}

impl Hours {
    /// Whether `now` lies inside. A time that the calendar cannot express lies outside.
    #[must_use]
    pub fn contains(&self, now: Timestamp) -> bool {
        let Some(instant) = i64::try_from(now.as_micros()).ok().and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok()) else {
            return false;
        };
        let local = self.zone.to_datetime(instant);
        let (day, time) = (local.weekday(), local.time());
        if self.from < self.until {
            return self.days.contains(day) && self.from <= time && time < self.until;
        }
        let began_today = self.days.contains(day) && time >= self.from;
        let began_yesterday = self.days.contains(day.previous()) && time < self.until;
        began_today || began_yesterday
    }
}

#[cfg(test)]
#[path = "hours_tests.rs"]
mod tests;
