//! A receiver that is gone, and a limit to what may wait for it.

use std::fs;

use portcullis::audit::sinks::SinkState;
use portcullis::config::{Backlog, Carrier};
use serde_json::Value;

use super::log::{Log, read_lines, sink, until};

/// A file that cannot be written: where it should be is a folder.
fn blocked(log: &Log) -> Carrier {
    fs::create_dir(log.dir.path().join("out.jsonl")).unwrap();
    Carrier::File { path: log.dir.path().join("out.jsonl") }
}

fn unblock(log: &Log) {
    fs::remove_dir(log.dir.path().join("out.jsonl")).unwrap();
}

#[tokio::test]
async fn block_refuses_grants_until_the_sink_has_caught_up_and_loses_nothing() {
    let log = Log::new();
    let mut sink = sink("one", blocked(&log));
    sink.backlog = Backlog::Block(50);
    log.sinks.configure(&[sink]).await;
    log.write(50).await;
    log.signed().await;
    until("the sink fails", || log.report().errors > 0).await;
    assert!(!log.recorder.holds_grants());
    log.write(10).await;
    until("grants are held", || log.recorder.holds_grants()).await;
    assert_eq!(log.report().state, SinkState::Blocking);
    // What is not a grant is recorded as ever.
    log.write(10).await;
    unblock(&log);
    log.shipped().await;
    until("grants are given", || !log.recorder.holds_grants()).await;
    super::log::compare(&log, &read_lines(&log.dir.path().join("out.jsonl")), super::log::Whole::Yes);
    assert_eq!(log.report().dropped, 0);
}

#[tokio::test]
async fn a_sink_that_is_removed_holds_nothing_back() {
    let log = Log::new();
    let mut sink = sink("one", blocked(&log));
    sink.backlog = Backlog::Block(10);
    log.write(20).await;
    log.sinks.configure(&[sink]).await;
    until("grants are held", || log.recorder.holds_grants()).await;
    log.sinks.configure(&[]).await;
    until("grants are given", || !log.recorder.holds_grants()).await;
}

#[tokio::test]
async fn drop_skips_the_oldest_and_a_signed_record_says_which() {
    let log = Log::new();
    let mut sink = sink("one", blocked(&log));
    sink.backlog = Backlog::Drop(100);
    log.sinks.configure(&[sink]).await;
    log.write(250).await;
    log.signed().await;
    until("records are skipped", || log.report().dropped > 0).await;
    unblock(&log);
    log.shipped().await;
    // What was skipped while the first wait lasted has its own record, which was kept before the position moved on.
    log.shipped().await;
    let shipped: Vec<Value> =
        read_lines(&log.dir.path().join("out.jsonl")).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let arrived: Vec<u64> = shipped.iter().filter_map(|event| event["metadata"]["sequence"].as_u64()).collect();
    let gaps: Vec<&Value> = shipped.iter().filter(|event| event["unmapped"]["portcullis"]["event"] == "sink_gap").collect();
    assert!(!gaps.is_empty(), "the gap record is shipped itself");
    let mut named: Vec<u64> = Vec::new();
    for gap in gaps {
        let own = &gap["unmapped"]["portcullis"];
        assert_eq!(own["sink"], "one");
        named.extend(own["first"].as_u64().unwrap()..=own["last"].as_u64().unwrap());
    }
    let size = log.lines().len() as u64;
    let missing: Vec<u64> = (0..size).filter(|sequence| !arrived.contains(sequence)).collect();
    named.sort_unstable();
    named.dedup();
    assert_eq!(missing, named, "what is missing is what was named");
    assert_eq!(log.report().dropped, missing.len() as u64);
}

#[tokio::test]
async fn what_was_dropped_from_disk_before_it_was_shipped_is_named_too() {
    let log = Log::in_segments_of(4_000);
    // It begins, and takes nothing.
    log.sinks.configure(&[sink("one", blocked(&log))]).await;
    until("it has begun", || log.audit().join("sinks/one.json").exists()).await;
    log.sinks.configure(&[]).await;
    unblock(&log);
    log.write(60).await;
    log.signed().await;
    let segments = portcullis::audit::layout::segments(&log.audit()).unwrap();
    fs::remove_file(&segments[0].records).unwrap();
    let path = log.dir.path().join("out.jsonl");
    log.sinks.configure(&[sink("one", Carrier::File { path: path.clone() })]).await;
    until("it is shipped", || read_lines(&path).iter().any(|line| line.contains("\"sink_gap\""))).await;
    let gap = read_lines(&path).into_iter().find(|line| line.contains("\"sink_gap\"")).unwrap();
    let gap: Value = serde_json::from_str(&gap).unwrap();
    assert_eq!(gap["unmapped"]["portcullis"]["first"], 0);
    assert_eq!(gap["unmapped"]["portcullis"]["last"], segments[1].first - 1);
}

#[tokio::test]
async fn what_may_be_dropped_from_disk_is_what_every_sink_has() {
    let log = Log::new();
    log.write(10).await;
    assert_eq!(log.sinks.lowest_acknowledged(), None, "there is none");
    log.sinks.configure(&[sink("one", Carrier::File { path: log.dir.path().join("one.jsonl") })]).await;
    log.shipped().await;
    assert_eq!(log.sinks.lowest_acknowledged(), Some(10));
    log.sinks.configure(&[sink("one", Carrier::File { path: log.dir.path().join("one.jsonl") }), sink("two", blocked(&log))]).await;
    until("it has begun", || log.audit().join("sinks/two.json").exists()).await;
    assert_eq!(log.sinks.lowest_acknowledged(), Some(0));
}
