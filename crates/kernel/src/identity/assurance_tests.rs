//! Assurance: which proof of a factor satisfies which requirement.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_000_000);
const KINDS: [FactorKind; 3] = [FactorKind::Totp, FactorKind::Webauthn, FactorKind::RecoveryCode];

/// A proof so many seconds ago; after now where negative.
fn ago(kind: FactorKind, seconds: i64) -> FactorProof {
    FactorProof { kind, at: Timestamp::from_seconds(NOW.as_seconds().saturating_add_signed(-seconds)) }
}

fn need(strength: Strength, seconds: u64) -> Requirement {
    Requirement { strength, max_age: Duration::from_secs(seconds) }
}

fn check(proofs: &[FactorProof], requirement: Requirement, expected: Sufficiency) {
    let assurance = proofs.iter().fold(Assurance::default(), |assurance, proof| assurance.with(*proof));
    assert_eq!(assurance.meets(requirement, NOW), expected, "{proofs:?}");
}

#[test]
fn the_first_factor_alone_meets_nothing() {
    for strength in [Strength::Any, Strength::PhishingResistant] {
        check(&[], need(strength, u64::MAX), Sufficiency::Missing);
    }
}

#[test]
fn every_factor_is_a_factor_and_only_webauthn_resists_phishing() {
    for kind in KINDS {
        check(&[ago(kind, 1)], need(Strength::Any, 10), Sufficiency::Met(ago(kind, 1)));
    }
    check(&[ago(FactorKind::Webauthn, 1)], need(Strength::PhishingResistant, 10), Sufficiency::Met(ago(FactorKind::Webauthn, 1)));
    for kind in [FactorKind::Totp, FactorKind::RecoveryCode] {
        check(&[ago(kind, 1)], need(Strength::PhishingResistant, 10), Sufficiency::TooWeak);
    }
}

#[test]
fn a_proof_of_exactly_the_greatest_age_counts() {
    let proof = |seconds| ago(FactorKind::Totp, seconds);
    check(&[proof(600)], need(Strength::Any, 600), Sufficiency::Met(proof(600)));
    check(&[proof(601)], need(Strength::Any, 600), Sufficiency::TooOld);
    check(&[proof(0)], need(Strength::Any, 0), Sufficiency::Met(proof(0)));
}

#[test]
fn a_proof_from_the_future_counts_for_a_minute_at_most() {
    let proof = |seconds| ago(FactorKind::Totp, seconds);
    check(&[proof(-60)], need(Strength::Any, 600), Sufficiency::Met(proof(-60)));
    check(&[proof(-61)], need(Strength::Any, 600), Sufficiency::TooOld);
}

#[test]
fn a_fresh_weak_proof_makes_no_old_strong_one_fresh() {
    let (weak, strong) = (ago(FactorKind::Totp, 1), ago(FactorKind::Webauthn, 900));
    check(&[strong, weak], need(Strength::PhishingResistant, 600), Sufficiency::TooOld);
    check(&[weak, strong], need(Strength::Any, 600), Sufficiency::Met(weak));
    check(&[weak, strong], need(Strength::PhishingResistant, 900), Sufficiency::Met(strong));
}

#[test]
fn the_latest_proof_of_a_kind_stands_for_it() {
    let (old, new) = (ago(FactorKind::Totp, 900), ago(FactorKind::Totp, 1));
    let assurance = Assurance::default().with(old).with(new);
    assert_eq!(assurance, Assurance::default().with(new));
    let both = assurance.with(ago(FactorKind::RecoveryCode, 5));
    assert_eq!((both.latest(), both.has_any()), (Some(new), true));
    assert_eq!((Assurance::default().latest(), Assurance::default().has_any()), (None, false));
}

#[test]
fn two_requirements_together_are_the_stricter_in_each_respect() {
    let (weak_fresh, strong_old) = (need(Strength::Any, 60), need(Strength::PhishingResistant, 600));
    assert_eq!(weak_fresh.and(strong_old), need(Strength::PhishingResistant, 60));
    assert_eq!(strong_old.and(weak_fresh), need(Strength::PhishingResistant, 60));
}

#[test]
fn names_are_those_of_files_and_records() {
    for (kind, name) in [(FactorKind::Totp, "totp"), (FactorKind::Webauthn, "webauthn"), (FactorKind::RecoveryCode, "recovery-code")] {
        assert_eq!((kind.as_str(), serde_json::to_value(kind).unwrap().as_str()), (name, Some(name)));
    }
    for (strength, name) in [(Strength::Any, "any"), (Strength::PhishingResistant, "phishing-resistant")] {
        assert_eq!((strength.as_str(), serde_json::to_value(strength).unwrap().as_str()), (name, Some(name)));
    }
}

fn any_proof() -> impl Strategy<Value = FactorProof> {
    (proptest::sample::select(&KINDS), 0_i64..2_000).prop_map(|(kind, seconds)| ago(kind, seconds))
}

proptest! {
    #[test]
    fn a_weaker_proof_never_meets_what_was_not_met(proofs in proptest::collection::vec(any_proof(), 0..5), weak in any_proof(), max_age in 0_u64..2_000) {
        prop_assume!(weak.kind.strength() == Strength::Any);
        let before = proofs.iter().fold(Assurance::default(), |assurance, proof| assurance.with(*proof));
        let requirement = need(Strength::PhishingResistant, max_age);
        let met = |assurance: &Assurance| matches!(assurance.meets(requirement, NOW), Sufficiency::Met(_));
        prop_assert_eq!(met(&before.with(weak)), met(&before));
    }

    #[test]
    fn what_meets_two_requirements_together_meets_each(proofs in proptest::collection::vec(any_proof(), 0..5), one in 0_u64..2_000, two in 0_u64..2_000) {
        let assurance = proofs.iter().fold(Assurance::default(), |assurance, proof| assurance.with(*proof));
        let (one, two) = (need(Strength::Any, one), need(Strength::PhishingResistant, two));
        let met = |requirement| matches!(assurance.meets(requirement, NOW), Sufficiency::Met(_));
        prop_assert!(!met(one.and(two)) || (met(one) && met(two)));
    }
}
