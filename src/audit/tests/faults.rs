//! A disk that fails: refused at once, nothing acknowledged is lost, no sequence is given twice, recovery by itself.

use std::fs;
use std::os::unix::fs::MetadataExt;

use kernel::Failure;
use kernel::event::Body;
use tempfile::tempdir;

use crate::audit::fixtures::{BadDisk, Illness, allow, check_log, clock, exchange_end, records, runtime, settings, sign_in, start};
use crate::audit::layout;
use crate::audit::{Durability, Recorder};

/// A disk falls ill between two records and gets well: the second is refused, the third is kept, and the log is whole.
fn check(illness: Illness, durability: Durability) {
    let folder = tempdir().unwrap();
    let disk = BadDisk::default();
    let recorder = Recorder::start_on(Box::new(disk.clone()), settings(folder.path(), durability), clock()).unwrap();
    let runtime = runtime();
    runtime.block_on(recorder.keep(allow(1))).unwrap();
    disk.set(illness);
    assert_eq!(runtime.block_on(recorder.keep(allow(2))), Err(Failure::Audit));
    assert!(!recorder.is_available());
    assert_eq!(runtime.block_on(recorder.keep(allow(3))), Err(Failure::Audit));
    recorder.keep_later(exchange_end(1));
    disk.set(Illness::None);
    // Stopping tries once more, at once.
    recorder.shutdown();

    let found = records(folder.path());
    let events: Vec<_> = found.iter().map(|record| record["unmapped"]["portcullis"]["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["decision", "log_recovered", "exchange_end"]);
    for (index, record) in found.iter().enumerate() {
        assert_eq!(record["metadata"]["sequence"], index);
    }
    assert_eq!(check_log(folder.path()).findings, []);
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    check(Illness::Full, Durability::Written);
}

#[test]
fn a_failed_sync_refuses_and_recovers() {
    check(Illness::SyncFails, Durability::Synced);
}

#[test]
fn a_log_recovers_by_itself_while_it_runs() {
    let folder = tempdir().unwrap();
    let disk = BadDisk::default();
    let recorder = Recorder::start_on(Box::new(disk.clone()), settings(folder.path(), Durability::Written), clock()).unwrap();
    let runtime = runtime();
    disk.set(Illness::Full);
    assert_eq!(runtime.block_on(recorder.keep(allow(1))), Err(Failure::Audit));
    disk.set(Illness::None);
    // The writer tries every second; nothing is asked of it but that.
    while !recorder.is_available() {
        std::thread::yield_now();
    }
    runtime.block_on(recorder.keep(allow(2))).unwrap();
    recorder.shutdown();
    assert_eq!(records(folder.path()).len(), 2);
    assert_eq!(check_log(folder.path()).findings, []);
}

#[test]
fn short_writes_are_finished() {
    let folder = tempdir().unwrap();
    let disk = BadDisk::default();
    let recorder = Recorder::start_on(Box::new(disk.clone()), settings(folder.path(), Durability::Written), clock()).unwrap();
    disk.set(Illness::ShortWrites);
    runtime().block_on(recorder.keep(allow(1))).unwrap();
    recorder.shutdown();
    assert_eq!(records(folder.path()).len(), 1);
    assert_eq!(check_log(folder.path()).findings, []);
}

#[test]
fn a_removed_file_is_noticed_and_written_anew() {
    let folder = tempdir().unwrap();
    let recorder = start(folder.path());
    let runtime = runtime();
    runtime.block_on(recorder.keep(allow(1))).unwrap();
    fs::remove_file(&layout::segments(folder.path()).unwrap()[0].records).unwrap();
    assert_eq!(runtime.block_on(recorder.keep(allow(2))), Err(Failure::Audit));
    recorder.shutdown();
    let found = records(folder.path());
    assert_eq!(found.len(), 2);
    assert_eq!(found[0]["unmapped"]["portcullis"]["request_id"], "01".repeat(16));
    assert_eq!(check_log(folder.path()).findings, []);
}

#[test]
fn hashes_that_are_removed_while_the_log_is_written_are_put_back() {
    let folder = tempdir().unwrap();
    let settings = crate::audit::Settings { segment_bytes: 4_000, ..settings(folder.path(), Durability::Written) };
    let recorder = Recorder::start(settings, clock()).unwrap();
    let runtime = runtime();
    // More than a tile, so that the second level has hashes too.
    let keep = |count: u16| (0..count).filter(|_| runtime.block_on(recorder.keep(allow(1))).is_ok()).count();
    assert_eq!(keep(300), 300);
    for level in 0..2 {
        fs::remove_file(layout::tiles(folder.path(), level)).unwrap();
    }
    // The end of a segment extends them, and finds that they are gone.
    while recorder.stats().faults == 0 {
        keep(1);
    }
    while !recorder.is_available() {
        std::thread::yield_now();
    }
    assert_eq!(keep(300), 300);
    recorder.shutdown();
    assert!(records(folder.path()).len() >= 600);
    assert_eq!(check_log(folder.path()).findings, []);
}

/// A refusal for want of a record is one request, though its own record cannot be kept either.
#[test]
fn a_request_that_cannot_be_recorded_is_counted_once() {
    let folder = tempdir().unwrap();
    let recorder = start(folder.path());
    recorder.shutdown();
    let mut refusal = crate::audit::fixtures::decision(1);
    refusal.verdict = kernel::event::Verdict::Fail;
    refusal.reason = Some(kernel::policy::Reason::AuditUnavailable);
    let runtime = runtime();
    assert_eq!(runtime.block_on(recorder.keep(allow(1))), Err(Failure::Audit));
    assert_eq!(runtime.block_on(recorder.keep(crate::audit::fixtures::event(Body::Decision(Box::new(refusal))))), Err(Failure::Audit));
    assert_eq!(recorder.stats().refused, 1);
}

/// Where records come fast, not every batch looks whether its file is still there: what was acknowledged before somebody
/// does is not lost for that.
#[test]
fn a_file_that_is_removed_under_load_loses_nothing_that_was_acknowledged() {
    let folder = tempdir().unwrap();
    let recorder = start(folder.path());
    let runtime = runtime();
    let kept: Vec<Vec<u64>> = runtime.block_on(async {
        let callers = (0..64_u64).map(|caller| {
            let recorder = recorder.clone();
            tokio::spawn(async move {
                let mut kept = Vec::new();
                for number in (0..).map(|number| caller << 32 | number) {
                    let mut event = allow(0);
                    let Body::Decision(facts) = &mut event.body else { panic!("a decision") };
                    facts.raw_target = number.to_string();
                    if recorder.keep(event).await.is_err() {
                        return kept;
                    }
                    kept.push(number);
                }
                kept
            })
        });
        let callers: Vec<_> = callers.collect();
        while recorder.stats().records < 5_000 {
            tokio::task::yield_now().await;
        }
        fs::remove_file(&layout::segments(folder.path()).unwrap().last().unwrap().records).unwrap();
        let mut kept = Vec::new();
        for caller in callers {
            kept.push(caller.await.unwrap());
        }
        kept
    });
    recorder.shutdown();
    let found: std::collections::BTreeSet<u64> =
        records(folder.path()).iter().filter_map(|record| record["unmapped"]["portcullis"]["raw_target"].as_str()?.parse().ok()).collect();
    assert!(kept.iter().flatten().count() >= 5_000);
    assert!(kept.iter().flatten().all(|number| found.contains(number)));
    assert_eq!(check_log(folder.path()).findings, []);
}

#[test]
fn a_checkpoint_of_somebody_else_stops_the_signer() {
    let folder = tempdir().unwrap();
    let recorder = start(folder.path());
    let path = layout::checkpoint(folder.path());
    fs::write(&path, "somebody else's\n").unwrap();
    runtime().block_on(recorder.keep(allow(1))).unwrap();
    recorder.shutdown();
    assert_eq!(fs::read_to_string(&path).unwrap(), "somebody else's\n");
}

#[test]
fn nothing_is_signed_that_could_not_be_synced() {
    let folder = tempdir().unwrap();
    let disk = BadDisk::default();
    let recorder = Recorder::start_on(Box::new(disk.clone()), settings(folder.path(), Durability::Written), clock()).unwrap();
    let before = fs::read(layout::checkpoint(folder.path())).unwrap();
    disk.set(Illness::SyncFails);
    runtime().block_on(recorder.keep(allow(1))).unwrap();
    recorder.shutdown();
    assert_eq!(fs::read(layout::checkpoint(folder.path())).unwrap(), before);
    let notes = fs::read_to_string(&layout::segments(folder.path()).unwrap()[0].checkpoints).unwrap();
    assert_eq!(crate::audit::note::split_notes(&notes).0.len(), 1);
}

#[test]
fn a_log_that_was_changed_during_a_fault_is_not_gone_on_with() {
    let folder = tempdir().unwrap();
    let disk = BadDisk::default();
    let recorder = Recorder::start_on(Box::new(disk.clone()), settings(folder.path(), Durability::Written), clock()).unwrap();
    let runtime = runtime();
    runtime.block_on(recorder.keep(sign_in())).unwrap();
    disk.set(Illness::Full);
    assert_eq!(runtime.block_on(recorder.keep(allow(2))), Err(Failure::Audit));
    let path = &layout::segments(folder.path()).unwrap()[0].records;
    let changed = fs::read_to_string(path).unwrap().replacen("corp", "c0rp", 1);
    fs::write(path, changed).unwrap();
    disk.set(Illness::None);
    recorder.shutdown();
    assert!(!fs::read_to_string(path).unwrap().contains("log_recovered"));
    assert_eq!(recorder.stats().size, 1);
}

#[test]
fn what_a_failed_sync_let_go_is_written_again_from_memory() {
    let folder = tempdir().unwrap();
    let disk = BadDisk::default();
    let recorder = Recorder::start_on(Box::new(disk.clone()), settings(folder.path(), Durability::Written), clock()).unwrap();
    let runtime = runtime();
    runtime.block_on(recorder.keep(allow(1))).unwrap();
    disk.set(Illness::SyncForgets);
    assert_eq!(runtime.block_on(recorder.keep(sign_in())), Err(Failure::Audit));
    recorder.shutdown();
    let found = records(folder.path());
    let events: Vec<_> = found.iter().map(|record| record["unmapped"]["portcullis"]["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["decision", "log_recovered"]);
    assert_eq!(check_log(folder.path()).findings, []);
}

#[test]
fn after_a_failed_sync_the_log_goes_on_in_another_segment_and_the_old_file_is_never_synced_again() {
    let folder = tempdir().unwrap();
    let disk = BadDisk::default();
    let recorder = Recorder::start_on(Box::new(disk.clone()), settings(folder.path(), Durability::Written), clock()).unwrap();
    let runtime = runtime();
    runtime.block_on(recorder.keep(allow(1))).unwrap();
    let segment = || layout::segments(folder.path()).unwrap().remove(0).records;
    let poisoned = fs::metadata(segment()).unwrap().ino();
    disk.set(Illness::SyncFails);
    assert_eq!(runtime.block_on(recorder.keep(sign_in())), Err(Failure::Audit));
    disk.set(Illness::None);
    recorder.shutdown();
    assert_ne!(fs::metadata(segment()).unwrap().ino(), poisoned);
    let segments = layout::segments(folder.path()).unwrap();
    assert_eq!(segments.iter().map(|paths| paths.first).collect::<Vec<_>>(), [0, 1]);
    assert!(fs::read_to_string(&segments[1].records).unwrap().contains("log_recovered"));
    assert_eq!(check_log(folder.path()).findings, []);
}

#[test]
fn a_write_that_hangs_holds_the_task_that_made_it_and_no_other() {
    let folder = tempdir().unwrap();
    let disk = BadDisk::default();
    let recorder = Recorder::start_on(Box::new(disk.clone()), settings(folder.path(), Durability::Written), clock()).unwrap();
    disk.set(Illness::WritesHang);
    std::thread::scope(|scope| {
        let held = scope.spawn(|| runtime().block_on(recorder.keep(allow(1))));
        while !disk.is_hanging() {
            std::thread::yield_now();
        }
        let paused = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        assert_eq!(paused.block_on(recorder.keep(allow(2))), Err(Failure::Audit), "refused when its time is up");
        assert!(!recorder.is_available());
        disk.set(Illness::None);
        assert_eq!(held.join().unwrap(), Ok(()));
    });
    while !recorder.is_available() {
        std::thread::yield_now();
    }
    runtime().block_on(recorder.keep(allow(3))).unwrap();
    recorder.shutdown();
    assert_eq!(check_log(folder.path()).findings, []);
}

#[test]
fn a_disk_that_hangs_lets_one_request_wait_and_refuses_the_others_at_once() {
    let folder = tempdir().unwrap();
    let disk = BadDisk::default();
    let recorder = Recorder::start_on(Box::new(disk.clone()), settings(folder.path(), Durability::Written), clock()).unwrap();
    // Time that stands still but for what somebody waits for.
    let paused = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    disk.set(Illness::Hangs);
    let began = paused.block_on(async { tokio::time::Instant::now() });
    assert_eq!(paused.block_on(recorder.keep(sign_in())), Err(Failure::Audit));
    let waited = paused.block_on(async { began.elapsed() });
    assert!(!recorder.is_available());
    assert_eq!(paused.block_on(recorder.keep(allow(1))), Err(Failure::Audit));
    assert_eq!(paused.block_on(async { began.elapsed() }), waited, "the second one did not wait");
    disk.set(Illness::None);
    while !recorder.is_available() {
        std::thread::yield_now();
    }
    runtime().block_on(recorder.keep(allow(2))).unwrap();
    recorder.shutdown();
    assert_eq!(check_log(folder.path()).findings, []);
}
