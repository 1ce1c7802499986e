//! Path confusion (PN), and names that do not belong to the connection (SNI-01, SNI-02, SNI-05).

use http::{Request, StatusCode};

use super::start;
use crate::support::{APP, PUB, Wire, World};

/// Sends one attack as somebody who may read all but `/app/admin` and `/app/@secret`; it must be refused, recorded once, and do no harm
/// to what follows on the connection.
async fn refused(world: &World, cookie: &str, target: &str, statuses: &[u16]) {
    let before = world.decisions().len();
    let mut client = world.wire(APP).await;
    let cookie = format!("Cookie: __Host-portcullis={cookie}\r\n");
    let reply = client.ask("GET", target, APP, &cookie).await.unwrap_or_else(|| panic!("{target:?} has no answer"));
    assert!(statuses.contains(&reply.status), "{target:?} is answered with {}", reply.status);
    assert_eq!(world.upstream.received(), Vec::<String>::new(), "{target:?} reached the upstream");
    let decisions = world.decisions();
    assert_eq!(decisions.len(), before + 1, "{target:?} has one record");
    assert_ne!(decisions[before]["decision"], "allow", "{target:?}");
    next_is_right(world, &mut client, APP).await;
}

/// The next request on a connection is answered rightly, or the connection is closed.
async fn next_is_right(world: &World, client: &mut Wire, host: &str) {
    if let Some(reply) = client.ask("GET", "/public/canary", host, "").await {
        assert_eq!((reply.status, reply.text().as_str()), (200, "upstream"));
        let received = world.upstream.received();
        assert_eq!(received.len(), 1);
        assert!(received[0].starts_with("GET /public/canary HTTP/1.1\r\n"));
    }
}

#[tokio::test]
async fn a_path_with_two_readings_is_refused_on_the_wire() {
    let world = start().await;
    let cookie = world.seat(APP, &["staff"]).await;
    for target in [
        "/public/../app/admin",
        "/public/%2e%2e/app/admin",
        "/public/%2E./app/admin",
        "/public/.%2e/app/admin",
        "/public/%252e%252e/app/admin",
        "/public/%25252e/app/admin",
        "/public%2f..%2fapp%2fadmin",
        "/app%2Fadmin",
        "/public/..%2fapp/admin",
        "/public/..%5capp%5cadmin",
        "/public\\..\\app\\admin",
        "/public/..;/app/admin",
        "/public;x=1/../app/admin",
        "/app;jsessionid=1/admin",
        "/app/x%3bjsessionid=1",
        "//app/admin",
        "/public//../app/admin",
        "/./app/admin",
        "/app/./admin",
        "/public/%00/../app",
        "/public%0d%0aX:y",
        "/public/%c0%ae%c0%ae/app/admin",
        "/public/%ef%bc%8e%ef%bc%8e/app/admin",
        "/app%ef%bc%8fadmin",
        "/public/%u002e%u002e/app/admin",
        "/public/%",
        "/app/admin#/public/ok",
        "/public#/../app/admin",
    ] {
        refused(&world, &cookie, target, &[400]).await;
    }
}

#[tokio::test]
async fn every_spelling_of_what_is_carved_out_is_carved_out() {
    let world = start().await;
    let cookie = world.seat(APP, &["staff"]).await;
    for target in [
        "/app/admin",
        "/app/admin/x",
        "/app/%61dmin/x",
        "/%61pp/%61%64%6d%69%6e",
        "/app/@secret/x",
        "/app/%40secret/x",
        "/app/%40%73ecret",
        "/APP/x",
        "/App/Admin",
        "/other?x=/public/ok",
        "/app/admin?x=/public/ok",
        "/publicadmin",
        "/public.bak",
    ] {
        refused(&world, &cookie, target, &[403]).await;
    }
}

#[tokio::test]
async fn only_one_form_of_target_is_served() {
    let world = start().await;
    let cookie = world.seat(APP, &["staff"]).await;
    for target in [
        "http:http://app.test/app/admin",
        "http:app/admin",
        "app/admin",
        "*",
        "app.test:443",
        "javascript:x",
        "ftp://x/",
        "?x",
        "http://user:pw@app.test/public/x",
        "https://app.test@evil/public/x",
        "//app.test/app/admin",
        "http://app.test/app/admin",
    ] {
        refused(&world, &cookie, target, &[400]).await;
    }
}

#[tokio::test]
async fn bytes_that_are_no_target_are_refused() {
    let world = start().await;
    for target in [&b"/public/\x00x"[..], b"/public/\tx", b"/public/\xff", b"/public/\x80\xaf", b"/public/ x", b"/public/\x7f"] {
        let mut client = world.wire(APP).await;
        let mut bytes = b"GET ".to_vec();
        bytes.extend_from_slice(target);
        bytes.extend_from_slice(b" HTTP/1.1\r\nHost: app.test\r\n\r\n");
        client.send(bytes).await;
        assert_eq!(client.answer(false).await.unwrap().status, 400, "{target:?}");
        assert!(client.answer(false).await.is_none(), "{target:?}: the connection is closed");
    }
    assert_eq!(world.upstream.received(), Vec::<String>::new());
    assert_eq!(world.decisions().len(), 6);
}

