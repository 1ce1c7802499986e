//! Challenges of a certificate authority: answered while they are open, to whoever asks as RFC 8737 says, and never with HTTP.

use std::sync::Mutex;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::{DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;

/// A certificate authority's validator: it looks at the certificate itself.
#[derive(Debug, Default)]
struct Validator(Mutex<Option<CertificateDer<'static>>>);

impl ServerCertVerifier for Validator {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.0.lock().unwrap() = Some(leaf.clone().into_owned());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // webpki reads no certificate with this critical extension.
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // webpki reads no certificate with this critical extension.
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// The certificate that a validator is shown, and what it can read after the handshake.
async fn validate(stand: &Stand, name: &str, alpn: &[&[u8]]) -> std::io::Result<(CertificateDer<'static>, String)> {
    let seen = Arc::new(Validator::default());
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&seen) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let stream = TcpStream::connect(stand.address).await.unwrap();
    let mut client = TlsConnector::from(Arc::new(config)).connect(name.to_owned().try_into().unwrap(), stream).await?;
    let _closed_already = client.write_all(b"GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n").await;
    let mut answer = Vec::new();
    let _reset = tokio::time::timeout(PATIENCE, client.read_to_end(&mut answer)).await.expect("the connection stayed open");
    let leaf = seen.0.lock().unwrap().take().unwrap();
    Ok((leaf, String::from_utf8(answer).unwrap()))
}

const ACME: &[&[u8]] = &[b"acme-tls/1"];

#[tokio::test]
async fn an_open_challenge_is_answered_with_its_certificate_and_nothing_else() {
    let stand = start();
    // A host of which there is a certificate, and one of which there is none.
    for name in ["app.test", "new.test"] {
        let open = stand.challenges.open_tls(name, &[7; 32]).unwrap();
        let (leaf, answer) = validate(&stand, &name.to_uppercase(), ACME).await.unwrap();
        assert_eq!(answer, "");
        let (_, parsed) = X509Certificate::from_der(&leaf).unwrap();
        let names: Vec<_> =
            parsed.subject_alternative_name().unwrap().unwrap().value.general_names.iter().map(ToString::to_string).collect();
        assert_eq!(names, [format!("DNSName({name})")]);
        let identifier = parsed.extensions().iter().find(|extension| extension.oid.to_id_string() == "1.3.6.1.5.5.7.1.31").unwrap();
        assert!(identifier.critical);
        assert_eq!(identifier.value, [&[0x04, 32][..], &[7; 32]].concat());
        drop(open);
        assert!(validate(&stand, name, ACME).await.is_err(), "closed with its guard");
    }
    stand.assert_nothing_more().await;
}

#[tokio::test]
async fn only_the_one_protocol_and_the_host_of_the_challenge_open_it() {
    let stand = start();
    let _open = stand.challenges.open_tls("app.test", &[7; 32]).unwrap();
    for (name, alpn) in [
        ("other.test", ACME),
        ("unknown.test", ACME),
        ("127.0.0.1", ACME),
        ("sub.app.test", ACME),
        ("unknown.test", &[b"http/1.1"]),
        ("unknown.test", &[]),
    ] {
        assert!(validate(&stand, name, alpn).await.is_err(), "{name} {alpn:?}");
    }
    // With another protocol beside it, the hello is a client's, and is answered as one.
    for alpn in [&[b"acme-tls/1".as_slice(), b"http/1.1"][..], &[b"http/1.1", b"acme-tls/1"], &[]] {
        let (leaf, _) = validate(&stand, "app.test", alpn).await.unwrap();
        assert!(!leaf.windows(8).any(|bytes| bytes == [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x1f]), "{alpn:?}");
    }
    let _http_alone = stand.challenges.open_http("other.test", "token", "token.thumbprint").unwrap();
    assert!(validate(&stand, "other.test", ACME).await.is_err());
}

#[test]
fn an_http_challenge_is_answered_for_its_host_and_token_while_it_is_open() {
    let challenges = Arc::<Challenges>::default();
    let open = challenges.open_http("App.test", "token", "token.thumbprint").unwrap();
    let _other = challenges.open_http("other.test", "token2", "token2.thumbprint").unwrap();
    let _tls = challenges.open_tls("app.test", &[7; 32]).unwrap();
    assert_eq!(challenges.http_answer("APP.test", "token").as_deref(), Some("token.thumbprint"));
    for (host, token) in [("other.test", "token"), ("app.test", "token2"), ("app.test", ""), ("app.test", "tokenx"), ("", "token")] {
        assert_eq!(challenges.http_answer(host, token), None, "{host} {token}");
    }
    drop(open);
    assert_eq!(challenges.http_answer("app.test", "token"), None);
    assert!(challenges.http_answer("other.test", "token2").is_some());
}

#[test]
fn the_open_challenges_are_bounded_and_a_wrong_digest_is_refused() {
    let challenges = Arc::<Challenges>::default();
    let open: Vec<_> = (0..64).map(|number| challenges.open_http("app.test", &number.to_string(), "x").unwrap()).collect();
    assert!(challenges.open_http("app.test", "one more", "x").is_err());
    drop(open);
    assert!(challenges.open_http("app.test", "one more", "x").is_ok());
    for length in [0, 31, 33] {
        assert!(challenges.open_tls("app.test", &vec![7; length]).is_err(), "{length}");
    }
}
