//! Tests of the one reading of a path (PN-01..PN-13, PN-20): every class with its very fault, and what holds for all.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use proptest::prelude::*;

use super::path::PathFault::{
    BadEscape, ControlCharacter, DotSegment, DoubleEncoding, EmptySegment, EncodedSeparator, LookAlike, NotAbsolute, NotUtf8, RawCharacter,
    SegmentParameter, TooLong,
};
use super::path::{CanonicalPath, PATH_BYTES_MAX, PathFault};

#[track_caller]
fn check(raw: &str, expected: Result<&str, PathFault>) {
    let read = CanonicalPath::parse(raw);
    assert_eq!(read.as_ref().map(CanonicalPath::as_str), expected.as_ref().copied(), "{raw:?}");
}

#[track_caller]
fn refused(fault: PathFault, raws: &[&str]) {
    for raw in raws {
        check(raw, Err(fault));
    }
}

#[test]
fn dot_segments_are_refused_in_every_spelling() {
    refused(
        DotSegment,
        &[
            "/public/../app/admin",
            "/public/%2e%2e/app/admin",
            "/public/%2E./app/admin",
            "/public/.%2e/app/admin",
            "/public/.%2E",
            "/./app/admin",
            "/app/./admin",
            "/app/%2e/admin",
            "/app/.",
            "/app/..",
            "/..",
            "/.",
            "/%2e",
        ],
    );
    check("/a/...", Ok("/a/..."));
    check("/.hidden/..x/x..", Ok("/.hidden/..x/x.."));
}

#[test]
fn double_encoding_is_refused_at_every_depth() {
    refused(
        DoubleEncoding,
        &[
            "/public/%252e%252e/app/admin",
            "/public/%25252e/app",
            "/a%252f",
            "/a%25%32%66",
            "/a%25u002f",
            "/a%25U002f",
            "/%25a",
            "/%25F",
            "/%2500",
            "/%25%35",
            "/%259",
            "/%25f",
            "/%25A",
        ],
    );
    check("/100%25", Ok("/100%25"));
    check("/100%25-g", Ok("/100%25-g"));
    check("/%25g%25G", Ok("/%25g%25G"));
}

#[test]
fn encoded_separators_are_refused() {
    refused(
        EncodedSeparator,
        &["/public%2f..%2fapp%2fadmin", "/app%2Fadmin", "/public/..%2fapp/admin", "/public/..%5capp%5cadmin", "/%5C"],
    );
    refused(RawCharacter, &["/public\\..\\app\\admin", "/\\"]);
}

#[test]
fn segment_parameters_are_refused() {
    refused(
        SegmentParameter,
        &["/public/..;/app/admin", "/public;x=1/a", "/app;jsessionid=1/admin", "/a%3bx", "/a%3Bx", "/;", "/..%3b/app/admin"],
    );
}

#[test]
fn empty_segments_are_refused_but_one_at_the_end() {
    refused(EmptySegment, &["//app/admin", "/public//x", "//", "/a//", "///", "//app.test/app/admin"]);
    check("/", Ok("/"));
    check("/a/", Ok("/a/"));
}

#[test]
fn controls_are_refused_raw_and_encoded() {
    refused(ControlCharacter, &["/public/%00/x", "/public%0d%0aX:y", "/a\0", "/a\tb", "/a\r\nb", "/a\x7f", "/a%7F", "/a%1f", "/a\x1f"]);
    refused(ControlCharacter, &["/%C2%80", "/%C2%9F", "/%E2%80%A8", "/%E2%80%A9", "/%E2%80%AA", "/%E2%80%AE", "/%E2%81%A6", "/%E2%81%A9"]);
    check("/%20", Ok("/%20"));
    check("/%C2%A0", Ok("/%C2%A0"));
}

#[test]
fn bytes_that_are_not_ascii_or_not_utf8_are_refused() {
    refused(RawCharacter, &["/gr\u{f6}\u{df}e", "/\u{ff41}pp", "/a b", "/a\"b", "/a<b", "/a>", "/a`b", "/a{b}", "/a#b", "/a?b"]);
    refused(NotUtf8, &["/%80", "/%ff", "/%c0%af", "/%c0%ae%c0%ae", "/%e0%80%af", "/%ed%a0%80", "/%f5%80%80%80", "/%c3"]);
    check("/gr%c3%b6%C3%9Fe", Ok("/gr%C3%B6%C3%9Fe"));
}

