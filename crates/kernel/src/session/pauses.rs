//! How long a session lay idle, for classes whose idle time is shorter than the session's.
//!
//! After such a pause the session lives on, but a factor that was shown before the pause no longer counts for the class:
//! whoever sits down at an unattended desk has to show one again.

use std::time::Duration;

use crate::time::Timestamp;

/// The pauses of a session that can still matter: each later one is shorter than all before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pauses(Vec<Pause>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pause {
    length: Duration,
    resumed: Timestamp,
}

impl Pauses {
    /// A session whose past is not known, as after a restart: counts as one endless pause until now.
    #[must_use]
    pub fn unknown_until(now: Timestamp) -> Self {
        Self(vec![Pause { length: Duration::MAX, resumed: now }])
    }

    /// Notes that the session was seen at `now`, for the first time since `last_seen`.
    pub fn note(&mut self, last_seen: Timestamp, now: Timestamp) {
        let length = now.since(last_seen);
        if length < SHORTEST {
            return;
        }
        // A shorter pause that ended earlier says nothing that this one does not.
        while self.0.last().is_some_and(|pause| pause.length <= length) {
            self.0.pop();
        }
        if self.0.len() < COUNT_MAX {
            self.0.push(Pause { length, resumed: now });
        } else if let Some(last) = self.0.last_mut() {
            // Full: the shortest one kept is taken to have ended now, which errs towards asking again.
            last.resumed = now;
        }
    }

    /// When the session was last resumed after a pause of at least `idle_timeout`.
    #[must_use]
    pub fn resumed_after(&self, idle_timeout: Duration) -> Option<Timestamp> {
        self.0.iter().rev().find(|pause| pause.length >= idle_timeout).map(|pause| pause.resumed)
    }
}

/// Pauses shorter than this are no pauses: no class may have a shorter idle time.
pub const SHORTEST: Duration = Duration::from_secs(60);

/// Most pauses kept per session.
const COUNT_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: u64) -> Timestamp {
        Timestamp::from_seconds(minutes * 60)
    }

    fn minutes(count: u64) -> Duration {
        Duration::from_secs(count * 60)
    }

    #[test]
    fn a_pause_as_long_as_the_idle_time_is_found() {
        let mut pauses = Pauses::default();
        pauses.note(at(10), at(20));
        assert_eq!(pauses.resumed_after(minutes(10)), Some(at(20)));
        assert_eq!(pauses.resumed_after(minutes(11)), None);
    }

    #[test]
    fn a_later_shorter_pause_does_not_hide_a_longer_one() {
        let mut pauses = Pauses::default();
        pauses.note(at(0), at(30));
        pauses.note(at(30), at(35));
        assert_eq!(pauses.resumed_after(minutes(20)), Some(at(30)));
        assert_eq!(pauses.resumed_after(minutes(5)), Some(at(35)));
    }

    #[test]
    fn what_is_not_known_counts_as_a_pause() {
        assert_eq!(Pauses::unknown_until(at(7)).resumed_after(minutes(600)), Some(at(7)));
    }

    #[test]
    fn a_full_list_asks_again_rather_than_forgets() {
        let mut pauses = Pauses::default();
        let mut now = at(0);
        for length in (1..40).rev() {
            let next = now.plus(minutes(length));
            pauses.note(now, next);
            now = next;
        }
        assert_eq!(pauses.0.len(), COUNT_MAX);
        assert_eq!(pauses.resumed_after(minutes(1)), Some(now));
    }
}
