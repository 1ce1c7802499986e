//! The only place that turns a refusal into HTTP. The refusal is on record before it is answered.

use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use kernel::policy::decide::StepUp;
use kernel::policy::rule::Networks;
use kernel::policy::{Challenge, Reason};
use kernel::redirect::ReturnPlace;
use kernel::request::headers;
use kernel::session::Token;
use kernel::session::token::Purpose;
use kernel::{Failure, Refusal, Rejection};

use super::proxy_status;
use super::sparing::Sparing;
use crate::entropy;
use crate::gateway::pending::Place;
use crate::gateway::visit::{DecisionRecord, Visit};
use crate::gateway::{Gateway, Snapshot, record};
use crate::portal::pages::{self, view};
use crate::portal::{self, show};
use crate::web::body::{self, Body};
use crate::web::cookie;
use crate::web::problem::{self, Problem};
use crate::web::security::{self, FormTargets};

/// Answers a refusal, and records it first.
pub async fn refuse(gateway: &Gateway, snapshot: &Snapshot, visit: &Visit, head: &Parts, refusal: Refusal) -> Response<Body> {
    if let Refusal::Failure(failure) = &refusal {
        tell(visit, failure);
    }
    let shaped = shape(gateway, snapshot, visit, head, &refusal);
    let mut response = shaped.unwrap_or_else(|failure| plain(snapshot, visit, &failure.into()));
    proxy_status::state(&mut response, &refusal, snapshot.upstreams.via(), &head.headers);
    gateway.metrics.refused(&refusal);
    match visit.decision {
        DecisionRecord::None => {}
        DecisionRecord::Kept => return response,
    }
    let record = record::refused(visit, &refusal, response.status().as_u16());
    match gateway.audit.keep(record).await {
        Ok(()) => response,
        // What cannot be recorded is not answered as if it were.
        Err(failure) => plain(snapshot, visit, &failure.into()),
    }
}

/// Says what failed. While records cannot be kept every request fails alike: that is said once a second, with a number.
fn tell(visit: &Visit, failure: &Failure) {
    static OUTAGE: Sparing = Sparing::new();
    let others = match failure {
        Failure::Audit => match OUTAGE.count(visit.received) {
            Some(others) => others,
            None => return,
        },
        _ => 0,
    };
    tracing::error!(request.id = %visit.request_id, error = %failure, others, "a request failed on our side");
}

/// When not even a request id can be made.
pub fn without_record() -> Response<Body> {
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}

fn shape(gateway: &Gateway, snapshot: &Snapshot, visit: &Visit, head: &Parts, refusal: &Refusal) -> Result<Response<Body>, Failure> {
    let shown = shown(refusal);
    let Some(page) = next_page(&shown) else {
        return Ok(plain(snapshot, visit, &shown));
    };
    let next = format!("{}{page}", snapshot.authority().origin());
    if !visit.is_navigation() {
        return Ok(problem::response(&Problem { refusal: &shown, request_id: visit.request_id, sign_in: Some(&next) }));
    }
    match &visit.request {
        Some(request) => {
            let place = ReturnPlace {
                authority: request.authority.clone(),
                path: request.path.clone(),
                query: request.query.clone(),
                fragment: None,
            };
            go_and_return(gateway, head, place, &next)
        }
        None => Ok(plain(snapshot, visit, &shown)),
    }
}

/// Who is not signed in is not told that a host is unknown: the answer is the one that a listed host gives.
fn shown(refusal: &Refusal) -> Refusal {
    match refusal {
        Refusal::Rejection(Rejection::UnknownHost) => Rejection::Challenge(Challenge::SignIn).into(),
        other => other.clone(),
    }
}

/// The page where the missing step is taken, if there is one.
const fn next_page(refusal: &Refusal) -> Option<&'static str> {
    let Refusal::Rejection(Rejection::Challenge(challenge)) = refusal else { return None };
    match challenge {
        Challenge::SignIn => Some(show::SIGN_IN),
        Challenge::SecondFactor | Challenge::StepUp { reason: StepUp::TooOld, .. } => Some(pages::SECOND_FACTOR),
        // No factor that this gateway can enrol is stronger than what was shown.
        Challenge::StepUp { reason: StepUp::TooWeak, .. } => None,
    }
}

