//! From what the handlers know to what the pages show.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use kernel::factor::totp::Direction;
use kernel::identity::Identity;
use kernel::route::Route;
use kernel::session::{Session, SessionId, Token};
use zeroize::Zeroizing;

use super::enrol::{EnrolFault, InviteField};
use super::factor::CodeFault;
use super::onward::with_return;
use super::pages::view::{self, Frame, Hidden};
use super::{Desk, pages};
use crate::gateway::Snapshot;
use crate::gateway::sessions::Live;
use crate::gateway::visit::Visit;
use crate::idp::Idp;
use crate::store::Factors;
use crate::web::body::Body;
use crate::web::security::FormTargets;

/// What every page of this visit has. Sign-out leads to the gateway's host and on to the IdP, so forms may.
pub fn frame(snapshot: &Snapshot, visit: &Visit) -> Frame {
    let facts = visit.person.as_ref().map(|live| live.facts());
    let mut form_targets = FormTargets::own().and_authority(snapshot.authority());
    if let Some(idp) = facts.as_ref().and_then(|facts| snapshot.idp(&facts.idp)) {
        form_targets = form_targets.and_address(idp.issuer());
    }
    Frame {
        language: visit.language,
        signed_in: facts.map(|facts| name_of(&facts.identity)),
        portal: visit.person.is_some().then(|| format!("{}/", snapshot.authority().origin())),
        form_targets,
    }
}

pub fn name_of(identity: &Identity) -> String {
    match (&identity.email, &identity.name) {
        (Some(email), _) => email.to_string(),
        (None, Some(name)) => name.clone(),
        (None, None) => identity.subject.sub.clone(),
    }
}

pub(super) fn chooser(desk: Desk<'_>, idps: &[Arc<Idp>], place: Option<&Token>) -> Response<Body> {
    let provider = |idp: &Arc<Idp>| view::Provider {
        name: idp.label().to_owned(),
        href: format!("{}{}idp={}", with_return(SIGN_IN, place), if place.is_some() { "&" } else { "?" }, percent(idp.id())),
    };
    let view = view::Chooser { destination: destination(desk, place), providers: idps.iter().map(provider).collect() };
    pages::chooser(&frame(desk.snapshot, desk.visit), &view)
}

pub(super) fn hop(desk: Desk<'_>, place: Option<&Token>) -> Response<Body> {
    let continue_to = format!("{}{}go=1", with_return(SIGN_IN, place), if place.is_some() { "&" } else { "?" });
    pages::hop(&frame(desk.snapshot, desk.visit), &view::Hop { continue_to })
}

pub(super) fn second_factor(desk: Desk<'_>, place: Option<&Token>, factors: &Factors, fault: Option<CodeFault>) -> Response<Body> {
    let view = view::SecondFactor {
        destination: destination(desk, place),
        step_up: None,
        fault: fault.map(code_fault),
        recovery_codes_left: factors.recovery_codes_left,
        hidden: hidden(place),
    };
    pages::second_factor(&frame_towards(desk, place), &view)
}

pub(super) fn enrol(
    desk: Desk<'_>,
    place: Option<&Token>,
    field: InviteField,
    secret: &str,
    otpauth: &str,
    fault: Option<EnrolFault>,
) -> Response<Body> {
    let view = view::Enrolment {
        invite: match field {
            InviteField::Ask => view::Invite::Asked,
            InviteField::Settled => view::Invite::NotNeeded,
        },
        secret: Some(view::EnrolmentSecret { base32: Zeroizing::new(secret.to_owned()), otpauth: Zeroizing::new(otpauth.to_owned()) }),
        fault: fault.map(|fault| match fault {
            EnrolFault::Code(fault) => view::EnrolmentFault::Code(code_fault(fault)),
            EnrolFault::InviteInvalid => view::EnrolmentFault::Invite,
        }),
        hidden: hidden(place),
    };
    pages::enrolment(&frame_towards(desk, place), &view)
}

pub(super) fn recovery_codes(desk: Desk<'_>, place: Option<&Token>, codes: &[Zeroizing<String>]) -> Response<Body> {
    let view = view::RecoveryCodes { codes: codes.to_vec(), continue_to: with_return("/.portcullis/onward", place) };
    pages::recovery_codes(&frame(desk.snapshot, desk.visit), &view)
}