#[tokio::test]
async fn a_method_is_what_it_is() {
    let world = start().await;
    for method in ["get", "GETT", "TRACE", "DELETE", "PROPFIND"] {
        let reply = world.wire(APP).await.ask(method, "/public/x", APP, "").await.unwrap();
        assert!(matches!(reply.status, 400 | 401 | 403 | 405), "{method}: {}", reply.status);
    }
    assert_eq!(world.upstream.received(), Vec::<String>::new());
    for override_field in ["X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"] {
        let more = format!("{override_field}: DELETE\r\n");
        assert_eq!(world.wire(APP).await.ask("GET", "/public/x", APP, &more).await.unwrap().status, 200);
        assert!(!world.upstream.received()[0].contains("DELETE"), "{override_field}");
    }
}

#[tokio::test]
async fn a_host_in_another_spelling_is_the_same_host_or_none() {
    let world = start().await;
    for host in ["APP.TEST", "app.test.", "app.test:443", "APP.test.:443"] {
        assert_eq!(world.wire(APP).await.ask("GET", "/public/x", host, "").await.unwrap().status, 200, "{host}");
    }
    let received = world.upstream.received();
    assert!(received.iter().all(|head| head.to_ascii_lowercase().contains("\r\nhost: app.test\r\n")), "{received:?}");
    for host in ["app.test,pub.test", "app.test/", "app.test#", "u@app.test", "", "xn--app-.test", "\u{ff41}pp.test", "app.test:0", "[::1"]
    {
        assert_eq!(world.wire(APP).await.ask("GET", "/public/x", host, "").await.unwrap().status, 400, "{host}");
    }
    assert_eq!(world.wire(APP).await.ask("GET", "/public/x", APP, "Host: app.test\r\n").await.unwrap().status, 400);
    assert_eq!(world.upstream.received(), Vec::<String>::new());
}

#[tokio::test]
async fn a_request_for_another_host_than_the_handshake_named_is_misdirected() {
    let world = start().await;
    for (name, host) in [(APP, PUB), (PUB, APP), (PUB, "APP.test.:443")] {
        let mut client = world.wire(name).await;
        assert_eq!(client.ask("GET", "/public/x", host, "").await.unwrap().status, 421, "{host} over {name}");
        next_is_right(&world, &mut client, name).await;
    }
    let reasons: Vec<_> = world.decisions().iter().filter(|own| own["decision"] != "allow").map(|own| own["reason"].clone()).collect();
    assert_eq!(reasons, ["misdirected", "misdirected", "misdirected"]);
}

#[tokio::test]
async fn over_http_2_the_same_paths_and_hosts_are_refused() {
    let world = start().await;
    let mut sender = world.h2(APP).await;
    let mut ask = async |authority: &str, path: &str| {
        let request = Request::get(format!("https://{authority}{path}")).body(http_body_util::Full::default()).unwrap();
        sender.send_request(request).await.unwrap().status()
    };
    for path in ["/public/../app/admin", "/public/%2e%2e/app", "//app/admin", "/app%2fadmin", "/a;b", "/%252e", "/public/%00"] {
        assert_eq!(ask("app.test", path).await, StatusCode::BAD_REQUEST, "{path}");
    }
    assert_eq!(ask("pub.test", "/public/x").await, StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(ask("app.test", "/app/x").await, StatusCode::UNAUTHORIZED);
    assert_eq!(world.upstream.received(), Vec::<String>::new());
    assert_eq!(world.decisions().len(), 9);
    assert_eq!(ask("app.test", "/public/x").await, StatusCode::OK);
    assert_eq!(world.upstream.received().len(), 1);
}

#[tokio::test]
async fn what_is_recorded_is_what_was_sent_and_what_was_understood() {
    let world = start().await;
    let mut client = world.wire(APP).await;
    client.ask("GET", "/public/%61%2d?token=secret", APP, "").await.unwrap();
    client.ask("GET", "/public/%2e%2e/app?token=secret", APP, "").await.unwrap();
    let decisions = world.decisions();
    assert_eq!((decisions[0]["raw_target"].as_str(), decisions[0]["target"].as_str()), (Some("/public/%61%2d"), Some("/public/a-")));
    assert_eq!((decisions[1]["raw_target"].as_str(), decisions[1]["target"].as_str()), (Some("/public/%2e%2e/app"), None));
    assert!(world.upstream.received()[0].starts_with("GET /public/a-?token=secret HTTP/1.1\r\n"));
}
