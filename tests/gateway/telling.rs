//! What the gateway tells of itself: events of clocks, certificates, sessions and upstreams, short reasons of refused
//! reloads, methods of pages, and counters of connections.

use std::time::Duration;

use portcullis::portal::{GATEWAY_PAGES, ROUTE_PAGES};

use crate::support::{APP, Browser, GATE, Kind, Manner, Setup, World, navigation};

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_is_on_record_and_time_that_passes_is_not() {
    let world = World::start().await;
    world.clock.advance(Duration::from_secs(86_400));
    world.clock.set(world.clock.now().plus(Duration::from_secs(7)));
    let jump = world.until(|world| world.records().into_iter().find(|record| record.to_string().contains("clock_jump"))).await;
    assert_eq!(jump["message"], "the clock was set forward by 7.000 s", "{jump}");
    assert_eq!(jump["class_uid"], 6002);
    assert_eq!(world.events("clock_jump").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_certificate_is_on_record_once_and_the_same_one_is_not() {
    let world = World::start().await;
    world.server().reload().await.unwrap();
    assert_eq!(world.events("certificate_reload").len(), 0);
    world.renew_certificate();
    world.server().reload().await.unwrap();
    world.server().reload().await.unwrap();
    let told: Vec<_> = world.records().into_iter().filter(|record| record.to_string().contains("certificate_reload")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    let message = told[0]["message"].as_str().unwrap();
    assert!(message.contains("gate.test, app.test") && message.contains(" until "), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_another_persons_sign_in_replaced_has_its_own_end_on_record() {
    let world = World::start().await;
    let sign_in = format!("https://{GATE}/.portcullis/sign-in");
    // Two tabs of one browser stand at the provider's form. Ana signs in in one; then, in the other, somebody else does.
    let mut other = Browser::new(&world, "ben");
    let begun = other.get(&sign_in).await;
    let mut browser = other.clone();
    browser.login = "ana".to_owned();
    browser.sign_up("https://app.test/").await;
    let session = browser.fetch("https://app.test/.portcullis/session").await.json()["session"].as_str().unwrap().to_owned();
    other.set_cookie(GATE, browser.cookie(GATE).unwrap());
    let page = other.follow(&sign_in, begun, None).await;
    assert!(page.url.contains("/.portcullis/enrol"), "{page:?}");
    let ended: Vec<_> = world.records().into_iter().filter(|record| record["unmapped"]["portcullis"]["end"] == "replace").collect();
    assert_eq!(ended.len(), 1, "{ended:?}");
    assert!(ended[0].to_string().contains(&session), "{ended:?}");
    assert!(ended[0].to_string().contains("ana@example.com"));
    assert_eq!(browser.fetch("https://app.test/.portcullis/session").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_an_exchange_says_why_the_upstream_failed() {
    let world = World::start().await;
    let cookie = world.seat(APP, &["staff"]).await;
    let more = format!("Cookie: __Host-portcullis={cookie}\r\n");
    let mut told = Vec::new();
    for bytes in ["this is no HTTP\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"] {
        world.upstream.answer_with(Manner::Bytes(bytes.as_bytes().to_vec()));
        let answer = world.wire(APP).await.ask("GET", "/x", APP, &more).await.unwrap();
        assert_eq!((answer.status, answer.json()["reason"].as_str()), (502, Some("upstream_answer_invalid")), "{bytes}");
    }
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    world.write_route("app", nobody, "[[allow]]\nid = \"read\"\nwho = { groups = [\"staff\"] }\npaths = [\"/**\"]\n");
    world.server().reload().await.unwrap();
    let answer = world.wire(APP).await.ask("GET", "/x", APP, &more).await.unwrap();
    assert_eq!((answer.status, answer.json()["reason"].as_str()), (502, Some("upstream_unreachable")));
    let ends = world.until(|world| Some(world.events("exchange_end")).filter(|ends| ends.len() == 3)).await;
    for end in &ends {
        assert_eq!(end["outcome"], "upstream_failed", "{end}");
        told.push(end["reason"].as_str().unwrap().to_owned());
    }
    assert_eq!(told, ["upstream_answer_invalid", "upstream_answer_invalid", "upstream_unreachable"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_of_a_refused_reload_lists_the_first_reasons_one_a_line() {
    let world = World::start().await;
    let rule = |number: usize| format!("[[allow]]\nid = \"r{number}\"\npublic = true\npathes = [\"/{number}/**\"]\n");
    world.rewrite("app", &(0..20).map(rule).collect::<String>());
    let fault = world.server().reload().await.unwrap_err().to_string();
    assert!(fault.contains("help:") && fault.contains("pathes"), "the whole report is for the log: {fault}");
    let record = world.records().pop().unwrap();
    let told = record["status_detail"].as_str().unwrap();
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines.len(), 11, "{told}");
    assert!(lines[0].contains("app.toml:8:1: "), "{told}");
    assert!(lines[10].starts_with("and ") && lines[10].ends_with(" more"), "{told}");
    assert!(told.len() < 4_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_answers_the_methods_that_it_says_and_no_others() {
    let world = World::with(Setup { provider: Kind::Absent, ..Setup::default() }).await;
    for (host, pages) in [(GATE, &GATEWAY_PAGES[..]), (APP, &ROUTE_PAGES[..])] {
        for (page, methods) in pages {
            for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
                let origin = format!("https://{host}");
                let fields = [("Origin", origin.as_str()), ("Content-Type", "application/x-www-form-urlencoded"), ("Content-Length", "0")];
                let mut browser = Browser::new(&world, "ana");
                // A fresh session for each: one of the pages ends it.
                browser.set_cookie(host, &world.seat(host, &["staff"]).await);
                let answer = browser.send(method, &format!("https://{host}{page}"), &fields, &[], "").await;
                let listed = methods.split(", ").any(|own| own == method);
                assert_eq!(answer.status == 405, !listed, "{method} {host}{page}: {answer:?}");
                assert_eq!(answer.field("allow"), (!listed).then_some(*methods), "{method} {host}{page}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_counted_by_what_became_of_them() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let world = World::start().await;
    for _ in 0..3 {
        world.wire(APP).await.exchange(&navigation(APP, "/x")).await;
    }
    let mut stranger = tokio::net::TcpStream::connect(world.address()).await.unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let _ended = stranger.read_to_end(&mut Vec::new()).await;
    let counted = |world: &World, result: &str| {
        let text = world.server().gateway().metrics.text();
        let line = format!("portcullis_connections_total{{listener=\"https\",result=\"{result}\"}} ");
        text.lines().find_map(|found| found.strip_prefix(&line)).map(|count| count.parse::<u64>().unwrap())
    };
    assert_eq!(counted(&world, "opened"), Some(3));
    world.until(|world| counted(world, "handshake_failed").filter(|count| *count == 1)).await;
    assert_eq!(counted(&world, "address_full"), None);
}
