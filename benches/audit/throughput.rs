//! Many callers at once, each waiting for its record before it makes the next.

use std::time::Instant;

use portcullis::audit::verify::{self, Request};
use portcullis::audit::{Durability, Recorder};
use portcullis::clock::Clock;

use super::events::exchange_end;
use super::support::{cpu, folder, number, settings};

pub fn measure() {
    let records = number("RECORDS", 1_000_000);
    run("written", Durability::Written, records);
    run("queued", Durability::Queued, records);
    run("synced", Durability::Synced, records / 10);
}

fn run(name: &str, durability: Durability, records: u64) {
    let folder = folder();
    let recorder = Recorder::start(settings(folder.path(), durability), Clock::system()).unwrap();
    let callers = number("CALLERS", 1_024);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (began, cpu_before) = (Instant::now(), cpu());
    runtime.block_on(async {
        let tasks: Vec<_> = (0..callers)
            .map(|caller| {
                let recorder = recorder.clone();
                tokio::spawn(async move {
                    for number in 0..records / callers {
                        // A full queue refuses; whoever measures asks again.
                        while recorder.keep(exchange_end(caller * records + number)).await.is_err() {
                            tokio::task::yield_now().await;
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    // The CPU of a thread that ended is not accounted for any more.
    while recorder.stats().size < records / callers * callers {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let spent = (cpu() - cpu_before).as_secs_f64();
    recorder.shutdown();
    let elapsed = began.elapsed().as_secs_f64();
    let stats = recorder.stats();
    let count = stats.records as f64;
    println!(
        "{name}: {:.0} records/s of {} bytes, {:.2} µs of CPU each, {:.0} a batch, {} syncs for batches, {} checkpoints",
        count / elapsed,
        stats.bytes / stats.records,
        spent / count * 1e6,
        count / stats.batches as f64,
        stats.syncs,
        stats.checkpoints
    );
    let report = verify::verify(&Request { folder: folder.path().to_owned(), public_key: None, anchors: Vec::new() }, &mut |_| ()).unwrap();
    assert!(report.findings.is_empty() && report.records == stats.size, "the log does not verify");
}
