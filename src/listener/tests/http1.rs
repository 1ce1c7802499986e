//! HTTP/1.1 as it comes over the wire.

use kernel::request::framing::FramingFault;

use super::*;

const CANARY: &str = "GET /canary HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n";

/// The bytes are refused with `status` for `fault`, the connection ends, and the canary behind them is never read.
async fn refused(bytes: impl AsRef<[u8]>, status: &str, fault: FramingFault) -> Met {
    let mut stand = start();
    let answer = stand.exchange([bytes.as_ref(), CANARY.as_bytes()].concat()).await;
    assert_eq!(statuses(&answer), [status], "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
    let met = stand.next().await;
    assert_eq!(met.facts.fault, Some(fault));
    stand.assert_nothing_more().await;
    met
}

#[tokio::test]
async fn faults_are_answered_by_the_handler_and_end_the_connection() {
    let host = "Host: app.test\r\n";
    for (bytes, status, fault) in [
        (
            format!("POST /x HTTP/1.1\r\n{host}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG"),
            "400",
            FramingFault::TwoLengths,
        ),
        (format!("POST /x HTTP/1.1\r\n{host}Content-Length: +5\r\n\r\nhello"), "400", FramingFault::ContentLength),
        (format!("GET / HTTP/1.1\n{host}\r\n"), "400", FramingFault::BareLineFeed),
        (format!("GET / HTTP/1.1\r\n{host}X: a\r\n b\r\n\r\n"), "400", FramingFault::Folded),
        (format!("GET / HTTP/1.1\r\n{host}: x\r\n\r\n"), "400", FramingFault::EmptyName),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "400", FramingFault::HostCount),
        (format!("GET / HTTP/2.0\r\n{host}\r\n"), "505", FramingFault::Version),
        (format!("GET / HTTP/1.1\r\n{host}X: {}\r\n\r\n", "a".repeat(40_000)), "431", FramingFault::HeadTooLarge),
        (format!("GET / HTTP/1.1\r\n{host}{}\r\n", "X: a\r\n".repeat(100)), "431", FramingFault::TooManyFields),
        (format!("GET /{} HTTP/1.1\r\n{host}\r\n", "a".repeat(20_000)), "414", FramingFault::TargetTooLong),
    ] {
        refused(bytes, status, fault).await;
    }
}

#[tokio::test]
async fn a_fragment_is_refused_and_the_raw_target_recorded() {
    let met = refused("GET /app/admin#/public HTTP/1.1\r\nHost: app.test\r\n\r\n", "400", FramingFault::Fragment).await;
    assert_eq!(met.facts.raw_target.as_deref(), Some("/app/admin#/public"));
}

#[tokio::test]
async fn bytes_that_are_not_ascii_are_recorded_escaped() {
    let met = refused(b"GET /\xff\x1b[2J HTTP/1.1\r\nHost: app.test\r\n\r\n", "400", FramingFault::TargetCharacter).await;
    assert_eq!(met.facts.raw_target.as_deref(), Some("/\\xff\\x1b[2J"));
}

#[tokio::test]
async fn a_record_keeps_no_more_than_8_kib_of_a_target() {
    let met = refused(format!("GET /{} HTTP/1.1\r\nHost: app.test\r\n\r\n", "a".repeat(20_000)), "414", FramingFault::TargetTooLong).await;
    assert_eq!(met.facts.raw_target.unwrap().len(), 8 * 1024);
}

#[tokio::test]
async fn the_target_is_told_as_it_stood_on_the_wire() {
    let mut stand = start();
    stand
        .exchange(
            "GET https://app.test/%61?b#".trim_end_matches('#').to_owned() + " HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n",
        )
        .await;
    let met = stand.next().await;
    assert_eq!(met.facts.raw_target.as_deref(), Some("https://app.test/%61?b"));
    let connection = &met.facts.connection;
    assert_eq!((connection.protocol, connection.tls.version, &*connection.listener), (Protocol::Http1, "TLSv1.3", "test"));
    assert_eq!((connection.tls.server_name.as_str(), connection.local_port), ("app.test", stand.address.port()));
    assert!(connection.tls.cipher.starts_with("TLS13_"), "{}", connection.tls.cipher);
    assert!(connection.peer.ip().is_loopback());
    assert_eq!(met.facts.connection_view().server_name.unwrap().as_str(), "app.test");
}

