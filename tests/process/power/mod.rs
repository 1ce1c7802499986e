//! Power cuts, simulated: a log is written on a disk that remembers what it was asked for, and from that the images are made
//! that a real disk may hold after a cut at any step. Of each: the log opens, nothing that was promised to be `synced` is
//! missing, it verifies, and it goes on.
//!
//! `PORTCULLIS_POWER_CUTS` sets the number of images. These tests look inside: they put a disk of their own under the log.

mod image;
mod trace;

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use kernel::event::{AuthenticationFacts, AuthenticationStep, Body, Event, ExchangeFacts, ExchangeKind, ExchangeOutcome};
use kernel::request::RequestId;
use kernel::route::RouteId;
use kernel::time::Timestamp;
use portcullis::audit::verify::{self, Request};
use portcullis::audit::{Durability, Recorder, Settings};
use portcullis::clock::Clock;
use tempfile::TempDir;
use zeroize::Zeroizing;

use image::Dice;
use trace::{Step, Syncs, TracedDisk};

/// What became of the images.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    images: u64,
    /// Promised records that an image had lost.
    lost: usize,
    /// What else went wrong, with the seed that shows it again.
    faults: Vec<String>,
}

#[test]
fn no_power_cut_loses_what_was_promised_or_keeps_the_log_from_opening() {
    let images = std::env::var("PORTCULLIS_POWER_CUTS").map_or(1_000, |images| images.parse().unwrap());
    let outcome = cut_the_power(Syncs::Real, images);
    println!("{} images, {} promised records lost, {} other faults", outcome.images, outcome.lost, outcome.faults.len());
    assert!(outcome.lost == 0 && outcome.faults.is_empty(), "{} lost; {:#?}", outcome.lost, outcome.faults);
}

#[test]
fn a_disk_whose_syncs_do_nothing_is_found_out() {
    let outcome = cut_the_power(Syncs::Nothing, 50);
    assert!(outcome.lost > 0 && !outcome.faults.is_empty(), "{} lost, {} faults", outcome.lost, outcome.faults.len());
}

/// The same test in a process whose syncs are turned into nothing, by the library that is made for that.
#[test]
fn under_eatmydata_the_test_of_power_cuts_fails() {
    let output = Command::new("eatmydata")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "power::no_power_cut_loses_what_was_promised_or_keeps_the_log_from_opening", "--nocapture", "--test-threads=1"])
        .env("PORTCULLIS_POWER_CUTS", "50")
        .stdin(Stdio::null())
        .output()
        .expect("eatmydata is installed (tests/run does)");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && text.contains("promised records lost") && !text.contains(" 0 promised"), "{text}");
}

fn cut_the_power(syncs: Syncs, images: u64) -> Outcome {
    let disk = TracedDisk::new(syncs);
    let live = folder();
    write_a_log(&disk, live.path());
    let steps = disk.steps();
    let mut outcome = Outcome::default();
    for seed in 0..images {
        let mut dice = Dice::new(seed);
        let cut = usize::try_from(dice.below(steps.len() as u64 + 1)).unwrap();
        let image = folder();
        image::make(&steps, cut, &mut dice, image.path());
        match check(image.path(), &promised(&steps[..cut])) {
            Ok(lost) => outcome.lost += lost,
            Err(fault) => {
                outcome.lost += missing(image.path(), &promised(&steps[..cut]));
                outcome.faults.push(format!("seed {seed}, step {cut} of {}: {fault}", steps.len()));
            }
        }
        outcome.images += 1;
    }
    outcome
}

/// Several runs, each with records that are promised to last among others that are not, over many small segments.
fn write_a_log(disk: &TracedDisk, folder: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    for run in 0..4_u8 {
        let recorder = Recorder::start_on(Box::new(disk.clone()), settings(folder), clock()).unwrap();
        runtime.block_on(async {
            let tasks: Vec<_> = (0..4_u8)
                .map(|task| {
                    let (recorder, disk) = (recorder.clone(), disk.clone());
                    tokio::spawn(async move {
                        for number in 0..12 {
                            let id = RequestId::new([run, task, number, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
                            recorder.keep(exchange_end(id)).await.unwrap();
                            if number % 3 == 0 {
                                recorder.keep(sign_in(id)).await.unwrap();
                                disk.promised(id.to_string());
                            }
                            recorder.keep_later(exchange_end(id));
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        recorder.shutdown();
    }
}

/// Opens an image and uses it. Gives how many promised records are missing.
fn check(folder: &Path, promised: &HashSet<&str>) -> Result<usize, String> {
    let recorder = Recorder::start(settings(folder), clock()).map_err(|fault| fault.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(recorder.keep(sign_in(RequestId::new([9; 16])))).map_err(|fault| format!("it does not go on: {fault}"))?;
    recorder.shutdown();
    let report = verify::verify(&Request { folder: folder.to_owned(), public_key: None, anchors: Vec::new() }, &mut |_| ()).unwrap();
    if !report.findings.is_empty() || report.uncovered > 0 {
        return Err(format!("it does not verify: {report:?}"));
    }
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    names.sort();
    let text: String = names.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let mut kept = HashSet::new();
    for (count, line) in text.lines().enumerate() {
        let record: serde_json::Value = serde_json::from_str(line).map_err(|fault| format!("a line is no record: {fault}"))?;
        if record["metadata"]["sequence"] != count {
            return Err(format!("record {count} is missing"));
        }
        let own = &record["unmapped"]["portcullis"];
        if own["event"] == "sign_in" {
            kept.extend(own["request_id"].as_str().map(str::to_owned));
        }
    }
    Ok(promised.iter().filter(|id| !kept.contains(**id)).count())
}

/// How many promised records stand nowhere in the files.
fn missing(folder: &Path, promised: &HashSet<&str>) -> usize {
    let files = fs::read_dir(folder).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    let all: String = files.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect();
    promised.iter().filter(|id| !all.contains(&format!("\"event\":\"sign_in\",\"request_id\":\"{id}\""))).count()
}

fn promised(steps: &[Step]) -> HashSet<&str> {
    steps.iter().filter_map(|step| if let Step::Promised { id } = step { Some(id.as_str()) } else { None }).collect()
}

/// In memory where there is such a place: a thousand images are written and synced.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

fn settings(folder: &Path) -> Settings {
    Settings {
        dir: folder.to_owned(),
        head: folder.join("head"),
        durability: Durability::Written,
        signing_key: Zeroizing::new([7; 32]),
        origin: "portcullis/gate.test".to_owned(),
        queue: 1_024,
        segment_bytes: 12_000,
    }
}

fn clock() -> Clock {
    Clock::manual(Timestamp::from_seconds(1_790_000_000))
}

fn sign_in(id: RequestId) -> Event {
    event(Body::Authentication(Box::new(AuthenticationFacts {
        request_id: Some(id),
        step: AuthenticationStep::SignIn,
        failure: None,
        detail: None,
        idp: Some("corp".to_owned()),
        actor: None,
        client: None,
        user_agent: None,
    })))
}

fn exchange_end(id: RequestId) -> Event {
    event(Body::Exchange(Box::new(ExchangeFacts {
        request_id: id,
        kind: ExchangeKind::Http,
        route: RouteId::new("app"),
        status: Some(200),
        outcome: ExchangeOutcome::Complete,
        bytes_in: 1,
        bytes_out: 2,
        duration: std::time::Duration::from_millis(3),
        upstream: None,
        reason: None,
    })))
}

fn event(body: Body) -> Event {
    Event { time: Timestamp::from_seconds(1_790_000_000), body }
}
