//! `kill -9` while records are written: whatever was answered stands in the log, and the log goes on.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::tempdir;

use crate::audit::fixtures::{allow, check_log, clock, exchange_end, records, runtime, settings};
use crate::audit::{Durability, Recorder, Settings};
use crate::entropy;
use kernel::event::Body;
use kernel::request::RequestId;

const FOLDER: &str = "PORTCULLIS_TEST_KILL_FOLDER";
const KILLS: usize = 20;

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
    let folder = tempdir().unwrap();
    let mut answered = HashSet::new();
    for round in 0..KILLS {
        let mut child = spawn(folder.path());
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        for line in lines.map_while(Result::ok) {
            answered.extend(line.rsplit_once("answered ").map(|(_, id)| id.to_owned()));
            seen += 1;
            if seen == 50 + round * 7 {
                // What was answered before the kill took hold is still read, and counts.
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
    }
    Recorder::start(settings(folder.path(), Durability::Written), clock()).unwrap().shutdown();
    let records = records(folder.path());
    let kept: HashSet<_> = records.iter().filter_map(|record| record["unmapped"]["portcullis"]["request_id"].as_str()).collect();
    assert!(answered.len() >= KILLS * 50);
    assert_eq!(answered.iter().filter(|id| id.len() == 32 && !kept.contains(id.as_str())).count(), 0);
    assert!(answered.iter().filter(|id| id.len() == 32).count() + KILLS >= answered.len());
    for (index, record) in records.iter().enumerate() {
        assert_eq!(record["metadata"]["sequence"], index);
    }
    let report = check_log(folder.path());
    assert_eq!((report.findings, report.uncovered), (Vec::new(), 0));
}
