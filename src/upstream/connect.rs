//! From an upstream's name to a connection: resolution, TCP or a socket on this machine, TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kernel::Unreachable;
use kernel::request::Upgrade;
use kernel::route::{Endpoint, Upstream};
use thiserror::Error;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout, timeout_at};

use super::address::{self, AddressFault};
use super::backend::Backend;
use super::heads::Heads;
use super::settings::Protocol;
use super::stream::{Allowance, Stream, Transport};
use super::tls::{ClientTls, HTTP2};

/// Makes connections.
pub struct Connector {
    own_listeners: Vec<SocketAddr>,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Requests, in the route's protocol.
    Requests,
    /// A WebSocket, in the route's protocol.
    WebSocket,
    /// A WebSocket to an upstream that takes none over HTTP/2.
    WebSocketOverHttp1,
}

/// The HTTP version that both sides agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    Http1,
    Http2,
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
    Socket(std::io::Error),
    #[error("TLS: {0}")]
    Tls(String),
}

impl Purpose {
    pub const fn of(upgrade: Upgrade) -> Self {
        match upgrade {
            Upgrade::None => Self::Requests,
            Upgrade::WebSocket => Self::WebSocket,
        }
    }
}

impl ConnectFault {
    pub const fn why(&self) -> Unreachable {
        match self {
            Self::TimedOut(_) => Unreachable::TimedOut,
            Self::Resolve(_) | Self::NoAddress => Unreachable::Name,
            Self::Address(_) => Unreachable::AddressRefused,
            Self::Socket(_) => Unreachable::Connection,
            Self::Tls(_) => Unreachable::Tls,
        }
    }
}

impl Connector {
    pub const fn new(own_listeners: Vec<SocketAddr>) -> Self {
        Self { own_listeners }
    }

    /// Connects, within `limit` as a whole.
    pub async fn connect(&self, backend: &Backend, purpose: Purpose, limit: Duration) -> Result<(Stream, Spoken), ConnectFault> {
        let made = timeout(limit, self.make(backend, purpose, limit)).await;
        let (transport, spoken) = made.map_err(|_| ConnectFault::TimedOut(limit))??;
        let heads = (spoken == Spoken::Http2).then(Heads::default);
        Ok((Stream { transport, allowance: Arc::new(Allowance::new()), heads }, spoken))
    }

    async fn make(&self, backend: &Backend, purpose: Purpose, limit: Duration) -> Result<(Transport, Spoken), ConnectFault> {
        let plain = match (backend.protocol, purpose) {
            (Protocol::Http2, Purpose::Requests | Purpose::WebSocket) => Spoken::Http2,
            (Protocol::Http1 | Protocol::Auto, _) | (Protocol::Http2, Purpose::WebSocketOverHttp1) => Spoken::Http1,
        };
        match &backend.upstream {
            Upstream::Unix(path) => {
                let stream = UnixStream::connect(&**path).await.map_err(ConnectFault::Socket)?;
                Ok((Transport::Unix(stream), plain))
            }
            Upstream::Http(endpoint) => Ok((Transport::Plain(self.reach(backend, endpoint, limit).await?), plain)),
            Upstream::Https(endpoint) => {
                let ready = match &backend.tls {
                    ClientTls::Ready(ready) => ready,
                    ClientTls::Broken(fault) => return Err(ConnectFault::Tls(fault.clone())),
                    ClientTls::None => return Err(ConnectFault::Tls("there is no TLS for this upstream".to_owned())),
                };
                let stream = self.reach(backend, endpoint, limit).await?;
                let connector = match purpose {
                    Purpose::Requests | Purpose::WebSocket => &ready.offering,
                    Purpose::WebSocketOverHttp1 => &ready.http1,
                };
                let stream = connector.connect(ready.name.clone(), stream).await.map_err(|fault| ConnectFault::Tls(fault.to_string()))?;
                let chosen = if stream.get_ref().1.alpn_protocol() == Some(HTTP2) { Spoken::Http2 } else { Spoken::Http1 };
                // A server that knows nothing of ALPN would get HTTP/2 that it does not understand, or HTTP/1.1 against the route.
                if chosen == Spoken::Http1 && plain == Spoken::Http2 {
                    return Err(ConnectFault::Tls("the upstream does not offer HTTP/2".to_owned()));
                }
                Ok((Transport::Tls(Box::new(stream)), chosen))
            }
        }
    }

    /// Tries the addresses of a name in turn, each with its share of the time that is left.
    async fn reach(&self, backend: &Backend, endpoint: &Endpoint, limit: Duration) -> Result<TcpStream, ConnectFault> {
        let deadline = Instant::now() + limit;
        let addresses = backend.resolved.addresses(endpoint).await.map_err(ConnectFault::Resolve)?;
        let mut fault = ConnectFault::NoAddress;
        let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
        for address in addresses.iter() {
            let share = deadline.saturating_duration_since(Instant::now()) / left.max(1);
            left = left.saturating_sub(1);
            match self.reach_address(*address, Instant::now() + share, limit).await {
                Ok(stream) => return Ok(stream),
                Err(failed) => fault = failed,
            }
        }
        backend.resolved.doubt();
        Err(fault)
    }

    async fn reach_address(&self, address: SocketAddr, deadline: Instant, limit: Duration) -> Result<TcpStream, ConnectFault> {
        address::check(address, &self.own_listeners)?;
        let connected = timeout_at(deadline, TcpStream::connect(address)).await;
        let stream = connected.map_err(|_| ConnectFault::TimedOut(limit))?.map_err(ConnectFault::Socket)?;
        let local = stream.local_addr().map_err(ConnectFault::Socket)?;
        address::check_connected(local, address, &self.own_listeners)?;
        // Requests are written whole; waiting for more to send only delays them.
        stream.set_nodelay(true).map_err(ConnectFault::Socket)?;
        Ok(stream)
    }
}
