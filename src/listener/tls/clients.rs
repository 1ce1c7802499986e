//! Certificates that clients show: who issued them, and which were revoked.
//!
//! Fails closed: a certificate whose revocation no list states, or for which the list is out of its time, is refused. Nothing about a
//! client is kept from one connection to the next: a listener that asks for certificates resumes no session.

use std::fmt;
use std::sync::Arc;

use kernel::event::ClientCertificate;
use kernel::time::Timestamp;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;

use super::TlsFault;

/// Whom a listener asks for a certificate, as the configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuthority {
    pub demand: Demand,
    /// Who issues the certificates. Never empty.
    pub roots: Vec<CertificateDer<'static>>,
    pub revocation: Revocation,
}

/// Whether a client may come without a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    Required,
    /// A certificate that is shown must be good all the same.
    Optional,
}

/// Whether revocation is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revocation {
    Unchecked,
    /// Every issuer of a chain must have a list here that is in its time.
    Listed(Vec<CertificateRevocationListDer<'static>>),
}

/// The check that a listener makes.
pub(in crate::listener) struct Clients {
    authority: ClientAuthority,
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
}

impl Clients {
    pub fn new(authority: ClientAuthority, provider: &Arc<CryptoProvider>) -> Result<Self, TlsFault> {
        let mut roots = RootCertStore::empty();
        for root in &authority.roots {
            roots.add(root.clone())?;
        }
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        if let Revocation::Listed(lists) = &authority.revocation {
            builder = builder.with_crls(lists.iter().cloned()).enforce_revocation_expiration();
        }
        if authority.demand == Demand::Optional {
            builder = builder.allow_unauthenticated();
        }
        let verifier = builder.build().map_err(|fault| TlsFault::Clients(fault.to_string()))?;
        Ok(Self { authority, verifier })
    }

    /// When the first list is out of its time; none where there is no list.
    pub fn lists_expire(&self) -> Option<Timestamp> {
        let Revocation::Listed(lists) = &self.authority.revocation else { return None };
        lists.iter().filter_map(|list| expiry(list)).min()
    }

    pub const fn authority(&self) -> &ClientAuthority {
        &self.authority
    }

    /// Whether a chain that was good in its handshake still is.
    pub fn accepts(&self, chain: &[CertificateDer<'static>]) -> bool {
        let Some((leaf, intermediates)) = chain.split_first() else { return false };
        self.verifier.verify_client_cert(leaf, intermediates, UnixTime::now()).is_ok()
    }
}

/// A list without such a time is refused when it is read.
fn expiry(list: &CertificateRevocationListDer<'_>) -> Option<Timestamp> {
    let (_, parsed) = CertificateRevocationList::from_der(list).ok()?;
    Some(Timestamp::from_seconds(u64::try_from(parsed.next_update()?.timestamp()).unwrap_or(0)))
}

/// What records say of a certificate. `None` for one that cannot be read, which no verifier lets pass.
pub(in crate::listener) fn describe(leaf: &CertificateDer<'_>) -> Option<ClientCertificate> {
    let (_, parsed) = X509Certificate::from_der(leaf).ok()?;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, leaf);
    Some(ClientCertificate {
        subject: shown(&parsed.subject().to_string()),
        issuer: shown(&parsed.issuer().to_string()),
        serial: shown(&parsed.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
        sha256: digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
        not_after: Timestamp::from_seconds(u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0)),
    })
}

/// A name of the certificate's own choosing, cut to a bound and without characters that are not seen.
fn shown(text: &str) -> Box<str> {
    text.chars().filter(|character| !character.is_control()).take(NAME_CHARACTERS_MAX).collect::<String>().into()
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").field("demand", &self.authority.demand).finish_non_exhaustive()
    }
}

const NAME_CHARACTERS_MAX: usize = 512;
