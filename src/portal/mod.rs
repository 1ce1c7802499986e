//! Pages of the gateway for people, and the few addresses for programs, all under `/.portcullis/` and at `/` of the
//! gateway's host.
//!
//! Invariants: what is not a factor page answers nobody who has only the first factor; every change of state needs a POST
//! from the gateway's own page; every page is recorded before it is answered.

mod callback;
mod enrol;
mod factor;
mod finish;
mod home;
mod logout;
mod onward;
pub mod pages;
pub mod show;
mod sign_in;

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use kernel::event::{
    AccountChange, AccountFacts, Actor, AuthenticationFacts, AuthenticationStep, AuthorizationFacts, Body as EventBody, ChangedBy, Event,
};
use kernel::identity::Identity;
use kernel::identity::assurance::FactorKind;
use kernel::policy::{Challenge, Reason};
use kernel::request::CanonicalRequest;
use kernel::request::headers;
use kernel::request::host::Host;
use kernel::route::{Route, Target};
use kernel::session::token::Purpose;
use kernel::session::{Token, TokenHash};
use kernel::{Failure, Refusal, Rejection};

use crate::gateway::pending::Place;
use crate::gateway::sessions::Live;
use crate::gateway::visit::Visit;
use crate::gateway::{Gateway, Snapshot, record};
use crate::listener::Received;
use crate::web::body::{self, Body};
use crate::web::security::FormTargets;
use crate::web::{assets, cookie, csrf, form, security};

/// A page of the gateway's own.
#[derive(Clone, Debug)]
pub enum Page {
    /// At the gateway's host.
    Gateway,
    /// Under `/.portcullis/` at a route's host.
    OnRoute(Arc<Route>),
}

/// Which page a request is for; none when it is for a route, or for nothing that exists.
#[must_use]
pub fn page_of(target: &Target, request: &CanonicalRequest) -> Option<Page> {
    match target {
        Target::Gateway => Some(Page::Gateway),
        Target::Route(route) if request.path.is_under(OWN_PREFIX) => Some(Page::OnRoute(Arc::clone(route))),
        Target::Route(_) | Target::Unknown => None,
    }
}

/// An asset of the pages. The same on every host, listed or not, and for everybody, so that it tells nothing; it is not
/// recorded (docs/security.md).
#[must_use]
pub fn asset(request: &CanonicalRequest) -> Option<Response<Body>> {
    let asked = matches!(request.method, Method::GET | Method::HEAD);
    if asked { assets::find(request.path.as_str()) } else { None }
}

/// Whether a page or asset of the gateway's own is asked for.
#[must_use]
pub fn is_own(target: &Target, request: &CanonicalRequest) -> bool {
    page_of(target, request).is_some() || asset(request).is_some()
}

/// Serves a page, and records that before the answer goes out.
pub async fn serve(
    gateway: &Arc<Gateway>,
    snapshot: &Arc<Snapshot>,
    visit: &mut Visit,
    page: Page,
    head: &Parts,
    body: Received,
) -> Result<Response<Body>, Refusal> {
    let Some(request) = visit.request.clone() else {
        return Err(Failure::Bug("a page was served before its request was read").into());
    };
    let response = {
        let desk = Desk { gateway, snapshot, visit, head, request: &request };
        match page {
            Page::Gateway => desk.serve_gateway(body).await?,
            Page::OnRoute(route) => {
                let response = desk.serve_on_route(body).await?;
                visit.route = Some(route);
                response
            }
        }
    };
    gateway.audit.keep(record::served(visit, response.status().as_u16(), foreign_return(&request))).await?;
    Ok(response)
}

/// Told on record where the address names a place to return to that the gateway never gave out: such a name leads nowhere,
/// and somebody wrote it.
fn foreign_return(request: &CanonicalRequest) -> Option<Reason> {
    let query = request.query.as_deref()?;
    let mut named = url::form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == "return");
    let (_, first) = named.next()?;
    let ours = named.next().is_none() && Token::parse(&first).is_some();
    (!ours).then_some(Reason::RedirectRejected)
}

/// What every page needs at hand.
#[derive(Clone, Copy)]
struct Desk<'a> {
    gateway: &'a Arc<Gateway>,
    snapshot: &'a Arc<Snapshot>,
    visit: &'a Visit,
    head: &'a Parts,
    request: &'a CanonicalRequest,
}

