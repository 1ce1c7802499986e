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
mod backend;
mod balance;
mod condition;
mod connect;
mod exchange;
mod head;
#[doc(hidden)]
pub mod heads;
mod health;
mod hops;
mod lease;
mod outgoing;
mod pool;
mod resolve;
mod returning;
mod settings;
mod statements;
mod stream;
mod streams;
#[cfg(test)]
mod tests;
mod tls;
mod trace;
mod via;
mod ways;
mod websocket;

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::upgrade::OnUpgrade;
use kernel::event::ExchangeOutcome;
use kernel::policy::permit::Recorded;
use kernel::policy::{Challenge, Reason};
use kernel::request::{Upgrade, headers};
use kernel::time::Timestamp;
use kernel::{Failure, Refusal, Rejection};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::telemetry::standing::UpstreamFigures;
use crate::web::body::{self, Body, BodyError, Opened};
use backend::{Backend, BackendKey};
use connect::Connector;
use exchange::{Answer, Beginning};
use head::Stated;
pub use outgoing::Progress;
use outgoing::{OutgoingBody, Sending, Wait};
use returning::{Ending, ReturningBody, Trailers};
pub use settings::{ClientCertificate, HealthCheck, Limits, Protocol, Settings, Tls, Vouch, WaySettings};
use statements::Statements;
pub use via::Via;
pub use ways::{Way, Ways};
use websocket::Splice;

/// What an exchange needs besides the request.
pub struct ForwardContext {
    /// The time that assertions state.
    pub now: Timestamp,
    /// Cancelled when the session ends or policy changes: bodies and WebSockets are cut.
    pub cut: CancellationToken,
    /// Called exactly once, when the exchange is over, however it ended. Must not block.
    pub on_end: Box<dyn FnOnce(ExchangeEnd) + Send>,
    /// How far the exchange has come, for whoever looks on.
    pub progress: Arc<Progress>,
    /// What the upstream is told of the trace. None where the client's word is passed on, or a trace is begun.
    pub traceparent: Option<HeaderValue>,
}

/// What the client sent.
#[derive(Debug)]
pub struct Incoming<'a, B> {
    pub headers: &'a HeaderMap,
    pub body: B,
    /// What hyper left in the request's extensions.
    pub on_upgrade: Option<OnUpgrade>,
}

/// What a client asked for a WebSocket with.
struct Handshake<'a> {
    asked: &'a HeaderMap,
    own_key: Option<HeaderValue>,
    on_upgrade: Option<OnUpgrade>,
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
    /// Why the upstream failed, where it did.
    pub failure: Option<Reason>,
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
    via: Via,
    statements: Statements,
    /// Every upstream of every configuration that is still in use, so that the next one finds it.
    backends: Mutex<HashMap<BackendKey, Weak<Backend>>>,
    /// Counts choices, so that they are spread.
    turn: AtomicU64,
    tasks: TaskTracker,
    closing: CancellationToken,
}

impl Upstreams {
    /// Connections and WebSockets run on `tasks`. When `closing` is cancelled, unused connections are closed and used ones
    /// close after their exchange.
    #[must_use]
    pub fn new(settings: Settings, tasks: TaskTracker, closing: CancellationToken) -> Arc<Self> {
        let Settings { gateway, assertion_key, own_listeners } = settings;
        let (via, connector) = (Via::new(&gateway), Connector::new(own_listeners));
        let statements = Statements::new(gateway, assertion_key);
        let (backends, turn) = (Mutex::default(), AtomicU64::new(0));
        let upstreams = Arc::new(Self { connector, via, statements, backends, turn, tasks, closing: closing.clone() });
        upstreams.tasks.spawn(ways::sweep(Arc::downgrade(&upstreams), closing));
        upstreams
    }

