//! How handshakes are signed: with the schemes that the profile names, and no others.

use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};

use super::Profile;

/// The certificates of one name. The first of those whose key the client can verify is used.
#[derive(Debug)]
pub(super) struct Keys(Vec<Arc<CertifiedKey>>);

impl Keys {
    pub fn new(profile: Profile, keys: &[Arc<CertifiedKey>]) -> Self {
        Self(keys.iter().map(|key| bounded(profile, key)).collect())
    }
}

impl ResolvesServerCert for Keys {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let offered = hello.signature_schemes();
        let fitting = self.0.iter().find(|key| key.key.choose_scheme(offered).is_some());
        // Where none fits there is no handshake, and the client is to hear `handshake_failure` (RFC 8446 §4.1.1). The library says so once
        // it has a key; without any it says `access_denied`, which is about clients that may not enter. But where the key's kind fits and its
        // schemes do not, in TLS 1.2 it would say nothing.
        fitting.or_else(|| self.0.first().filter(|key| !offered.iter().any(|scheme| is_of_kind(*scheme, key.key.algorithm())))).cloned()
    }
}

/// Whether a scheme takes a key of this kind, of whatever curve or size.
fn is_of_kind(scheme: SignatureScheme, kind: SignatureAlgorithm) -> bool {
    let name = scheme.as_str().unwrap_or_default();
    name.starts_with("RSA") == (kind == SignatureAlgorithm::RSA)
}

/// Whether the profile lets this key sign at all.
pub(super) fn is_usable(profile: Profile, key: &CertifiedKey) -> bool {
    key.key.choose_scheme(profile.schemes()).is_some()
}

fn bounded(profile: Profile, key: &CertifiedKey) -> Arc<CertifiedKey> {
    let signing = Arc::new(Bounded { key: Arc::clone(&key.key), schemes: profile.schemes() });
    Arc::new(CertifiedKey { cert: key.cert.clone(), key: signing, ocsp: key.ocsp.clone() })
}

/// A key that signs by certain schemes alone.
#[derive(Debug)]
struct Bounded {
    key: Arc<dyn SigningKey>,
    schemes: &'static [SignatureScheme],
}

impl SigningKey for Bounded {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let both: Vec<_> = offered.iter().copied().filter(|scheme| self.schemes.contains(scheme)).collect();
        self.key.choose_scheme(&both)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }

    fn public_key(&self) -> Option<rustls_pki_types::SubjectPublicKeyInfoDer<'_>> {
        self.key.public_key()
    }
}
