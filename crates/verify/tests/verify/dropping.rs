//! Records that retention dropped, told apart from records that somebody removed.

use std::fs;

use portcullis_verify::layout;
use portcullis_verify::prove;
use portcullis_verify::verify::{FindingKind, Request, verify};

use crate::fixture::{Log, Shape, remove, splice};

/// Four segments of ten records, then one that says that the first two were dropped, and they are gone.
fn dropped() -> Log {
    let mut log = Log::segmented();
    log.record_drop(20);
    log.write(Shape { records: 5, per_segment: 10, per_checkpoint: 2 });
    remove(&log.segments()[..2]);
    log
}

#[test]
fn a_log_whose_oldest_segments_were_dropped_verifies_and_says_so() {
    let report = dropped().verify();
    assert_eq!(report.findings, []);
    let dropped = report.dropped.unwrap();
    assert_eq!((dropped.end, dropped.recorded, dropped.time), (20, 40, 1_790_000_000_000));
    assert_eq!((report.records, report.covered, report.uncovered), (26, 46, 0));
}

#[test]
fn a_drop_that_was_not_finished_verifies() {
    let mut log = Log::segmented();
    log.record_drop(20);
    assert_eq!((log.verify().findings, log.verify().dropped), (Vec::new(), None));
    remove(&log.segments()[..1]);
    let report = log.verify();
    assert_eq!((report.findings, report.dropped.unwrap().end), (Vec::new(), 10));
}

#[test]
fn segments_that_somebody_removed_are_named() {
    let log = Log::segmented();
    remove(&log.segments()[..2]);
    let found = log.first();
    assert_eq!((found.kind, found.sequence), (FindingKind::Deleted, Some(0)), "{found:?}");
    assert!(found.what.contains("records 0 to 19 are missing, and no record says"), "{found:?}");
}

#[test]
fn a_statement_that_no_record_makes_is_not_believed() {
    for text in ["{\"end\":20,\"recorded\":30}\n", "{\"end\":20,\"recorded\":4000}\n", "{\"end\":20,\"recorded\":3}\n"] {
        let log = Log::segmented();
        remove(&log.segments()[..2]);
        fs::write(layout::dropped(log.path()), text).unwrap();
        assert_eq!((log.first().kind, log.first().sequence), (FindingKind::Deleted, Some(0)), "{text}");
    }
}

#[test]
fn more_than_was_dropped_is_named() {
    let log = dropped();
    remove(&log.segments()[..1]);
    let found = log.first();
    assert_eq!((found.kind, found.sequence), (FindingKind::Deleted, Some(20)), "{found:?}");
    assert!(found.what.contains("records 20 to 29 are missing; only those before 20"), "{found:?}");
}

#[test]
fn a_changed_or_removed_file_about_dropped_records_is_named() {
    let log = dropped();
    let path = layout::dropped(log.path());
    for text in ["{\"end\":30,\"recorded\":40}\n", "{\"end\":20,\"recorded\":41}\n", "", "{\"end\":20}"] {
        fs::write(&path, text).unwrap();
        assert!(log.kinds().contains(&FindingKind::Deleted), "{text}");
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(log.kinds(), [FindingKind::Deleted]);
}

#[test]
fn a_statement_that_was_altered_in_the_log_is_named() {
    let log = dropped();
    log.edit(2, |lines| lines[0] = lines[0].replace("\"next\":20", "\"next\":30"));
    assert_eq!((log.first().kind, log.first().sequence), (FindingKind::Altered, Some(40)));
}

#[test]
fn old_checkpoints_and_old_records_are_proven_after_the_drop() {
    let mut log = Log::new();
    log.write(Shape { records: 13, per_segment: 5, per_checkpoint: 5 });
    let (old, record) = (log.sign(), log.record(3));
    log.write(Shape { records: 10, per_segment: 5, per_checkpoint: 5 });
    log.record_drop(10);
    remove(&log.segments()[..2]);
    assert_eq!(log.verify_with(Some(old.clone())).findings, []);
    assert!(prove::consistency(log.path(), &log.key, &old).is_ok());
    let proof = prove::inclusion(log.path(), &log.key, 3).unwrap();
    assert_eq!(proof.record, None);
    assert!(proof.check(&log.key, Some(record.as_bytes())).is_ok());
    let mut other = Log::with(7, "b");
    other.write(Shape { records: 7, per_segment: 5, per_checkpoint: 5 });
    assert_eq!(log.verify_with(Some(other.sign())).findings[0].kind, FindingKind::RolledBack);
}

#[test]
fn changed_hashes_of_dropped_records_are_named_and_the_rest_is_still_judged() {
    let log = dropped();
    splice(&layout::tiles(log.path(), 0), 64..65, &[0xee]);
    let report = log.verify();
    assert_eq!((report.findings[0].kind, report.findings.len(), report.covered), (FindingKind::Hashes, 1, 46), "{report:?}");
    log.edit(1, |lines| lines[1] = lines[1].replace("ana@", "eva@"));
    assert_eq!(log.verify().findings[1].sequence, Some(31));
}

/// Whoever has a log of which nothing was dropped can say so of a copy.
#[test]
fn an_anchor_shows_that_a_dropped_log_is_the_same_log() {
    let log = dropped();
    let request = Request { folder: log.path().to_owned(), public_key: None, anchors: vec![log.sign()] };
    assert_eq!(verify(&request, &mut |_| ()).unwrap().findings, []);
}
