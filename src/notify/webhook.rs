//! One HTTPS address that takes findings. TLS is verified, always; nothing is followed, little is read, all is bounded in time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::CertificateDer;
use rustls_platform_verifier::Verifier;
use thiserror::Error;
use zeroize::Zeroizing;

/// A receiver, as configured.
#[derive(Clone)]
pub struct Target {
    /// `https://`.
    pub url: String,
    /// Sent as a bearer token.
    pub token: Option<Zeroizing<String>>,
    /// Authorities that may vouch for the receiver, beside those of the machine.
    pub roots: Vec<CertificateDer<'static>>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Our side of it.
#[derive(Debug)]
pub struct Webhook {
    uri: Uri,
    authorization: Option<HeaderValue>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// The receiver cannot be used as it is configured.
#[derive(Debug, Error)]
pub enum TargetFault {
    #[error("notify.webhook: {0:?} is not an https address")]
    Address(String),
    #[error("notify.webhook: the token cannot stand in a header")]
    Token,
    #[error("notify.webhook: no authority can vouch for it: {0}")]
    Roots(rustls::Error),
}

/// A message was not taken.
#[derive(Debug, Error)]
pub enum PostFault {
    #[error("the receiver answered {0}")]
    Status(StatusCode),
    #[error("the receiver could not be reached: {0}")]
    Unreachable(hyper_util::client::legacy::Error),
    #[error("the receiver did not answer within {0:?}")]
    TimedOut(Duration),
}

impl Webhook {
    pub fn new(target: &Target) -> Result<Self, TargetFault> {
        let uri: Uri = target.url.parse().map_err(|_| TargetFault::Address(target.url.clone()))?;
        if uri.scheme_str() != Some("https") || uri.host().is_none_or(str::is_empty) {
            return Err(TargetFault::Address(target.url.clone()));
        }
        let bearer = |token: &Zeroizing<String>| {
            let text = Zeroizing::new(format!("Bearer {}", token.as_str()));
            let mut value = HeaderValue::from_str(&text).map_err(|_| TargetFault::Token)?;
            value.set_sensitive(true);
            Ok(value)
        };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Verifier::new_with_extra_roots(target.roots.iter().cloned(), Arc::clone(&provider)).map_err(TargetFault::Roots)?;
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TargetFault::Roots)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1().build();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(1)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .build(connector);
        Ok(Self { uri, authorization: target.token.as_ref().map(bearer).transpose()?, client })
    }

    /// Posts one message. Taken means 2xx; the answer's body is not read.
    pub async fn post(&self, text: &str) -> Result<(), PostFault> {
        let mut request = Request::new(Full::from(text.to_owned()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(value) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, value.clone());
        }
        let answered = tokio::time::timeout(DEADLINE, self.client.request(request)).await;
        let response = answered.map_err(|_| PostFault::TimedOut(DEADLINE))?.map_err(PostFault::Unreachable)?;
        if response.status().is_success() { Ok(()) } else { Err(PostFault::Status(response.status())) }
    }
}

/// For one try, connecting included.
const DEADLINE: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(30);
const HEAD_BYTES_MAX: usize = 65_536;
