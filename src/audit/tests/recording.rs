//! What a caller is promised.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use kernel::Failure;
use tempfile::tempdir;

use crate::audit::fixtures::{allow, check_log, clock, exchange_end, records, runtime, settings, sign_in, start};
use crate::audit::log::Need;
use crate::audit::media::Disk;
use crate::audit::queue::{Gather, Led, Phase, Queue};
use crate::audit::{Durability, Recorder};

fn check_durability(durability: Durability, expected_syncs: u64) {
    let folder = tempdir().unwrap();
    let recorder = Recorder::start(settings(folder.path(), durability), clock()).unwrap();
    runtime().block_on(recorder.keep(allow(1))).unwrap();
    if durability != Durability::Queued {
        assert_eq!(records(folder.path()).len(), 1, "the record stands in the file when the caller is answered");
        assert_eq!(recorder.stats().syncs, expected_syncs);
    }
    recorder.shutdown();
    assert_eq!(records(folder.path()).len(), 1);
    assert_eq!(check_log(folder.path()).findings, []);
}

#[test]
fn queued_records_are_written_in_the_end() {
    check_durability(Durability::Queued, 0);
}

#[test]
fn written_records_are_in_the_file_when_answered() {
    check_durability(Durability::Written, 0);
}

#[test]
fn synced_records_are_synced_when_answered() {
    check_durability(Durability::Synced, 1);
}

#[test]
fn sign_ins_are_synced_whatever_is_configured() {
    for durability in [Durability::Queued, Durability::Written] {
        let folder = tempdir().unwrap();
        let recorder = Recorder::start(settings(folder.path(), durability), clock()).unwrap();
        runtime().block_on(recorder.keep(sign_in())).unwrap();
        assert_eq!((recorder.stats().syncs, records(folder.path()).len()), (1, 1));
    }
}

