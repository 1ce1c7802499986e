//! Records: altered, deleted, moved, doubled, added, cut off, taken from elsewhere.

use std::fs;

use portcullis_verify::layout::{self, sequence_of};
use portcullis_verify::verify::FindingKind;

use crate::fixture::{Log, Shape, remove};

/// Changes a log of one segment of ten records, and states what is found: kind and sequence.
fn check(change: impl FnOnce(&mut Vec<String>), expected: (FindingKind, u64)) {
    let log = Log::small();
    log.edit(0, change);
    let found = log.first();
    assert_eq!((found.kind, found.sequence, found.line), (expected.0, Some(expected.1), Some(expected.1 + 1)), "{found:?}");
}

/// Gives the lines the numbers that their places ask for, as a careful forger would.
fn renumber(lines: &mut [String]) {
    for (index, line) in lines.iter_mut().enumerate() {
        let stated = sequence_of(line.as_bytes()).unwrap();
        *line = format!("{}{index}}}}}", line.strip_suffix(&format!("{stated}}}}}")).unwrap());
    }
}

#[test]
fn untouched_logs_verify() {
    for (records, per_segment, per_checkpoint) in [(1, 10, 1), (10, 100, 3), (40, 10, 4), (600, 250, 7), (70_000, 30_000, 1_000)] {
        let mut log = Log::new();
        log.write(Shape { records, per_segment, per_checkpoint });
        let report = log.verify();
        assert_eq!((report.findings, report.remarks), (Vec::new(), Vec::new()));
        assert_eq!((report.records, report.covered, report.uncovered), (records, records, 0));
    }
}

#[test]
fn any_flipped_bit_is_found_at_its_record() {
    let log = Log::small();
    let path = log.segment(0).records;
    let whole = fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&path, &bytes).unwrap();
        let record = whole[..at].iter().filter(|byte| **byte == b'\n').count() as u64;
        let found = log.first();
        assert_eq!(found.sequence, Some(record), "byte {at}: {found:?}");
    }
}

#[test]
fn an_altered_record_is_named() {
    check(|lines| lines[4] = lines[4].replace("ana@", "eva@"), (FindingKind::Altered, 4));
}

#[test]
fn a_deleted_record_is_named() {
    check(|lines| drop(lines.remove(4)), (FindingKind::Deleted, 4));
    check(|lines| drop(lines.remove(0)), (FindingKind::Deleted, 0));
}

#[test]
fn a_deleted_record_is_named_though_the_rest_was_renumbered() {
    let change = |lines: &mut Vec<String>| {
        lines.remove(4);
        renumber(lines);
    };
    check(change, (FindingKind::Altered, 4));
}

#[test]
fn reordered_records_are_named() {
    check(|lines| lines.swap(3, 7), (FindingKind::Reordered, 3));
}

#[test]
fn a_duplicated_record_is_named() {
    check(|lines| lines.insert(6, lines[2].clone()), (FindingKind::Duplicated, 6));
    check(|lines| lines.push(lines[9].clone()), (FindingKind::Duplicated, 10));
}

#[test]
fn an_inserted_record_is_named() {
    check(|lines| lines.insert(6, lines[6].replace("ana@", "eva@")), (FindingKind::Inserted, 6));
    check(|lines| lines.insert(3, String::new()), (FindingKind::Inserted, 3));
}

#[test]
fn lines_after_the_end_that_are_no_records_are_named() {
    check(|lines| lines.push(String::new()), (FindingKind::Inserted, 10));
    check(|lines| lines.push("\0\0\0\0".to_owned()), (FindingKind::Inserted, 10));
    check(|lines| lines.push("{}".to_owned()), (FindingKind::Inserted, 10));
}

#[test]
fn carriage_returns_are_named() {
    let log = Log::small();
    log.edit(0, |lines| lines.iter_mut().for_each(|line| line.push('\r')));
    let found = log.first();
    assert_eq!((found.kind, found.sequence), (FindingKind::Altered, Some(0)));
    assert!(found.what.contains("carriage return"), "{found:?}");
}

#[test]
fn bytes_of_nothing_are_named() {
    check(|lines| lines[5] = "\0".repeat(lines[5].len()), (FindingKind::Altered, 5));
    check(|lines| lines[5].insert(9, '\0'), (FindingKind::Altered, 5));
}

#[test]
fn a_record_of_another_log_of_the_same_key_is_named() {
    let mut other = Log::with(7, "b");
    other.write(Shape { records: 10, per_segment: 100, per_checkpoint: 3 });
    let foreign = other.record(5);
    check(|lines| lines[5] = foreign, (FindingKind::Altered, 5));
}

#[test]
fn an_empty_file_is_named() {
    let log = Log::segmented();
    fs::write(&log.segment(1).records, "").unwrap();
    let found = log.first();
    assert_eq!((found.kind, found.sequence), (FindingKind::Deleted, Some(10)), "{found:?}");
    let log = Log::small();
    fs::write(&log.segment(0).records, "").unwrap();
    assert_eq!((log.first().kind, log.first().sequence), (FindingKind::TailCut, Some(0)));
}

#[test]
fn a_cut_tail_is_named() {
    for left in 0..10 {
        let log = Log::small();
        log.edit(0, |lines| lines.truncate(left));
        let found = log.first();
        assert_eq!((found.kind, found.sequence), (FindingKind::TailCut, Some(left as u64)), "{found:?}");
    }
}

