//! Changes that nobody expects: each is found, and named by the first record or the file that it is about.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use portcullis_verify::layout;
use portcullis_verify::note::{PublicKey, hex, split_notes};
use portcullis_verify::verify::{FindingKind, Request, VerifyFault, verify};

use crate::fixture::{Log, Shape, remove, splice};

/// Changes a log of forty records in four segments, and states the kind and the record of what is found first.
#[track_caller]
fn check(change: impl FnOnce(&Log), kind: FindingKind, sequence: Option<u64>) {
    let log = Log::segmented();
    change(&log);
    let found = log.first();
    assert_eq!((found.kind, found.sequence), (kind, sequence), "{found:?}");
}

fn swap(one: &PathBuf, other: &PathBuf) {
    let (first, second) = (fs::read(one).unwrap(), fs::read(other).unwrap());
    fs::write(one, second).unwrap();
    fs::write(other, first).unwrap();
}

fn append(path: &PathBuf, bytes: &[u8]) {
    fs::write(path, [fs::read(path).unwrap(), bytes.to_vec()].concat()).unwrap();
}

#[test]
fn bytes_that_are_no_text_or_not_seen_are_named() {
    check(|log| splice(&log.segment(1).records, 30..32, &[0xff, 0xfe]), FindingKind::Altered, Some(10));
    check(|log| splice(&log.segment(2).records, 0..0, b"\xef\xbb\xbf"), FindingKind::Altered, Some(20));
    check(|log| log.edit(1, |lines| lines[3].push(' ')), FindingKind::Altered, Some(13));
    check(|log| log.edit(1, |lines| lines[3].insert(0, '\t')), FindingKind::Altered, Some(13));
}

#[test]
fn empty_lines_are_named_wherever_they_stand() {
    check(|log| append(&log.segment(0).records, b"\n"), FindingKind::Inserted, Some(10));
    check(|log| append(&log.segment(3).records, b"\n"), FindingKind::Inserted, Some(40));
    check(|log| log.edit(1, |lines| lines.insert(4, String::new())), FindingKind::Inserted, Some(14));
    check(|log| log.edit(1, |lines| lines.insert(0, String::new())), FindingKind::Inserted, Some(10));
}

#[test]
fn other_bytes_of_the_same_meaning_are_named() {
    let edits = [
        ("\"user\":\"ana", "\"user\":\"\\u0061na"),
        ("\"sequence\":12}}", "\"sequence\":12.0}}"),
        ("\"sequence\":12}}", "\"sequence\":012}}"),
        ("\"sequence\":12}}", "\"sequence\": 12}}"),
        ("{\"class_uid\"", "{\"sequence\":5,\"class_uid\""),
    ];
    for (from, to) in edits {
        let edit = |lines: &mut Vec<String>| {
            assert!(lines[2].contains(from));
            lines[2] = lines[2].replacen(from, to, 1);
        };
        check(|log| log.edit(1, edit), FindingKind::Altered, Some(12));
    }
}

/// The length stays, and nothing but zeros is behind: as a file that was cut and made as long again.
#[test]
fn a_hole_in_a_file_is_named_at_the_record_where_it_begins() {
    let cut = |log: &Log| {
        let path = log.segment(1).records;
        let length = fs::metadata(&path).unwrap().len();
        let whole_until = fs::read_to_string(&path).unwrap().lines().take(2).map(|line| line.len() + 1).sum::<usize>();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(whole_until as u64 + 20).unwrap();
        file.set_len(length).unwrap();
    };
    check(cut, FindingKind::Deleted, Some(12));
}

#[test]
fn segments_that_were_joined_or_whose_records_changed_places_are_named() {
    check(|log| swap(&log.segment(1).records, &log.segment(2).records), FindingKind::Swapped, Some(10));
    let joined = |log: &Log| append(&log.segment(1).records, &fs::read(log.segment(2).records).unwrap());
    check(joined, FindingKind::Duplicated, Some(20));
    let moved = |log: &Log| {
        joined(log);
        fs::write(log.segment(2).records, "").unwrap();
    };
    check(moved, FindingKind::Duplicated, Some(20));
}

#[test]
fn checkpoints_that_changed_places_or_came_twice_or_were_put_back_are_named() {
    check(|log| swap(&log.segment(1).checkpoints, &log.segment(2).checkpoints), FindingKind::Checkpoint, None);
    check(|log| append(&log.segment(1).checkpoints, &fs::read(log.segment(1).checkpoints).unwrap()), FindingKind::Checkpoint, None);
    let feeds = |log: &Log| {
        let path = log.segment(1).checkpoints;
        fs::write(&path, fs::read_to_string(&path).unwrap().replace('\n', "\r\n")).unwrap();
    };
    check(feeds, FindingKind::Checkpoint, None);
    let older = |log: &Log| {
        let notes = fs::read_to_string(log.segment(1).checkpoints).unwrap();
        fs::write(layout::checkpoint(log.path()), split_notes(&notes).0[0]).unwrap();
    };
    check(older, FindingKind::Checkpoint, None);
    check(|log| fs::remove_file(layout::checkpoint(log.path())).unwrap(), FindingKind::Checkpoint, None);
}

#[test]
fn a_checkpoint_of_another_name_is_named() {
    let forged = |log: &Log| fs::write(layout::checkpoint(log.path()), log.sign().replace("gate.test", "gate.tost")).unwrap();
    check(forged, FindingKind::Signature, None);
}

