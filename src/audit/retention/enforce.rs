//! Drops what is due: recorded first, covered by a signature, and only then removed.
//!
//! What is dropped was looked at just before, and is recorded by the first record that stays. A crash at any step leaves a log
//! that verifies; the next turn goes on.

use std::io;
use std::path::Path;
use std::time::Duration;

use kernel::Failure;
use kernel::event::{Body, ChangedBy, EntityChange, EntityFacts, Event};
use kernel::time::Timestamp;
use thiserror::Error;
use tokio::task::spawn_blocking;

use super::{Policy, Unproven, due};
use crate::audit::layout;
use crate::audit::{DropFault, Recorder, drop_segments};

/// Why nothing was dropped, or not everything that is due.
#[derive(Debug, Error)]
pub enum RetentionFault {
    #[error("cannot look at the audit log: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Unproven(#[from] Unproven),
    #[error("the drop cannot be recorded: {0}")]
    Record(Failure),
    #[error(transparent)]
    Drop(#[from] DropFault),
    #[error("the work broke off: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Drops the segments whose time is over. Returns the first record that is left, where something was dropped.
pub async fn enforce(
    recorder: &Recorder,
    folder: &Path,
    policy: &Policy,
    now: Timestamp,
    acknowledged: u64,
) -> Result<Option<u64>, RetentionFault> {
    let (dir, rules) = (folder.to_owned(), policy.clone());
    let plan = spawn_blocking(move || plan(&dir, &rules, now, acknowledged)).await??;
    let Some(Plan { first, end, segments }) = plan else { return Ok(None) };
    let change = EntityChange::DropRecords { first, end, segments };
    let body = Body::Entity(Box::new(EntityFacts { change, by: ChangedBy::Gateway, failure: None }));
    recorder.keep(Event { time: now, body }).await.map_err(RetentionFault::Record)?;
    for _ in 0..COVER_LOOKS {
        let dir = folder.to_owned();
        match spawn_blocking(move || drop_segments(&dir, end)).await? {
            Ok(_) => return Ok(Some(end)),
            // A checkpoint follows within a second.
            Err(DropFault::NotCovered) => tokio::time::sleep(COVER_PAUSE).await,
            Err(other) => return Err(other.into()),
        }
    }
    Err(DropFault::NotCovered.into())
}

struct Plan {
    first: u64,
    /// The first record that stays.
    end: u64,
    segments: u64,
}

/// What is due, if anything.
fn plan(folder: &Path, policy: &Policy, now: Timestamp, acknowledged: u64) -> Result<Option<Plan>, RetentionFault> {
    let due = due(folder, policy, now, acknowledged)?;
    let Some(first) = due.first().map(|segment| segment.first) else { return Ok(None) };
    let stays = layout::segments(folder)?.get(due.len()).map(|segment| segment.first);
    Ok(stays.map(|end| Plan { first, end, segments: due.len() as u64 }))
}

/// Ten seconds, which a disk takes only when it hangs.
const COVER_LOOKS: u32 = 100;
const COVER_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use std::fs;

    use tempfile::tempdir;

    use super::*;
    use crate::audit::fixtures::{check_log, clock, decision, records, runtime, settings, start};
    use crate::audit::{Durability, Settings};

    const START: u64 = 1_790_000_000;
    const DAY: u64 = 86_400;

    fn log(folder: &Path) -> Recorder {
        let settings = Settings { segment_bytes: 2_500, ..settings(folder, Durability::Written) };
        let recorder = Recorder::start(settings, clock()).unwrap();
        for day in 0..40 {
            let time = Timestamp::from_seconds(START + day * DAY);
            runtime().block_on(recorder.keep(Event { time, body: Body::Decision(Box::new(decision(day as u8))) })).unwrap();
        }
        recorder
    }

    fn policy(days: u64) -> Policy {
        Policy { default: Duration::from_secs(days * DAY), classes: Default::default() }
    }

    fn at(recorder: &Recorder, folder: &Path, day: u64, acknowledged: u64) -> Option<u64> {
        let now = Timestamp::from_seconds(START + day * DAY);
        runtime().block_on(enforce(recorder, folder, &policy(30), now, acknowledged)).unwrap()
    }

    #[test]
    fn what_is_over_goes_is_recorded_and_the_rest_verifies() {
        let folder = tempdir().unwrap();
        let recorder = log(folder.path());
        assert_eq!(at(&recorder, folder.path(), 29, u64::MAX), None);
        let end = at(&recorder, folder.path(), 45, u64::MAX).unwrap();
        assert!((10..=16).contains(&end), "{end}");
        assert_eq!(layout::segments(folder.path()).unwrap()[0].first, end);
        assert_eq!(at(&recorder, folder.path(), 45, u64::MAX), None, "nothing is dropped twice");
        let later = at(&recorder, folder.path(), 55, u64::MAX).unwrap();
        assert!(later > end);
        recorder.shutdown();
        let report = check_log(folder.path());
        assert_eq!(report.findings, []);
        assert_eq!(report.dropped.map(|dropped| dropped.end), Some(later));
        // And it goes on after a restart.
        start(folder.path()).shutdown();
        assert_eq!(check_log(folder.path()).findings, []);
    }

    #[test]
    fn records_that_are_removed_without_a_record_of_it_are_found() {
        let folder = tempdir().unwrap();
        let recorder = log(folder.path());
        let end = at(&recorder, folder.path(), 45, u64::MAX).unwrap();
        recorder.shutdown();
        let second = layout::segments(folder.path()).unwrap()[1].first;
        fs::remove_file(&layout::segments(folder.path()).unwrap()[0].records).unwrap();
        assert!(!check_log(folder.path()).findings.is_empty(), "one segment more than was recorded");
        let text = fs::read_to_string(layout::dropped(folder.path())).unwrap();
        fs::write(layout::dropped(folder.path()), text.replace(&format!(":{end},"), &format!(":{second},"))).unwrap();
        assert!(!check_log(folder.path()).findings.is_empty(), "the file proves nothing by itself");
    }

    #[test]
    fn what_a_sink_still_needs_is_not_dropped() {
        let folder = tempdir().unwrap();
        let recorder = log(folder.path());
        assert_eq!(at(&recorder, folder.path(), 400, 0), None);
        let end = at(&recorder, folder.path(), 400, 9).unwrap();
        assert!(end <= 9, "{end}");
        recorder.shutdown();
        assert_eq!(check_log(folder.path()).findings, []);
    }

    #[test]
    fn the_drop_is_recorded_with_what_went() {
        let folder = tempdir().unwrap();
        let recorder = log(folder.path());
        let end = at(&recorder, folder.path(), 45, u64::MAX).unwrap();
        recorder.shutdown();
        let record =
            records(folder.path()).into_iter().rfind(|record| record["unmapped"]["portcullis"]["event"] == "drop_records").unwrap();
        let own = &record["unmapped"]["portcullis"];
        assert_eq!((own["first"].as_u64(), own["next"].as_u64(), own["by"].as_str()), (Some(0), Some(end), Some("gateway")));
    }
}