#[test]
fn characters_that_fold_to_a_separator_are_refused() {
    for look_alike in "\u{2024}\u{2025}\u{2026}\u{fe52}\u{ff0e}\u{2044}\u{2215}\u{ff0f}\u{2216}\u{fe68}\u{ff3c}\u{fe6a}\u{ff05}\u{fe54}\u{ff1b}\u{37e}\u{fe56}\u{ff1f}\u{fe5f}\u{ff03}"
        .chars()
    {
        check(&format!("/a{}b", escaped(&look_alike.to_string())), Err(LookAlike));
    }
    // Those whose compatibility form holds a separator, or is dots and nothing else.
    for look_alike in "\u{2047}\u{2048}\u{2049}\u{2100}\u{2101}\u{2105}\u{2106}\u{fe14}\u{fe16}\u{fe19}\u{fe30}".chars() {
        check(&format!("/a{}b", escaped(&look_alike.to_string())), Err(LookAlike));
        check(&format!("/{}/b", escaped(&look_alike.to_string())), Err(LookAlike));
    }
    // Those that a conversion to Shift-JIS or to the Korean code page makes a backslash of.
    check("/..%C2%A5admin", Err(LookAlike));
    check("/..%E2%82%A9admin", Err(LookAlike));
    for other in ["\u{2023}", "\u{2027}", "\u{20ac}", "\u{a3}", "\u{3002}"] {
        let escaped = format!("/{}", escaped(other));
        check(&escaped, Ok(&escaped));
    }
}

#[test]
fn dots_beside_characters_that_are_trimmed_or_not_seen_are_dots() {
    for unseen in [
        " ", "\u{a0}", "\u{ad}", "\u{2003}", "\u{3000}", "\u{200b}", "\u{200d}", "\u{200f}", "\u{2060}", "\u{feff}", "\u{fe0f}", "\u{180e}",
    ] {
        let unseen = escaped(unseen);
        for dots in [".", ".."] {
            check(&format!("/public/{dots}{unseen}/app"), Err(DotSegment));
            check(&format!("/public/{unseen}{dots}/app"), Err(DotSegment));
            check(&format!("/public/{unseen}{dots}{unseen}{unseen}"), Err(DotSegment));
        }
        check(&format!("/public/.{unseen}./app"), Err(DotSegment));
    }
    check("/%20", Ok("/%20"));
    check("/a.%20", Ok("/a.%20"));
    check("/...%20", Ok("/...%20"));
}

#[test]
fn escapes_are_whole() {
    refused(BadEscape, &["/%", "/%2", "/%g0", "/%0g", "/a%/b", "/%%", "/%u002f", "/%-1", "/%+1"]);
}

#[test]
fn only_absolute_paths_are_read() {
    refused(NotAbsolute, &["", "app/admin", "*", "?x", "http:app/admin", "javascript:x", " /a", "%2fapp"]);
}

#[test]
fn the_longest_path_that_is_read_has_8192_bytes() {
    let longest = format!("/{}", "a".repeat(PATH_BYTES_MAX - 1));
    check(&longest, Ok(&longest));
    check(&format!("{longest}a"), Err(TooLong));
}

#[test]
fn escapes_of_unreserved_characters_are_decoded_and_others_written_alike() {
    check("/%61pp/%41dmin", Ok("/app/Admin"));
    check("/%7e%2d%5f%2eX%30", Ok("/~-_.X0"));
    check("/%5b%3a%40", Ok("/%5B%3A%40"));
    check("/a!$&'()*+,=:@[]^|-._~", Ok("/a!$&'()*+,=:@[]^|-._~"));
    check("/a%3fb%23c", Ok("/a%3Fb%23c"));
    check("/APP", Ok("/APP"));
}

#[test]
fn a_prefix_ends_where_a_segment_ends() {
    let under = |path: &str, prefix: &str| CanonicalPath::parse(path).unwrap().is_under(prefix);
    assert!(under("/public", "/public"));
    assert!(under("/public/a", "/public"));
    assert!(under("/%2Eportcullis/a", "/.portcullis"));
    assert!(!under("/publicadmin", "/public"));
    assert!(!under("/public.bak", "/public"));
    assert!(!under("/Public", "/public"));
}

