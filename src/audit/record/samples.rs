//! One of every event there is, bare and with everything that can be said. A test compares the variants here with those in
//! the kernel's source, so that a new one cannot be forgotten.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use kernel::detection::{DetectionRule, FindingFacts};
use kernel::event::{
    AccountChange, AccountFacts, Actor, AuthenticationFacts, AuthenticationStep, AuthorizationFacts, Body, ChangedBy, Client,
    ClientCertificate, ConnectionFault, ConnectionsFacts, Consulted, DecisionFacts, EntityChange, EntityFacts, Event, ExchangeFacts,
    ExchangeKind, ExchangeOutcome, LifecycleChange, LifecycleFacts, StreamFacts, Verdict,
};
use kernel::identity::assurance::{FactorKind, FactorProof};
use kernel::identity::{Email, Subject};
use kernel::policy::Reason;
use kernel::policy::rule::RuleId;
use kernel::request::RequestId;
use kernel::route::RouteId;
use kernel::session::{EndReason, SessionId};
use kernel::time::Timestamp;

/// How much an event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    Bare,
    Full,
}

pub const DETAILS: [Detail; 2] = [Detail::Bare, Detail::Full];

pub const VERDICTS: [Verdict; 4] = [Verdict::Allow, Verdict::Challenge, Verdict::Deny, Verdict::Fail];
pub const KINDS: [ExchangeKind; 2] = [ExchangeKind::Http, ExchangeKind::WebSocket];
pub const OUTCOMES: [ExchangeOutcome; 4] =
    [ExchangeOutcome::Complete, ExchangeOutcome::ClientLeft, ExchangeOutcome::UpstreamFailed, ExchangeOutcome::Cut];
pub const FAULTS: [ConnectionFault; 6] = [
    ConnectionFault::ListenerFull,
    ConnectionFault::AddressFull,
    ConnectionFault::ProxyHeader,
    ConnectionFault::Handshake,
    ConnectionFault::ClientCertificate,
    ConnectionFault::ServerName,
];
pub const FACTORS: [FactorKind; 3] = [FactorKind::Totp, FactorKind::Webauthn, FactorKind::RecoveryCode];
pub const ENDS: [EndReason; 7] = [
    EndReason::ExpireIdle,
    EndReason::ExpireAbsolute,
    EndReason::LogOut,
    EndReason::IdpLogOut,
    EndReason::Revoke,
    EndReason::Replace,
    EndReason::Lock,
];
pub const LIFECYCLE: [LifecycleChange; 10] = [
    LifecycleChange::Start,
    LifecycleChange::Stop,
    LifecycleChange::LogRepaired,
    LifecycleChange::LogFull,
    LifecycleChange::LogRecovered,
    LifecycleChange::ClockJump,
    LifecycleChange::CertificateReload,
    LifecycleChange::CertificateIssue,
    LifecycleChange::CertificateFailure,
    LifecycleChange::IdpKeysChange,
];

pub fn steps() -> Vec<AuthenticationStep> {
    let mut steps = vec![AuthenticationStep::SignIn, AuthenticationStep::Finish, AuthenticationStep::SignOut];
    steps.push(AuthenticationStep::BackchannelLogout);
    steps.extend(FACTORS.map(AuthenticationStep::SecondFactor));
    steps.extend(ENDS.map(AuthenticationStep::Expire));
    steps
}

pub fn account_changes() -> Vec<AccountChange> {
    let mut changes = vec![AccountChange::FirstSeen, AccountChange::IssueRecoveryCodes, AccountChange::ResetFactors];
    changes.extend([AccountChange::Invite, AccountChange::Lock, AccountChange::Unlock, AccountChange::Erase]);
    changes.extend(FACTORS.map(AccountChange::EnrolFactor));
    changes
}

pub fn consulted() -> Vec<Consulted> {
    vec![Consulted::Users, Consulted::User(subject()), Consulted::Sessions]
}

