//! What is spoken over HTTP: lines of JSON, Splunk's HTTP Event Collector, Elasticsearch's `_bulk`, OTLP logs.

use std::collections::BTreeSet;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::{HttpApi, IndexerAck, RecordFormat};
use crate::entropy;

use super::event::Item;
use super::fault::SinkFault;
use super::format;
use super::web::Web;

/// A receiver that speaks HTTP.
#[derive(Debug)]
pub struct Http {
    web: Web,
    format: RecordFormat,
    speech: Speech,
}

/// What is spoken.
#[derive(Debug)]
pub enum Speech {
    JsonLines,
    Hec {
        acknowledge: IndexerAck,
        index: Option<Box<str>>,
        /// Names this sender to the collector, so that it can tell whose acknowledgements are asked for.
        channel: HeaderMap,
    },
    Elasticsearch {
        index: Box<str>,
    },
    Otlp,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// The receiver has it.
    Kept,
    /// The receiver will say so under this number.
    Ticket(u64),
}

impl Speech {
    pub fn of(api: &HttpApi) -> Result<Self, SinkFault> {
        Ok(match api {
            HttpApi::JsonLines => Self::JsonLines,
            HttpApi::SplunkHec { acknowledge, index } => Self::Hec { acknowledge: *acknowledge, index: index.clone(), channel: channel()? },
            HttpApi::Elasticsearch { index } => Self::Elasticsearch { index: index.clone() },
        })
    }

    /// The word before the token.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        match self {
            Self::JsonLines | Self::Otlp => "Bearer",
            Self::Hec { .. } => "Splunk",
            Self::Elasticsearch { .. } => "ApiKey",
        }
    }
}

fn channel() -> Result<HeaderMap, SinkFault> {
    let random = entropy::bytes::<16>().map_err(|failure| SinkFault::Connect(failure.to_string()))?;
    let guid = uuid::Builder::from_random_bytes(random).into_uuid().to_string();
    let value = HeaderValue::from_str(&guid).map_err(|_| SinkFault::Connect("the channel is none".to_owned()))?;
    Ok(HeaderMap::from_iter([(HeaderName::from_static("x-splunk-request-channel"), value)]))
}

impl Http {
    pub const fn new(web: Web, format: RecordFormat, speech: Speech) -> Self {
        Self { web, format, speech }
    }

    /// Sends a batch. What the receiver took is taken out of `items`, also when it refused the rest.
    pub async fn send(&mut self, items: &mut Vec<Item>) -> Result<(u64, Accepted), SinkFault> {
        match &self.speech {
            Speech::JsonLines => self.send_lines(items).await,
            Speech::Hec { acknowledge, index, channel } => self.send_hec(items, *acknowledge, index.as_deref(), channel).await,
            Speech::Elasticsearch { index } => self.send_bulk(items, index).await,
            Speech::Otlp => self.send_otlp(items).await,
        }
    }

    async fn send_lines(&self, items: &[Item]) -> Result<(u64, Accepted), SinkFault> {
        let mut body = Vec::new();
        for item in items {
            body.extend_from_slice(&format::text(item, self.format));
            body.push(b'\n');
        }
        let (reply, bytes) = self.web.ship("", "application/x-ndjson", HeaderMap::new(), body).await?;
        reply.good()?;
        Ok((bytes, Accepted::Kept))
    }

    async fn send_hec(
        &self,
        items: &[Item],
        acknowledge: IndexerAck,
        index: Option<&str>,
        channel: &HeaderMap,
    ) -> Result<(u64, Accepted), SinkFault> {
        let mut body = Vec::new();
        for item in items {
            body.extend_from_slice(&hec_event(item, self.format, index));
            body.push(b'\n');
        }
        let (reply, bytes) = self.web.ship("/services/collector/event", "application/json", channel.clone(), body).await?;
        let reply = reply.good()?;
        let answer: HecAnswer = parse(&reply.body)?;
        match (answer, acknowledge) {
            (HecAnswer { code, .. }, _) if code != 0 => Err(SinkFault::refused(&reply.body, reply.status)),
            (HecAnswer { ack: Some(id), .. }, IndexerAck::Wait) => Ok((bytes, Accepted::Ticket(id))),
            (HecAnswer { ack: None, .. }, IndexerAck::Wait) => Err(SinkFault::Answer(
                "it has no ackId: enable indexer acknowledgement for the token, or set indexer_ack = false".to_owned(),
            )),
            (HecAnswer { .. }, IndexerAck::Skip) => Ok((bytes, Accepted::Kept)),
        }
    }