impl Desk<'_> {
    async fn serve_gateway(self, body: Received) -> Result<Response<Body>, Refusal> {
        let path = self.request.path.as_str();
        match (path, self.request.method.clone()) {
            ("/", Method::GET | Method::HEAD) => home::show(self).await,
            ("/.portcullis/sign-in", Method::GET) => sign_in::begin(self).await,
            ("/.portcullis/callback", Method::GET) => callback::answer(self).await,
            (pages::SECOND_FACTOR, Method::GET) => factor::show(self).await,
            (pages::SECOND_FACTOR, Method::POST) => factor::submit(self, self.form(body).await?).await,
            (pages::ENROL, Method::GET) => enrol::show(self).await,
            (pages::ENROL, Method::POST) => enrol::submit(self, self.form(body).await?).await,
            ("/.portcullis/onward", Method::GET) => onward::resume(self).await,
            (pages::RECOVERY_CODES, Method::POST) => home::renew_recovery_codes(self, self.form(body).await?).await,
            (pages::END_SESSION, Method::POST) => home::end_sessions(self, self.form(body).await?).await,
            (pages::SIGN_OUT, Method::GET) => Ok(show::sign_out(self)),
            (pages::SIGN_OUT, Method::POST) => logout::sign_out(self, self.form(body).await?).await,
            ("/.portcullis/signed-out", Method::GET) => logout::signed_out(self),
            ("/.portcullis/backchannel-logout", Method::POST) => {
                logout::backchannel(self, form::Form::read(&self.head.headers, body, FORM_TIME).await?).await
            }
            ("/.portcullis/jwks.json", Method::GET | Method::HEAD) => Ok(json(StatusCode::OK, self.snapshot.upstreams.key_set())),
            ("/.portcullis/session", Method::GET) => home::session(self),
            _ => Err(no_page(path, &GATEWAY_PAGES)),
        }
    }

    async fn serve_on_route(self, body: Received) -> Result<Response<Body>, Refusal> {
        let path = self.request.path.as_str();
        match (path, self.request.method.clone()) {
            ("/.portcullis/finish", Method::GET) => finish::finish(self).await,
            // A stranger is answered as on a host that no route has.
            _ if self.visit.person.is_none() => Err(Rejection::Challenge(Challenge::SignIn).into()),
            ("/.portcullis/session", Method::GET) => home::session(self),
            (pages::SIGN_OUT, Method::POST) => logout::sign_out(self, self.form(body).await?).await,
            _ => Err(no_page(path, &ROUTE_PAGES)),
        }
    }

    /// Reads a form that one of our own pages submitted.
    async fn form(self, body: Received) -> Result<form::Form, Refusal> {
        let _same_origin: csrf::SameOrigin = csrf::check(&self.head.headers, &self.request.authority)?;
        form::Form::read(&self.head.headers, body, FORM_TIME).await
    }

    /// The session of whoever passed the first factor. Only the factor pages and sign-out begin with this line.
    fn signed_in(&self) -> Result<&Arc<Live>, Refusal> {
        self.visit.person.as_ref().ok_or_else(|| Rejection::Challenge(Challenge::SignIn).into())
    }

    /// The session of whoever passed both. Every other page that is for a person begins with this line.
    fn person(&self) -> Result<&Arc<Live>, Refusal> {
        let live = self.signed_in()?;
        if live.facts().assurance.has_any() { Ok(live) } else { Err(Rejection::Challenge(Challenge::SecondFactor).into()) }
    }

    /// The place to return to that the address or a form names, if it is still known.
    fn place(&self, named: Option<&str>) -> Option<(Token, Place)> {
        let token = Token::parse(named?)?;
        let place = self.gateway.pending.place(token.hash(Purpose::Return))?;
        Some((token, place))
    }

    /// A parameter of the query. One that stands twice is none.
    fn parameter(&self, name: &str) -> Option<String> {
        let query = self.request.query.as_deref()?;
        let mut found = url::form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
        match (found.next(), found.next()) {
            (Some((_, value)), None) => Some(value.into_owned()),
            _ => None,
        }
    }

    fn host(&self) -> &Host {
        &self.request.authority.host
    }

    /// Hash of the cookie that the browser shows here, whatever it leads to.
    fn cookie(&self) -> Option<TokenHash> {
        headers::own_cookie(&self.head.headers).and_then(Token::parse).map(|token| token.hash(Purpose::Cookie(self.host())))
    }

    /// Puts a step of signing in or out on record.
    async fn record_step(&self, step: AuthenticationStep, outcome: Step<'_>) -> Result<(), Failure> {
        let facts = AuthenticationFacts {
            request_id: Some(self.visit.request_id),
            step,
            failure: outcome.failure,
            detail: outcome.detail,
            idp: outcome.idp.map(str::to_owned),
            actor: outcome.live.map(record::actor).or(outcome.actor),
            client: Some(self.visit.client()),
            user_agent: self.visit.user_agent.clone(),
        };
        self.gateway.audit.keep(Event { time: self.gateway.clock.now(), body: EventBody::Authentication(Box::new(facts)) }).await
    }

    /// Puts on record that a session is opened by a second factor.
    async fn record_authorization(&self, live: &Live, factor: FactorKind) -> Result<(), Failure> {
        let (request_id, client) = (self.visit.request_id, self.visit.client());
        let facts = AuthorizationFacts { request_id, actor: record::actor(live), factor, client };
        self.gateway.audit.keep(Event { time: self.gateway.clock.now(), body: EventBody::Authorization(Box::new(facts)) }).await
    }

    /// Puts a change that a person made to their own account on record.
    async fn record_change(
        &self,
        change: AccountChange,
        identity: &Identity,
        by: ChangedBy,
        failure: Option<Reason>,
    ) -> Result<(), Failure> {
        let facts = AccountFacts {
            request_id: Some(self.visit.request_id),
            change,
            failure,
            subject: Some(identity.subject.clone()),
            email: identity.email.as_ref().map(ToString::to_string),
            by,
            client: Some(self.visit.client()),
        };
        self.gateway.audit.keep(Event { time: self.gateway.clock.now(), body: EventBody::Account(Box::new(facts)) }).await
    }
}

