//! What a browser brings back from the IdP, read strictly: a parameter that stands twice has no reading.

use std::collections::HashSet;
use std::fmt;

use kernel::session::Token;
use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

use super::fault::CallbackFault;

/// The query of a callback.
#[derive(Debug)]
pub struct CallbackQuery {
    /// Leads to the sign-in that was begun.
    pub state: Token,
    pub(super) issuer: Option<String>,
    pub(super) answer: CallbackAnswer,
}

/// The IdP's answer.
pub(super) enum CallbackAnswer {
    Code(Zeroizing<String>),
    Refused { error: String },
}

/// Reads the query of a callback (RFC 6749 §4.1.2, RFC 9207). Parameters that are not ours (`session_state`, `scope`, …) are
/// read as strictly and then left out.
pub fn parse_callback(query: &str) -> Result<CallbackQuery, CallbackFault> {
    if query.len() > QUERY_BYTES_MAX {
        return Err(CallbackFault::TooLong);
    }
    let (mut seen, mut state, mut code, mut error, mut issuer) = (HashSet::new(), None, None, None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or(CallbackFault::Encoding)?;
        let (name, value) = (decode(name)?, Zeroizing::new(decode(value)?));
        match name.as_str() {
            "state" => state = Some(value),
            "code" => code = Some(value),
            "error" => error = Some(value),
            "iss" => issuer = Some(value.to_string()),
            _ => {}
        }
        if !seen.insert(name) {
            return Err(CallbackFault::Duplicate);
        }
    }
    let state = state.and_then(|text| Token::parse(&text)).ok_or(CallbackFault::State)?;
    let answer = match (code, error) {
        (Some(code), None) if !code.is_empty() => CallbackAnswer::Code(code),
        (None, Some(error)) => CallbackAnswer::Refused { error: harmless(&error) },
        (Some(_) | None, None) | (Some(_), Some(_)) => return Err(CallbackFault::Answer),
    };
    Ok(CallbackQuery { state, issuer, answer })
}

/// An error code as the standards allow it, or a word of our own: what comes from outside is neither shown nor logged raw.
pub(super) fn harmless(error: &str) -> String {
    let plain = !error.is_empty() && error.len() <= 64 && error.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    if plain { error.to_owned() } else { "unnamed_error".to_owned() }
}

fn decode(text: &str) -> Result<String, CallbackFault> {
    let bytes = text.as_bytes();
    let escapes_whole = bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'%')
        .all(|(at, _)| bytes.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)));
    if !escapes_whole {
        return Err(CallbackFault::Encoding);
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().map_err(|_| CallbackFault::Encoding)?;
    if decoded.chars().any(char::is_control) { Err(CallbackFault::Encoding) } else { Ok(decoded.into_owned()) }
}

impl fmt::Debug for CallbackAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(_) => f.write_str("Code(***)"),
            Self::Refused { error } => f.debug_struct("Refused").field("error", error).finish(),
        }
    }
}

/// Longest query taken, in bytes. Codes of some IdPs are tokens of two kilobytes.
const QUERY_BYTES_MAX: usize = 16_384;
