//! TLS towards upstreams: verified by the name that the route gives, never by what a client says, and never skipped.

use std::sync::Arc;

use kernel::route::Upstream;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use rustls_platform_verifier::Verifier;
use tokio_rustls::TlsConnector;

use super::settings::{Protocol, Tls, WaySettings};

/// How one upstream is spoken to over TLS.
pub enum ClientTls {
    /// It is not.
    None,
    /// Or why this machine cannot verify it: told when it is asked, because the gateway's other upstreams work all the same.
    Broken(String),
    Ready(Box<Ready>),
}

pub struct Ready {
    pub name: ServerName<'static>,
    /// Offers the route's protocol.
    pub offering: TlsConnector,
    /// Offers HTTP/1.1 alone, for WebSockets that the upstream does not take over HTTP/2.
    pub http1: TlsConnector,
}

impl ClientTls {
    pub fn new(upstream: &Upstream, way: &WaySettings) -> Self {
        let host = match upstream {
            Upstream::Https(endpoint) => &endpoint.host,
            Upstream::Http(_) | Upstream::Unix(_) => return Self::None,
        };
        let name = way.tls.name.as_ref().unwrap_or(host);
        match ready(name, way.protocol, &way.tls) {
            Ok(ready) => Self::Ready(Box::new(ready)),
            Err(fault) => Self::Broken(fault),
        }
    }
}

fn ready(name: &str, protocol: Protocol, tls: &Tls) -> Result<Ready, String> {
    let name = ServerName::try_from(name.to_owned()).map_err(|fault| fault.to_string())?;
    let mut config = client_config(tls).map_err(|fault| fault.to_string())?;
    config.alpn_protocols = vec![HTTP1.to_vec()];
    let http1 = TlsConnector::from(Arc::new(config.clone()));
    config.alpn_protocols = match protocol {
        Protocol::Http1 => return Ok(Ready { name, offering: http1.clone(), http1 }),
        Protocol::Http2 => vec![HTTP2.to_vec()],
        Protocol::Auto => vec![HTTP2.to_vec(), HTTP1.to_vec()],
    };
    Ok(Ready { name, offering: TlsConnector::from(Arc::new(config)), http1 })
}

fn client_config(tls: &Tls) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Verifier::new_with_extra_roots(tls.roots.iter().cloned(), Arc::clone(&provider))?;
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    // Called dangerous because the verifier can be anything. This one is the platform's, with more roots.
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    match &tls.certificate {
        None => Ok(builder.with_no_client_auth()),
        Some(certificate) => builder.with_client_auth_cert(certificate.chain.clone(), certificate.key.clone_key()),
    }
}

pub const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";
