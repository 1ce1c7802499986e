//! `kill -9` while records are written: whatever was answered stands in the log, and the log goes on.
//!
//! `PORTCULLIS_KILLS` sets the number of kills. The process that is killed is small, so that there can be many; the whole
//! gateway is killed in `tests/process/kills.rs`.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::audit::fixtures::{allow, check_log, clock, exchange_end, memory_folder, runtime, settings};
use crate::audit::{Durability, Recorder, Settings, layout};
use crate::entropy;
use kernel::event::Body;
use kernel::request::RequestId;

const FOLDER: &str = "PORTCULLIS_TEST_KILL_FOLDER";
const KILLS: usize = 200;

/// Does nothing in a test run. In the process that is to be killed it records, from several tasks, and prints the id of each
/// request that was answered.
#[test]
fn records_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let settings = Settings { segment_bytes: 100_000, ..settings(&folder, Durability::Written) };
    let recorder = Recorder::start(settings, clock()).unwrap();
    runtime().block_on(async {
        let tasks: Vec<_> = (0..8).map(|_| tokio::spawn(record_for_ever(recorder.clone()))).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

async fn record_for_ever(recorder: Recorder) {
    loop {
        let id = RequestId::new(entropy::bytes().unwrap());
        let mut event = allow(0);
        if let Body::Decision(facts) = &mut event.body {
            facts.request_id = id;
        }
        recorder.keep(event).await.unwrap();
        // One write of a line: whole or not there.
        std::io::stdout().write_all(format!("answered {id}\n").as_bytes()).unwrap();
        recorder.keep_later(exchange_end(0));
    }
}

fn spawn(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "audit::tests::kills::records_until_it_is_killed", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn no_answered_request_is_without_its_record_after_kills() {
    let kills = std::env::var("PORTCULLIS_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let folder = memory_folder();
    let mut answered = HashSet::new();
    for round in 0..kills {
        let mut child = spawn(folder.path());
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        for line in lines.map_while(Result::ok) {
            // The last line may be torn.
            answered.extend(line.rsplit_once("answered ").map(|(_, id)| id.to_owned()).filter(|id| id.len() == 32));
            seen += 1;
            if seen == 10 + round % 60 {
                // What was answered before the kill took hold is still read, and counts.
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
    }
    Recorder::start(settings(folder.path(), Durability::Written), clock()).unwrap().shutdown();
    let promised = answered.len();
    assert!(promised >= kills * 9);
    let records = strike_out(folder.path(), &mut answered);
    println!("{kills} kills, {promised} answered, {} without a record, {records} records", answered.len());
    assert_eq!(answered.len(), 0, "answered without a record");
    let report = check_log(folder.path());
    assert_eq!((report.findings, report.uncovered, report.records), (Vec::new(), 0, records));
}

/// Takes every id off the list that the log holds, line by line because there may be millions, and checks that the sequence
/// has no gap. Gives the number of records.
fn strike_out(folder: &Path, ids: &mut HashSet<String>) -> u64 {
    let mut sequence = 0;
    for segment in layout::segments(folder).unwrap() {
        for line in BufReader::new(File::open(segment.records).unwrap()).lines() {
            let line = line.unwrap();
            assert_eq!(layout::sequence_of(line.as_bytes()), Some(sequence));
            sequence += 1;
            if let Some((_, rest)) = line.split_once("\"request_id\":\"") {
                ids.remove(&rest[..32]);
            }
        }
    }
    sequence
}
