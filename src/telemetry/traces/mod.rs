//! Traces: a span for each request that is traced and one for its exchange with an upstream, sent to a receiver of OTLP.
//!
//! Nothing waits for it. A span is handed over when it has ended; where there is no room for it, or the receiver does not take it, it is
//! dropped and counted. Which requests are traced is decided once for each, and a client has a word in it only where somebody is signed in.

pub mod context;
mod export;
mod span;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::{HeaderValue, Method, Version};
use kernel::request::RequestId;
use kernel::time::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::TraceReceiver;
use crate::entropy;
use context::{Parent, Sampled, SpanId, TraceId};
pub use export::{Exporter, ExporterFault};
use span::{Kind, Outcome, Span, Value};

/// Where spans are handed over.
#[derive(Debug)]
pub struct Tracer {
    queue: mpsc::Sender<Span>,
    exporter: ArcSwapOption<Exporter>,
    figures: TraceFigures,
    closing: CancellationToken,
    tasks: TaskTracker,
}

/// What is counted.
#[derive(Clone, Debug, Default)]
pub struct TraceFigures {
    exported: Counter,
    dropped: Counter,
}

/// Decides which requests are traced.
#[derive(Debug)]
pub struct Sampler {
    one_in: u64,
    per_second: u32,
    second: AtomicU64,
    /// Of that second.
    taken: AtomicU32,
}

/// One request. Its span ends with the last of those who hold it: the answer's head, or the exchange's end.
#[derive(Debug)]
pub struct Request {
    tracer: Arc<Tracer>,
    sampler: Arc<Sampler>,
    request_id: RequestId,
    parent: Option<Parent>,
    id: SpanId,
    call: SpanId,
    received: Timestamp,
    began: Instant,
    sampled: OnceLock<Sampled>,
    facts: Mutex<Facts>,
}

/// What is known of a request for its span.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub method: Method,
    pub version: Version,
    /// Of the configuration, never one that a client made up.
    pub host: Option<(String, u16)>,
    pub route: Option<String>,
    pub status: Option<u16>,
    /// The reason code, where it did not pass.
    pub reason: Option<&'static str>,
}

/// The exchange with an upstream.
#[derive(Debug)]
pub struct Call {
    request: Arc<Request>,
    began: Instant,
}

/// How it ended.
#[derive(Debug)]
pub struct CallEnd<'a> {
    pub status: Option<u16>,
    /// As the route writes it.
    pub upstream: Option<&'a str>,
    pub failure: Option<&'static str>,
}

/// Who is asking, as far as it says whose word on sampling counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    SignedIn,
    Stranger,
}

impl TraceFigures {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("traces_exported", "Spans that the receiver took", self.exported.clone());
        registry.register("traces_dropped", "Spans that were given up", self.dropped.clone());
    }
}

impl Tracer {
    /// `host` is the gateway's. What is handed over is sent on a task of its own.
    #[must_use]
    pub fn start(figures: TraceFigures, host: String) -> Arc<Self> {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let (closing, tasks) = (CancellationToken::new(), TaskTracker::new());
        let tracer = Arc::new(Self { queue, exporter: ArcSwapOption::empty(), figures, closing, tasks });
        tracer.tasks.spawn(export::run(Arc::clone(&tracer), waiting, host));
        tracer
    }

    /// Names the receiver from now on.
    pub fn aim(&self, exporter: Option<Exporter>) {
        self.exporter.store(exporter.map(Arc::new));
    }

    /// Sends what waits, once, and ends.
    pub async fn stop(&self, grace: Duration) {
        self.closing.cancel();
        self.tasks.close();
        let _what_is_left_is_lost = tokio::time::timeout(grace, self.tasks.wait()).await;
    }

    /// A request came. None where the machine has no random numbers, without which nothing else goes on either.
    #[must_use]
    pub fn begin(
        self: &Arc<Self>,
        sampler: &Arc<Sampler>,
        request_id: RequestId,
        parent: Option<Parent>,
        now: Timestamp,
    ) -> Option<Arc<Request>> {
        let [id, call] = [entropy::bytes().ok()?, entropy::bytes().ok()?];
        Some(Arc::new(Request {
            tracer: Arc::clone(self),
            sampler: Arc::clone(sampler),
            request_id,
            parent,
            id,
            call,
            received: now,
            began: Instant::now(),
            sampled: OnceLock::new(),
            facts: Mutex::default(),
        }))
    }

    fn hand_over(&self, span: Span) {
        // Full means that the receiver is slower than the traffic: spans are worth less than requests.
        if self.queue.try_send(span).is_err() {
            self.figures.dropped.inc();
        }
    }
}

impl Sampler {
    #[must_use]
    pub fn new(receiver: &TraceReceiver) -> Self {
        let one_in = u64::from(receiver.one_in.max(1));
        Self { one_in, per_second: receiver.per_second, second: AtomicU64::new(0), taken: AtomicU32::new(0) }
    }

    /// The sampled flag of a client counts where somebody is signed in, whom the record names. Strangers would have all of theirs traced,
    /// and push those of others out of what a second has room for.
    fn decide(&self, request: RequestId, parent: Option<&Parent>, asking: Asking, now: Timestamp) -> Sampled {
        let wanted = match (parent.map(|parent| parent.sampled), asking) {
            (Some(Sampled::No), _) => false,
            (Some(Sampled::Yes), Asking::SignedIn) => true,
            // By the request's id, which is random and not the client's, as the trace's may be.
            (Some(Sampled::Yes), Asking::Stranger) | (None, _) => {
                let [a, b, c, d, e, f, g, h, ..] = *request.as_bytes();
                u64::from_be_bytes([a, b, c, d, e, f, g, h]).is_multiple_of(self.one_in)
            }
        };
        if wanted && self.has_room(now) { Sampled::Yes } else { Sampled::No }
    }

