//! Every event is valid OCSF, whatever it says and whoever wrote what is in it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;

use kernel::detection::DetectionRule;
use kernel::event::{Body, Event};
use serde_json::Value;

use super::samples::{self, every};
use super::schema::Schema;
use super::{encode, hostile};
use crate::audit::text::is_unsafe;

/// A line as the writer finishes it.
pub(super) fn line(event: &Event) -> String {
    let mut line = encode(event, "portcullis/gate.test").unwrap().0;
    line.extend_from_slice(b"7}}");
    String::from_utf8(line).unwrap()
}

pub(super) fn record(event: &Event) -> Value {
    serde_json::from_str(&line(event)).unwrap()
}

#[track_caller]
fn assert_valid(schema: &Schema, event: &Event) {
    let record = record(event);
    let faults = schema.faults(&record);
    assert!(faults.is_empty(), "{faults:#?}\n{record}");
}

#[test]
fn every_event_is_valid_ocsf() {
    let schema = Schema::load();
    every().iter().for_each(|event| assert_valid(&schema, event));
}

/// What is written as one piece says what the constants say.
#[test]
fn every_record_names_schema_and_product() {
    for event in every() {
        let metadata = record(&event)["metadata"].clone();
        let product = serde_json::json!({ "name": "Portcullis", "vendor_name": "Portcullis", "version": super::PRODUCT_VERSION });
        assert_eq!((&metadata["version"], &metadata["product"]), (&super::OCSF_VERSION.into(), &product));
    }
}

/// The checker can say no: each of these breaks a valid record in one way.
#[test]
fn what_is_not_ocsf_is_found() {
    let schema = Schema::load();
    let good = record(&every()[0]);
    let breaks: [(&str, Value); 12] = [
        ("/class_uid", 4_999.into()),
        ("/activity_id", 77.into()),
        ("/activity_name", "Put".into()),
        ("/type_uid", 400_204.into()),
        ("/severity_id", "1".into()),
        ("/time", "now".into()),
        ("/metadata/version", 1.into()),
        ("/metadata/profiles", serde_json::json!(["host"])),
        ("/metadata/profiles", serde_json::json!(["host", "security_control", "cloud"])),
        ("/http_request/http_method", "SPY".into()),
        ("/src_endpoint/ip", "nowhere".into()),
        ("/dst_endpoint", serde_json::json!({"colour": "blue"})),
    ];
    for (path, value) in breaks {
        let mut bad = good.clone();
        *bad.pointer_mut(path).unwrap() = value;
        assert!(!schema.faults(&bad).is_empty(), "{path}");
    }
    for missing in ["time", "metadata", "severity_id", "http_request"] {
        let mut bad = good.clone();
        bad.as_object_mut().unwrap().remove(missing);
        assert!(!schema.faults(&bad).is_empty(), "{missing}");
    }
}

/// AU-01, over every kind of record and every field that holds text.
#[test]
fn hostile_text_in_any_field_of_any_event_is_one_valid_record() {
    let schema = Schema::load();
    for text in hostile::texts() {
        for mut event in every() {
            hostile::fill(&mut event.body, &text);
            let line = line(&event);
            assert!(!line.chars().any(is_unsafe), "{event:?}");
            assert!(line.ends_with("\"sequence\":7}}") && line.matches("\"sequence\":").count() == 1, "{line}");
            assert!(line.len() < 256 * 1_024, "{} bytes", line.len());
            let record: Value = serde_json::from_str(&line).unwrap();
            let own = &record["unmapped"]["portcullis"];
            assert_eq!(own["truncated"] == true, own["full"].is_array(), "{record}");
            assert_valid(&schema, &event);
        }
    }
}

#[test]
fn what_is_cut_is_named_by_the_hash_of_the_whole() {
    use crate::audit::{note::hex, tree::sha256};
    let text = hostile::texts().pop().unwrap();
    assert!(text.len() >= 1_000_000);
    for mut event in every() {
        hostile::fill(&mut event.body, &text);
        let own = record(&event)["unmapped"]["portcullis"].clone();
        let Some(full) = own["full"].as_array() else {
            continue;
        };
        for cut in full.iter().filter(|cut| cut["bytes"] == text.len()) {
            assert_eq!(cut["sha256"], hex(&sha256(text.as_bytes())), "{own}");
        }
    }
}

