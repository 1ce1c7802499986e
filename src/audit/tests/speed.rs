//! The writer alone: lines that are written out already, through queue, tree, file and checkpoints. The index alone: of records
//! as requests leave them, while they come and all at once. They state what they measured and assert that all of it is there;
//! `PORTCULLIS_SPEED_RECORDS` sets how many, and only a release build says anything:
//! `cargo test --release --lib -- --nocapture audit::tests::speed`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::time::{Duration, Instant};

use kernel::event::{Body, Event};
use kernel::request::RequestId;
use kernel::route::RouteId;
use rustix::time::{ClockId, clock_gettime};
use tempfile::tempdir;

use crate::audit::fixtures::{allow, check_log, clock, exchange_end, runtime, settings};
use crate::audit::index::{Index, Tender, build};
use crate::audit::layout;
use crate::audit::log::{Line, Need};
use crate::audit::record::encode;
use crate::audit::{Durability, QUEUE, Recorder, SEGMENT_BYTES, Settings};

/// As requests leave them: a decision and an end each, of many people and routes.
fn request(number: u64) -> [Event; 2] {
    let (mut decision, mut end) = (allow(0), exchange_end(0));
    let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (id, route) =
        (RequestId::new((u128::from(mixed) << 64 | u128::from(number)).to_be_bytes()), RouteId::new(&format!("app-{}", mixed % 40)));
    if let (Body::Decision(facts), Body::Exchange(other)) = (&mut decision.body, &mut end.body) {
        (facts.request_id, other.request_id) = (id, id);
        (facts.route, other.route) = (Some(route.clone()), route);
        facts.raw_target = format!("/d/{mixed:x}/panel/{}", number % 977);
        facts.target = Some(facts.raw_target.clone());
        facts.user_agent = Some("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".to_owned());
        facts.actor.as_mut().unwrap().subject.sub = format!("person-{}", (mixed >> 20) % 5_000);
    }
    [decision, end]
}

/// Time of a processor that this thread had.
fn spent() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
}

#[test]
fn the_index_alone() {
    let requests: u64 = std::env::var("PORTCULLIS_SPEED_RECORDS").map_or(1_000, |records| records.parse::<u64>().unwrap() / 2);
    let folder = tempdir().unwrap();
    let settings = Settings { segment_bytes: SEGMENT_BYTES, queue: QUEUE, ..settings(folder.path(), Durability::Queued) };
    let recorder = Recorder::start(settings, clock()).unwrap();
    let (runtime, mut tender) = (runtime(), Tender::keeping_every(1));
    // From here on, what comes is this process's own.
    tender.tend(folder.path()).unwrap();
    for number in 0..requests {
        let [decision, end] = request(number);
        // A full queue takes more a moment later.
        while runtime.block_on(recorder.keep(decision.clone())).is_err() {
            std::thread::yield_now();
        }
        recorder.keep_later(end);
    }
    recorder.shutdown();
    let began = spent();
    while tender.tend(folder.path()).unwrap() {}
    let own = spent() - began;
    let began = spent();
    let (mut records, mut bytes) = (0, 0);
    let segments = layout::segments(folder.path()).unwrap();
    for segment in &segments {
        let built = build(segment).unwrap().unwrap();
        bytes += built.len();
        let index = Index::open_of_beginning(segment);
        records += index.as_ref().map_or(0, |index| u64::from(index.head().records));
    }
    let unknown = spent() - began;
    let each = |span: Duration| span.as_nanos() as u64 / (2 * requests);
    println!(
        "index: {} ns of CPU a record of its own, {} ns of one that is read whole; {bytes} bytes, {records} of {} records",
        each(own),
        each(unknown),
        2 * requests
    );
    assert_eq!(records, 2 * requests);
}

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
