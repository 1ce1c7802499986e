//! Recovery codes: their form, and that each is good once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn subject(issuer: &str, sub: &str) -> Subject {
    Subject { issuer: issuer.into(), sub: sub.into() }
}

/// The bits 00000 00001 … 10111 in order: one of each digit from 0 to Q.
const COUNTING: &str = "0123-4567-89AB-CDEF-GHJK-MNPQ";

#[test]
fn a_code_is_six_groups_of_four() {
    assert_eq!(RecoveryCode::new([0; 15]).text().as_str(), "0000-0000-0000-0000-0000-0000");
    assert_eq!(RecoveryCode::new([0xff; 15]).text().as_str(), "ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ");
    assert_eq!(RecoveryCode::parse(COUNTING).unwrap().text().as_str(), COUNTING);
    assert_eq!(RecoveryCode::parse(COUNTING).unwrap().0[..4], [0x00, 0x44, 0x32, 0x14]);
}

#[test]
fn a_code_is_read_as_people_type_it() {
    let code = RecoveryCode::parse(COUNTING).unwrap();
    for text in [
        "0123456789ABCDEFGHJKMNPQ",
        "0123-4567-89ab-cdef-ghjk-mnpq",
        "0123 4567 89AB CDEF GHJK MNPQ",
        " 0123-4567-89ab-cdef-ghjk-mnpq ",
        "O123-4567-89AB-CDEF-GHJK-MNPQ",
        "oi23-4567-89AB-CDEF-GHJK-MNPQ",
        "0I23-4567-89AB-CDEF-GHJK-MNPQ",
        "0L23-4567-89AB-CDEF-GHJK-MNPQ",
        "0l23-4567-89AB-CDEF-GHJK-MNPQ",
        "0-1-2-3-4-5-6-7-8-9-A-B-C-D-E-F-G-H-J-K-M-N-P-Q",
    ] {
        assert_eq!(RecoveryCode::parse(text).map(|read| read == code), Ok(true), "{text}");
    }
}

#[test]
fn anything_else_is_refused() {
    for text in [
        "",
        "0123",
        "0123-4567-89AB-CDEF-GHJK-MNP",
        "0123-4567-89AB-CDEF-GHJK-MNPQR",
        "00000-0123-4567-89AB-CDEF-GHJK-MNPQ",
        "U123-4567-89AB-CDEF-GHJK-MNPQ",
        "0123_4567_89AB_CDEF_GHJK_MNPQ",
        "0123-4567-89AB-CDEF-GHJK-MNPQ\n",
        "0123\u{2013}4567-89AB-CDEF-GHJK-MNPQ",
        "０123-4567-89AB-CDEF-GHJK-MNPQ",
        "+123-4567-89AB-CDEF-GHJK-MNPQ",
    ] {
        assert!(RecoveryCode::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn text_longer_than_a_code_can_be_is_not_looked_at() {
    let padded = |spaces: usize| format!("{}{COUNTING}", " ".repeat(spaces));
    assert!(RecoveryCode::parse(&padded(64 - COUNTING.len())).is_ok());
    assert!(RecoveryCode::parse(&padded(65 - COUNTING.len())).is_err());
}

#[test]
fn a_set_is_ten_codes_of_the_random_bytes() {
    let mut random = [[0; CODE_BYTES]; CODES];
    for (seed, code) in (0..).zip(&mut random) {
        *code = [seed; CODE_BYTES];
    }
    let set = RecoveryCode::set(random);
    assert_eq!((set.len(), set.iter().map(|code| code.0).collect::<Vec<_>>()), (10, random.to_vec()));
}

#[test]
fn a_hash_is_the_subjects_own_and_the_codes_own() {
    let (code, other) = (RecoveryCode::new([1; 15]), RecoveryCode::new([2; 15]));
    let hashes = BTreeSet::from([
        code.hash(&subject("https://a", "ana")),
        code.hash(&subject("https://a", "ben")),
        code.hash(&subject("https://b", "ana")),
        code.hash(&subject("https://aa", "na")),
        code.hash(&subject("https://", "aana")),
        code.hash(&subject("https://aana", "")),
        other.hash(&subject("https://a", "ana")),
    ]);
    assert_eq!(hashes.len(), 7);
    assert_eq!(code.hash(&subject("https://a", "ana")), RecoveryCode::new([1; 15]).hash(&subject("https://a", "ana")));
}

#[test]
fn a_code_is_not_printed() {
    assert_eq!(format!("{:?}", RecoveryCode::new([1; 15])), "***");
}

proptest! {
    #[test]
    fn what_is_shown_is_what_is_read(random: [u8; CODE_BYTES]) {
        let code = RecoveryCode::new(random);
        let text = code.text();
        prop_assert_eq!(RecoveryCode::parse(&text).map(|read| read.0), Ok(random));
        prop_assert_eq!(RecoveryCode::parse(&text.to_lowercase().replace('-', " ")).map(|read| read.0), Ok(random));
    }

    #[test]
    fn no_text_makes_the_parser_fall(text in "\\PC{0,80}") {
        drop(RecoveryCode::parse(&text));
    }
}
