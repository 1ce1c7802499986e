//! How handshakes are signed, by preset, key and version, and what a client hears with whom there is nothing in common.

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize};
use rustls::SignatureScheme::{self, *};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, DigitallySignedStruct, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::*;

/// A client that verifies one kind of signature alone, and believes every certificate.
#[derive(Debug)]
struct Only(Vec<SignatureScheme>);

impl ServerCertVerifier for Only {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        assert_eq!(signed.scheme, self.0[0]);
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify_tls12_signature(message, cert, signed)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}

const SCHEMES: [SignatureScheme; 13] = [
    ECDSA_NISTP256_SHA256,
    ECDSA_NISTP384_SHA384,
    ECDSA_NISTP521_SHA512,
    ECDSA_SHA1_Legacy,
    ED25519,
    RSA_PSS_SHA256,
    RSA_PSS_SHA384,
    RSA_PSS_SHA512,
    RSA_PKCS1_SHA1,
    RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512,
    ED448,
];

const PSS: &[SignatureScheme] = &[RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512];
const PSS_AND_PKCS1: &[SignatureScheme] =
    &[RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512];

/// A certificate for one name under a key of each kind.
fn certificate(name: &str, key: &KeyPair) -> Certificate {
    let chain = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(key).unwrap().pem();
    Certificate::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes(), NOW, Path::new("cert.pem"), Path::new("cert.key")).unwrap()
}

/// Shakes hands as a client of this version that verifies these schemes; what went wrong, if anything did.
async fn shake(
    stand: &Stand,
    name: &'static str,
    provider: CryptoProvider,
    version: &'static SupportedProtocolVersion,
    schemes: &[SignatureScheme],
) -> Result<(), rustls::Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Only(schemes.to_vec())))
        .with_no_client_auth();
    let stream = TcpStream::connect(stand.address).await.unwrap();
    let shaken = TlsConnector::from(Arc::new(config)).connect(name.try_into().unwrap(), stream).await;
    let of_tls = |fault: std::io::Error| match fault.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(of_tls) => of_tls.clone(),
        None => panic!("{name} {:?} {schemes:?}: {fault}", version.version),
    };
    shaken.map(|_| ()).map_err(of_tls)
}

const NOTHING_IN_COMMON: Result<(), rustls::Error> = Err(rustls::Error::AlertReceived(AlertDescription::HandshakeFailure));

#[tokio::test]
async fn each_preset_signs_with_the_schemes_it_lists_and_no_others() {
    let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_3072).unwrap();
    let (p256, ed25519) = (KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(), KeyPair::generate_for(&PKCS_ED25519).unwrap());
    for profile in [Profile::Modern, Profile::Intermediate, Profile::Bsi, Profile::Pci] {
        let is_bsi = profile == Profile::Bsi;
        let mut certificates = vec![certificate("rsa.test", &rsa), certificate("ec.test", &p256)];
        if !is_bsi {
            certificates.push(certificate("ed.test", &ed25519));
        }
        let tls = Arc::new(ServerTls::new(profile, Protocols::default(), certificates).unwrap());
        let stand = start_on(settings(), tls, Authority::new());
        for version in [&TLS13, &TLS12] {
            if version == &TLS12 && profile == Profile::Modern {
                continue;
            }
            for scheme in SCHEMES {
                let of_rsa = if version == &TLS13 || is_bsi { PSS } else { PSS_AND_PKCS1 };
                let edwards: &[SignatureScheme] = if is_bsi { &[] } else { &[ED25519] };
                for (name, listed) in [("rsa.test", of_rsa), ("ec.test", &[ECDSA_NISTP256_SHA256]), ("ed.test", edwards)] {
                    if name == "ed.test" && is_bsi {
                        continue;
                    }
                    let shaken = shake(&stand, name, aws_lc_rs::default_provider(), version, &[scheme]).await;
                    let is_told =
                        shaken == NOTHING_IN_COMMON || shaken == Err(rustls::Error::AlertReceived(AlertDescription::AccessDenied));
                    let expected = if listed.contains(&scheme) { shaken.is_ok() } else { is_told };
                    assert!(expected, "{profile:?} {:?} {name} {scheme:?}: {shaken:?}", version.version);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_key_that_a_preset_does_not_sign_with_is_refused_before_anybody_comes() {
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let made = ServerTls::new(Profile::Bsi, Protocols::default(), vec![certificate("ed.test", &key)]);
    assert!(made.unwrap_err().to_string().contains("ed.test"));
}

#[tokio::test]
async fn a_client_with_nothing_in_common_hears_so() {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let tls = Arc::new(ServerTls::new(Profile::Bsi, Protocols::default(), vec![certificate("ec.test", &key)]).unwrap());
    let stand = start_on(settings(), tls, Authority::new());
    for suite in aws_lc_rs::ALL_CIPHER_SUITES {
        let name = suite.suite().as_str().unwrap();
        if !name.contains("CHACHA20") {
            continue;
        }
        let version = if name.starts_with("TLS13") { &TLS13 } else { &TLS12 };
        let provider = CryptoProvider { cipher_suites: vec![*suite], ..aws_lc_rs::default_provider() };
        assert_eq!(shake(&stand, "ec.test", provider, version, &SCHEMES).await, NOTHING_IN_COMMON, "{name}");
    }
    let provider = CryptoProvider { kx_groups: vec![aws_lc_rs::kx_group::X25519], ..aws_lc_rs::default_provider() };
    assert_eq!(shake(&stand, "ec.test", provider, &TLS13, &SCHEMES).await, NOTHING_IN_COMMON);
}
