//! Tests of assurance at its very bounds, and of e-mail addresses with one reading (MF-09, OI-09).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::time::Duration;

use proptest::prelude::*;

use super::assurance::{Assurance, FactorKind, FactorProof, Requirement, Strength, Sufficiency};
use super::{Email, Group, Identity, Subject};
use crate::time::Timestamp;

const NOW: u64 = 1_000_000;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn proof(kind: FactorKind, seconds: u64) -> FactorProof {
    FactorProof { kind, at: at(seconds) }
}

fn shown(proofs: &[FactorProof]) -> Assurance {
    proofs.iter().fold(Assurance::default(), |assurance, proof| assurance.with(*proof))
}

#[track_caller]
fn check(proofs: &[FactorProof], strength: Strength, max_age: u64, expected: Sufficiency) {
    let requirement = Requirement { strength, max_age: Duration::from_secs(max_age) };
    assert_eq!(shown(proofs).meets(requirement, at(NOW)), expected, "{proofs:?}");
}

use FactorKind::{RecoveryCode, Totp, Webauthn};
use Strength::{Any, PhishingResistant};
use Sufficiency::{Met, Missing, TooOld, TooWeak};

#[test]
fn without_a_proof_nothing_is_met() {
    check(&[], Any, u64::MAX, Missing);
    check(&[], PhishingResistant, 0, Missing);
}

#[test]
fn a_proof_counts_up_to_its_greatest_age_and_no_longer() {
    let totp = proof(Totp, NOW - 60);
    check(&[totp], Any, 60, Met(totp));
    check(&[totp], Any, 59, TooOld);
    let just = FactorProof { kind: Totp, at: Timestamp::from_micros((NOW - 60) * 1_000_000 - 1) };
    check(&[just], Any, 60, TooOld);
    let now = proof(Totp, NOW);
    check(&[now], Any, 0, Met(now));
}

#[test]
fn a_proof_from_the_future_counts_within_a_minute_only() {
    let soon = proof(Totp, NOW + 60);
    check(&[soon], Any, 10, Met(soon));
    let later = FactorProof { kind: Totp, at: Timestamp::from_micros((NOW + 60) * 1_000_000 + 1) };
    check(&[later], Any, 10, TooOld);
}

#[test]
fn a_weak_factor_never_stands_for_a_strong_one() {
    let key = proof(Webauthn, NOW - 100);
    for weak in [Totp, RecoveryCode] {
        check(&[proof(weak, NOW)], PhishingResistant, 60, TooWeak);
        check(&[proof(weak, NOW), key], PhishingResistant, 60, TooOld);
        check(&[proof(weak, NOW), key], PhishingResistant, 100, Met(key));
    }
    check(&[key], Any, 100, Met(key));
    check(&[key, proof(Totp, NOW)], Any, 60, Met(proof(Totp, NOW)));
}

#[test]
fn of_each_kind_the_last_proof_is_kept() {
    let assurance = shown(&[proof(Totp, 1), proof(Webauthn, 2), proof(Totp, 3)]);
    assert_eq!(assurance, shown(&[proof(Webauthn, 2), proof(Totp, 3)]));
    assert_eq!(assurance.latest(), Some(proof(Totp, 3)));
    assert!(assurance.has_any());
    assert!(!Assurance::default().has_any());
    assert_eq!(Assurance::default().latest(), None);
}

#[test]
fn what_was_shown_since_a_moment_includes_that_moment() {
    let assurance = shown(&[proof(Totp, 5), proof(Webauthn, 10)]);
    assert_eq!(assurance.shown_since(at(5)), assurance);
    assert_eq!(assurance.shown_since(at(6)), shown(&[proof(Webauthn, 10)]));
    assert_eq!(assurance.shown_since(at(11)), Assurance::default());
}

#[test]
fn two_requirements_together_are_the_stricter_in_each_respect() {
    let asks = |strength, age| Requirement { strength, max_age: Duration::from_secs(age) };
    assert_eq!(asks(Any, 5).and(asks(PhishingResistant, 9)), asks(PhishingResistant, 5));
    assert_eq!(asks(PhishingResistant, 9).and(asks(Any, 5)), asks(PhishingResistant, 5));
}

