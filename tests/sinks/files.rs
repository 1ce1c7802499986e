//! A file for an agent, filters, CEF, and sinks that come and go.

use std::fs;

use portcullis::config::{Begin, Carrier, RecordFilter, RecordFormat};
use serde_json::Value;

use super::log::{Log, Whole, compare, read_lines, sink, until};

fn file(log: &Log) -> std::path::PathBuf {
    log.dir.path().join("out.jsonl")
}

fn carrier(log: &Log) -> Carrier {
    Carrier::File { path: file(log) }
}

#[tokio::test]
async fn a_file_holds_every_record_and_is_opened_anew_when_it_is_renamed() {
    let log = Log::new();
    log.sinks.configure(&[sink("one", carrier(&log))]).await;
    log.write(30).await;
    log.shipped().await;
    let old = log.dir.path().join("out.jsonl.1");
    fs::rename(file(&log), &old).unwrap();
    log.write(30).await;
    log.shipped().await;
    let mut lines = read_lines(&old);
    assert!(!lines.is_empty() && !read_lines(&file(&log)).is_empty());
    lines.extend(read_lines(&file(&log)));
    compare(&log, &lines, Whole::Yes);
}

#[tokio::test]
async fn a_line_that_was_torn_is_written_again() {
    let log = Log::new();
    let carrier = carrier(&log);
    log.sinks.configure(&[sink("one", carrier.clone())]).await;
    log.write(10).await;
    log.shipped().await;
    log.sinks.configure(&[]).await;
    // As if the machine had died in the middle of the last line, before the position was moved.
    let text = fs::read_to_string(file(&log)).unwrap();
    let keep = text.trim_end().rfind('\n').unwrap() + 20;
    fs::write(file(&log), &text[..keep]).unwrap();
    fs::remove_file(log.audit().join("sinks/one.json")).unwrap();
    log.sinks.configure(&[sink("one", carrier)]).await;
    log.shipped().await;
    compare(&log, &read_lines(&file(&log)), Whole::Yes);
}

#[tokio::test]
async fn a_filter_passes_what_it_names_and_checkpoints() {
    let log = Log::new();
    let mut filtered = sink("one", carrier(&log));
    let decisions = Some(vec!["deny".into()]);
    filtered.filter = RecordFilter { classes: Some(vec![3_001, 4_002]), min_severity: Some(2), decisions };
    log.sinks.configure(&[filtered]).await;
    log.write(60).await;
    log.shipped().await;
    let events: Vec<Value> = read_lines(&file(&log)).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let wanted = |record: &Value| {
        let decision = record["unmapped"]["portcullis"]["decision"].as_str();
        [3_001, 4_002].contains(&record["class_uid"].as_u64().unwrap())
            && record["severity_id"].as_u64().unwrap() >= 2
            && decision.is_none_or(|decision| decision == "deny")
    };
    let records: Vec<Value> = log.lines().iter().map(|line| serde_json::from_str(line).unwrap()).filter(wanted).collect();
    assert!(!records.is_empty() && records.len() < 60);
    let (shipped, checkpoints): (Vec<_>, Vec<_>) = events.into_iter().partition(|event| event["metadata"]["sequence"].is_u64());
    assert_eq!(shipped, records);
    assert!(!checkpoints.is_empty());
}

#[tokio::test]
async fn cef_is_one_line_an_event_with_every_field_escaped() {
    let log = Log::new();
    let mut cef = sink("one", carrier(&log));
    cef.format = RecordFormat::Cef;
    log.sinks.configure(&[cef]).await;
    log.write(60).await;
    log.shipped().await;
    let mut sequences = Vec::new();
    for line in read_lines(&file(&log)) {
        assert!(!line.chars().any(|letter| letter.is_control() || matches!(letter, '\u{2028}' | '\u{202e}')), "{line:?}");
        let (head, fields) = super::log_cef(&line);
        assert_eq!(&head[..3], ["CEF:0", "Portcullis", "Portcullis"]);
        assert_eq!(head.len(), 7);
        if let Some(sequence) = fields.get("cn1") {
            let sequence: usize = sequence.parse().unwrap();
            let record: Value = serde_json::from_str(&log.lines()[sequence]).unwrap();
            assert_eq!(fields["externalId"], record["metadata"]["uid"].as_str().unwrap());
            assert_eq!(fields["cn1Label"], "sequence");
            if sequence != 1
                && let Some(path) = record.pointer("/http_request/url/path").and_then(Value::as_str)
            {
                let shown: String = path
                    .chars()
                    .map(|letter| if letter.is_control() { letter.escape_unicode().to_string() } else { letter.to_string() })
                    .collect();
                if path.is_ascii() {
                    assert_eq!(fields["request"], shown);
                }
            }
            sequences.push(sequence);
        }
    }
    assert_eq!(sequences, (0..log.lines().len()).collect::<Vec<_>>());
}

