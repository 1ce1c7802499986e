//! What a refusal says about itself to programs that watch HTTP, beside its status: `Proxy-Status` (RFC 9209), and for gRPC
//! clients `grpc-status` and `grpc-message`, in place of a document.
//!
//! Both say no more than the page or problem document does.

use http::header::{CONTENT_LANGUAGE, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use kernel::request::headers;
use kernel::{Failure, Refusal, Rejection, Unreachable};

use crate::upstream::Via;
use crate::web::body::{self, Body};
use crate::web::problem::shown_reason;

/// Adds what is said of `refusal` to its answer. A redirect to sign-in is no error, and says nothing.
pub fn state(response: &mut Response<Body>, refusal: &Refusal, via: &Via, asked: &HeaderMap) {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return;
    }
    let reason = shown_reason(refusal);
    let text = format!("{}; error={}; details=\"{reason}\"", via.name(), error(refusal));
    set(response, headers::PROXY_STATUS, &text);
    if headers::is_grpc(asked) {
        let message = percent_encoded(&format!("{reason}: {}", reason.meaning()));
        answer_grpc(response, status, &message);
    }
}

/// A gRPC client reads an answer that ends with its head, and takes a document behind it for a broken stream.
fn answer_grpc(response: &mut Response<Body>, status: StatusCode, message: &str) {
    *response.body_mut() = body::empty();
    let fields = response.headers_mut();
    fields.remove(CONTENT_LANGUAGE);
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    set(response, headers::GRPC_STATUS, grpc_status(status));
    set(response, headers::GRPC_MESSAGE, message);
}

fn set(response: &mut Response<Body>, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        response.headers_mut().insert(name, value);
    }
}

/// The error types of RFC 9209 §2.3.
const fn error(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Rejection(Rejection::Loop) => "proxy_loop_detected",
        Refusal::Rejection(Rejection::Malformed(_) | Rejection::BadSubmission(_) | Rejection::TooLarge | Rejection::TooSlow) => {
            "http_request_error"
        }
        Refusal::Rejection(
            Rejection::Misdirected
            | Rejection::UnknownHost
            | Rejection::Challenge(_)
            | Rejection::Forbidden(_)
            | Rejection::Throttled { .. }
            | Rejection::NoPage(_),
        ) => "http_request_denied",
        Refusal::Failure(Failure::UpstreamUnreachable { why, .. }) => match why {
            Unreachable::Name => "dns_error",
            Unreachable::AddressRefused => "destination_ip_prohibited",
            Unreachable::TimedOut => "connection_timeout",
            Unreachable::Connection => "destination_unavailable",
            Unreachable::Tls => "tls_protocol_error",
        },
        Refusal::Failure(Failure::UpstreamTimedOut(_)) => "http_response_timeout",
        Refusal::Failure(Failure::UpstreamAnswer(_)) => "http_protocol_error",
        Refusal::Failure(Failure::Overloaded) => "connection_limit_reached",
        Refusal::Failure(Failure::Audit | Failure::Store(_) | Failure::Idp(_) | Failure::Bug(_)) => "proxy_internal_error",
    }
}

/// The codes of gRPC as its clients read them from a status, and a few that say more.
fn grpc_status(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "16",
        403 => "7",
        404 | 405 => "12",
        408 | 504 => "4",
        413 | 429 => "8",
        502 | 503 => "14",
        400 | 417 | 421 | 431 => "3",
        _ => "13",
    }
}

/// As gRPC writes a message: printable ASCII but `%`.
fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use kernel::policy::{Challenge, Reason};

    use super::*;

    fn stated(refusal: impl Into<Refusal>, status: u16, content_type: &'static str) -> HeaderMap {
        let refusal = refusal.into();
        let mut asked = HeaderMap::new();
        asked.insert("content-type", HeaderValue::from_static(content_type));
        let mut response = Response::new(body::empty());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        state(&mut response, &refusal, &Via::new("https://gate.test"), &asked);
        response.headers().clone()
    }

    #[test]
    fn an_answer_of_the_gateways_own_names_its_error() {
        let unreachable = |why| Failure::UpstreamUnreachable { why, detail: "10.0.0.5 secret".to_owned() };
        for (refusal, status, says) in [
            (Refusal::from(unreachable(Unreachable::Name)), 502, "error=dns_error; details=\"upstream_unreachable\""),
            (unreachable(Unreachable::TimedOut).into(), 504, "error=connection_timeout; details=\"upstream_timed_out\""),
            (
                Failure::UpstreamTimedOut(std::time::Duration::ZERO).into(),
                504,
                "error=http_response_timeout; details=\"upstream_timed_out\"",
            ),
            (Failure::UpstreamAnswer("secret".to_owned()).into(), 502, "error=http_protocol_error; details=\"upstream_answer_invalid\""),
            (Failure::Overloaded.into(), 503, "error=connection_limit_reached; details=\"overloaded\""),
            (Rejection::Loop.into(), 508, "error=proxy_loop_detected; details=\"loop_detected\""),
            (Rejection::UnknownHost.into(), 401, "error=http_request_denied; details=\"no_session\""),
            (Rejection::Challenge(Challenge::SignIn).into(), 401, "error=http_request_denied; details=\"no_session\""),
        ] {
            let fields = stated(refusal, status, "text/plain");
            let text = fields["proxy-status"].to_str().unwrap();
            assert_eq!(text.split_once("; ").unwrap().1, says);
            assert!(text.starts_with("portcullis-") && fields.len() == 1, "{fields:?}");
        }
    }

    #[test]
    fn a_redirect_is_no_error() {
        assert!(stated(Rejection::Challenge(Challenge::SignIn), 302, "application/grpc").is_empty());
    }

    #[test]
    fn a_grpc_client_reads_its_own_code_and_the_reason() {
        for (refusal, status, code) in [
            (Refusal::from(Rejection::Challenge(Challenge::SignIn)), 401, "16"),
            (Rejection::Forbidden(Reason::NoRule).into(), 403, "7"),
            (Rejection::Throttled { retry_after: std::time::Duration::ZERO }.into(), 429, "8"),
            (Failure::Overloaded.into(), 503, "14"),
            (Failure::UpstreamTimedOut(std::time::Duration::ZERO).into(), 504, "4"),
            (Failure::Bug("x").into(), 500, "13"),
        ] {
            let fields = stated(refusal, status, "application/grpc+proto");
            assert_eq!(fields["grpc-status"], code);
        }
        let fields = stated(Rejection::Forbidden(Reason::NoRule), 403, "application/grpc");
        assert_eq!(fields["content-type"], "application/grpc");
        assert_eq!(fields["grpc-message"], "no_rule: No allow rule matches.");
        assert_eq!(percent_encoded("100 %\n\u{e4}"), "100 %25%0A%C3%A4");
    }
}
