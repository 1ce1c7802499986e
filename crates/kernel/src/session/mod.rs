//! Sessions: their life as a transition function, and the tokens that name them.

pub mod advance;
pub mod pauses;
#[cfg(test)]
mod tests;
pub mod token;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use advance::{EndReason, SessionEvent, SessionRules, SessionState, advance};
pub use pauses::Pauses;
pub use token::{Token, TokenHash};

use crate::identity::{Identity, assurance::Assurance};
use crate::request::client::ClientAddress;

/// Names a session towards people and in records. Not a secret: it opens nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId([u8; 16]);

/// A session, as the store keeps it. One per browser; a cookie per host leads to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub id: SessionId,
    /// The `[[idp]]` entry that vouched.
    pub idp: String,
    pub identity: Identity,
    pub assurance: Assurance,
    pub state: SessionState,
    /// The IdP's own session id (`sid`), for back-channel logout.
    pub idp_session: Option<String>,
    /// The pre-sign-in browser token that this session grew from: parallel tabs of one browser share it.
    pub lineage: TokenHash,
    /// Where it was begun, for the person's list of sessions.
    pub address: Option<ClientAddress>,
    pub user_agent: Option<String>,
}

impl SessionId {
    /// From 16 random bytes.
    #[must_use]
    pub const fn new(random: [u8; 16]) -> Self {
        Self(random)
    }

    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Reads the 32 hex digits that `Display` writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 32 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(|value| Self(value.to_be_bytes()))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for SessionId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("a session id is 32 hex digits"))
    }
}

#[cfg(test)]
mod record_tests;