    /// Which of these tickets the indexers have acknowledged.
    pub async fn acknowledged(&self, tickets: &[u64]) -> Result<BTreeSet<u64>, SinkFault> {
        let Speech::Hec { channel, .. } = &self.speech else { return Ok(BTreeSet::new()) };
        let body = json!({ "acks": tickets }).to_string().into_bytes();
        let reply = self.web.post("/services/collector/ack", "application/json", channel.clone(), body).await?.good()?;
        let answer: HecAcks = parse(&reply.body)?;
        Ok(answer.acks.into_iter().filter(|(_, done)| *done).filter_map(|(id, _)| id.parse().ok()).collect())
    }

    /// Every document has its record's id, and is only ever created: sent again, it is there already.
    async fn send_bulk(&self, items: &mut Vec<Item>, index: &str) -> Result<(u64, Accepted), SinkFault> {
        let mut body = Vec::new();
        for item in items.iter() {
            body.extend_from_slice(json!({ "create": { "_index": index, "_id": item.brief.uid } }).to_string().as_bytes());
            body.push(b'\n');
            body.extend_from_slice(&format::document(item, self.format));
            body.push(b'\n');
        }
        let (reply, bytes) = self.web.ship(BULK, "application/x-ndjson", HeaderMap::new(), body).await?;
        let reply = reply.good()?;
        let answer: BulkAnswer = parse(&reply.body)?;
        if answer.items.len() != items.len() {
            return Err(SinkFault::Answer(format!("it speaks of {} documents, and {} were sent", answer.items.len(), items.len())));
        }
        let mut left = Vec::new();
        let mut first = None;
        for (item, outcome) in std::mem::take(items).into_iter().zip(answer.items) {
            // 409: the document is there already.
            if matches!(outcome.create.status, 200..=299 | 409) {
                continue;
            }
            first.get_or_insert_with(|| {
                let name = item.brief.sequence.map_or_else(|| item.brief.uid.clone(), |sequence| format!("record {sequence}"));
                SinkFault::refused(outcome.create.error.to_string().as_bytes(), format!("{name} ({})", outcome.create.status))
            });
            left.push(item);
        }
        *items = left;
        first.map_or(Ok((bytes, Accepted::Kept)), Err)
    }

