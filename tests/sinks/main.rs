//! Sinks and their receivers: rsyslog, syslog-ng, and a collector that speaks as Splunk, Elasticsearch and OpenTelemetry do, and
//! fails as they do. Whatever happens to a receiver, it gets every record as one event, in order, and duplicates under one id.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod certificates;
mod collector;
mod files;
#[path = "../../src/audit/record/hostile.rs"]
mod hostile;
mod http;
mod log;
mod overflow;
mod programs;
mod receivers;
#[path = "../../src/audit/record/samples.rs"]
#[allow(dead_code, reason = "shared with the tests of records")]
mod samples;
mod syslog;

use std::collections::BTreeMap;

/// Takes a line of CEF apart: seven fields of the head, and the extension.
fn log_cef(line: &str) -> (Vec<String>, BTreeMap<String, String>) {
    let mut head = vec![String::new()];
    let mut letters = line.chars();
    while head.len() <= 7 {
        match letters.next().unwrap() {
            '\\' => head.last_mut().unwrap().push(letters.next().unwrap()),
            '|' => head.push(String::new()),
            letter => head.last_mut().unwrap().push(letter),
        }
    }
    head.pop();
    // A key is the word before an equals sign that is not escaped.
    let rest: Vec<char> = letters.collect();
    let signs: Vec<usize> = (0..rest.len())
        .filter(|at| rest[*at] == '=' && rest[..*at].iter().rev().take_while(|letter| **letter == '\\').count() % 2 == 0)
        .collect();
    let starts: Vec<usize> =
        signs.iter().map(|sign| rest[..*sign].iter().rposition(|letter| *letter == ' ').map_or(0, |space| space + 1)).collect();
    let mut fields = BTreeMap::new();
    for (number, (start, sign)) in starts.iter().zip(&signs).enumerate() {
        let end = starts.get(number + 1).map_or(rest.len(), |next| next - 1);
        let key: String = rest[*start..*sign].iter().collect();
        let value: String = rest[sign + 1..end].iter().collect();
        let value = value.replace("\\=", "=").replace("\\\\", "\\");
        assert!(fields.insert(key.clone(), value).is_none(), "{key} twice in {line}");
    }
    (head, fields)
}
