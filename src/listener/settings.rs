//! What a listener is told: addresses, protocols, bounds and deadlines.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kernel::request::client::TrustedProxies;

/// One listener.
#[derive(Clone, Debug)]
pub struct Settings {
    pub name: Arc<str>,
    /// Where to listen. `[::]` takes IPv4 too.
    pub bind: SocketAddr,
    pub protocols: Protocols,
    /// Proxies in front of this listener. Their connections carry many clients, so that the bound on one address does not
    /// hold for them.
    pub trusted_proxies: TrustedProxies,
    pub proxy_header: ProxyHeader,
    pub bounds: Bounds,
    pub deadlines: Deadlines,
}

/// HTTP versions offered, in the order of preference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocols {
    Http1,
    Http2,
    #[default]
    Http2AndHttp1,
}

/// Whether connections begin with a PROXY protocol header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyHeader {
    /// Nothing is parsed: a header is bytes that are not TLS, and the connection fails.
    #[default]
    Refuse,
    /// Every connection comes from a trusted proxy and begins with a header, version 1 or 2; others are closed.
    Require,
}

/// How much of everything. What is over a bound is dropped before work is done for it.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Open connections, with those in the handshake. Default 16,384.
    pub connections: usize,
    /// Open connections of one address (IPv6: of one /64). Default 512.
    pub connections_per_address: usize,
    /// TLS handshakes computed at one time; others wait within the handshake's deadline. Default 256.
    pub handshakes: usize,
    /// Streams of one HTTP/2 connection at one time. Default 100.
    pub streams: u32,
    /// Bytes of a request head. Default 32 KiB.
    pub head_bytes: usize,
    /// Fields of a request head. Default 100.
    pub head_fields: usize,
}

/// How long the other side may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// From accepting to the end of the PROXY header. Default 5 s.
    pub proxy_header: Duration,
    /// From there to the end of the TLS handshake. Default 10 s.
    pub handshake: Duration,
    /// From the first byte of an HTTP/1.1 request head to its last, and from the handshake to the first head. Default 10 s.
    pub head: Duration,
    /// Without a request on a connection that had one. Default 60 s.
    pub idle: Duration,
    /// From one look at an HTTP/1.1 connection to the next: one that was idle in between keeps no buffers. Default 250 ms.
    pub look: Duration,
    /// Between two parts of a body that is waited for. Default 60 s.
    pub body_part: Duration,
    /// While the client takes nothing of what is written. Default 60 s.
    pub write: Duration,
    /// For open requests to end once the listener shuts down. Default 30 s.
    pub drain: Duration,
}

impl Deadlines {
    /// How long a connection without an open request is kept when the listener shuts down, for a request that is on its way.
    #[must_use]
    pub fn linger(&self) -> Duration {
        (self.drain / 4).min(LINGER_MAX)
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self { connections: 16_384, connections_per_address: 512, handshakes: 256, streams: 100, head_bytes: 32 * 1024, head_fields: 100 }
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            proxy_header: Duration::from_secs(5),
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            look: Duration::from_millis(250),
            body_part: Duration::from_secs(60),
            write: Duration::from_secs(60),
            drain: Duration::from_secs(30),
        }
    }
}

/// A round trip around the world, and the client's thought.
const LINGER_MAX: Duration = Duration::from_secs(2);
