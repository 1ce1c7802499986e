//! Every way to change a log is found, and the first bad record is named.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::fs;
use std::path::Path;

use tempfile::{TempDir, tempdir};

use crate::audit::fixtures::{BadDisk, Illness, ORIGIN, allow, check_log, clock, runtime, settings, write_log};
use crate::audit::layout;
use crate::audit::layout::{SegmentPaths, sequence_of};
use crate::audit::note::Signer;
use crate::audit::verify::{FindingKind, Request, verify};
use crate::audit::{Durability, Recorder};

/// Changes a log of one segment of ten records, and states what is found: kind and sequence.
fn check(change: impl FnOnce(&mut Vec<String>), expected: (FindingKind, u64)) {
    let folder = tempdir().unwrap();
    write_log(folder.path(), 10, 1 << 20);
    edit(&segments(&folder)[0], change);
    let report = check_log(folder.path());
    let found = report.findings.first().expect("the change is found");
    assert_eq!((found.kind, found.sequence), (expected.0, Some(expected.1)), "{report:?}");
    assert_eq!(found.line, Some(expected.1 + 1), "{report:?}");
}

fn segments(folder: &TempDir) -> Vec<SegmentPaths> {
    layout::segments(folder.path()).unwrap()
}

fn edit(paths: &SegmentPaths, change: impl FnOnce(&mut Vec<String>)) {
    let text = fs::read_to_string(&paths.records).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    change(&mut lines);
    fs::write(&paths.records, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
}

fn kinds(folder: &Path) -> Vec<FindingKind> {
    check_log(folder).findings.iter().map(|finding| finding.kind).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Gives the lines the numbers that their places ask for, as a careful forger would.
fn renumber(lines: &mut [String]) {
    for (index, line) in lines.iter_mut().enumerate() {
        let stated = sequence_of(line.as_bytes()).unwrap();
        let head = line.strip_suffix(&format!("{stated}}}}}")).unwrap();
        *line = format!("{head}{index}}}}}");
    }
}

#[test]
fn an_untouched_log_verifies() {
    let folder = tempdir().unwrap();
    write_log(folder.path(), 40, 4_000);
    let report = check_log(folder.path());
    assert_eq!(report.findings, []);
    assert!(report.segments > 3);
    assert_eq!((report.records, report.covered, report.uncovered), (40, 40, 0));
}

#[test]
fn any_flipped_bit_is_found_at_its_record() {
    let folder = tempdir().unwrap();
    write_log(folder.path(), 3, 1 << 20);
    let paths = segments(&folder).remove(0);
    let whole = fs::read(&paths.records).unwrap();
    for at in (0..whole.len()).step_by(13) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&paths.records, &bytes).unwrap();
        let record = whole[..at].iter().filter(|byte| **byte == b'\n').count() as u64;
        let report = check_log(folder.path());
        assert_eq!(report.findings.first().and_then(|found| found.sequence), Some(record), "byte {at}: {report:?}");
    }
}

#[test]
fn an_altered_record_is_named() {
    check(|lines| lines[4] = lines[4].replace("ana@", "eva@"), (FindingKind::Altered, 4));
}

#[test]
fn a_deleted_record_is_named() {
    check(|lines| drop(lines.remove(4)), (FindingKind::Deleted, 4));
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
}

#[test]
fn an_inserted_record_is_named() {
    check(|lines| lines.insert(6, lines[6].replace("ana@", "eva@")), (FindingKind::Inserted, 6));
}

#[test]
fn a_record_of_another_log_is_named() {
    let other = tempdir().unwrap();
    write_log(other.path(), 10, 1 << 20);
    let foreign = fs::read_to_string(&segments(&other)[0].records).unwrap().lines().nth(5).unwrap().to_owned();
    check(|lines| lines[5] = foreign, (FindingKind::Altered, 5));
}

#[test]
fn without_leaf_hashes_the_span_is_named() {
    let folder = tempdir().unwrap();
    write_log(folder.path(), 10, 1 << 20);
    let paths = segments(&folder).remove(0);
    fs::remove_file(&paths.leaves).unwrap();
    edit(&paths, |lines| lines[4] = lines[4].replace("ana@", "eva@"));
    assert_eq!(kinds(folder.path()), [FindingKind::Altered]);
}

#[test]
fn a_cut_tail_is_found() {
    let folder = tempdir().unwrap();
    write_log(folder.path(), 10, 1 << 20);
    edit(&segments(&folder)[0], |lines| lines.truncate(7));
    let report = check_log(folder.path());
    assert_eq!((report.findings[0].kind, report.findings[0].sequence), (FindingKind::TailCut, Some(7)));
}

