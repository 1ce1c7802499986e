//! Bytes of JSON that need no escape: numbers, hex, addresses, and the question whether text is such.
//!
//! Records are written for every request, so this goes eight or sixteen bytes at a time, without `fmt`.

use std::io::Write;
use std::net::IpAddr;

use uuid::Uuid;

/// Whether text stands in JSON as it is: printable ASCII without quote and backslash. Most text is.
#[must_use]
#[inline]
pub fn is_plain(text: &str) -> bool {
    let (words, rest) = text.as_bytes().as_chunks::<WORD>();
    let mut last = [b' '; WORD];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    words.iter().chain([&last]).fold(0, |found, word| found | specials(u64::from_le_bytes(*word))) == 0
}

/// How many of the first bytes are such text.
#[must_use]
#[inline]
pub fn plain_length(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<WORD>();
    // Behind the end stands a zero, which is none.
    let mut last = [0; WORD];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    let mut before = 0;
    for word in words.iter().chain([&last]) {
        // A borrow goes to higher bytes alone, so the lowest bit that is set is right.
        match specials(u64::from_le_bytes(*word)) {
            0 => before += WORD,
            found => return before + found.trailing_zeros() as usize / 8,
        }
    }
    before
}

/// Whether one of eight bytes is no printable ASCII, a quote or a backslash: then one of the highest bits is set.
#[inline]
const fn specials(word: u64) -> u64 {
    let control = word.wrapping_sub(EACH * 0x20) & !word;
    let found = control | zeros(word ^ (EACH * 0x22)) | zeros(word ^ (EACH * 0x5c)) | zeros(word ^ (EACH * 0x7f)) | word;
    found & (EACH * 0x80)
}

/// Whether one of eight bytes is zero: then one of the highest bits is set. (Hacker's Delight, 6-1.)
#[inline]
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(EACH) & !word
}

/// A number in decimal digits.
#[inline]
pub fn push_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; DIGITS_MAX];
    let (mut first, mut rest) = (DIGITS_MAX, number);
    for digit in digits.iter_mut().rev() {
        // A remainder of ten is a digit.
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        first -= 1;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(first..).unwrap_or_default());
}

/// Sixteen bytes in hex.
#[inline]
pub fn push_hex(out: &mut Vec<u8>, bytes: &[u8; 16]) {
    let [high, low] = halves(u128::from_be_bytes(*bytes));
    out.extend_from_slice(&hex_digits(high));
    out.extend_from_slice(&hex_digits(low));
}

/// A UUID, with its hyphens.
#[inline]
pub fn push_uuid(out: &mut Vec<u8>, uuid: &Uuid) {
    let [high, low] = halves(uuid.as_u128());
    let (high, low) = (hex_digits(high), hex_digits(low));
    let [a, b, c, d, e, f, g, h, rest @ ..] = high;
    let [i, j, k, l, m, n, o, p] = rest;
    let [q, r, s, t, node @ ..] = low;
    out.extend_from_slice(&[a, b, c, d, e, f, g, h, b'-', i, j, k, l, b'-', m, n, o, p, b'-', q, r, s, t, b'-']);
    out.extend_from_slice(&node);
}

/// An IP address.
#[inline]
pub fn push_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let [first, rest @ ..] = address.octets();
            push_number(out, first.into());
            for octet in rest {
                out.push(b'.');
                push_number(out, octet.into());
            }
        }
        // Writing to memory does not fail.
        IpAddr::V6(_) => drop(write!(out, "{address}")),
    }
}

#[inline]
const fn halves(bytes: u128) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, rest @ ..] = bytes.to_be_bytes();
    [u64::from_be_bytes([a, b, c, d, e, f, g, h]), u64::from_be_bytes(rest)]
}

/// Eight bytes as sixteen digits: every half byte is moved to a byte of its own, then all become letters at once.
#[inline]
fn hex_digits(bytes: u64) -> [u8; 16] {
    let mut nibbles = u128::from(bytes);
    nibbles = (nibbles | (nibbles << 32)) & 0x0000_0000_ffff_ffff_0000_0000_ffff_ffff;
    nibbles = (nibbles | (nibbles << 16)) & 0x0000_ffff_0000_ffff_0000_ffff_0000_ffff;
    nibbles = (nibbles | (nibbles << 8)) & 0x00ff_00ff_00ff_00ff_00ff_00ff_00ff_00ff;
    nibbles = (nibbles | (nibbles << 4)) & (WIDE * 0xf);
    // One in every byte that is ten or more.
    let letters = ((nibbles + WIDE * 6) >> 4) & WIDE;
    (nibbles + WIDE * u128::from(b'0') + letters * u128::from(b'a' - b'0' - 10)).to_be_bytes()
}

const WORD: usize = 8;

/// One in each byte.
const EACH: u64 = u64::MAX / 0xff;
const WIDE: u128 = u128::MAX / 0xff;

/// Digits of the greatest number.
const DIGITS_MAX: usize = 20;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn made(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_byte_is_judged_right_in_every_place() {
        for letter in (0..0x180).filter_map(char::from_u32) {
            let plain = matches!(letter, ' '..='~') && letter != '"' && letter != '\\';
            for (before, after) in (0..20).flat_map(|before| (0..20).map(move |after| (before, after))) {
                let text = format!("{}{letter}{}", "a".repeat(before), "z".repeat(after));
                assert_eq!(is_plain(&text), plain, "{text:?}");
                assert_eq!(plain_length(text.as_bytes()), if plain { text.len() } else { before }, "{text:?}");
            }
        }
        assert!(is_plain(""));
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_fmt_writes(number: u64, wide: u128, v4: u32, few in 0_u64..2_000) {
            prop_assert_eq!(made(|out| push_number(out, number)), number.to_string());
            prop_assert_eq!(made(|out| push_number(out, few)), few.to_string());
            prop_assert_eq!(made(|out| push_hex(out, &wide.to_be_bytes())), format!("{wide:032x}"));
            prop_assert_eq!(made(|out| push_uuid(out, &Uuid::from_u128(wide))), Uuid::from_u128(wide).to_string());
            for address in [IpAddr::V4(v4.into()), IpAddr::V6(wide.into())] {
                prop_assert_eq!(made(|out| push_address(out, address)), address.to_string());
            }
        }
    }
}
