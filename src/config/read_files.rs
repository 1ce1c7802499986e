//! Values that name a file or variable: secrets, key files, certificates and roots. They are read here, once, so that what
//! was checked is what is used.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::files::{self, Readers};
use super::key_file::{self, KeyFault};
use super::keys;
use super::reader::{Table, Value};
use super::secret::{Key, KeyRing, Secret};
use super::sections::{Certificate, RootFile};

/// Where a secret is.
enum Origin<'a> {
    File(PathBuf, Value<'a>),
    Variable(&'a str, Value<'a>),
}

/// A path, relative to the configuration's folder.
pub(super) fn path(value: &Value<'_>) -> Option<PathBuf> {
    value.text().map(|text| value.desk.dir.join(text))
}

fn origin<'a>(value: &Value<'a>) -> Option<Origin<'a>> {
    if !value.is_table() {
        // The value may be the secret itself: it is never repeated.
        value.error("a secret does not stand in the configuration", "name where it is: { file = \"…\" } or { env = \"…\" }");
        return None;
    }
    let table = value.table(keys::SECRET)?;
    match (table.value("file"), table.value("env")) {
        (Some(file), None) => path(&file).map(|path| Origin::File(path, file)),
        (None, Some(variable)) => variable.text().map(|name| Origin::Variable(name, variable)),
        (Some(_), Some(_)) => {
            table.error("a secret has one origin", "keep `file` or `env`, not both");
            None
        }
        (None, None) => {
            if table.is_empty() {
                table.error("a secret without origin", "write { file = \"…\" } or { env = \"…\" }");
            }
            None
        }
    }
}

fn variable(name: &str, value: &Value<'_>) -> Option<Zeroizing<String>> {
    let fault = match std::env::var(name).map(Zeroizing::new) {
        Ok(text) if !text.trim().is_empty() => return Some(text),
        Ok(_) => "is empty",
        Err(std::env::VarError::NotPresent) => "is not set",
        Err(std::env::VarError::NotUnicode(_)) => "is not UTF-8",
    };
    value.error(format!("the environment variable {name} {fault}"), format!("set {name} where the gateway is started"));
    None
}

/// A secret text. One line end after it is not part of it.
pub(super) fn secret(value: &Value<'_>) -> Option<Secret> {
    let (text, value) = match origin(value)? {
        Origin::Variable(name, value) => (variable(name, &value)?, value),
        Origin::File(path, value) => {
            value.desk.findings.watch(path.clone());
            match files::read_text(&path, Readers::Anyone) {
                Ok(text) => (text, value),
                Err(fault) => {
                    value.error(format!("{} {fault}", path.display()), fault.mend(&path));
                    return None;
                }
            }
        }
    };
    let trimmed = text.strip_suffix('\n').unwrap_or(&text);
    let trimmed = trimmed.strip_suffix('\r').unwrap_or(trimmed);
    if trimmed.contains(['\n', '\r', '\0']) {
        value.error("the secret has more than one line", "keep the one line with the secret");
        return None;
    }
    Some(Secret::new(trimmed.to_owned()))
}

/// A ring of keys, newest first.
pub(super) fn ring(value: &Value<'_>) -> Option<KeyRing> {
    let (ring, shown, path, value) = match origin(value)? {
        Origin::Variable(name, value) => (key_file::parse_ring(&variable(name, &value)?), name.to_owned(), PathBuf::from(name), value),
        Origin::File(path, value) => {
            value.desk.findings.watch(path.clone());
            (key_file::read_ring(&path), path.display().to_string(), path, value)
        }
    };
    ring.map_err(|fault: KeyFault| value.error(format!("{shown} {fault}"), fault.mend(&path))).ok()
}

/// A single key.
pub(super) fn key(value: &Value<'_>) -> Option<Key> {
    let ring = ring(value)?;
    match ring.keys() {
        [key] => Some(key.clone()),
        _ => {
            value.error("this key file holds several keys", "keep one line: this key is not a ring");
            None
        }
    }
}

pub(super) fn file(value: &Value<'_>) -> Option<(PathBuf, Zeroizing<Vec<u8>>)> {
    let path = path(value)?;
    value.desk.findings.watch(path.clone());
    match files::read(&path, Readers::Anyone) {
        Ok(bytes) if bytes.is_empty() => {
            value.error(format!("{} is empty", path.display()), format!("write the PEM text to {}", path.display()));
            None
        }
        Ok(bytes) => Some((path, bytes)),
        Err(fault) => {
            value.error(format!("{} {fault}", path.display()), fault.mend(&path));
            None
        }
    }
}

/// Every certificate of a PEM file; none, or one that is cut off, is a mistake.
fn certificates(value: &Value<'_>, path: &Path, bytes: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let readable = |chain: &Vec<CertificateDer<'static>>| chain.iter().all(|der| x509_parser::parse_x509_certificate(der).is_ok());
    match found {
        Ok(chain) if !chain.is_empty() && readable(&chain) => Some(chain),
        Ok(chain) if chain.is_empty() => {
            let mend = if PrivateKeyDer::from_pem_slice(bytes).is_ok() {
                "this is a private key: name the certificate's file"
            } else {
                "name a file that holds -----BEGIN CERTIFICATE-----"
            };
            value.error(format!("{} holds no certificate", path.display()), mend);
            None
        }
        Ok(_) | Err(_) => {
            value.error(
                format!("{} holds a certificate that cannot be read", path.display()),
                "write the whole PEM text again: it may be cut off",
            );
            None
        }
    }
}

/// Extra roots.
pub(super) fn roots(value: &Value<'_>) -> Option<RootFile> {
    let (path, bytes) = file(value)?;
    let certificates = certificates(value, &path, &bytes)?;
    Some(RootFile { path, certificates })
}

/// A certificate and its key, which must belong together.
pub(super) fn certificate(table: &Table<'_>) -> Option<Certificate> {
    let chain = table.need("cert", |value| {
        let (path, bytes) = file(value)?;
        Some((path.clone(), certificates(value, &path, &bytes)?))
    });
    let key = table.need("key", |value| {
        let (path, bytes) = file(value)?;
        let Ok(key) = PrivateKeyDer::from_pem_slice(&bytes) else {
            value.error(
                format!("{} holds no private key that can be read", path.display()),
                "name a file that holds an unencrypted PEM private key",
            );
            return None;
        };
        warn_of_open_key(value, &path);
        Some((path, key, value.clone()))
    });
    let ((cert, chain), (key, private_key, key_value)) = (chain?, key?);
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    if let Err(fault) = CertifiedKey::from_der(chain.clone(), private_key.clone_key(), &Arc::new(provider)) {
        let mismatch = matches!(fault, rustls::Error::InconsistentKeys(_));
        let message = if mismatch { "does not belong to the certificate".to_owned() } else { format!("cannot be used: {fault}") };
        key_value.error(format!("the key in {} {message}", key.display()), "name the key that the certificate was issued for");
        return None;
    }
    Some(Certificate { cert, key, chain, private_key })
}

/// Certificate keys are often kept readable for a group by the system, so this is advice.
fn warn_of_open_key(value: &Value<'_>, path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let open = std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o007 != 0);
    if open {
        value.warn(format!("{} can be read by everybody on this machine", path.display()), format!("chmod 600 {}", path.display()));
    }
}
