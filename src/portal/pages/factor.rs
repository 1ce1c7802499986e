//! The pages about second factors.

use askama::Template;
use http::header::RETRY_AFTER;
use http::{Response, StatusCode};
use kernel::policy::decide::StepUp;

use crate::portal::pages::base::{Base, respond};
use crate::portal::pages::messages::{Heading, Messages};
use crate::portal::pages::qr::{self, Picture};
use crate::portal::pages::view::{CodeFault, Enrolment, EnrolmentFault, EnrolmentSecret, Frame, Invite, RecoveryCodes, SecondFactor};
use crate::portal::pages::{ENROL, SECOND_FACTOR, words};
use crate::web::assets::Asset;
use crate::web::body::Body;
use crate::web::problem::seconds_up;

/// Asks for a code. 200, or with a fault 400 (unreadable), 403 (not accepted) or 429 (wait).
#[must_use]
pub fn second_factor(frame: &Frame, view: &SecondFactor) -> Response<Body> {
    let t = Messages::of(frame.language);
    let step_up = view.step_up.map(|(requirement, reason)| {
        let why = match reason {
            StepUp::TooOld => t.factor_too_old,
            StepUp::TooWeak => t.factor_too_weak,
        };
        (why, words::requirement(t, requirement))
    });
    let fault = view.fault.map(|fault| words::code_fault(t, fault));
    let base = Base::new(frame, title(t, t.factor.title, fault.as_ref()));
    let page = SecondFactorPage { base, t, view, step_up, fault, action: SECOND_FACTOR };
    with_wait(respond(view.fault.map_or(StatusCode::OK, status), frame, &page), view.fault)
}

/// Enrols a factor, or first asks for the invitation. 200, or with a fault as [`second_factor`].
#[must_use]
pub fn enrolment(frame: &Frame, view: &Enrolment) -> Response<Body> {
    let t = Messages::of(frame.language);
    let (code_fault, fault) = match view.fault {
        None => (None, None),
        Some(EnrolmentFault::Code(fault)) => (Some(fault), Some(words::code_fault(t, fault))),
        Some(EnrolmentFault::Invite) => (None, Some(t.invite_wrong.to_owned())),
    };
    let status = match view.fault {
        None => StatusCode::OK,
        Some(EnrolmentFault::Code(fault)) => status(fault),
        Some(EnrolmentFault::Invite) => StatusCode::FORBIDDEN,
    };
    let heading = if view.secret.is_some() { t.enrolment } else { t.invite };
    let focus_code = match view.invite {
        Invite::NotNeeded | Invite::Shown(_) => true,
        Invite::Asked => false,
    };
    let base = Base::new(frame, title(t, heading.title, fault.as_ref()));
    let secret = view.secret.as_ref().map(ShownSecret::new);
    let page = EnrolmentPage { base, t, view, heading, secret, fault, focus_code, action: ENROL };
    with_wait(respond(status, frame, &page), code_fault)
}

/// Shows recovery codes.
#[must_use]
pub fn recovery_codes(frame: &Frame, view: &RecoveryCodes) -> Response<Body> {
    let t = Messages::of(frame.language);
    let page = RecoveryCodesPage { base: Base::new(frame, t.codes.title), t, view, script: Asset::RecoveryCodes.href() };
    respond(StatusCode::OK, frame, &page)
}

/// A page with a fault says so in its title, which a screen reader reads first.
fn title(t: &Messages, title: &str, fault: Option<&String>) -> String {
    match fault {
        None => title.to_owned(),
        Some(_) => format!("{}: {title}", t.error_prefix),
    }
}

const fn status(fault: CodeFault) -> StatusCode {
    match fault {
        CodeFault::Unreadable => StatusCode::BAD_REQUEST,
        CodeFault::Wrong | CodeFault::Reused | CodeFault::ClockBehind(_) | CodeFault::ClockAhead(_) => StatusCode::FORBIDDEN,
        CodeFault::Wait(_) | CodeFault::Stopped => StatusCode::TOO_MANY_REQUESTS,
    }
}

fn with_wait(mut response: Response<Body>, fault: Option<CodeFault>) -> Response<Body> {
    if let Some(CodeFault::Wait(span)) = fault {
        response.headers_mut().insert(RETRY_AFTER, seconds_up(span).into());
    }
    response
}

#[derive(Template)]
#[template(path = "second_factor.html")]
struct SecondFactorPage<'a> {
    base: Base<'a>,
    t: &'static Messages,
    view: &'a SecondFactor,
    step_up: Option<(&'static str, String)>,
    fault: Option<String>,
    action: &'static str,
}

#[derive(Template)]
#[template(path = "enrolment.html")]
struct EnrolmentPage<'a> {
    base: Base<'a>,
    t: &'static Messages,
    view: &'a Enrolment,
    heading: Heading,
    secret: Option<ShownSecret<'a>>,
    fault: Option<String>,
    focus_code: bool,
    action: &'static str,
}

/// The secret in its three forms.
struct ShownSecret<'a> {
    picture: Option<Picture>,
    otpauth: &'a str,
    grouped: String,
}

impl<'a> ShownSecret<'a> {
    fn new(secret: &'a EnrolmentSecret) -> Self {
        let mut grouped = String::with_capacity(secret.base32.len() * 5 / 4 + 1);
        for (index, character) in secret.base32.chars().enumerate() {
            if index > 0 && index % 4 == 0 {
                grouped.push(' ');
            }
            grouped.push(character);
        }
        Self { picture: qr::draw(&secret.otpauth), otpauth: &secret.otpauth, grouped }
    }
}

#[derive(Template)]
#[template(path = "recovery_codes.html")]
struct RecoveryCodesPage<'a> {
    base: Base<'a>,
    t: &'static Messages,
    view: &'a RecoveryCodes,
    script: &'static str,
}
