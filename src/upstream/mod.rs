//! Connections to upstreams and the exchange of one request.
//!
//! Nothing reaches an upstream without a [`Recorded`](kernel::policy::permit::Recorded): the request that is sent is built
//! from the one that was judged, and only the client's other fields and its body are taken from the wire. Connections are
//! shared between clients only when both directions of an exchange ended cleanly; whatever is in doubt is closed.
//!
//! The room never follows a redirect, never repeats a request that may have been acted upon, and connects only to an
//! address that was looked at after it was resolved.

mod address;
mod answer;
pub mod assertion;
mod balance;
mod connect;
mod exchange;
mod head;
mod outgoing;
mod pool;
mod returning;
mod stream;
#[cfg(test)]
mod tests;
mod websocket;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::upgrade::OnUpgrade;
use kernel::event::ExchangeOutcome;
use kernel::policy::Challenge;
use kernel::policy::permit::Recorded;
use kernel::request::Upgrade;
use kernel::route::{Route, RouteTable, Upstream};
use kernel::time::Timestamp;
use kernel::{Failure, Refusal, Rejection};
use rustls_pki_types::CertificateDer;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::web::body::{self, Body, BodyError};
use assertion::AssertionKey;
use connect::Connector;
use exchange::Answer;
use head::Stated;
use outgoing::{OutgoingBody, Progress, Sending, Wait};
use pool::Pool;
use returning::{Ending, ReturningBody};
use websocket::Splice;

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

/// All upstreams of the gateway, and the connections to them.
pub struct Upstreams {
    connector: Connector,
    gateway: String,
    assertion_key: AssertionKey,
    limits: Limits,
    /// One for each upstream that was asked; as many as the routes list, since nothing else is ever asked.
    pools: DashMap<Upstream, Arc<Pool>>,
    /// Counts choices, so that upstreams take turns.
    turn: AtomicUsize,
    tasks: TaskTracker,
    closing: CancellationToken,
}

impl Upstreams {
    /// Connections and WebSockets run on `tasks`. When `closing` is cancelled, unused connections are closed and used ones
    /// close after their exchange.
    #[must_use]
    pub fn new(settings: Settings, tasks: TaskTracker, closing: CancellationToken) -> Arc<Self> {
        let Settings { gateway, assertion_key, extra_roots, own_listeners, limits } = settings;
        let connector = Connector::new(&extra_roots, own_listeners, limits.connect_timeout);
        let (pools, turn) = (DashMap::new(), AtomicUsize::new(0));
        let upstreams = Arc::new(Self { connector, gateway, assertion_key, limits, pools, turn, tasks, closing: closing.clone() });
        let period = (upstreams.limits.pool_idle_timeout / 2).max(SWEEP_PERIOD_MIN);
        upstreams.tasks.spawn(sweep(Arc::downgrade(&upstreams), closing, period));
        upstreams
    }

