//! What spans say, in the words of OpenTelemetry's conventions for HTTP, and how a batch of them is written (OTLP, JSON).
//!
//! Nothing stands in them that a client may have meant for an upstream alone: no path, no query, no field, no body, nobody's name. Routes
//! and hosts are those of the configuration, so that a client makes no new ones.

use serde_json::{Value as Json, json};

use super::context::{SpanId, TraceId, text};

/// A span that has ended.
#[derive(Debug)]
pub struct Span {
    pub trace: TraceId,
    pub id: SpanId,
    pub parent: Option<SpanId>,
    pub kind: Kind,
    pub name: String,
    /// Nanoseconds of Unix time.
    pub began: u64,
    pub ended: u64,
    pub attributes: Vec<(&'static str, Value)>,
    pub outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request of a client.
    Server,
    /// The exchange with an upstream.
    Client,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Unset,
    Failed,
}

#[derive(Debug)]
pub enum Value {
    Text(String),
    Number(u64),
}

impl Span {
    fn json(&self) -> Json {
        let attribute = |(key, value): &(&'static str, Value)| match value {
            Value::Text(text) => json!({ "key": key, "value": { "stringValue": text } }),
            // protobuf's JSON writes 64 bits as text.
            Value::Number(number) => json!({ "key": key, "value": { "intValue": number.to_string() } }),
        };
        let mut span = json!({
            "traceId": text(&self.trace),
            "spanId": text(&self.id),
            "name": self.name,
            "kind": match self.kind { Kind::Server => 2, Kind::Client => 3 },
            "startTimeUnixNano": self.began.to_string(),
            "endTimeUnixNano": self.ended.to_string(),
            "attributes": self.attributes.iter().map(attribute).collect::<Vec<_>>(),
            "status": match self.outcome { Outcome::Unset => json!({}), Outcome::Failed => json!({ "code": 2 }) },
        });
        if let (Some(parent), Some(fields)) = (&self.parent, span.as_object_mut()) {
            fields.insert("parentSpanId".to_owned(), text(parent).into());
        }
        span
    }
}

/// One request of OTLP. `host` is the gateway's.
pub fn request(spans: &[Span], host: &str) -> Vec<u8> {
    let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    let version = env!("CARGO_PKG_VERSION");
    let resource = [text("service.name", "portcullis"), text("service.version", version), text("host.name", host)];
    json!({ "resourceSpans": [{ "resource": { "attributes": resource }, "scopeSpans": [{
        "scope": { "name": "portcullis", "version": version },
        "spans": spans.iter().map(Span::json).collect::<Vec<_>>() }] }] })
    .to_string()
    .into_bytes()
}

/// A method of a closed list, as it may stand in a span.
pub fn method(method: &http::Method) -> &'static str {
    const KNOWN: &[&str] = &["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    KNOWN.iter().find(|known| **known == method.as_str()).copied().unwrap_or("_OTHER")
}
