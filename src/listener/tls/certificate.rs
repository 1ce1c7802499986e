//! One certificate with its key, read and checked whole before it is used.

use std::fmt;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kernel::request::host::Host;
use kernel::time::Timestamp;
use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::public_key::PublicKey;

/// A certificate chain with its key, and the names it is for.
#[derive(Clone, Debug)]
pub struct Certificate {
    names: Vec<Box<str>>,
    key: Arc<CertifiedKey>,
    not_after: Timestamp,
    rsa_bits: Option<usize>,
}

/// Why a certificate is not used. Each says which file.
#[derive(Debug, Error)]
pub enum CertificateFault {
    #[error("{} cannot be read: {cause}", .file.display())]
    Unreadable { file: PathBuf, cause: std::io::Error },
    #[error("{} is not a regular file", .file.display())]
    NotAFile { file: PathBuf },
    #[error("{} is larger than 1 MiB", .file.display())]
    TooLarge { file: PathBuf },
    #[error("{} can be read by everybody; run `chmod o-rwx` on it", .file.display())]
    KeyOpenToAll { file: PathBuf },
    #[error("{} holds no certificate in PEM", .file.display())]
    NoCertificate { file: PathBuf },
    #[error("{} holds something that is not a certificate", .file.display())]
    BadCertificate { file: PathBuf },
    #[error("{} holds no private key in PEM", .file.display())]
    NoKey { file: PathBuf },
    #[error("{} holds a private key that cannot be used: {cause}", .file.display())]
    BadKey { file: PathBuf, cause: rustls::Error },
    #[error("{} is not the key of {}", .key.display(), .cert.display())]
    Mismatch { cert: PathBuf, key: PathBuf },
    #[error("{} expired at {not_after}", .file.display())]
    Expired { file: PathBuf, not_after: Timestamp },
    #[error("{} is not valid before {not_before}", .file.display())]
    NotYetValid { file: PathBuf, not_before: Timestamp },
    #[error("{} names no DNS host in its subject alternative names", .file.display())]
    NoName { file: PathBuf },
}

impl PartialEq for Certificate {
    /// The same chain: whose key it is stands in its leaf.
    fn eq(&self, other: &Self) -> bool {
        self.key.cert == other.key.cert
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} until {}", self.names.join(", "), self.not_after)
    }
}

impl Certificate {
    /// Reads a chain (leaf first) and its key from two PEM files.
    pub fn load(cert: &Path, key: &Path, now: Timestamp) -> Result<Self, CertificateFault> {
        let chain = read_bounded(cert, Readers::Anybody)?;
        let private = zeroize::Zeroizing::new(read_bounded(key, Readers::NotEverybody)?);
        Self::from_pem(&chain, &private, now, cert, key)
    }

    /// As [`Self::load`], of what was read already. The paths are for messages.
    pub fn from_pem(chain: &[u8], private: &[u8], now: Timestamp, cert: &Path, key: &Path) -> Result<Self, CertificateFault> {
        let chain = read_chain(chain, cert)?;
        let leaf = chain.first().ok_or_else(|| CertificateFault::NoCertificate { file: cert.into() })?;
        let Leaf { names, not_after, rsa_bits } = read_leaf(leaf, now, cert)?;
        let private = PrivateKeyDer::from_pem_slice(private).map_err(|_| CertificateFault::NoKey { file: key.into() })?;
        let provider = aws_lc_rs::default_provider();
        let certified = CertifiedKey::from_der(chain, private, &provider).map_err(|cause| match cause {
            rustls::Error::InconsistentKeys(_) => CertificateFault::Mismatch { cert: cert.into(), key: key.into() },
            cause => CertificateFault::BadKey { file: key.into(), cause },
        })?;
        Ok(Self { names, key: Arc::new(certified), not_after, rsa_bits })
    }

    /// DNS names in lower case; a wildcard begins with `*.`.
    #[must_use]
    pub fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// When it expires, for warnings and records.
    #[must_use]
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Bits of the modulus, where the key is an RSA key.
    pub(super) const fn rsa_bits(&self) -> Option<usize> {
        self.rsa_bits
    }

    pub(super) const fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }
}

/// Who may be able to read a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Readers {
    Anybody,
    NotEverybody,
}

/// A whole file, of a size that a certificate or key can have. Devices and pipes are refused, because they may never end.
fn read_bounded(file: &Path, readers: Readers) -> Result<Vec<u8>, CertificateFault> {
    let unreadable = |cause| CertificateFault::Unreadable { file: file.into(), cause };
    // Opening a pipe would wait for its writer, so it is looked at first, and once more when open.
    if !fs::metadata(file).map_err(unreadable)?.is_file() {
        return Err(CertificateFault::NotAFile { file: file.into() });
    }
    let open = fs::File::open(file).map_err(unreadable)?;
    let metadata = open.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(CertificateFault::NotAFile { file: file.into() });
    }
    if readers == Readers::NotEverybody && metadata.mode() & 0o007 != 0 {
        return Err(CertificateFault::KeyOpenToAll { file: file.into() });
    }
    let mut content = Vec::new();
    let read = open.take(FILE_BYTES_MAX + 1).read_to_end(&mut content).map_err(unreadable)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
        return Err(CertificateFault::TooLarge { file: file.into() });
    }
    Ok(content)
}

fn read_chain(pem: &[u8], file: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateFault> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.map_err(|_| CertificateFault::BadCertificate { file: file.into() })?;
    if chain.is_empty() { Err(CertificateFault::NoCertificate { file: file.into() }) } else { Ok(chain) }
}

/// What the certificate itself says.
struct Leaf {
    names: Vec<Box<str>>,
    not_after: Timestamp,
    rsa_bits: Option<usize>,
}

fn read_leaf(leaf: &CertificateDer<'_>, now: Timestamp, file: &Path) -> Result<Leaf, CertificateFault> {
    let bad = || CertificateFault::BadCertificate { file: file.into() };
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| bad())?;
    let validity = parsed.validity();
    let not_before = timestamp(validity.not_before.timestamp());
    let not_after = timestamp(validity.not_after.timestamp());
    if now < not_before {
        return Err(CertificateFault::NotYetValid { file: file.into(), not_before });
    }
    if now > not_after {
        return Err(CertificateFault::Expired { file: file.into(), not_after });
    }
    let alternatives = parsed.subject_alternative_name().map_err(|_| bad())?;
    let names: Vec<Box<str>> = alternatives.iter().flat_map(|extension| &extension.value.general_names).filter_map(dns_name).collect();
    let rsa_bits = match parsed.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => Some(key.key_size()),
        Ok(_) | Err(_) => None,
    };
    if names.is_empty() { Err(CertificateFault::NoName { file: file.into() }) } else { Ok(Leaf { names, not_after, rsa_bits }) }
}

/// The subject's common name is not looked at: clients have not for years.
fn dns_name(name: &GeneralName<'_>) -> Option<Box<str>> {
    let GeneralName::DNSName(name) = name else {
        return None;
    };
    let host = name.strip_prefix("*.").unwrap_or(name);
    let host = Host::parse(host).ok()?;
    Some(if name.starts_with("*.") { format!("*.{}", host.as_str()).into() } else { host.as_str().into() })
}

fn timestamp(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(u64::try_from(seconds).unwrap_or(0))
}

const FILE_BYTES_MAX: u64 = 1024 * 1024;
