//! The page that says why something was refused, what helps, and whom to ask. One page for every reason.

use askama::Template;
use http::Response;
use http::header::RETRY_AFTER;
use kernel::identity::Email;
use kernel::policy::{Challenge, Reason};
use kernel::{Refusal, Rejection};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::portal::pages::base::{Base, respond};
use crate::portal::pages::messages::{Messages, ReasonWords};
use crate::portal::pages::view::{ErrorContext, RefusedSystem};
use crate::portal::pages::words;
use crate::web::body::Body;
use crate::web::problem::{retry_after, shown_reason};

/// The page for a refusal, with the refusal's status.
#[must_use]
pub fn error(refusal: &Refusal, context: &ErrorContext) -> Response<Body> {
    let t = Messages::of(context.frame.language);
    let (status, reason) = (refusal.status(), shown_reason(refusal));
    let words = (t.reasons)(reason);
    let owner = context.system.as_ref().and_then(|system| Owner::new(system, context));
    let (hours, networks) = remedy(t, reason, context);
    let asked = asked(t, refusal);
    let page = ErrorPage {
        base: Base::new(&context.frame, words.title),
        t,
        context,
        status: status.as_u16(),
        reason,
        words,
        picture: picture(t, reason, context),
        wait: wait(t, refusal),
        has_remedy: owner.is_some() || hours.is_some() || networks.is_some() || asked.is_some(),
        asked,
        hours,
        networks,
        owner,
        step: step(t, reason, context),
    };
    let mut response = respond(status, &context.frame, &page);
    if let Some(seconds) = retry_after(refusal) {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    base: Base<'a>,
    t: &'static Messages,
    context: &'a ErrorContext,
    status: u16,
    reason: Reason,
    words: ReasonWords,
    picture: Option<Picture<'a>>,
    wait: Option<String>,
    has_remedy: bool,
    asked: Option<String>,
    hours: Option<String>,
    networks: Option<String>,
    owner: Option<Owner<'a>>,
    step: Option<Step<'a>>,
}

/// You, the gateway, and what lies behind it.
struct Picture<'a> {
    alternative: &'static str,
    gateway: &'static str,
    wire: &'static str,
    end: &'static str,
    name: &'a str,
}

struct Owner<'a> {
    name: &'a str,
    /// A `mailto:` address, where the owner is an e-mail address.
    mail: Option<String>,
}

/// The button that leads on.
struct Step<'a> {
    href: &'a str,
    text: &'static str,
}

impl<'a> Owner<'a> {
    fn new(system: &'a RefusedSystem, context: &ErrorContext) -> Option<Self> {
        let name = system.owner.as_deref()?;
        let mail = Email::parse(name).ok().map(|address| {
            let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            let (local, _) = address.as_str().split_once('@').unwrap_or_default();
            let subject = encode(&format!("{} ({})", system.name, context.request_id));
            format!("mailto:{}@{}?subject={subject}", encode(local), encode(address.domain()).replace("%2E", ".").replace("%2D", "-"))
        });
        Some(Self { name, mail })
    }
}

/// Hours and networks, where they are what is missing.
fn remedy(t: &Messages, reason: Reason, context: &ErrorContext) -> (Option<String>, Option<String>) {
    let hours = || context.remedy.hours.as_ref().map(|hours| words::hours(t, hours));
    let networks = || words::networks(&context.remedy.networks);
    ((reason == Reason::OutsideHours).then(hours).flatten(), (reason == Reason::NetworkNotAllowed).then(networks).flatten())
}

fn asked(t: &Messages, refusal: &Refusal) -> Option<String> {
    let Refusal::Rejection(Rejection::Challenge(Challenge::StepUp { requirement, .. })) = refusal else {
        return None;
    };
    Some(words::requirement(t, *requirement))
}

fn wait(t: &Messages, refusal: &Refusal) -> Option<String> {
    let Refusal::Rejection(Rejection::Throttled { retry_after }) = refusal else {
        return None;
    };
    Some((t.wait)(*retry_after))
}

/// What leads on from a reason.
enum Onward {
    SignIn,
    Factor,
    /// The same address once more.
    Again,
    Portal,
    /// Nothing that a button could do.
    Nowhere,
}

