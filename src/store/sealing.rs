//! Secrets at rest: sealed with AES-256-GCM under a ring of keys that lives outside the database.
//!
//! A sealed value is `version 1 | key id (8) | nonce (12) | ciphertext and tag`. The place where it is kept (table and row)
//! is authenticated with it, so that a value moved to another row does not open there.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::rand;
use thiserror::Error;
use zeroize::Zeroizing;

/// The keys that open sealed values. New values are sealed with the current one; the previous ones only open.
pub struct KeyRing {
    current: SealingKey,
    previous: Vec<SealingKey>,
}

/// 32 random bytes, as a key file holds them.
pub type MasterKey = Zeroizing<[u8; 32]>;

/// Where a sealed value is kept.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub table: &'static str,
    /// What names the row, in parts.
    pub row: &'a [&'a [u8]],
}

/// Why a value could not be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SealFault {
    #[error("this is not a sealed value")]
    Malformed,
    #[error("the value is sealed under a key that is not in the ring")]
    UnknownKey,
    #[error("the sealed value was altered or moved")]
    Altered,
    #[error("the cipher or the random generator failed")]
    Cipher,
}

struct SealingKey {
    id: [u8; KEY_ID_BYTES],
    cipher: LessSafeKey,
}

impl KeyRing {
    /// Key files hold master keys; sealing keys are derived from them, so that a master key may serve other ends as well.
    pub fn new(current: &MasterKey, previous: &[MasterKey]) -> Result<Self, SealFault> {
        let previous = previous.iter().map(SealingKey::derive).collect::<Result<_, _>>()?;
        Ok(Self { current: SealingKey::derive(current)?, previous })
    }

    /// Seals a value for one place, with a fresh nonce.
    pub fn seal(&self, place: Place<'_>, plain: &[u8]) -> Result<Vec<u8>, SealFault> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| SealFault::Cipher)?;
        let mut text = Zeroizing::new(plain.to_vec());
        let tag = self
            .current
            .cipher
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place.authenticated(&self.current.id)), &mut text)
            .map_err(|_| SealFault::Cipher)?;
        Ok([&[VERSION], self.current.id.as_slice(), &nonce, &text, tag.as_ref()].concat())
    }

    /// Opens a value that was sealed for this place.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealFault> {
        let (id, rest) = split(sealed)?;
        let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>().ok_or(SealFault::Malformed)?;
        let key = std::iter::once(&self.current).chain(&self.previous).find(|key| key.id == *id).ok_or(SealFault::UnknownKey)?;
        let mut buffer = Zeroizing::new(text.to_vec());
        let plain = key
            .cipher
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(place.authenticated(id)), &mut buffer)
            .map_err(|_| SealFault::Altered)?;
        Ok(Zeroizing::new(plain.to_vec()))
    }

    /// Name of the key that seals now. Not a secret: it tells one key from another, and nothing of either.
    #[must_use]
    pub fn current_id(&self) -> String {
        self.current.id.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether a value is sealed under the current key. What is not should be sealed anew, so that the old key can go.
    #[must_use]
    pub fn is_current(&self, sealed: &[u8]) -> bool {
        split(sealed).is_ok_and(|(id, _)| *id == self.current.id)
    }
}

impl SealingKey {
    fn derive(master: &MasterKey) -> Result<Self, SealFault> {
        let secret = Salt::new(HKDF_SHA256, b"portcullis").extract(master.as_slice());
        let (mut id, mut key) = ([0; KEY_ID_BYTES], Zeroizing::new([0; 32]));
        fill(&secret, b"store key id", &mut id)?;
        fill(&secret, b"store sealing key", key.as_mut_slice())?;
        let cipher = UnboundKey::new(&AES_256_GCM, key.as_slice()).map_err(|_| SealFault::Cipher)?;
        Ok(Self { id, cipher: LessSafeKey::new(cipher) })
    }
}

impl Place<'_> {
    /// What is authenticated with the text. Lengths stand before the parts, so that no two places read the same.
    fn authenticated(&self, key_id: &[u8; KEY_ID_BYTES]) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(key_id);
        for part in std::iter::once(self.table.as_bytes()).chain(self.row.iter().copied()) {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        bytes
    }
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn fill(secret: &aws_lc_rs::hkdf::Prk, label: &[u8], out: &mut [u8]) -> Result<(), SealFault> {
    secret.expand(&[label], Length(out.len())).and_then(|okm| okm.fill(out)).map_err(|_| SealFault::Cipher)
}

/// Key id and the rest of a sealed value.
fn split(sealed: &[u8]) -> Result<(&[u8; KEY_ID_BYTES], &[u8]), SealFault> {
    let Some((&VERSION, rest)) = sealed.split_first() else { return Err(SealFault::Malformed) };
    rest.split_first_chunk().ok_or(SealFault::Malformed)
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing({} previous)", self.previous.len())
    }
}

const VERSION: u8 = 1;
const KEY_ID_BYTES: usize = 8;

#[cfg(test)]
#[path = "sealing_tests.rs"]
mod tests;
