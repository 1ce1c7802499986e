//! What a start finds, and what it makes of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::tempdir;

use crate::audit::fixtures::{allow, check_log, clock, records, runtime, settings, start, write_log};
use crate::audit::layout;
use crate::audit::{Durability, Recorder, Settings, StartFault};
use zeroize::Zeroizing;

fn refusal(folder: &Path) -> String {
    match Recorder::start(settings(folder, Durability::Written), clock()) {
        Ok(_) => panic!("a log that was changed is not written to"),
        Err(fault) => fault.to_string(),
    }
}

fn last_records(folder: &Path) -> std::path::PathBuf {
    layout::segments(folder).unwrap().pop().unwrap().records
}

#[test]
fn the_sequence_goes_on_across_restarts_and_segments() {
    let folder = tempdir().unwrap();
    for _ in 0..4 {
        write_log(folder.path(), 10, 4_000);
    }
    let found = records(folder.path());
    assert_eq!(found.len(), 40);
    for (index, record) in found.iter().enumerate() {
        assert_eq!(record["metadata"]["sequence"], index);
    }
    let report = check_log(folder.path());
    assert_eq!((report.findings.len(), report.covered), (0, 40));
}

#[test]
fn an_unfinished_last_line_is_cut_off_and_that_is_on_record() {
    let folder = tempdir().unwrap();
    write_log(folder.path(), 5, 1 << 20);
    let path = last_records(folder.path());
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(b"{\"class_uid\":4002,\"half");
    fs::write(&path, bytes).unwrap();
    start(folder.path()).shutdown();
    let found = records(folder.path());
    assert_eq!(found.len(), 6);
    assert_eq!(found[5]["unmapped"]["portcullis"]["event"], "log_repaired");
    assert_eq!(check_log(folder.path()).findings, []);
}

#[test]
fn records_after_the_last_checkpoint_are_taken_over() {
    let (folder, killed) = (tempdir().unwrap(), tempdir().unwrap());
    let recorder = start(folder.path());
    let runtime = runtime();
    for number in 0..5 {
        runtime.block_on(recorder.keep(allow(number))).unwrap();
    }
    // What a killed process leaves behind: the files as they stand now.
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), killed.path().join(entry.file_name())).unwrap();
    }
    start(killed.path()).shutdown();
    let found = records(killed.path());
    assert!(found.len() >= 5);
    assert_eq!(check_log(killed.path()).findings, []);
}

#[test]
fn a_torn_checkpoint_is_cut_off() {
    let folder = tempdir().unwrap();
    write_log(folder.path(), 5, 1 << 20);
    let path = layout::segments(folder.path()).unwrap().pop().unwrap().checkpoints;
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}portcullis/gate.test\n7\nAAA")).unwrap();
    write_log(folder.path(), 1, 1 << 20);
    assert_eq!(check_log(folder.path()).findings, []);
}

#[test]
fn lost_sidecars_are_made_again_from_the_earlier_segments() {
    let folder = tempdir().unwrap();
    write_log(folder.path(), 20, 4_000);
    let paths = layout::segments(folder.path()).unwrap().pop().unwrap();
    fs::remove_file(paths.frontier).unwrap();
    fs::remove_file(layout::tiles(folder.path(), 0)).unwrap();
    write_log(folder.path(), 1, 4_000);
    assert_eq!(check_log(folder.path()).findings, []);
}

#[test]
fn an_altered_record_refuses_the_start() {
    let folder = tempdir().unwrap();
    write_log(folder.path(), 5, 1 << 20);
    let path = last_records(folder.path());
    fs::write(&path, fs::read_to_string(&path).unwrap().replacen("ana@", "eva@", 1)).unwrap();
    let message = refusal(folder.path());
    assert!(message.contains("was changed") && message.contains("audit verify"), "{message}");
}

#[test]
fn a_cut_tail_refuses_the_start() {
    let folder = tempdir().unwrap();
    write_log(folder.path(), 5, 1 << 20);
    let path = last_records(folder.path());
    let text: String = fs::read_to_string(&path).unwrap().lines().take(3).map(|line| format!("{line}\n")).collect();
    fs::write(&path, text).unwrap();
    assert!(refusal(folder.path()).contains("5 records were signed, and 3 are there"));
}

#[test]
fn removed_segments_and_checkpoints_refuse_the_start() {
    let folder = tempdir().unwrap();
    write_log(folder.path(), 5, 1 << 20);
    let latest = layout::checkpoint(folder.path());
    let note = fs::read(&latest).unwrap();
    fs::remove_file(&latest).unwrap();
    assert!(refusal(folder.path()).contains("it is missing"));
    fs::write(&latest, note).unwrap();
    fs::remove_file(last_records(folder.path())).unwrap();
    assert!(refusal(folder.path()).contains("there are no segments"));
}

#[test]
fn another_signing_key_refuses_the_start() {
    let folder = tempdir().unwrap();
    write_log(folder.path(), 5, 1 << 20);
    let settings = Settings { signing_key: Zeroizing::new([9; 32]), ..settings(folder.path(), Durability::Written) };
    assert!(matches!(Recorder::start(settings, clock()), Err(StartFault::OtherKey { .. })));
}

#[test]
fn two_processes_cannot_write_one_log() {
    let folder = tempdir().unwrap();
    let first = start(folder.path());
    assert!(matches!(Recorder::start(settings(folder.path(), Durability::Written), clock()), Err(StartFault::Locked(_))));
    first.shutdown();
    start(folder.path()).shutdown();
}

#[test]
fn files_are_for_their_owner_alone() {
    let parent = tempdir().unwrap();
    let folder = parent.path().join("log");
    write_log(&folder, 5, 1_000);
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    for entry in fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
    }
}

#[test]
fn settings_do_not_show_the_key() {
    let shown = format!("{:?}", settings(Path::new("x"), Durability::Written));
    assert!(shown.contains("***") && !shown.contains("7, 7"));
}

fn alter(path: &Path) {
    fs::write(path, fs::read_to_string(path).unwrap().replacen("ana@", "eva@", 1)).unwrap();
}

#[test]
fn the_latest_checkpoint_alone_shows_a_change() {
    let folder = tempdir().unwrap();
    write_log(folder.path(), 5, 1 << 20);
    let paths = layout::segments(folder.path()).unwrap().pop().unwrap();
    let notes = fs::read_to_string(&paths.checkpoints).unwrap();
    let first = crate::audit::note::split_notes(&notes).0[0].to_owned();
    fs::write(&paths.checkpoints, format!("{first}\n")).unwrap();
    alter(&paths.records);
    assert!(refusal(folder.path()).contains("not those that were signed"));
}

#[test]
fn the_checkpoints_of_the_segment_alone_show_a_change() {
    let folder = tempdir().unwrap();
    write_log(folder.path(), 5, 1 << 20);
    let paths = layout::segments(folder.path()).unwrap().pop().unwrap();
    let notes = fs::read_to_string(&paths.checkpoints).unwrap();
    fs::write(layout::checkpoint(folder.path()), crate::audit::note::split_notes(&notes).0[0]).unwrap();
    alter(&paths.records);
    assert!(refusal(folder.path()).contains("not those that were signed"));
}
