//! Personal values in records: sealed under a key of the person's own, so that whoever holds the key reads names, and nobody
//! does once it is destroyed. The record itself does not change by that, and every proof still holds.
//!
//! A record then names a person by a pseudonym: random, the same in all of their records, and made anew after an erasure.
//! Beside it stands, under `unmapped.portcullis.sealed`, what was taken out: AES-256-GCM with a random nonce, the pseudonym
//! authenticated with it. A person whose key cannot be had is not recorded in clear instead: the record fails.

mod reveal;
mod veil;

use std::fmt;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kernel::Failure;
use kernel::identity::Subject;
use zeroize::Zeroizing;

pub use reveal::{KeyBook, Person};
pub use veil::{Taken, prepare, prepare_now};

use super::text::Sealed;
use crate::entropy;

/// What records keep of people.
#[derive(Clone, Debug, Default)]
pub struct Privacy {
    pub personal: Personal,
    pub addresses: Addresses,
}

/// How personal values are written.
#[derive(Clone, Debug, Default)]
pub enum Personal {
    /// As they are.
    #[default]
    Plain,
    /// Sealed under the person's key.
    Sealed(Arc<dyn Keys>),
}

/// How client addresses are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Addresses {
    #[default]
    Full,
    /// Their network alone: /24, or /48 with IPv6.
    Network,
}

/// Whose keys they are is another room's matter.
pub trait Keys: Send + Sync + fmt::Debug {
    /// The key of a person, made at the first call.
    fn of(&self, person: Subject) -> KeyAnswer<'_>;
    /// The key of a person, if it is at hand.
    fn at_hand(&self, person: &Subject) -> Option<Arc<PersonKey>>;
}

pub type KeyAnswer<'a> = Pin<Box<dyn Future<Output = Result<Arc<PersonKey>, Failure>> + Send + 'a>>;

/// A person's pseudonym and key.
pub struct PersonKey {
    pseudonym: String,
    cipher: LessSafeKey,
}

impl PersonKey {
    /// A key as it is kept: the random part of the pseudonym, and 32 bytes.
    pub fn new(name: &str, key: &[u8]) -> Result<Self, Failure> {
        let cipher = UnboundKey::new(&AES_256_GCM, key).map_err(|_| Failure::Bug("a person's key has another length"))?;
        Ok(Self { pseudonym: format!("{ISSUER}#{name}"), cipher: LessSafeKey::new(cipher) })
    }

    /// As records call the person.
    #[must_use]
    pub fn pseudonym(&self) -> &str {
        &self.pseudonym
    }

    /// The pseudonym in the place of a subject.
    #[must_use]
    pub fn subject(&self) -> Subject {
        let sub = self.pseudonym.rsplit('#').next().unwrap_or_default().to_owned();
        Subject { issuer: ISSUER.to_owned(), sub }
    }

    /// Seals personal values.
    pub fn seal(&self, plain: &[u8]) -> Result<Sealed, Failure> {
        let nonce = entropy::bytes::<NONCE_LEN>()?;
        let mut text = plain.to_vec();
        self.cipher
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(self.pseudonym.as_bytes()), &mut text)
            .map_err(|_| Failure::Bug("the cipher failed"))?;
        Ok(Sealed { pseudonym: self.pseudonym.clone(), value: STANDARD.encode([&nonce[..], &text].concat()) })
    }

    /// Opens what was sealed. None when it was not sealed under this key.
    #[must_use]
    pub fn open(&self, value: &str) -> Option<Zeroizing<Vec<u8>>> {
        let bytes = Zeroizing::new(STANDARD.decode(value).ok()?);
        let (nonce, text) = bytes.split_first_chunk::<NONCE_LEN>()?;
        let mut buffer = Zeroizing::new(text.to_vec());
        let plain =
            self.cipher.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(self.pseudonym.as_bytes()), &mut buffer).ok()?;
        Some(Zeroizing::new(plain.to_vec()))
    }
}

impl fmt::Debug for PersonKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PersonKey").field("pseudonym", &self.pseudonym).finish_non_exhaustive()
    }
}

/// Somebody who is known by an e-mail address alone, in the place of a subject: an invitation is for an address.
#[must_use]
pub fn by_email(email: &str) -> Subject {
    Subject { issuer: String::new(), sub: email.to_owned() }
}

/// Whether a name is one that records give to a person, and no name of theirs.
#[must_use]
pub fn is_pseudonym(name: &str) -> bool {
    let random = name.strip_prefix(ISSUER).and_then(|rest| rest.strip_prefix('#'));
    random.is_some_and(|random| !random.is_empty() && random.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The network of an address.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & !0xff)),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 80))),
    }
}

/// Stands where an issuer would: no IdP has this name, because an issuer is a URL.
const ISSUER: &str = "pseudonym";

#[cfg(test)]
mod tests;