    /// Sends a recorded request to one of its route's upstreams and returns the answer as it comes.
    ///
    /// Of the client's come fields and body; method, target, host and client address are those that were judged. Failures become 502 or 504; a body that the client does not finish
    /// is a 400, 408 or 413; a cut before the answer is a challenge to sign in.
    pub async fn forward<B>(
        &self,
        way: &Way,
        recorded: Recorded,
        context: ForwardContext,
        client: Incoming<'_, B>,
    ) -> Result<Response<Body>, Refusal>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        let ForwardContext { now, cut, on_end, progress, traceparent } = context;
        let Incoming { headers, body, on_upgrade } = client;
        let mut ending = Ending::new(recorded, Arc::clone(&progress), on_end);
        if way.limits.body_bytes_max.is_some_and(|most| body.size_hint().lower() > most) {
            return Err(Rejection::TooLarge.into());
        }
        let request = ending.permit().request();
        if hops::ends_here(headers, &request.method) {
            return Ok(self.answer_for_itself(ending));
        }
        let key = if request.upgrade == Upgrade::WebSocket { websocket::key(request.version)? } else { None };
        let body = OutgoingBody::new(body.map_err(Into::into).boxed_unsync(), &progress, way.body_bounds(headers));
        let stated = Stated {
            via: &self.via,
            statements: &self.statements,
            vouch: way.assertion,
            now,
            client: headers,
            websocket_key: key.as_ref(),
            traceparent: traceparent.as_ref(),
        };
        let answered = tokio::select! {
            biased;
            () = cut.cancelled() => None,
            answered = self.ask(way, &mut ending, &stated, body) => Some(answered),
        };
        let Some(answered) = answered else {
            ending.outcome = ExchangeOutcome::Cut;
            return Err(Rejection::Challenge(Challenge::SignIn).into());
        };
        let answer = answered.inspect_err(|refusal| {
            if progress.sending().is_clients_fault() {
                ending.outcome = ExchangeOutcome::ClientLeft;
            } else {
                ending.fail(refusal.reason());
            }
        })?;
        let asked_of_stream = ending.permit().request().upgrade == Upgrade::WebSocket && answer.lease.is_http2();
        // What opens a WebSocket: a 101 over HTTP/1.1, where it also might switch to what nobody asked for, and a 200 over HTTP/2.
        let status = answer.head.status();
        if status == StatusCode::SWITCHING_PROTOCOLS || (asked_of_stream && status == StatusCode::OK) {
            let handshake = Handshake { asked: headers, own_key: key, on_upgrade };
            return self.splice(way, answer, ending, cut, handshake);
        }
        if (key.is_some() || asked_of_stream) && status.is_success() {
            // Over HTTP/2 it would say that the stream is a WebSocket now.
            ending.fail(Reason::UpstreamAnswerInvalid);
            return Err(Failure::UpstreamAnswer("it answers a WebSocket handshake with a page".to_owned()).into());
        }
        let trailers = if headers::is_grpc(headers) { Trailers::Pass } else { Trailers::Drop };
        Ok(self.pass_on(way, answer, ending, cut, trailers))
    }

    async fn ask(&self, way: &Way, ending: &mut Ending, stated: &Stated<'_>, mut body: OutgoingBody) -> Result<Answer, Refusal> {
        let lease = self.lease(way, ending.permit()).await?;
        ending.upstream = Some(lease.backend().name.clone());
        if lease.is_http2() {
            ending.reading = body.bind();
        }
        let progress = Arc::clone(&ending.progress);
        let overlooked = head::may_be_overlooked(&ending.permit().request().method, &body);
        let beginning = Beginning { permit: ending.permit(), stated, body, lease, progress: Arc::clone(&progress) };
        let mut answer = self.exchange(way, beginning).await?;
        answer::check(&answer.head).map_err(|fault| Failure::UpstreamAnswer(fault.to_owned()))?;
        // A server that answers before it has read the request leaves its connection in doubt (SM-19).
        let early = progress.sending() != Sending::Finished;
        // To one that answers in HTTP/1.0 the library would speak that, and leave out a body whose length is not known.
        let old = answer.head.version() == Version::HTTP_10;
        let in_doubt = early || overlooked || old || ending.permit().request().upgrade != Upgrade::None;
        if in_doubt || answer::binds_connection(stated.client, answer.head.headers()) {
            answer.lease.never_reuse();
        }
        Ok(answer)
    }

    fn pass_on(&self, way: &Way, answer: Answer, mut ending: Ending, cut: CancellationToken, trailers: Trailers) -> Response<Body> {
        let (head, incoming) = answer.head.into_parts();
        ending.status = Some(head.status.as_u16());
        let body = ReturningBody::new(incoming, answer.lease, ending, Wait::new(way.limits.body_idle_timeout), cut, trailers);
        let mut response = Response::new(body.boxed_unsync());
        *response.status_mut() = head.status;
        *response.headers_mut() = answer::fields(head.headers, head.status);
        self.via.add(response.headers_mut(), head.version);
        response
    }

    /// Joins client and upstream, if the 101 is one that this client asked for.
    fn splice(
        &self,
        way: &Way,
        mut answer: Answer,
        mut ending: Ending,
        cut: CancellationToken,
        handshake: Handshake<'_>,
    ) -> Result<Response<Body>, Refusal> {
        answer.lease.never_reuse();
        let Handshake { asked, own_key, on_upgrade } = handshake;
        let wanted = ending.permit().request().upgrade == Upgrade::WebSocket;
        let by_stream = answer.lease.is_http2();
        let checked = match (wanted, by_stream) {
            (false, _) => Err("it switches protocols unasked"),
            (true, false) => websocket::check(asked, own_key.as_ref(), answer.head.headers()),
            (true, true) if answer.head.status() == StatusCode::OK => websocket::check_choices(asked, answer.head.headers()),
            (true, true) => Err("it switches protocols within HTTP/2"),
        };
        if let Err(fault) = checked {
            ending.fail(Reason::UpstreamAnswerInvalid);
            return Err(Failure::UpstreamAnswer(fault.to_owned()).into());
        }
        let client = on_upgrade.ok_or(Failure::Bug("a WebSocket handshake came on a connection that cannot be upgraded"))?;
        let mut fields = answer::fields(std::mem::take(answer.head.headers_mut()), StatusCode::SWITCHING_PROTOCOLS);
        self.via.add(&mut fields, answer.head.version());
        // Over HTTP/2 there was no key to accept (RFC 8441 §5): the client over HTTP/1.1 still sent one.
        match websocket::acceptance(asked).filter(|_| own_key.is_none() && by_stream) {
            Some(accepted) => drop(fields.insert(SEC_WEBSOCKET_ACCEPT, accepted)),
            None if by_stream => drop(fields.remove(SEC_WEBSOCKET_ACCEPT)),
            None => {}
        }
        let status = if own_key.is_none() {
            fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
            StatusCode::SWITCHING_PROTOCOLS
        } else {
            // Over HTTP/2 a 2xx opens the stream.
            fields.remove(SEC_WEBSOCKET_ACCEPT);
            StatusCode::OK
        };
        ending.status = Some(StatusCode::SWITCHING_PROTOCOLS.as_u16());
        let upstream = hyper::upgrade::on(&mut answer.head);
        let idle_timeout = way.limits.websocket_idle_timeout;
        self.tasks.spawn(Splice { client, upstream, lease: answer.lease, ending, cut, idle_timeout }.run());
        let mut response = Response::new(body::empty());
        *response.status_mut() = status;
        *response.headers_mut() = fields;
        response.extensions_mut().insert(Opened);
        Ok(response)
    }

    /// An OPTIONS that may pass no more gateways ends at this one, which says that it is there.
    fn answer_for_itself(&self, mut ending: Ending) -> Response<Body> {
        ending.status = Some(StatusCode::NO_CONTENT.as_u16());
        ending.outcome = ExchangeOutcome::Complete;
        let mut response = Response::new(body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response
    }

    /// The key set for `/.portcullis/jwks.json`.
    #[must_use]
    pub fn key_set(&self) -> String {
        self.statements.key_set()
    }

    /// How every upstream stands.
    #[must_use]
    pub fn figures(&self) -> Vec<UpstreamFigures> {
        let all: Vec<_> = self.backends().values().filter_map(Weak::upgrade).collect();
        let figures = |backend: Arc<Backend>| UpstreamFigures {
            name: backend.name.clone(),
            up: !backend.condition.is_out(),
            in_flight: backend.outstanding(),
            idle: backend.pool.idle(),
            shared: backend.streams.open(),
        };
        all.into_iter().map(figures).collect()
    }

    /// The gateway's name in `Via`.
    #[must_use]
    pub const fn via(&self) -> &Via {
        &self.via
    }

    /// No code that holds the lock can panic half-way through a change.
    fn backends(&self) -> MutexGuard<'_, HashMap<BackendKey, Weak<Backend>>> {
        self.backends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstreams").field("backends", &self.backends().len()).finish_non_exhaustive()
    }
}
