//! Sends spans in batches: OTLP over HTTP in JSON. TLS is verified, always; nothing is followed, little is read, all is bounded in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls_pki_types::ServerName;
use serde::Deserialize;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::Tracer;
use super::span::{Span, request};
use crate::config::TraceReceiver;

/// Our side of the connections to the receiver.
#[derive(Debug)]
pub struct Exporter {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: Uri,
    headers: HeaderMap,
    failing: AtomicBool,
}

/// The receiver cannot be used as it is configured.
#[derive(Debug, Error)]
pub enum ExporterFault {
    #[error("traces.endpoint: the address is none")]
    Address,
    #[error("traces.token cannot stand in a header")]
    Token,
    #[error("traces: TLS: {0}")]
    Tls(String),
}

/// A batch was not taken.
#[derive(Debug, Error)]
enum PostFault {
    #[error("the receiver answered {0}")]
    Status(StatusCode),
    #[error("the receiver could not be reached: {0}")]
    Unreachable(hyper_util::client::legacy::Error),
    #[error("the receiver's answer broke off, or is too long")]
    Answer,
    #[error("the receiver did not answer within {0:?}")]
    TimedOut(Duration),
}

impl PostFault {
    /// What the specification of OTLP has sent again.
    fn may_pass(&self) -> bool {
        match self {
            Self::Status(status) => matches!(status.as_u16(), 429 | 502 | 503 | 504),
            Self::Unreachable(_) | Self::TimedOut(_) => true,
            Self::Answer => false,
        }
    }
}

impl Exporter {
    pub fn new(receiver: &TraceReceiver) -> Result<Self, ExporterFault> {
        let address = format!("{}/v1/traces", receiver.endpoint.as_str().trim_end_matches('/'));
        let client = receiver.tls.client();
        let builder = HttpsConnectorBuilder::new().with_tls_config(client.map_err(|fault| ExporterFault::Tls(fault.to_string()))?);
        // Plain http is taken for loopback alone, when the configuration is read.
        let builder = if receiver.endpoint.scheme() == "https" { builder.https_only() } else { builder.https_or_http() };
        let name = ServerName::try_from(receiver.tls.server_name.to_string()).map_err(|fault| ExporterFault::Tls(fault.to_string()))?;
        let builder = builder.with_server_name_resolver(FixedServerNameResolver::new(name));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(1)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .build(builder.enable_http1().build());
        let uri = address.parse().map_err(|_| ExporterFault::Address)?;
        Ok(Self { client, uri, headers: headers(receiver)?, failing: AtomicBool::new(false) })
    }

    /// Posts one batch; how many of it the receiver refused.
    async fn post(&self, body: Bytes) -> Result<u64, PostFault> {
        let mut request = Request::new(Full::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let exchange = async {
            let response = self.client.request(request).await.map_err(PostFault::Unreachable)?;
            if !response.status().is_success() {
                return Err(PostFault::Status(response.status()));
            }
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(|_| PostFault::Answer)?;
            let answer: Answer = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
            Ok(answer.partial.map_or(0, |partial| partial.rejected()))
        };
        timeout(DEADLINE, exchange).await.map_err(|_| PostFault::TimedOut(DEADLINE))?
    }

    /// Told when it begins and when it ends, not for each batch.
    fn tell(&self, outcome: Result<(), &PostFault>) {
        let failed = outcome.is_err();
        if self.failing.swap(failed, Ordering::AcqRel) == failed {
            return;
        }
        match outcome {
            Ok(()) => tracing::info!("spans are taken again"),
            Err(fault) => tracing::warn!(error = %fault, "spans are not taken, and dropped until they are"),
        }
    }
}

/// Sends what is handed over, until the tracer is stopped.
pub(super) async fn run(tracer: Arc<Tracer>, mut waiting: mpsc::Receiver<Span>, host: String) {
    loop {
        let mut batch = Vec::new();
        let open = tracer.closing.run_until_cancelled(waiting.recv_many(&mut batch, BATCH)).await.is_some();
        let deadline = Instant::now() + EVERY;
        while open && batch.len() < BATCH {
            let more = waiting.recv_many(&mut batch, BATCH);
            match timeout_at(deadline, tracer.closing.run_until_cancelled(more)).await {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
        if !open {
            waiting.close();
            while let Some(span) = waiting.recv().await {
                batch.push(span);
            }
        }
        for spans in batch.chunks(BATCH) {
            ship(&tracer, spans, &host).await;
        }
        if !open {
            return;
        }
    }
}

async fn ship(tracer: &Tracer, spans: &[Span], host: &str) {
    let count = u64::try_from(spans.len()).unwrap_or(u64::MAX);
    let Some(exporter) = tracer.exporter.load_full() else {
        tracer.figures.dropped.inc_by(count);
        return;
    };
    let body = Bytes::from(request(spans, host));
    for pause in PAUSES {
        if !pause.is_zero() && tracer.closing.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            break;
        }
        match exporter.post(body.clone()).await {
            Ok(refused) => {
                let refused = refused.min(count);
                tracer.figures.exported.inc_by(count - refused);
                tracer.figures.dropped.inc_by(refused);
                exporter.tell(Ok(()));
                return;
            }
            Err(fault) => {
                exporter.tell(Err(&fault));
                if !fault.may_pass() {
                    break;
                }
            }
        }
    }
    tracer.figures.dropped.inc_by(count);
}

fn headers(receiver: &TraceReceiver) -> Result<HeaderMap, ExporterFault> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("portcullis/", env!("CARGO_PKG_VERSION"))));
    let Some(token) = &receiver.token else { return Ok(headers) };
    let (name, value) = match &receiver.token_header {
        None => (AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {}", token.expose()))),
        Some(name) => (HeaderName::try_from(&**name).map_err(|_| ExporterFault::Token)?, HeaderValue::from_str(token.expose())),
    };
    let mut value = value.map_err(|_| ExporterFault::Token)?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(headers)
}

#[derive(Default, Deserialize)]
struct Answer {
    #[serde(rename = "partialSuccess", default)]
    partial: Option<Partial>,
}

#[derive(Deserialize)]
struct Partial {
    /// A number, or a text that holds one: protobuf's JSON writes 64 bits as text.
    #[serde(rename = "rejectedSpans", default)]
    rejected: serde_json::Value,
}

impl Partial {
    fn rejected(&self) -> u64 {
        self.rejected.as_u64().or_else(|| self.rejected.as_str()?.parse().ok()).unwrap_or_default()
    }
}

/// Spans in a batch.
const BATCH: usize = 512;
/// How long a batch is waited for to fill.
const EVERY: Duration = Duration::from_secs(1);
/// Before each try. Meanwhile others wait in the queue, and are dropped where it is full.
const PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(4)];
/// For one try, connecting included.
const DEADLINE: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(30);
const HEAD_BYTES_MAX: usize = 65_536;
const ANSWER_BYTES_MAX: usize = 65_536;
