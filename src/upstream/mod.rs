//! Connections to upstreams and the exchange of one request.
//!
//! Nothing reaches an upstream without a [`Recorded`](kernel::policy::permit::Recorded): the request that is sent is built
//! from the one that was judged, and only the client's other fields and its body are taken from the wire. Connections are
//! shared between clients only when both directions of an exchange ended cleanly; whatever is in doubt is closed.
//!
//! The room never follows a redirect, never repeats a request that may have been acted upon, and connects only to an
//! address that was looked at after it was resolved.

pub mod assertion;

use std::net::SocketAddr;
use std::time::Duration;

use kernel::event::ExchangeOutcome;
use kernel::time::Timestamp;
use rustls_pki_types::CertificateDer;
use tokio_util::sync::CancellationToken;

use assertion::AssertionKey;

/// How upstreams are reached.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The gateway's own address, the issuer of assertions: `https://gate.example.com`.
    pub gateway: String,
    pub assertion_key: AssertionKey,
    /// Roots besides the platform's, for `https` upstreams.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// The gateway's own listeners, which no upstream may be. An unspecified address stands for every address of the machine.
    pub own_listeners: Vec<SocketAddr>,
    pub limits: Limits,
}

/// Bounds on connections and waiting. There is no bound on the whole of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For name resolution, TCP and TLS together. Default 5 s.
    pub connect_timeout: Duration,
    /// From the last byte of the request to the head of the answer. Default 60 s.
    pub first_byte_timeout: Duration,
    /// For the next piece of a body, in either direction. Default 5 min, so that quiet event streams live.
    pub body_idle_timeout: Duration,
    /// Without a byte in either direction on a WebSocket. Default 1 h; `None` means as long as the session lives.
    pub websocket_idle_timeout: Option<Duration>,
    /// How long an unused connection is kept. Default 30 s, below the 60 s after which most servers close theirs.
    pub pool_idle_timeout: Duration,
    /// Unused connections kept for each upstream. Default 256.
    pub pool_idle_max: usize,
    /// How long an upstream that could not be reached is passed over while others can. Default 5 s.
    pub ejection: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            first_byte_timeout: Duration::from_secs(60),
            body_idle_timeout: Duration::from_secs(300),
            websocket_idle_timeout: Some(Duration::from_secs(3_600)),
            pool_idle_timeout: Duration::from_secs(30),
            pool_idle_max: 256,
            ejection: Duration::from_secs(5),
        }
    }
}

/// What an exchange needs besides the request.
pub struct ForwardContext {
    /// The time that assertions state.
    pub now: Timestamp,
    /// Cancelled when the session ends or policy changes: bodies and WebSockets are cut.
    pub cut: CancellationToken,
    /// Called exactly once, when the exchange is over, however it ended. Must not block.
    pub on_end: Box<dyn FnOnce(ExchangeEnd) + Send>,
}

/// How an exchange went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeEnd {
    /// None when no answer came.
    pub status: Option<u16>,
    /// Bytes of body (or WebSocket) from the client.
    pub bytes_in: u64,
    /// Bytes of body (or WebSocket) to the client.
    pub bytes_out: u64,
    pub outcome: ExchangeOutcome,
    pub duration: Duration,
    /// The upstream that was chosen, as the route writes it.
    pub upstream: Option<String>,
}

impl std::fmt::Debug for ForwardContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ForwardContext").field("now", &self.now).finish_non_exhaustive()
    }
}