pub fn entity_changes() -> Vec<EntityChange> {
    let mut changes = vec![EntityChange::Configuration { config: "c0ffee".to_owned() }, EntityChange::RefuseOrder];
    changes.extend([Vec::new(), vec![SessionId::new([4; 16])]].map(|sessions| EntityChange::RevokeSessions { sessions }));
    changes.push(EntityChange::ReadLog { command: "search".to_owned(), filters: "--reason no_rule".to_owned(), records: 3 });
    changes.push(EntityChange::DropRecords { first: 0, end: 9, segments: 1 });
    changes.push(EntityChange::SinkGap { sink: "siem".to_owned(), first: 3, last: 8 });
    changes.push(EntityChange::SinkRewind { sink: "siem".to_owned(), first: 3 });
    changes.extend(consulted().into_iter().map(|what| EntityChange::Consult { what }));
    changes
}

pub fn changers() -> Vec<ChangedBy> {
    vec![ChangedBy::Person(subject()), ChangedBy::Operator { uid: 1_000 }, ChangedBy::Gateway]
}

/// Every event.
pub fn every() -> Vec<Event> {
    let mut bodies = Vec::new();
    for detail in DETAILS {
        bodies.extend(traffic(detail));
        bodies.extend(people(detail));
        bodies.extend(gateway(detail));
    }
    bodies.into_iter().map(|body| Event { time: Timestamp::from_seconds(1_790_000_000), body }).collect()
}

fn traffic(detail: Detail) -> Vec<Body> {
    let mut bodies = Vec::new();
    let methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "PROPFIND"];
    bodies.extend(methods.map(|method| decision(detail, Verdict::Allow, method)));
    bodies.extend(VERDICTS.map(|verdict| decision(detail, verdict, "GET")));
    bodies.extend(KINDS.iter().flat_map(|kind| OUTCOMES.map(|outcome| exchange(detail, *kind, outcome))));
    let (request_id, route) = (RequestId::new([9; 16]), RouteId::new("app"));
    bodies.push(Body::StreamOpen(Box::new(StreamFacts { request_id, route, client: client(), actor: said(detail, actor(detail)) })));
    bodies.extend(FAULTS.map(|fault| {
        let (since, last) = (Timestamp::from_seconds(1_789_999_940), said(detail, client().address));
        Body::Connections(Box::new(ConnectionsFacts { listener: "https".into(), fault, count: 7, since, last }))
    }));
    bodies
}

pub fn decision(detail: Detail, verdict: Verdict, method: &str) -> Body {
    let text = |value: &str| said(detail, value.to_owned());
    // One that can be a host, and one that cannot: they stand in different places.
    let server_name = text(if verdict == Verdict::Deny { "app test" } else { "app.test" });
    Body::Decision(Box::new(DecisionFacts {
        request_id: RequestId::new([9; 16]),
        verdict,
        reason: (verdict != Verdict::Allow).then_some(Reason::NoRule),
        status: said(detail, 403),
        method: method.to_owned(),
        version: "2",
        authority: text("app.test:8443").unwrap_or_default(),
        raw_target: text("/a//b").unwrap_or_default(),
        target: text("/a/b"),
        parameters: said(detail, ("page".to_owned(), "2".to_owned())).into_iter().collect(),
        listener: "https".into(),
        server_name,
        client: client(),
        peer: said(detail, [10, 0, 0, 1].into()),
        client_certificate: said(detail, client_certificate()),
        user_agent: text("curl/8"),
        actor: said(detail, actor(detail)),
        factor: said(detail, FactorProof { kind: FactorKind::Totp, at: Timestamp::from_seconds(1_789_999_000) }),
        route: said(detail, RouteId::new("app")),
        class: said(detail, "internal".into()),
        rule: said(detail, RuleId::new("read")),
        config: "c0ffee".into(),
    }))
}

fn client_certificate() -> Arc<ClientCertificate> {
    Arc::new(ClientCertificate {
        subject: "CN=laptop-7".into(),
        issuer: "CN=Devices".into(),
        serial: "0a1b".into(),
        sha256: "c0ffee".into(),
        not_after: Timestamp::from_seconds(1_800_000_000),
    })
}

