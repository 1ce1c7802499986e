//! Receivers that speak HTTP, in good days and bad.

use std::time::Duration;

use portcullis::audit::sinks::SinkState;
use portcullis::config::{Carrier, Compression, HttpApi, IndexerAck, RecordFormat};
use serde_json::Value;

use super::certificates::{Authority, Clients};
use super::collector::{Collector, Trouble};
use super::log::{Log, Whole, compare, endpoint, sink, tls, until};

const NAME: &str = "siem.test";

struct World {
    log: Log,
    collector: Collector,
    authority: Authority,
}

impl World {
    async fn new() -> Self {
        let authority = Authority::new();
        let collector = Collector::start(Some(authority.server(NAME, Clients::Anybody))).await;
        Self { log: Log::new(), collector, authority }
    }

    async fn ship(&self, carrier: Carrier, format: RecordFormat) {
        let mut sink = sink("one", carrier);
        sink.format = format;
        sink.timeout = Duration::from_millis(500);
        self.log.sinks.configure(&[sink]).await;
    }

    fn carrier(&self, path: &str, api: HttpApi) -> Carrier {
        Carrier::Http { api, endpoint: endpoint(&format!("{}{path}", self.collector.url), tls(&self.authority, NAME)) }
    }

    fn lines(&self) -> Carrier {
        self.carrier("/lines", HttpApi::JsonLines)
    }

    fn hec(&self) -> Carrier {
        self.carrier("", HttpApi::SplunkHec { acknowledge: IndexerAck::Wait, index: None })
    }

    fn elastic(&self) -> Carrier {
        self.carrier("", HttpApi::Elasticsearch { index: "logs-portcullis.audit-default".into() })
    }

    fn otlp(&self) -> Carrier {
        Carrier::Otlp { endpoint: endpoint(&self.collector.url, tls(&self.authority, NAME)) }
    }

    /// Ships through trouble, and then without.
    async fn survive(&self, carrier: Carrier, trouble: Trouble, told: &str) {
        self.collector.trouble(trouble);
        self.log.write(40).await;
        self.ship(carrier, RecordFormat::Ocsf).await;
        until(told, || self.log.report().last_error.is_some_and(|error| error.contains(told))).await;
        assert_eq!(self.log.report().state, SinkState::Failing);
        self.log.write(20).await;
        self.collector.trouble(Trouble::None);
        self.log.shipped().await;
    }
}

/// Every record as the log has it, but for the time that Elasticsearch wants.
fn without_time(events: &[String]) -> Vec<String> {
    let strip = |event: &String| {
        let mut event: Value = serde_json::from_str(event).unwrap();
        event.as_object_mut().unwrap().remove("@timestamp");
        event.to_string()
    };
    events.iter().map(strip).collect()
}

#[tokio::test]
async fn every_api_gets_every_record_once() {
    for number in 0..4 {
        let world = World::new().await;
        world.log.write(70).await;
        let (carrier, authorization) = match number {
            0 => (world.lines(), "Bearer t0ken"),
            1 => (world.hec(), "Splunk t0ken"),
            2 => (world.elastic(), "ApiKey t0ken"),
            _ => (world.otlp(), "Bearer t0ken"),
        };
        world.ship(carrier, RecordFormat::Ocsf).await;
        world.log.shipped().await;
        let events = world.collector.events();
        compare(&world.log, &without_time(&events), Whole::Yes);
        assert_eq!(events.iter().filter(|event| event.contains("\"sequence\"")).count(), world.log.lines().len(), "none twice");
        assert!(world.collector.requests().iter().all(|(_, shown)| shown == authorization));
    }
}

/// What is asked for, and acknowledgements, are small and go as they are.
#[tokio::test]
async fn batches_are_packed_where_that_is_configured_and_arrive_whole() {
    for number in 0..4 {
        let world = World::new().await;
        world.log.write(70).await;
        let mut carrier = match number {
            0 => world.lines(),
            1 => world.hec(),
            2 => world.elastic(),
            _ => world.otlp(),
        };
        let (Carrier::Http { endpoint, .. } | Carrier::Otlp { endpoint }) = &mut carrier else { panic!("{carrier:?}") };
        endpoint.compression = Compression::Gzip;
        world.ship(carrier, RecordFormat::Ocsf).await;
        world.log.shipped().await;
        let events = world.collector.events();
        compare(&world.log, &without_time(&events), Whole::Yes);
        for ((path, _), encoding) in world.collector.requests().iter().zip(world.collector.encodings()) {
            assert_eq!(encoding, if path.ends_with("/ack") { "" } else { "gzip" }, "{path}");
        }
        let plain: usize = events.iter().map(String::len).sum();
        let sent = usize::try_from(world.log.report().bytes).unwrap();
        assert!(sent * 2 < plain, "{sent} bytes went out, of {plain}");
    }
}

