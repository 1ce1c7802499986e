//! What the room is told: by the gateway as a whole, and for each route.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kernel::route::{RouteId, Upstream};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::assertion::AssertionKey;

/// What holds for every route.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The gateway's own address, the issuer of assertions: `https://gate.example.com`.
    pub gateway: String,
    pub assertion_key: AssertionKey,
    /// The gateway's own listeners, which no upstream may be. An unspecified address stands for every address of the machine.
    pub own_listeners: Vec<SocketAddr>,
}

/// How the upstreams of one route are reached.
#[derive(Clone, Debug)]
pub struct WaySettings {
    pub route: RouteId,
    /// Never empty.
    pub upstreams: Vec<Upstream>,
    pub protocol: Protocol,
    pub assertion: Vouch,
    pub tls: Tls,
    pub limits: Limits,
    pub health: Option<HealthCheck>,
}

/// The HTTP version that is spoken to an upstream. A WebSocket is asked for in HTTP/1.1 where an upstream that speaks HTTP/2
/// does not offer them there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    #[default]
    Http1,
    /// Over TLS by ALPN, without TLS by prior knowledge.
    Http2,
    /// Over TLS what the upstream chooses by ALPN, without TLS HTTP/1.1.
    Auto,
}

/// How often an assertion is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Vouch {
    /// It names the request.
    #[default]
    EachRequest,
    /// It stands for a session, a rule and a factor, and is used for some seconds.
    EachSession,
    Never,
}

/// How an `https` upstream is verified, and what it is shown. Verification cannot be skipped.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// The name that the certificate must have, and that is sent as SNI. Default: the host that is connected to.
    pub name: Option<Box<str>>,
    /// Roots besides the platform's.
    pub roots: Vec<CertificateDer<'static>>,
    /// Shown to upstreams that ask for a client certificate.
    pub certificate: Option<Arc<ClientCertificate>>,
}

/// A certificate with its intermediates, and its key.
pub struct ClientCertificate {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
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
    /// Bytes of a request's body. Default none.
    pub body_bytes_max: Option<u64>,
    /// Bytes a second below which a request's body is given up, once a minute was spent waiting for it; 0 is none. Default 100.
    pub body_rate_min: u64,
    /// Without a byte in either direction on a WebSocket. Default 1 h; `None` means as long as the session lives.
    pub websocket_idle_timeout: Option<Duration>,
    /// How long an unused connection is kept. Default 30 s, below the 60 s after which most servers close theirs.
    pub pool_idle_timeout: Duration,
    /// Unused HTTP/1.1 connections kept for each upstream. Default 256.
    pub pool_idle_max: usize,
    /// How long an upstream that could not be reached is passed over while others can; doubled each time, up to a minute.
    /// Default 5 s.
    pub ejection: Duration,
    /// How long an upstream that came back gets less than its share. Default 30 s.
    pub slow_start: Duration,
}

/// A question that is put to each upstream of a route over and over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HealthCheck {
    /// Asked for with GET. A status of 2xx or 3xx is good.
    pub path: Box<str>,
    /// The `Host` that is asked for. Default: the upstream's.
    pub host: Option<Box<str>>,
    pub interval: Duration,
    /// For the whole of one question.
    pub timeout: Duration,
    /// So many bad answers in a row take an upstream out.
    pub unhealthy_after: u32,
    /// So many good answers in a row bring it back.
    pub healthy_after: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            first_byte_timeout: Duration::from_secs(60),
            body_idle_timeout: Duration::from_secs(300),
            body_bytes_max: None,
            body_rate_min: 100,
            websocket_idle_timeout: Some(Duration::from_secs(3_600)),
            pool_idle_timeout: Duration::from_secs(30),
            pool_idle_max: 256,
            ejection: Duration::from_secs(5),
            slow_start: Duration::from_secs(30),
        }
    }
}

impl std::fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientCertificate").field("chain", &self.chain.len()).finish_non_exhaustive()
    }
}
