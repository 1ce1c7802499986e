//! What the audit log costs, and how fast it is. `cargo bench --bench audit -- NAME…` runs some of the measurements, no name
//! runs all of them. Numbers come from the environment, so that a long run is the same program:
//!
//! | name | measures | variables |
//! |---|---|---|
//! | `encode` | CPU to write one event out as a line | |
//! | `throughput` | records of about 600 bytes a second through one writer, and records a sync | `RECORDS` (1,000,000), `CALLERS` (1,024) |
//! | `request` | CPU and median latency that recording adds to a request, of 64 at once | `REQUESTS` (100,000), `RATE` (5,000 a second), `ROUNDS` (5) |
//! | `start` | how long a start takes on a log of many records | `RECORDS` (1,000,000) |
//!
//! `AUDIT_DIR` names the folder for the logs (a temporary one by default); the disk below it is what `synced` measures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a program that measures")]

mod events;
mod request;
mod start;
mod support;
mod throughput;

fn main() {
    let names: Vec<String> = std::env::args().skip(1).filter(|name| !name.starts_with("--")).collect();
    let wanted = |name: &str| names.is_empty() || names.iter().any(|given| given == name);
    for (name, measure) in MEASUREMENTS {
        if wanted(name) {
            println!("== {name}");
            measure();
        }
    }
}

const MEASUREMENTS: &[(&str, fn())] =
    &[("encode", events::measure), ("throughput", throughput::measure), ("request", request::measure), ("start", start::measure)];
