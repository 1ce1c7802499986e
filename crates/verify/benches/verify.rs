//! How fast a log is verified, and how long a proof takes: `cargo bench -p portcullis-verify`. The size in MiB is
//! `PORTCULLIS_VERIFY_MIB`, 1,024 unless it is set; records of 600 bytes, segments of 64 MiB.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "measurements")]
#![allow(dead_code, reason = "shares what it writes logs with")]

#[path = "../tests/verify/fixture.rs"]
mod fixture;

use std::time::Instant;

use fixture::{Log, Shape};
use portcullis_verify::prove;

const RECORD: u64 = 600;
const ROUNDS: usize = 5;

fn main() {
    let mib: u64 = std::env::var("PORTCULLIS_VERIFY_MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(1_024);
    let mut log = Log::new();
    log.padding = "p".repeat(RECORD as usize - log.record(1_000_000).len() - 1);
    let records = (mib << 20) / RECORD;
    log.write(Shape { records, per_segment: (64 << 20) / RECORD, per_checkpoint: 20_000 });
    let mut speeds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            let report = log.verify();
            assert!(report.findings.is_empty() && report.records == records, "{report:?}");
            report.bytes as f64 / 1e6 / began.elapsed().as_secs_f64()
        })
        .collect();
    speeds.sort_by(f64::total_cmp);
    let cores = std::thread::available_parallelism().unwrap();
    println!(
        "verify: {records} records, {mib} MiB, {cores} cores: median {:.0} MB/s ({:.0} to {:.0})",
        speeds[ROUNDS / 2],
        speeds[0],
        speeds[ROUNDS - 1]
    );
    let began = Instant::now();
    for number in 0..100 {
        prove::inclusion(log.path(), &log.key, number * records / 100 / 100).unwrap();
    }
    println!("inclusion proof, record read and proof checked: {:.2} ms", began.elapsed().as_secs_f64() * 10.0);
}