pub(super) fn portal(desk: Desk<'_>, systems: &[Arc<Route>], sessions: &[Session], own: SessionId, factors: &Factors) -> Response<Body> {
    let view = view::Portal {
        now: desk.gateway.clock.now(),
        systems: systems.iter().map(|route| system(desk, route)).collect(),
        sessions: sessions.iter().map(|session| session_line(session, own)).collect(),
        factors: view::FactorLines {
            totp: factors.totp.as_ref().map(|totp| totp.enrolled),
            recovery_codes_left: factors.recovery_codes_left,
        },
        notice: None,
    };
    pages::portal(&frame(desk.snapshot, desk.visit), &view)
}

fn system(desk: Desk<'_>, route: &Route) -> view::System {
    view::System {
        name: route.id.to_string(),
        href: format!("{}/", route.from.origin()),
        host: route.from.to_string(),
        class: route.class.to_string(),
        owner: route.owner.as_deref().map(str::to_owned),
        data: route.data.iter().map(ToString::to_string).collect(),
        step_up: desk.visit.person.as_ref().and_then(|live| step_up(desk, live, route)),
    }
}

/// What opening a system will ask for, when none of its rules for this person is satisfied as things stand.
fn step_up(desk: Desk<'_>, live: &Live, route: &Route) -> Option<kernel::identity::assurance::Requirement> {
    let identity = live.facts().identity.clone();
    let assurance = live.assurance_after_pause(route.idle_timeout);
    let now = desk.gateway.clock.now();
    let named: Vec<_> = route.rules.iter().filter(|rule| rule.audience.names(&identity)).map(|rule| rule.requirement).collect();
    let met =
        named.iter().any(|requirement| matches!(assurance.meets(*requirement, now), kernel::identity::assurance::Sufficiency::Met(_)));
    if met { None } else { named.into_iter().min_by_key(|requirement| (requirement.strength, std::cmp::Reverse(requirement.max_age))) }
}

fn session_line(session: &Session, own: SessionId) -> view::SessionLine {
    view::SessionLine {
        id: session.id,
        place: if session.id == own { view::SessionPlace::ThisBrowser } else { view::SessionPlace::Elsewhere },
        user_agent: session.user_agent.clone(),
        address: session.address.map(|address| address.to_string()),
        began: session.state.created,
        last_seen: session.state.last_seen,
    }
}

pub(super) fn sign_out(desk: Desk<'_>) -> Response<Body> {
    pages::sign_out(&frame(desk.snapshot, desk.visit))
}

pub(super) fn signed_out(desk: Desk<'_>) -> Response<Body> {
    // The IdP sends the browser back here with the state that sign-out gave it.
    let idp = if desk.parameter("state").is_some() { view::IdpSession::Ended } else { view::IdpSession::Kept };
    pages::signed_out(&frame(desk.snapshot, desk.visit), &view::SignedOut { idp, again: SIGN_IN.to_owned() })
}

/// A page whose form may end at the place to return to.
fn frame_towards(desk: Desk<'_>, place: Option<&Token>) -> Frame {
    let mut frame = frame(desk.snapshot, desk.visit);
    if let Some((_, place)) = place.and_then(|token| desk.place(Some(&token.text()))) {
        frame.form_targets = frame.form_targets.and_authority(&place.place.authority);
    }
    frame
}

fn destination(desk: Desk<'_>, place: Option<&Token>) -> Option<String> {
    let (_, place) = desk.place(Some(&place?.text()))?;
    (place.place.authority != *desk.snapshot.authority()).then(|| place.place.authority.to_string())
}

fn hidden(place: Option<&Token>) -> Vec<Hidden> {
    place.map(|token| Hidden { name: "return", value: Zeroizing::new(token.text()) }).into_iter().collect()
}

const fn code_fault(fault: CodeFault) -> view::CodeFault {
    match fault {
        CodeFault::Wrong => view::CodeFault::Wrong,
        CodeFault::Reused => view::CodeFault::Reused,
        CodeFault::Skewed(skew) => {
            let off = Duration::from_secs(skew.minutes * 60);
            match skew.direction {
                Direction::Ahead => view::CodeFault::ClockAhead(off),
                Direction::Behind => view::CodeFault::ClockBehind(off),
            }
        }
        CodeFault::Wait(wait) => view::CodeFault::Wait(wait),
        CodeFault::Stopped => view::CodeFault::Stopped,
    }
}

fn percent(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

pub const SIGN_IN: &str = "/.portcullis/sign-in";
