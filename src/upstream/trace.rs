//! Trace context (W3C Trace Context, level 1) on its way to an upstream: where the request is traced the gateway's own, else passed on where
//! the client's can be read, else begun.
//!
//! Nothing is decided by it and nothing is recorded of it. A trace that begins here has the request's id, so that the log and
//! the traces of what stands behind find each other.

use http::{HeaderMap, HeaderValue};
use kernel::request::RequestId;
use kernel::request::headers;

use crate::telemetry::traces::context::{self, Sampled};

/// Leaves one trace context that can be read.
pub fn settle(fields: &mut HeaderMap, id: RequestId, own: Option<&HeaderValue>) {
    let given = context::given(fields).is_some();
    if !given {
        // What belongs to no trace says nothing.
        fields.remove(headers::TRACESTATE);
    } else if own.is_none() {
        return;
    }
    let [_, _, _, _, _, _, _, _, parent @ ..] = id.as_bytes();
    match own.cloned().or_else(|| context::write(id.as_bytes(), parent, Sampled::Yes)) {
        Some(value) => drop(fields.insert(headers::TRACEPARENT, value)),
        None => drop(fields.remove(headers::TRACEPARENT)),
    }
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
        settle(&mut fields, ID, None);
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

    #[test]
    fn the_gateways_own_takes_the_place_of_any_and_keeps_the_state_of_the_trace_that_it_goes_on() {
        let own = HeaderValue::from_static("00-4bf92f3577b34da6a3ce929d0e0e4736-1111111111111111-01");
        for (given, state) in [(GIVEN, true), ("nonsense", false)] {
            let mut fields = HeaderMap::new();
            fields.append(headers::TRACEPARENT, HeaderValue::from_str(given).unwrap());
            fields.insert(headers::TRACESTATE, HeaderValue::from_static("a=b"));
            settle(&mut fields, ID, Some(&own));
            assert_eq!(fields.get_all(headers::TRACEPARENT).iter().collect::<Vec<_>>(), [&own], "{given}");
            assert_eq!(fields.contains_key(headers::TRACESTATE), state, "{given}");
        }
    }
}
