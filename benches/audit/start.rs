//! How long a start takes on a log of many records, after a run that was stopped well and after one that was killed.

use std::time::Instant;

use portcullis::audit::{Durability, Recorder};
use portcullis::clock::Clock;

use super::events::exchange_end;
use super::support::{folder, number, settings};

pub fn measure() {
    let records = number("RECORDS", 1_000_000);
    let folder = folder();
    let began = Instant::now();
    fill(folder.path(), records);
    println!("{records} records written in {:.1} s", began.elapsed().as_secs_f64());
    for _ in 0..3 {
        let began = Instant::now();
        let recorder = Recorder::start(settings(folder.path(), Durability::Written), Clock::system()).unwrap();
        println!("ready after {:.0} ms with {} records", began.elapsed().as_secs_f64() * 1e3, recorder.stats().size);
        recorder.shutdown();
    }
}

fn fill(folder: &std::path::Path, records: u64) {
    let recorder = Recorder::start(settings(folder, Durability::Queued), Clock::system()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for number in 0..records {
            while recorder.keep(exchange_end(number)).await.is_err() {
                std::thread::yield_now();
            }
        }
    });
    recorder.shutdown();
}
