//! TLS towards clients: two profiles, certificates by server name, everything swapped at once.
//!
//! A handshake without a server name, or with one that no certificate has, fails: there is no default certificate. No
//! data is taken before the handshake is complete (0-RTT), and tickets do not outlive a change of certificates.

mod certificate;
#[cfg(test)]
pub(super) mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};
use thiserror::Error;

use super::settings::Protocols;
pub use certificate::{Certificate, CertificateFault};

/// Which TLS is spoken (Mozilla's names).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// TLS 1.3 alone.
    #[default]
    Modern,
    /// TLS 1.3, and 1.2 with ECDHE, AEAD and extended master secret.
    Intermediate,
}

/// TLS of one listener. Certificates are replaced while it runs.
pub struct ServerTls {
    profile: Profile,
    protocols: Protocols,
    current: ArcSwap<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    names: Arc<Names>,
}

/// Why TLS cannot be set up.
#[derive(Debug, Error)]
pub enum TlsFault {
    #[error("there is no certificate")]
    NoCertificate,
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

impl ServerTls {
    pub fn new(profile: Profile, protocols: Protocols, certificates: Vec<Certificate>) -> Result<Self, TlsFault> {
        let current = Current::new(profile, protocols, certificates)?;
        Ok(Self { profile, protocols, current: ArcSwap::from_pointee(current) })
    }

    /// Puts other certificates in place for the handshakes that begin from now on. On an error all stays as it was.
    pub fn replace(&self, certificates: Vec<Certificate>) -> Result<(), TlsFault> {
        self.current.store(Arc::new(Current::new(self.profile, self.protocols, certificates)?));
        Ok(())
    }

    /// What to shake hands with; `None` when no certificate has the server name.
    pub(super) fn config_for(&self, server_name: &str) -> Option<Arc<ServerConfig>> {
        let current = self.current.load();
        current.names.find(server_name).map(|_| Arc::clone(&current.config))
    }
}

impl Current {
    fn new(profile: Profile, protocols: Protocols, certificates: Vec<Certificate>) -> Result<Self, TlsFault> {
        if certificates.is_empty() {
            return Err(TlsFault::NoCertificate);
        }
        let names = Arc::new(Names::new(certificates));
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&versions(profile))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&names) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = alpn(protocols);
        config.max_early_data_size = 0;
        config.send_half_rtt_data = false;
        // RFC 7627: without it TLS 1.2 sessions can be spliced (triple handshake).
        config.require_ems = true;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        // Keys of tickets are drawn anew every six hours, and a ticket lives twelve at most.
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        Ok(Self { config: Arc::new(config), names })
    }
}

/// All suites of the provider are AEAD with ECDHE. The hybrid key agreement comes first, so that what is recorded today
/// stays closed when elliptic curves do not.
fn provider() -> CryptoProvider {
    use aws_lc_rs::kx_group::{SECP256R1, SECP384R1, X25519, X25519MLKEM768};
    CryptoProvider { kx_groups: vec![X25519MLKEM768, X25519, SECP256R1, SECP384R1], ..aws_lc_rs::default_provider() }
}

fn versions(profile: Profile) -> Vec<&'static SupportedProtocolVersion> {
    match profile {
        Profile::Modern => vec![&TLS13],
        Profile::Intermediate => vec![&TLS13, &TLS12],
    }
}

fn alpn(protocols: Protocols) -> Vec<Vec<u8>> {
    match protocols {
        Protocols::Http1 => vec![HTTP1.to_vec()],
        Protocols::Http2 => vec![HTTP2.to_vec()],
        Protocols::Http2AndHttp1 => vec![HTTP2.to_vec(), HTTP1.to_vec()],
    }
}

/// Certificates by the names they are for. The first of those whose key the client can verify is used.
#[derive(Debug, Default)]
struct Names {
    exact: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    /// By what stands behind `*.`.
    wildcard: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
}

impl Names {
    fn new(certificates: Vec<Certificate>) -> Self {
        let mut names = Self::default();
        for certificate in certificates {
            for name in certificate.names() {
                let (table, name) = match name.strip_prefix("*.") {
                    Some(domain) => (&mut names.wildcard, domain),
                    None => (&mut names.exact, &**name),
                };
                table.entry(name.into()).or_default().push(Arc::clone(certificate.key()));
            }
        }
        names
    }

    /// RFC 6125 §6.4.3: a wildcard stands for one whole label.
    fn find(&self, server_name: &str) -> Option<&[Arc<CertifiedKey>]> {
        let name = server_name.to_ascii_lowercase();
        let found = self.exact.get(name.as_str()).or_else(|| {
            let (label, domain) = name.split_once('.')?;
            if label.is_empty() { None } else { self.wildcard.get(domain) }
        });
        found.map(Vec::as_slice)
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let keys = self.find(hello.server_name()?)?;
        keys.iter().find(|key| key.key.choose_scheme(hello.signature_schemes()).is_some()).cloned()
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").field("profile", &self.profile).field("protocols", &self.protocols).finish_non_exhaustive()
    }
}

pub(super) const HTTP1: &[u8] = b"http/1.1";
pub(super) const HTTP2: &[u8] = b"h2";

/// The fatal alert `unrecognized_name` (RFC 6066 §3) as a record, for a handshake that ends before it has keys.
pub(super) const UNRECOGNIZED_NAME: &[u8] = &[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x70];
