//! A certificate authority for one afternoon, and one certificate of it for the demo's names. The authority's key is dropped as soon as
//! the certificate is signed, and its certificate is good for names under `localhost` only: whoever trusts it risks nothing else.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints,
};
use rustls_pki_types::CertificateDer;
use x509_parser::time::ASN1Time;
use zeroize::Zeroizing;

use crate::demo::Error;
use kernel::time::Timestamp;

/// What the gateway and its visitors need.
#[derive(Debug)]
pub struct Certificates {
    /// PEM, to be trusted by browsers and `curl --cacert`.
    pub authority: String,
    pub authority_der: CertificateDer<'static>,
    /// PEM, for all names.
    pub server: String,
    /// PEM (PKCS #8).
    pub server_key: Zeroizing<String>,
}

/// Makes both, valid from a day before `now` to thirty days after.
pub fn make(names: &[String], now: Timestamp) -> Result<Certificates, Error> {
    let authority_key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let mut authority = CertificateParams::new(Vec::new())?;
    validity(&mut authority, now)?;
    authority.distinguished_name.push(DnType::CommonName, "Portcullis demo authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    authority.name_constraints =
        Some(NameConstraints { permitted_subtrees: vec![GeneralSubtree::DnsName("localhost".to_owned())], excluded_subtrees: Vec::new() });
    let authority_certificate = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);

    let server_key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let mut server = CertificateParams::new(names)?;
    validity(&mut server, now)?;
    server.distinguished_name.push(DnType::CommonName, "Portcullis demo");
    server.use_authority_key_identifier_extension = true;
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let server_certificate = server.signed_by(&server_key, &issuer)?;
    Ok(Certificates {
        authority: authority_certificate.pem(),
        authority_der: authority_certificate.der().clone(),
        server: server_certificate.pem(),
        server_key: Zeroizing::new(server_key.serialize_pem()),
    })
}

fn validity(parameters: &mut CertificateParams, now: Timestamp) -> Result<(), Error> {
    let at = |seconds: u64| ASN1Time::from_timestamp(i64::try_from(seconds).unwrap_or(i64::MAX)).map(|time| time.to_datetime());
    let (Ok(from), Ok(until)) = (at(now.as_seconds().saturating_sub(DAY_SECONDS)), at(now.as_seconds() + VALID_DAYS * DAY_SECONDS)) else {
        return Err(Error::Clock);
    };
    parameters.not_before = from;
    parameters.not_after = until;
    Ok(())
}

const DAY_SECONDS: u64 = 86_400;
const VALID_DAYS: u64 = 30;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use std::sync::Arc;
    use std::time::Duration;

    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls_pki_types::pem::PemObject;
    use rustls_pki_types::{ServerName, UnixTime};

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

    /// Whether a client that trusts the authority accepts the certificate for `name`, `age` after it was made.
    fn check(made_for: &[&str], name: &str, age: Duration) -> bool {
        let names: Vec<String> = made_for.iter().map(|&name| name.to_owned()).collect();
        let certificates = make(&names, NOW).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(certificates.authority.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let server = CertificateDer::from_pem_slice(certificates.server.as_bytes()).unwrap();
        let time = UnixTime::since_unix_epoch(Duration::from_secs(NOW.as_seconds()) + age);
        verifier.verify_server_cert(&server, &[], &ServerName::try_from(name.to_owned()).unwrap(), &[], time).is_ok()
    }

    #[test]
    fn a_client_that_trusts_the_authority_accepts_the_demo_names() {
        assert!(check(&["gate.localhost", "app.localhost"], "app.localhost", Duration::ZERO));
    }

    #[test]
    fn another_name_is_not_accepted() {
        assert!(!check(&["gate.localhost"], "other.localhost", Duration::ZERO));
    }

    #[test]
    fn the_authority_is_no_good_outside_localhost() {
        assert!(!check(&["bank.example.com"], "bank.example.com", Duration::ZERO));
    }

    #[test]
    fn the_certificate_ends_after_a_month() {
        assert!(!check(&["gate.localhost"], "gate.localhost", Duration::from_secs(31 * DAY_SECONDS)));
    }
}
