//! What is agreed on in a TLS handshake with an upstream: the HTTP version, the name, and who the gateway is.

use super::*;
use std::convert::Infallible;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use kernel::{Failure, Unreachable};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::upstream::ClientCertificate;

struct Authority {
    root: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

fn authority() -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&key).unwrap().der().clone();
    Authority { root, issuer: Issuer::new(params, key) }
}

impl Authority {
    fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        let certificate = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        (certificate, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }
}

/// An upstream that offers these protocols and answers with the HTTP version that it was asked in; with `clients`, only to
/// those who show a certificate of that authority.
async fn serving(authority: &Authority, name: &str, protocols: &[&[u8]], clients: Option<&Authority>) -> u16 {
    let (certificate, key) = authority.issue(name, ExtendedKeyUsagePurpose::ServerAuth);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(clients.root.clone()).unwrap();
            builder.with_client_cert_verifier(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap())
        }
    };
    let mut config = builder.with_single_cert(vec![certificate], key).unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (address, _) = upstream(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(|asked: Request<hyper::body::Incoming>| async move {
                Ok::<_, Infallible>(Response::new(body::full(format!("{:?}", asked.version()))))
            });
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        }
    })
    .await;
    address.port()
}

async fn asked(port: u16, change: impl FnOnce(&mut WaySettings)) -> Result<String, Refusal> {
    Bench::with(vec![at(Scheme::Https, "127.0.0.1", port)], change).get("/x").await.map(|(_, text)| text)
}

#[tokio::test]
async fn the_version_is_the_routes_or_what_the_upstream_chooses() {
    let authority = authority();
    let (h1, h2): (&[u8], &[u8]) = (b"http/1.1", b"h2");
    for (offered, protocol, spoken) in [
        (&[h2, h1][..], Protocol::Http1, Ok("HTTP/1.1")),
        (&[h2, h1], Protocol::Http2, Ok("HTTP/2.0")),
        (&[h2, h1], Protocol::Auto, Ok("HTTP/2.0")),
        (&[h1], Protocol::Auto, Ok("HTTP/1.1")),
        (&[], Protocol::Auto, Ok("HTTP/1.1")),
        (&[], Protocol::Http1, Ok("HTTP/1.1")),
        (&[h2], Protocol::Http1, Err(Unreachable::Tls)),
        (&[h1], Protocol::Http2, Err(Unreachable::Tls)),
        (&[], Protocol::Http2, Err(Unreachable::Tls)),
    ] {
        let port = serving(&authority, "127.0.0.1", offered, None).await;
        let answered = asked(port, |way| {
            way.protocol = protocol;
            way.tls.roots = vec![authority.root.clone()];
        })
        .await;
        let answered = answered.map_err(|refusal| match refusal {
            Refusal::Failure(Failure::UpstreamUnreachable { why, .. }) => why,
            other => panic!("{other:?}"),
        });
        assert_eq!(answered.as_deref().map_err(|why| *why), spoken, "{offered:?} {protocol:?}");
    }
}

#[tokio::test]
async fn the_name_that_counts_is_the_routes() {
    let authority = authority();
    let port = serving(&authority, "app.internal", &[], None).await;
    let named = async |name: Option<&str>| {
        asked(port, |way| {
            way.tls.name = name.map(Into::into);
            way.tls.roots = vec![authority.root.clone()];
        })
        .await
    };
    assert!(named(Some("app.internal")).await.is_ok());
    for other in [None, Some("app.test"), Some("internal"), Some("x.app.internal")] {
        assert!(
            matches!(named(other).await, Err(Refusal::Failure(Failure::UpstreamUnreachable { why: Unreachable::Tls, .. }))),
            "{other:?}"
        );
    }
}

#[tokio::test]
async fn an_upstream_that_asks_who_the_gateway_is_is_told() {
    let (servers, clients) = (authority(), authority());
    let port = serving(&servers, "127.0.0.1", &[], Some(&clients)).await;
    let showing = async |issuer: Option<&Authority>| {
        asked(port, |way| {
            way.tls.roots = vec![servers.root.clone()];
            way.tls.certificate = issuer.map(|issuer| {
                let (certificate, key) = issuer.issue("gateway", ExtendedKeyUsagePurpose::ClientAuth);
                Arc::new(ClientCertificate { chain: vec![certificate], key })
            });
        })
        .await
    };
    assert!(showing(Some(&clients)).await.is_ok());
    // With TLS 1.3 the upstream's refusal comes after the handshake, in place of an answer.
    assert_eq!(showing(Some(&servers)).await.unwrap_err().status(), 502);
    assert_eq!(showing(None).await.unwrap_err().status(), 502);
}
