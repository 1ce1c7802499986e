//! TLS towards upstreams is verified by the name that the route gives, and cannot be skipped.

use super::*;
use kernel::Failure;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

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

fn leaf(authority: &Authority, name: &str, last_year: i32) -> (CertificateDer<'static>, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(last_year, 1, 1);
    (params.signed_by(&key, &authority.issuer).unwrap().der().clone(), key)
}

/// An upstream with this certificate, and how many requests got through to it.
async fn serving((certificate, key): (CertificateDer<'static>, KeyPair)) -> (u16, Arc<AtomicUsize>) {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let (address, _) = upstream(move |stream, _| {
        let (acceptor, count) = (acceptor.clone(), Arc::clone(&count));
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            while read_head(&mut stream).await.is_some() {
                count.fetch_add(1, Ordering::SeqCst);
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await.unwrap();
            }
        }
    })
    .await;
    (address.port(), requests)
}

fn bench(host: &str, port: u16, roots: Vec<CertificateDer<'static>>) -> Bench {
    Bench::with(vec![at(Scheme::Https, host, port)], |way| way.tls.roots = roots)
}

async fn refused(bench: &Bench, requests: &AtomicUsize, why: &str) {
    let refusal = bench.get("/x").await.unwrap_err();
    let Refusal::Failure(Failure::UpstreamUnreachable { detail, .. }) = refusal else { panic!("{why}: {refusal:?}") };
    assert!(detail.contains("TLS"), "{why}: {detail}");
    assert_eq!(requests.load(Ordering::SeqCst), 0, "{why}");
}

#[tokio::test]
async fn a_certificate_for_the_name_by_a_known_root_is_accepted() {
    let authority = authority();
    let (port, requests) = serving(leaf(&authority, "localhost", 2099)).await;
    let bench = bench("localhost", port, vec![authority.root]);
    for _ in 0..2 {
        assert_eq!(bench.get("/x").await.unwrap(), (200, "hi".into()));
    }
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn every_other_certificate_is_refused() {
    let (known, unknown) = (authority(), authority());
    // The client asked for `app.test`: its word is not the name that counts.
    for (certificate, why) in [
        (leaf(&known, "app.test", 2099), "another name"),
        (leaf(&known, "localhost", 2021), "expired"),
        (leaf(&unknown, "localhost", 2099), "unknown root"),
    ] {
        let (port, requests) = serving(certificate).await;
        refused(&bench("localhost", port, vec![known.root.clone()]), &requests, why).await;
    }
    let key = KeyPair::generate().unwrap();
    let itself = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap().der().clone();
    let (port, requests) = serving((itself, key)).await;
    refused(&bench("localhost", port, vec![known.root.clone()]), &requests, "signed by itself").await;
}

#[tokio::test]
async fn an_upstream_that_speaks_before_tls_is_refused() {
    for greeting in [&b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"[..], b"220 mail ESMTP\r\n", b"\x15\x03\x01\x00\x02\x02\x28"] {
        let (address, _) = upstream(move |mut stream, _| async move {
            let _ = stream.write_all(greeting).await;
            let _ = read_head(&mut stream).await;
        })
        .await;
        let none = AtomicUsize::new(0);
        refused(&bench("localhost", address.port(), vec![authority().root]), &none, "plain bytes").await;
    }
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_not_waited_for() {
    let (address, _) = upstream(|stream, _| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let bench = bench("127.0.0.1", address.port(), vec![authority().root]);
    tokio::time::pause();
    assert_eq!(bench.get("/x").await.unwrap_err().status(), 504);
}
