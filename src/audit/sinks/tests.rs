//! The tables of other schemas against their page, and what becomes of hostile text.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use serde_json::{Value, json};

use super::event::{Item, Names};
use super::format::{cef, document, ecs, text};
use super::mapping::{CEF, CEF_LABELS, CLASSES, ECS, Make, Row};
use super::syslog;
use crate::audit::fixtures::{allow, exchange_end};
use crate::audit::follow::{Head, Record};
use crate::audit::record;
use crate::audit::record::{hostile, samples};
use crate::config::{Bom, Message, RecordFormat};

fn item(event: &kernel::event::Event) -> Item {
    let mut line = record::encode(event, "portcullis/gate.test").unwrap().0;
    line.extend_from_slice(b"7}}");
    Item::of(Record { sequence: 7, line }).unwrap()
}

fn rows(table: &[Row]) -> String {
    let made = |row: &Row| match row.make {
        Make::Copy => "",
        Make::Time => "RFC 3339",
        Make::Nanoseconds => "milliseconds become nanoseconds",
        Make::Outcome => "1 becomes success, others failure",
        Make::Names => "the names in the list",
    };
    let label = |row: &Row| {
        let label = CEF_LABELS.iter().find(|(field, _)| *field == row.to);
        label.map(|(_, label)| format!(" ({label})")).unwrap_or_default()
    };
    let from = |row: &Row| {
        row.from.iter().map(|path| format!("`{}`", path.trim_start_matches('/').replace('/', "."))).collect::<Vec<_>>().join(", ")
    };
    table.iter().map(|row| format!("| `{}`{} | {} | {} |\n", row.to, label(row), from(row), made(row))).collect()
}

fn classes() -> String {
    let class = |class: &super::mapping::Class| {
        format!(
            "| {} {} | {} | {} | {} |\n",
            class.uid,
            class.name,
            class.ecs_kind,
            class.ecs_category.join(", "),
            class.ecs_type.join(", ")
        )
    };
    CLASSES.iter().map(class).collect()
}

#[test]
fn the_page_shows_the_tables() {
    let page = include_str!("../../../docs/sinks.md");
    for (name, table) in [("ECS", rows(ECS)), ("classes", classes()), ("CEF", rows(CEF))] {
        assert!(page.contains(&table), "docs/sinks.md should hold for {name}:\n{table}");
    }
}

#[test]
fn every_kind_of_event_has_a_place_in_every_format() {
    let mut classes = std::collections::BTreeSet::new();
    for event in record::samples::every() {
        let item = item(&event);
        let tree = item.tree();
        let class = CLASSES.iter().find(|class| Some(class.uid) == tree["class_uid"].as_u64()).unwrap();
        let document = ecs(&tree);
        assert_eq!(document["event"]["category"], json!(class.ecs_category));
        assert_eq!(document["event"]["sequence"], 7);
        assert_eq!(document["event"]["id"], tree["metadata"]["uid"]);
        assert!(document["@timestamp"].as_str().unwrap().ends_with(".000Z"));
        let line = cef(&tree);
        assert!(line.starts_with(&format!("CEF:0|Portcullis|Portcullis|{}|{}:", env!("CARGO_PKG_VERSION"), class.uid)));
        assert!(line.contains(" cn1=7 ") && !line.contains('\n'), "{line}");
        assert_eq!(text(&item, RecordFormat::Ocsf), item.line);
        classes.insert(class.uid);
    }
    // There is a row for tunnels, which are not built yet.
    assert!(CLASSES.iter().all(|class| classes.contains(&class.uid) || class.uid == 4_014), "{classes:?}");
}

fn sample(event: &str) -> Value {
    let trees = record::samples::every().into_iter().rev().map(|event| item(&event).tree());
    trees.into_iter().find(|tree| tree["unmapped"]["portcullis"]["event"] == event).unwrap()
}

