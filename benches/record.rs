//! How long a record takes to write out, on the path of every request: `cargo bench --bench record`.
//!
//! Prints the median of several rounds for an allowed request, a refusal with hostile text, and an exchange's end.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::time::{Duration, Instant};

use kernel::event::{Actor, Body, Client, DecisionFacts, Event, ExchangeFacts, ExchangeKind, ExchangeOutcome, Verdict};
use kernel::identity::assurance::{FactorKind, FactorProof};
use kernel::identity::{Email, Subject};
use kernel::policy::Reason;
use kernel::policy::rule::RuleId;
use kernel::request::RequestId;
use kernel::route::RouteId;
use kernel::session::SessionId;
use kernel::time::Timestamp;
use portcullis::audit::record::encode;

const ROUNDS: usize = 15;
const RECORDS: u32 = 20_000;

fn main() {
    let now = Timestamp::from_seconds(1_790_000_000);
    for (name, body) in [("allow", decision(false)), ("hostile", decision(true)), ("end", end())] {
        let event = Event { time: now, body };
        let mut rounds: Vec<Duration> = (0..ROUNDS).map(|_| round(&event)).collect();
        rounds.sort_unstable();
        let median = rounds.get(ROUNDS / 2).copied().unwrap_or_default();
        println!("{name}: {} ns a record, {} bytes", median.as_nanos(), encode(&event, "portcullis/gate.test").unwrap().0.len());
    }
}

fn round(event: &Event) -> Duration {
    let begun = Instant::now();
    for _ in 0..RECORDS {
        std::hint::black_box(encode(std::hint::black_box(event), "portcullis/gate.test").unwrap());
    }
    begun.elapsed() / RECORDS
}

fn decision(hostile: bool) -> Body {
    let text = |plain: &str| if hostile { "\u{1b}[2J\r\n\"}\u{202e}".repeat(8) } else { plain.to_owned() };
    Body::Decision(Box::new(DecisionFacts {
        request_id: RequestId::new([9; 16]),
        verdict: if hostile { Verdict::Deny } else { Verdict::Allow },
        reason: hostile.then_some(Reason::NoRule),
        status: hostile.then_some(403),
        method: "GET".to_owned(),
        version: "2",
        authority: "grafana.prod.example.com".to_owned(),
        raw_target: text("/d/abcdef/overview"),
        target: Some(text("/d/abcdef/overview")),
        parameters: Vec::new(),
        listener: "https".into(),
        server_name: Some("grafana.prod.example.com".to_owned()),
        client: Client { address: [192, 0, 2, 1].into(), port: 4_711 },
        peer: None,
        client_certificate: None,
        user_agent: Some(text("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")),
        actor: Some(Actor {
            subject: Subject { issuer: "https://idp.example.com".to_owned(), sub: "248289761001".to_owned() },
            email: Some(Email::parse("ana@example.com").unwrap()),
            groups: vec!["sre".to_owned(), "dev".to_owned()],
            session: Some(SessionId::new([3; 16])),
        }),
        factor: Some(FactorProof { kind: FactorKind::Totp, at: Timestamp::from_seconds(1_789_999_000) }),
        route: Some(RouteId::new("grafana")),
        class: Some("internal".into()),
        rule: Some(RuleId::new("read")),
        config: "384a16da036b77fae2eb6c5b306a81a9".into(),
    }))
}

fn end() -> Body {
    Body::Exchange(Box::new(ExchangeFacts {
        request_id: RequestId::new([9; 16]),
        kind: ExchangeKind::Http,
        route: RouteId::new("grafana"),
        status: Some(200),
        outcome: ExchangeOutcome::Complete,
        bytes_in: 0,
        bytes_out: 3_645,
        duration: Duration::from_millis(12),
        upstream: Some("http://10.0.0.5:3000".to_owned()),
        reason: None,
    }))
}
