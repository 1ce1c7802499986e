//! One upstream of a route: its connections, how busy it is, and how it has been doing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use aws_lc_rs::digest::{Context, SHA256};
use kernel::route::Upstream;

use super::condition::Condition;
use super::connect::{Purpose, Spoken};
use super::pool::{Connection, Pool};
use super::resolve::Resolved;
use super::settings::{HealthCheck, Limits, Protocol, Tls, WaySettings};
use super::streams::{Seat, Streams};
use super::tls::ClientTls;

/// An upstream. Two routes share one only where they reach it in the same way.
pub struct Backend {
    pub upstream: Upstream,
    /// The upstream as the route writes it, for records.
    pub name: String,
    pub protocol: Protocol,
    pub tls: ClientTls,
    pub resolved: Resolved,
    pub condition: Condition,
    pub pool: Pool,
    pub streams: Streams,
    outstanding: AtomicUsize,
    /// With [`Protocol::Auto`]: the upstream chose HTTP/1.1 the last time.
    chose_http1: AtomicBool,
    /// It speaks HTTP/2 and takes no WebSocket there.
    websockets_take_http1: AtomicBool,
    slow_start: std::time::Duration,
}

/// What tells one way to reach an upstream from another. Connections of one are never used for the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BackendKey {
    upstream: Upstream,
    protocol: Protocol,
    /// SHA-256 of everything that TLS is told.
    tls: [u8; 32],
    health: Option<HealthCheck>,
    pool: (std::time::Duration, usize),
    slow_start: std::time::Duration,
}

/// A connection, or a place on one, at work for one exchange. Dropped, an HTTP/1.1 connection is closed, and an HTTP/2
/// stream is reset if it did not end.
pub struct Lease {
    held: Held,
    work: Work,
    pub origin: Origin,
    reuse: Reuse,
}

pub enum Held {
    Http1(Connection),
    Http2(Seat),
}

/// Counts one exchange as outstanding.
pub struct Work(Arc<Backend>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Fresh,
    /// It was used before, so the other side may have closed it meanwhile.
    Pooled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reuse {
    WhenClean,
    Never,
}

impl Backend {
    pub fn new(upstream: &Upstream, way: &WaySettings) -> Self {
        Self {
            name: upstream.to_string(),
            upstream: upstream.clone(),
            protocol: way.protocol,
            tls: ClientTls::new(upstream, way),
            resolved: Resolved::default(),
            condition: Condition::new(),
            pool: Pool::new(way.limits.pool_idle_timeout, way.limits.pool_idle_max),
            streams: Streams::new(way.limits.pool_idle_timeout),
            outstanding: AtomicUsize::new(0),
            chose_http1: AtomicBool::new(false),
            websockets_take_http1: AtomicBool::new(false),
            slow_start: way.limits.slow_start,
        }
    }

    pub fn sweep(&self) {
        self.pool.sweep();
        self.streams.sweep();
    }

    /// Closes what waits, and lets nothing wait any more. Exchanges under way go on.
    pub fn close(&self) {
        self.pool.close();
        self.streams.close();
    }

    /// Whether exchanges share connections, as far as is known before one is made.
    pub fn is_shared(&self) -> bool {
        match self.protocol {
            Protocol::Http1 => false,
            Protocol::Http2 => true,
            Protocol::Auto => matches!(self.upstream, Upstream::Https(_)) && !self.chose_http1.load(Ordering::Relaxed),
        }
    }

    /// What the upstream chose to speak.
    pub fn learn(&self, spoken: Spoken) {
        self.chose_http1.store(spoken == Spoken::Http1, Ordering::Relaxed);
    }

    /// How a WebSocket is begun, as far as is known.
    pub fn purpose_of_websocket(&self) -> Purpose {
        if self.websockets_take_http1.load(Ordering::Relaxed) { Purpose::WebSocketOverHttp1 } else { Purpose::WebSocket }
    }

    /// What the upstream takes. It is asked anew where it turns out to be otherwise.
    pub fn learn_of_websockets(&self, purpose: Purpose) {
        self.websockets_take_http1.store(purpose == Purpose::WebSocketOverHttp1, Ordering::Relaxed);
    }

    /// Weighed by the shares that the two may have.
    pub fn is_less_busy_than(&self, other: &Self) -> bool {
        let load = |backend: &Self| u64::try_from(backend.outstanding()).unwrap_or(u64::MAX).saturating_add(1);
        let (own_share, other_share) = (self.condition.share(self.slow_start), other.condition.share(other.slow_start));
        load(self).saturating_mul(other_share) < load(other).saturating_mul(own_share)
    }

    pub fn outstanding(&self) -> usize {
        self.outstanding.load(Ordering::Relaxed)
    }
}

impl BackendKey {
    pub fn new(upstream: &Upstream, way: &WaySettings) -> Self {
        let Limits { pool_idle_timeout, pool_idle_max, slow_start, .. } = way.limits;
        Self {
            upstream: upstream.clone(),
            protocol: way.protocol,
            tls: fingerprint(&way.tls),
            health: way.health.clone(),
            pool: (pool_idle_timeout, pool_idle_max),
            slow_start,
        }
    }
}

fn fingerprint(tls: &Tls) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    let mut piece = |bytes: &[u8]| {
        context.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(bytes);
    };
    piece(tls.name.as_deref().unwrap_or_default().as_bytes());
    piece(&u64::try_from(tls.roots.len()).unwrap_or(u64::MAX).to_be_bytes());
    tls.roots.iter().for_each(|root| piece(root));
    if let Some(certificate) = &tls.certificate {
        certificate.chain.iter().for_each(|part| piece(part));
        piece(certificate.key.secret_der());
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}

impl Lease {
    pub const fn new(held: Held, work: Work, origin: Origin) -> Self {
        Self { held, work, origin, reuse: Reuse::WhenClean }
    }

    pub const fn held(&mut self) -> &mut Held {
        &mut self.held
    }

    pub const fn is_http2(&self) -> bool {
        matches!(self.held, Held::Http2(_))
    }

    pub const fn backend(&self) -> &Arc<Backend> {
        &self.work.0
    }

    /// Nobody else gets this connection, however the exchange ends. A stream is nobody else's in any case.
    pub const fn never_reuse(&mut self) {
        self.reuse = Reuse::Never;
    }

    /// The exchange ended cleanly in both directions.
    pub fn give_back(self) {
        if let (Reuse::WhenClean, Held::Http1(connection)) = (self.reuse, self.held) {
            self.work.0.pool.put(connection);
        }
    }
}

impl Work {
    pub fn begin(backend: &Arc<Backend>) -> Self {
        backend.outstanding.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(backend))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.outstanding.fetch_sub(1, Ordering::Relaxed);
    }
}
