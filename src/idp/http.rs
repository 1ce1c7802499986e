//! Calls to the IdP: bounded in time and size, no redirects, no content encoding.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use rustls_platform_verifier::Verifier;
use url::Url;
use zeroize::Zeroizing;

use super::fault::{CallFault, SettingsFault};
use super::json::{self, Object};

/// Bounds of one call to the IdP.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the first byte sent, connecting included, to the last byte received.
    pub deadline: Duration,
    pub body_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(5), body_bytes_max: 1_048_576 }
    }
}

/// Our side of the connections to one IdP.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    limits: Limits,
}

/// An answer, whole.
pub struct Reply {
    pub status: StatusCode,
    pub content_type: Option<String>,
    body: Zeroizing<Vec<u8>>,
}

/// Which authorities may vouch for the IdP's certificate.
pub enum Roots<'a> {
    /// None: the issuer is plain http on loopback, and so are its endpoints.
    Nobody,
    /// Those of the machine, and those of a PEM file.
    Machine { extra: Option<&'a [u8]> },
}

impl Http {
    pub fn new(roots: &Roots<'_>, limits: Limits) -> Result<Self, SettingsFault> {
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls_config(roots)?).https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(4)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .build(connector);
        Ok(Self { client, limits })
    }

    pub const fn limits(&self) -> Limits {
        self.limits
    }

    /// A GET; `bearer` is an access token.
    pub async fn get(&self, url: &Url, bearer: Option<&str>) -> Result<Reply, CallFault> {
        let mut request = Request::new(Full::default());
        if let Some(token) = bearer {
            request.headers_mut().insert(AUTHORIZATION, secret_header(&format!("Bearer {token}"))?);
        }
        self.call(url, request).await
    }

    /// A POST of an encoded form.
    pub async fn post_form(&self, url: &Url, form: String, authorization: Option<&str>) -> Result<Reply, CallFault> {
        let mut request = Request::new(Full::from(form));
        *request.method_mut() = Method::POST;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        if let Some(value) = authorization {
            request.headers_mut().insert(AUTHORIZATION, secret_header(value)?);
        }
        self.call(url, request).await
    }

    async fn call(&self, url: &Url, mut request: Request<Full<Bytes>>) -> Result<Reply, CallFault> {
        *request.uri_mut() = url.as_str().parse().map_err(|_| CallFault::Unreachable("not an address".to_owned()))?;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| CallFault::Unreachable(chain(&error)))?;
            self.gather(response).await
        };
        tokio::time::timeout(self.limits.deadline, exchange).await.map_err(|_| CallFault::TimedOut(self.limits.deadline))?
    }

    async fn gather(&self, response: http::Response<Incoming>) -> Result<Reply, CallFault> {
        let (head, mut incoming) = response.into_parts();
        if head.headers.get_all(CONTENT_ENCODING).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(CallFault::Encoded);
        }
        // A redirect could lead the client's secret anywhere.
        if head.status.is_redirection() || head.headers.contains_key(LOCATION) {
            return Err(CallFault::Status(head.status));
        }
        let mut body = Zeroizing::new(Vec::new());
        // Counted here, frame by frame, because a stated length proves nothing.
        while let Some(frame) = incoming.frame().await {
            let Ok(data) = frame.map_err(|error| CallFault::Unreachable(chain(&error)))?.into_data() else { continue };
            if body.len().saturating_add(data.len()) > self.limits.body_bytes_max {
                return Err(CallFault::TooLarge(self.limits.body_bytes_max));
            }
            body.extend_from_slice(&data);
        }
        let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(media_type);
        Ok(Reply { status: head.status, content_type, body })
    }
}

impl Reply {
    /// The JSON object of a 200.
    pub fn object(&self) -> Result<Object, CallFault> {
        if self.status == StatusCode::OK { self.any_object() } else { Err(CallFault::Status(self.status)) }
    }

    /// The JSON object, whatever the status.
    pub fn any_object(&self) -> Result<Object, CallFault> {
        json::object(&self.body).ok_or(CallFault::NotJson)
    }
}

fn tls_config(roots: &Roots<'_>) -> Result<ClientConfig, SettingsFault> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let failed = |error: rustls::Error| SettingsFault::Roots(error.to_string());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().map_err(failed)?;
    match roots {
        Roots::Nobody => Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()),
        Roots::Machine { extra } => {
            let verifier = verifier(*extra, provider)?;
            Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
        }
    }
}

fn verifier(extra: Option<&[u8]>, provider: Arc<CryptoProvider>) -> Result<Verifier, SettingsFault> {
    let Some(pem) = extra else { return Verifier::new(provider).map_err(|error| SettingsFault::Roots(error.to_string())) };
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| SettingsFault::Ca(error.to_string()))?;
    if certificates.is_empty() {
        return Err(SettingsFault::Ca("it is empty".to_owned()));
    }
    Verifier::new_with_extra_roots(certificates, provider).map_err(|error| SettingsFault::Ca(error.to_string()))
}

fn secret_header(value: &str) -> Result<HeaderValue, CallFault> {
    let mut header =
        HeaderValue::from_str(value).map_err(|_| CallFault::Unreachable("a credential cannot stand in a header".to_owned()))?;
    header.set_sensitive(true);
    Ok(header)
}

fn media_type(value: &str) -> String {
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
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

/// Room for the head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 65_536;