    async fn send_otlp(&self, items: &[Item]) -> Result<(u64, Accepted), SinkFault> {
        let body = otlp(items, self.format).to_string().into_bytes();
        let (reply, bytes) = self.web.ship("/v1/logs", "application/json", HeaderMap::new(), body).await?;
        let reply = reply.good()?;
        let answer: OtlpAnswer = if reply.body.is_empty() { OtlpAnswer::default() } else { parse(&reply.body)? };
        // OTLP would have these given up. Here nothing is: the batch is sent again, and ids tell duplicates.
        match answer.partial {
            Some(partial) if partial.rejected() > 0 => {
                Err(SinkFault::refused(partial.message.as_bytes(), format!("{} of {} records", partial.rejected(), items.len())))
            }
            Some(_) | None => Ok((bytes, Accepted::Kept)),
        }
    }
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, SinkFault> {
    serde_json::from_slice(body).map_err(|fault| SinkFault::Answer(fault.to_string()))
}

fn hec_event(item: &Item, form: RecordFormat, index: Option<&str>) -> Vec<u8> {
    let brief = &item.brief;
    let host = brief.origin.rsplit('/').next().unwrap_or_default();
    let kind = match form {
        RecordFormat::Ocsf | RecordFormat::Cef => "portcullis:ocsf",
        RecordFormat::Ecs => "portcullis:ecs",
    };
    let mut head = json!({
        "time": format!("{}.{:03}", brief.time / 1_000, brief.time % 1_000),
        "host": host, "source": "portcullis", "sourcetype": kind,
        "fields": { "uid": brief.uid, "sequence": brief.sequence.map_or(Value::Null, |sequence| json!(sequence.to_string())) },
    });
    if let (Some(index), Some(fields)) = (index, head.as_object_mut()) {
        fields.insert("index".to_owned(), json!(index));
    }
    if let Some(fields) = head.get_mut("fields").and_then(Value::as_object_mut) {
        fields.retain(|_, value| !value.is_null());
    }
    let mut event = head.to_string().into_bytes();
    event.pop();
    event.extend_from_slice(b",\"event\":");
    event.extend_from_slice(&format::text(item, form));
    event.push(b'}');
    event
}

/// One request of OTLP logs, in JSON. The body of a log record is the event as text.
fn otlp(items: &[Item], form: RecordFormat) -> Value {
    let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    let origin = items.first().map_or("", |item| &item.brief.origin);
    let record = |item: &Item| {
        let brief = &item.brief;
        let nanoseconds = brief.time.saturating_mul(1_000_000).to_string();
        let (number, word) = otlp_severity(brief.severity);
        let mut attributes = vec![text("log.record.uid", &brief.uid), text("event.name", &brief.event)];
        attributes.extend(brief.sequence.map(|sequence| text("portcullis.sequence", &sequence.to_string())));
        attributes.extend(brief.decision.as_deref().map(|decision| text("portcullis.decision", decision)));
        json!({ "timeUnixNano": nanoseconds, "observedTimeUnixNano": nanoseconds, "severityNumber": number, "severityText": word,
            "eventName": format!("portcullis.{}", brief.event),
            "body": { "stringValue": String::from_utf8_lossy(&format::text(item, form)) }, "attributes": attributes })
    };
    let resource = [text("service.name", "portcullis"), text("host.name", origin.rsplit('/').next().unwrap_or_default())];
    json!({ "resourceLogs": [{ "resource": { "attributes": resource }, "scopeLogs": [{
        "scope": { "name": "portcullis.audit", "version": env!("CARGO_PKG_VERSION") },
        "logRecords": items.iter().map(record).collect::<Vec<_>>() }] }] })
}

const fn otlp_severity(ocsf: u64) -> (u64, &'static str) {
    match ocsf {
        0 | 1 => (9, "INFO"),
        2 => (10, "INFO2"),
        3 => (13, "WARN"),
        4 => (17, "ERROR"),
        _ => (21, "FATAL"),
    }
}

#[derive(Deserialize)]
struct HecAnswer {
    code: i64,
    #[serde(rename = "ackId")]
    ack: Option<u64>,
}

#[derive(Deserialize)]
struct HecAcks {
    acks: std::collections::BTreeMap<String, bool>,
}

#[derive(Deserialize)]
struct BulkAnswer {
    items: Vec<BulkItem>,
}

#[derive(Deserialize)]
struct BulkItem {
    create: BulkOutcome,
}

#[derive(Deserialize)]
struct BulkOutcome {
    status: u16,
    #[serde(default)]
    error: Value,
}

#[derive(Default, Deserialize)]
struct OtlpAnswer {
    #[serde(rename = "partialSuccess", default)]
    partial: Option<OtlpPartial>,
}

#[derive(Deserialize)]
struct OtlpPartial {
    /// A number, or a text that holds one: protobuf's JSON writes 64 bits as text.
    #[serde(rename = "rejectedLogRecords", default)]
    rejected: Value,
    #[serde(rename = "errorMessage", default)]
    message: String,
}

impl OtlpPartial {
    fn rejected(&self) -> u64 {
        self.rejected.as_u64().or_else(|| self.rejected.as_str()?.parse().ok()).unwrap_or_default()
    }
}

/// Of the answer, only what is looked at.
const BULK: &str = "/_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason";
