//! The receiver is verified, asked a few times, and told no secret.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kernel::detection::{DetectionRule, FindingFacts};
use kernel::event::Actor;
use kernel::identity::{Email, Subject};
use kernel::route::RouteId;
use kernel::time::Timestamp;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::{Delivered, MailTarget, Mailer, Notifier, Receivers, Security, Target, WAITING_MAX, Webhook, deliver, message};
use crate::telemetry::Metrics;

const AT_ONCE: [Duration; 3] = [Duration::ZERO; 3];

fn finding(rule: DetectionRule) -> FindingFacts {
    FindingFacts {
        rule,
        actor: Some(Actor {
            subject: Subject { issuer: "https://idp.test".to_owned(), sub: "ana".to_owned() },
            email: Some(Email::parse("ana@example.com").unwrap()),
            groups: vec!["dev".to_owned()],
            session: None,
        }),
        address: Some([192, 0, 2, 1].into()),
        other_address: None,
        route: Some(RouteId::new("vault")),
        first: Timestamp::from_seconds(1),
        last: Timestamp::from_seconds(2),
        events: 5,
        requests: Vec::new(),
    }
}

/// A receiver that answers with these statuses, one after the other, and keeps what it was sent.
async fn receiver(statuses: &'static [u16]) -> (String, CertificateDer<'static>, Arc<Mutex<Vec<String>>>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let (acceptor, listener) = (TlsAcceptor::from(Arc::new(config)), tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap());
    let url = format!("https://localhost:{}/hook", listener.local_addr().unwrap().port());
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let memory = Arc::clone(&seen);
    tokio::spawn(async move {
        for status in statuses {
            let mut stream = loop {
                // A handshake that the client breaks off asks nothing.
                if let Ok(stream) = acceptor.accept(listener.accept().await.unwrap().0).await {
                    break stream;
                }
            };
            let mut request = String::new();
            let mut buffer = [0; 4_096];
            while !request.contains("\"text\":") || !request.ends_with('}') {
                let count = stream.read(&mut buffer).await.unwrap();
                request.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
            }
            memory.lock().unwrap().push(request);
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\nLocation: http://127.0.0.1:9/\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    (url, made.cert.der().clone(), seen)
}

fn webhook(url: &str, roots: Vec<CertificateDer<'static>>) -> Webhook {
    let token = Some(Zeroizing::new("token-canary".to_owned()));
    Webhook::new(&Target { url: url.to_owned(), token, roots }).unwrap()
}

fn mailer() -> Mailer {
    let from = Email::parse("portcullis@example.com").unwrap();
    let target = MailTarget { host: "localhost".to_owned(), port: 9, security: Security::Tls, login: None, from, roots: Vec::new() };
    Mailer::new(&target, "gate.test").unwrap()
}

fn text() -> String {
    message(&finding(DetectionRule::FactorBruteForce), "gate.test")
}

#[tokio::test]
async fn a_finding_is_posted_with_the_token() {
    let (url, root, seen) = receiver(&[204]).await;
    assert_eq!(deliver(&webhook(&url, vec![root]), &text(), AT_ONCE).await, Delivered::Yes);
    let request = seen.lock().unwrap().remove(0);
    assert!(request.starts_with("POST /hook HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("authorization: Bearer token-canary\r\n"), "{request}");
    let body: Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!((&body["detection"], &body["email"]), (&Value::from("factor_brute_force"), &Value::from("ana@example.com")));
}

#[tokio::test]
async fn a_receiver_that_refuses_is_asked_three_times_and_no_more() {
    let (url, root, seen) = receiver(&[500, 302, 429, 200]).await;
    assert_eq!(deliver(&webhook(&url, vec![root]), &text(), AT_ONCE).await, Delivered::No);
    assert_eq!(seen.lock().unwrap().len(), 3, "a redirect is a refusal and is not followed");
    let (url, root, seen) = receiver(&[503, 200]).await;
    assert_eq!(deliver(&webhook(&url, vec![root]), &text(), AT_ONCE).await, Delivered::Yes);
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_receiver_that_nobody_vouches_for_hears_nothing() {
    let (url, _, seen) = receiver(&[200]).await;
    let (_, stranger, _) = receiver(&[]).await;
    assert_eq!(deliver(&webhook(&url, vec![stranger]), &text(), AT_ONCE).await, Delivered::No);
    let other_name = url.replace("localhost", "127.0.0.1");
    assert_eq!(deliver(&webhook(&other_name, Vec::new()), &text(), AT_ONCE).await, Delivered::No);
    assert!(seen.lock().unwrap().is_empty());
}

#[test]
fn only_https_addresses_are_taken_and_the_token_is_never_shown() {
    for url in ["http://hooks.example.com/", "https://", "hooks.example.com", "ftp://x/"] {
        let target = Target { url: url.to_owned(), token: None, roots: Vec::new() };
        assert!(Webhook::new(&target).is_err(), "{url}");
    }
    let target = Target { url: "https://h.example/".to_owned(), token: Some(Zeroizing::new("token-canary".to_owned())), roots: Vec::new() };
    assert!(!format!("{target:?}").contains("canary"));
    assert!(!format!("{:?}", Webhook::new(&target).unwrap()).contains("canary"));
}

#[tokio::test]
async fn what_has_no_room_is_dropped_and_counted() {
    let metrics = Metrics::default();
    let (notifier, waiting) = Notifier::new(metrics.clone());
    let concerned = || Some(Email::parse("ana@example.com").unwrap());
    notifier.tell(finding(DetectionRule::PathScan), concerned());
    notifier.aim(Receivers { webhook: Some(webhook("https://localhost:9/", Vec::new())), mailer: Some(mailer()) });
    for number in 0..WAITING_MAX + 3 {
        notifier.tell(finding(DetectionRule::PathScan), concerned().filter(|_| number > 0));
    }
    for dropped in ["{way=\"webhook\",result=\"dropped\"} 3", "{way=\"mail\",result=\"dropped\"} 2"] {
        assert!(metrics.text().contains(&format!("portcullis_notifications_total{dropped}")), "{}", metrics.text());
    }
    // A gateway that stops waits for no receiver.
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    notifier.run(waiting, "gate.test".to_owned(), shutdown).await;
}

#[test]
fn every_rule_has_words_for_the_person_in_both_languages() {
    for rule in DetectionRule::ALL {
        let body: Value = serde_json::from_str(&message(&finding(rule), "gate.test")).unwrap();
        let (en, de) = (body["text"]["en"].as_str().unwrap(), body["text"]["de"].as_str().unwrap());
        assert!(en.contains("Was this you?") && en.contains("192.0.2.1"), "{en}");
        assert!(de.contains("Waren Sie das?") && de.contains("192.0.2.1"), "{de}");
    }
    let nobody = FindingFacts { actor: None, ..finding(DetectionRule::SignInSpray) };
    assert!(!message(&nobody, "gate.test").contains("Was this you?"));
}
