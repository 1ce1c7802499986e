//! Refusals for programs: `application/problem+json` (RFC 9457).

use std::time::Duration;

use http::header::{CONTENT_LANGUAGE, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use kernel::policy::{Challenge, Reason};
use kernel::request::RequestId;
use kernel::{Refusal, Rejection};
use serde::Serialize;

use crate::web::body::{self, Body};
use crate::web::security::{self, FormTargets};

/// What a program is told.
#[derive(Clone, Debug)]
pub struct Problem<'a> {
    pub refusal: &'a Refusal,
    pub request_id: RequestId,
    /// Where a person signs in, or shows the factor that is missing.
    pub sign_in: Option<&'a str>,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'static str,
    reason: Reason,
    request_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sign_in: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    factor: Option<Factor>,
}

/// The factor that a rule asks for, in the words of a route file.
#[derive(Serialize)]
struct Factor {
    strength: &'static str,
    max_age: u64,
}

/// The whole answer.
#[must_use]
pub fn response(problem: &Problem<'_>) -> Response<Body> {
    let (status, reason) = (shown_status(problem.refusal), shown_reason(problem.refusal));
    let retry_after = retry_after(problem.refusal);
    let document = Document {
        // No page per reason is served, so the type is the one that says "the status tells" (RFC 9457 §4.2.1).
        r#type: "about:blank",
        title: status.canonical_reason().unwrap_or("Refused"),
        status: status.as_u16(),
        detail: reason.meaning(),
        reason,
        request_id: problem.request_id.to_string(),
        sign_in: problem.sign_in,
        retry_after,
        factor: factor(problem.refusal),
    };
    let mut text = serde_json::to_string(&document).unwrap_or_default();
    text.push('\n');
    let mut response = Response::new(body::full(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    security::apply(headers, &FormTargets::own());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static("en"));
    if let Some(seconds) = retry_after {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    if status == StatusCode::UNAUTHORIZED {
        // RFC 9110 §11.6.1 wants a challenge with every 401. Browsers know no scheme of this name, so none asks for a password.
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Cookie realm=\"portcullis\", cookie-name=\"__Host-portcullis\""));
    }
    response
}

/// The status that is shown. An unknown host looks like one where nobody is signed in, always.
#[must_use]
pub const fn shown_status(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::Rejection(Rejection::UnknownHost) => StatusCode::UNAUTHORIZED,
        Refusal::Rejection(_) | Refusal::Failure(_) => refusal.status(),
    }
}

/// The reason that is shown: `unknown_host` is for the record alone.
#[must_use]
pub const fn shown_reason(refusal: &Refusal) -> Reason {
    match refusal {
        Refusal::Rejection(Rejection::UnknownHost) => Reason::NoSession,
        Refusal::Rejection(_) | Refusal::Failure(_) => refusal.reason(),
    }
}

/// Whole seconds after which it makes sense to ask again, rounded up.
#[must_use]
pub fn retry_after(refusal: &Refusal) -> Option<u64> {
    match refusal {
        Refusal::Rejection(Rejection::Throttled { retry_after }) => Some(seconds_up(*retry_after)),
        Refusal::Rejection(
            Rejection::Malformed(_)
            | Rejection::Misdirected
            | Rejection::UnknownHost
            | Rejection::Challenge(_)
            | Rejection::Forbidden(_)
            | Rejection::NoPage(_)
            | Rejection::BadSubmission(_)
            | Rejection::TooLarge,
        )
        | Refusal::Failure(_) => None,
    }
}

/// Whole seconds, rounded up and never zero, so that who waits as told is not refused again.
#[must_use]
pub fn seconds_up(span: Duration) -> u64 {
    span.as_secs().saturating_add(u64::from(span.subsec_nanos() > 0)).max(1)
}

fn factor(refusal: &Refusal) -> Option<Factor> {
    let Refusal::Rejection(Rejection::Challenge(Challenge::StepUp { requirement, .. })) = refusal else {
        return None;
    };
    Some(Factor { strength: requirement.strength.as_str(), max_age: requirement.max_age.as_secs() })
}
