//! Trace context (W3C Trace Context, level 1) on its way to an upstream: passed on where the client's can be read, else begun.
//!
//! Nothing is decided by it and nothing is recorded of it. A trace that begins here has the request's id, so that the log and
//! the traces of what stands behind find each other.

use http::{HeaderMap, HeaderValue};
use kernel::request::RequestId;
use kernel::request::headers;

/// Leaves one trace context that can be read.
pub fn settle(fields: &mut HeaderMap, id: RequestId) {
    let mut all = fields.get_all(headers::TRACEPARENT).iter();
    let given = match (all.next(), all.next()) {
        (Some(value), None) => is_whole(value.as_bytes()),
        _ => false,
    };
    if given {
        return;
    }
    // What belongs to no trace says nothing.
    fields.remove(headers::TRACESTATE);
    let id = id.to_string();
    let begun = id.get(16..).map(|parent| ["00-", &id, "-", parent, "-01"].concat());
    match begun.and_then(|text| HeaderValue::try_from(text).ok()) {
        Some(value) => drop(fields.insert(headers::TRACEPARENT, value)),
        None => drop(fields.remove(headers::TRACEPARENT)),
    }
}

/// Version 00 as it is written; a later version at least begins like it (§3.2, §4.3).
fn is_whole(value: &[u8]) -> bool {
    let Some((head, rest)) = value.split_at_checked(55) else { return false };
    let mut parts = head.split(|byte| *byte == b'-');
    let is_id = |part: Option<&[u8]>, length| hex(part, length).is_some_and(|part| part.iter().any(|byte| *byte != b'0'));
    let Some(version) = hex(parts.next(), 2).filter(|version| *version != b"ff") else { return false };
    let whole = is_id(parts.next(), 32) && is_id(parts.next(), 16) && hex(parts.next(), 2).is_some() && parts.next().is_none();
    whole && (rest.is_empty() || (version != b"00" && rest.first() == Some(&b'-')))
}

fn hex(part: Option<&[u8]>, length: usize) -> Option<&[u8]> {
    part.filter(|part| part.len() == length && part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const ID: RequestId = RequestId::new([0xab; 16]);
    const BEGUN: &str = "00-abababababababababababababababab-abababababababab-01";
    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn check(given: &[&str], expected: &str, state: Option<&str>) {
        let mut fields = HeaderMap::new();
        for value in given {
            fields.append(headers::TRACEPARENT, HeaderValue::from_str(value).unwrap());
        }
        fields.insert(headers::TRACESTATE, HeaderValue::from_static("a=b"));
        settle(&mut fields, ID);
        let all: Vec<_> = fields.get_all(headers::TRACEPARENT).iter().collect();
        assert_eq!(all, [expected], "{given:?}");
        assert_eq!(fields.get(headers::TRACESTATE).map(|value| value.to_str().unwrap()), state, "{given:?}");
    }

    #[test]
    fn a_context_that_can_be_read_is_passed_on_with_its_state() {
        check(&[GIVEN], GIVEN, Some("a=b"));
        let later = GIVEN.replacen("00", "01", 1) + "-more";
        check(&[&later], &later, Some("a=b"));
    }

    #[test]
    fn anything_else_is_begun_anew_without_its_state() {
        check(&[], BEGUN, None);
        check(&[GIVEN, GIVEN], BEGUN, None);
        for value in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
        ] {
            check(&[value], BEGUN, None);
        }
    }
}
