//! Secrets as values: wiped from memory, never shown. The configuration names a file or a variable, never a secret itself.

use std::fmt;

use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

/// A secret text, such as a client secret. `Debug`, and what `config show` prints, is `***`.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

/// A key of 32 bytes. `Debug`, and what `config show` prints, is `***`.
#[derive(Clone)]
pub struct Key(Zeroizing<[u8; 32]>);

/// The keys of a ring, newest first. The first one seals; the others only open what was sealed before a rotation.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct KeyRing(Vec<Key>);

impl Secret {
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The secret itself. Every use of this function is a place where a secret leaves its wrapper.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Key {
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The key itself. Every use of this function is a place where a key leaves its wrapper.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl KeyRing {
    /// A ring of a first key and older ones.
    #[must_use]
    pub fn new(current: Key, older: Vec<Key>) -> Self {
        let mut keys = vec![current];
        keys.extend(older);
        Self(keys)
    }

    /// Every key, the current one first. Never empty.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.0
    }
}

const HIDDEN: &str = "***";

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}
