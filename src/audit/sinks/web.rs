//! Calls to receivers that speak HTTP: bounded in time and size, no redirects, no packed answers, TLS verified.

use std::io::{self, Write};
use std::time::Duration;

use bytes::Bytes;
use flate2::write::GzEncoder;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

use crate::config::{Compression, Endpoint};

use super::fault::SinkFault;
use super::tls;

/// Our side of the connections to one receiver.
#[derive(Debug)]
pub struct Web {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    headers: HeaderMap,
    compression: Compression,
    timeout: Duration,
}

/// An answer, whole.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub body: Vec<u8>,
}

impl Web {
    /// `scheme` is the word before the token in the authorization header.
    pub fn new(endpoint: &Endpoint, scheme: &str, timeout: Duration) -> Result<Self, SinkFault> {
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls::client_config(&endpoint.tls)?);
        // Plain http is taken for loopback alone, when the configuration is read.
        let builder = if endpoint.url.scheme() == "https" { builder.https_only() } else { builder.https_or_http() };
        let builder = builder.with_server_name_resolver(FixedServerNameResolver::new(tls::server_name(&endpoint.tls)?));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(2)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .build(builder.enable_http1().build());
        Ok(Self {
            client,
            base: endpoint.url.as_str().trim_end_matches('/').to_owned(),
            headers: headers(endpoint, scheme)?,
            compression: endpoint.compression,
            timeout,
        })
    }

    /// Posts a batch of records, packed where the receiver takes that. Says how many bytes of it went out.
    pub async fn ship(&self, path: &str, kind: &'static str, mut more: HeaderMap, body: Vec<u8>) -> Result<(Reply, u64), SinkFault> {
        let body = match self.compression {
            Compression::None => body,
            Compression::Gzip => {
                more.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                gzip(&body).map_err(|fault| SinkFault::Broken(fault.to_string()))?
            }
        };
        let bytes = body.len() as u64;
        Ok((self.post(path, kind, more, body).await?, bytes))
    }

    /// Posts to the endpoint's address with `path` behind it.
    pub async fn post(&self, path: &str, kind: &'static str, more: HeaderMap, body: Vec<u8>) -> Result<Reply, SinkFault> {
        let uri: Uri = format!("{}{path}", self.base).parse().map_err(|_| SinkFault::Connect("the address is none".to_owned()))?;
        let mut request = Request::new(Full::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().extend(more);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| SinkFault::Connect(chain(&error)))?;
            gather(response).await
        };
        timeout(self.timeout, exchange).await.map_err(|_| SinkFault::TimedOut("the receiver", self.timeout))?
    }
}

impl Reply {
    /// The answer, if it is one of success.
    pub fn good(self) -> Result<Self, SinkFault> {
        // A redirect is none: followed, it could take the records and the token anywhere.
        if self.status.is_success() { Ok(self) } else { Err(SinkFault::refused(&self.body, self.status)) }
    }
}

/// Runs in the sink's own thread, where nobody else waits. No secret stands in records, so that a length that tells what repeats
/// tells nothing that is one; the token is in a header, which is not packed.
fn gzip(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut packer = GzEncoder::new(Vec::with_capacity(body.len() / 8), LEVEL);
    packer.write_all(body)?;
    packer.finish()
}

async fn gather(response: http::Response<Incoming>) -> Result<Reply, SinkFault> {
    let (head, mut incoming) = response.into_parts();
    let mut body = Vec::new();
    // Counted here, frame by frame, because a stated length proves nothing.
    while let Some(frame) = incoming.frame().await {
        let Ok(data) = frame.map_err(|error| SinkFault::Broken(chain(&error)))?.into_data() else { continue };
        if body.len().saturating_add(data.len()) > BODY_BYTES_MAX {
            return Err(SinkFault::Answer(format!("it is longer than {BODY_BYTES_MAX} bytes")));
        }
        body.extend_from_slice(&data);
    }
    Ok(Reply { status: head.status, body })
}

fn headers(endpoint: &Endpoint, scheme: &str) -> Result<HeaderMap, SinkFault> {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("portcullis/", env!("CARGO_PKG_VERSION"))));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let Some(token) = &endpoint.token else { return Ok(headers) };
    let odd = |_| SinkFault::Connect("the token cannot stand in a header".to_owned());
    let (name, mut value) = match &endpoint.token_header {
        None => (AUTHORIZATION, HeaderValue::from_str(&format!("{scheme} {}", token.expose())).map_err(odd)?),
        Some(name) => {
            let name = HeaderName::try_from(&**name).map_err(|_| SinkFault::Connect(format!("`{name}` is no header")))?;
            (name, HeaderValue::from_str(token.expose()).map_err(odd)?)
        }
    };
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(headers)
}

/// An error and its causes: hyper's own text says only that something failed.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

const HEAD_BYTES_MAX: usize = 65_536;
/// What Elasticsearch answers to a batch of ten thousand, each refused with a reason.
const BODY_BYTES_MAX: usize = 8 * 1_048_576;

/// LEVELNOTE
const LEVEL: flate2::Compression = flate2::Compression::fast();
