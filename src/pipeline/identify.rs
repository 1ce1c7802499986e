//! Who shows up with a request: the session behind the host's cookie, its life judged.

use std::sync::Arc;

use http::HeaderMap;
use kernel::Failure;
use kernel::event::{AuthenticationFacts, AuthenticationStep, Body, Event};
use kernel::identity::Identity;
use kernel::identity::assurance::Assurance;
use kernel::policy::Presented;
use kernel::policy::decide::Person;
use kernel::request::{CanonicalRequest, headers};
use kernel::route::Route;
use kernel::session::token::Purpose;
use kernel::session::{SessionId, Token};

use crate::gateway::sessions::{Found, Live};
use crate::gateway::visit::Visit;
use crate::gateway::{Gateway, Snapshot, record};

/// The live session behind the request's cookie. A cookie that is malformed, doubled or of another host leads to nobody.
pub async fn presented(
    gateway: &Gateway,
    snapshot: &Snapshot,
    visit: &Visit,
    request: &CanonicalRequest,
    fields: &HeaderMap,
) -> Result<Option<Arc<Live>>, Failure> {
    let Some(token) = headers::own_cookie(fields).and_then(Token::parse) else {
        return Ok(None);
    };
    let cookie = token.hash(Purpose::Cookie(&request.authority.host));
    match gateway.sessions.find(cookie, &snapshot.session).await? {
        Found::Nothing => Ok(None),
        Found::Live(live) => Ok(Some(live)),
        Found::Expired(live, reason) => {
            let facts = AuthenticationFacts {
                request_id: Some(visit.request_id),
                step: AuthenticationStep::Expire(reason),
                failure: None,
                detail: None,
                idp: Some(live.facts().idp.clone()),
                actor: Some(record::actor(&live)),
                client: Some(visit.client()),
                user_agent: visit.user_agent.clone(),
            };
            gateway.audit.keep(Event { time: visit.received, body: Body::Authentication(Box::new(facts)) }).await?;
            Ok(None)
        }
    }
}

/// What a person shows towards one route.
pub struct Shown(Option<(SessionId, Arc<Identity>, Assurance)>);

/// The person's identity, and the factors that count on this route: after a pause longer than the class allows, those shown
/// before it do not.
pub fn for_route(visit: &Visit, route: &Route) -> Shown {
    let shown = visit.person.as_ref().map(|live| {
        let identity = Arc::clone(&live.facts().identity);
        (live.id(), identity, live.assurance_after_pause(route.idle_timeout))
    });
    Shown(shown)
}

impl Shown {
    pub const fn presented(&self) -> Presented<'_> {
        match &self.0 {
            None => Presented::Nobody,
            Some((session, identity, assurance)) => Presented::Person(Person { session: *session, identity, assurance }),
        }
    }
}
