//! Logs that the gateway wrote, and changed afterwards: what the verifier finds, and what a start makes of it. The ways to change
//! a log are gone through one by one in the verifier's own tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::{TempDir, tempdir};

use crate::audit::fixtures::{BadDisk, Illness, allow, check_log, clock, runtime, settings, write_log};
use crate::audit::layout::{self, SegmentPaths};
use crate::audit::verify::{FindingKind, Request, verify};
use crate::audit::{Durability, Recorder};

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
fn a_log_rolled_back_whole_is_found_by_a_checkpoint_kept_elsewhere() {
    let (folder, yesterday) = (tempdir().unwrap(), tempdir().unwrap());
    write_log(folder.path(), 5, 1 << 20);
    copy(folder.path(), yesterday.path());
    write_log(folder.path(), 5, 1 << 20);
    let anchor = fs::read_to_string(layout::checkpoint(folder.path())).unwrap();
    assert_eq!(kinds(yesterday.path()), []);
    let request = |folder: &TempDir| Request { folder: folder.path().to_owned(), public_key: None, anchors: vec![anchor.clone()] };
    let report = verify(&request(&yesterday), &mut |_| ()).unwrap();
    assert_eq!(report.findings[0].kind, FindingKind::RolledBack);
    assert_eq!(verify(&request(&folder), &mut |_| ()).unwrap().findings, []);
}

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

#[test]
fn an_altered_record_is_named() {
    let folder = tempdir().unwrap();
    write_log(folder.path(), 10, 1 << 20);
    edit(&segments(&folder)[0], |lines| lines[4] = lines[4].replace("ana@", "eva@"));
    let found = check_log(folder.path()).findings.swap_remove(0);
    assert_eq!((found.kind, found.sequence, found.line), (FindingKind::Altered, Some(4), Some(5)));
}

#[test]
fn every_record_of_a_log_that_was_written_in_several_runs_is_proven() {
    let folder = tempdir().unwrap();
    for _ in 0..3 {
        write_log(folder.path(), 100, 8_000);
    }
    let key = crate::audit::verify::read_key(&layout::public_key(folder.path())).unwrap();
    for sequence in 0..300 {
        assert!(crate::audit::prove::inclusion(folder.path(), &key, sequence).is_ok(), "{sequence}");
    }
    for paths in segments(&folder) {
        let notes = fs::read_to_string(paths.checkpoints).unwrap();
        for note in crate::audit::note::split_notes(&notes).0 {
            assert!(crate::audit::prove::consistency(folder.path(), &key, note).is_ok(), "{note}");
        }
    }
}

/// A pipe that nobody writes to would hold up whoever opens it, without a word.
#[test]
fn what_is_no_file_in_the_place_of_one_keeps_the_log_from_being_opened() {
    let names = ["lock", "epoch", "reserve", "head", "checkpoint", "audit.pub", "dropped", "tiles.0"].map(str::to_owned);
    let folder = tempdir().unwrap();
    write_log(folder.path(), 40, 4_000);
    let of_segments = [&segments(&folder)[0], segments(&folder).last().unwrap()]
        .map(|paths| [paths.records.clone(), paths.checkpoints.clone(), paths.frontier.clone(), paths.records.with_extension("index")]);
    let of_segments = of_segments.concat().into_iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
    for name in names.into_iter().chain(of_segments) {
        let copied = tempdir().unwrap();
        copy(folder.path(), copied.path());
        let path = copied.path().join(&name);
        drop(fs::remove_file(&path));
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        match Recorder::start(settings(copied.path(), Durability::Written), clock()) {
            Err(fault) => assert!(fault.to_string().contains(&name) && fault.to_string().contains("not a file"), "{name}: {fault}"),
            Ok(_) => panic!("opened with a pipe as {name}"),
        }
    }
}

/// What happens to the tree's hashes while no gateway runs.
fn check_hashes(change: impl Fn(&Path)) {
    let folder = tempdir().unwrap();
    write_log(folder.path(), 100, 8_000);
    write_log(folder.path(), 100, 8_000);
    let whole: Vec<_> = (0..2).map(|level| fs::read(layout::tiles(folder.path(), level)).unwrap()).collect();
    change(folder.path());
    assert!(kinds(folder.path()).contains(&FindingKind::Hashes));
    write_log(folder.path(), 0, 8_000);
    let again: Vec<_> = (0..2).map(|level| fs::read(layout::tiles(folder.path(), level)).unwrap()).collect();
    assert!(again == whole);
    assert_eq!(kinds(folder.path()), []);
}

#[test]
fn lost_or_damaged_tree_hashes_are_made_again_at_the_next_start() {
    let cut = |path: std::path::PathBuf, by: usize| {
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - by]).unwrap();
    };
    check_hashes(|folder| fs::remove_file(layout::tiles(folder, 0)).unwrap());
    check_hashes(|folder| cut(layout::tiles(folder, 0), 32 * 3));
    check_hashes(|folder| cut(layout::tiles(folder, 0), 32 * 150 + 5));
    check_hashes(|folder| fs::write(layout::tiles(folder, 0), vec![7; 200 * 32]).unwrap());
    check_hashes(|folder| fs::write(layout::tiles(folder, 0), vec![7; 300 * 32]).unwrap());
    check_hashes(|folder| fs::write(layout::tiles(folder, 1), [7; 32]).unwrap());
}

#[test]
fn nothing_is_signed_over_a_tree_that_lacks_what_was_signed() {
    let folder = tempdir().unwrap();
    let recorder = crate::audit::fixtures::start(folder.path());
    let runtime = runtime();
    for number in 0..5 {
        runtime.block_on(recorder.keep(allow(number))).unwrap();
    }
    while fs::metadata(layout::tiles(folder.path(), 0)).unwrap().len() < 5 * 32 {
        std::thread::yield_now();
    }
    while verify_size(folder.path()) < 5 {
        std::thread::yield_now();
    }
    let path = layout::tiles(folder.path(), 0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[40] ^= 1;
    fs::write(&path, bytes).unwrap();
    runtime.block_on(recorder.keep(allow(6))).unwrap();
    recorder.shutdown();
    assert_eq!(verify_size(folder.path()), 5);
}

fn verify_size(folder: &Path) -> u64 {
    let key = crate::audit::verify::read_key(&layout::public_key(folder)).unwrap();
    key.open(&fs::read_to_string(layout::checkpoint(folder)).unwrap()).unwrap().size
}