/// What a record of a step states beside the step.
#[derive(Default)]
struct Step<'a> {
    failure: Option<Reason>,
    detail: Option<String>,
    idp: Option<&'a str>,
    live: Option<&'a Live>,
    /// Where no session exists yet.
    actor: Option<Actor>,
}

/// The methods that the page of a request answers, if there is such a page on its host.
#[must_use]
pub fn methods(snapshot: &Snapshot, request: &CanonicalRequest) -> Option<&'static str> {
    let pages = if request.authority == *snapshot.authority() { &GATEWAY_PAGES[..] } else { &ROUTE_PAGES[..] };
    pages.iter().find(|(path, _)| *path == request.path.as_str()).map(|(_, methods)| *methods)
}

fn no_page(path: &str, pages: &[PageMethods]) -> Refusal {
    let known = pages.iter().any(|(known, _)| *known == path);
    Rejection::NoPage(if known { Reason::MethodNotAllowed } else { Reason::NoSuchPage }).into()
}

/// A redirect that turns whatever came into a GET (RFC 9110 §15.4.4), so that no form is sent on (RFC 9700 §4.12).
fn see_other(location: &str) -> Result<Response<Body>, Refusal> {
    redirect(StatusCode::SEE_OTHER, location)
}

fn redirect(status: StatusCode, location: &str) -> Result<Response<Body>, Refusal> {
    let location = HeaderValue::from_str(location).map_err(|_| Failure::Bug("a location is not a header value"))?;
    let mut response = Response::new(body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::LOCATION, location);
    security::apply(response.headers_mut(), &FormTargets::own());
    Ok(response)
}

fn json(status: StatusCode, document: impl Into<bytes::Bytes>) -> Response<Body> {
    let mut response = Response::new(body::full(document));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    security::apply(response.headers_mut(), &FormTargets::own());
    response
}

/// Sets the gateway's cookie.
fn with_cookie(mut response: Response<Body>, token: &Token) -> Result<Response<Body>, Refusal> {
    let value = cookie::set(token).map_err(|_| Failure::Bug("a cookie is not a header value"))?;
    response.headers_mut().append(http::header::SET_COOKIE, value);
    Ok(response)
}

/// Time for the whole body of a form.
const FORM_TIME: Duration = Duration::from_secs(10);

/// Everything of the gateway's own lives under this path, on every host.
pub const OWN_PREFIX: &str = "/.portcullis";

/// A page and the methods that it answers, as `Allow` states them.
pub type PageMethods = (&'static str, &'static str);

/// The pages of the gateway's host.
pub const GATEWAY_PAGES: [PageMethods; 13] = [
    ("/", "GET, HEAD"),
    ("/.portcullis/sign-in", "GET"),
    ("/.portcullis/callback", "GET"),
    (pages::SECOND_FACTOR, "GET, POST"),
    (pages::ENROL, "GET, POST"),
    ("/.portcullis/onward", "GET"),
    (pages::RECOVERY_CODES, "POST"),
    (pages::END_SESSION, "POST"),
    (pages::SIGN_OUT, "GET, POST"),
    ("/.portcullis/signed-out", "GET"),
    ("/.portcullis/backchannel-logout", "POST"),
    ("/.portcullis/jwks.json", "GET, HEAD"),
    ("/.portcullis/session", "GET"),
];

/// The pages of a route's host.
pub const ROUTE_PAGES: [PageMethods; 3] = [("/.portcullis/finish", "GET"), ("/.portcullis/session", "GET"), (pages::SIGN_OUT, "POST")];

#[cfg(test)]
mod tests;
