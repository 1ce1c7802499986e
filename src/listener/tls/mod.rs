//! TLS towards clients: a profile, certificates by server name, and clients' certificates, each replaced at once.
//!
//! A handshake without a server name, or with one that no certificate has, fails: there is no default certificate, and without
//! any certificate every handshake fails. No data is taken before the handshake is complete (0-RTT). A session is resumed only at the listener, with the server name and under the
//! certificate that it began with, and not across a change of them; where clients show certificates, never.

mod certificate;
mod clients;
mod profile;
mod signing;
#[cfg(test)]
pub(super) mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use kernel::time::Timestamp;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use tokio::sync::watch;

use super::challenges::Challenges;
use super::settings::Protocols;
pub use certificate::{Certificate, CertificateFault};
pub use clients::{ClientAuthority, Demand, Revocation};
pub(super) use clients::{Clients, describe};
pub use profile::Profile;

/// TLS of one listener. Certificates, and who issues those of clients, are replaced while it runs.
pub struct ServerTls {
    profile: Profile,
    protocols: Protocols,
    /// What `current` was made of.
    source: Mutex<Source>,
    current: ArcSwap<Names>,
    /// Told of every change, for connections that stand on a client's certificate.
    clients: watch::Sender<Option<Arc<Clients>>>,
    challenges: Arc<Challenges>,
}

#[derive(Default)]
struct Source {
    certificates: Vec<Certificate>,
    clients: Option<Arc<Clients>>,
}

/// Why TLS cannot be set up.
#[derive(Debug, Error)]
pub enum TlsFault {
    #[error("the certificate for {names} has an RSA key of {bits} bits, and the TLS profile asks for {least}")]
    WeakKey { names: String, bits: usize, least: usize },
    #[error("the certificate for {names} has a key of a kind that the TLS profile does not sign with")]
    OtherKey { names: String },
    #[error("client certificates: {0}")]
    Clients(String),
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

impl ServerTls {
    pub fn new(profile: Profile, protocols: Protocols, certificates: Vec<Certificate>) -> Result<Self, TlsFault> {
        let source = Source { certificates, clients: None };
        let names = source.compile(profile, protocols)?;
        let (clients, _) = watch::channel(None);
        Ok(Self {
            profile,
            protocols,
            source: Mutex::new(source),
            current: ArcSwap::from_pointee(names),
            clients,
            challenges: Arc::default(),
        })
    }

    /// Answers challenges of a certificate authority that are open in `challenges`.
    #[must_use]
    pub fn answering(mut self, challenges: Arc<Challenges>) -> Self {
        self.challenges = challenges;
        self
    }

    /// What to shake hands with when the hello asks for an open challenge; the connection ends with the handshake.
    pub(super) fn challenge_for(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        self.challenges.tls_config_for(hello)
    }

    /// Puts other certificates in place for the handshakes that begin from now on. On an error all stays as it was. The same
    /// certificates change nothing, so that sessions are resumed still.
    pub fn replace(&self, certificates: Vec<Certificate>) -> Result<(), TlsFault> {
        let mut source = self.source();
        if source.certificates == certificates {
            return Ok(());
        }
        let next = Source { certificates, clients: source.clients.clone() };
        self.put(&mut source, next)
    }

    /// Asks clients for certificates of this authority from now on. On an error all stays as it was. Connections whose
    /// certificate the new one does not accept are cut.
    pub fn ask_clients(&self, authority: ClientAuthority) -> Result<(), TlsFault> {
        let mut source = self.source();
        if source.clients.as_ref().is_some_and(|clients| *clients.authority() == authority) {
            return Ok(());
        }
        let clients = Arc::new(Clients::new(authority, &Arc::new(self.profile.provider()))?);
        let next = Source { certificates: source.certificates.clone(), clients: Some(Arc::clone(&clients)) };
        self.put(&mut source, next)?;
        self.clients.send_replace(Some(clients));
        Ok(())
    }

    fn put(&self, source: &mut Source, next: Source) -> Result<(), TlsFault> {
        self.current.store(Arc::new(next.compile(self.profile, self.protocols)?));
        *source = next;
        Ok(())
    }

    /// What to shake hands with; `None` when no certificate has the server name.
    pub(super) fn config_for(&self, server_name: &str) -> Option<Arc<ServerConfig>> {
        self.current.load().find(server_name).cloned()
    }

    /// When the first list of revoked clients' certificates is out of its time; none where there is no list.
    #[must_use]
    pub fn revocation_lists_expire(&self) -> Option<Timestamp> {
        self.clients.borrow().as_ref().and_then(|clients| clients.lists_expire())
    }

