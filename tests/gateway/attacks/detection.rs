//! Detection on a whole gateway: what clients do leads to a finding on record, once, and to a count. And what begins or never
//! begins is on record: WebSockets, connections.

use std::sync::Arc;

use kernel::time::Timestamp;

use super::{APP_RULES, PUB_RULES, start};
use crate::support::{APP, Manner, Setup, Wire, World, route_text};

/// A gateway with more in its configuration.
async fn start_with(more: &str) -> Arc<World> {
    let route = |name: &str, rules: &str| (name.to_owned(), route_text(name, "@UPSTREAM@", rules));
    let routes = vec![route("app", APP_RULES), route("pub", PUB_RULES)];
    World::with(Setup { more: more.to_owned(), routes, ..Setup::default() }).await
}

async fn cookie(world: &World, groups: &[&str]) -> String {
    format!("Cookie: __Host-portcullis={}\r\n", world.seat(APP, groups).await)
}

async fn status(client: &mut Wire, target: &str, cookie: &str) -> u16 {
    client.ask("GET", target, APP, cookie).await.unwrap().status
}

#[tokio::test]
async fn a_person_who_looks_around_is_a_finding_on_record() {
    let world = start().await;
    let cookie = cookie(&world, &["staff"]).await;
    let mut client = world.wire(APP).await;
    for number in 0..30 {
        assert_eq!(status(&mut client, &format!("/secret/{number}"), &cookie).await, 403);
    }
    let finding = world.until(|world| world.events("finding").into_iter().next()).await;
    assert_eq!(finding["detection"], "path_scan");
    let denied: Vec<_> = world.decisions().iter().map(|own| own["request_id"].clone()).collect();
    let named = finding["requests"].as_array().unwrap();
    assert!(named.len() == 10 && named.iter().all(|id| denied.contains(id)), "{finding}");
    assert_eq!(finding["session"], world.decisions()[0]["session"]);
    assert!(world.server().gateway().metrics.text().contains("portcullis_findings_total{rule=\"path_scan\"} 1"));
    assert_eq!(status(&mut client, "/app/x", &cookie).await, 200, "a finding refuses nothing");
    assert_eq!(world.events("finding").len(), 1, "told once");
}

/// What the store remembers, a restart does not forget.
#[tokio::test]
async fn a_first_access_to_a_restricted_route_is_a_finding_once() {
    let world = start_with("[detection]\nrestricted_classes = [\"internal\"]\n").await;
    let staff = cookie(&world, &["staff"]).await;
    let mut client = world.wire(APP).await;
    for _ in 0..3 {
        assert_eq!(status(&mut client, "/app/x", &staff).await, 200);
    }
    let finding = world.until(|world| world.events("finding").into_iter().next()).await;
    assert_eq!((&finding["detection"], &finding["route"]), (&"first_restricted_access".into(), &"app".into()));
    world.restart().await;
    let mut client = world.wire(APP).await;
    assert_eq!(status(&mut client, "/app/x", &staff).await, 200);
    let other = cookie(&world, &["staff", "admin"]).await;
    assert_eq!(status(&mut client, "/app/x", &other).await, 200);
    let findings = world.until(|world| Some(world.events("finding")).filter(|found| found.len() > 1)).await;
    assert_eq!(findings.len(), 2);
    assert_ne!(findings[1]["session"], finding["session"], "the second is of somebody else");
}

#[tokio::test]
async fn a_rule_that_a_reload_switches_off_is_off() {
    let world = start().await;
    let path = world.config_dir().join("portcullis.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let cookie = cookie(&world, &["staff"]).await;
    let mut client = world.wire(APP).await;
    for (round, rules) in ["off = [\"path_scan\"]\nscan_person = 2", "scan_person = 2"].iter().enumerate() {
        std::fs::write(&path, format!("{text}\n[detection]\n{rules}\n")).unwrap();
        world.server().reload().await.unwrap();
        for number in 0..5 {
            assert_eq!(status(&mut client, &format!("/secret/{round}/{number}"), &cookie).await, 403);
        }
    }
    let finding = world.until(|world| world.events("finding").into_iter().next()).await;
    assert_eq!(finding["requests"].as_array().unwrap().len(), 2, "what came while the rule was off counts for nothing");
}

/// The handshake is put on record before the client is told, and so is the end.
#[tokio::test]
async fn a_websocket_is_on_record_from_its_opening_to_its_end() {
    let world = start().await;
    world.upstream.answer_with(Manner::WebSocket);
    let more = format!(
        "{}Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://{APP}\r\n",
        cookie(&world, &["staff"]).await
    );
    let mut client = world.wire(APP).await;
    client.write(format!("GET /app/ws HTTP/1.1\r\nHost: {APP}\r\n{more}\r\n").as_bytes()).await;
    assert_eq!(client.head().await.unwrap().status, 101);
    let opened = world.events("stream_open");
    assert_eq!(opened.len(), 1);
    drop(client);
    let closed = world.until(|world| world.events("stream_close").into_iter().next()).await;
    assert_eq!(closed["request_id"], opened[0]["request_id"]);
    assert!(world.events("exchange_end").is_empty());
}

#[tokio::test]
async fn connections_that_come_to_nothing_are_summed_up() {
    let world = start().await;
    for _ in 0..3 {
        let mut stream = tokio::net::TcpStream::connect(world.address()).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut rest = Vec::new();
        // The end may come as a reset.
        let _ended = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await;
    }
    world.server().stop().await;
    let summed: Vec<_> =
        world.records().into_iter().filter(|record| record["unmapped"]["portcullis"]["event"] == "connections_refused").collect();
    // A sum may have been due meanwhile, so there may be two.
    let own = |name: &str| summed.iter().map(|record| record["unmapped"]["portcullis"][name].clone()).collect::<Vec<_>>();
    assert!(own("fault").iter().all(|fault| fault == "handshake") && own("listener").iter().all(|listener| listener == "https"));
    assert_eq!(summed.iter().map(|record| record["count"].as_u64().unwrap()).sum::<u64>(), 3, "{summed:?}");
}

/// AU-06: the times of records may go back, their sequence never; and a record says which way the clock was set.
#[tokio::test]
async fn a_clock_that_is_set_is_on_record_and_the_sequence_goes_on() {
    let world = start().await;
    let staff = cookie(&world, &["staff"]).await;
    let mut client = world.wire(APP).await;
    assert_eq!(status(&mut client, "/app/before", &staff).await, 200);
    for (way, hours) in [("back", -2_i64), ("forward", 5)] {
        let now = world.clock.now();
        world.clock.set(Timestamp::from_micros(now.as_micros().saturating_add_signed(hours * 3_600_000_000)));
        let told = format!("set {way} by {}.000 s", hours.unsigned_abs() * 3_600);
        world.until(|world| (world.recorded(&["\"clock_jump\"", &told]) == 1).then_some(())).await;
        assert!(client.ask("GET", "/app/after", APP, &staff).await.is_some());
    }
    let records = world.records();
    let numbers: Vec<_> = records.iter().map(|record| record["metadata"]["sequence"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..records.len() as u64).collect::<Vec<_>>());
    let times: Vec<_> = records.iter().map(|record| record["time"].as_u64().unwrap()).collect();
    assert!(times.windows(2).any(|pair| pair[1] + 7_000_000 < pair[0]), "the clock was set back");
}
