//! Whether an upstream's answer can be passed on, and whether its connection can serve another client.

use http::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING, WWW_AUTHENTICATE};
use http::{Response, StatusCode};

/// Why an answer is not passed on.
pub type AnswerFault = &'static str;

/// Checks the framing of a head: what two programs could delimit in two ways is refused, although the HTTP library would
/// choose one (SM-18).
pub fn check<B>(answer: &Response<B>) -> Result<(), AnswerFault> {
    let fields = answer.headers();
    let mut lengths = fields.get_all(CONTENT_LENGTH).iter();
    let mut codings = fields.get_all(TRANSFER_ENCODING).iter();
    match (lengths.next(), codings.next()) {
        (None, None) => Ok(()),
        (Some(_), Some(_)) => Err("it has both Content-Length and Transfer-Encoding"),
        (Some(length), None) if lengths.next().is_none() => {
            let digits = length.as_bytes();
            let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
            if plain { Ok(()) } else { Err("its Content-Length is not a number") }
        }
        (Some(_), None) => Err("it has more than one Content-Length"),
        // Another coding would be stripped with the field, and its bytes passed on as if they were the content.
        (None, Some(coding)) if codings.next().is_none() && coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        (None, Some(_)) => Err("its Transfer-Encoding is not chunked alone"),
    }
}

/// The fields that go to the client. An answer without content has no length of it (RFC 9110 §8.6).
pub fn fields(answer: HeaderMap, status: StatusCode) -> HeaderMap {
    let mut kept = kernel::request::headers::returnable(answer);
    if status == StatusCode::NO_CONTENT || status.is_informational() {
        kept.remove(CONTENT_LENGTH);
    }
    kept
}

/// Whether a connection may have come to stand for one person: NTLM and Negotiate authenticate connections, not requests, so
/// whoever came next would be taken for them (SM-23).
pub fn binds_connection(request: &HeaderMap, answer: &HeaderMap) -> bool {
    names_bound_scheme(request, AUTHORIZATION) || names_bound_scheme(answer, WWW_AUTHENTICATE)
}

fn names_bound_scheme(fields: &HeaderMap, name: http::HeaderName) -> bool {
    fields.get_all(name).iter().any(|value| {
        // Challenges stand in one list or in several fields; a scheme is the first word of a list member.
        value.as_bytes().split(|byte| *byte == b',').any(|member| {
            let word = member.trim_ascii().split(|byte| byte.is_ascii_whitespace()).next().unwrap_or_default();
            word.eq_ignore_ascii_case(b"negotiate") || word.eq_ignore_ascii_case(b"ntlm")
        })
    })
}