    /// The check of clients that is in force, and every one that comes after it.
    pub(super) fn clients(&self) -> watch::Receiver<Option<Arc<Clients>>> {
        self.clients.subscribe()
    }

    /// Nothing under the lock panics.
    fn source(&self) -> MutexGuard<'_, Source> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    fn compile(&self, profile: Profile, protocols: Protocols) -> Result<Names, TlsFault> {
        let least = profile.rsa_bits_min();
        if let Some((certificate, bits)) =
            self.certificates.iter().filter_map(|one| Some((one, one.rsa_bits()?))).find(|(_, bits)| *bits < least)
        {
            return Err(TlsFault::WeakKey { names: certificate.names().join(", "), bits, least });
        }
        if let Some(other) = self.certificates.iter().find(|one| !signing::is_usable(profile, one.key())) {
            return Err(TlsFault::OtherKey { names: other.names().join(", ") });
        }
        let provider = Arc::new(profile.provider());
        let mut keys: HashMap<&str, Vec<Arc<CertifiedKey>>> = HashMap::new();
        for certificate in &self.certificates {
            for name in certificate.names() {
                keys.entry(name).or_default().push(Arc::clone(certificate.key()));
            }
        }
        // Names with the same certificates have one configuration, and so one set of ticket keys; others have their own.
        let mut made: Vec<(Vec<Arc<CertifiedKey>>, Arc<ServerConfig>)> = Vec::new();
        let mut names = Names::default();
        for (name, keys) in keys {
            let same = |other: &[Arc<CertifiedKey>]| other.len() == keys.len() && other.iter().zip(&keys).all(|(a, b)| Arc::ptr_eq(a, b));
            let config = match made.iter().find(|(other, _)| same(other)) {
                Some((_, config)) => Arc::clone(config),
                None => {
                    let config = Arc::new(self.config(profile, protocols, &provider, &keys)?);
                    made.push((keys, Arc::clone(&config)));
                    config
                }
            };
            match name.strip_prefix("*.") {
                Some(domain) => names.wildcard.insert(domain.into(), config),
                None => names.exact.insert(name.into(), config),
            };
        }
        Ok(names)
    }

    fn config(
        &self,
        profile: Profile,
        protocols: Protocols,
        provider: &Arc<CryptoProvider>,
        keys: &[Arc<CertifiedKey>],
    ) -> Result<ServerConfig, TlsFault> {
        let builder = ServerConfig::builder_with_provider(Arc::clone(provider)).with_protocol_versions(&profile.versions())?;
        let builder = match &self.clients {
            None => builder.with_no_client_auth(),
            Some(clients) => builder.with_client_cert_verifier(Arc::clone(&clients.verifier)),
        };
        let mut config = builder.with_cert_resolver(Arc::new(signing::Keys::new(profile, keys)));
        config.alpn_protocols = alpn(protocols);
        config.max_early_data_size = 0;
        config.send_half_rtt_data = false;
        // RFC 7627: without it TLS 1.2 sessions can be spliced (triple handshake).
        config.require_ems = true;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        match &self.clients {
            // Keys of tickets are drawn anew every six hours, and a ticket lives twelve at most. No one else has them: a restart forgets
            // them.
            None => config.ticketer = aws_lc_rs::Ticketer::new()?,
            // A ticket would carry a client's certificate past its revocation.
            Some(_) => config.send_tls13_tickets = 0,
        }
        Ok(config)
    }
}

fn alpn(protocols: Protocols) -> Vec<Vec<u8>> {
    match protocols {
        Protocols::Http1 => vec![HTTP1.to_vec()],
        Protocols::Http2 => vec![HTTP2.to_vec()],
        Protocols::Http2AndHttp1 => vec![HTTP2.to_vec(), HTTP1.to_vec()],
    }
}

/// What to shake hands with, by the names that certificates are for. An exact name goes before a wildcard.
#[derive(Debug, Default)]
struct Names {
    exact: HashMap<Box<str>, Arc<ServerConfig>>,
    /// By what stands behind `*.`.
    wildcard: HashMap<Box<str>, Arc<ServerConfig>>,
}

impl Names {
    /// RFC 6125 §6.4.3: a wildcard stands for one whole label.
    fn find(&self, server_name: &str) -> Option<&Arc<ServerConfig>> {
        let name = server_name.to_ascii_lowercase();
        self.exact.get(name.as_str()).or_else(|| {
            let (label, domain) = name.split_once('.')?;
            if label.is_empty() { None } else { self.wildcard.get(domain) }
        })
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
