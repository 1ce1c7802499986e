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
    let (status, reason) = (problem.refusal.status(), shown_reason(problem.refusal));
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
    let Refusal::Rejection(Rejection::Throttled { retry_after }) = refusal else {
        return None;
    };
    Some(seconds_up(*retry_after))
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use http_body_util::BodyExt;
    use kernel::identity::assurance::{Requirement, Strength};
    use kernel::policy::decide::StepUp;

    use super::*;

    async fn read(refusal: &Refusal, sign_in: Option<&str>) -> (Response<()>, serde_json::Value) {
        let (parts, body) = response(&Problem { refusal, request_id: RequestId::new([1; 16]), sign_in }).into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (Response::from_parts(parts, ()), serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn a_program_without_a_session_learns_where_to_sign_in() {
        let refusal = Rejection::Challenge(Challenge::SignIn).into();
        let (head, document) = read(&refusal, Some("https://gate.example.com/.portcullis/sign-in")).await;
        assert_eq!(head.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(head.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(head.headers()["cache-control"], "no-store");
        assert!(head.headers().contains_key(WWW_AUTHENTICATE));
        assert_eq!(document["status"], 401);
        assert_eq!(document["reason"], "no_session");
        assert_eq!(document["sign_in"], "https://gate.example.com/.portcullis/sign-in");
        assert_eq!(document["request_id"], "01".repeat(16));
    }

    #[tokio::test]
    async fn an_unknown_host_looks_like_one_that_asks_for_a_sign_in() {
        let (unknown, unlisted) = (Rejection::UnknownHost.into(), Rejection::Challenge(Challenge::SignIn).into());
        let (unknown, unlisted) = (read(&unknown, Some("https://x/")).await, read(&unlisted, Some("https://x/")).await);
        assert_eq!(unknown.1, unlisted.1);
        assert_eq!(unknown.0.status(), unlisted.0.status());
        assert_eq!(unknown.0.headers(), unlisted.0.headers());
    }

    #[tokio::test]
    async fn a_wait_is_told_in_whole_seconds_rounded_up() {
        for (millis, seconds) in [(1, 1), (0, 1), (1_000, 1), (1_001, 2), (59_999, 60)] {
            let refusal = Rejection::Throttled { retry_after: Duration::from_millis(millis) }.into();
            let (head, document) = read(&refusal, None).await;
            assert_eq!(head.status(), StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(head.headers()[RETRY_AFTER], seconds.to_string().as_str());
            assert_eq!(document["retry_after"], seconds);
        }
    }

    #[tokio::test]
    async fn a_step_up_names_the_factor_that_is_asked_for() {
        let requirement = Requirement { strength: Strength::PhishingResistant, max_age: Duration::from_secs(600) };
        let refusal = Rejection::Challenge(Challenge::StepUp { requirement, reason: StepUp::TooOld }).into();
        let (head, document) = read(&refusal, Some("https://x/")).await;
        assert_eq!(head.status(), StatusCode::FORBIDDEN);
        assert_eq!(document["reason"], "factor_too_old");
        assert_eq!(document["factor"]["strength"], "phishing-resistant");
        assert_eq!(document["factor"]["max_age"], 600);
    }

    #[tokio::test]
    async fn what_went_wrong_inside_is_not_told() {
        let refusal = kernel::Failure::Store("secret path /var/lib/x".to_owned()).into();
        let (head, document) = read(&refusal, None).await;
        assert_eq!(head.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(!document.to_string().contains("secret path"));
    }
}
