//! Tokens: their text, their hashes and what they are for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn host(name: &str) -> Host {
    Host::parse(name).unwrap()
}

#[test]
fn a_token_has_another_hash_for_every_purpose_and_host() {
    let (one, two) = (host("a.test"), host("b.test"));
    let purposes = [Purpose::Cookie(&one), Purpose::Cookie(&two), Purpose::State, Purpose::Return, Purpose::Finish, Purpose::Invite];
    let (token, other) = (Token::new([1; 32]), Token::new([2; 32]));
    let hashes: BTreeSet<_> = purposes.iter().flat_map(|purpose| [token.hash(*purpose), other.hash(*purpose)]).collect();
    assert_eq!(hashes.len(), 2 * purposes.len());
}

#[test]
fn a_host_is_one_however_it_is_written() {
    let token = Token::new([1; 32]);
    assert_eq!(token.hash(Purpose::Cookie(&host("A.Test."))), token.hash(Purpose::Cookie(&host("a.test"))));
}

#[test]
fn a_hash_is_what_was_kept_last_year() {
    // Stored hashes outlive the program: another way of hashing would end every session.
    use sha2::{Digest, Sha256};
    let expected: [u8; 32] = Sha256::digest([b"portcullis\0cookie\0a.test\0".as_slice(), &[7; 32]].concat()).into();
    let hash = Token::new([7; 32]).hash(Purpose::Cookie(&host("a.test")));
    assert_eq!(hash.as_bytes(), &expected);
    assert_eq!(TokenHash::from_bytes(expected), hash);
}

#[test]
fn text_of_another_form_is_no_token() {
    let text = Token::new([0; 32]).text();
    assert_eq!(text, "A".repeat(43));
    let standard_alphabet = Token::new([0xff; 32]).text().replace('_', "/");
    for bad in [
        String::new(),
        "A".repeat(42),
        "A".repeat(44),
        format!("{text}="),
        // The last character carries two bits that mean nothing; only zeros are read.
        format!("{}B", "A".repeat(42)),
        standard_alphabet,
        format!("{} ", "A".repeat(42)),
        format!(" {}", "A".repeat(42)),
        format!("{}\n", "A".repeat(42)),
        format!("{}=", "A".repeat(42)),
        "\u{e4}".repeat(21) + "A",
    ] {
        assert!(Token::parse(&bad).is_none(), "{bad:?}");
    }
}

#[test]
fn a_token_is_not_printed_and_a_hash_only_begun() {
    assert_eq!(format!("{:?}", Token::new([1; 32])), "***");
    assert_eq!(format!("{:?}", TokenHash::from_bytes([0xab; 32])), "abababab");
}

proptest! {
    #[test]
    fn a_token_has_one_text(random: [u8; 32], text in "[A-Za-z0-9_-]{43}") {
        let token = Token::new(random);
        prop_assert!(Token::parse(&token.text()) == Some(token));
        if let Some(read) = Token::parse(&text) {
            prop_assert_eq!(read.text(), text);
        }
    }
}
