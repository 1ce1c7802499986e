//! Opaque random tokens (cookies, one-time codes) and the hashes under which they are kept.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::request::host::Host;

/// 256 random bits that a client shows. Never stored, never logged.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Token([u8; 32]);

/// What is stored of a token: it finds the token's meaning, and the token cannot be found from it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TokenHash([u8; 32]);

/// What a token is for. A token shown for another purpose has another hash, and so finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose<'a> {
    /// The cookie of one host: stolen from one host it opens no other.
    Cookie(&'a Host),
    /// The `state` of a sign-in.
    State,
    /// Names the place to return to.
    Return,
    /// One-time code that carries a session to a route's host.
    Finish,
    /// An admin's invitation to enrol a factor.
    Invite,
}

impl Token {
    /// From 32 random bytes.
    #[must_use]
    pub const fn new(random: [u8; 32]) -> Self {
        Self(random)
    }

    /// Reads exactly what [`Token::text`] writes: 43 characters of base64url, in the one form that decodes to its bytes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 43 {
            return None;
        }
        let bytes: [u8; 32] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        Some(Self(bytes))
    }

    /// The text that the client keeps.
    #[must_use]
    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// The hash under which the token's meaning is kept.
    #[must_use]
    pub fn hash(&self, purpose: Purpose<'_>) -> TokenHash {
        let (label, host) = match purpose {
            Purpose::Cookie(host) => ("cookie", host.as_str()),
            Purpose::State => ("state", ""),
            Purpose::Return => ("return", ""),
            Purpose::Finish => ("finish", ""),
            Purpose::Invite => ("invite", ""),
        };
        // Label and host cannot run into each other: neither holds a NUL.
        let digest = Sha256::new()
            .chain_update("portcullis\0")
            .chain_update(label)
            .chain_update("\0")
            .chain_update(host)
            .chain_update("\0")
            .chain_update(self.0);
        TokenHash(digest.finalize().into())
    }
}

impl TokenHash {
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
