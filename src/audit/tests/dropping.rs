//! Segments that are dropped: only when the log says so and is signed for it, and the rest verifies, starts and goes on.

use std::fs;
use std::path::Path;

use kernel::event::{Body, ChangedBy, EntityChange, EntityFacts, Event};
use tempfile::tempdir;

use crate::audit::fixtures::{allow, check_log, clock, event, runtime, settings, write_log};
use crate::audit::layout;
use crate::audit::verify::FindingKind;
use crate::audit::{DropFault, Durability, Recorder, Settings, drop_segments};

fn drop_event(end: u64) -> Event {
    let change = EntityChange::DropRecords { first: 0, end, segments: 1 };
    event(Body::Entity(Box::new(EntityFacts { change, by: ChangedBy::Gateway, failure: None })))
}

fn start(folder: &Path) -> Recorder {
    Recorder::start(Settings { segment_bytes: 4_000, ..settings(folder, Durability::Written) }, clock()).unwrap()
}

/// Where the second segment begins.
fn boundary(folder: &Path, index: usize) -> u64 {
    layout::segments(folder).unwrap()[index].first
}

#[test]
fn what_the_log_says_is_dropped_and_the_rest_verifies_starts_and_goes_on() {
    let folder = tempdir().unwrap();
    write_log(folder.path(), 40, 4_000);
    for index in [1, 2] {
        let end = boundary(folder.path(), index);
        let recorder = start(folder.path());
        runtime().block_on(recorder.keep(drop_event(end))).unwrap();
        recorder.shutdown();
        assert_eq!(drop_segments(folder.path(), end).unwrap(), index);
        let report = check_log(folder.path());
        assert_eq!((report.findings, report.dropped.unwrap().end, report.uncovered), (Vec::new(), end, 0));
        assert_eq!(boundary(folder.path(), 0), end);
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert!(names.iter().all(|name| !name.starts_with("audit-00000000000000000000-")), "{names:?}");
    }
    // The tree at the last segment's start is found without the records that are gone.
    fs::remove_file(layout::segments(folder.path()).unwrap().pop().unwrap().frontier).unwrap();
    write_log(folder.path(), 40, 4_000);
    assert_eq!(check_log(folder.path()).findings, []);
}

#[test]
fn a_drop_while_the_log_is_written_waits_for_the_checkpoint() {
    let folder = tempdir().unwrap();
    write_log(folder.path(), 40, 4_000);
    let end = boundary(folder.path(), 1);
    let recorder = start(folder.path());
    runtime().block_on(recorder.keep(drop_event(end))).unwrap();
    loop {
        match drop_segments(folder.path(), end) {
            Ok(dropped) => break assert_eq!(dropped, 1),
            Err(DropFault::NotCovered) => std::thread::yield_now(),
            Err(fault) => panic!("{fault}"),
        }
    }
    runtime().block_on(recorder.keep(allow(1))).unwrap();
    recorder.shutdown();
    assert_eq!(check_log(folder.path()).findings, []);
}

#[test]
fn nothing_is_dropped_that_the_log_does_not_say() {
    let folder = tempdir().unwrap();
    write_log(folder.path(), 40, 4_000);
    let (one, two) = (boundary(folder.path(), 1), boundary(folder.path(), 2));
    assert!(matches!(drop_segments(folder.path(), one), Err(DropFault::NotRecorded(_))));
    let recorder = start(folder.path());
    runtime().block_on(recorder.keep(drop_event(one))).unwrap();
    recorder.shutdown();
    assert!(matches!(drop_segments(folder.path(), two), Err(DropFault::NotRecorded(_))));
    assert!(matches!(drop_segments(folder.path(), one + 1), Err(DropFault::NoBoundary(_))));
    assert!(matches!(drop_segments(folder.path(), 0), Err(DropFault::NoBoundary(0))));
    assert_eq!(boundary(folder.path(), 0), 0);
}

#[test]
fn a_statement_that_was_written_into_the_file_drops_nothing() {
    let folder = tempdir().unwrap();
    write_log(folder.path(), 40, 4_000);
    let end = boundary(folder.path(), 1);
    let recorder = start(folder.path());
    runtime().block_on(recorder.keep(drop_event(u64::from(u32::MAX)))).unwrap();
    recorder.shutdown();
    let path = layout::segments(folder.path()).unwrap().pop().unwrap().records;
    let forged = fs::read_to_string(&path).unwrap().replace(&format!("\"next\":{}", u32::MAX), &format!("\"next\":{end}"));
    fs::write(&path, forged).unwrap();
    assert!(matches!(drop_segments(folder.path(), end), Err(DropFault::Unprovable(_))));
}

#[test]
fn a_start_without_hashes_and_without_the_first_records_is_refused() {
    let folder = tempdir().unwrap();
    write_log(folder.path(), 40, 4_000);
    let end = boundary(folder.path(), 1);
    let recorder = start(folder.path());
    runtime().block_on(recorder.keep(drop_event(end))).unwrap();
    recorder.shutdown();
    drop_segments(folder.path(), end).unwrap();
    fs::remove_file(layout::tiles(folder.path(), 0)).unwrap();
    let report = check_log(folder.path());
    assert!(report.findings.iter().all(|finding| finding.kind == FindingKind::Hashes) && !report.findings.is_empty(), "{report:?}");
    let refused = Recorder::start(settings(folder.path(), Durability::Written), clock()).unwrap_err();
    assert!(refused.to_string().contains("tree hashes"), "{refused}");
}