#[tokio::test]
async fn pipelined_requests_meet_their_own_facts_in_order() {
    let mut stand = start();
    let mut bytes = String::new();
    for number in 0..20 {
        bytes += &format!("POST /%61/{number} HTTP/1.1\r\nHost: app.test\r\nContent-Length: {}\r\n\r\n{}", number, "x".repeat(number));
    }
    let answer = stand.exchange(bytes + CANARY).await;
    assert_eq!(statuses(&answer), ["200"; 21]);
    for number in 0..20 {
        let met = stand.next().await;
        assert_eq!(met.facts.raw_target.as_deref(), Some(&*format!("/%61/{number}")));
        assert_eq!((met.target, met.body), (format!("/%61/{number}"), Ok(number)));
    }
}

#[tokio::test]
async fn requests_before_a_fault_are_answered() {
    let mut stand = start();
    let answer = stand.exchange("GET /a HTTP/1.1\r\nHost: app.test\r\n\r\nGET /b\r\n\r\n".to_owned() + CANARY).await;
    assert_eq!(statuses(&answer), ["200", "400"]);
    assert_eq!(stand.next().await.facts.fault, None);
    assert_eq!(stand.next().await.facts.fault, Some(FramingFault::RequestLine));
    stand.assert_nothing_more().await;
}

#[tokio::test]
async fn a_body_with_broken_framing_breaks_off_and_ends_the_connection() {
    for (body, fault) in [
        ("5\nhello\r\n0\r\n\r\n", FramingFault::BareLineFeed),
        ("5\r\nhelloXX0\r\n\r\n", FramingFault::ChunkEnd),
        ("FFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n", FramingFault::ChunkSize),
        ("5;a=\"x\r\nX\r\n0\r\n\r\n", FramingFault::ChunkExtension),
    ] {
        let mut stand = start();
        let answer =
            stand.exchange(format!("POST /x HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n{body}{CANARY}")).await;
        let met = stand.next().await;
        assert!(met.body.is_err(), "{met:?}");
        assert_eq!((met.facts.fault, met.facts.body_fault.found()), (None, Some(fault)));
        assert_eq!(statuses(&answer), ["400"], "{answer}");
        stand.assert_nothing_more().await;
    }
}

#[tokio::test]
async fn a_chunked_body_arrives_without_its_framing() {
    let mut stand = start();
    let head = "POST /x HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = stand.exchange(format!("{head}5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nX-T: 1\r\n\r\n{CANARY}")).await;
    assert_eq!(statuses(&answer), ["200", "200"]);
    assert_eq!(stand.next().await.body, Ok(11));
}

const UPGRADE: &str = "HTTP/1.1\r\nHost: app.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

#[tokio::test]
async fn what_follows_a_declined_upgrade_is_the_next_request() {
    let mut stand = start();
    let mut client = stand.connect().await;
    client.write_all(format!("GET /held {UPGRADE}{CANARY}").as_bytes()).await.unwrap();
    assert_eq!(stand.next().await.target, "/held");
    stand.release.notify_one();
    assert_eq!(stand.next().await.target, "/canary");
    assert_eq!(statuses(&read_to_end(&mut client).await), ["200", "200"]);
}

#[tokio::test]
async fn what_follows_an_accepted_upgrade_is_not_read_as_http() {
    let mut stand = start();
    let mut client = stand.connect().await;
    client.write_all(format!("GET /upgrade {UPGRADE}{CANARY}\x01early").as_bytes()).await.unwrap();
    assert_eq!(statuses(&read_until(&mut client, "\r\n\r\n").await), ["101"]);
    client.write_all(b"late\x02\r\n").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_to_end(&mut client).await, format!("{CANARY}\x01earlylate\x02\r\n"));
    assert_eq!(stand.next().await.target, "/upgrade");
    stand.assert_nothing_more().await;
}

