//! `Max-Forwards` (RFC 9110 §7.6.2): how many gateways an OPTIONS may still pass. TRACE, the other method that it is for, is
//! never forwarded.

use http::Method;
use http::header::{HeaderMap, HeaderValue, MAX_FORWARDS};

/// Whether a request is for this gateway itself.
pub fn ends_here(fields: &HeaderMap, method: &Method) -> bool {
    *method == Method::OPTIONS && left(fields) == Some(0)
}

/// Takes this gateway off what is left.
pub fn count_down(fields: &mut HeaderMap, method: &Method) {
    if *method == Method::OPTIONS
        && let Some(left) = left(fields)
    {
        fields.insert(MAX_FORWARDS, HeaderValue::from(left.saturating_sub(1)));
    }
}

/// A value that is no number, and more than one, bound nothing: they go on as they came.
fn left(fields: &HeaderMap) -> Option<u64> {
    let mut values = fields.get_all(MAX_FORWARDS).iter();
    match (values.next(), values.next()) {
        (Some(value), None) if value.as_bytes().iter().all(u8::is_ascii_digit) => value.to_str().ok()?.parse().ok(),
        _ => None,
    }
}
