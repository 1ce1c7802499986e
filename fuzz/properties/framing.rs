//! The gatekeeper finds the same requests however the bytes are split, lets pass nothing but a prefix of what came, and
//! another reader of HTTP/1.1 finds each request where it found it. Input: four letters that say how the rest is split, `A` for one byte.

use kernel::request::framing::{FramingFault, Gatekeeper, HeadBounds, Intent, Step};

#[derive(Debug, PartialEq, Eq)]
enum End {
    More,
    Paused,
    Ended,
    Fault(FramingFault),
}

#[derive(Debug, PartialEq, Eq)]
struct Reading {
    passed: Vec<u8>,
    /// Where each head began and how long it was.
    heads: Vec<(usize, usize)>,
    end: End,
}

pub fn check(data: &[u8]) {
    let Some((lengths, input)) = data.split_at_checked(4) else { return };
    let whole = read(input, &[usize::MAX]);
    let parts: Vec<_> = lengths.iter().map(|length| usize::from(*length % 32)).collect();
    assert_eq!(read(input, &parts), whole, "a split makes no difference");
    assert!(input.starts_with(&whole.passed));

    let mut at = 0;
    for (begin, length) in &whole.heads {
        assert_eq!(at, *begin, "the other reader finds the head elsewhere");
        let Some(body) = other_reader(&whole.passed[at..], *length) else { return };
        at += length + body;
    }
    if whole.end == End::More {
        assert!(at <= input.len());
    }
}

fn read(input: &[u8], lengths: &[usize]) -> Reading {
    let mut keeper = Gatekeeper::new(HeadBounds::default());
    let mut reading = Reading { passed: Vec::new(), heads: Vec::new(), end: End::More };
    let (mut held, mut rest) = (Vec::new(), input);
    let mut lengths = lengths.iter().copied().cycle();
    loop {
        match keeper.advance(&held) {
            Step::Head { bytes, intent } => {
                reading.heads.push((reading.passed.len(), bytes));
                reading.passed.extend(held.drain(..bytes));
                if intent == Intent::Stay {
                    continue;
                }
            }
            Step::Body { bytes } => reading.passed.extend(held.drain(..bytes)),
            Step::NeedMore if rest.is_empty() => return reading,
            Step::NeedMore => {
                let (part, after) = rest.split_at(lengths.next().unwrap_or(1).clamp(1, rest.len()));
                held.extend_from_slice(part);
                rest = after;
            }
            Step::Paused => return Reading { end: End::Paused, ..reading },
            Step::Ended => return Reading { end: End::Ended, ..reading },
            Step::Fault(fault) => return Reading { end: End::Fault(fault), ..reading },
            Step::Tunnel => panic!("nobody opened a tunnel"),
        }
    }
}

/// Reads one request with httparse. Gives the bytes of its body; none when the body has not ended.
fn other_reader(bytes: &[u8], length: usize) -> Option<usize> {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut fields);
    let status = request.parse(bytes).expect("a head that passed is one to others");
    assert_eq!(status, httparse::Status::Complete(length), "the other reader finds another end of the head");
    let named = |name: &str| -> Vec<&[u8]> {
        request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value).collect()
    };
    let body = bytes.get(length..)?;
    match (named("transfer-encoding").as_slice(), named("content-length").as_slice()) {
        ([], []) => Some(0),
        ([], [digits]) => {
            let count: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
            (body.len() >= count).then_some(count)
        }
        ([coding], []) => {
            assert!(coding.eq_ignore_ascii_case(b"chunked"));
            chunked(body)
        }
        both => panic!("two framings passed: {both:?}"),
    }
}

fn chunked(body: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let (line, size) = match httparse::parse_chunk_size(body.get(at..)?).expect("a chunk that passed is one to others") {
            httparse::Status::Complete(found) => found,
            httparse::Status::Partial => return None,
        };
        at += line;
        if size == 0 {
            break;
        }
        at = at.checked_add(usize::try_from(size).ok()?)?;
        if body.len() < at + 2 {
            return None;
        }
        assert_eq!(body.get(at..at + 2), Some(&b"\r\n"[..]));
        at += 2;
    }
    let mut fields = [httparse::EMPTY_HEADER; 128];
    match httparse::parse_headers(body.get(at..)?, &mut fields).expect("trailers that passed are fields to others") {
        httparse::Status::Complete((length, _)) => Some(at + length),
        httparse::Status::Partial => None,
    }
}