const fn onward(reason: Reason) -> Onward {
    match reason {
        Reason::NoSession | Reason::SignInNotBegun | Reason::IdpRefused | Reason::IdpAnswerInvalid | Reason::IdpUnavailable => {
            Onward::SignIn
        }
        Reason::SecondFactorRequired
        | Reason::FactorTooWeak
        | Reason::FactorTooOld
        | Reason::FactorCodeWrong
        | Reason::FactorCodeReused
        | Reason::FactorClockSkewed
        | Reason::FactorDelayed
        | Reason::InviteInvalid => Onward::Factor,
        Reason::OutsideHours
        | Reason::NetworkNotAllowed
        | Reason::RateLimited
        | Reason::Misdirected
        | Reason::AuditUnavailable
        | Reason::StoreUnavailable
        | Reason::BodyTooSlow
        | Reason::UpstreamUnreachable
        | Reason::UpstreamTimedOut
        | Reason::UpstreamAnswerInvalid
        | Reason::Overloaded
        | Reason::InternalError => Onward::Again,
        Reason::NoRule
        | Reason::UnknownHost
        | Reason::MalformedRequest
        | Reason::CrossSite
        | Reason::MethodNotAllowed
        | Reason::NoSuchPage
        | Reason::BodyTooLarge
        | Reason::LoopDetected
        | Reason::RedirectRejected
        | Reason::LogoutTokenInvalid => Onward::Portal,
        Reason::LockedOut => Onward::Nowhere,
    }
}

fn step<'a>(t: &Messages, reason: Reason, context: &'a ErrorContext) -> Option<Step<'a>> {
    let next = context.next.as_deref();
    match onward(reason) {
        Onward::SignIn => next.map(|href| Step { href, text: t.next_sign_in }),
        Onward::Factor => next.map(|href| Step { href, text: t.next_factor }),
        // An empty address is the page's own (RFC 3986 §4.4): the browser asks for it once more, with GET.
        Onward::Again => Some(Step { href: next.unwrap_or(""), text: t.try_again }),
        Onward::Portal => context.frame.portal.as_deref().map(|href| Step { href, text: t.portal }),
        Onward::Nowhere => None,
    }
}

/// A picture for what is broken; a refusal is no breakage.
fn picture<'a>(t: &'static Messages, reason: Reason, context: &'a ErrorContext) -> Option<Picture<'a>> {
    let system = context.system.as_ref().map_or(t.node_system, |system| system.name.as_str());
    match reason {
        Reason::UpstreamUnreachable | Reason::UpstreamTimedOut | Reason::UpstreamAnswerInvalid => {
            Some(Picture { alternative: t.picture_system, gateway: "good", wire: "bad", end: "bad", name: system })
        }
        Reason::IdpUnavailable => Some(Picture { alternative: t.picture_idp, gateway: "good", wire: "bad", end: "bad", name: t.node_idp }),
        Reason::AuditUnavailable | Reason::StoreUnavailable | Reason::Overloaded | Reason::InternalError => {
            Some(Picture { alternative: t.picture_gateway, gateway: "bad", wire: "idle", end: "idle", name: system })
        }
        Reason::NoSession
        | Reason::SecondFactorRequired
        | Reason::FactorTooWeak
        | Reason::FactorTooOld
        | Reason::NoRule
        | Reason::UnknownHost
        | Reason::OutsideHours
        | Reason::NetworkNotAllowed
        | Reason::RateLimited
        | Reason::LockedOut
        | Reason::MalformedRequest
        | Reason::Misdirected
        | Reason::CrossSite
        | Reason::MethodNotAllowed
        | Reason::NoSuchPage
        | Reason::BodyTooLarge
        | Reason::BodyTooSlow
        | Reason::LoopDetected
        | Reason::SignInNotBegun
        | Reason::IdpRefused
        | Reason::IdpAnswerInvalid
        | Reason::RedirectRejected
        | Reason::FactorCodeWrong
        | Reason::FactorCodeReused
        | Reason::FactorClockSkewed
        | Reason::FactorDelayed
        | Reason::InviteInvalid
        | Reason::LogoutTokenInvalid => None,
    }
}
