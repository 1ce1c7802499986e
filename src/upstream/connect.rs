//! From an upstream's name to a connection: resolution, TCP, TLS.
//!
//! TLS is verified by the name that the route gives, never by what a client says, and there is no way to skip it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kernel::route::{Scheme, Upstream};
use rustls::ClientConfig;
use rustls_pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::Verifier;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::address::{self, AddressFault};
use super::stream::{Allowance, Stream, Transport};

/// Makes connections.
pub struct Connector {
    /// Or why this machine cannot verify anybody. Upstreams without TLS work all the same.
    tls: Result<TlsConnector, String>,
    own_listeners: Vec<SocketAddr>,
    timeout: Duration,
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum ConnectFault {
    #[error("no connection within {0:?}")]
    TimedOut(Duration),
    #[error("the name does not resolve: {0}")]
    Resolve(std::io::Error),
    #[error("the name resolves to nothing")]
    NoAddress,
    #[error("the address is refused: {0}")]
    Address(#[from] AddressFault),
    #[error("{0}")]
    Tcp(std::io::Error),
    #[error("TLS: {0}")]
    Tls(String),
}

impl Connector {
    pub fn new(extra_roots: &[CertificateDer<'static>], own_listeners: Vec<SocketAddr>, timeout: Duration) -> Self {
        let tls = client_config(extra_roots).map(|config| TlsConnector::from(Arc::new(config))).map_err(|fault| fault.to_string());
        Self { tls, own_listeners, timeout }
    }

    /// Connects, within the connect timeout as a whole.
    pub async fn connect(&self, upstream: &Upstream) -> Result<Stream, ConnectFault> {
        let made = timeout(self.timeout, self.make(upstream)).await;
        let transport = made.map_err(|_| ConnectFault::TimedOut(self.timeout))??;
        Ok(Stream { transport, allowance: Arc::new(Allowance::new()) })
    }

    async fn make(&self, upstream: &Upstream) -> Result<Transport, ConnectFault> {
        let stream = self.reach(upstream).await?;
        // Requests are written whole; waiting for more to send only delays them.
        stream.set_nodelay(true).map_err(ConnectFault::Tcp)?;
        match upstream.scheme {
            Scheme::Http => Ok(Transport::Plain(stream)),
            Scheme::Https => {
                let connector = self.tls.as_ref().map_err(|fault| ConnectFault::Tls(fault.clone()))?;
                let name = ServerName::try_from(upstream.host.to_string()).map_err(|fault| ConnectFault::Tls(fault.to_string()))?;
                let stream = connector.connect(name, stream).await.map_err(|fault| ConnectFault::Tls(fault.to_string()))?;
                Ok(Transport::Tls(Box::new(stream)))
            }
        }
    }

    /// Tries the addresses of a name in turn, each with its share of the time that is left.
    async fn reach(&self, upstream: &Upstream) -> Result<TcpStream, ConnectFault> {
        let deadline = Instant::now() + self.timeout;
        let resolved = tokio::net::lookup_host((&*upstream.host, upstream.port)).await.map_err(ConnectFault::Resolve)?;
        let addresses: Vec<SocketAddr> = resolved.take(ADDRESSES_MAX).collect();
        let mut fault = ConnectFault::NoAddress;
        let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
        for address in addresses {
            let share = deadline.saturating_duration_since(Instant::now()) / left.max(1);
            left = left.saturating_sub(1);
            match self.reach_address(address, Instant::now() + share).await {
                Ok(stream) => return Ok(stream),
                Err(failed) => fault = failed,
            }
        }
        Err(fault)
    }

    async fn reach_address(&self, address: SocketAddr, deadline: Instant) -> Result<TcpStream, ConnectFault> {
        address::check(address, &self.own_listeners)?;
        let connected = timeout_at(deadline, TcpStream::connect(address)).await;
        let stream = connected.map_err(|_| ConnectFault::TimedOut(self.timeout))?.map_err(ConnectFault::Tcp)?;
        let local = stream.local_addr().map_err(ConnectFault::Tcp)?;
        address::check_connected(local, address, &self.own_listeners)?;
        Ok(stream)
    }
}

fn client_config(extra_roots: &[CertificateDer<'static>]) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Verifier::new_with_extra_roots(extra_roots.iter().cloned(), Arc::clone(&provider))?;
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    // Called dangerous because the verifier can be anything. This one is the platform's, with more roots.
    let mut config = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Addresses of one name that are tried. A name with more is served by the first ones.
const ADDRESSES_MAX: usize = 4;
