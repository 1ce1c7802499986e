//! A collector over HTTPS that speaks as Splunk's HEC, Elasticsearch's `_bulk`, an OTLP receiver and a taker of JSON lines do, as
//! far as their documents say, and fails as it is told.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    None,
    /// 500 to everything.
    Broken,
    /// 307 to everything.
    Redirect,
    /// No answer, ever.
    Silent,
    /// An answer without end.
    Endless,
    /// Of every batch, two thirds are refused for now (429).
    Partial,
    /// Events are taken, and never acknowledged.
    Unacknowledged,
    /// The token may not acknowledge.
    NoAcks,
}

pub struct Collector {
    pub url: String,
    state: Arc<State>,
    stop: CancellationToken,
}

struct State {
    trouble: Mutex<Trouble>,
    /// Event texts in the order in which they were taken.
    events: Mutex<Vec<String>>,
    /// Documents by id, as an index has them.
    documents: Mutex<BTreeMap<String, Value>>,
    requests: Mutex<Vec<(String, String)>>,
    /// How the body of every request was packed: nothing where it was not.
    encodings: Mutex<Vec<String>>,
    acks: Mutex<u64>,
}

impl Collector {
    pub async fn start(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let state = Arc::new(State {
            trouble: Mutex::new(Trouble::None),
            events: Mutex::default(),
            documents: Mutex::default(),
            requests: Mutex::default(),
            encodings: Mutex::default(),
            acks: Mutex::default(),
        });
        let (stop, shared) = (CancellationToken::new(), Arc::clone(&state));
        tokio::spawn(serve(listener, tls.map(TlsAcceptor::from), shared, stop.clone()));
        Self { url: format!("{scheme}://{address}"), state, stop }
    }

    pub fn trouble(&self, trouble: Trouble) {
        *self.state.trouble.lock().unwrap() = trouble;
    }

    pub fn events(&self) -> Vec<String> {
        self.state.events.lock().unwrap().clone()
    }

    pub fn documents(&self) -> BTreeMap<String, Value> {
        self.state.documents.lock().unwrap().clone()
    }

    pub fn encodings(&self) -> Vec<String> {
        self.state.encodings.lock().unwrap().clone()
    }