#[tokio::test]
async fn a_receiver_that_fails_gets_everything_later() {
    for trouble in [Trouble::Broken, Trouble::Redirect, Trouble::Silent, Trouble::Endless] {
        for number in 0..4 {
            let world = World::new().await;
            let carrier = match number {
                0 => world.lines(),
                1 => world.hec(),
                2 => world.elastic(),
                _ => world.otlp(),
            };
            let told = match trouble {
                Trouble::Broken => "500 Internal Server Error out of \\u{1b}",
                Trouble::Redirect => "307",
                Trouble::Silent => "did not answer",
                _ => "longer than",
            };
            // Lines take any success for one, and there an endless answer is refused as every other.
            world.survive(carrier, trouble, told).await;
            compare(&world.log, &without_time(&world.collector.events()), Whole::Yes);
            assert!(world.collector.requests().iter().all(|(path, _)| path != "/elsewhere"), "a redirect is not followed");
        }
    }
}

#[tokio::test]
async fn of_a_batch_only_what_was_refused_is_sent_again() {
    let world = World::new().await;
    world.survive(world.elastic(), Trouble::Partial, "es_rejected_execution_exception").await;
    let (events, documents) = (world.collector.events(), world.collector.documents());
    assert_eq!(events.len(), documents.len(), "no document was taken twice");
    let records = documents.values().filter(|document| document["metadata"]["sequence"].is_u64()).count();
    assert_eq!(records, world.log.lines().len());
    let error = world.log.report().last_error.unwrap();
    assert!(error.contains("record 1 (429)"), "{error}");
}

#[tokio::test]
async fn a_partial_success_is_no_success() {
    let world = World::new().await;
    world.survive(world.otlp(), Trouble::Partial, "1 of 20 records").await;
    compare(&world.log, &world.collector.events(), Whole::Yes);
}

#[tokio::test]
async fn what_no_indexer_acknowledged_is_not_shipped() {
    let world = World::new().await;
    world.collector.trouble(Trouble::Unacknowledged);
    world.log.write(40).await;
    world.ship(world.hec(), RecordFormat::Ocsf).await;
    world.log.signed().await;
    until("all was sent", || world.collector.events().len() > 40).await;
    until("it was asked for", || world.collector.requests().iter().filter(|(path, _)| path.ends_with("ack")).count() > 2).await;
    assert_eq!(world.log.report().next, 0);
    // A start anew sends all of it again: the position never moved.
    world.log.sinks.stop(Duration::from_millis(100)).await;
    world.collector.trouble(Trouble::None);
    world.ship(world.hec(), RecordFormat::Ocsf).await;
    world.log.shipped().await;
    let events = world.collector.events();
    compare(&world.log, &events, Whole::Yes);
    assert!(events.len() >= 80);
}

#[tokio::test]
async fn a_token_without_acknowledgement_is_named() {
    let world = World::new().await;
    world.survive(world.hec(), Trouble::NoAcks, "indexer_ack = false").await;
}

#[tokio::test]
async fn nothing_is_sent_to_a_receiver_that_is_not_the_one_meant() {
    let (world, other) = (World::new().await, Authority::new());
    world.log.write(10).await;
    for tls in [tls(&other, NAME), tls(&world.authority, "other.test")] {
        let endpoint = endpoint(&format!("{}/lines", world.collector.url), tls);
        let mut wrong = sink("one", Carrier::Http { api: HttpApi::JsonLines, endpoint });
        wrong.fingerprint = [u8::from(world.log.sinks.reports().is_empty()); 32];
        world.log.sinks.configure(&[wrong]).await;
        until("it is refused", || world.log.report().last_error.is_some_and(|error| error.contains("certificate"))).await;
        assert!(world.collector.requests().is_empty());
        assert_eq!(world.log.report().next, 0);
    }
}

#[tokio::test]
async fn ecs_arrives_as_ecs() {
    let world = World::new().await;
    world.log.write(50).await;
    world.ship(world.elastic(), RecordFormat::Ecs).await;
    world.log.shipped().await;
    for line in world.log.lines() {
        let record: Value = serde_json::from_str(&line).unwrap();
        let document = world.collector.documents()[record["metadata"]["uid"].as_str().unwrap()].clone();
        assert_eq!(document["event"]["sequence"], record["metadata"]["sequence"]);
        assert_eq!(document["event"]["action"], record["unmapped"]["portcullis"]["event"]);
        assert_eq!(document["user_agent"]["original"], record["http_request"]["user_agent"]);
        assert_eq!(document["portcullis"], record["unmapped"]["portcullis"]);
        assert_eq!(document["ecs"]["version"], "8.17.0");
    }
}

#[tokio::test]
async fn plain_http_is_for_loopback() {
    let (log, authority) = (Log::new(), Authority::new());
    let collector = Collector::start(None).await;
    log.write(10).await;
    let endpoint = endpoint(&format!("{}/lines", collector.url), tls(&authority, "127.0.0.1"));
    log.sinks.configure(&[sink("one", Carrier::Http { api: HttpApi::JsonLines, endpoint })]).await;
    log.shipped().await;
    compare(&log, &collector.events(), Whole::Yes);
}
