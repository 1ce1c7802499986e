//! The portal: the systems that a person may open, their sessions and their factors.

use std::sync::Arc;
use std::time::Duration;

use http::{Response, StatusCode};
use kernel::event::{AccountChange, Body as EventBody, ChangedBy, EntityChange, EntityFacts, Event};
use kernel::identity::Identity;
use kernel::identity::assurance::{Requirement, Strength, Sufficiency};
use kernel::policy::rule::Audience;
use kernel::policy::{Challenge, decide::StepUp};
use kernel::route::Route;
use kernel::session::{EndReason, SessionId};
use kernel::{Failure, Refusal, Rejection};
use serde_json::json;

use super::enrol::recovery_codes;
use super::{Desk, json, pages, see_other, show};
use crate::gateway::sessions::Live;
use crate::store::SessionFilter;
use crate::web::body::Body;
use crate::web::form::Form;

/// `GET /` of the gateway's host.
pub async fn show(desk: Desk<'_>) -> Result<Response<Body>, Refusal> {
    let live = desk.person()?;
    let identity = live.facts().identity.clone();
    let sessions = desk.gateway.sessions.list(Some(identity.subject.clone())).await?;
    let factors = desk.gateway.store.factors(identity.subject.clone()).await.map_err(Failure::from)?;
    let systems: Vec<_> = desk.snapshot.table.sorted().into_iter().filter(|route| opens(route, &identity)).cloned().collect();
    Ok(show::portal(desk, &systems, &sessions, live.id(), &factors))
}

/// Whether some rule of a route names the person. Factor, hours and network are judged when the system is opened.
fn opens(route: &Arc<Route>, identity: &Identity) -> bool {
    route.rules.iter().any(|rule| match &rule.audience {
        Audience::Public => false,
        Audience::AnyoneSignedIn | Audience::Listed { .. } => rule.audience.names(identity),
    })
}

/// `POST /.portcullis/sessions/end`: ends one of the person's own sessions, or all.
pub async fn end_sessions(desk: Desk<'_>, form: Form) -> Result<Response<Body>, Refusal> {
    let live = desk.person()?;
    let subject = live.facts().identity.subject.clone();
    let own = desk.gateway.sessions.list(Some(subject.clone())).await?;
    let (filter, doomed) = match form.field("session") {
        Some(pages::EVERYWHERE) => (SessionFilter::OfSubject(subject.clone()), own.iter().map(|session| session.id).collect()),
        Some(pages::OTHERS) => {
            let others = own.iter().map(|session| session.id).filter(|id| *id != live.id()).collect();
            (SessionFilter::OfSubjectExcept(subject.clone(), live.id()), others)
        }
        named => {
            let id = named.and_then(SessionId::parse).filter(|id| own.iter().any(|session| session.id == *id));
            // Somebody else's session reads the same as one that is over.
            let Some(id) = id else { return see_other("/") };
            (SessionFilter::One(id), vec![id])
        }
    };
    let change = EntityChange::RevokeSessions { sessions: doomed };
    let facts = EntityFacts { change, by: ChangedBy::Person(subject), failure: None };
    desk.gateway.audit.keep(Event { time: desk.gateway.clock.now(), body: EventBody::Entity(Box::new(facts)) }).await?;
    let ended = desk.gateway.sessions.end(filter, EndReason::LogOut).await?;
    see_other(if ended.contains(&live.id()) { "/.portcullis/signed-out" } else { "/" })
}

/// `POST /.portcullis/recovery-codes`: ten new ones; the old ones are void. Needs a factor shown just now.
pub async fn renew_recovery_codes(desk: Desk<'_>, _form: Form) -> Result<Response<Body>, Refusal> {
    let live = desk.person()?;
    needs_fresh_factor(&desk, live)?;
    let identity = live.facts().identity.clone();
    let subject = identity.subject.clone();
    let codes = recovery_codes()?;
    let hashes = codes.iter().map(|code| code.hash(&subject)).collect();
    desk.record_change(AccountChange::IssueRecoveryCodes, &identity, ChangedBy::Person(subject.clone()), None).await?;
    desk.gateway.store.put_recovery_codes(subject, hashes).await.map_err(Failure::from)?;
    let shown: Vec<_> = codes.iter().map(kernel::factor::recovery::RecoveryCode::text).collect();
    Ok(show::recovery_codes(desk, None, &shown))
}

fn needs_fresh_factor(desk: &Desk<'_>, live: &Live) -> Result<(), Refusal> {
    let requirement = Requirement { strength: Strength::Any, max_age: FRESH };
    match live.facts().assurance.meets(requirement, desk.gateway.clock.now()) {
        Sufficiency::Met(_) => Ok(()),
        Sufficiency::Missing => Err(Rejection::Challenge(Challenge::SecondFactor).into()),
        Sufficiency::TooWeak => Err(Rejection::Challenge(Challenge::StepUp { requirement, reason: StepUp::TooWeak }).into()),
        Sufficiency::TooOld => Err(Rejection::Challenge(Challenge::StepUp { requirement, reason: StepUp::TooOld }).into()),
    }
}

/// `GET /.portcullis/session`: who am I, and until when.
pub fn session(desk: Desk<'_>) -> Result<Response<Body>, Refusal> {
    let live = desk.person()?;
    let facts = live.facts();
    let factor = facts.assurance.latest();
    let document = json!({
        "subject": facts.identity.subject.sub,
        "issuer": facts.identity.subject.issuer,
        "email": facts.identity.email,
        "name": facts.identity.name,
        "groups": facts.identity.groups,
        "session": live.id(),
        "factor": factor.map(|proof| proof.kind),
        "factor_at": factor.map(|proof| proof.at.to_string()),
        "expires": live.state().expires(&desk.snapshot.session).to_string(),
    });
    Ok(json(StatusCode::OK, document.to_string()))
}

/// How old a factor may be for a change to one's own factors (attacks MF-05).
const FRESH: Duration = Duration::from_secs(300);