/// Names of the variants of an enum, read from the source.
fn variants(source: &str, name: &str) -> BTreeSet<String> {
    let (_, rest) = source.split_once(&format!("pub enum {name} {{\n")).unwrap_or_else(|| panic!("enum {name}"));
    let (body, _) = rest.split_once("\n}\n").unwrap();
    let indented = body.lines().filter_map(|line| line.strip_prefix("    "));
    let word = |line: &str| line.split(|letter: char| !letter.is_ascii_alphanumeric()).next().unwrap().to_owned();
    indented.filter(|line| line.starts_with(|letter: char| letter.is_ascii_uppercase())).map(word).collect()
}

fn shown<T: std::fmt::Debug>(values: impl IntoIterator<Item = T>) -> BTreeSet<String> {
    let word = |value: T| format!("{value:?}").split(|letter: char| !letter.is_ascii_alphanumeric()).next().unwrap().to_owned();
    values.into_iter().map(word).collect()
}

#[test]
fn no_event_of_the_kernel_is_missing_among_the_samples() {
    let events = include_str!("../../../crates/kernel/src/event.rs");
    let findings = include_str!("../../../crates/kernel/src/detection/finding.rs");
    let sessions = include_str!("../../../crates/kernel/src/session/advance.rs");
    let factors = include_str!("../../../crates/kernel/src/identity/assurance.rs");
    assert_eq!(variants(events, "Body"), shown(every().into_iter().map(|event| event.body)));
    assert_eq!(variants(events, "Verdict"), shown(samples::VERDICTS));
    assert_eq!(variants(events, "ExchangeKind"), shown(samples::KINDS));
    assert_eq!(variants(events, "ExchangeOutcome"), shown(samples::OUTCOMES));
    assert_eq!(variants(events, "ConnectionFault"), shown(samples::FAULTS));
    assert_eq!(variants(events, "AuthenticationStep"), shown(samples::steps()));
    assert_eq!(variants(events, "AccountChange"), shown(samples::account_changes()));
    assert_eq!(variants(events, "EntityChange"), shown(samples::entity_changes()));
    assert_eq!(variants(events, "Consulted"), shown(samples::consulted()));
    assert_eq!(variants(events, "ChangedBy"), shown(samples::changers()));
    assert_eq!(variants(events, "LifecycleChange"), shown(samples::LIFECYCLE));
    assert_eq!(variants(findings, "DetectionRule"), shown(DetectionRule::ALL));
    assert_eq!(variants(sessions, "EndReason"), shown(samples::ENDS));
    assert_eq!(variants(factors, "FactorKind"), shown(samples::FACTORS));
}

/// What goes wrong in a decision's own text goes wrong nowhere else: the query never gets in.
#[test]
fn no_query_gets_into_any_record() {
    for mut event in every() {
        hostile::fill(&mut event.body, "/a?token=canary-1#canary-2");
        if let Body::Decision(_) = event.body {
            let record = record(&event);
            for path in ["/http_request/url/path", "/unmapped/portcullis/raw_target", "/unmapped/portcullis/target"] {
                let shown = record.pointer(path).and_then(Value::as_str).unwrap_or("/a");
                assert_eq!(shown, "/a", "{path}");
            }
        }
    }
}

/// For checkers that nobody here wrote: every kind of record, plain and hostile, into the file that `RECORDS_TO` names.
#[test]
fn records_can_be_written_out_for_other_checkers() {
    let Some(path) = std::env::var_os("RECORDS_TO") else { return };
    let mut text: String = every().iter().map(|event| line(event) + "\n").collect();
    for hostile in hostile::texts() {
        for mut event in every() {
            hostile::fill(&mut event.body, &hostile);
            text.push_str(&line(&event));
            text.push('\n');
        }
    }
    std::fs::write(path, text).unwrap();
}
