//! Trace context as it is written (W3C Trace Context, level 1). The one place that reads and writes `traceparent`.

use http::{HeaderMap, HeaderValue};
use kernel::request::headers;

/// Names a trace.
pub type TraceId = [u8; 16];
/// Names a span within a trace.
pub type SpanId = [u8; 8];

/// What a client says that its request is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    pub trace: TraceId,
    pub span: SpanId,
    pub sampled: Sampled,
}

/// Whether spans of a trace are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampled {
    Yes,
    No,
}

/// The client's context, where there is one that can be read.
#[must_use]
pub fn given(fields: &HeaderMap) -> Option<Parent> {
    let mut all = fields.get_all(headers::TRACEPARENT).iter();
    match (all.next(), all.next()) {
        (Some(value), None) => parse(value.as_bytes()),
        _ => None,
    }
}

/// Version 00 as it is written; a later version at least begins like it (§3.2, §4.3).
fn parse(value: &[u8]) -> Option<Parent> {
    let (head, rest) = value.split_at_checked(55)?;
    let mut parts = head.split(|byte| *byte == b'-');
    let [version] = hex::<1>(parts.next()?).filter(|[version]| *version != 0xff)?;
    let trace = hex::<16>(parts.next()?).filter(|id| *id != [0; 16])?;
    let span = hex::<8>(parts.next()?).filter(|id| *id != [0; 8])?;
    let [flags] = hex::<1>(parts.next()?)?;
    let whole = parts.next().is_none() && (rest.is_empty() || (version != 0 && rest.first() == Some(&b'-')));
    let sampled = if flags & SAMPLED == 0 { Sampled::No } else { Sampled::Yes };
    whole.then_some(Parent { trace, span, sampled })
}

/// As a header holds it.
#[must_use]
pub fn write(trace: &TraceId, span: &SpanId, sampled: Sampled) -> Option<HeaderValue> {
    let flags = match sampled {
        Sampled::Yes => "01",
        Sampled::No => "00",
    };
    HeaderValue::try_from(["00-", &text(trace), "-", &text(span), "-", flags].concat()).ok()
}

/// In small hexadecimal digits.
#[must_use]
pub fn text(id: &[u8]) -> String {
    let digit = |half: u8| char::from(DIGITS.get(usize::from(half)).copied().unwrap_or_default());
    id.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Small digits alone.
fn hex<const N: usize>(part: &[u8]) -> Option<[u8; N]> {
    if part.len() != 2 * N {
        return None;
    }
    let value = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(part.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = value(high)? << 4 | value(low)?;
    }
    Some(bytes)
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";
const SAMPLED: u8 = 1;
