//! One log has one writer and one history: a folder that was put back, a fork, and a second process are refused.

use std::fs;
use std::path::Path;

use kernel::Failure;
use tempfile::{TempDir, tempdir};

use crate::audit::fixtures::{allow, check_log, clock, records, runtime, settings, sign_in, start};
use crate::audit::{Durability, Recorder, Settings, StartFault, layout};

/// A log whose head is remembered outside of its folder, as in a gateway.
struct World {
    dir: TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempdir().unwrap();
        fs::create_dir(dir.path().join("state")).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn open(&self, head: &str) -> Result<Recorder, StartFault> {
        let settings = settings(&self.path("log"), Durability::Written);
        Recorder::start(Settings { head: self.path(head), segment_bytes: 4_000, ..settings }, clock())
    }

    fn write(&self, head: &str, records: u8) {
        let recorder = self.open(head).unwrap();
        let runtime = runtime();
        for number in 0..records {
            runtime.block_on(recorder.keep(allow(number))).unwrap();
        }
        recorder.shutdown();
    }

    fn copy(&self, from: &str, to: &str) {
        drop(fs::remove_dir_all(self.path(to)));
        fs::create_dir(self.path(to)).unwrap();
        for entry in fs::read_dir(self.path(from)).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), self.path(to).join(entry.file_name())).unwrap();
        }
    }

    fn refusal(&self) -> String {
        match self.open("state/head") {
            Err(fault @ StartFault::RolledBack { .. }) => fault.to_string(),
            Err(fault) => panic!("refused for another reason: {fault}"),
            Ok(_) => panic!("two histories would be signed"),
        }
    }
}

#[test]
fn a_folder_that_was_put_back_to_an_earlier_state_is_refused() {
    let world = World::new();
    world.write("state/head", 3);
    world.copy("log", "snapshot");
    world.write("state/head", 9);
    world.copy("snapshot", "log");
    let message = world.refusal();
    assert!(message.contains("12 records were signed, and 3 are there") && message.contains("state/head"), "{message}");
}

#[test]
fn an_empty_folder_in_place_of_a_log_is_refused() {
    let world = World::new();
    world.write("state/head", 3);
    fs::remove_dir_all(world.path("log")).unwrap();
    assert!(world.refusal().contains("3 records were signed, and 0 are there"));
}

#[test]
fn a_fork_that_has_outgrown_the_head_is_refused() {
    let world = World::new();
    world.write("state/head", 3);
    world.copy("log", "fork");
    world.write("state/head", 2);
    world.copy("fork", "log");
    // Somebody else goes on from the copy.
    world.write("state/other", 20);
    let message = world.refusal();
    assert!(message.contains("its first 5 records are not those that were signed"), "{message}");
}

#[test]
fn a_head_that_was_itself_put_back_is_found_in_an_earlier_segment() {
    let world = World::new();
    world.write("state/head", 5);
    let old = fs::read(world.path("state/head")).unwrap();
    world.write("state/head", 30);
    assert!(layout::segments(&world.path("log")).unwrap().len() > 3);
    fs::write(world.path("state/head"), old).unwrap();
    world.write("state/head", 1);
    assert_eq!(records(&world.path("log")).len(), 36);
    assert_eq!(check_log(&world.path("log")).findings, []);
}

#[test]
fn a_log_whose_head_was_moved_away_or_is_of_another_log_goes_on() {
    let world = World::new();
    world.write("state/head", 3);
    fs::remove_file(world.path("state/head")).unwrap();
    world.write("state/head", 1);
    fs::write(world.path("state/head"), "epoch 9\nof another log\n").unwrap();
    world.write("state/head", 1);
    assert_eq!(records(&world.path("log")).len(), 5);
}

#[test]
fn every_opening_raises_the_epoch_even_where_its_file_was_lost() {
    let world = World::new();
    for expected in [1, 2, 3] {
        let recorder = world.open("state/head").unwrap();
        assert_eq!(recorder.epoch(), expected);
        runtime().block_on(recorder.keep(sign_in())).unwrap();
        recorder.shutdown();
    }
    fs::remove_file(layout::epoch(&world.path("log"))).unwrap();
    assert_eq!(world.open("state/head").unwrap().epoch(), 4);
}