    /// Sends a recorded request to one of its route's upstreams and returns the answer as it comes.
    ///
    /// `headers` and `body` are the client's; method, target, host and client address are those that were judged. `on_upgrade`
    /// is what hyper left in the request's extensions. Failures become 502 or 504; a body that the client does not finish
    /// is a 400; a cut before the answer is a challenge to sign in.
    pub async fn forward<B>(
        &self,
        recorded: Recorded,
        context: ForwardContext,
        headers: &HeaderMap,
        body: B,
        on_upgrade: Option<OnUpgrade>,
    ) -> Result<Response<Body>, Refusal>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        let ForwardContext { now, cut, on_end } = context;
        let progress = Arc::new(Progress::new());
        let mut ending = Ending::new(recorded, Arc::clone(&progress), on_end);
        let body = OutgoingBody::new(body.map_err(Into::into).boxed_unsync(), &progress, self.limits.body_idle_timeout);
        let stated = Stated { gateway: &self.gateway, key: &self.assertion_key, now, client: headers };
        let Some(answered) = cut.run_until_cancelled(self.ask(&mut ending, &stated, body)).await else {
            ending.outcome = ExchangeOutcome::Cut;
            return Err(Rejection::Challenge(Challenge::SignIn).into());
        };
        let answer = answered.inspect_err(|_| {
            ending.outcome = match progress.sending() {
                Sending::ClientFailed => ExchangeOutcome::ClientLeft,
                Sending::Underway | Sending::Finished => ExchangeOutcome::UpstreamFailed,
            };
        })?;
        if answer.head.status() == StatusCode::SWITCHING_PROTOCOLS {
            return self.splice(answer, ending, cut, headers, on_upgrade);
        }
        Ok(self.pass_on(answer, ending, cut))
    }

    async fn ask(&self, ending: &mut Ending, stated: &Stated<'_>, body: OutgoingBody) -> Result<Answer, Refusal> {
        let (pool, lease) = self.lease(ending.permit()).await?;
        ending.upstream = Some(pool.name.clone());
        let progress = Arc::clone(&ending.progress);
        let mut answer = self.exchange(ending.permit(), stated, body, (pool, lease), &progress).await?;
        answer::check(&answer.head).map_err(|fault| Failure::UpstreamAnswer(fault.to_owned()))?;
        // A server that answers before it has read the request leaves its connection in doubt (SM-19).
        let early = progress.sending() != Sending::Finished;
        if early || ending.permit().request().upgrade != Upgrade::None || answer::binds_connection(stated.client, answer.head.headers()) {
            answer.lease.never_reuse();
        }
        Ok(answer)
    }

    fn pass_on(&self, answer: Answer, mut ending: Ending, cut: CancellationToken) -> Response<Body> {
        let (head, incoming) = answer.head.into_parts();
        ending.status = Some(head.status.as_u16());
        let body = ReturningBody::new(incoming, answer.lease, ending, Wait::new(self.limits.body_idle_timeout), cut);
        let mut response = Response::new(body.boxed_unsync());
        *response.status_mut() = head.status;
        *response.headers_mut() = answer::fields(&head.headers, head.status);
        response
    }

    /// Joins client and upstream, if the 101 is one that this client asked for.
    fn splice(
        &self,
        mut answer: Answer,
        mut ending: Ending,
        cut: CancellationToken,
        asked: &HeaderMap,
        on_upgrade: Option<OnUpgrade>,
    ) -> Result<Response<Body>, Refusal> {
        answer.lease.never_reuse();
        let wanted = ending.permit().request().upgrade == Upgrade::WebSocket;
        let checked = if wanted { websocket::check(asked, answer.head.headers()) } else { Err("it switches protocols unasked") };
        if let Err(fault) = checked {
            ending.outcome = ExchangeOutcome::UpstreamFailed;
            return Err(Failure::UpstreamAnswer(fault.to_owned()).into());
        }
        let client = on_upgrade.ok_or(Failure::Bug("a WebSocket handshake came on a connection that cannot be upgraded"))?;
        let mut fields = answer::fields(answer.head.headers(), StatusCode::SWITCHING_PROTOCOLS);
        fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
        ending.status = Some(StatusCode::SWITCHING_PROTOCOLS.as_u16());
        let upstream = hyper::upgrade::on(&mut answer.head);
        let idle_timeout = self.limits.websocket_idle_timeout;
        self.tasks.spawn(Splice { client, upstream, lease: answer.lease, ending, cut, idle_timeout }.run());
        let mut response = Response::new(body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.headers_mut() = fields;
        Ok(response)
    }

    /// The key set for `/.portcullis/jwks.json`.
    #[must_use]
    pub fn key_set(&self) -> String {
        self.assertion_key.key_set(&[])
    }

    /// Forgets the connections to upstreams that no route lists any more. Exchanges under way go on.
    pub fn retain(&self, routes: &RouteTable) {
        let listed: std::collections::HashSet<_> = routes.sorted().into_iter().flat_map(|route| route.upstreams.iter()).collect();
        self.pools.retain(|upstream, pool| {
            let kept = listed.contains(upstream);
            if !kept {
                pool.close();
            }
            kept
        });
    }

    fn candidates(&self, route: &Route) -> Vec<Arc<Pool>> {
        let pools = route.upstreams.iter().map(|upstream| self.pool(upstream)).collect();
        balance::order(pools, self.turn.fetch_add(1, Ordering::Relaxed))
    }

    fn pool(&self, upstream: &Upstream) -> Arc<Pool> {
        if let Some(pool) = self.pools.get(upstream) {
            return Arc::clone(&pool);
        }
        let pool = || Arc::new(Pool::new(upstream, self.limits.pool_idle_timeout, self.limits.pool_idle_max, self.closing.clone()));
        Arc::clone(&self.pools.entry(upstream.clone()).or_insert_with(pool))
    }
}

/// Closes connections that waited too long, and at the end all that wait. Ends with the gateway, or with `upstreams`.
async fn sweep(upstreams: Weak<Upstreams>, closing: CancellationToken, period: Duration) {
    loop {
        let goes_on = closing.run_until_cancelled(tokio::time::sleep(period)).await;
        let Some(upstreams) = upstreams.upgrade() else {
            return;
        };
        for pool in &upstreams.pools {
            match goes_on {
                Some(()) => pool.sweep(),
                None => pool.close(),
            }
        }
        if goes_on.is_none() {
            return;
        }
    }
}

impl std::fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstreams").field("pools", &self.pools.len()).finish_non_exhaustive()
    }
}

/// However short unused connections are kept, looking for them costs no more than this often.
const SWEEP_PERIOD_MIN: Duration = Duration::from_millis(100);
