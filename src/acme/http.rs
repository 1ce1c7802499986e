//! Our side of the connections to an authority: https alone, verified, nothing followed, bounded in time and size.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::CertificateDer;
use rustls_platform_verifier::Verifier;

/// The gateway's HTTP client, as the ACME crate asks for one.
#[derive(Debug)]
pub struct Http(Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>);

impl Http {
    /// `roots` may vouch for the authority beside those of the machine.
    pub fn new(roots: &[CertificateDer<'static>]) -> Result<Self, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Verifier::new_with_extra_roots(roots.iter().cloned(), Arc::clone(&provider))?;
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1().build();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(4)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .build(connector);
        Ok(Self(client))
    }
}

impl HttpClient for Http {
    fn request(&self, request: Request<BodyWrapper<Bytes>>) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let sent = self.0.request(request);
        let exchange = async move {
            let (parts, body) = sent.await.map_err(|error| Error::Other(Box::new(error)))?.into_parts();
            // Counted part by part, because a stated length proves nothing.
            let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(Error::Other)?.to_bytes();
            Ok(BytesResponse { parts, body: Box::new(body) })
        };
        Box::pin(async move {
            tokio::time::timeout(DEADLINE, exchange).await.unwrap_or(Err(Error::Str("an answer of the authority within 30 seconds")))
        })
    }
}

/// For one request, connecting included.
const DEADLINE: Duration = Duration::from_secs(30);
const IDLE: Duration = Duration::from_secs(30);
const HEAD_BYTES_MAX: usize = 65_536;
/// A chain of certificates has a few KiB.
const BODY_BYTES_MAX: usize = 1_048_576;
