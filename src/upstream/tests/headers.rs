//! What an upstream is told, and that nobody but the gateway tells it (HD-01..HD-07).

use super::*;
use crate::upstream::Via;

/// The head that the upstream received for a request with these fields.
async fn head(bench: &Bench, path: &str, fields: &[(&str, &[u8])]) -> Vec<(String, String)> {
    let mut asked = get(path);
    for (name, value) in fields {
        asked.headers_mut().append(name.parse::<http::HeaderName>().unwrap(), http::HeaderValue::from_bytes(value).unwrap());
    }
    let response = bench.forward(asked).await.unwrap();
    let text = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines = text.lines().filter(|line| !line.is_empty());
    lines.map(|line| line.split_once(": ").unwrap_or((line, ""))).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn values<'a>(head: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    head.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
}

async fn bench() -> Bench {
    Bench::new(&[mirror().await.0])
}

#[tokio::test]
async fn the_judged_target_and_host_are_sent() {
    let head = head(&bench().await, "/d/%7euser?x=%2e%2e&y", &[]).await;
    assert_eq!(head[0].0, "GET /d/~user?x=%2e%2e&y HTTP/1.1");
    assert_eq!(values(&head, "host"), ["app.test"]);
}

#[tokio::test]
async fn a_person_is_stated_once_whatever_the_client_states() {
    let spoofed: Vec<(&str, &[u8])> = vec![
        ("x-portcullis-subject", b"root"),
        ("x_portcullis_subject", b"root"),
        ("x.portcullis_subject", b""),
        ("x-portcullis-groups", b"admin"),
        ("x-portcullis-groups", b"admin,root"),
        ("x-portcullis-email", b"\xff\xfe"),
        ("x-portcullis-assertion", b"a.b.c"),
        ("x-portcullis-request-id", b"1"),
        ("x-portcullis-new", b"1"),
        ("remote-user", b"root"),
        ("x_forwarded_for", b"127.0.0.1"),
        ("x-forwarded-for", b"127.0.0.1, ::1"),
        ("x-forwarded-host", b"evil.test"),
        ("x-forwarded-proto", b"http"),
        ("x-forwarded-port", b"80"),
        ("forwarded", b"for=127.0.0.1;host=evil.test"),
        ("x-original-url", b"/admin"),
        ("x-http-method-override", b"DELETE"),
    ];
    let head = head(&bench().await, "/x", &spoofed).await;
    assert_eq!(values(&head, "x-portcullis-subject"), ["https://idp.test#ana"]);
    assert_eq!(values(&head, "x-portcullis-email"), ["ana@example.com"]);
    assert_eq!(values(&head, "x-portcullis-groups"), ["dev,sre"]);
    assert_eq!(values(&head, "x-portcullis-request-id"), ["07070707070707070707070707070707"]);
    assert_eq!(values(&head, "x-portcullis-assertion").len(), 1);
    assert_eq!(values(&head, "x-forwarded-for"), ["192.0.2.9"]);
    assert_eq!(values(&head, "x-forwarded-host"), ["app.test"]);
    assert_eq!(values(&head, "x-forwarded-proto"), ["https"]);
    assert_eq!(values(&head, "forwarded"), ["for=192.0.2.9;host=\"app.test\";proto=https"]);
    assert_eq!(values(&head, "via"), ["1.1 portcullis-30ab2065"]);
    let all = format!("{head:?}");
    assert!(!["root", "evil", "127.0.0.1", "DELETE", "/admin", "a.b.c"].iter().any(|word| all.contains(word)), "{all}");
}

#[tokio::test]
async fn on_a_public_path_nobody_is_stated() {
    let spoofed: Vec<(&str, &[u8])> =
        vec![("x-portcullis-subject", b"root"), ("X-Portcullis-Assertion", b"a.b.c"), ("x-portcullis-groups", b"a")];
    let head = head(&bench().await, "/public/x", &spoofed).await;
    for name in ["x-portcullis-subject", "x-portcullis-email", "x-portcullis-groups", "x-portcullis-assertion"] {
        assert!(values(&head, name).is_empty(), "{name}");
    }
    assert_eq!(values(&head, "x-portcullis-request-id").len(), 1);
}

#[tokio::test]
async fn a_person_without_groups_or_email_has_none() {
    let mut bench = bench().await;
    let mut nobody = (*identity("ana", &[])).clone();
    nobody.email = None;
    bench.identity = Arc::new(nobody);
    let head = head(&bench, "/x", &[("x-portcullis-groups", b"admin"), ("x-portcullis-email", b"root@example.com")]).await;
    assert!(values(&head, "x-portcullis-groups").is_empty());
    assert!(values(&head, "x-portcullis-email").is_empty());
}

#[tokio::test]
async fn names_that_a_field_cannot_hold_are_encoded_so_that_each_reads_one_way() {
    let mut bench = bench().await;
    bench.identity = identity("a\r\nx: y", &["a,b", " c ", "d e", "gr\u{f6}\u{df}e", "50%", ""]);
    let head = head(&bench, "/x", &[]).await;
    assert_eq!(values(&head, "x-portcullis-subject"), ["https://idp.test#a%0D%0Ax: y"]);
    assert_eq!(values(&head, "x-portcullis-groups"), ["a%2Cb,%20c%20,d e,gr%C3%B6%C3%9Fe,50%25,"]);
    assert!(values(&head, "x").is_empty());
}

