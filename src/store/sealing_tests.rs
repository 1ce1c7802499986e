//! Sealing: what was sealed opens in its own place with its own key, and nowhere else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use super::*;

const HERE: Place<'static> = Place { table: "totp", row: &[b"issuer", b"sub"] };

fn ring(current: u8, previous: &[u8]) -> KeyRing {
    let key = |seed| Zeroizing::new([seed; 32]);
    KeyRing::new(&key(current), &previous.iter().map(|seed| key(*seed)).collect::<Vec<_>>()).unwrap()
}

#[test]
fn a_sealed_value_opens_where_it_was_sealed() {
    for plain in [&b""[..], b"x", b"JBSWY3DPEHPK3PXP", &[0; 4_096]] {
        let sealed = ring(1, &[]).seal(HERE, plain).unwrap();
        assert_eq!(&**ring(1, &[]).open(HERE, &sealed).unwrap(), plain);
        assert_eq!(sealed.len(), 1 + 8 + 12 + plain.len() + 16);
    }
}

#[test]
fn a_value_is_never_sealed_the_same_way_twice() {
    let ring = ring(1, &[]);
    assert_ne!(ring.seal(HERE, b"secret").unwrap(), ring.seal(HERE, b"secret").unwrap());
}

#[test]
fn every_altered_bit_is_noticed() {
    let ring = ring(1, &[]);
    let sealed = ring.seal(HERE, b"secret").unwrap();
    for index in 0..sealed.len() {
        for bit in 0..8 {
            let mut altered = sealed.clone();
            altered[index] ^= 1 << bit;
            let expected = match index {
                0 => SealFault::Malformed,
                1..=8 => SealFault::UnknownKey,
                _ => SealFault::Altered,
            };
            assert_eq!(ring.open(HERE, &altered).unwrap_err(), expected, "byte {index} bit {bit}");
        }
    }
}

#[test]
fn every_shortened_value_is_refused() {
    let ring = ring(1, &[]);
    let sealed = ring.seal(HERE, b"secret").unwrap();
    for length in 0..sealed.len() {
        let expected = if length < 21 { SealFault::Malformed } else { SealFault::Altered };
        let found = ring.open(HERE, &sealed[..length]).unwrap_err();
        assert_eq!(found, expected, "length {length}");
    }
}

#[test]
fn a_value_moved_to_another_place_does_not_open() {
    let ring = ring(1, &[]);
    let sealed = ring.seal(HERE, b"secret").unwrap();
    let elsewhere: [Place<'_>; 5] = [
        Place { table: "session", ..HERE },
        Place { row: &[b"issuer", b"other"], ..HERE },
        Place { row: &[b"issuers", b"ub"], ..HERE },
        Place { row: &[b"issuersub"], ..HERE },
        Place { row: &[b"issuer", b"sub", b""], ..HERE },
    ];
    for place in elsewhere {
        assert_eq!(ring.open(place, &sealed).unwrap_err(), SealFault::Altered, "{place:?}");
    }
}

#[test]
fn a_previous_key_opens_and_no_longer_seals() {
    let old = ring(1, &[]).seal(HERE, b"secret").unwrap();
    let rotated = ring(2, &[1]);
    assert_eq!(&**rotated.open(HERE, &old).unwrap(), b"secret");
    assert!(!rotated.is_current(&old));
    let new = rotated.seal(HERE, b"secret").unwrap();
    assert!(rotated.is_current(&new));
    assert_eq!(ring(1, &[]).open(HERE, &new).unwrap_err(), SealFault::UnknownKey);
    assert_eq!(ring(2, &[]).open(HERE, &old).unwrap_err(), SealFault::UnknownKey);
    assert_eq!(&**ring(2, &[]).open(HERE, &new).unwrap(), b"secret");
    assert!(!rotated.is_current(b""));
}

#[test]
fn a_ring_does_not_print_its_keys() {
    assert_eq!(format!("{:?}", ring(1, &[2])), "KeyRing(1 previous)");
}