pub fn exchange(detail: Detail, kind: ExchangeKind, outcome: ExchangeOutcome) -> Body {
    Body::Exchange(Box::new(ExchangeFacts {
        request_id: RequestId::new([9; 16]),
        kind,
        route: RouteId::new("app"),
        status: said(detail, 200),
        outcome,
        bytes_in: 1,
        bytes_out: 2,
        duration: Duration::from_millis(3),
        upstream: said(detail, "http://10.0.0.5:3000".to_owned()),
        reason: (outcome == ExchangeOutcome::UpstreamFailed).then_some(Reason::UpstreamAnswerInvalid),
    }))
}

fn people(detail: Detail) -> Vec<Body> {
    let mut bodies = Vec::new();
    for failure in [None, Some(Reason::FactorCodeWrong)] {
        bodies.extend(steps().into_iter().map(|step| {
            Body::Authentication(Box::new(AuthenticationFacts {
                request_id: said(detail, RequestId::new([9; 16])),
                step,
                failure,
                detail: said(detail, "the state is unknown, used or too old".to_owned()),
                idp: said(detail, "corp".to_owned()),
                actor: said(detail, actor(detail)),
                client: said(detail, client()),
                user_agent: said(detail, "curl/8".to_owned()),
            }))
        }));
        let by = |change| changers().into_iter().map(move |by| (change, by));
        bodies.extend(account_changes().into_iter().flat_map(by).map(|(change, by)| {
            Body::Account(Box::new(AccountFacts {
                request_id: said(detail, RequestId::new([9; 16])),
                change,
                failure,
                subject: said(detail, subject()),
                email: said(detail, "ana@example.com".to_owned()),
                by,
                client: said(detail, client()),
            }))
        }));
    }
    let request_id = RequestId::new([9; 16]);
    bodies
        .extend(FACTORS.map(|factor| {
            Body::Authorization(Box::new(AuthorizationFacts { request_id, actor: actor(detail), factor, client: client() }))
        }));
    bodies
}

fn gateway(detail: Detail) -> Vec<Body> {
    let mut bodies = Vec::new();
    let by = |change: EntityChange| changers().into_iter().map(move |by| (change.clone(), by));
    bodies.extend(entity_changes().into_iter().flat_map(by).map(|(change, by)| {
        Body::Entity(Box::new(EntityFacts { change, by, failure: said(detail, "routes/app.toml:3: unknown key".to_owned()) }))
    }));
    bodies.extend(
        LIFECYCLE.map(|change| Body::Lifecycle(Box::new(LifecycleFacts { change, detail: said(detail, "version 0.1.0".to_owned()) }))),
    );
    bodies.extend(DetectionRule::ALL.map(|rule| {
        let (first, last) = (Timestamp::from_seconds(1_789_999_000), Timestamp::from_seconds(1_790_000_000));
        Body::Finding(Box::new(FindingFacts {
            rule,
            actor: said(detail, actor(detail)),
            address: said(detail, client().address),
            other_address: said(detail, [2, 2, 2, 2].into()),
            route: said(detail, RouteId::new("app")),
            first,
            last,
            events: 20,
            requests: said(detail, RequestId::new([9; 16])).into_iter().collect(),
        }))
    }));
    bodies
}

fn said<T>(detail: Detail, value: T) -> Option<T> {
    match detail {
        Detail::Bare => None,
        Detail::Full => Some(value),
    }
}

pub fn subject() -> Subject {
    Subject { issuer: "https://idp.test".to_owned(), sub: "ana".to_owned() }
}

pub fn actor(detail: Detail) -> Actor {
    Actor {
        subject: subject(),
        email: said(detail, Email::parse("ana@example.com").unwrap()),
        groups: said(detail, "dev".to_owned()).into_iter().collect(),
        session: said(detail, SessionId::new([3; 16])),
    }
}

pub fn client() -> Client {
    Client { address: "2001:db8::7".parse().unwrap(), port: 4_711 }
}
