//! Files that the gateway would not have put there.

use std::fs;
use std::os::unix::fs::symlink;

use portcullis_verify::layout::{self, SegmentPaths};
use portcullis_verify::verify::FindingKind;

use crate::fixture::Log;

#[test]
fn a_segment_under_a_second_name_is_named() {
    let log = Log::segmented();
    let segment = log.segment(1);
    let copy = SegmentPaths::new(log.path(), 10, "2026-11-25T09:00:00Z");
    fs::hard_link(&segment.records, &copy.records).unwrap();
    fs::copy(&segment.checkpoints, &copy.checkpoints).unwrap();
    let found = log.verify().findings.into_iter().find(|finding| finding.kind == FindingKind::Duplicated).unwrap();
    assert_eq!((found.sequence, found.file), (Some(20), copy.name()));
}

#[test]
fn a_hard_link_outside_is_remarked_on() {
    let log = Log::segmented();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::hard_link(log.segment(1).records, elsewhere.path().join("link")).unwrap();
    let report = log.verify();
    assert_eq!(report.findings, []);
    assert!(report.remarks.iter().any(|remark| remark.contains(&log.segment(1).name())), "{report:?}");
}

#[test]
fn a_symbolic_link_is_named() {
    let log = Log::segmented();
    let elsewhere = tempfile::tempdir().unwrap();
    for path in [log.segment(1).records, log.segment(1).checkpoints, layout::tiles(log.path(), 0), layout::checkpoint(log.path())] {
        let target = elsewhere.path().join("target");
        fs::rename(&path, &target).unwrap();
        symlink(&target, &path).unwrap();
        let found = log.first();
        assert_eq!((found.kind, found.file.as_str()), (FindingKind::Swapped, path.file_name().unwrap().to_str().unwrap()));
        fs::remove_file(&path).unwrap();
        fs::rename(&target, &path).unwrap();
    }
}

#[test]
fn a_segment_from_the_future_is_named() {
    let log = Log::segmented();
    let future = SegmentPaths::new(log.path(), 5_000, "2030-01-01T00:00:00Z");
    fs::copy(log.segment(3).records, &future.records).unwrap();
    let found = log.verify().findings.into_iter().find(|finding| finding.kind == FindingKind::Deleted).unwrap();
    assert_eq!(
        (found.sequence, found.file.as_str(), found.what.as_str()),
        (Some(40), future.name().as_str(), "records 40 to 4999 are missing")
    );
}

#[test]
fn names_that_are_nearly_a_segments_are_named() {
    let log = Log::segmented();
    for name in ["audit-20260101.jsonl", "audit-00000000000000000040.jsonl", "audit-0000000000000000004x-20261125T080000Z.jsonl"] {
        let path = log.path().join(name);
        fs::copy(log.segment(3).records, &path).unwrap();
        let found = log.first();
        assert_eq!((found.kind, found.file.as_str()), (FindingKind::Inserted, name));
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_segment_that_was_renamed_is_named() {
    let log = Log::segmented();
    let segment = log.segment(1);
    fs::rename(&segment.records, SegmentPaths::new(log.path(), 11, "2026-11-25T08:00:00Z").records).unwrap();
    let found = log.verify().findings.into_iter().find(|finding| finding.kind == FindingKind::Deleted).unwrap();
    assert_eq!((found.sequence, found.what.as_str()), (Some(10), "record 10 is missing"));
}
