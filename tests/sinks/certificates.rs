//! Certificates of the tests: authorities, servers, clients.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use portcullis::config::Certificate;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

pub struct Authority {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM.
pub struct Pair {
    pub cert: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        params.distinguished_name.push(rcgen::DnType::CommonName, "test authority");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    pub fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    pub fn issue(&self, name: &str) -> Pair {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair { cert: certificate.pem(), key: key.serialize_pem() }
    }

    /// A certificate as the configuration reads it.
    pub fn client(&self, name: &str) -> Certificate {
        let pair = self.issue(name);
        let chain = CertificateDer::pem_slice_iter(pair.cert.as_bytes()).map(Result::unwrap).collect();
        let private_key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
        Certificate { cert: PathBuf::from("client.pem"), key: PathBuf::from("client.key"), chain, private_key }
    }

    /// A server with a certificate for `name`, that lets in whoever the authority vouches for.
    pub fn server(&self, name: &str, clients: Clients) -> Arc<ServerConfig> {
        let pair = self.issue(name);
        let chain = CertificateDer::pem_slice_iter(pair.cert.as_bytes()).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
        let builder = match clients {
            Clients::Anybody => builder.with_no_client_auth(),
            Clients::Known => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add(self.der()).unwrap();
                builder.with_client_cert_verifier(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap())
            }
        };
        Arc::new(builder.with_single_cert(chain, key).unwrap())
    }

    /// Writes what a server program wants: `ca.pem`, `server.pem`, `server.key`.
    pub fn write(&self, folder: &Path, name: &str) {
        let pair = self.issue(name);
        std::fs::write(folder.join("ca.pem"), self.pem()).unwrap();
        std::fs::write(folder.join("server.pem"), pair.cert).unwrap();
        std::fs::write(folder.join("server.key"), pair.key).unwrap();
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Clients {
    Anybody,
    Known,
}
