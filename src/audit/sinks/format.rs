//! Events as text: OCSF as it stands in the log, ECS and CEF by the tables of [`super::mapping`].
//!
//! Whatever a client wrote, the text is one line without a control character: the log escapes it, ECS is written by the same
//! rules, and in CEF it is shown escaped.

use kernel::time::Timestamp;
use serde_json::{Map, Value, json};

use crate::config::RecordFormat;

use super::super::text::{guarded, printable};
use super::event::Item;
use super::mapping::{self, CEF, CEF_LABELS, ECS, ECS_VERSION, Make, Row};

/// An event in a form.
#[must_use]
pub fn text(item: &Item, format: RecordFormat) -> Vec<u8> {
    match format {
        RecordFormat::Ocsf => item.line.clone(),
        RecordFormat::Ecs => guarded(&ecs(&item.tree())),
        RecordFormat::Cef => cef(&item.tree()).into_bytes(),
    }
}

/// An event as JSON with the time where Elasticsearch looks for it.
#[must_use]
pub fn document(item: &Item, format: RecordFormat) -> Vec<u8> {
    match format {
        RecordFormat::Ocsf | RecordFormat::Cef => {
            let mut line = format!("{{\"@timestamp\":\"{}\",", time(item.brief.time)).into_bytes();
            line.extend_from_slice(item.line.strip_prefix(b"{").unwrap_or_default());
            line
        }
        RecordFormat::Ecs => text(item, format),
    }
}

/// A record as ECS.
#[must_use]
pub fn ecs(record: &Value) -> Value {
    let class = mapping::class(number(record, "class_uid"));
    let mut document = json!({
        "ecs": { "version": ECS_VERSION },
        "event": { "kind": class.ecs_kind, "category": class.ecs_category, "type": ecs_type(record, class),
            "module": "portcullis", "dataset": "portcullis.audit" },
        "observer": { "type": "proxy" },
    });
    for row in ECS {
        if let Some(value) = made(record, row) {
            put(&mut document, row.to, value);
        }
    }
    if let Some(own) = record.pointer("/unmapped/portcullis") {
        put(&mut document, "portcullis", own.clone());
    }
    document
}

/// ECS distinguishes what a number in OCSF says: the end of a session, and what was let through or not.
fn ecs_type(record: &Value, class: &mapping::Class) -> Vec<&'static str> {
    let decision = record.pointer("/unmapped/portcullis/decision").and_then(Value::as_str);
    let ends = class.uid == 3_002 && number(record, "activity_id") == 2;
    let mut types: Vec<&'static str> = if ends { vec!["end"] } else { class.ecs_type.to_vec() };
    match decision {
        Some("allow") => types.push("allowed"),
        Some(_) => types.push("denied"),
        None => {}
    }
    types
}

/// A record as a line of CEF.
#[must_use]
pub fn cef(record: &Value) -> String {
    let class = mapping::class(number(record, "class_uid"));
    let event = record.pointer("/unmapped/portcullis/event").and_then(Value::as_str).unwrap_or("record");
    let severity = cef_severity(number(record, "severity_id"));
    let mut line = format!(
        "CEF:0|Portcullis|Portcullis|{}|{}:{}|{}|{severity}|",
        env!("CARGO_PKG_VERSION"),
        number(record, "class_uid"),
        header(event),
        header(class.name),
    );
    let mut separator = "";
    for row in CEF {
        let Some(value) = made(record, row) else { continue };
        let value = match value {
            Value::String(text) => extension(&text),
            other => other.to_string(),
        };
        line.push_str(&format!("{separator}{}={value}", row.to));
        separator = " ";
        if let Some((_, label)) = CEF_LABELS.iter().find(|(field, _)| *field == row.to) {
            line.push_str(&format!(" {}Label={label}", row.to));
        }
    }
    line
}

fn made(record: &Value, row: &Row) -> Option<Value> {
    let value = row.from.iter().find_map(|pointer| record.pointer(pointer)).filter(|value| !value.is_null())?;
    match row.make {
        Make::Copy => Some(value.clone()),
        Make::Time => value.as_u64().map(|milliseconds| json!(time(milliseconds))),
        Make::Nanoseconds => value.as_u64().map(|milliseconds| json!(milliseconds.saturating_mul(1_000_000))),
        Make::Outcome => Some(json!(if value.as_u64() == Some(1) { "success" } else { "failure" })),
        Make::Names => Some(value.as_array()?.iter().filter_map(|group| group.get("name").cloned()).collect()),
    }
}

/// Puts a value at a dotted place.
fn put(document: &mut Value, path: &str, value: Value) {
    let mut place = document;
    for part in path.split('.') {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Value::Object(fields) = place else { return };
        place = fields.entry(part).or_insert(Value::Null);
    }
    *place = value;
}

/// RFC 3339 with milliseconds.
#[must_use]
pub fn time(milliseconds: u64) -> String {
    let text = Timestamp::from_micros(milliseconds.saturating_mul(1_000)).to_string();
    text.strip_suffix("000Z").map_or_else(|| text.clone(), |text| format!("{text}Z"))
}

fn number(record: &Value, field: &str) -> u64 {
    record.get(field).and_then(Value::as_u64).unwrap_or_default()
}

/// Informational 1, low 3, medium 5, high 8, and 10 for the two above it.
const fn cef_severity(ocsf: u64) -> u64 {
    match ocsf {
        0 | 1 => 1,
        2 => 3,
        3 => 5,
        4 => 8,
        _ => 10,
    }
}

/// A field of the head, where a bar ends it.
fn header(text: &str) -> String {
    shown(text).replace('\\', "\\\\").replace('|', "\\|")
}

/// A value of the extension, where an equals sign would begin another field.
fn extension(text: &str) -> String {
    shown(text).replace('\\', "\\\\").replace('=', "\\=")
}

/// Without a control character, and cut at the length that the dictionary of CEF gives most of its fields.
fn shown(text: &str) -> String {
    let text = printable(text);
    text.get(..text.floor_char_boundary(CEF_BYTES_MAX)).unwrap_or_default().to_owned()
}

const CEF_BYTES_MAX: usize = 1_023;