#[test]
fn segments_are_what_stands_between_the_slashes() {
    let path = CanonicalPath::parse("/a/%40b/").unwrap();
    assert_eq!(path.segments().collect::<Vec<_>>(), ["a", "%40b", ""]);
    assert_eq!(path.decoded_segments().collect::<Vec<_>>(), ["a", "@b", ""]);
    assert_eq!((format!("{path}"), format!("{path:?}")), ("/a/%40b/".to_owned(), "\"/a/%40b/\"".to_owned()));
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// An independent reading of what a lenient program may make of a path: decoded until nothing changes.
fn decoded_to_the_end(text: &str) -> String {
    let mut now = text.as_bytes().to_vec();
    loop {
        let next: Vec<u8> = percent_encoding::percent_decode(&now).collect();
        if next == now {
            return String::from_utf8_lossy(&now).into_owned();
        }
        now = next;
    }
}

/// `text` with each character as it is, escaped, or escaped twice or thrice, in either case of hex.
fn obfuscated(text: &str, choices: &[u8]) -> String {
    let one = |(index, byte): (usize, u8)| match choices[index % choices.len()] % 6 {
        0 | 1 => char::from(byte).to_string(),
        2 => format!("%{byte:02x}"),
        3 => format!("%{byte:02X}"),
        4 => format!("%25{byte:02x}"),
        _ => format!("%2525{byte:02X}"),
    };
    text.bytes().enumerate().map(one).collect()
}

/// Pieces of which an attack on a path is made.
fn attack() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("..".to_owned()),
        Just(".".to_owned()),
        Just("/".to_owned()),
        Just("\\".to_owned()),
        Just(";x=1".to_owned()),
        Just("..;".to_owned()),
        Just("\0".to_owned()),
        Just("%".to_owned()),
        Just("%25".to_owned()),
        Just("%c0%ae".to_owned()),
        Just("%EF%BC%8E".to_owned()),
        Just("%EF%BC%8F".to_owned()),
        "[a-z]{1,3}",
        any::<char>().prop_map(String::from),
    ];
    let spelled = (piece, prop::collection::vec(any::<u8>(), 1..8)).prop_map(|(piece, choices)| obfuscated(&piece, &choices));
    prop::collection::vec(spelled, 1..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn canonicalising_twice_is_canonicalising_once(raw in attack()) {
        if let Ok(once) = CanonicalPath::parse(&raw) {
            prop_assert_eq!(CanonicalPath::parse(once.as_str()), Ok(once));
        }
    }

    #[test]
    fn what_is_read_has_one_reading_however_often_it_is_decoded(raw in attack()) {
        if let Ok(path) = CanonicalPath::parse(&raw) {
            let decoded = decoded_to_the_end(path.as_str());
            prop_assert_eq!(decoded.matches('/').count(), path.as_str().matches('/').count(), "{}", decoded);
            prop_assert!(!decoded.split('/').any(|segment| matches!(segment, "." | "..")), "{}", decoded);
            prop_assert!(!decoded.contains(['\\', ';', '\0', '\r', '\n']), "{}", decoded);
            prop_assert!(path.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
            let once: Vec<_> = path.decoded_segments().map(|segment| segment.into_owned()).collect();
            prop_assert_eq!(once.join("/"), &decoded[1..]);
        }
    }

    #[test]
    fn a_dot_segment_is_never_read(choices in prop::collection::vec(any::<u8>(), 1..9), dots in "\\.{1,2}", before in "(/[a-z]{1,3}){0,2}", after in "(/[a-z]{0,3})?") {
        let raw = format!("{before}/{}{after}", obfuscated(&dots, &choices));
        prop_assert!(CanonicalPath::parse(&raw).is_err(), "{}", raw);
    }

    #[test]
    fn an_encoded_separator_parameter_or_control_is_never_read(choices in prop::collection::vec(2_u8..6, 1..3), byte in "[/\\\\;\\x00-\\x1f\\x7f]", around in "[a-z]{0,3}") {
        let raw = format!("/{around}{}{around}", obfuscated(&byte, &choices));
        prop_assert!(CanonicalPath::parse(&raw).is_err(), "{}", raw);
    }

    #[test]
    fn unreserved_characters_read_alike_escaped_or_not(text in "[A-Za-z0-9_~-]{1,20}", choices in prop::collection::vec(0_u8..4, 1..20)) {
        let raw = format!("/{}", obfuscated(&text, &choices));
        let path = CanonicalPath::parse(&raw).unwrap();
        prop_assert_eq!(path.as_str(), format!("/{text}"));
    }
}
