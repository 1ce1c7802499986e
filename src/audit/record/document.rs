//! The tables of `docs/siem.md`: made of what the samples really hold and of the words below, and compared with the file.
//! `UPDATE_DOCS=1 cargo test --lib audit::record::document` writes it anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use kernel::policy::Reason;
use serde_json::Value;

use super::checks::record;
use super::samples::every;
use super::words::{EVENTS, FIELDS, alert};
use super::{OCSF_VERSION, hostile};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/siem.md");

/// A word for an event, and in how many of its samples a field stands.
#[derive(Default)]
struct Known {
    samples: BTreeMap<String, usize>,
    class: BTreeMap<String, String>,
    fields: BTreeMap<String, BTreeMap<String, usize>>,
}

fn known() -> Known {
    let schema: Value = serde_json::from_str(include_str!("../../../tests/env/ocsf/schema-1.6.0.json")).unwrap();
    let captions = schema["classes"].as_object().unwrap().values().map(|class| (class["uid"].clone(), class["caption"].as_str().unwrap()));
    let captions: BTreeMap<String, &str> = captions.map(|(uid, caption)| (uid.to_string(), caption)).collect();
    let mut known = Known::default();
    let mut note = |record: &Value| {
        let event = record["unmapped"]["portcullis"]["event"].as_str().unwrap().to_owned();
        let class = record["class_uid"].to_string();
        known.class.insert(event.clone(), format!("{class} {}", captions[&class]));
        *known.samples.entry(event.clone()).or_default() += 1;
        let mut paths = BTreeSet::new();
        flatten(record, "", &mut paths);
        for path in paths {
            *known.fields.entry(path).or_default().entry(event.clone()).or_default() += 1;
        }
    };
    every().iter().map(record).for_each(|record| note(&record));
    // The fields that only a text that is too long brings.
    let mut cut = every().remove(0);
    hostile::fill(&mut cut.body, &hostile::texts().pop().unwrap());
    note(&record(&cut));
    known
}

fn flatten(value: &Value, path: &str, paths: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            flatten(value, &path, paths);
        }),
        Value::Array(items) => {
            let path = format!("{path}[]");
            paths.insert(path.clone());
            items.iter().filter(|item| item.is_object()).for_each(|item| {
                paths.remove(&path);
                flatten(item, &path, paths);
            });
        }
        _ => {
            paths.insert(path.to_owned());
        }
    }
}

fn generated() -> String {
    let known = known();
    let mut text =
        "<!-- Made from the code by `UPDATE_DOCS=1 cargo test --lib audit::record::document`; a test compares it. -->\n\n".to_owned();
    text.push_str("## Events\n\n| `event` | OCSF class | when | what to alert on |\n|---|---|---|---|\n");
    for (event, when, what) in EVENTS {
        let class = known.class.get(*event).unwrap_or_else(|| panic!("{event} is described, and no record has it"));
        writeln!(text, "| `{event}` | {class} | {when} | {what} |").unwrap();
    }
    let described: BTreeSet<&str> = EVENTS.iter().map(|(event, ..)| *event).collect();
    for event in known.class.keys() {
        assert!(described.contains(event.as_str()), "{event} is not described in words.rs");
    }
    text.push_str("\n## Fields\n\nA `?` marks an event that has the field not always.\n\n| field | meaning | in |\n|---|---|---|\n");
    let meanings: BTreeMap<&str, &str> = FIELDS.iter().copied().collect();
    assert_eq!(meanings.len(), FIELDS.len(), "a field is described twice");
    let unknown = meanings.keys().filter(|path| !known.fields.contains_key(**path));
    let mut faults: Vec<String> = unknown.map(|path| format!("no record has {path}")).collect();
    for (path, events) in &known.fields {
        match meanings.get(path.as_str()) {
            Some(meaning) => writeln!(text, "| `{path}` | {meaning} | {} |", where_found(&known, events)).unwrap(),
            None => faults.push(format!("{path} is not described")),
        }
    }
    assert!(faults.is_empty(), "words.rs: {faults:#?}");
    text.push_str("\n## Reason codes\n\nStable words: the same on pages, in problem documents (`reason`), in records (`status_code`), in `explain` and in metrics\n(`portcullis_refusals_total{reason=\"…\"}`).\n\n| code | meaning | what to alert on |\n|---|---|---|\n");
    for reason in Reason::ALL {
        writeln!(text, "| `{}` | {} | {} |", reason.code(), reason.meaning(), alert(*reason)).unwrap();
    }
    text.push_str("\n## Examples\n\nOne record of each class; line breaks were added.\n");
    text.push_str(&examples());
    text
}

fn where_found(known: &Known, events: &BTreeMap<String, usize>) -> String {
    let always = |event: &String| events.get(event) == known.samples.get(event);
    if events.len() == known.samples.len() {
        return if events.keys().all(always) { "every record".to_owned() } else { "every event `?`".to_owned() };
    }
    let shown = events.keys().map(|event| if always(event) { format!("`{event}`") } else { format!("`{event}`?") });
    shown.collect::<Vec<_>>().join(", ")
}

/// The fullest sample of each class.
fn examples() -> String {
    let mut by_class: BTreeMap<u64, Value> = BTreeMap::new();
    for mut record in every().iter().rev().map(record) {
        let uid = Value::from("01a20b38-e951-7d4a-b7e3-e1842516a13a");
        for path in ["/metadata/uid", "/finding_info/uid"] {
            record.pointer_mut(path).into_iter().for_each(|place| *place = uid.clone());
        }
        let best = by_class.entry(record["class_uid"].as_u64().unwrap()).or_insert_with(|| record.clone());
        if record.to_string().len() > best.to_string().len() {
            *best = record;
        }
    }
    let mut text = String::new();
    for record in by_class.values() {
        writeln!(
            text,
            "\n`{}`:\n```json\n{}\n```",
            record["unmapped"]["portcullis"]["event"].as_str().unwrap(),
            wrapped(&record.to_string())
        )
        .unwrap();
    }
    text
}

/// Breaks after a comma between fields, at about 120 letters.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for piece in text.split_inclusive(",\"") {
        if lines.last().unwrap().len() + piece.len() > 120 {
            let rest = lines.last_mut().unwrap().ends_with('"').then(|| lines.last_mut().unwrap().pop().unwrap());
            lines.push(rest.map(String::from).unwrap_or_default());
        }
        lines.last_mut().unwrap().push_str(piece);
    }
    lines.join("\n")
}

#[test]
fn docs_siem_says_what_the_code_does() {
    let file = std::fs::read_to_string(PATH).unwrap();
    let (before, rest) = file.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let expected = format!("{before}{BEGIN}\n{}{END}{after}", generated());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PATH, expected).unwrap();
    } else if file != expected {
        let differing = file.lines().zip(expected.lines()).find(|(stands, should)| stands != should);
        panic!("docs/siem.md is not what the code says; UPDATE_DOCS=1 writes it anew. The first line that differs: {differing:#?}");
    }
    assert!(before.contains(&format!("OCSF](https://schema.ocsf.io/{OCSF_VERSION}/) {OCSF_VERSION}")));
}

const BEGIN: &str = "<!-- begin: generated -->";
const END: &str = "<!-- end: generated -->";
