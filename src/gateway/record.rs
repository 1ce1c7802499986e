//! The record of a judged request, from what was known when it was judged.

use kernel::event::{Actor, Body, DecisionFacts, Event, Verdict};
use kernel::policy::permit::Grantee;
use kernel::policy::{Permit, Reason};
use kernel::{Refusal, Rejection};

use crate::gateway::visit::Visit;

/// The record of a request that may pass. Written before it is forwarded.
pub fn allowed(visit: &Visit, permit: &Permit) -> Event {
    let mut facts = common(visit);
    facts.rule = Some(permit.rule().clone());
    if let Grantee::Person(person) = permit.grantee() {
        facts.factor = Some(person.proof);
    }
    event(visit, facts)
}

/// The record of a page of the gateway's own. Written before it is answered. `reason` tells of something in the request that
/// was left alone.
pub fn served(visit: &Visit, status: u16, reason: Option<Reason>) -> Event {
    let facts = DecisionFacts { status: Some(status), reason, ..common(visit) };
    event(visit, facts)
}

/// The record of a request that does not pass. Written before it is answered.
pub fn refused(visit: &Visit, refusal: &Refusal, status: u16) -> Event {
    let verdict = match refusal {
        Refusal::Failure(_) => Verdict::Fail,
        Refusal::Rejection(Rejection::Challenge(_)) => Verdict::Challenge,
        Refusal::Rejection(_) => Verdict::Deny,
    };
    let facts = DecisionFacts { verdict, reason: Some(refusal.reason()), status: Some(status), ..common(visit) };
    event(visit, facts)
}

fn event(visit: &Visit, facts: DecisionFacts) -> Event {
    Event { time: visit.received, body: Body::Decision(Box::new(facts)) }
}

fn common(visit: &Visit) -> DecisionFacts {
    let request = visit.request.as_ref();
    let route = visit.route.as_ref();
    DecisionFacts {
        request_id: visit.request_id,
        verdict: Verdict::Allow,
        reason: None,
        status: None,
        method: visit.method.to_string(),
        version: version(visit.version),
        authority: request.map_or_else(|| visit.authority_shown.clone(), |request| request.authority.to_string()),
        raw_target: without_query(&visit.raw_target),
        target: request.map(|request| request.path.to_string()),
        parameters: visit.recorded_parameters(),
        listener: visit.connection.listener.clone(),
        server_name: Some(visit.connection.tls.server_name.to_string()),
        client: visit.client(),
        client_certificate: visit.connection.tls.client_certificate.clone(),
        peer: visit.proxied_by(),
        user_agent: visit.user_agent.clone(),
        actor: visit.person.as_ref().map(|live| actor(live)),
        factor: visit.person.as_ref().and_then(|live| live.facts().assurance.latest()),
        route: route.map(|route| route.id.clone()),
        class: route.map(|route| route.class.clone()),
        rule: None,
        config: visit.config.clone(),
    }
}

/// The person of a record.
pub fn actor(live: &crate::gateway::sessions::Live) -> Actor {
    let facts = live.facts();
    Actor {
        subject: facts.identity.subject.clone(),
        email: facts.identity.email.clone(),
        groups: facts.identity.groups.iter().map(ToString::to_string).collect(),
        session: Some(live.id()),
    }
}

fn version(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_10 => "1.0",
        http::Version::HTTP_11 => "1.1",
        http::Version::HTTP_2 => "2",
        _ => "other",
    }
}

fn without_query(raw: &str) -> String {
    raw.split(['?', '#']).next().unwrap_or_default().to_owned()
}
