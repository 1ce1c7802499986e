//! The events that are recorded, and what it costs to write one out.

use std::hint::black_box;
use std::time::Duration;

use kernel::event::{Actor, Body, Client, DecisionFacts, Event, ExchangeFacts, ExchangeKind, ExchangeOutcome, Verdict};
use kernel::identity::{Email, Subject};
use kernel::request::RequestId;
use kernel::route::RouteId;
use kernel::session::SessionId;
use kernel::time::Timestamp;
use portcullis::audit::record;

use super::support::{ORIGIN, cpu};

/// An allowed request as a browser makes it.
pub fn decision(number: u64) -> Event {
    let facts = DecisionFacts {
        request_id: request_id(number),
        verdict: Verdict::Allow,
        reason: None,
        status: None,
        method: "GET".to_owned(),
        version: "2",
        authority: "grafana.prod.example.com".to_owned(),
        raw_target: "/api/dashboards/uid/abcdef".to_owned(),
        target: Some("/api/dashboards/uid/abcdef".to_owned()),
        parameters: Vec::new(),
        listener: "https".into(),
        server_name: Some("grafana.prod.example.com".to_owned()),
        client: Client { address: [192, 0, 2, 1].into(), port: 4_711 },
        peer: None,
        client_certificate: None,
        user_agent: Some("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".to_owned()),
        actor: Some(Actor {
            subject: Subject { issuer: "https://idp.example.com".to_owned(), sub: "8f0d5239".to_owned() },
            email: Some(Email::parse("ana@example.com").unwrap()),
            groups: vec!["dev".to_owned(), "sre".to_owned()],
            session: Some(SessionId::new([3; 16])),
        }),
        factor: None,
        route: Some(RouteId::new("grafana")),
        class: Some("internal".into()),
        rule: None,
        config: "384a16da036b77fae2eb6c5b306a81a9".into(),
    };
    event(Body::Decision(Box::new(facts)))
}

/// The end of its exchange: the record that is nearest to 600 bytes.
pub fn exchange_end(number: u64) -> Event {
    let facts = ExchangeFacts {
        request_id: request_id(number),
        kind: ExchangeKind::Http,
        route: RouteId::new("grafana"),
        status: Some(200),
        outcome: ExchangeOutcome::Complete,
        bytes_in: 0,
        bytes_out: 3_645,
        duration: Duration::from_millis(3),
        upstream: None,
        reason: None,
    };
    event(Body::Exchange(Box::new(facts)))
}

fn event(body: Body) -> Event {
    Event { time: Timestamp::from_seconds(1_790_000_000), body }
}

fn request_id(number: u64) -> RequestId {
    let mut id = [7; 16];
    id[8..].copy_from_slice(&number.to_be_bytes());
    RequestId::new(id)
}

pub fn measure() {
    for (name, event) in [("decision", decision(1)), ("exchange_end", exchange_end(1))] {
        let before = cpu();
        let mut bytes = 0;
        for _ in 0..LOOPS {
            bytes = black_box(record::encode(black_box(&event), ORIGIN)).unwrap().0.len();
        }
        let nanos = (cpu() - before).as_nanos() / u128::from(LOOPS);
        println!("{name}: {nanos} ns of CPU, {bytes} bytes without the sequence");
    }
}

const LOOPS: u32 = 200_000;