#[test]
fn half_a_record_at_the_end_is_no_record() {
    let log = Log::small();
    let path = log.segment(0).records;
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
    let found = log.first();
    assert_eq!((found.kind, found.sequence), (FindingKind::TailCut, Some(9)), "{found:?}");
}

#[test]
fn a_tail_that_was_cut_with_its_checkpoints_is_named_by_the_latest() {
    let log = Log::segmented();
    remove(&log.segments()[2..]);
    let found = log.first();
    assert_eq!((found.kind, found.sequence), (FindingKind::TailCut, Some(20)), "{found:?}");
}

#[test]
fn a_tail_that_was_cut_everywhere_is_named_by_a_checkpoint_kept_elsewhere() {
    let (mut log, mut yesterday) = (Log::new(), Log::new());
    let shape = Shape { records: 20, per_segment: 10, per_checkpoint: 4 };
    yesterday.write(shape);
    log.write(shape);
    let early = log.sign();
    log.write(shape);
    let anchor = log.sign();
    assert_eq!(yesterday.verify().findings, []);
    let found = yesterday.verify_with(Some(anchor.clone())).findings.swap_remove(0);
    assert_eq!((found.kind, found.sequence), (FindingKind::RolledBack, Some(20)), "{found:?}");
    assert_eq!(log.verify_with(Some(anchor)).findings, []);
    assert_eq!(log.verify_with(Some(early)).findings, []);
}

#[test]
fn another_past_of_the_same_key_is_named_by_a_checkpoint_kept_elsewhere() {
    let mut other = Log::with(7, "b");
    other.write(Shape { records: 7, per_segment: 10, per_checkpoint: 3 });
    let found = Log::segmented().verify_with(Some(other.sign())).findings.swap_remove(0);
    assert_eq!(found.kind, FindingKind::RolledBack, "{found:?}");
}

#[test]
fn a_missing_segment_is_named() {
    for gone in 0..3 {
        let log = Log::segmented();
        remove(&log.segments()[gone..=gone]);
        let found = log.first();
        assert_eq!((found.kind, found.sequence), (FindingKind::Deleted, Some(gone as u64 * 10)), "{found:?}");
    }
}

#[test]
fn swapped_files_are_named() {
    let log = Log::segmented();
    let (one, two) = (log.segment(0).records, log.segment(1).records);
    let (first, second) = (fs::read(&one).unwrap(), fs::read(&two).unwrap());
    fs::write(&one, second).unwrap();
    fs::write(&two, first).unwrap();
    let found = log.first();
    assert_eq!((found.kind, found.sequence), (FindingKind::Swapped, Some(0)), "{found:?}");
}

/// Segments of two logs of one key are joined, each with everything that stands beside it.
#[test]
fn two_logs_spliced_are_named_at_the_joint() {
    let log = Log::segmented();
    let mut other = Log::with(7, "b");
    other.write(Shape { records: 40, per_segment: 10, per_checkpoint: 4 });
    for (ours, theirs) in log.segments().iter().zip(other.segments()).skip(2) {
        fs::copy(theirs.records, &ours.records).unwrap();
        fs::copy(theirs.checkpoints, &ours.checkpoints).unwrap();
        fs::copy(theirs.frontier, &ours.frontier).unwrap();
    }
    fs::copy(layout::checkpoint(other.path()), layout::checkpoint(log.path())).unwrap();
    let spliced = log.verify().findings.into_iter().find(|finding| finding.kind == FindingKind::Spliced).unwrap();
    assert_eq!(spliced.sequence, Some(20), "{spliced:?}");
}

#[test]
fn a_log_of_another_key_fails_with_the_auditors_key() {
    let mut log = Log::small();
    log.key = Log::with(8, "a").key;
    let kinds = log.kinds();
    assert!(kinds.contains(&FindingKind::Signature) && kinds.iter().filter(|kind| **kind == FindingKind::Signature).count() > 3);
}

/// Somebody without the key alters a record and everything beside it, as well as can be done.
#[test]
fn a_forger_without_the_key_is_found_whatever_else_is_made_to_fit() {
    let log = Log::segmented();
    let mut forged = Log::with(9, "a");
    forged.write(Shape { records: 40, per_segment: 10, per_checkpoint: 4 });
    for (ours, theirs) in log.segments().iter().zip(forged.segments()) {
        fs::copy(theirs.checkpoints, &ours.checkpoints).unwrap();
    }
    fs::copy(layout::checkpoint(forged.path()), layout::checkpoint(log.path())).unwrap();
    fs::copy(layout::public_key(forged.path()), layout::public_key(log.path())).unwrap();
    let report = log.verify();
    assert_eq!(report.findings[0].file, "audit.pub");
    assert_eq!(report.covered, 0);
}

/// Without the hashes beside them a bad record is found by the next checkpoint.
#[test]
fn without_hashes_the_span_is_named() {
    let log = Log::small();
    fs::remove_file(layout::tiles(log.path(), 0)).unwrap();
    log.edit(0, |lines| lines[4] = lines[4].replace("ana@", "eva@"));
    let found = log.first();
    assert_eq!((found.kind, found.sequence), (FindingKind::Altered, Some(3)), "{found:?}");
    assert!(found.what.contains("3 to 5"), "{found:?}");
}