#[tokio::test]
async fn an_answer_cannot_open_a_connection_that_asked_for_no_websocket() {
    for head in [
        "GET /open HTTP/1.1\r\nHost: app.test\r\n\r\n",
        "GET /open HTTP/1.1\r\nHost: app.test\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    ] {
        let stand = start();
        let answer = stand.exchange(format!("{head}{CANARY}")).await;
        assert_eq!(statuses(&answer), ["500", "200"], "{answer}");
    }
    let stand = start();
    let answer = stand.exchange(format!("CONNECT app.test:443 HTTP/1.1\r\nHost: app.test:443\r\n\r\n{CANARY}")).await;
    assert_eq!(statuses(&answer), ["500", "200"], "{answer}");
}

#[tokio::test]
async fn an_http_1_0_connection_ends_after_one_request() {
    let mut stand = start();
    let answer = stand.exchange(format!("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n{CANARY}")).await;
    assert_eq!(statuses(&answer), ["200"], "{answer}");
    assert_eq!(stand.next().await.target, "/a");
    stand.assert_nothing_more().await;
}

#[tokio::test]
async fn a_panic_is_500_for_that_request_alone() {
    let mut stand = start();
    let answer = stand.exchange("GET /panic HTTP/1.1\r\nHost: app.test\r\n\r\n".to_owned() + CANARY).await;
    assert_eq!(statuses(&answer), ["500", "200"]);
    assert_eq!(stand.next().await.target, "/panic");
    assert_eq!(stand.next().await.target, "/canary");
}

#[tokio::test]
async fn a_handler_can_close_without_an_answer() {
    let stand = start();
    assert_eq!(stand.exchange("GET /abort HTTP/1.1\r\nHost: app.test\r\n\r\n").await, "");
    stand.shutdown.cancel();
}

#[tokio::test]
async fn a_head_that_does_not_end_is_not_waited_for() {
    for bytes in ["", "GET / HTTP/1.1\r\nHost: app.test\r\n", "GET /a HTTP/1.1\r\nHost: app.test\r\n\r\nGET /b"] {
        let deadlines = Deadlines { head: Duration::from_millis(50), ..Deadlines::default() };
        let stand = start_with(Settings { deadlines, ..settings() }, Profile::Modern);
        let answer = stand.exchange(bytes).await;
        assert_eq!(statuses(&answer).len(), bytes.matches("\r\n\r\n").count());
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let deadlines = Deadlines { idle: Duration::from_millis(50), ..Deadlines::default() };
    let stand = start_with(Settings { deadlines, ..settings() }, Profile::Modern);
    assert_eq!(statuses(&stand.exchange("GET /a HTTP/1.1\r\nHost: app.test\r\n\r\n").await), ["200"]);
}

#[tokio::test]
async fn a_body_that_stops_is_not_waited_for() {
    let deadlines = Deadlines { body_part: Duration::from_millis(50), ..Deadlines::default() };
    let mut stand = start_with(Settings { deadlines, ..settings() }, Profile::Modern);
    let _ = stand.exchange("POST /a HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\nabc").await;
    let met = stand.next().await;
    assert!(met.body.is_err());
    assert_eq!(met.facts.body_fault.found(), None);
}

#[tokio::test]
async fn shutting_down_answers_the_open_request_and_closes_idle_connections() {
    let mut stand = start();
    let (mut busy, mut idle) = (stand.connect().await, stand.connect().await);
    idle.write_all(b"GET /a HTTP/1.1\r\nHost: app.test\r\n\r\n").await.unwrap();
    assert_eq!(stand.next().await.target, "/a");
    assert_eq!(statuses(&read_until(&mut idle, "/a").await), ["200"]);
    busy.write_all(b"GET /held HTTP/1.1\r\nHost: app.test\r\n\r\n").await.unwrap();
    assert_eq!(stand.next().await.target, "/held");
    stand.shutdown.cancel();
    assert_eq!(read_to_end(&mut idle).await, "");
    stand.release.notify_one();
    let answer = read_to_end(&mut busy).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "{answer}");
    drop((busy, idle));
    stand.assert_nothing_more().await;
}
