//! What is shipped: records as they stand in the log, and the checkpoints that sign them, as events beside them.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::config::RecordFilter;

use super::super::follow::{Head, Record};
use super::super::note::hex;
use super::super::record::OCSF_VERSION;
use super::super::text;
use super::super::tree::sha256;

/// One event on its way.
#[derive(Clone, Debug)]
pub struct Item {
    pub brief: Brief,
    /// The record's own bytes, or the checkpoint's event.
    pub line: Vec<u8>,
}

/// What every carrier asks about an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brief {
    pub class: u64,
    pub severity: u64,
    /// Milliseconds since 1970.
    pub time: u64,
    /// The same for the same event, however often it is sent.
    pub uid: String,
    /// None for a checkpoint.
    pub sequence: Option<u64>,
    pub event: String,
    pub decision: Option<String>,
    /// `portcullis/` and the gateway's host.
    pub origin: String,
}

#[derive(Debug, Error)]
#[error("record {sequence} cannot be read: {cause}")]
pub struct ReadFault {
    pub sequence: u64,
    pub cause: serde_json::Error,
}

#[derive(Deserialize)]
struct Outline {
    class_uid: u64,
    severity_id: u64,
    time: u64,
    metadata: Metadata,
    unmapped: Unmapped,
}

#[derive(Deserialize)]
struct Metadata {
    uid: String,
    log_provider: String,
}

#[derive(Deserialize)]
struct Unmapped {
    portcullis: Own,
}

#[derive(Deserialize)]
struct Own {
    event: String,
    decision: Option<String>,
}

impl Item {
    pub fn of(record: Record) -> Result<Self, ReadFault> {
        let sequence = record.sequence;
        let outline: Outline = serde_json::from_slice(&record.line).map_err(|cause| ReadFault { sequence, cause })?;
        let brief = Brief {
            class: outline.class_uid,
            severity: outline.severity_id,
            time: outline.time,
            uid: outline.metadata.uid,
            sequence: Some(sequence),
            event: outline.unmapped.portcullis.event,
            decision: outline.unmapped.portcullis.decision,
            origin: outline.metadata.log_provider,
        };
        Ok(Self { brief, line: record.line })
    }

    /// A checkpoint as an event. Its id is made of what it signs, so that it is the same whenever it is sent.
    #[must_use]
    pub fn of_checkpoint(head: &Head, now_ms: u64) -> Self {
        let origin = head.note.lines().next().unwrap_or_default().to_owned();
        let digest = hex(&sha256(head.note.as_bytes()));
        let uid = format!("checkpoint-{}-{}", head.size, digest.get(..16).unwrap_or_default());
        let product = json!({ "name": "Portcullis", "vendor_name": "Portcullis", "version": env!("CARGO_PKG_VERSION") });
        let event = json!({
            "class_uid": CHECKPOINT_CLASS, "category_uid": 6, "activity_id": 99, "activity_name": "Checkpoint", "type_uid": 600_299,
            "severity_id": 1, "status_id": 1,
            "message": format!("signed up to record {}", head.size),
            "app": product,
            "unmapped": { "portcullis": { "event": "checkpoint", "size": head.size, "checkpoint": head.note } },
            "time": now_ms,
            "metadata": { "version": OCSF_VERSION, "product": product, "log_provider": origin, "uid": uid },
        });
        let brief = Brief {
            class: CHECKPOINT_CLASS,
            severity: 1,
            time: now_ms,
            uid,
            sequence: None,
            event: "checkpoint".to_owned(),
            decision: None,
            origin,
        };
        Self { brief, line: text::guarded(&event) }
    }

    /// Whether a sink wants the event. Checkpoints pass always: they sign what was left out, too.
    #[must_use]
    pub fn passes(&self, filter: &RecordFilter) -> bool {
        let brief = &self.brief;
        let class = filter.classes.as_ref().is_none_or(|classes| classes.contains(&brief.class));
        let severity = filter.min_severity.is_none_or(|least| brief.severity >= least);
        let decision = match (&filter.decisions, &brief.decision) {
            (Some(wanted), Some(decision)) => wanted.iter().any(|wanted| **wanted == **decision),
            (None, _) | (_, None) => true,
        };
        brief.sequence.is_none() || (class && severity && decision)
    }

    /// The event as a tree.
    #[must_use]
    pub fn tree(&self) -> Value {
        serde_json::from_slice(&self.line).unwrap_or_default()
    }

    /// A stand-in for an event that is too large for its carrier: what says which it is and what was decided, and the hash of
    /// the whole. No text of a client is in it; a name of the configuration is cut where `names` says so.
    #[must_use]
    pub fn short(&self, names: Names) -> Self {
        let whole = self.tree();
        let mut own = Map::new();
        for name in SHORT_OWN {
            if let Some(value) = whole.pointer(&format!("/unmapped/portcullis/{name}")) {
                own.insert((*name).to_owned(), names.shown(value));
            }
        }
        own.insert("shortened".to_owned(), json!({ "bytes": self.line.len(), "sha256": hex(&sha256(&self.line)) }));
        let mut fields = Map::new();
        for name in SHORT_FIELDS {
            if let Some(value) = whole.get(*name) {
                fields.insert((*name).to_owned(), value.clone());
            }
        }
        fields.insert("unmapped".to_owned(), json!({ "portcullis": own }));
        Self { brief: self.brief.clone(), line: text::guarded(&Value::Object(fields)) }
    }
}

/// How much of a name is in a short form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    Whole,
    /// So that it fits the smallest message that can be configured. Ids and hashes are whole all the same.
    Cut,
}

impl Names {
    fn shown(self, value: &Value) -> Value {
        match (self, value) {
            (Self::Cut, Value::String(text)) => json!(text.get(..text.floor_char_boundary(NAME_BYTES)).unwrap_or_default()),
            (Self::Whole | Self::Cut, value) => value.clone(),
        }
    }
}

/// Application Lifecycle.
const CHECKPOINT_CLASS: u64 = 6_002;

const SHORT_FIELDS: &[&str] =
    &["class_uid", "category_uid", "activity_id", "type_uid", "severity_id", "status_id", "status_code", "time", "metadata"];
/// As long as an id. A name can be six times as long once it is escaped.
const NAME_BYTES: usize = 32;
const SHORT_OWN: &[&str] = &["event", "request_id", "decision", "reason", "route", "rule", "session", "config"];