#[test]
fn a_caller_that_goes_away_changes_nothing() {
    let folder = tempdir().unwrap();
    let recorder = start(folder.path());
    let runtime = runtime();
    let guard = runtime.enter();
    for number in 0..50 {
        let mut kept = pin!(recorder.keep(allow(number)));
        // Asked once, and then dropped: the request was cancelled.
        let _ = kept.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
    drop(guard);
    recorder.shutdown();
    assert_eq!(records(folder.path()).len(), 50);
}

#[test]
fn records_of_many_tasks_are_all_there_in_one_sequence() {
    let folder = tempdir().unwrap();
    let recorder = start(folder.path());
    runtime().block_on(async {
        let tasks: Vec<_> = (0..200_u8)
            .map(|number| {
                let recorder = recorder.clone();
                tokio::spawn(async move {
                    recorder.keep(allow(number)).await.unwrap();
                    recorder.keep_later(exchange_end(number));
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    recorder.shutdown();
    let records = records(folder.path());
    assert_eq!(records.len(), 400);
    for (index, record) in records.iter().enumerate() {
        assert_eq!(record["metadata"]["sequence"], index);
    }
    assert_eq!(check_log(folder.path()).findings, []);
    let stats = recorder.stats();
    assert_eq!((stats.records, stats.size, stats.queue_depth, stats.faults), (400, 400, 0, 0));
}

fn push(queue: &Queue) -> Result<(), Failure> {
    queue.push(b"", Need::Written).map(drop)
}

#[test]
fn a_full_queue_is_a_failure_and_ends_of_exchanges_still_find_their_place() {
    let queue = Queue::new(2);
    assert_eq!([push(&queue), queue.push_unwatched(b""), push(&queue)], [Ok(()), Ok(()), Err(Failure::Audit)]);
    for _ in 0..100 {
        assert_eq!(queue.push_end(b""), Ok(()));
    }
    queue.wait(None, Gather::default());
    let (batch, phase) = queue.take(None);
    assert_eq!((batch.items(), batch.ends(), phase), (2, 100, Phase::Open));
    assert_eq!(push(&queue), Ok(()));
}

#[test]
fn a_led_queue_leaves_to_those_who_wait_what_is_to_be_written_and_nothing_else() {
    let queue = Queue::new(10);
    push(&queue).unwrap();
    assert!(queue.take_led(None).is_none(), "nobody leads yet");
    queue.lead(Led::Yes);
    queue.push_end(b"").unwrap();
    assert!(queue.has_led_lines());
    let batch = queue.take_led(None).unwrap();
    assert_eq!((batch.items(), batch.ends(), queue.depth()), (1, 1, 0));
    queue.push_end(b"").unwrap();
    queue.push_unwatched(b"").unwrap();
    assert!(queue.take_led(None).is_none(), "nobody waits");
    push(&queue).unwrap();
    drop(queue.push(b"", Need::Synced).unwrap());
    assert!(queue.take_led(None).is_none() && !queue.has_led_lines(), "a sync is the thread's");
    assert_eq!(queue.take(None).0.items(), 3);
    push(&queue).unwrap();
    queue.lead(Led::No);
    assert!(queue.take_led(None).is_none());
    queue.wait(None, Gather::default());
    assert_eq!(queue.take(None).0.items(), 1);
}

#[test]
fn a_led_queue_wakes_the_thread_for_what_is_its_own() {
    let thread_returns = |bring: fn(&Queue)| {
        let queue = Queue::new(10);
        queue.lead(Led::Yes);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.wait(None, Gather::default()));
            bring(&queue);
            waiting.join().unwrap();
        });
        queue.depth()
    };
    assert_eq!(thread_returns(|queue| drop(queue.push(b"", Need::Synced).unwrap())), 1);
    assert_eq!(thread_returns(|queue| queue.push_unwatched(b"").unwrap()), 1);
    assert_eq!(thread_returns(|queue| queue.push_end(b"").unwrap()), 1);
    assert_eq!(thread_returns(Queue::call), 0);
    assert_eq!(thread_returns(Queue::close), 0);
    assert_eq!(
        thread_returns(|queue| {
            push(queue).unwrap();
            queue.lead(Led::No);
        }),
        1,
        "what others left is the thread's when they lead no more"
    );
}

#[test]
fn a_caller_that_goes_away_before_its_turn_leaves_its_record_written() {
    let folder = tempdir().unwrap();
    // Without a thread: nobody else could write it.
    let recorder = Recorder::open(Box::new(Disk), settings(folder.path(), Durability::Written), clock()).unwrap();
    {
        let mut keeping = pin!(recorder.keep(allow(1)));
        assert!(keeping.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(records(folder.path()).len(), 0, "it waits for others that are as far");
    }
    assert_eq!(records(folder.path()).len(), 1);
    recorder.queue().close();
    recorder.writer.pen.run();
    let report = check_log(folder.path());
    assert_eq!((report.findings, report.uncovered), (Vec::new(), 0));
}

#[test]
fn what_is_more_than_a_batch_comes_in_order_and_counts_until_it_is_taken() {
    let queue = Queue::new(10_000);
    for number in 0..10_000_u32 {
        let line = number.to_be_bytes();
        if number % 3 == 0 { queue.push_end(&line).unwrap() } else { queue.push_unwatched(&line).unwrap() }
    }
    let (mut found, mut spent) = (Vec::new(), None);
    while queue.depth() > 0 {
        queue.wait(None, Gather::default());
        let (mut batch, _) = queue.take(spent.take());
        assert_eq!(found.len() + batch.lines.len() + queue.depth(), 10_000);
        found.extend(batch.lines.iter().map(|line| u32::from_be_bytes(line.try_into().unwrap())));
        batch.clear();
        spent = Some(batch);
    }
    assert_eq!(found, (0..10_000).collect::<Vec<_>>());
}

#[test]
fn a_closed_queue_gives_what_it_holds_and_takes_no_more() {
    let queue = Queue::new(2);
    push(&queue).unwrap();
    queue.close();
    assert_eq!((push(&queue), queue.push_end(b"")), (Err(Failure::Audit), Err(Failure::Audit)));
    assert_eq!((queue.take(None).0.items(), queue.depth()), (1, 0));
}

#[test]
fn after_shutdown_nothing_is_taken() {
    let folder = tempdir().unwrap();
    let recorder = start(folder.path());
    recorder.shutdown();
    assert_eq!(runtime().block_on(recorder.keep(allow(1))), Err(Failure::Audit));
    assert!(!recorder.is_available());
}