/// Whatever takes the right to sign away: from then on nothing is acknowledged as synced, signed or written.
fn check_superseded(take_over: impl FnOnce(&Path)) {
    let folder = tempdir().unwrap();
    let recorder = start(folder.path());
    let runtime = runtime();
    runtime.block_on(recorder.keep(sign_in())).unwrap();
    take_over(folder.path());
    let signed = fs::read(layout::checkpoint(folder.path())).unwrap();
    assert_eq!(runtime.block_on(recorder.keep(sign_in())), Err(Failure::Audit));
    assert_eq!(runtime.block_on(recorder.keep(allow(1))), Err(Failure::Audit));
    assert!(!recorder.is_available());
    recorder.shutdown();
    assert_eq!(fs::read(layout::checkpoint(folder.path())).unwrap(), signed);
    assert_eq!(recorder.stats().size, 1);
}

#[test]
fn a_process_that_sees_a_later_epoch_never_signs_again() {
    check_superseded(|folder| fs::write(layout::epoch(folder), "2\n").unwrap());
}

#[test]
fn a_process_whose_lock_was_replaced_never_signs_again() {
    check_superseded(|folder| {
        fs::remove_file(layout::lock(folder)).unwrap();
        fs::write(layout::lock(folder), "").unwrap();
    });
}

#[test]
fn where_locks_do_nothing_the_later_of_two_processes_signs_and_the_earlier_one_stops() {
    let folder = tempdir().unwrap();
    let first = start(folder.path());
    let runtime = runtime();
    runtime.block_on(first.keep(sign_in())).unwrap();
    // As on a file system without locks: the second process does not see the first one's.
    fs::remove_file(layout::lock(folder.path())).unwrap();
    let second = start(folder.path());
    assert_eq!(runtime.block_on(first.keep(sign_in())), Err(Failure::Audit));
    runtime.block_on(second.keep(sign_in())).unwrap();
    first.shutdown();
    second.shutdown();
    assert_eq!(check_log(folder.path()).findings, []);
}

/// Takes something away from a running log; once `mend` has run, the log goes on by itself, whole, and with its lock.
fn check_goes_on(harm: impl FnOnce(&Path), mend: impl FnOnce(&Path)) {
    let world = World::new();
    let recorder = world.open("state/head").unwrap();
    let runtime = runtime();
    runtime.block_on(recorder.keep(allow(1))).unwrap();
    harm(&world.path("log"));
    assert_eq!(runtime.block_on(recorder.keep(sign_in())), Err(Failure::Audit));
    mend(&world.path("log"));
    while !recorder.is_available() {
        std::thread::yield_now();
    }
    runtime.block_on(recorder.keep(allow(2))).unwrap();
    assert!(matches!(world.open("state/head"), Err(StartFault::Locked(_))), "it has its lock");
    recorder.shutdown();
    let events: Vec<_> = records(&world.path("log")).iter().map(|one| one["unmapped"]["portcullis"]["event"].clone()).collect();
    assert_eq!(events, ["decision", "log_recovered", "decision"]);
    assert_eq!(check_log(&world.path("log")).findings, []);
}

#[test]
fn a_folder_that_was_moved_away_and_back_is_gone_on_with() {
    check_goes_on(|log| fs::rename(log, log.with_file_name("away")).unwrap(), |log| fs::rename(log.with_file_name("away"), log).unwrap());
}

#[test]
fn a_lock_that_was_removed_is_taken_again_where_nobody_had_it_meanwhile() {
    check_goes_on(|log| fs::remove_file(layout::lock(log)).unwrap(), |_| {});
}

#[test]
fn records_that_somebody_cut_off_are_missed_at_once() {
    for synced in [false, true] {
        let world = World::new();
        let recorder = world.open("state/head").unwrap();
        let runtime = runtime();
        let first = if synced { sign_in() } else { allow(1) };
        runtime.block_on(recorder.keep(first)).unwrap();
        let segment = layout::segments(&world.path("log")).unwrap().remove(0).records;
        let held = fs::read(&segment).unwrap();
        let file = fs::OpenOptions::new().write(true).open(&segment).unwrap();
        file.set_len(20).unwrap();
        assert_eq!(runtime.block_on(recorder.keep(allow(2))), Err(Failure::Audit));
        if synced {
            // What is on no other disk has to be put back; what was not synced yet is still known.
            std::os::unix::fs::FileExt::write_all_at(&file, &held, 0).unwrap();
        }
        while !recorder.is_available() {
            std::thread::yield_now();
        }
        runtime.block_on(recorder.keep(allow(3))).unwrap();
        recorder.shutdown();
        assert_eq!(records(&world.path("log")).len(), 3);
        assert_eq!(check_log(&world.path("log")).findings, []);
    }
}
