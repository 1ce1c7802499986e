//! Tests of hosts and authorities (PN-17): what reads alike, what is refused and why, and the bounds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use proptest::prelude::*;

use super::host::HostFault::{Character, Empty, EmptyLabel, Hyphen, Port, TooLong};
use super::host::{Authority, Host, HostFault};

#[track_caller]
fn check(text: &str, expected: Result<&str, HostFault>) {
    let read = Authority::parse(text).map(|authority| authority.to_string());
    assert_eq!(read.as_deref(), expected.as_ref().copied(), "{text:?}");
}

#[test]
fn one_host_has_one_reading() {
    check("app.test", Ok("app.test"));
    check("APP.Test", Ok("app.test"));
    check("app.test.", Ok("app.test"));
    check("app.test:443", Ok("app.test"));
    check("app.test.:8443", Ok("app.test:8443"));
    check("a_b-c.test", Ok("a_b-c.test"));
    check("xn--app-.test", Err(Hyphen));
    check("xn--bcher-kva.test", Ok("xn--bcher-kva.test"));
}

#[test]
fn addresses_have_one_reading() {
    check("127.0.0.1", Ok("127.0.0.1"));
    check("127.0.0.1.", Ok("127.0.0.1"));
    check("[::1]:8443", Ok("[::1]:8443"));
    check("[0:0::0:1]", Ok("[::1]"));
    check("[::FFFF:1]", Ok("[::ffff:1]"));
    for text in ["127.1", "2130706433", "0x7f000001", "0X7F.1", "app.0x1", "127.0.0.01", "256.0.0.1", "1.2.3.4.5", "app.1"] {
        check(text, Err(Character));
    }
    for text in ["[::1", "[]", "[::1].", "[::1]x", "[fe80::1%eth0]", "[127.0.0.1]", "[:::]"] {
        check(text, Err(Character));
    }
}

#[test]
fn what_is_no_host_is_refused() {
    for text in ["", ".", ":443"] {
        check(text, Err(Empty));
    }
    for text in ["app..test", ".app.test", "app.test.."] {
        check(text, Err(EmptyLabel));
    }
    for text in
        [" app.test", "app.test ", "app.test,pub.test", "app.test/", "app.test#", "app.test?", "u@app.test", "u:p@app.test", "*.test"]
    {
        assert!(Authority::parse(text).is_err(), "{text}");
    }
    for text in ["\u{ff41}pp.test", "app\u{3002}test", "app.t\0st", "app%2etest", "a\\b.test"] {
        check(text, Err(Character));
    }
    for text in ["-app.test", "app-.test", "app.-test", "app.test-", "-"] {
        check(text, Err(Hyphen));
    }
}

#[test]
fn ports_are_plain_numbers_from_1_to_65535() {
    for text in [
        "app.test:",
        "app.test:0",
        "app.test:0443",
        "app.test:65536",
        "app.test:99999",
        "app.test:123456",
        "app.test:+443",
        "app.test:4 3",
        "app.test:x",
    ] {
        check(text, Err(Port));
    }
    check("app.test:1", Ok("app.test:1"));
    check("app.test:65535", Ok("app.test:65535"));
    check("app.test:80", Ok("app.test:80"));
    assert_eq!(Authority::parse("app.test").unwrap().port, 443);
    check("app.test:443:443", Err(Character));
}

#[test]
fn labels_have_63_bytes_and_names_253() {
    let label = "a".repeat(63);
    check(&label, Ok(&label));
    check(&format!("{label}a"), Err(TooLong));
    let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
    assert_eq!(longest.len(), 253);
    check(&longest, Ok(&longest));
    check(&format!("{longest}."), Ok(&longest));
    check(&format!("{longest}a"), Err(TooLong));
}

#[test]
fn an_origin_is_written_as_a_browser_writes_it() {
    assert_eq!(Authority::parse("App.test:443").unwrap().origin(), "https://app.test");
    assert_eq!(Authority::parse("app.test:8443").unwrap().origin(), "https://app.test:8443");
    let host = Host::parse("APP.test").unwrap();
    assert_eq!((host.as_str(), format!("{host}"), format!("{host:?}")), ("app.test", "app.test".to_owned(), "\"app.test\"".to_owned()));
}

proptest! {
    #[test]
    fn reading_twice_is_reading_once(text in "[A-Za-z0-9._\\[\\]:-]{0,20}") {
        if let Ok(once) = Authority::parse(&text) {
            prop_assert_eq!(Authority::parse(&once.to_string()), Ok(once));
        }
    }

    #[test]
    fn no_text_makes_the_reader_fail_or_yield_a_stray_character(text in any::<String>()) {
        if let Ok(host) = Host::parse(&text) {
            prop_assert!(host.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.[]:".contains(&byte)));
        }
    }

    #[test]
    fn case_trailing_dot_and_default_port_make_no_difference(name in "[a-z]{1,5}(\\.[a-z]{1,5}){0,3}", upper in any::<bool>(), dot in any::<bool>(), port in any::<bool>()) {
        let mut text = if upper { name.to_uppercase() } else { name.clone() };
        if dot { text.push('.'); }
        if port { text.push_str(":443"); }
        prop_assert_eq!(Authority::parse(&text).unwrap().to_string(), name);
    }
}