#[tokio::test]
async fn sinks_come_go_and_come_back_without_losing_their_place() {
    let log = Log::new();
    let second = Carrier::File { path: log.dir.path().join("second.jsonl") };
    let (one, two) = (sink("one", carrier(&log)), sink("two", second.clone()));
    log.write(10).await;
    log.sinks.configure(std::slice::from_ref(&one)).await;
    log.shipped().await;
    let untouched = fs::metadata(file(&log)).unwrap();
    log.sinks.configure(&[one.clone(), two.clone()]).await;
    assert_eq!(log.sinks.reports().len(), 2);
    log.write(10).await;
    log.signed().await;
    until("both have everything", || log.sinks.reports().iter().all(|report| report.next == 20)).await;
    log.sinks.configure(std::slice::from_ref(&two)).await;
    log.write(10).await;
    log.shipped().await;
    assert!(read_lines(&file(&log)).len() < 30 && fs::metadata(file(&log)).unwrap().len() > untouched.len());
    let mut late = sink("late", Carrier::File { path: log.dir.path().join("late.jsonl") });
    late.begin = Begin::Newest;
    log.sinks.configure(&[one, late]).await;
    log.write(10).await;
    log.signed().await;
    // Ten each time, and the record that says what the late one does not have.
    until("both have everything", || log.sinks.reports().iter().all(|report| report.next == 41)).await;
    compare(&log, &read_lines(&file(&log)), Whole::Yes);
    let late: Vec<Value> = read_lines(&log.dir.path().join("late.jsonl")).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let sequences: Vec<u64> = late.iter().filter_map(|event| event["metadata"]["sequence"].as_u64()).collect();
    assert_eq!(sequences, (30..41).collect::<Vec<_>>());
    let gap = late.iter().map(|event| &event["unmapped"]["portcullis"]).find(|own| own["event"] == "sink_gap").unwrap();
    assert_eq!((&gap["sink"], &gap["first"], &gap["last"]), (&"late".into(), &0.into(), &29.into()));
}

/// Somebody who may write to the folder wants records kept from the receiver.
#[tokio::test]
async fn a_position_that_somebody_else_wrote_keeps_nothing_from_the_receiver_and_is_on_record() {
    let log = Log::new();
    let carrier = carrier(&log);
    log.sinks.configure(&[sink("one", carrier.clone())]).await;
    log.write(10).await;
    log.shipped().await;
    log.sinks.configure(&[]).await;
    log.write(10).await;
    log.signed().await;
    let position = log.audit().join("sinks/one.json");
    let honest = fs::read_to_string(&position).unwrap();
    for forged in
        [honest.replace("\"next\":10", "\"next\":20"), "{\"place\":{\"next\":20,\"segment\":0,\"offset\":0},\"checkpoint\":20}".to_owned()]
    {
        assert_ne!(forged, honest);
        fs::write(&position, forged).unwrap();
        fs::remove_file(file(&log)).unwrap();
        log.sinks.configure(&[sink("one", carrier.clone())]).await;
        until("it is on record", || read_lines(&file(&log)).iter().any(|line| line.contains("\"sink_rewind\""))).await;
        log.shipped().await;
        compare(&log, &read_lines(&file(&log)), Whole::Yes);
        log.sinks.configure(&[]).await;
        // Told once: the position is this gateway's again.
        log.sinks.configure(&[sink("one", carrier.clone())]).await;
        log.write(1).await;
        log.shipped().await;
        log.sinks.configure(&[]).await;
    }
    let told = log.lines().iter().filter(|line| line.contains("\"event\":\"sink_rewind\"")).count();
    assert_eq!(told, 2);
}

/// A position of another sink is none, and one that is gone is not made up in silence.
#[tokio::test]
async fn a_position_that_is_gone_or_another_sinks_keeps_nothing_from_the_receiver_unsaid() {
    let log = Log::new();
    let mut newest = sink("one", carrier(&log));
    newest.begin = Begin::Newest;
    let other = sink("two", Carrier::File { path: log.dir.path().join("second.jsonl") });
    log.sinks.configure(&[newest.clone(), other.clone()]).await;
    log.write(10).await;
    log.signed().await;
    until("both have everything", || log.sinks.reports().iter().all(|report| report.next == 10)).await;
    log.sinks.configure(&[]).await;
    log.write(10).await;
    log.signed().await;
    fs::remove_file(log.audit().join("sinks/one.json")).unwrap();
    log.sinks.configure(&[newest.clone()]).await;
    until("it is on record", || log.lines().iter().any(|line| line.contains("\"sink_gap\",\"sink\":\"one\",\"first\":0,\"last\":19")))
        .await;
    log.shipped().await;
    log.sinks.configure(&[]).await;
    fs::copy(log.audit().join("sinks/one.json"), log.audit().join("sinks/two.json")).unwrap();
    log.sinks.configure(&[other]).await;
    until("it is on record", || log.lines().iter().any(|line| line.contains("\"sink_rewind\",\"sink\":\"two\",\"first\":0"))).await;
}

#[tokio::test]
async fn a_log_that_was_rolled_back_is_not_taken_for_the_old_one() {
    let (log, longer) = (Log::new(), Log::new());
    longer.sinks.configure(&[sink("one", carrier(&longer))]).await;
    longer.write(20).await;
    longer.shipped().await;
    longer.sinks.configure(&[]).await;
    log.write(5).await;
    fs::create_dir_all(log.audit().join("sinks")).unwrap();
    fs::copy(longer.audit().join("sinks/one.json"), log.audit().join("sinks/one.json")).unwrap();
    log.sinks.configure(&[sink("one", carrier(&log))]).await;
    until("it is told", || log.report().last_error.is_some_and(|error| error.contains("rolled back"))).await;
    assert!(read_lines(&file(&log)).is_empty());
}
