//! The last step: over to the upstream, with a watch on the session and a record for the end of the exchange.

use std::sync::Arc;

use http::Response;
use http::request::Parts;
use hyper::upgrade::OnUpgrade;
use kernel::Refusal;
use kernel::event::{Body as EventBody, Event, ExchangeFacts};
use kernel::policy::Recorded;
use tokio_util::sync::CancellationToken;

use crate::gateway::exchanges::Exchange;
use crate::gateway::visit::Visit;
use crate::gateway::{Gateway, Snapshot};
use crate::listener::{RequestFacts, StaysOpen};
use crate::telemetry::metrics;
use crate::upstream::{self, ForwardContext};
use crate::web::body::Body;

/// What came with a request beside its head.
#[derive(Debug)]
pub struct Incoming {
    pub body: hyper::body::Incoming,
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
    let exchange = Exchange { request: permit.request().clone(), person: person.cloned(), cut: cut.clone() };
    let number = gateway.exchanges.enter(exchange);
    // A configuration that came into force since this request was judged has judged the exchanges that it found: this one
    // was not among them yet.
    let current = gateway.snapshot.load_full();
    if !Arc::ptr_eq(&current, snapshot) {
        gateway.exchanges.judge_again(&current.table, gateway.clock.now());
    }
    let (route, request_id) = (permit.route().id.clone(), visit.request_id);
    let reporter = Arc::clone(gateway);
    let open = head.extensions.get::<StaysOpen>().cloned();
    let context = ForwardContext {
        now: gateway.clock.now(),
        cut,
        on_end: Box::new(move |end| {
            reporter.exchanges.leave(number);
            drop(open);
            let exchange =
                metrics::Exchange { status: end.status, bytes_in: end.bytes_in, bytes_out: end.bytes_out, duration: end.duration };
            reporter.metrics.exchanged(route.as_str(), exchange);
            let facts = ExchangeFacts {
                request_id,
                route,
                status: end.status,
                outcome: end.outcome,
                bytes_in: end.bytes_in,
                bytes_out: end.bytes_out,
                duration: end.duration,
                upstream: end.upstream,
            };
            reporter.audit.keep_later(Event { time: reporter.clock.now(), body: EventBody::Exchange(Box::new(facts)) });
        }),
    };
    let client = upstream::Incoming { headers: &head.headers, body: incoming.body, on_upgrade: incoming.upgrade };
    snapshot.upstreams.forward(way, recorded, context, client).await
}
