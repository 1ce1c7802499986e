//! One log that changes hands: closed by one recorder, opened by another, with nobody refused in between.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use super::super::fixtures::{BadDisk, Illness, check_log, clock, decision, settings, start};
use super::super::{Durability, Recorder, RelayFault};
use kernel::event::{Body, Event};

fn event(number: u8) -> Event {
    Event { time: clock().now(), body: Body::Decision(Box::new(decision(number))) }
}

/// The ids of the decisions on record, in order.
fn recorded(folder: &std::path::Path) -> Vec<String> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    let text: String = files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let own = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["unmapped"]["portcullis"].clone());
    own.filter(|own| own["event"] == "decision").map(|own| own["request_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_nobody_writes_waits_and_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = start(folder.path());
    recorder.keep(event(1)).await.unwrap();
    let epoch = recorder.epoch();
    let pausing = recorder.clone();
    tokio::task::spawn_blocking(move || pausing.pause()).await.unwrap().unwrap();
    let waiting = recorder.clone();
    let waits = tokio::spawn(async move { waiting.keep(event(2)).await });
    while recorder.queue().depth() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(recorded(folder.path()).len(), 1);
    assert!(recorder.is_available() && recorder.has_writer());
    recorder.open_again_if_paused(&settings(folder.path(), Durability::Written), clock()).unwrap();
    waits.await.unwrap().unwrap();
    assert_eq!((recorded(folder.path()).len(), recorder.epoch()), (2, epoch + 1));
    tokio::task::spawn_blocking(move || recorder.shutdown()).await.unwrap();
    assert!(check_log(folder.path()).findings.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_disk_hangs_the_log_is_not_handed_over_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let disk = BadDisk::default();
    let recorder = Recorder::start_on(Box::new(disk.clone()), settings(folder.path(), Durability::Written), clock()).unwrap();
    recorder.keep(event(1)).await.unwrap();
    disk.set(Illness::Hangs);
    let limit = Duration::from_millis(20);
    assert!(matches!(recorder.pause_within(limit), Err(RelayFault::DiskHangs(_))));
    // Whoever goes on after a hand-over that failed finds that there was none.
    recorder.open_again_if_paused(&settings(folder.path(), Durability::Written), clock()).unwrap();
    let waiting = recorder.clone();
    let waits = tokio::spawn(async move { waiting.keep(event(2)).await });
    disk.set(Illness::None);
    waits.await.unwrap().unwrap();
    assert!(recorder.has_writer() && recorder.is_available());
    recorder.keep(event(3)).await.unwrap();
    assert_eq!(recorded(folder.path()).len(), 3);
    recorder.pause().unwrap();
    recorder.open_again_if_paused(&settings(folder.path(), Durability::Written), clock()).unwrap();
    tokio::task::spawn_blocking(move || recorder.shutdown()).await.unwrap();
    assert!(check_log(folder.path()).findings.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_recorder_keeps_what_this_one_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let old = start(folder.path());
    old.keep(event(1)).await.unwrap();
    old.pause().unwrap();
    let waiting = old.clone();
    let waits = tokio::spawn(async move { waiting.keep(event(2)).await });
    while old.queue().depth() == 0 {
        tokio::task::yield_now().await;
    }
    let new = Recorder::start(settings(folder.path(), Durability::Written), clock()).unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let taking = new.clone();
    let theirs = tokio::net::UnixStream::from_std(theirs).unwrap();
    let taken = tokio::spawn(async move { taking.take_in(theirs).await });
    old.relay_to(ours).unwrap();
    waits.await.unwrap().unwrap();
    new.keep(event(3)).await.unwrap();
    for number in 4..40 {
        let recorder = if number % 2 == 0 { &old } else { &new };
        recorder.keep(event(number)).await.unwrap();
    }
    old.keep_later(event(40));
    let old = Arc::new(old);
    let ending = Arc::clone(&old);
    tokio::task::spawn_blocking(move || ending.shutdown()).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), taken).await.unwrap().unwrap().unwrap();
    assert!(old.keep(event(41)).await.is_err(), "nothing is taken after the end");
    tokio::task::spawn_blocking(move || new.shutdown()).await.unwrap();
    let ids: Vec<_> = (1..=40).map(|number| kernel::request::RequestId::new([number; 16]).to_string()).collect();
    assert_eq!(recorded(folder.path()), ids);
    assert!(check_log(folder.path()).findings.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_other_recorder_is_gone_everything_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let old = start(folder.path());
    old.pause().unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    old.relay_to(ours).unwrap();
    drop(theirs);
    assert!(old.keep(event(1)).await.is_err());
    assert!(!old.is_available());
    tokio::task::spawn_blocking(move || old.shutdown()).await.unwrap();
    assert!(recorded(folder.path()).is_empty());
}
