//! Challenges of a certificate authority that are open now: what a listener answers so that the authority sees that a host is
//! ours (RFC 8737 TLS-ALPN-01, RFC 8555 §8.3 HTTP-01).
//!
//! Nothing is answered that was not opened here, and only for as long as its guard lives. A connection that answers a challenge
//! never carries a request.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls_pki_types::PrivatePkcs8KeyDer;
use thiserror::Error;

/// The open challenges. Shared by every listener of a gateway.
#[derive(Debug, Default)]
pub struct Challenges(Mutex<Vec<Open>>);

/// Closes its challenge when dropped.
#[derive(Debug)]
#[must_use = "the challenge is closed when this is dropped"]
pub struct OpenChallenge {
    all: Arc<Challenges>,
    number: u64,
}

/// A challenge cannot be answered.
#[derive(Debug, Error)]
pub enum ChallengeFault {
    #[error("the digest of the challenge has not 32 bytes")]
    Digest,
    #[error("the challenge's certificate cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("TLS for the challenge cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    #[error("{OPEN_MAX} challenges are open already")]
    TooMany,
}

struct Open {
    number: u64,
    /// In lower case.
    host: Box<str>,
    answer: Answer,
}

enum Answer {
    Tls(Arc<ServerConfig>),
    Http { token: Box<str>, key_authorization: Box<str> },
}

impl Challenges {
    /// Answers TLS-ALPN-01 for a host; `digest` is the SHA-256 of the key authorization.
    pub fn open_tls(self: &Arc<Self>, host: &str, digest: &[u8]) -> Result<OpenChallenge, ChallengeFault> {
        self.open(host, Answer::Tls(Arc::new(validation_config(host, digest)?)))
    }

    /// Answers HTTP-01 for a host.
    pub fn open_http(self: &Arc<Self>, host: &str, token: &str, key_authorization: &str) -> Result<OpenChallenge, ChallengeFault> {
        self.open(host, Answer::Http { token: token.into(), key_authorization: key_authorization.into() })
    }

    fn open(self: &Arc<Self>, host: &str, answer: Answer) -> Result<OpenChallenge, ChallengeFault> {
        let mut all = self.lock();
        if all.len() >= OPEN_MAX {
            return Err(ChallengeFault::TooMany);
        }
        let number = all.last().map_or(0, |last| last.number.wrapping_add(1));
        all.push(Open { number, host: host.to_ascii_lowercase().into(), answer });
        Ok(OpenChallenge { all: Arc::clone(self), number })
    }

    /// What to shake hands with when a hello asks for a challenge that is open: it names the host and offers the one protocol
    /// `acme-tls/1` (RFC 8737 §3).
    pub(super) fn tls_config_for(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        let mut offered = hello.alpn()?;
        if offered.next() != Some(ACME_TLS) || offered.next().is_some() {
            return None;
        }
        let name = hello.server_name()?.to_ascii_lowercase();
        self.lock().iter().find_map(|open| match &open.answer {
            Answer::Tls(config) if *open.host == *name => Some(Arc::clone(config)),
            Answer::Tls(_) | Answer::Http { .. } => None,
        })
    }

    /// The key authorization of an HTTP-01 challenge that is open for this host with this token.
    #[must_use]
    pub fn http_answer(&self, host: &str, token: &str) -> Option<Box<str>> {
        let host = host.to_ascii_lowercase();
        self.lock().iter().find_map(|open| match &open.answer {
            Answer::Http { token: known, key_authorization } if *open.host == *host && **known == *token => Some(key_authorization.clone()),
            Answer::Http { .. } | Answer::Tls(_) => None,
        })
    }

    /// Nothing under the lock panics.
    fn lock(&self) -> MutexGuard<'_, Vec<Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenChallenge {
    fn drop(&mut self) {
        self.all.lock().retain(|open| open.number != self.number);
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").field("number", &self.number).field("host", &self.host).finish_non_exhaustive()
    }
}

/// The self-signed certificate of RFC 8737 §3 and nothing else: no ticket, no resumption, no other protocol.
fn validation_config(host: &str, digest: &[u8]) -> Result<ServerConfig, ChallengeFault> {
    // rcgen asserts this.
    if digest.len() != 32 {
        return Err(ChallengeFault::Digest);
    }
    let key = KeyPair::generate()?;
    let mut parameters = CertificateParams::new(vec![host.to_owned()])?;
    parameters.distinguished_name = DistinguishedName::new();
    parameters.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = parameters.self_signed(&key)?;
    let provider = aws_lc_rs::default_provider();
    let private = PrivatePkcs8KeyDer::from(key.serialize_der());
    // Not `from_der`: it refuses the critical extension that makes this certificate good for nothing else.
    let signing = provider.key_provider.load_private_key(private.into())?;
    let certified = CertifiedKey::new(vec![certificate.der().clone()], signing);
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Only(Arc::new(certified))));
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

#[derive(Debug)]
struct Only(Arc<CertifiedKey>);

impl ResolvesServerCert for Only {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

const ACME_TLS: &[u8] = b"acme-tls/1";

/// Far more than are ever open: orders are driven a few at a time.
const OPEN_MAX: usize = 64;
