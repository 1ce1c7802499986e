//! Spoofed identity and forwarding fields (HD): on every path, in every spelling, none reaches an upstream.

use super::{field, fields, start};
use crate::support::{APP, Answer, Manner, PUB, World};

/// Spellings of the fields by which an upstream is told who asks.
const SPOOFED: [&str; 16] = [
    "X-Portcullis-Subject: root",
    "x-portcullis-groups: admin",
    "X-PORTCULLIS-EMAIL: root@example.com",
    "X-Portcullis-Assertion: a.b.c",
    "X-Portcullis-Request-Id: 1",
    "X-Forwarded-For: 127.0.0.1, ::1",
    "X-Forwarded-Host: evil.test",
    "X-Forwarded-Proto: http",
    "X-Forwarded-Port: 1",
    "X-Forwarded-Prefix: /evil",
    "Forwarded: for=127.0.0.1;host=evil.test",
    "X-Real-IP: 127.0.0.1",
    "Remote-User: root",
    "X-Remote-User: root",
    "X-Original-URL: /app/admin",
    "X-Rewrite-URL: /app/admin",
];

fn all_spoofed() -> String {
    SPOOFED.iter().map(|line| format!("{line}\r\n")).collect()
}

/// What an upstream received states nothing that the client chose.
#[track_caller]
fn clean(head: &str) {
    for trace in ["root", "evil", "a.b.c", "/app/admin", "::1"] {
        assert!(!head.contains(trace), "{trace} came through in {head}");
    }
    assert_eq!(field(head, "x-forwarded-for"), Some("127.0.0.1"), "the socket's peer, in {head}");
    assert_eq!(field(head, "x-forwarded-proto"), Some("https"));
    assert_ne!(field(head, "x-portcullis-request-id"), Some("1"));
    assert!(!fields(head, "x-forwarded-port").contains(&"1"));
}

async fn ask(world: &World, method: &str, target: &str, more: &str) -> Answer {
    world.wire(APP).await.ask(method, target, APP, more).await.unwrap()
}

#[tokio::test]
async fn an_upstream_hears_of_a_person_from_the_gateway_alone() {
    let world = start().await;
    let cookie = world.seat(APP, &["staff"]).await;
    let reply = ask(&world, "GET", "/app/x", &format!("{}Cookie: a=1; __Host-portcullis={cookie}; b=2\r\n", all_spoofed())).await;
    assert_eq!(reply.status, 200);
    let head = &world.upstream.received()[0];
    clean(head);
    assert_eq!(field(head, "x-portcullis-email"), Some("alice@example.com"));
    assert_eq!(field(head, "x-portcullis-groups"), Some("staff"));
    assert!(field(head, "x-portcullis-subject").is_some_and(|subject| subject.contains("sub-staff")));
    assert_eq!(field(head, "x-portcullis-assertion").map(|token| token.split('.').count()), Some(3));
    assert_eq!(field(head, "cookie"), Some("a=1; b=2"));
}

#[tokio::test]
async fn a_person_without_groups_has_none_however_loudly_claimed() {
    let world = start().await;
    world.rewrite("app", "[[allow]]\nid = \"all\"\nwho = { anyone_signed_in = true }\npaths = [\"/**\"]\n");
    world.server().reload().await.unwrap();
    let cookie = world.seat(APP, &[]).await;
    ask(&world, "GET", "/x", &format!("X-Portcullis-Groups: admin\r\nCookie: __Host-portcullis={cookie}\r\n")).await;
    let received = world.upstream.received();
    assert!(fields(&received[0], "x-portcullis-groups").iter().all(|groups| groups.is_empty()), "{received:?}");
}

#[tokio::test]
async fn nothing_spoofed_passes_where_nobody_is_signed_in() {
    let world = start().await;
    for (method, target) in [("GET", "/public/x"), ("HEAD", "/public/x"), ("OPTIONS", "/public/x")] {
        assert_eq!(ask(&world, method, target, &all_spoofed()).await.status, 200, "{method}");
        let head = &world.upstream.received()[0];
        clean(head);
        for name in ["x-portcullis-subject", "x-portcullis-groups", "x-portcullis-email"] {
            assert_eq!(fields(head, name), Vec::<&str>::new(), "{method} {name}");
        }
    }
}

#[tokio::test]
async fn nothing_spoofed_opens_what_is_closed() {
    let world = start().await;
    for (method, target) in [
        ("GET", "/app/x"),
        ("OPTIONS", "/app/x"),
        ("GET", "/app/admin"),
        ("GET", "/.portcullis/finish"),
        ("GET", "/.portcullis/session"),
        ("GET", "/nothing"),
    ] {
        let reply = ask(&world, method, target, &all_spoofed()).await;
        assert!((300..500).contains(&reply.status), "{method} {target}: {}", reply.status);
        let location = reply.field("location").unwrap_or_default();
        assert!(!location.contains("evil") && !reply.text().contains("evil"), "{target}");
    }
    for agent in ["GoogleHC/1.0", "kube-probe/1.31", "ELB-HealthChecker/2.0", "Prometheus/2.0"] {
        assert_eq!(ask(&world, "GET", "/app/x", &format!("User-Agent: {agent}\r\n")).await.status, 401, "{agent}");
    }
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(ask(&world, "GET", path, "").await.status, 401, "{path}");
    }
    assert_eq!(world.upstream.received(), Vec::<String>::new());
}

