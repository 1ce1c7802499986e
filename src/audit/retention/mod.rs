//! Which segments may go, because the time of everything in them is over.
//!
//! A segment goes whole or not at all. It stays while one class of event in it is to be kept longer, while a sink has not
//! acknowledged all of it, and always while it is the newest. The oldest go first, and the first one that stays keeps all that
//! follow: what is left of a log begins at one place.
//!
//! An index spares the look at segments that stay. It lets none go: whoever may write to the folder can make one that says that
//! everything is old, or make the records themselves old, and would have the gateway itself remove what tells of it, signed. So a
//! segment goes only after its records were read, were found to be those that were signed, and are over.

mod enforce;
mod proven;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use kernel::time::Timestamp;

pub use enforce::{RetentionFault, enforce};
pub use proven::Unproven;

use super::index::{self, Head, Index};
use super::layout::{self, SegmentPaths};

/// How long records are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub default: Duration,
    /// By OCSF class, where it differs.
    pub classes: BTreeMap<u32, Duration>,
}

impl Policy {
    /// Whether everything in a segment has been kept long enough. Of a line that is no record nobody knows.
    fn is_over(&self, head: &Head, now: Timestamp) -> bool {
        let kept = |class: u32| self.classes.get(&class).copied().unwrap_or(self.default);
        let over = |latest: u64, span: Duration| Timestamp::from_micros(latest.saturating_mul(1_000)).plus(span) <= now;
        head.unreadable == 0 && head.classes.iter().all(|span| over(span.latest, kept(span.class)))
    }
}

/// The segments that may go, oldest first. `acknowledged` is the first record that a sink still needs.
pub fn due(folder: &Path, policy: &Policy, now: Timestamp, acknowledged: u64) -> Result<Vec<SegmentPaths>, RetentionFault> {
    let segments = layout::segments(folder)?;
    let mut key = None;
    let mut due = Vec::new();
    for pair in segments.windows(2) {
        let [segment, next] = pair else { break };
        let Some(index) = open(segment) else { break };
        if next.first > acknowledged || !policy.is_over(index.head(), now) {
            break;
        }
        let key = match &key {
            Some(key) => key,
            None => key.insert(proven::key(folder)?),
        };
        if !policy.is_over(&proven::head(segment, next, key)?, now) {
            tracing::error!(
                audit.segment = segment.first,
                "the index of a segment called its records older than they are; it is made again"
            );
            index::keep(segment)?;
            break;
        }
        due.push(segment.clone());
    }
    Ok(due)
}

fn open(segment: &SegmentPaths) -> Option<Index> {
    Index::open(segment).or_else(|| {
        index::keep(segment).ok()?;
        Index::open(segment)
    })
}

