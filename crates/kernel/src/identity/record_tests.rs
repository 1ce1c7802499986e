//! Addresses, subjects and groups: what is read as one, and the form that is kept.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use proptest::prelude::*;

use super::*;

#[test]
fn a_plain_address_is_read_and_kept_as_it_is() {
    for text in ["ana@example.com", "Ana.B+x_y-z@Example.COM", "a@b", "o'neill@example.com", "a/b=c@example.com"] {
        let email = Email::parse(text).unwrap();
        assert_eq!((email.as_str(), email.to_string(), format!("{email:?}")), (text, text.to_owned(), format!("{text:?}")));
    }
    assert_eq!(Email::parse("ana@example.com").unwrap().domain(), "example.com");
}

#[test]
fn an_address_with_two_readings_is_refused() {
    for text in [
        "",
        "@",
        "ana",
        "ana@",
        "@example.com",
        "a@b@c",
        "ana@example.com@evil.test",
        "\"a@b\"@example.com",
        "a b@example.com",
        "ana@exa mple.com",
        "ana@example.com ",
        " ana@example.com",
        "ana@example.com\n",
        "ana\0@example.com",
        "<ana@example.com>",
        "ana@[127.0.0.1]",
        "a,b@example.com",
        "a;b@example.com",
        "a:b@example.com",
        "a(b)@example.com",
        "a\\b@example.com",
        "an\u{e4}@example.com",
        "ana@ex\u{e4}mple.com",
        "ana\u{ff20}example.com",
    ] {
        assert_eq!(Email::parse(text), Err(EmailFault), "{text:?}");
        assert!(serde_json::from_value::<Email>(text.into()).is_err(), "{text:?}");
    }
}

#[test]
fn an_address_has_at_most_254_bytes() {
    let of = |length: usize| format!("{}@b.test", "a".repeat(length - "@b.test".len()));
    assert!(Email::parse(&of(254)).is_ok());
    assert!(Email::parse(&of(255)).is_err());
}

#[test]
fn subjects_of_two_issuers_are_two() {
    let of = |issuer: &str| Subject { issuer: issuer.into(), sub: "ana".into() };
    assert_ne!(of("https://a"), of("https://b"));
    assert_eq!(of("https://a").to_string(), "https://a#ana");
}

#[test]
fn groups_are_compared_byte_by_byte() {
    assert_ne!(Group::new("dev"), Group::new("Dev"));
    assert_ne!(Group::new("dev"), Group::new("dev "));
    let group = Group::new("dev");
    assert_eq!((group.as_str(), group.to_string(), format!("{group:?}")), ("dev", "dev".to_owned(), "\"dev\"".to_owned()));
}

#[test]
fn an_identity_survives_being_kept() {
    let identity = Identity {
        subject: Subject { issuer: "https://a".into(), sub: "\"#\u{e4}".into() },
        email: Some(Email::parse("ana@example.com").unwrap()),
        name: None,
        groups: vec![Group::new("a b"), Group::new("")],
    };
    assert_eq!(serde_json::from_str::<Identity>(&serde_json::to_string(&identity).unwrap()).unwrap(), identity);
}

proptest! {
    #[test]
    fn what_is_read_as_an_address_has_one_at_sign_and_printable_ascii(text in "\\PC{0,12}") {
        if let Ok(email) = Email::parse(&text) {
            prop_assert_eq!(email.as_str(), &text);
            prop_assert_eq!(text.matches('@').count(), 1);
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
        }
    }
}
