//! The person whom a finding concerns is asked by mail, over TLS or not at all. The server is Debian's aiosmtpd.

use kernel::detection::{DetectionRule, FindingFacts};
use kernel::identity::Email;
use kernel::time::Timestamp;
use portcullis::notify::{MailFault, MailTarget, Mailer, Security};
use zeroize::Zeroizing;

use crate::support::{APP, GATE, Post, Setup, World, route_text};

const RULES: &str = "[[allow]]\nid = \"staff\"\nwho = { groups = [\"staff\"] }\npaths = [\"/app/**\"]\n";

fn target(post: &Post, security: Security) -> MailTarget {
    MailTarget {
        host: "localhost".to_owned(),
        port: post.port,
        security,
        login: Some(("gate".to_owned(), Zeroizing::new("mail-canary".to_owned()))),
        from: Email::parse("portcullis@example.com").unwrap(),
        roots: vec![post.certificate.clone()],
    }
}

fn finding() -> FindingFacts {
    let time = Timestamp::from_seconds(1_790_000_000);
    FindingFacts {
        rule: DetectionRule::FactorBruteForce,
        actor: None,
        address: Some([192, 0, 2, 1].into()),
        other_address: None,
        route: None,
        first: time,
        last: time,
        events: 5,
        requests: Vec::new(),
    }
}

async fn send(target: &MailTarget, to: &str) -> Result<(), MailFault> {
    Mailer::new(target, GATE).unwrap().send(&finding(), &Email::parse(to).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_person_concerned_is_asked_by_mail_in_both_languages_and_a_failure_delays_nobody() {
    for (personal, security) in [("plain", "tls"), ("sealed", "starttls")] {
        let post = Post::start(security);
        let passwords = tempfile::tempdir().unwrap();
        let password = passwords.path().join("mail.password");
        std::fs::write(&password, "mail-canary\n").unwrap();
        let more = format!(
            "[notify]\nmail = {{ server = \"localhost:{}\", security = \"{security}\", from = \"portcullis@example.com\", user = \"gate\", \
             password = {{ file = \"{}\" }}, ca = \"{}\" }}\n[detection]\nscan_person = 3\n",
            post.port,
            password.display(),
            post.certificate_file()
        );
        let routes = vec![("app".to_owned(), route_text("app", "@UPSTREAM@", RULES))];
        let world = World::with(Setup { more, routes, audit: format!("personal = \"{personal}\"\n"), ..Setup::default() }).await;
        let cookie = format!("Cookie: __Host-portcullis={}\r\n", world.seat(APP, &["staff"]).await);
        let mut client = world.wire(APP).await;
        for number in 0..5 {
            assert_eq!(client.ask("GET", &format!("/secret/{number}"), APP, &cookie).await.unwrap().status, 403);
        }
        let mail = world.until(|_| post.mails().pop()).await;
        assert_eq!((mail.sender.as_str(), mail.recipients.as_slice()), ("portcullis@example.com", &["alice@example.com".to_owned()][..]));
        assert!(mail.secure && mail.login.as_deref() == Some("gate"), "{security}");
        assert_eq!(mail.header("To"), "alice@example.com");
        assert_eq!(mail.header("Subject"), format!("Was this you? / Waren Sie das? ({GATE})"));
        assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
        assert!(mail.header("Message-ID").ends_with(&format!("@{GATE}>")));
        let text = mail.text();
        let (english, german) = text.split_once("\r\n\r\n").unwrap();
        assert!(english.contains("Many different addresses were asked for and denied") && english.contains("Was this you?"), "{english}");
        assert!(german.contains("Viele verschiedene Adressen") && german.contains("melden Sie es sofort"), "{german}");
        let counted = "portcullis_notifications_total{way=\"mail\",result=\"delivered\"} 1";
        world.until(|world| world.server().gateway().metrics.text().contains(counted).then_some(())).await;
        assert_eq!(post.mails().len(), 1, "asked once");
    }
}

#[tokio::test]
async fn without_tls_by_a_server_that_is_vouched_for_nothing_is_sent() {
    let (plain, wrapped, starting) = (Post::start("plain"), Post::start("tls"), Post::start("starttls"));
    let stranger = MailTarget { roots: vec![plain.certificate.clone()], ..target(&wrapped, Security::Tls) };
    let other_name = MailTarget { host: "127.0.0.1".to_owned(), ..target(&starting, Security::StartTls) };
    for wrong in [target(&plain, Security::StartTls), stranger, other_name] {
        let fault = send(&wrong, "ana@example.com").await.unwrap_err();
        assert!(matches!(fault, MailFault::Failed(_)), "{fault:?}");
    }
    send(&target(&wrapped, Security::Tls), "ana@example.com").await.unwrap();
    send(&target(&starting, Security::StartTls), "ana@example.com").await.unwrap();
    assert!(wrapped.mails_of(1).await[0].secure && starting.mails_of(1).await[0].secure);
    // What a server tells of comes in order: nothing came before, neither a message nor a password in the clear.
    for (post, expected) in [(plain, 0), (wrapped, 1), (starting, 1)] {
        assert_eq!(post.told().len(), expected, "{:?}", post.told());
    }
}

#[tokio::test]
async fn a_server_that_refuses_for_good_is_not_asked_again_and_a_wrong_password_is_told_without_it() {
    let post = Post::start("tls");
    let fault = send(&target(&post, Security::Tls), "nobody@example.com").await.unwrap_err();
    assert!(matches!(fault, MailFault::Refused(_)) && !fault.may_pass(), "{fault:?}");
    let wrong = MailTarget { login: Some(("gate".to_owned(), Zeroizing::new("other-canary".to_owned()))), ..target(&post, Security::Tls) };
    let fault = send(&wrong, "ana@example.com").await.unwrap_err();
    assert!(matches!(fault, MailFault::Refused(_)), "{fault:?}");
    assert!(!format!("{fault} {fault:?} {wrong:?} {:?}", Mailer::new(&wrong, GATE).unwrap()).contains("canary"), "{fault:?}");
    assert!(post.mails().is_empty());
}

/// Whatever stands in an address, it is one recipient and no header.
#[tokio::test]
async fn no_address_adds_a_header_or_a_recipient() {
    let post = Post::start("tls");
    for odd in [
        "ana+tag@example.com",
        "a'b=c?d&e@example.com",
        "ana%eve@example.com",
        "\"=?utf-8?q?x?=@example.com",
        "ana@example.com\r\nBcc:eve@example.com",
    ] {
        let Ok(to) = Email::parse(odd) else { continue };
        let sent = Mailer::new(&target(&post, Security::Tls), GATE).unwrap().send(&finding(), &to).await;
        assert!(sent.is_ok() || matches!(sent, Err(MailFault::Address(_))), "{odd}: {sent:?}");
    }
    for mail in post.mails_of(3).await {
        assert_eq!(mail.recipients.len(), 1);
        assert!(!mail.content.to_ascii_lowercase().contains("bcc"));
        assert_eq!(mail.header("To"), mail.recipients[0]);
    }
}
