//! The writer alone: lines that are written out already, through queue, tree, file and checkpoints. It states what it
//! measured and asserts that all of it is there; `PORTCULLIS_SPEED_RECORDS` sets how many, and only a release build says
//! anything: `cargo test --release --lib -- --nocapture the_writer_alone`.

use std::time::Instant;

use tempfile::tempdir;

use crate::audit::fixtures::{check_log, clock, exchange_end, settings};
use crate::audit::log::{Line, Need};
use crate::audit::record::encode;
use crate::audit::{Durability, QUEUE, Recorder, SEGMENT_BYTES, Settings};

const CALLERS: u64 = 8;
const AT_ONCE: u64 = 256;

/// A record of exactly 600 bytes, but for the digits of its sequence.
fn line() -> Line {
    let mut line = encode(&exchange_end(1), "portcullis/gate.test").unwrap().0;
    line.drain(..line.len().saturating_sub(597));
    if let Some(first) = line.first_mut() {
        *first = b'{';
    }
    Line(line)
}

#[test]
fn the_writer_alone() {
    let records: u64 = std::env::var("PORTCULLIS_SPEED_RECORDS").map_or(20_000, |records| records.parse().unwrap());
    for need in [Need::Written, Need::Synced] {
        let folder = tempdir().unwrap();
        let settings = Settings { segment_bytes: SEGMENT_BYTES, queue: QUEUE, ..settings(folder.path(), Durability::Written) };
        let recorder = Recorder::start(settings, clock()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let began = Instant::now();
        runtime.block_on(async {
            let callers: Vec<_> = (0..CALLERS).map(|_| tokio::spawn(push(recorder.clone(), need, records / CALLERS))).collect();
            for caller in callers {
                caller.await.unwrap();
            }
        });
        let rate = recorder.stats().records as f64 / began.elapsed().as_secs_f64();
        recorder.shutdown();
        let stats = recorder.stats();
        println!("{need:?}: {rate:.0} records/s of {} bytes, {} a batch", stats.bytes / stats.records, stats.records / stats.batches);
        let report = check_log(folder.path());
        assert_eq!((report.findings, report.uncovered, report.records), (Vec::new(), 0, records / CALLERS * CALLERS));
    }
}

/// Every record is waited for, several at once.
async fn push(recorder: Recorder, need: Need, records: u64) {
    let line = line();
    for start in (0..records).step_by(AT_ONCE as usize) {
        let mut answers = Vec::new();
        for _ in start..(start + AT_ONCE).min(records) {
            answers.push(recorder.queue().push(&line.0, need).unwrap());
        }
        for answer in answers {
            answer.await.unwrap();
        }
    }
}