/// The classes that can be kept longer or shorter, by the names of their keys.
pub const CLASSES: [(&str, u32); 8] = [
    ("http_activity", 4_002),
    ("network_activity", 4_001),
    ("authentication", 3_002),
    ("authorize_session", 3_003),
    ("account_change", 3_001),
    ("entity_management", 3_004),
    ("detection_finding", 2_004),
    ("application_lifecycle", 6_002),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use std::fs;

    use kernel::event::{Body, Event};
    use tempfile::tempdir;

    use super::*;
    use crate::audit::fixtures::{clock, decision, runtime, settings, sign_in};
    use crate::audit::{Durability, Recorder, Settings};

    const START: u64 = 1_790_000_000;
    const DAY: u64 = 86_400;

    /// A request a day for forty days, and on the twentieth a sign-in.
    fn log(folder: &Path) {
        let settings = Settings { segment_bytes: 2_500, ..settings(folder, Durability::Written) };
        let recorder = Recorder::start(settings, clock()).unwrap();
        let keep = |day: u64, body| {
            let time = Timestamp::from_seconds(START + day * DAY);
            runtime().block_on(recorder.keep(Event { time, body })).unwrap();
        };
        for day in 0..40 {
            keep(day, Body::Decision(Box::new(decision(day as u8))));
            if day == 20 {
                keep(day, sign_in().body);
            }
        }
        recorder.shutdown();
    }

    fn days(days: u64) -> Duration {
        Duration::from_secs(days * DAY)
    }

    fn policy(default: u64, classes: &[(u32, u64)]) -> Policy {
        Policy { default: days(default), classes: classes.iter().map(|(class, span)| (*class, days(*span))).collect() }
    }

    /// The first record that is left, when it is `day` days after the first.
    fn left(folder: &Path, policy: &Policy, day: u64, acknowledged: u64) -> u64 {
        let due = due(folder, policy, Timestamp::from_seconds(START + day * DAY), acknowledged).unwrap();
        layout::segments(folder).unwrap()[due.len()].first
    }

    #[test]
    fn segments_go_when_the_time_of_all_in_them_is_over() {
        let folder = tempdir().unwrap();
        log(folder.path());
        let policy = policy(30, &[]);
        assert_eq!(left(folder.path(), &policy, 29, u64::MAX), 0);
        let at_40 = left(folder.path(), &policy, 40, u64::MAX);
        assert!((5..=11).contains(&at_40), "{at_40}");
        let newest = layout::segments(folder.path()).unwrap().last().unwrap().first;
        assert_eq!(left(folder.path(), &policy, 10_000, u64::MAX), newest, "the newest stays");
    }

    #[test]
    fn a_class_that_is_kept_longer_keeps_its_segment_and_what_follows() {
        let folder = tempdir().unwrap();
        log(folder.path());
        let first_left = left(folder.path(), &policy(5, &[(3_002, 400)]), 100, u64::MAX);
        assert!((17..=21).contains(&first_left), "the sign-in is record 21: {first_left}");
        let shorter = left(folder.path(), &policy(400, &[(4_002, 5)]), 100, u64::MAX);
        assert_eq!(shorter, first_left, "what is not named is kept as the default says");
    }

    #[test]
    fn what_a_sink_has_not_acknowledged_stays() {
        let folder = tempdir().unwrap();
        log(folder.path());
        assert_eq!(left(folder.path(), &policy(5, &[]), 100, 0), 0);
        for acknowledged in [1, 9, 17, 30] {
            assert!(left(folder.path(), &policy(5, &[]), 100, acknowledged) <= acknowledged);
        }
    }

    fn first(folder: &Path) -> SegmentPaths {
        layout::segments(folder).unwrap().remove(0)
    }

    /// The gateway would sign for the removal of what somebody wants gone.
    #[test]
    fn an_index_that_calls_everything_old_lets_nothing_go_and_is_made_again() {
        let folder = tempdir().unwrap();
        log(folder.path());
        let path = index::path_of(&first(folder.path()));
        let honest = index::build(&first(folder.path())).unwrap().unwrap();
        let length = Head::length(&honest).unwrap();
        let mut head = Head::read(&honest[..length]).unwrap();
        head.latest = 0;
        head.classes.iter_mut().for_each(|span| span.latest = 0);
        let no_classes = Head { classes: Vec::new(), ..head.clone() };
        for forged in [head, no_classes] {
            fs::write(&path, [&*forged.write(), &honest[length..]].concat()).unwrap();
            assert!(Index::open(&first(folder.path())).is_some(), "it is one by its form");
            assert_eq!(left(folder.path(), &policy(30, &[]), 1, u64::MAX), 0);
            assert_eq!(fs::read(&path).unwrap(), honest);
        }
    }

    /// And so for records that were made old.
    #[test]
    fn a_segment_that_is_not_what_was_signed_stays_whatever_its_age() {
        let folder = tempdir().unwrap();
        log(folder.path());
        let (path, now) = (first(folder.path()).records, Timestamp::from_seconds(START + 10_000 * DAY));
        let text = fs::read_to_string(&path).unwrap();
        let line = text.split_inclusive('\n').next().unwrap();
        let cut = text.len() - 1;
        for altered in
            [text.replace("\"time\":1790", "\"time\":1690"), format!("{text}{line}"), text.replacen(line, "", 1), text[..cut].to_owned()]
        {
            assert_ne!(altered, text);
            fs::write(&path, altered).unwrap();
            let refused = due(folder.path(), &policy(5, &[]), now, u64::MAX);
            assert!(matches!(&refused, Err(RetentionFault::Unproven(Unproven::Altered(named))) if *named == path), "{refused:?}");
        }
        fs::write(&path, text.replacen('{', "[", 1)).unwrap();
        assert_eq!(due(folder.path(), &policy(5, &[]), now, u64::MAX).unwrap(), [], "nobody knows how old a line is that is none");
        fs::write(&path, text).unwrap();
        fs::remove_file(index::path_of(&first(folder.path()))).unwrap();
        assert!(!due(folder.path(), &policy(5, &[]), now, u64::MAX).unwrap().is_empty());
    }

    #[test]
    fn a_segment_without_the_signed_head_before_it_stays() {
        let folder = tempdir().unwrap();
        log(folder.path());
        let (segments, now) = (layout::segments(folder.path()).unwrap(), Timestamp::from_seconds(START + 10_000 * DAY));
        fs::write(&segments[1].frontier, layout::frontier_text(&Default::default())).unwrap();
        let refused = due(folder.path(), &policy(5, &[]), now, u64::MAX).unwrap_err();
        assert!(matches!(&refused, RetentionFault::Unproven(Unproven::Head(path)) if *path == segments[1].frontier), "{refused}");
        fs::copy(&segments[2].checkpoints, &segments[0].checkpoints).unwrap();
        let refused = due(folder.path(), &policy(5, &[]), now, u64::MAX).unwrap_err();
        assert!(matches!(&refused, RetentionFault::Unproven(Unproven::Head(path)) if *path == segments[0].checkpoints), "{refused}");
    }

    #[test]
    fn every_class_has_a_key() {
        let keys: Vec<&str> = crate::config::keys::RETENTION.iter().map(|key| key.name).filter(|name| *name != "default").collect();
        assert_eq!(keys, CLASSES.map(|(name, _)| name));
    }
}
