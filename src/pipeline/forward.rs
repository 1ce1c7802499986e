//! The last step: over to the upstream, with a watch on the session and a record for the end of the exchange.

use std::sync::Arc;

use http::request::Parts;
use http::{Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use kernel::event::{Body as EventBody, Event, ExchangeFacts, ExchangeKind, StreamFacts};
use kernel::policy::{Reason, Recorded};
use kernel::request::Upgrade;
use kernel::{Failure, Refusal};
use tokio_util::sync::CancellationToken;

use super::spans;
use crate::gateway::exchanges::Exchange;
use crate::gateway::visit::Visit;
use crate::gateway::{Gateway, Snapshot, record};
use crate::listener::{Received, RequestFacts, StaysOpen};
use crate::telemetry::metrics;
use crate::telemetry::traces::CallEnd;
use crate::upstream::{self, ForwardContext};
use crate::web::body::Body;

/// What came with a request beside its head.
#[derive(Debug)]
pub struct Incoming {
    pub body: Received,
    pub upgrade: Option<OnUpgrade>,
    pub facts: RequestFacts,
}

/// Forwards a recorded request.
pub async fn forward(
    gateway: &Arc<Gateway>,
    snapshot: &Arc<Snapshot>,
    visit: &Visit,
    recorded: Recorded,
    head: &Parts,
    incoming: Incoming,
) -> Result<Response<Body>, Refusal> {
    let permit = recorded.permit();
    let way = snapshot.ways.of(&permit.route().id)?;
    // A public page belongs to no session, so the end of one does not cut it; a change of policy may.
    let person = visit.person.as_ref().filter(|_| permit.person().is_some());
    let cut = person.map_or_else(CancellationToken::new, |live| live.ended().child_token());
    let progress = Arc::new(upstream::Progress::new());
    let exchange = Exchange {
        request: Arc::clone(permit.request()),
        route: permit.route().id.clone(),
        progress: Arc::clone(&progress),
        person: person.cloned(),
        cut: cut.clone(),
    };
    let number = gateway.exchanges.enter(exchange);
    // A configuration that came into force since this request was judged has judged the exchanges that it found: this one
    // was not among them yet.
    let current = gateway.snapshot.load_full();
    if !Arc::ptr_eq(&current, snapshot) {
        gateway.exchanges.judge_again(&current.table, gateway.clock.now());
    }
    let (route, request_id) = (permit.route().id.clone(), visit.request_id);
    let kind = match permit.request().upgrade {
        Upgrade::None => ExchangeKind::Http,
        Upgrade::WebSocket => ExchangeKind::WebSocket,
    };
    let opened = route.clone();
    let reporter = Arc::clone(gateway);
    let open = head.extensions.get::<StaysOpen>().cloned();
    let (traceparent, call) = visit.trace.as_ref().map_or((None, None), |trace| trace.forward(spans::asking(visit)));
    let method = visit.method.clone();
    let context = ForwardContext {
        now: gateway.clock.now(),
        cut,
        progress,
        traceparent,
        on_end: Box::new(move |end| {
            reporter.exchanges.leave(number);
            drop(open);
            if let Some(call) = call {
                let failure = end.failure.map(Reason::code);
                call.end(&method, &CallEnd { status: end.status, upstream: end.upstream.as_deref(), failure });
            }
            let exchange =
                metrics::Exchange { status: end.status, bytes_in: end.bytes_in, bytes_out: end.bytes_out, duration: end.duration };
            reporter.metrics.exchanged(route.as_str(), exchange);
            let facts = ExchangeFacts {
                request_id,
                // A handshake that the upstream declined was a request like any other.
                kind: if end.status == Some(SWITCHING) { kind } else { ExchangeKind::Http },
                route,
                status: end.status,
                outcome: end.outcome,
                reason: end.failure,
                bytes_in: end.bytes_in,
                bytes_out: end.bytes_out,
                duration: end.duration,
                upstream: end.upstream,
            };
            reporter.audit.keep_later(Event { time: reporter.clock.now(), body: EventBody::Exchange(Box::new(facts)) });
        }),
    };
    let client = upstream::Incoming { headers: &head.headers, body: incoming.body, on_upgrade: incoming.upgrade };
    let response = snapshot.upstreams.forward(way, recorded, context, client).await?;
    // RFC 8441 §5: over HTTP/2 a 2xx opens the stream.
    let over_http2 = kind == ExchangeKind::WebSocket && visit.method == http::Method::CONNECT && response.status().is_success();
    if response.status() == StatusCode::SWITCHING_PROTOCOLS || over_http2 {
        record_opening(gateway, visit, opened).await?;
    }
    Ok(response)
}

/// Puts on record that a stream begins, before the client is told. Where that cannot be done, it does not begin.
async fn record_opening(gateway: &Gateway, visit: &Visit, route: kernel::route::RouteId) -> Result<(), Failure> {
    let actor = visit.person.as_ref().map(|live| record::actor(live));
    let facts = StreamFacts { request_id: visit.request_id, route, client: visit.client(), actor };
    gateway.audit.keep(Event { time: gateway.clock.now(), body: EventBody::StreamOpen(Box::new(facts)) }).await
}

const SWITCHING: u16 = StatusCode::SWITCHING_PROTOCOLS.as_u16();
