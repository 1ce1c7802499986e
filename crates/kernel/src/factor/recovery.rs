//! Recovery codes: ten, each good once, for the day on which the device is gone.
//!
//! A code has 120 random bits, so a plain hash is kept of it (NIST SP 800-63B asks 112): no list of guesses reaches it.

use std::fmt;

use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::identity::Subject;
use crate::session::TokenHash;

/// One recovery code.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct RecoveryCode([u8; CODE_BYTES]);

/// The text is not a recovery code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a recovery code is 24 letters and digits")]
pub struct RecoveryCodeFault;

impl RecoveryCode {
    /// From 15 random bytes.
    #[must_use]
    pub const fn new(random: [u8; CODE_BYTES]) -> Self {
        Self(random)
    }

    /// A person's whole set.
    #[must_use]
    pub fn set(random: [[u8; CODE_BYTES]; CODES]) -> [Self; CODES] {
        random.map(Self)
    }

    /// Reads a code as a person types it: in either case, with or without the hyphens or with spaces for them, O for 0 and
    /// I or L for 1 (Crockford's base 32). Anything else is refused. All spellings of a code have one value and one hash.
    pub fn parse(text: &str) -> Result<Self, RecoveryCodeFault> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(RecoveryCodeFault);
        }
        let mut value = Zeroizing::new(0_u128);
        let mut digits = 0_usize;
        for byte in text.bytes().filter(|byte| !matches!(byte, b'-' | b' ')) {
            let digit = digit(byte).ok_or(RecoveryCodeFault)?;
            digits += 1;
            // A 25th digit would push the first out at the top; it is counted, and refused below.
            *value = (*value << 5) + u128::from(digit);
        }
        if digits != DIGITS {
            return Err(RecoveryCodeFault);
        }
        let bytes = Zeroizing::new(value.to_be_bytes());
        bytes.last_chunk().copied().map(Self).ok_or(RecoveryCodeFault)
    }

    /// The text that is shown once: six groups of four, with hyphens.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        let value = self.0.iter().fold(0_u128, |value, byte| (value << 8) + u128::from(*byte));
        let mut text = Zeroizing::new(String::with_capacity(DIGITS + DIGITS / GROUP));
        for index in 0..DIGITS {
            if index > 0 && index % GROUP == 0 {
                text.push('-');
            }
            let shift = 5 * (DIGITS - 1 - index);
            let digit = usize::try_from((value >> shift) & 31).unwrap_or(0);
            text.push(ALPHABET.get(digit).copied().map_or('0', char::from));
        }
        text
    }

    /// The hash under which the code is kept. It is the subject's own: shown by another, the same code finds nothing.
    #[must_use]
    pub fn hash(&self, subject: &Subject) -> TokenHash {
        let mut digest = Sha256::new().chain_update("portcullis\0recovery-code\0");
        // Lengths stand before the parts, so that no two subjects run into one text.
        for part in [&subject.issuer, &subject.sub] {
            digest = digest.chain_update((part.len() as u64).to_be_bytes()).chain_update(part);
        }
        TokenHash::from_bytes(digest.chain_update(self.0).finalize().into())
    }
}

/// The value of one digit of Crockford's base 32.
fn digit(byte: u8) -> Option<u8> {
    let canonical = match byte.to_ascii_uppercase() {
        b'O' => b'0',
        b'I' | b'L' => b'1',
        other => other,
    };
    ALPHABET.iter().position(|known| *known == canonical).and_then(|index| u8::try_from(index).ok())
}

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How many codes a set has.
pub const CODES: usize = 10;

/// Random bytes of a code: 120 bits.
pub const CODE_BYTES: usize = 15;

/// Digits of a code, five bits each.
const DIGITS: usize = 24;

/// Digits between two hyphens.
const GROUP: usize = 4;

/// Room for every digit with a separator on each side. Longer text is not a code and is not looked at.
const TEXT_BYTES_MAX: usize = 64;

/// Crockford's base 32: no I, L, O or U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

#[cfg(test)]
#[path = "recovery_tests.rs"]
mod tests;