#[test]
fn findings_sessions_and_streams_read_as_such_in_ecs_and_cef() {
    let finding = sample("finding");
    let document = ecs(&finding);
    assert_eq!((&document["event"]["kind"], &document["event"]["category"]), (&json!("alert"), &json!(["intrusion_detection"])));
    assert_eq!(document["rule"]["name"], finding["finding_info"]["analytic"]["name"]);
    assert_eq!(document["message"], finding["message"]);
    let line = cef(&finding);
    assert!(line.contains("|2004:finding|Detection Finding|") && line.contains(finding["message"].as_str().unwrap()), "{line}");

    let session = sample("authorize_session");
    let document = ecs(&session);
    assert_eq!((&document["event"]["category"], &document["event"]["action"]), (&json!(["session", "iam"]), &json!("authorize_session")));
    assert_eq!((&document["user"]["id"], &document["user"]["group"]["name"]), (&session["user"]["uid"], &json!(["dev"])));
    let line = cef(&session);
    assert!(line.contains("|3003:authorize_session|Authorize Session|") && line.contains("cs4=03030303030303030303030303030303"), "{line}");

    let stream = sample("stream_open");
    let document = ecs(&stream);
    assert_eq!((&document["event"]["category"], &document["service"]["name"]), (&json!(["network"]), &json!("app")));
    assert_eq!(document["source"]["ip"], "2001:db8::7");
    let line = cef(&stream);
    assert!(line.contains("|4001:stream_open|Network Activity|") && line.contains("src=2001:db8::7"), "{line}");
}

#[test]
fn ecs_says_what_was_let_through() {
    let document = ecs(&item(&allow(1)).tree());
    assert_eq!(document["event"]["type"], json!(["access", "allowed"]));
    assert_eq!(document["event"]["outcome"], "success");
    assert_eq!(document["user"]["group"]["name"], json!(["dev"]));
    assert_eq!(document["portcullis"]["decision"], "allow");
    let ended = ecs(&item(&exchange_end(1)).tree());
    assert_eq!(ended["event"]["duration"], 3_000_000);
}

#[test]
fn cef_fields_cannot_be_forged() {
    let record = json!({ "class_uid": 4002, "severity_id": 2, "status_id": 2, "unmapped": { "portcullis": { "event": "a|b\\c\nd" } },
        "http_request": { "user_agent": "x=y \\ cs1=forged\r\nCEF:0|" } });
    let line = cef(&record);
    assert!(line.contains("|4002:a\\|b\\\\c\\\\u{a}d|HTTP Activity|3|"), "{line}");
    assert!(line.contains("requestClientApplication=x\\=y \\\\ cs1\\=forged\\\\u{d}\\\\u{a}CEF:0|"), "{line}");
}

#[test]
fn a_checkpoint_has_one_id_whenever_it_is_sent() {
    let head = Head { size: 12, note: "portcullis/gate.test\n12\nroot=\n\n\u{2014} portcullis/gate.test c2ln\n".to_owned() };
    let (one, two) = (Item::of_checkpoint(&head, 1), Item::of_checkpoint(&head, 2));
    assert_eq!(one.brief.uid, two.brief.uid);
    assert!(one.brief.uid.starts_with("checkpoint-12-"));
    assert_eq!(one.tree()["unmapped"]["portcullis"]["checkpoint"], head.note);
    let other = Item::of_checkpoint(&Head { note: head.note.replace("root", "toor"), ..head }, 1);
    assert_ne!(one.brief.uid, other.brief.uid);
}

#[test]
fn a_short_form_names_the_record_and_its_hash_and_holds_no_text_of_a_client() {
    let item = item(&allow(1));
    let short = item.short(Names::Whole);
    let tree = short.tree();
    assert_eq!(tree["metadata"], item.tree()["metadata"]);
    assert_eq!(tree["unmapped"]["portcullis"]["shortened"]["bytes"], item.line.len());
    assert!(short.line.len() < 1_200);
    for field in ["http_request", "actor", "dst_endpoint"] {
        assert_eq!(tree[field], Value::Null);
    }
}

#[test]
fn a_message_is_never_larger_than_its_carrier_takes_whatever_stands_in_the_record() {
    let settings = Message { bom: Bom::Write, bytes_max: 2_048 };
    for text in hostile::texts() {
        for mut event in samples::every() {
            hostile::fill(&mut event.body, &text);
            for form in [RecordFormat::Ocsf, RecordFormat::Ecs, RecordFormat::Cef] {
                let message = syslog::message(&item(&event), form, settings);
                assert!(message.len() <= settings.bytes_max, "{} bytes of {form:?}: {event:?}", message.len());
            }
        }
    }
}

#[test]
fn a_document_has_its_time_first() {
    let text = String::from_utf8(document(&item(&allow(1)), RecordFormat::Ocsf)).unwrap();
    assert!(text.starts_with("{\"@timestamp\":\"2026-") && serde_json::from_str::<Value>(&text).is_ok(), "{text}");
}