    fn has_room(&self, now: Timestamp) -> bool {
        let second = now.as_seconds();
        if self.second.swap(second, Ordering::AcqRel) != second {
            self.taken.store(0, Ordering::Release);
        }
        self.taken.fetch_add(1, Ordering::AcqRel) < self.per_second
    }
}

impl Request {
    fn decide(&self, asking: Asking) -> Sampled {
        *self.sampled.get_or_init(|| self.sampler.decide(self.request_id, self.parent.as_ref(), asking, self.received))
    }

    fn trace(&self) -> TraceId {
        self.parent.map_or(*self.request_id.as_bytes(), |parent| parent.trace)
    }

    /// The head of the answer is known.
    pub fn answered(&self, asking: Asking, facts: Facts) {
        self.decide(asking);
        *self.facts() = facts;
    }

    /// The request goes on to an upstream: what that is told of the trace, if anything else than the client said, and the exchange
    /// where it is traced.
    #[must_use]
    pub fn forward(self: &Arc<Self>, asking: Asking) -> (Option<HeaderValue>, Option<Call>) {
        match (self.decide(asking), &self.parent) {
            (Sampled::Yes, _) => {
                let call = Call { request: Arc::clone(self), began: Instant::now() };
                (context::write(&self.trace(), &self.call, Sampled::Yes), Some(call))
            }
            (Sampled::No, Some(_)) => (None, None),
            (Sampled::No, None) => (context::write(&self.trace(), &self.id, Sampled::No), None),
        }
    }

    /// A point in time on the clock of the process, as it would be on the gateway's.
    fn nanos(&self, at: Instant) -> u64 {
        let since = u64::try_from(at.saturating_duration_since(self.began).as_nanos()).unwrap_or(u64::MAX);
        self.received.as_micros().saturating_mul(1_000).saturating_add(since)
    }

    /// No code that holds the lock can panic half-way through a change.
    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if self.sampled.get() != Some(&Sampled::Yes) {
            return;
        }
        let facts = std::mem::take(&mut *self.facts());
        let method = span::method(&facts.method);
        let mut attributes = vec![
            ("http.request.method", text(method)),
            ("url.scheme", text("https")),
            ("network.protocol.name", text("http")),
            ("network.protocol.version", text(version(facts.version))),
            ("portcullis.request_id", text(self.request_id)),
        ];
        if let Some((host, port)) = facts.host {
            attributes.extend([("server.address", text(host)), ("server.port", Value::Number(port.into()))]);
        }
        attributes.extend(facts.route.as_deref().map(|route| ("http.route", text(route))));
        attributes.extend(facts.status.map(|status| ("http.response.status_code", Value::Number(status.into()))));
        attributes.extend(facts.reason.map(|reason| ("portcullis.reason", text(reason))));
        let failed = facts.status.is_none_or(|status| status >= 500);
        if failed {
            attributes.push(("error.type", error_type(facts.reason, facts.status)));
        }
        let name = facts.route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}"));
        self.tracer.hand_over(Span {
            trace: self.trace(),
            id: self.id,
            parent: self.parent.map(|parent| parent.span),
            kind: Kind::Server,
            name,
            began: self.nanos(self.began),
            ended: self.nanos(Instant::now()),
            attributes,
            outcome: if failed { Outcome::Failed } else { Outcome::Unset },
        });
    }
}

impl Call {
    /// The exchange is over, however it went. What failed after the answer's head is the request's failure too.
    pub fn end(self, method: &Method, end: &CallEnd<'_>) {
        let request = &self.request;
        let method = span::method(method);
        let mut attributes = vec![("http.request.method", text(method))];
        if let Some(url) = end.upstream.and_then(|upstream| url::Url::parse(upstream).ok()) {
            attributes.push(("url.scheme", text(url.scheme())));
            let address = url.host_str().unwrap_or_else(|| url.path());
            attributes.push(("server.address", text(address)));
            attributes.extend(url.port_or_known_default().map(|port| ("server.port", Value::Number(port.into()))));
        }
        attributes.extend(end.status.map(|status| ("http.response.status_code", Value::Number(status.into()))));
        let failed = end.failure.is_some() || end.status.is_none_or(|status| status >= 400);
        if failed {
            attributes.push(("error.type", error_type(end.failure, end.status)));
        }
        request.tracer.hand_over(Span {
            trace: request.trace(),
            id: request.call,
            parent: Some(request.id),
            kind: Kind::Client,
            name: method.to_owned(),
            began: request.nanos(self.began),
            ended: request.nanos(Instant::now()),
            attributes,
            outcome: if failed { Outcome::Failed } else { Outcome::Unset },
        });
    }
}

fn text(value: impl ToString) -> Value {
    Value::Text(value.to_string())
}

/// A reason code, or what the status says; else nobody was there any more.
fn error_type(reason: Option<&'static str>, status: Option<u16>) -> Value {
    reason.map(text).or_else(|| status.map(text)).unwrap_or_else(|| text("client_left"))
}

const fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    }
}

/// Spans that wait to be sent. Of some 600 bytes each.
const QUEUE: usize = 4_096;