#[tokio::test]
async fn a_second_request_on_the_connection_is_cleaned_too() {
    let world = start().await;
    let cookie = world.seat(APP, &["staff"]).await;
    let mut client = world.wire(APP).await;
    for _ in 0..3 {
        let more = format!("{}Cookie: __Host-portcullis={cookie}\r\n", all_spoofed());
        assert_eq!(client.ask("GET", "/app/x", APP, &more).await.unwrap().status, 200);
        assert_eq!(client.ask("GET", "/public/x", APP, &all_spoofed()).await.unwrap().status, 200);
        assert_eq!(client.ask("GET", "/app/x", APP, &all_spoofed()).await.unwrap().status, 401);
        let received = world.upstream.received();
        assert_eq!(received.len(), 2);
        received.iter().for_each(|head| clean(head));
        assert_eq!(fields(&received[1], "x-portcullis-subject"), Vec::<&str>::new());
    }
}

#[tokio::test]
async fn a_websocket_handshake_is_cleaned_too() {
    let world = start().await;
    world.upstream.answer_with(Manner::WebSocket);
    let cookie = world.seat(APP, &["staff"]).await;
    let handshake = format!(
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nCookie: __Host-portcullis={cookie}\r\n"
    );
    let own = format!("Origin: https://app.test\r\n{handshake}{}", all_spoofed());
    assert_eq!(ask(&world, "GET", "/app/ws", &own).await.status, 101);
    clean(&world.upstream.received()[0]);
    for origin in ["", "Origin: null\r\n", "Origin: https://evil.test\r\n", "Origin: https://app.test:444\r\n"] {
        assert_eq!(ask(&world, "GET", "/app/ws", &format!("{origin}{handshake}")).await.status, 403, "{origin:?}");
    }
    assert_eq!(world.upstream.received(), Vec::<String>::new());
}

#[tokio::test]
async fn names_with_a_second_spelling_are_refused() {
    let world = start().await;
    for name in
        ["X_Portcullis_Subject", "X-Portcullis_Subject", "X.Portcullis.Subject", "x_forwarded_for", "Remote_User", "any_name", "a.b"]
    {
        assert_eq!(ask(&world, "GET", "/public/x", &format!("{name}: root\r\n")).await.status, 400, "{name}");
    }
    for line in ["X-Portcullis-Subject : root", ": x", "no colon", " folded: x", "X-\u{e9}: x", "X(y): z"] {
        assert_eq!(ask(&world, "GET", "/public/x", &format!("{line}\r\n")).await.status, 400, "{line}");
    }
    assert_eq!(world.upstream.received(), Vec::<String>::new());
}

#[tokio::test]
async fn connection_deletes_nothing_that_the_gateway_states() {
    let world = start().await;
    for list in [
        "close, X-Portcullis-Subject, X-Forwarded-For",
        "x-portcullis-groups",
        "X_Portcullis_Subject",
        "Host",
        "Content-Length",
        "Cookie",
        "Authorization",
    ] {
        assert_eq!(ask(&world, "GET", "/public/x", &format!("Connection: {list}\r\n")).await.status, 400, "{list}");
    }
    let mut client = world.wire(APP).await;
    client.send(b"GET /public/x HTTP/1.1\r\nHost: app.test\r\nConnection: \xff\r\n\r\n").await;
    assert_eq!(client.answer(false).await.unwrap().status, 400);
    assert_eq!(world.upstream.received(), Vec::<String>::new());
    assert_eq!(ask(&world, "GET", "/public/x", "Connection: keep-alive, TE\r\n").await.status, 200);
    clean(&world.upstream.received()[0]);
}

#[tokio::test]
async fn a_doubled_malformed_or_foreign_cookie_is_nobody() {
    let world = start().await;
    let cookie = world.seat(APP, &["staff"]).await;
    let own = format!("__Host-portcullis={cookie}");
    let other = "__Host-portcullis=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for planted in [
        format!("{own}; {other}"),
        format!("{other}; {own}"),
        format!("{own}; {own}"),
        format!("{own}="),
        own[..own.len() - 1].to_owned(),
        other.to_owned(),
    ] {
        assert_eq!(ask(&world, "GET", "/app/x", &format!("Cookie: {planted}\r\n")).await.status, 401, "{planted}");
    }
    world.wire(PUB).await.ask("GET", "/x", PUB, &format!("Cookie: {own}\r\n")).await.unwrap();
    let received = world.upstream.received();
    assert_eq!((received.len(), fields(&received[0], "x-portcullis-subject").len(), fields(&received[0], "cookie").len()), (1, 0, 0));
}

#[tokio::test]
async fn a_proxy_header_from_a_stranger_is_no_request() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let world = start().await;
    for header in
        [&b"PROXY TCP4 127.0.0.1 127.0.0.1 1 443\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\0\x01\x01\xbb"]
    {
        let mut tcp = tokio::net::TcpStream::connect(world.address()).await.unwrap();
        tcp.write_all(header).await.unwrap();
        let mut answer = Vec::new();
        let _reset = tcp.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP/"), "closed, with a TLS alert at most");
    }
    assert_eq!(world.upstream.received(), Vec::<String>::new());
}

#[tokio::test]
async fn over_http_2_nothing_spoofed_passes_either() {
    let world = start().await;
    let cookie = world.seat(APP, &["staff"]).await;
    let mut sender = world.h2(APP).await;
    for (path, own) in [("/app/x", true), ("/public/x", false)] {
        let mut request = http::Request::get(format!("https://{APP}{path}"));
        for (name, value) in SPOOFED.iter().filter_map(|line| line.split_once(": ")) {
            request = request.header(name, value);
        }
        if own {
            request = request.header("cookie", format!("__Host-portcullis={cookie}"));
        }
        let reply = sender.send_request(request.body(http_body_util::Full::default()).unwrap()).await.unwrap();
        assert_eq!(reply.status(), 200, "{path}");
        let received = world.upstream.received();
        clean(&received[0]);
        assert_eq!(fields(&received[0], "x-portcullis-subject").len(), usize::from(own), "{path}");
    }
}
