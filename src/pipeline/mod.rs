//! The life of a request, in one function: read once, judged by pure code, forwarded only in exchange for a chain of
//! proofs.

mod answer;
pub mod forward;
mod identify;
mod proxy_status;
mod spans;
mod sparing;

use std::sync::Arc;

use http::header::STRICT_TRANSPORT_SECURITY;
use http::request::Parts;
use http::{Request, Response};
use kernel::policy::{Challenge, Decision, Permit, Reason, decide};
use kernel::request::{CanonicalRequest, RequestFault, Upgrade, headers};
use kernel::route::{SecondSpellings, Target};
use kernel::{Failure, Refusal, Rejection};

use crate::entropy;
use crate::gateway::visit::{DecisionRecord, Visit};
use crate::gateway::{Gateway, Snapshot, record};
use crate::listener::{Received, RequestFacts};
use crate::portal;
use crate::web::body::Body;

/// Handles one request: every way out of it has an answer and a record.
pub async fn handle(gateway: &Arc<Gateway>, facts: RequestFacts, raw: Request<Received>) -> Response<Body> {
    let snapshot = gateway.snapshot.load_full();
    let (mut head, body) = raw.into_parts();
    let Ok(request_id) = entropy::request_id() else {
        return answer::without_record();
    };
    let upgrade = head.extensions.remove::<hyper::upgrade::OnUpgrade>();
    let mut visit = Visit::new(&facts, &head, request_id, gateway.clock.now(), Arc::clone(&snapshot.hash));
    visit.trace = spans::begin(gateway, &snapshot, &visit, &head);
    let incoming = forward::Incoming { body, upgrade, facts: facts.clone() };
    let mut reason = None;
    let mut response = match judge_and_forward(gateway, &snapshot, &mut visit, &facts, &head, incoming).await {
        Ok(response) => response,
        Err(refusal) => {
            reason = Some(refusal.reason());
            Box::pin(answer::refuse(gateway, &snapshot, &visit, &head, refusal)).await
        }
    };
    spans::answered(&snapshot, &visit, response.status(), reason);
    // One field on every answer. What an upstream says is replaced: it speaks for its host alone, and a weaker word would undo ours.
    response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, snapshot.hsts.clone());
    response
}

/// Reads top to bottom; every line may refuse. From `decide` on no line can be skipped or swapped: each call consumes what
/// the call above returned.
async fn judge_and_forward(
    gateway: &Arc<Gateway>,
    snapshot: &Arc<Snapshot>,
    visit: &mut Visit,
    facts: &RequestFacts,
    head: &Parts,
    incoming: forward::Incoming,
) -> Result<Response<Body>, Refusal> {
    let listener = snapshot.listener(&facts.connection.listener).ok_or(Failure::Overloaded)?;
    let request = visit.read(facts, head, listener)?;
    snapshot.limits.spend_address(visit.address_key())?;
    check_for_own_pages(snapshot, &request)?;
    if let Some(asset) = portal::asset(&request) {
        return Ok(asset);
    }
    let target = snapshot.table.find(&request);
    check_for_room(gateway, snapshot, &target, &request)?;
    visit.person = identify::presented(gateway, snapshot, visit, &request, &head.headers).await?;
    if let Some(page) = portal::page_of(&target, &request) {
        // Kept apart, so that the requests that go on are not as large as the gateway's own pages.
        return Box::pin(portal::serve(gateway, snapshot, visit, page, head, incoming.body)).await;
    }
    let Target::Route(route) = target else {
        return Err(Rejection::UnknownHost.into());
    };
    visit.route = Some(Arc::clone(&route));
    let shown = identify::for_route(visit, &route);
    let permit = match decide(&route, request, &shown.presented(), gateway.clock.now()) {
        Decision::Allow(permit) => check_for_route(permit, head, snapshot)?,
        Decision::Challenge(challenge) => return Err(Rejection::Challenge(challenge).into()),
        Decision::Deny(reason) => return Err(Rejection::Forbidden(reason).into()),
    };
    let record = record::allowed(visit, &permit);
    let admitted = snapshot.limits.admit(permit)?;
    let recorded = gateway.audit.record(admitted, record).await?;
    visit.decision = DecisionRecord::Kept;
    forward::forward(gateway, snapshot, visit, recorded, head, incoming).await
}

/// Sheds what upstreams would be kept busy with, before anything is looked up for it. The gateway's own pages go on: people sign in
/// and out while a system is overloaded.
fn check_for_room(gateway: &Gateway, snapshot: &Snapshot, target: &Target, request: &CanonicalRequest) -> Result<(), Failure> {
    match target {
        Target::Route(_) if !portal::is_own(target, request) && gateway.exchanges.count() >= snapshot.exchanges_max => {
            Err(Failure::Overloaded)
        }
        Target::Route(_) | Target::Gateway | Target::Unknown => Ok(()),
    }
}

/// The gateway's own pages are no WebSockets, and over HTTP/2 a page in answer to a handshake would be taken for one.
fn check_for_own_pages(snapshot: &Snapshot, request: &CanonicalRequest) -> Result<(), Rejection> {
    if request.upgrade == Upgrade::None {
        return Ok(());
    }
    match snapshot.table.find(request) {
        Target::Gateway => Err(Rejection::NoPage(Reason::MethodNotAllowed)),
        // The same answer as for a host that nobody listed.
        target if portal::is_own(&target, request) => Err(Rejection::Challenge(Challenge::SignIn)),
        Target::Route(_) | Target::Unknown => Ok(()),
    }
}

/// What a route asks of a request that a rule allows. Asked after the rules, so that a stranger who is refused cannot tell a
/// listed host from an unlisted one by it.
fn check_for_route(permit: Permit, head: &Parts, snapshot: &Snapshot) -> Result<Permit, Rejection> {
    let request = permit.request();
    if snapshot.upstreams.via().is_in(&head.headers) {
        return Err(Rejection::Loop);
    }
    if request.has_second_spellings && permit.route().second_spellings == SecondSpellings::Refuse {
        return Err(Rejection::Malformed(RequestFault::SecondSpelling));
    }
    match request.upgrade {
        Upgrade::None => {}
        Upgrade::WebSocket => headers::websocket_origin(&head.headers, &request.authority)?,
    }
    Ok(permit)
}
