//! Tells the gateway that a session ended (OpenID Connect Back-Channel Logout §2.5). One call each, no retry: the gateway runs in
//! the same process.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::demo::Error;

/// Calls one address of the gateway, which it finds on loopback and recognises by the demo's certificate authority.
#[derive(Clone)]
pub struct Caller {
    host: String,
    port: u16,
    tls: TlsConnector,
}

impl Caller {
    /// Calls `https://host:port/.portcullis/backchannel-logout`.
    pub fn new(host: &str, port: u16, authority: CertificateDer<'static>) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        roots.add(authority)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { host: host.to_owned(), port, tls: TlsConnector::from(Arc::new(tls)) })
    }

    /// Delivers a logout token. Says why not in the log: the person is signed out here in any case.
    pub(super) async fn deliver(&self, token: &str) {
        match tokio::time::timeout(CALL_TIME_MAX, self.post(token)).await {
            Ok(Ok(status)) if status.is_success() => {}
            Ok(Ok(status)) => tracing::warn!(status = status.as_u16(), "the gateway refused a logout token"),
            Ok(Err(error)) => tracing::warn!(%error, "the gateway could not be told of a logout"),
            Err(_) => tracing::warn!("the gateway did not answer a logout token in time"),
        }
    }

    async fn post(&self, token: &str) -> Result<StatusCode, CallFault> {
        // The name of the gateway is not asked for: not every system resolves names under `localhost`.
        let stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))).await?;
        let stream = self.tls.connect(ServerName::try_from(self.host.clone())?, stream).await?;
        let (mut sender, connection) = http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await?;
        let form: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("logout_token", token).finish();
        let request = Request::post("/.portcullis/backchannel-logout")
            .header(HOST, format!("{}:{}", self.host, self.port))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::from(form))?;
        // The connection does the work while the exchange waits for it, and ends when the sender is gone.
        let exchange = async move { sender.send_request(request).await.map(|response| response.status()) };
        let (status, _) = tokio::join!(exchange, connection);
        Ok(status?)
    }
}

/// Why the gateway could not be told.
#[derive(Debug, thiserror::Error)]
enum CallFault {
    #[error("no connection: {0}")]
    Connection(#[from] std::io::Error),
    #[error("the gateway's name is malformed: {0}")]
    Name(#[from] rustls_pki_types::InvalidDnsNameError),
    #[error("the request could not be written: {0}")]
    Request(#[from] http::Error),
    #[error("the exchange broke off: {0}")]
    Exchange(#[from] hyper::Error),
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Caller({}:{})", self.host, self.port)
    }
}

const CALL_TIME_MAX: Duration = Duration::from_secs(5);
