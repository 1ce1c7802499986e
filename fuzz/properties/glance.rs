//! What is seen of a record at a glance is what a reader of JSON finds in it, whatever a client wrote into it; and a record is one
//! line that gives its texts back. Input: texts, with the byte 0xff between them; the first says what else the record has.

use std::borrow::Cow;
use std::time::Duration;

use kernel::event::{Actor, Body, Client, DecisionFacts, Event, ExchangeFacts, ExchangeKind, ExchangeOutcome, Verdict};
use kernel::identity::{Email, Subject};
use kernel::policy::Reason;
use kernel::request::RequestId;
use kernel::route::RouteId;
use kernel::session::SessionId;
use kernel::time::Timestamp;
use portcullis::audit::layout;
use portcullis::audit::record::encode;
use portcullis::audit::search::glance;
use portcullis::audit::search::view::{Field, View};

pub fn check(data: &[u8]) {
    // Of any bytes, to see that it does not fail; what they say is believed of our own lines alone.
    let _unknown = glance::glance(data);
    let texts: Vec<Cow<'_, str>> = data.split(|byte| *byte == 0xff).map(String::from_utf8_lossy).collect();
    let facts = Texts(&texts);
    let time = Timestamp::from_micros(facts.number(0) << 20);
    check_record(&Event { time, body: decision(&facts) }, &facts);
    check_record(&Event { time, body: exchange(&facts) }, &facts);
}

fn check_record(event: &Event, facts: &Texts<'_>) {
    let mut line = encode(event, &facts.text(1)).expect("an event can be written").0;
    line.extend_from_slice(b"77}}");
    let shown = String::from_utf8_lossy(&line);
    assert!(!shown.chars().any(char::is_control), "{shown}");
    assert_eq!(layout::sequence_of(&line), Some(77), "{shown}");

    let read = View::read(&line);
    let seen = glance::glance(&line);
    if facts.are_plain() || seen.is_some() {
        assert_eq!(seen, read, "{shown}");
    }
    let json: serde_json::Value = serde_json::from_slice(&line).expect("a record is JSON");
    let view = read.expect("a record can be asked for");
    assert_eq!((Some(view.time), view.class_uid), (json["time"].as_u64(), 4_002));
    assert_eq!(view.one(Field::Route), json["unmapped"]["portcullis"]["route"].as_str());
    if let (Body::Decision(decision), false) = (&event.body, facts.are_long()) {
        assert_eq!(view.one(Field::Route), decision.route.as_ref().map(RouteId::as_str));
        assert_eq!(json["http_request"]["user_agent"].as_str(), decision.user_agent.as_deref());
        let person = decision.actor.as_ref().map(|actor| format!("{}#{}", actor.subject.issuer, actor.subject.sub));
        assert_eq!(view.one(Field::Person), person.as_deref());
    }
}

struct Texts<'a>(&'a [Cow<'a, str>]);

impl Texts<'_> {
    fn text(&self, at: usize) -> String {
        self.0.get(at).map_or_else(|| "x".to_owned(), ToString::to_string)
    }

    /// One of the choices that the first text makes.
    fn number(&self, at: usize) -> u64 {
        self.0.first().and_then(|text| text.as_bytes().get(at)).map_or(0, |byte| u64::from(*byte))
    }

    fn has(&self, bit: u32) -> bool {
        self.number(1) >> bit & 1 == 1
    }

    fn are_plain(&self) -> bool {
        self.0.iter().all(|text| text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'))
    }

    /// Texts that are cut are not given back.
    fn are_long(&self) -> bool {
        self.0.iter().map(|text| text.len()).sum::<usize>() > 1_000
    }
}

fn decision(facts: &Texts<'_>) -> Body {
    let verdicts = [Verdict::Allow, Verdict::Challenge, Verdict::Deny, Verdict::Fail];
    let actor = || Actor {
        subject: Subject { issuer: facts.text(2), sub: facts.text(3) },
        email: Email::parse(&facts.text(4)).ok(),
        groups: facts.0.iter().skip(12).map(ToString::to_string).collect(),
        session: facts.has(0).then(|| SessionId::new([3; 16])),
    };
    Body::Decision(Box::new(DecisionFacts {
        request_id: RequestId::new([7; 16]),
        verdict: verdicts[facts.number(2) as usize % 4],
        reason: reason(facts),
        status: facts.has(1).then_some(403),
        method: facts.text(5),
        version: "2",
        authority: facts.text(6),
        raw_target: facts.text(7),
        target: facts.has(2).then(|| facts.text(8)),
        parameters: if facts.has(3) { vec![(facts.text(8), facts.text(9))] } else { Vec::new() },
        listener: facts.text(9).into(),
        server_name: facts.has(4).then(|| facts.text(6)),
        client: Client { address: [192, 0, 2, 1].into(), port: 4_711 },
        peer: None,
        client_certificate: None,
        user_agent: facts.has(5).then(|| facts.text(10)),
        actor: facts.has(6).then(actor),
        factor: None,
        route: facts.has(7).then(|| RouteId::new(&facts.text(11))),
        class: facts.has(0).then(|| facts.text(8).into()),
        rule: None,
        config: facts.text(9).into(),
    }))
}

fn exchange(facts: &Texts<'_>) -> Body {
    let outcomes = [ExchangeOutcome::Complete, ExchangeOutcome::ClientLeft, ExchangeOutcome::UpstreamFailed, ExchangeOutcome::Cut];
    Body::Exchange(Box::new(ExchangeFacts {
        request_id: RequestId::new([7; 16]),
        kind: ExchangeKind::Http,
        route: RouteId::new(&facts.text(11)),
        status: facts.has(1).then_some(200),
        outcome: outcomes[facts.number(2) as usize % 4],
        reason: reason(facts),
        bytes_in: 1,
        bytes_out: 2,
        duration: Duration::from_millis(facts.number(0)),
        upstream: facts.has(2).then(|| facts.text(8)),
    }))
}

fn reason(facts: &Texts<'_>) -> Option<Reason> {
    Reason::ALL.get(facts.number(3) as usize).copied()
}