/// Remembers the place, bound to this browser, and sends the browser to the step.
fn go_and_return(gateway: &Gateway, head: &Parts, place: ReturnPlace, next: &str) -> Result<Response<Body>, Failure> {
    let shown = headers::own_cookie(&head.headers).and_then(Token::parse);
    let fresh = if shown.is_none() { Some(entropy::token()?) } else { None };
    let browser = shown.as_ref().or(fresh.as_ref()).ok_or(Failure::Bug("neither a shown nor a fresh token"))?;
    let name = entropy::token()?;
    let browser = browser.hash(Purpose::Cookie(&place.authority.host));
    gateway.pending.put_place(name.hash(Purpose::Return), Place { place, browser });
    let location = format!("{next}?return={}", name.text());
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::FOUND;
    let location = HeaderValue::from_str(&location).map_err(|_| Failure::Bug("a location is not a header value"))?;
    response.headers_mut().insert(http::header::LOCATION, location);
    if let Some(token) = fresh {
        response.headers_mut().append(http::header::SET_COOKIE, cookie::set(&token)?);
    }
    security::apply(response.headers_mut(), &FormTargets::own());
    Ok(response)
}

/// A page for a person, a problem document for a program.
fn plain(snapshot: &Snapshot, visit: &Visit, refusal: &Refusal) -> Response<Body> {
    let mut response = if visit.is_navigation() {
        pages::error(refusal, &context(snapshot, visit, refusal))
    } else {
        problem::response(&Problem { refusal, request_id: visit.request_id, sign_in: None })
    };
    if matches!(refusal, Refusal::Rejection(Rejection::Malformed(_))) {
        // RFC 9112 §9.6: where the framing is in doubt nothing more is read. HTTP/2 knows no such field.
        if visit.version <= http::Version::HTTP_11 {
            response.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
    if let Some(request) = visit.request.as_ref().filter(|_| response.status() == StatusCode::METHOD_NOT_ALLOWED)
        && let Some(methods) = portal::methods(snapshot, request)
    {
        response.headers_mut().insert(http::header::ALLOW, HeaderValue::from_static(methods));
    }
    response
}

fn context(snapshot: &Snapshot, visit: &Visit, refusal: &Refusal) -> view::ErrorContext {
    // The route is named only to who is signed in with both factors.
    let known = visit.person.as_ref().is_some_and(|live| live.facts().assurance.has_any());
    let route = visit.route.as_ref().filter(|_| known);
    let next = match refusal.reason() {
        Reason::SignInNotBegun | Reason::IdpRefused | Reason::IdpAnswerInvalid | Reason::IdpUnavailable => Some(show::SIGN_IN),
        _ => None,
    };
    view::ErrorContext {
        frame: show::frame(snapshot, visit),
        request_id: visit.request_id,
        host: visit.request.as_ref().map(|request| request.authority.to_string()),
        system: route.map(|route| view::RefusedSystem { name: route.id.to_string(), owner: route.owner.as_deref().map(str::to_owned) }),
        next: next.map(|page| format!("{}{page}", snapshot.authority().origin())),
        remedy: route.map(|route| remedy(visit, route)).unwrap_or_default(),
    }
}

/// The hours and networks of the rules that would let this person in.
fn remedy(visit: &Visit, route: &kernel::route::Route) -> view::Remedy {
    let (Some(live), Some(request)) = (&visit.person, &visit.request) else {
        return view::Remedy::default();
    };
    let identity = live.facts().identity.clone();
    let about = |rule: &&kernel::policy::rule::Rule| {
        rule.audience.names(&identity)
            && rule.methods.contains(&request.method)
            && rule.paths.iter().any(|pattern| pattern.matches(&request.path))
    };
    let rules: Vec<_> = route.rules.iter().filter(about).collect();
    let networks = rules.iter().find_map(|rule| match &rule.networks {
        Networks::Any => None,
        Networks::Listed(networks) => Some(networks.clone()),
    });
    view::Remedy { hours: rules.iter().find_map(|rule| rule.hours.clone()), networks: networks.unwrap_or_default() }
}
