//! The classes of attacks.md sections 2 (PN), 3 (HD) and 4 (SM) that framing decides, and what holds of every input.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use proptest::prelude::*;

use super::*;

/// How the reading of an input ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    More,
    Paused,
    Ended,
    Fault(FramingFault),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Reading {
    passed: Vec<u8>,
    /// Offset and length of each head that passed.
    heads: Vec<(usize, usize, Intent)>,
    end: End,
}

/// Reads `input` as a connection would, in parts of the given lengths, over and over.
fn read_in_parts(input: &[u8], lengths: &[usize], bounds: HeadBounds) -> Reading {
    let mut keeper = Gatekeeper::new(bounds);
    let mut reading = Reading { passed: Vec::new(), heads: Vec::new(), end: End::More };
    let mut held = Vec::new();
    let mut rest = input;
    let mut lengths = lengths.iter().copied().cycle();
    loop {
        match keeper.advance(&held) {
            Step::Head { bytes, intent } => {
                reading.heads.push((reading.passed.len(), bytes, intent));
                reading.passed.extend(held.drain(..bytes));
            }
            Step::Body { bytes } => reading.passed.extend(held.drain(..bytes)),
            Step::NeedMore if rest.is_empty() => return reading,
            Step::NeedMore => {
                let (part, after) = rest.split_at(lengths.next().unwrap().clamp(1, rest.len()));
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

fn read(input: &[u8]) -> Reading {
    let whole = read_in_parts(input, &[usize::MAX], HeadBounds::default());
    let bytewise = read_in_parts(input, &[1], HeadBounds::default());
    assert_eq!(whole, bytewise, "a split changed the reading of {}", input.escape_ascii());
    whole
}

/// The canary must never pass: whatever stands before it is refused.
fn refused(input: impl AsRef<[u8]>, fault: FramingFault) {
    let mut bytes = input.as_ref().to_vec();
    bytes.extend_from_slice(b"GET /canary HTTP/1.1\r\nHost: h\r\n\r\n");
    let reading = read(&bytes);
    assert_eq!(reading.end, End::Fault(fault), "{}", bytes.escape_ascii());
    assert!(!reading.heads.iter().any(|(at, ..)| reading.passed[*at..].starts_with(b"GET /canary")));
}

fn refused_line(line: &str, fault: FramingFault) {
    refused(format!("{line}\r\nHost: h\r\n\r\n"), fault);
}

fn refused_fields(fields: &str, fault: FramingFault) {
    refused(format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n"), fault);
}

fn refused_chunks(body: impl AsRef<[u8]>, fault: FramingFault) {
    let mut bytes = CHUNKED.to_vec();
    bytes.extend_from_slice(body.as_ref());
    refused(bytes, fault);
}

/// Passes whole, as so many requests.
fn passes(input: impl AsRef<[u8]>, heads: usize) {
    let reading = read(input.as_ref());
    assert_eq!(reading.end, End::More, "{}", input.as_ref().escape_ascii());
    assert_eq!(reading.passed, input.as_ref());
    assert_eq!(reading.heads.len(), heads);
}

const CHUNKED: &[u8] = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn plain_requests_pass_unchanged() {
    passes("GET / HTTP/1.1\r\nHost: h\r\n\r\n", 1);
    passes("GET /a?b=c&d=%20 HTTP/1.1\r\nhost:h\r\nX-Empty:\r\nX-Tab: a\tb\r\nX-Bytes: \u{e9}\r\n\r\n", 1);
    passes("GET https://h/ HTTP/1.1\r\nHost: h\r\n\r\n", 1);
    passes("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 1);
    passes("GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n", 2);
    passes("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: h\r\n\r\n", 2);
    passes("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 2);
    passes("\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 1);
}

#[test]
fn chunked_bodies_pass_unchanged() {
    let with = |body: &str| [CHUNKED, body.as_bytes()].concat();
    passes(with("0\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"), 2);
    passes(with("5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n"), 1);
    passes(with("5;a=b\r\nhello\r\n0;x\r\nX-Trailer: 1\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"), 2);
    passes(with("5;a;b=c\r\nhe\r\nl\r\n0\r\n\r\n"), 1);
    passes("POST / HTTP/1.1\r\nHost: h\r\ntransfer-encoding: CHUNKED\r\n\r\n1\r\na\r\n0\r\n\r\n", 1);
}

#[test]
fn both_lengths_are_refused_in_either_order() {
    refused_fields("Content-Length: 6\r\nTransfer-Encoding: chunked", FramingFault::TwoLengths);
    refused_fields("Transfer-Encoding: chunked\r\nContent-Length: 6", FramingFault::TwoLengths);
    refused_fields("transfer-encoding:chunked\r\ncontent-length:0", FramingFault::TwoLengths);
}

#[test]
fn a_transfer_encoding_is_chunked_once_or_refused() {
    for value in [
        "gzip, chunked",
        "chunked, chunked",
        "chunked, identity",
        "identity",
        "xchunked",
        "chunked;a=b",
        "\"chunked\"",
        "",
        "chunked,",
        "\x0bchunked",
    ] {
        let fault = if value.starts_with('\x0b') { FramingFault::ValueCharacter } else { FramingFault::TransferEncoding };
        refused_fields(&format!("Transfer-Encoding: {value}"), fault);
    }
    refused_fields("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", FramingFault::TransferEncodingRepeated);
    refused_fields("Transfer-Encoding : chunked", FramingFault::SpaceBeforeColon);
    refused_fields("Transfer-Encoding\t: chunked", FramingFault::SpaceBeforeColon);
    refused_fields(" Transfer-Encoding: chunked", FramingFault::Folded);
    refused_fields("X: y\r\n Transfer-Encoding: chunked", FramingFault::Folded);
    refused_fields("Transfer_Encoding: chunked", FramingFault::LengthLookAlike);
    refused_fields("transfer.encoding: chunked", FramingFault::LengthLookAlike);
    refused_fields("X: y\nTransfer-Encoding: chunked", FramingFault::BareLineFeed);
    refused_fields("X: y\rTransfer-Encoding: chunked", FramingFault::BareCarriageReturn);
}

#[test]
fn a_content_length_is_one_plain_number_or_refused() {
    for value in [
        "+5",
        "-1",
        "0x5",
        "05",
        "00",
        "5 ,5",
        "5, 5",
        "5,6",
        "",
        "5 5",
        "1e1",
        "5\u{660}",
        "9223372036854775808",
        "18446744073709551616",
        "99999999999999999999",
        "5;",
        "\"5\"",
        "1_0",
    ] {
        refused_fields(&format!("Content-Length: {value}"), FramingFault::ContentLength);
    }
    refused_fields("Content-Length: 5\r\nContent-Length: 5", FramingFault::ContentLengthRepeated);
    refused_fields("Content-Length: 5\r\ncontent-length: 6", FramingFault::ContentLengthRepeated);
    for mark in "!#$%&'*+.^_`|~".chars() {
        refused_fields(&format!("Content{mark}Length: 5"), FramingFault::LengthLookAlike);
        refused_fields(&format!("TRANSFER{mark}encoding: chunked"), FramingFault::LengthLookAlike);
    }
    refused_fields("Content-Length : 5", FramingFault::SpaceBeforeColon);
}

#[test]
fn the_largest_length_is_taken_at_its_word() {
    passes("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9223372036854775807\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 1);
}

#[test]
fn methods_without_a_body_have_no_chunked_one() {
    for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
        refused(format!("{method} / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), FramingFault::BodyNotExpected);
    }
    refused("CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", FramingFault::BodyNotExpected);
    refused("CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\nContent-Length: 5\r\n\r\nhello", FramingFault::BodyNotExpected);
}

#[test]
fn a_chunk_size_is_plain_or_refused() {
    for size in
        ["0x5", "+5", "-1", "", " 5", "5 ", "05", "00", "g", "FFFFFFFFFFFFFFFF", "10000000000000000", "8000000000000000", "5\t", "5,"]
    {
        refused_chunks(format!("{size}\r\nhello\r\n0\r\n\r\n"), FramingFault::ChunkSize);
    }
    refused_chunks(format!("{}5\r\nhello\r\n0\r\n\r\n", "0".repeat(200)), FramingFault::ChunkSize);
    refused_chunks(format!("{}\r\nhello\r\n0\r\n\r\n", "0".repeat(400)), FramingFault::ChunkLineTooLong);
}

#[test]
fn a_chunk_line_is_strict() {
    refused_chunks("5\nhello\r\n0\r\n\r\n", FramingFault::BareLineFeed);
    refused_chunks("5;\nhello\r\n0\r\n\r\n", FramingFault::BareLineFeed);
    refused_chunks("5;a=\"x\r\nX\r\n0\r\n\r\nGET /app/admin HTTP/1.1\r\n", FramingFault::ChunkExtension);
    refused_chunks("5;a=\"x\"\r\nhello\r\n0\r\n\r\n", FramingFault::ChunkExtension);
    refused_chunks("5;\r\nhello\r\n0\r\n\r\n", FramingFault::ChunkExtension);
    refused_chunks("5; a=b\r\nhello\r\n0\r\n\r\n", FramingFault::ChunkExtension);
    refused_chunks("5;a=\r\nhello\r\n0\r\n\r\n", FramingFault::ChunkExtension);
    refused_chunks("5;a=b=c\r\nhello\r\n0\r\n\r\n", FramingFault::ChunkExtension);
    refused_chunks("5;\r\r\nhello\r\n0\r\n\r\n", FramingFault::BareCarriageReturn);
    refused_chunks("5\rX\nhello\r\n0\r\n\r\n", FramingFault::BareLineFeed);
    refused_chunks(format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(65_536)), FramingFault::ChunkLineTooLong);
}

#[test]
fn a_chunk_ends_with_cr_lf() {
    refused_chunks("5\r\nhello\n0\r\n\r\n", FramingFault::ChunkEnd);
    refused_chunks("5\r\nhelloXX0\r\n\r\n", FramingFault::ChunkEnd);
    refused_chunks("5\r\nhello0\r\n\r\n", FramingFault::ChunkEnd);
    refused_chunks("5\r\nhello\r0\r\n\r\n", FramingFault::ChunkEnd);
    refused_chunks("5\r\nhello\r\n0\r\n\n", FramingFault::BareLineFeed);
    refused_chunks("5\r\nhello\r\n0\n\r\n", FramingFault::BareLineFeed);
}

#[test]
fn trailers_are_fields_and_bounded() {
    refused_chunks("0\r\nX: a\nY: b\r\n\r\n", FramingFault::BareLineFeed);
    refused_chunks("0\r\n: a\r\n\r\n", FramingFault::EmptyName);
    refused_chunks("0\r\n folded\r\n\r\n", FramingFault::Folded);
    refused_chunks("0\r\nX: \0\r\n\r\n", FramingFault::ValueCharacter);
    refused_chunks(format!("0\r\nX: {}\r\n\r\n", "a".repeat(20_000)), FramingFault::TrailersTooLarge);
    refused_chunks(format!("0\r\n{}\r\n", "X: a\r\n".repeat(101)), FramingFault::TrailersTooLarge);
    passes([CHUNKED, format!("0\r\n{}\r\n", "X: a\r\n".repeat(100)).as_bytes()].concat(), 1);
}

#[test]
fn lines_end_with_cr_lf_alone() {
    refused("GET / HTTP/1.1\nHost: h\r\n\r\n", FramingFault::BareLineFeed);
    refused("GET / HTTP/1.1\r\nHost: h\n\r\n", FramingFault::BareLineFeed);
    refused("GET / HTTP/1.1\r\nHost: h\r\n\n", FramingFault::BareLineFeed);
    refused("GET / HTTP/1.1\r\nHost: h\r\n\rX\r\n\r\n", FramingFault::BareCarriageReturn);
    refused("GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", FramingFault::BareCarriageReturn);
    refused("GET / HTTP/1.1\r\nHost: h\r\nX: a\r\r\n\r\n", FramingFault::BareCarriageReturn);
    refused("\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", FramingFault::EmptyLines);
    refused("\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", FramingFault::BareLineFeed);
}

#[test]
fn a_request_line_has_three_words() {
    refused_line("GET /", FramingFault::RequestLine);
    refused_line("GET", FramingFault::RequestLine);
    refused_line("GET  / HTTP/1.1", FramingFault::RequestLine);
    refused_line("GET /  HTTP/1.1", FramingFault::RequestLine);
    refused_line("GET / HTTP/1.1 ", FramingFault::RequestLine);
    refused_line(" GET / HTTP/1.1", FramingFault::Method);
    refused_line("GET / x HTTP/1.1", FramingFault::RequestLine);
    refused_line("GET\t/\tHTTP/1.1", FramingFault::RequestLine);
    refused_line("GET /\tHTTP/1.1 x", FramingFault::TargetCharacter);
    refused_line("G\tET / HTTP/1.1", FramingFault::Method);
    refused_line("G(T / HTTP/1.1", FramingFault::Method);
    refused_line("G\u{e9}T / HTTP/1.1", FramingFault::Method);
    refused_line(&format!("{} / HTTP/1.1", "A".repeat(33)), FramingFault::Method);
}

#[test]
fn versions_are_1_1_and_1_0() {
    for version in ["HTTP/1.2", "HTTP/2.0", "HTTP/1.10", "HTTP/1,1", "HTTP/0.9", "HTTP/3", "HTTP/01.1"] {
        refused_line(&format!("GET / {version}"), FramingFault::Version);
    }
    for version in ["http/1.1", "HTTP", "HTTP/", "HTTP 1.1", "HTTPS/1.1", "HTTP/x"] {
        refused_line(&format!("GET / {version}"), FramingFault::RequestLine);
    }
    refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", FramingFault::Version);
}

#[test]
fn a_target_is_printable_ascii_without_a_fragment() {
    refused_line("GET /public/\0/../app HTTP/1.1", FramingFault::TargetCharacter);
    refused_line("GET /\u{e9} HTTP/1.1", FramingFault::TargetCharacter);
    refused_line("GET /\x7f HTTP/1.1", FramingFault::TargetCharacter);
    refused(b"GET /\x80 HTTP/1.1\r\nHost: h\r\n\r\n", FramingFault::TargetCharacter);
    refused(b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n", FramingFault::TargetCharacter);
    for target in ["/app/admin#/public/ok", "/public#/../app/admin", "/#", "#", "https://h/#a", "/a?b#c", "*#"] {
        refused_line(&format!("GET {target} HTTP/1.1"), FramingFault::Fragment);
    }
    refused_line(&format!("GET /{} HTTP/1.1", "a".repeat(16 * 1024)), FramingFault::TargetTooLong);
    refused_line(&format!("GET /{} HTTP/1.1", "a".repeat(64 * 1024)), FramingFault::TargetTooLong);
}

#[test]
fn targets_that_the_parser_behind_cannot_read_are_refused_here() {
    for target in ["http:http://h/app", "http://", "http://[::1/", "https://h\\a/", "ht!tp://h/"] {
        refused_line(&format!("GET {target} HTTP/1.1"), FramingFault::TargetForm);
    }
}

#[test]
fn fields_have_a_name_a_colon_and_plain_values() {
    refused_fields(": x", FramingFault::EmptyName);
    refused_fields("X", FramingFault::NoColon);
    refused_fields("X : y", FramingFault::SpaceBeforeColon);
    refused_fields("X y: z", FramingFault::NameCharacter);
    refused_fields("X\0: z", FramingFault::NameCharacter);
    refused_fields("X\u{e9}: z", FramingFault::NameCharacter);
    refused_fields("X(: z", FramingFault::NameCharacter);
    refused_fields("\tX: y", FramingFault::Folded);
    refused_fields("X: y\r\n\tz", FramingFault::Folded);
    for control in (0..0x20).chain([0x7f]).filter(|byte| !matches!(byte, b'\t' | b'\r' | b'\n')) {
        refused_fields(&format!("X: a{}b", char::from(control)), FramingFault::ValueCharacter);
    }
    refused_fields(&format!("{}: z", "a".repeat(257)), FramingFault::NameTooLong);
    refused_fields(&format!("{}: z", "a".repeat(8_192)), FramingFault::NameTooLong);
    refused("GET / HTTP/1.1\r\n Host: h\r\n\r\n", FramingFault::Folded);
}

#[test]
fn heads_are_bounded_in_bytes_and_fields() {
    refused_fields(&format!("X: {}", "a".repeat(32 * 1024)), FramingFault::HeadTooLarge);
    refused_fields(&format!("X: {}", "a".repeat(1024 * 1024)), FramingFault::HeadTooLarge);
    refused_fields("X: y\r\n".repeat(100).trim_end(), FramingFault::TooManyFields);
    passes(format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: y\r\n".repeat(99)), 1);
    assert_eq!(FramingFault::HeadTooLarge.status(), 431);
    assert_eq!(FramingFault::TooManyFields.status(), 431);
    assert_eq!(FramingFault::TargetTooLong.status(), 414);
    assert_eq!(FramingFault::Version.status(), 505);
    assert_eq!(FramingFault::TwoLengths.status(), 400);
}

#[test]
fn a_head_of_exactly_the_bound_passes_and_one_byte_more_does_not() {
    let head = |length: usize| {
        let frame = "GET / HTTP/1.1\r\nHost: h\r\nX: \r\n\r\n".len();
        format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "a".repeat(length - frame))
    };
    passes(head(32 * 1024), 1);
    refused(head(32 * 1024 + 1), FramingFault::HeadTooLarge);
}

#[test]
fn bounds_hold_to_the_byte() {
    let line = |method: usize, target: usize| format!("{} /{} HTTP/1.1\r\nHost: h\r\n\r\n", "M".repeat(method), "a".repeat(target - 1));
    passes(line(32, 16 * 1024), 1);
    refused(line(33, 1), FramingFault::Method);
    refused(line(1, 16 * 1024 + 1), FramingFault::TargetTooLong);
    passes(format!("GET / HTTP/1.1\r\nHost: h\r\n{}: z\r\n\r\n", "a".repeat(256)), 1);
    let with = |body: String| [CHUNKED, body.as_bytes()].concat();
    let extension = |bytes: usize| format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(bytes));
    passes(with(extension(16 + 256 - 2)), 1);
    refused(with(extension(16 + 256 - 1)), FramingFault::ChunkLineTooLong);
    let trailer = |bytes: usize| format!("0\r\nX: {}\r\n\r\n", "a".repeat(bytes));
    passes(with(trailer(16 * 1024 - 7)), 1);
    refused(with(trailer(16 * 1024 - 6)), FramingFault::TrailersTooLarge);
    passes(with("7FFFFFFFFFFFFFFF\r\nand so on".to_owned()), 1);
    passes(with("100000000000000\r\nand so on".to_owned()), 1);
}

#[test]
fn a_version_is_the_last_word() {
    refused_line("GET / HTTP/1.1 x", FramingFault::RequestLine);
    refused_line("GET / HTTP/1.1 ", FramingFault::RequestLine);
    refused_line("GET / HTTP/9 HTTP/1.1", FramingFault::RequestLine);
    refused_line("GET / HTTP/9", FramingFault::Version);
}

#[test]
fn an_empty_body_of_connect_and_an_upgrade_of_http_1_0_mean_nothing() {
    let connect = read(b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\nContent-Length: 0\r\n\r\n");
    assert_eq!((connect.end, connect.heads.len()), (End::Paused, 1));
    let old = read(b"GET / HTTP/1.0\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!((old.end, old.heads[0].2), (End::Ended, Intent::Stay));
}

#[test]
fn http_1_1_has_one_host() {
    refused("GET / HTTP/1.1\r\n\r\n", FramingFault::HostCount);
    refused("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", FramingFault::HostCount);
    refused("GET / HTTP/1.1\r\nHost: a\r\nhOsT: b\r\n\r\n", FramingFault::HostCount);
    refused("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", FramingFault::HostCount);
}

#[test]
fn nothing_is_read_after_an_http_1_0_request() {
    let reading = read(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /canary HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!((reading.end, reading.heads.len()), (End::Ended, 1));
    refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", FramingFault::TransferEncodingIn10);
}

#[test]
fn an_upgrade_request_pauses_the_connection() {
    for (upgrade, intent) in [
        ("websocket", Intent::WebSocket),
        ("WebSocket", Intent::WebSocket),
        ("h2c", Intent::Leave),
        ("websocket, h2c", Intent::Leave),
        ("TLS/1.0", Intent::Leave),
    ] {
        let reading =
            read(format!("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: {upgrade}\r\n\r\nGET /canary HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
        assert_eq!((reading.end, reading.heads.len()), (End::Paused, 1));
        assert_eq!(reading.heads[0].2, intent);
    }
    let connect = read(b"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\nGET /canary HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!((connect.end, connect.heads.len()), (End::Paused, 1));
    let two = read(b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(two.heads[0].2, Intent::Leave);
}

#[test]
fn a_paused_connection_goes_on_as_it_is_told() {
    let head = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n";
    let next = b"GET /b HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut keeper = Gatekeeper::new(HeadBounds::default());
    assert_eq!(keeper.become_tunnel(), Err(NotPaused));
    assert_eq!(keeper.advance(head), Step::Head { bytes: head.len(), intent: Intent::WebSocket });
    assert_eq!(keeper.advance(next), Step::Paused);
    assert_eq!(keeper.advance(next), Step::Paused);
    keeper.resume_http();
    assert_eq!(keeper.advance(next), Step::Head { bytes: next.len(), intent: Intent::Stay });
    assert_eq!(keeper.become_tunnel(), Err(NotPaused));
    assert_eq!(keeper.advance(head), Step::Head { bytes: head.len(), intent: Intent::WebSocket });
    assert_eq!(keeper.become_tunnel(), Ok(()));
    assert_eq!(keeper.advance(b"\x81\x00"), Step::Tunnel);
    assert_eq!(keeper.place(), Place::Tunnel);
}

#[test]
fn each_byte_stands_in_a_place_for_its_deadline() {
    let mut keeper = Gatekeeper::new(HeadBounds::default());
    let mut places = vec![keeper.place()];
    for bytes in [&b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n"[..], b"ab", CHUNKED, b"0\r\n", b"\r\n", b"\n"] {
        let _ = keeper.advance(bytes);
        places.push(keeper.place());
    }
    assert_eq!(places, [Place::Head, Place::Body, Place::Head, Place::Body, Place::Body, Place::Head, Place::Nowhere]);
    for (bytes, place) in [
        (&b"GET / HTTP/1.0\r\n\r\n"[..], Place::Nowhere),
        (b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\n\r\n", Place::Nowhere),
        (b"GET / HTTP/1.1\r\nHost: h\r\n", Place::Head),
    ] {
        let mut keeper = Gatekeeper::new(HeadBounds::default());
        let _ = keeper.advance(bytes);
        assert_eq!(keeper.place(), place, "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_fault_is_for_good() {
    let mut keeper = Gatekeeper::new(HeadBounds::default());
    assert_eq!(keeper.advance(b"GET / HTTP/1.1\n"), Step::Fault(FramingFault::BareLineFeed));
    keeper.resume_http();
    assert_eq!(keeper.become_tunnel(), Err(NotPaused));
    assert_eq!(keeper.advance(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"), Step::Fault(FramingFault::BareLineFeed));
}

#[test]
fn the_target_of_a_broken_head_is_told_as_well_as_it_can_be() {
    let check = |head: &str, target: Option<&str>| assert_eq!(target_of(head.as_bytes()), target.map(str::as_bytes));
    check("GET /a#b HTTP/1.1\r\nHost: h", Some("/a#b"));
    check("\r\nGET /a HTTP/1.1\r\n", Some("/a"));
    check("GET /a\nHost: h", Some("/a"));
    check("GET /\u{e9}", Some("/\u{e9}"));
    check("GET", None);
    check("GET  /a", None);
    check("", None);
}

/// Pieces from which inputs near the border are put together.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"GET / HTTP/1.1\r\n".to_vec()),
        Just(b"POST /x HTTP/1.1\r\n".to_vec()),
        Just(b"GET / HTTP/1.0\r\n".to_vec()),
        Just(b"Host: h\r\n".to_vec()),
        Just(b"Content-Length: 5\r\n".to_vec()),
        Just(b"Transfer-Encoding: chunked\r\n".to_vec()),
        Just(b"Upgrade: websocket\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"hello".to_vec()),
        Just(b"5\r\nhello\r\n".to_vec()),
        Just(b"0\r\n\r\n".to_vec()),
        Just(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..8),
    ]
}

fn input() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(piece(), 0..16).prop_map(|pieces| pieces.concat())
}

/// Requests as a sender of good will writes them.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let body = prop_oneof![
        Just(String::new()),
        "[a-z]{0,40}".prop_map(|body| format!("Content-Length: {}\r\n\r\n{body}", body.len())),
        proptest::collection::vec("[a-z\r\n]{1,20}", 0..4).prop_map(|chunks| {
            let chunks: String = chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
            format!("Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")
        }),
    ];
    ("/[a-z/]{0,20}", "[A-Za-z-]{1,10}", "[ -~]{0,20}", body).prop_map(|(target, name, value, body)| {
        let body = if body.is_empty() { "\r\n".to_owned() } else { body };
        format!("POST {target} HTTP/1.1\r\nHost: h\r\nX-{name}: {value}\r\n{body}").into_bytes()
    })
}

proptest! {
    #[test]
    fn no_split_changes_a_reading(input in input(), lengths in proptest::collection::vec(1_usize..40, 1..8), bytes in 40_usize..200) {
        let bounds = HeadBounds { bytes, fields: 5, target_bytes: 20 };
        prop_assert_eq!(read_in_parts(&input, &[usize::MAX], bounds), read_in_parts(&input, &lengths, bounds));
    }

    #[test]
    fn what_passes_is_a_prefix_of_what_came(input in input()) {
        let reading = read_in_parts(&input, &[7], HeadBounds::default());
        prop_assert!(input.starts_with(&reading.passed));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(input in proptest::collection::vec(any::<u8>(), 0..512), lengths in proptest::collection::vec(1_usize..64, 1..4)) {
        let _ = read_in_parts(&input, &lengths, HeadBounds { bytes: 128, fields: 3, target_bytes: 32 });
    }

    #[test]
    fn good_requests_pass_whole_and_apart(requests in proptest::collection::vec(request(), 1..5), length in 1_usize..50) {
        let input = requests.concat();
        let reading = read_in_parts(&input, &[length], HeadBounds::default());
        prop_assert_eq!(&reading.end, &End::More);
        prop_assert_eq!(&reading.passed, &input);
        let mut starts = Vec::new();
        let mut at = 0;
        for request in &requests {
            starts.push(at);
            at += request.len();
        }
        prop_assert_eq!(reading.heads.iter().map(|(at, ..)| *at).collect::<Vec<_>>(), starts);
    }

    /// Every head that passes has no byte that two readers could take differently.
    #[test]
    fn heads_that_pass_are_plain(input in input()) {
        let reading = read_in_parts(&input, &[usize::MAX], HeadBounds::default());
        for (at, length, _) in &reading.heads {
            let head = &reading.passed[*at..at + length];
            prop_assert!(head.ends_with(b"\r\n\r\n"));
            prop_assert!(!head.contains(&0));
            let text = head.strip_prefix(b"\r\n").unwrap_or(head);
            for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                prop_assert!(line.ends_with(b"\r"));
                prop_assert!(!line[..line.len() - 1].contains(&b'\r'));
            }
        }
    }
}
