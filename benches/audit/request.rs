//! Sixty-four requests at once with work of their own, side by side with and without records.
//!
//! `busy` is a closed loop that uses the machine up and shows the CPU that recording takes; `steady` sends at a fixed rate
//! and shows how much later the answer comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use portcullis::audit::{Durability, Recorder};
use portcullis::clock::Clock;

use super::events::{decision, exchange_end};
use super::support::{cpu, folder, number, settings, spread, writer_cpu};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recording {
    Off,
    On,
}

pub fn measure() {
    let folder = folder();
    let recorder = Recorder::start(settings(folder.path(), Durability::Written), Clock::system()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let rounds = number("ROUNDS", 5);
    for (name, rate) in [("busy", None), ("steady", Some(number("RATE", 5_000)))] {
        let (mut cpus, mut writers, mut medians, mut waits) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for round in 0..rounds {
            let mut results = [Round::default(); 2];
            let order = if round % 2 == 0 { [Recording::Off, Recording::On] } else { [Recording::On, Recording::Off] };
            for recording in order {
                results[recording as usize] = runtime.block_on(run(&recorder, recording, rate));
            }
            let [off, on] = results;
            cpus.push(on.cpu_micros - off.cpu_micros);
            writers.push(on.writer_micros);
            medians.push(on.median_micros - off.median_micros);
            waits.push(on.p99_micros - off.p99_micros);
            println!(
                "  {name}: off {:.1} µs CPU, {:.0} µs median, {:.0}/s; on {:.1} µs CPU, {:.0} µs median, {:.0}/s",
                off.cpu_micros, off.median_micros, off.rate, on.cpu_micros, on.median_micros, on.rate
            );
        }
        let show = |what: &str, values: Vec<f64>| {
            let (middle, least, most) = spread(values);
            println!("{name}: recording adds {middle:.1} µs {what} (from {least:.1} to {most:.1})");
        };
        show("of CPU to a request", cpus);
        show("of that in the writer's thread", writers);
        show("to the median latency", medians);
        show("to the 99th percentile", waits);
    }
    let stats = recorder.stats();
    println!("{} records, {:.1} a batch", stats.records, stats.records as f64 / stats.batches as f64);
    recorder.shutdown();
}

#[derive(Clone, Copy, Default)]
struct Round {
    cpu_micros: f64,
    writer_micros: f64,
    median_micros: f64,
    p99_micros: f64,
    rate: f64,
}

async fn run(recorder: &Recorder, recording: Recording, rate: Option<u64>) -> Round {
    let requests = rate.map_or_else(|| number("REQUESTS", 100_000), |rate| rate * 2);
    let next = Arc::new(AtomicU64::new(0));
    let (began, cpu_before, writer_before) = (Instant::now(), cpu(), writer_cpu());
    let tasks: Vec<_> = (0..CONCURRENT)
        .map(|_| {
            let (recorder, next) = (recorder.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= requests {
                        return latencies;
                    }
                    let due = rate.map(|rate| began + Duration::from_nanos(number * 1_000_000_000 / rate));
                    if let Some(due) = due {
                        tokio::time::sleep_until(due.into()).await;
                    }
                    let started = Instant::now();
                    one(&recorder, recording, number).await;
                    latencies.push(started.elapsed());
                }
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.unwrap());
    }
    let elapsed = began.elapsed().as_secs_f64();
    // What was recorded is written before the account is closed.
    while recorder.stats().queue_depth > 0 {
        tokio::task::yield_now().await;
    }
    let each = |spent: Duration| spent.as_secs_f64() * 1e6 / requests as f64;
    let (cpu_micros, writer_micros) = (each(cpu() - cpu_before), each(writer_cpu() - writer_before));
    latencies.sort();
    let at = |part: usize| latencies[latencies.len() * part / 100].as_secs_f64() * 1e6;
    Round { cpu_micros, writer_micros, median_micros: at(50), p99_micros: at(99), rate: requests as f64 / elapsed }
}

/// A request that gives way once, as to an upstream, and computes as a proxy of HTTP and TLS does.
async fn one(recorder: &Recorder, recording: Recording, number: u64) {
    work(WORK_BEFORE);
    let event = decision(number);
    if recording == Recording::On {
        recorder.keep(event).await.unwrap();
    }
    tokio::task::yield_now().await;
    work(WORK_AFTER);
    let event = exchange_end(number);
    if recording == Recording::On {
        recorder.keep_later(event);
    }
}

fn work(span: Duration) {
    let began = Instant::now();
    while began.elapsed() < span {
        std::hint::spin_loop();
    }
}

const CONCURRENT: u64 = 64;
const WORK_BEFORE: Duration = Duration::from_micros(20);
const WORK_AFTER: Duration = Duration::from_micros(15);