#[tokio::test]
async fn a_statement_that_is_too_long_is_left_out() {
    let mut bench = bench().await;
    bench.identity = identity("ana", &vec!["a-group-with-a-long-name"; 2_000]);
    let head = head(&bench, "/x", &[("x-portcullis-groups", b"admin")]).await;
    assert!(values(&head, "x-portcullis-groups").is_empty());
    assert!(values(&head, "x-portcullis-assertion").is_empty());
    assert_eq!(values(&head, "x-portcullis-subject").len(), 1);
}

#[tokio::test]
async fn the_gateways_cookie_and_hop_by_hop_fields_end_here() {
    let fields: Vec<(&str, &[u8])> = vec![
        ("cookie", b"a=1; __Host-portcullis=secret; b=2"),
        ("cookie", b"__Host-portcullis=secret"),
        ("connection", b"close, upgrade, te"),
        ("te", b"trailers"),
        ("upgrade", b"h2c"),
        ("http2-settings", b"AAMAAABkAARAAAAAAAIAAAAA"),
        ("proxy-authorization", b"Basic x"),
        ("accept", b"text/html"),
    ];
    let head = head(&bench().await, "/x", &fields).await;
    assert_eq!(values(&head, "cookie"), ["a=1; b=2"]);
    assert_eq!(values(&head, "accept"), ["text/html"]);
    for name in ["connection", "te", "upgrade", "http2-settings", "proxy-authorization", "transfer-encoding", "content-length"] {
        assert!(values(&head, name).is_empty(), "{name}");
    }
}

#[tokio::test]
async fn an_answer_states_nothing_in_the_gateways_name() {
    let (address, _) = answering(
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: __Host-portcullis=x; Path=/\r\nSet-Cookie: a=1\r\nX-Portcullis-Subject: root\r\n\
          X_Portcullis_Any: 1\r\nKeep-Alive: timeout=5\r\nConnection: keep-alive\r\n\r\n",
    )
    .await;
    let response = Bench::new(&[address]).forward(get("/x")).await.unwrap();
    let names: Vec<_> = response.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    assert_eq!(names, [("content-length", "0"), ("set-cookie", "a=1"), ("via", "1.1 portcullis-30ab2065")]);
}

#[tokio::test]
async fn what_an_answer_says_is_for_this_hop_alone_ends_here() {
    let (address, _) = answering(
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Hop: 1\r\nX-Hop: 2\r\nx-secret: 3\r\nX-End: 4\r\nConnection: keep-alive, x-hop\r\n\
          connection: ,X-SECRET ,,a b, \xff\r\n\r\n",
    )
    .await;
    let response = Bench::new(&[address]).forward(get("/x")).await.unwrap();
    let names: Vec<_> = response.headers().keys().map(http::HeaderName::as_str).collect();
    assert_eq!(names, ["content-length", "x-end", "via"]);
}

#[tokio::test]
async fn the_crumbs_of_a_cookie_become_one_field_again() {
    let fields: [(&str, &[u8]); 4] =
        [("cookie", b"a=1"), ("cookie", b"__Host-portcullis=secret"), ("cookie", b"b=2; c=3"), ("cookie", b"d=4")];
    let head = head(&bench().await, "/x", &fields).await;
    assert_eq!(values(&head, "cookie"), ["a=1; b=2; c=3; d=4"]);
}

#[test]
fn a_gateway_knows_itself_in_via_and_nobody_else() {
    let via = Via::new("https://gate.test");
    let comes_round = |values: &[&str]| {
        let mut fields = http::HeaderMap::new();
        for value in values {
            fields.append("via", value.parse().unwrap());
        }
        via.is_in(&fields)
    };
    for values in [
        &["1.1 portcullis-30ab2065"][..],
        &["1.0 proxy", "2 portcullis-30ab2065"],
        &["1.0 proxy, 1.1 PORTCULLIS-30ab2065 (a comment), 1.1 other"],
        &["HTTP/1.1   portcullis-30ab2065"],
    ] {
        assert!(comes_round(values), "{values:?}");
    }
    for values in
        [&[][..], &["1.1 portcullis"], &["1.1 portcullis-00000000"], &["1.1 other (portcullis-30ab2065)"], &["portcullis-30ab2065"]]
    {
        assert!(!comes_round(values), "{values:?}");
    }
}

#[tokio::test]
async fn an_options_passes_as_many_gateways_as_it_says() {
    let bench = bench().await;
    let options = async |value: Option<&str>| {
        let mut asked = request(Method::OPTIONS, "/x", body::empty());
        value.map(|value| asked.headers_mut().insert("max-forwards", value.parse().unwrap()));
        let response = bench.forward(asked).await.unwrap();
        let (status, body) = (response.status(), response.into_body().collect().await.unwrap().to_bytes());
        (status.as_u16(), String::from_utf8_lossy(&body).into_owned())
    };
    assert_eq!(options(Some("0")).await, (204, String::new()));
    assert!(options(Some("10")).await.1.contains("max-forwards: 9\r\n"));
    assert!(!options(None).await.1.contains("max-forwards"));
    assert!(options(Some("all")).await.1.contains("max-forwards: all\r\n"));
    let head = head(&bench, "/x", &[("max-forwards", b"0")]).await;
    assert_eq!(values(&head, "max-forwards"), ["0"], "it is not for a GET");
}