#[test]
fn a_tail_that_was_cut_with_its_checkpoints_is_found_by_the_latest() {
    let folder = tempdir().unwrap();
    write_log(folder.path(), 40, 4_000);
    let segments = segments(&folder);
    let gone = &segments[segments.len() - 2..];
    for path in gone.iter().flat_map(|paths| [&paths.records, &paths.checkpoints, &paths.leaves, &paths.frontier]) {
        fs::remove_file(path).unwrap();
    }
    let report = check_log(folder.path());
    assert_eq!((report.findings[0].kind, report.findings[0].sequence), (FindingKind::TailCut, Some(gone[0].first)));
}

#[test]
fn a_missing_segment_is_found() {
    let folder = tempdir().unwrap();
    write_log(folder.path(), 40, 4_000);
    fs::remove_file(&segments(&folder)[1].records).unwrap();
    assert_eq!(kinds(folder.path()), [FindingKind::Deleted]);
}

#[test]
fn swapped_files_are_found() {
    let folder = tempdir().unwrap();
    write_log(folder.path(), 40, 4_000);
    let segments = segments(&folder);
    let (one, two) = (fs::read(&segments[0].records).unwrap(), fs::read(&segments[1].records).unwrap());
    fs::write(&segments[0].records, two).unwrap();
    fs::write(&segments[1].records, one).unwrap();
    assert_eq!(kinds(folder.path()), [FindingKind::Swapped]);
}

#[test]
fn a_log_rolled_back_whole_is_found_by_a_checkpoint_kept_elsewhere() {
    let (folder, yesterday) = (tempdir().unwrap(), tempdir().unwrap());
    write_log(folder.path(), 5, 1 << 20);
    copy(folder.path(), yesterday.path());
    write_log(folder.path(), 5, 1 << 20);
    let anchor = fs::read_to_string(layout::checkpoint(folder.path())).unwrap();
    assert_eq!(kinds(yesterday.path()), []);
    let request = |folder: &TempDir| Request { folder: folder.path().to_owned(), public_key: None, anchor: Some(anchor.clone()) };
    let report = verify(&request(&yesterday), &mut |_| ()).unwrap();
    assert_eq!(report.findings[0].kind, FindingKind::RolledBack);
    assert_eq!(verify(&request(&folder), &mut |_| ()).unwrap().findings, []);
}

#[test]
fn a_log_of_the_same_key_with_another_past_is_found_by_a_checkpoint_kept_elsewhere() {
    let (folder, other) = (tempdir().unwrap(), tempdir().unwrap());
    write_log(folder.path(), 5, 1 << 20);
    write_log(other.path(), 9, 1 << 20);
    let anchor = Some(fs::read_to_string(layout::checkpoint(folder.path())).unwrap());
    let report = verify(&Request { folder: other.path().to_owned(), public_key: None, anchor }, &mut |_| ()).unwrap();
    assert_eq!(report.findings[0].kind, FindingKind::RolledBack);
}

#[test]
fn a_log_forged_with_another_key_fails_with_the_auditors_key() {
    let folder = tempdir().unwrap();
    write_log(folder.path(), 5, 1 << 20);
    let auditor = Signer::new(&[8; 32], ORIGIN).unwrap().public().clone();
    let report = verify(&Request { folder: folder.path().to_owned(), public_key: Some(auditor), anchor: None }, &mut |_| ()).unwrap();
    assert!(report.findings.iter().any(|finding| finding.kind == FindingKind::Signature));
}

#[test]
fn a_changed_checkpoint_is_found() {
    let folder = tempdir().unwrap();
    write_log(folder.path(), 5, 1 << 20);
    let path = &segments(&folder)[0].checkpoints;
    let text = fs::read_to_string(path).unwrap().replace("\n5\n", "\n4\n");
    fs::write(path, text).unwrap();
    assert!(kinds(folder.path()).contains(&FindingKind::Signature));
}

#[test]
fn a_missing_latest_checkpoint_is_found() {
    let folder = tempdir().unwrap();
    write_log(folder.path(), 5, 1 << 20);
    fs::remove_file(layout::checkpoint(folder.path())).unwrap();
    assert_eq!(kinds(folder.path()), [FindingKind::Checkpoint]);
}

/// Records that no checkpoint covers yet: their sequence alone can be checked, and is.
#[test]
fn a_gap_after_the_last_checkpoint_is_named() {
    let folder = tempdir().unwrap();
    let disk = BadDisk::default();
    let recorder = Recorder::start_on(Box::new(disk.clone()), settings(folder.path(), Durability::Written), clock()).unwrap();
    disk.set(Illness::SyncFails);
    for number in 0..5 {
        runtime().block_on(recorder.keep(allow(number))).unwrap();
    }
    let report = check_log(folder.path());
    assert_eq!((report.findings.len(), report.covered, report.uncovered), (0, 0, 5));
    edit(&segments(&folder)[0], |lines| drop(lines.remove(2)));
    let report = check_log(folder.path());
    assert_eq!((report.findings[0].kind, report.findings[0].sequence), (FindingKind::Deleted, Some(2)));
}