#[test]
fn kinds_and_strengths_have_their_words() {
    let words: Vec<_> = [Totp, Webauthn, RecoveryCode].iter().map(|kind| (kind.as_str(), kind.strength().as_str())).collect();
    assert_eq!(words, [("totp", "any"), ("webauthn", "phishing-resistant"), ("recovery-code", "any")]);
    assert!(Any < PhishingResistant);
}

#[test]
fn an_address_has_one_reading_or_none() {
    let longest = format!("{}@corp.com", "a".repeat(245));
    for text in ["a@corp.com", "A.b+c@Corp.com", "o'hara@corp.com", &longest] {
        let email = Email::parse(text).unwrap();
        assert_eq!((email.as_str(), email.to_string(), String::from(email.clone())), (text, text.to_owned(), text.to_owned()));
    }
    assert_eq!(Email::parse("ana@example.com").unwrap().domain(), "example.com");
    for text in [
        "",
        "@",
        "a@",
        "@corp.com",
        "corp.com",
        "a@evil@corp.com",
        "a@corp.com\n",
        "a @corp.com",
        "a@corp.com ",
        "\"a\"@corp.com",
        "a@[::1]",
        "a,b@corp.com",
        "a@corp.com;b",
        "<a@corp.com>",
        "a\\@corp.com",
        "a:b@corp.com",
        "(a)@corp.com",
        "\u{430}@corp.com",
        "a\0@corp.com",
        &format!("a{longest}"),
    ] {
        assert!(Email::parse(text).is_err(), "{text:?}");
        assert!(Email::try_from(text.to_owned()).is_err());
    }
    assert_ne!(Email::parse("A@corp.com"), Email::parse("a@corp.com"));
}

#[test]
fn a_subject_is_its_issuer_and_sub_together() {
    let subject = |issuer: &str, sub: &str| Subject { issuer: issuer.into(), sub: sub.into() };
    assert_ne!(subject("https://a", "1"), subject("https://b", "1"));
    assert_ne!(subject("https://a", "1"), subject("https://a", "2"));
    assert_eq!(subject("https://a", "1").to_string(), "https://a#1");
    assert_eq!(format!("{:?}", Email::parse("a@b").unwrap()), "\"a@b\"");
    let group = Group::new("sre");
    assert_eq!((group.as_str(), group.to_string(), format!("{group:?}")), ("sre", "sre".to_owned(), "\"sre\"".to_owned()));
    let identity = Identity { subject: subject("i", "s"), email: None, name: None, groups: vec![group] };
    assert_eq!(identity.clone(), identity);
}

fn any_proof() -> impl Strategy<Value = FactorProof> {
    (prop_oneof![Just(Totp), Just(Webauthn), Just(RecoveryCode)], NOW - 200..NOW + 200).prop_map(|(kind, at)| proof(kind, at))
}

proptest! {
    #[test]
    fn what_meets_a_requirement_meets_an_easier_one(proofs in prop::collection::vec(any_proof(), 0..4), age in 0..200_u64, more in 0..200_u64) {
        let meets = |strength, age| matches!(shown(&proofs).meets(Requirement { strength, max_age: Duration::from_secs(age) }, at(NOW)), Met(_));
        prop_assert!(!meets(Any, age) || meets(Any, age + more));
        prop_assert!(!meets(PhishingResistant, age) || meets(PhishingResistant, age + more));
    }

    #[test]
    fn a_proof_that_is_met_was_shown_is_strong_enough_and_fresh(proofs in prop::collection::vec(any_proof(), 0..4), strong in any::<bool>(), age in 0..200_u64) {
        let strength = if strong { PhishingResistant } else { Any };
        if let Met(met) = shown(&proofs).meets(Requirement { strength, max_age: Duration::from_secs(age) }, at(NOW)) {
            prop_assert!(proofs.contains(&met) && met.kind.strength() >= strength && met.at.plus(Duration::from_secs(age)) >= at(NOW));
        }
    }
}
