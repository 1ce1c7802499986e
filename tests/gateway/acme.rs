//! Certificates from an authority that validates for real, and that rejects one nonce in twenty as it comes.

use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;

use super::support::{APP, GATE, Kind, Names, PUB, Pebble, Relay, Setup, Wire, World, free_port};

/// Everything but the gateway.
struct Authority {
    names: Names,
    relay: Relay,
    pebble: Pebble,
}

impl Authority {
    async fn start() -> Self {
        let (names, relay) = (Names::start().await, Relay::start().await);
        Self::beside(names, relay, 1).await
    }

    async fn beside(names: Names, relay: Relay, http_port: u16) -> Self {
        let pebble = Pebble::start(&names, relay.port, http_port).await;
        Self { names, relay, pebble }
    }

    /// A gateway that has no certificate of its own. Its clock stands a minute ahead: what is issued meanwhile is valid.
    async fn world(&self, more: &str) -> Arc<World> {
        let (tls, ahead) = (self.pebble.acme(more), Duration::from_secs(60));
        World::with(Setup { tls, ahead, provider: Kind::Absent, ..Setup::default() }).await
    }
}

/// Waits until the authority's certificate is shown for a host.
async fn shown(world: &World, host: &str, root: &CertificateDer<'static>) -> CertificateDer<'static> {
    for _ in 0..300 {
        if let Some(leaf) = world.leaf(host, root).await {
            return leaf;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no certificate for {host}: {:?}", world.told());
}

fn state(world: &World, host: &str) -> String {
    world.told().into_iter().find(|(name, _)| *name == format!("certificate {host}")).map(|(_, state)| state).unwrap_or_default()
}

/// Waits until the state of a host holds a text.
async fn until(world: &World, host: &str, text: &str) -> String {
    for _ in 0..600 {
        let told = state(world, host);
        if told.contains(text) {
            return told;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{host} does not say {text:?}: {:?}", world.told());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_without_a_certificate_obtains_them_and_keeps_them_over_a_restart() {
    let mut authority = Authority::start().await;
    let world = authority.world("contact = [\"admin@example.com\"]\n").await;
    let root = authority.pebble.root().await;
    for host in [GATE, APP, PUB] {
        assert_eq!(world.leaf(host, &root).await, None, "nothing is shown before there is anything");
        assert_eq!(state(&world, host), "no certificate yet");
    }
    authority.relay.lead_to(world.address());
    let mut leaves = Vec::new();
    for host in [GATE, APP, PUB] {
        leaves.push(shown(&world, host, &root).await);
        assert_eq!(state(&world, host), "ok");
    }
    assert_eq!(world.leaf("unlisted.test", &root).await, None);
    let issued = world.recorded(&["certificate_issue", "app.test until "]);
    assert_eq!((issued, world.recorded(&["certificate_failure"])), (1, 0));
    let metrics = world.server().gateway().metrics.text();
    assert!(metrics.contains("portcullis_acme_orders_total{result=\"issued\"} 3"), "{metrics}");
    assert!(metrics.contains("portcullis_acme_certificate_expiry_timestamp_seconds{host=\"app.test\"} "), "{metrics}");
    // Neither key stands anywhere in the clear: a PEM key has this line, and an account's begins so in base64url.
    for entry in std::fs::read_dir(world.state_dir()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap_or_default();
        let holds = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        assert!(!holds(b"PRIVATE KEY") && !holds(b"key_pkcs8"), "a key in the clear");
    }
    authority.pebble.end();
    world.restart().await;
    for (host, leaf) in [GATE, APP, PUB].iter().zip(&leaves) {
        assert_eq!(world.leaf(host, &root).await.as_ref(), Some(leaf), "the same as before the restart");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_is_proven_by_plain_http_as_well() {
    // The port stands in what the authority asks, and must be the listener's own: nothing leads there from another.
    let port = free_port();
    let authority = Authority::beside(Names::start().await, Relay::start().await, port).await;
    let tls = authority.pebble.acme("challenge = \"http-01\"\nhosts = [\"app.test\"]\n");
    let more = format!("[redirect]\nbind = \"127.0.0.1:{port}\"\n");
    let ahead = Duration::from_secs(60);
    let world = World::with(Setup { tls, more, ahead, provider: Kind::Absent, ..Setup::default() }).await;
    let root = authority.pebble.root().await;
    shown(&world, APP, &root).await;
    // Nothing is answered there when no challenge is open.
    let asked = b"GET /.well-known/acme-challenge/token HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n";
    let answer = Wire::plain(port).await.exchange(asked).await;
    assert_eq!(answer.status / 100, 3, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_renewed_and_the_old_one_stays_while_the_authority_is_gone() {
    let mut authority = Authority::start().await;
    let world = authority.world("hosts = [\"app.test\"]\n").await;
    authority.relay.lead_to(world.address());
    let root = authority.pebble.root().await;
    let first = shown(&world, APP, &root).await;
    assert_eq!(world.leaf(GATE, &root).await, None, "a host that is not listed gets none");
    authority.pebble.end();
    // Pebble's certificates last five years.
    world.clock.advance(Duration::from_secs(4 * 365 * 86_400));
    let told = until(&world, APP, "not renewed").await;
    assert!(told.contains("valid until 20") && told.contains("next try at 20"), "{told}");
    assert_eq!(world.leaf(APP, &root).await, Some(first.clone()));
    assert!(world.recorded(&["certificate_failure", "app.test: ", "next try at "]) > 0);
    // It comes back without its memory: the account is made anew.
    authority.pebble.begin().await;
    let new_root = authority.pebble.root().await;
    world.clock.advance(Duration::from_secs(200));
    until(&world, APP, "account").await;
    world.clock.advance(Duration::from_secs(400));
    until(&world, APP, "ok").await;
    let second = shown(&world, APP, &new_root).await;
    assert_ne!(first, second);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_not_ours_gets_none_says_why_and_is_tried_again_later() {
    let authority = Authority::start().await;
    authority.names.take_away(APP);
    let world = authority.world("").await;
    authority.relay.lead_to(world.address());
    let root = authority.pebble.root().await;
    shown(&world, GATE, &root).await;
    let told = until(&world, APP, "no certificate: ").await;
    assert!(told.contains("app.test") && told.contains("next try at"), "{told}");
    assert_eq!(world.leaf(APP, &root).await, None);
    assert_eq!(world.recorded(&["certificate_failure", "app.test: "]), 1, "and not again before its time");
    world.restart().await;
    assert_eq!(state(&world, APP), told, "and not because of a restart");
    authority.relay.lead_to(world.address());
    authority.names.give_back(APP);
    world.clock.advance(Duration::from_secs(200));
    shown(&world, APP, &root).await;
    // Another listed host is obtained after a reload; without the table nothing issued is served.
    let table = world.server().reload().await;
    assert!(table.is_ok());
    world.rewrite_main(|text| text.replace("terms_accepted = true", "terms_accepted = true\nhosts = [\"gate.test\", \"pub.test\"]")).await;
    assert_eq!(world.leaf(APP, &root).await, None);
    assert!(world.leaf(GATE, &root).await.is_some());
}
