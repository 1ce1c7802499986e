//! Reading along.

use std::fs;

use tempfile::tempdir;

use crate::audit::fixtures::{allow, clock, decision, event, records, runtime, settings, start, write_log};
use crate::audit::layout;
use crate::audit::tail::{Follower, Tone, summarise};
use crate::audit::text::is_unsafe;
use crate::audit::{Durability, Recorder, Settings};
use kernel::event::{Body, Verdict};
use kernel::policy::Reason;

#[test]
fn the_last_records_are_shown_across_segments() {
    let folder = tempdir().unwrap();
    write_log(folder.path(), 20, 4_000);
    let (_, lines) = Follower::begin(folder.path(), 12).unwrap();
    let shown: Vec<serde_json::Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(shown, records(folder.path())[8..]);
}

#[test]
fn what_is_written_later_follows_across_segments_once_each() {
    let folder = tempdir().unwrap();
    let settings = Settings { segment_bytes: 4_000, ..settings(folder.path(), Durability::Written) };
    let recorder = Recorder::start(settings, clock()).unwrap();
    let runtime = runtime();
    let (mut follower, lines) = Follower::begin(folder.path(), 5).unwrap();
    assert_eq!(lines.len(), 0);
    let mut seen = 0;
    for number in 0..30 {
        runtime.block_on(recorder.keep(allow(number))).unwrap();
        seen += follower.more().unwrap().len();
        assert_eq!(seen, usize::from(number) + 1);
    }
}

#[test]
fn a_denial_is_said_in_words_and_nothing_commands_the_terminal() {
    let folder = tempdir().unwrap();
    let recorder = start(folder.path());
    let mut facts = decision(1);
    facts.verdict = Verdict::Deny;
    facts.reason = Some(Reason::NoRule);
    facts.method = "\u{1b}[2J\u{202e}".to_owned();
    runtime().block_on(recorder.keep(event(Body::Decision(Box::new(facts))))).unwrap();
    let (_, lines) = Follower::begin(folder.path(), 1).unwrap();
    let summary = summarise(&lines[0]);
    assert_eq!((summary.word.as_str(), summary.tone), ("deny", Tone::Bad));
    assert!(summary.text.contains("who=ana@example.com") && summary.text.contains("reason=no_rule"), "{}", summary.text);
    assert!(!summary.text.chars().any(is_unsafe));
}

#[test]
fn a_line_that_is_no_record_is_shown_safely() {
    let summary = summarise("\u{1b}[2Jnot json");
    assert_eq!(summary.tone, Tone::Bad);
    assert!(!summary.text.chars().any(is_unsafe));
}

#[test]
fn a_line_that_a_crash_tore_is_followed_by_the_one_written_in_its_place() {
    let folder = tempdir().unwrap();
    write_log(folder.path(), 3, 1 << 20);
    let path = layout::segments(folder.path()).unwrap()[0].records.clone();
    let (mut follower, _) = Follower::begin(folder.path(), 1).unwrap();
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{whole}{{\"torn\":\"a long beginning that was never finished")).unwrap();
    assert_eq!(follower.more().unwrap(), Vec::<String>::new());
    fs::write(&path, format!("{whole}{{\"good\":1}}\n")).unwrap();
    assert_eq!(follower.more().unwrap(), ["{\"good\":1}"]);
}

#[test]
fn a_segment_that_is_dropped_meanwhile_stops_nobody() {
    let folder = tempdir().unwrap();
    let settings = Settings { segment_bytes: 4_000, ..settings(folder.path(), Durability::Written) };
    let recorder = Recorder::start(settings, clock()).unwrap();
    let runtime = runtime();
    let (mut follower, _) = Follower::begin(folder.path(), 5).unwrap();
    for number in 0..30 {
        runtime.block_on(recorder.keep(allow(number))).unwrap();
    }
    // The reader is far behind: what it was about to read is gone.
    let segments = layout::segments(folder.path()).unwrap();
    segments[..2].iter().for_each(|segment| fs::remove_file(&segment.records).unwrap());
    let shown = follower.more().unwrap();
    let last: serde_json::Value = serde_json::from_str(shown.last().unwrap()).unwrap();
    assert_eq!(last.pointer("/metadata/sequence"), Some(&serde_json::Value::from(29)));
}