/// Witnesses may sign a checkpoint too.
#[test]
fn another_signature_under_the_latest_checkpoint_is_allowed() {
    let log = Log::segmented();
    fs::write(layout::checkpoint(log.path()), format!("{}\u{2014} witness AAAAAAAA\n", log.sign())).unwrap();
    assert_eq!(log.verify().findings, []);
}

#[test]
fn hashes_that_changed_places_are_named() {
    let mut log = Log::new();
    log.write(Shape { records: 600, per_segment: 300, per_checkpoint: 50 });
    let (zero, one) = (layout::tiles(log.path(), 0), layout::tiles(log.path(), 1));
    swap(&zero, &one);
    assert!(log.kinds().iter().all(|kind| *kind == FindingKind::Hashes) && !log.kinds().is_empty());
    swap(&zero, &one);
    let whole = fs::read(&zero).unwrap();
    splice(&zero, 320..640, &whole[640..960]);
    assert!(log.first().kind == FindingKind::Hashes && log.first().what.contains("hash 10 "), "{:?}", log.first());
}

/// A pipe has no end: it must be told before it is read.
#[test]
fn what_is_no_file_is_named_and_not_read() {
    let names = [|log: &Log| log.segment(1).records, |log: &Log| log.segment(1).checkpoints, |log: &Log| layout::tiles(log.path(), 0)];
    let beside =
        [|log: &Log| layout::checkpoint(log.path()), |log: &Log| layout::public_key(log.path()), |log: &Log| layout::dropped(log.path())];
    for name in names.into_iter().chain(beside) {
        for command in ["mkfifo", "mkdir"] {
            let log = Log::segmented();
            let path = name(&log);
            drop(fs::remove_file(&path));
            assert!(Command::new(command).arg(&path).status().unwrap().success());
            let report = log.verify();
            let found = &report.findings[0];
            assert_eq!((found.kind, found.file.as_str()), (FindingKind::Swapped, path.file_name().unwrap().to_str().unwrap()));
            assert_eq!((found.sequence.is_some(), report.records), (path.extension().is_some_and(|kind| kind == "jsonl"), 0), "{found:?}");
        }
    }
}

/// A link that leads nowhere, or in a circle, is no reason to say nothing.
#[test]
fn a_link_that_leads_to_no_file_is_named() {
    for target in ["/nonexistent/file", "checkpoint"] {
        for name in [|log: &Log| log.segment(1).records, |log: &Log| log.segment(1).checkpoints, |log: &Log| layout::checkpoint(log.path())]
        {
            let log = Log::segmented();
            let path = name(&log);
            fs::remove_file(&path).unwrap();
            fs::remove_file(layout::checkpoint(log.path())).unwrap_or_default();
            symlink(target, &path).unwrap();
            let found = log.first();
            assert_eq!((found.kind, found.file.as_str()), (FindingKind::Swapped, path.file_name().unwrap().to_str().unwrap()), "{found:?}");
        }
    }
}

/// A hole of many gigabytes costs nobody anything to make. It must not be read into memory.
#[test]
fn small_files_that_were_made_huge_are_named_and_not_read() {
    type Name = fn(&Log) -> PathBuf;
    let cases: [(Name, FindingKind); 4] = [
        (|log| layout::checkpoint(log.path()), FindingKind::Signature),
        (|log| layout::public_key(log.path()), FindingKind::Signature),
        (|log| layout::dropped(log.path()), FindingKind::Hashes),
        (|log| log.segment(1).frontier, FindingKind::Hashes),
    ];
    for (name, kind) in cases {
        let log = Log::segmented();
        let path = name(&log);
        OpenOptions::new().append(true).create(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        let found = log.first();
        assert_eq!((found.kind, found.file.as_str()), (kind, path.file_name().unwrap().to_str().unwrap()), "{found:?}");
    }
}

#[test]
fn what_is_said_of_dropped_records_is_not_believed_when_it_is_old_or_made_up() {
    let mut log = Log::segmented();
    let older = log.record_drop(10);
    remove(&log.segments()[..1]);
    log.record_drop(20);
    remove(&log.segments()[..1]);
    assert_eq!(log.verify().findings, []);
    fs::write(layout::dropped(log.path()), older.text()).unwrap();
    assert_eq!((log.first().kind, log.first().sequence), (FindingKind::Deleted, Some(10)));
    for text in ["{\"end\":10,\"recorded\":12}\n", "{\"end\":10,\"recorded\":4000}\n"] {
        let made_up = |log: &Log| fs::write(layout::dropped(log.path()), text).unwrap();
        check(made_up, FindingKind::Inserted, None);
    }
}

#[test]
fn a_public_key_that_was_changed_is_named_or_not_taken() {
    let log = Log::segmented();
    let forged = log.key.text().replacen(&hex(&log.key.id()), "00000000", 1);
    assert!(PublicKey::parse(&forged).is_err());
    fs::write(layout::public_key(log.path()), forged).unwrap();
    assert_eq!((log.first().kind, log.first().file.as_str()), (FindingKind::Signature, "audit.pub"));
    let without = verify(&Request { folder: log.path().to_owned(), public_key: None, anchors: Vec::new() }, &mut |_| ());
    assert!(matches!(without, Err(VerifyFault::Key(_))));
}