    /// Path and authorization of every request.
    pub fn requests(&self) -> Vec<(String, String)> {
        self.state.requests.lock().unwrap().clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, state: Arc<State>, stop: CancellationToken) {
    while let Some(Ok((stream, _))) = stop.run_until_cancelled(listener.accept()).await {
        let (tls, state, stop) = (tls.clone(), Arc::clone(&state), stop.clone());
        tokio::spawn(async move {
            let talk = async {
                let service = service_fn(|request| answer(Arc::clone(&state), request));
                let builder = hyper::server::conn::http1::Builder::new();
                match tls {
                    None => drop(builder.serve_connection(TokioIo::new(stream), service).await),
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            drop(builder.serve_connection(TokioIo::new(stream), service).await);
                        }
                    }
                }
            };
            stop.run_until_cancelled(talk).await;
        });
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    let encoding = header("content-encoding");
    let (path, authorization, channel) = (request.uri().path().to_owned(), header("authorization"), header("x-splunk-request-channel"));
    state.requests.lock().unwrap().push((path.clone(), authorization.clone()));
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let body = if encoding == "gzip" { unpack(&body) } else { String::from_utf8(body.to_vec()).unwrap() };
    state.encodings.lock().unwrap().push(encoding);
    let trouble = *state.trouble.lock().unwrap();
    match trouble {
        Trouble::Broken => return reply(StatusCode::INTERNAL_SERVER_ERROR, "out of \u{1b}[31mspace"),
        Trouble::Redirect => {
            let mut response = reply(StatusCode::TEMPORARY_REDIRECT, "")?;
            response.headers_mut().insert("location", "/elsewhere".parse().unwrap());
            return Ok(response);
        }
        Trouble::Silent => std::future::pending().await,
        Trouble::Endless => return reply(StatusCode::OK, "x".repeat(20_000_000)),
        Trouble::None | Trouble::Partial | Trouble::Unacknowledged | Trouble::NoAcks => {}
    }
    match path.as_str() {
        "/services/collector/event" if authorization != "Splunk t0ken" => reply(StatusCode::FORBIDDEN, json!({ "code": 4 }).to_string()),
        "/services/collector/event" => {
            assert_eq!(channel.len(), 36, "a channel is a GUID");
            let events = serde_json::Deserializer::from_str(&body).into_iter::<Value>().map(Result::unwrap);
            state.events.lock().unwrap().extend(events.map(|event| event["event"].to_string()));
            let mut acks = state.acks.lock().unwrap();
            *acks += 1;
            let answer = json!({ "text": "Success", "code": 0, "ackId": *acks });
            let answer = if trouble == Trouble::NoAcks { json!({ "text": "Success", "code": 0 }) } else { answer };
            reply(StatusCode::OK, answer.to_string())
        }
        "/services/collector/ack" => {
            let asked: Value = serde_json::from_str(&body).unwrap();
            let ids = asked["acks"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap());
            let acks: BTreeMap<String, bool> = ids.map(|id| (id.to_string(), trouble != Trouble::Unacknowledged)).collect();
            reply(StatusCode::OK, json!({ "acks": acks }).to_string())
        }
        "/_bulk" => bulk(&state, &body, trouble),
        "/v1/logs" => {
            let request: Value = serde_json::from_str(&body).unwrap();
            let records = request["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap().clone();
            let rejected = if trouble == Trouble::Partial { 1 } else { 0 };
            state.events.lock().unwrap().extend(records.iter().map(|record| record["body"]["stringValue"].as_str().unwrap().to_owned()));
            reply(
                StatusCode::OK,
                json!({ "partialSuccess": { "rejectedLogRecords": rejected.to_string(), "errorMessage": "no" } }).to_string(),
            )
        }
        "/lines" => {
            state.events.lock().unwrap().extend(body.lines().map(str::to_owned));
            reply(StatusCode::OK, "")
        }
        _ => reply(StatusCode::NOT_FOUND, ""),
    }
}

/// Written by one gzip, read by another: a whole member, and nothing behind it.
fn unpack(body: &[u8]) -> String {
    let mut gunzip = Command::new("gzip").arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut input, body) = (gunzip.stdin.take().unwrap(), body.to_vec());
    let feeder = std::thread::spawn(move || input.write_all(&body));
    let output = gunzip.wait_with_output().unwrap();
    feeder.join().unwrap().unwrap();
    assert!(output.status.success(), "gzip takes it");
    String::from_utf8(output.stdout).unwrap()
}

fn bulk(state: &State, body: &str, trouble: Trouble) -> Result<Response<Full<Bytes>>, Infallible> {
    let lines: Vec<&str> = body.lines().collect();
    let mut documents = state.documents.lock().unwrap();
    let mut outcome = |number: usize, pair: &[&str]| {
        let action: Value = serde_json::from_str(pair[0]).unwrap();
        let document: Value = serde_json::from_str(pair[1]).unwrap();
        assert!(document["@timestamp"].is_string(), "a data stream wants a time");
        let id = action["create"]["_id"].as_str().unwrap().to_owned();
        if trouble == Trouble::Partial && !number.is_multiple_of(3) {
            return json!({ "create": { "status": 429, "error": { "type": "es_rejected_execution_exception", "reason": "full" } } });
        }
        if documents.contains_key(&id) {
            return json!({ "create": { "status": 409, "error": { "type": "version_conflict_engine_exception" } } });
        }
        state.events.lock().unwrap().push(pair[1].to_owned());
        documents.insert(id, document);
        json!({ "create": { "status": 201 } })
    };
    let items: Vec<Value> = lines.chunks(2).enumerate().map(|(number, pair)| outcome(number, pair)).collect();
    reply(StatusCode::OK, json!({ "errors": true, "items": items }).to_string())
}

fn reply(status: StatusCode, body: impl Into<Bytes>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    Ok(response)
}
