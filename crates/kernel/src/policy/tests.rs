//! Tests of the decision against an oracle written from the documentation alone, and of what no change may do: a header,
//! an `except` or another rule never opens what was closed, another rule never closes what was open.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod properties;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use proptest::prelude::*;

use super::decide::{Challenge, Decision, Person, Presented, StepUp, decide};
use super::explain::{Verdict, explain};
use super::hours::{Days, Hours};
use super::permit::{Admitted, Grantee, Recorded};
use super::reason::Reason;
use super::rule::{Audience, AudienceOutcome, FactorOutcome, Methods, Networks, PathOutcome, Rule, RuleId, User};
use crate::identity::assurance::{Assurance, FactorKind, FactorProof, Requirement, Strength};
use crate::identity::{Email, Group, Identity, Subject};
use crate::request::client::{ClientAddress, TrustedProxies};
use crate::request::host::Authority;
use crate::request::{CanonicalRequest, Connection, RequestId};
use crate::route::matcher::PathPattern;
use crate::route::{Endpoint, Route, RouteId, RouteTable, SecondSpellings, Target, Upstream};
use crate::session::SessionId;
use crate::time::Timestamp;

/// Thursday 1970-01-29, 00:00 UTC, and some hours.
fn at(hours: u64) -> Timestamp {
    Timestamp::from_seconds((28 * 24 + hours) * 3_600)
}

const NOON: u64 = 12;

fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

fn asks(strength: Strength, age: u64) -> Requirement {
    Requirement { strength, max_age: minutes(age) }
}

fn patterns(list: &[&str]) -> Vec<PathPattern> {
    list.iter().map(|text| PathPattern::parse(text).unwrap()).collect()
}

fn groups(list: &[&str]) -> Audience {
    Audience::Listed { groups: list.iter().map(|name| Group::new(*name)).collect(), users: Vec::new() }
}

/// A rule for everybody signed in, for every path and method, with any factor of the last hour.
fn rule(id: &str) -> Rule {
    Rule {
        id: RuleId::new(id),
        audience: Audience::AnyoneSignedIn,
        methods: Methods::All,
        paths: patterns(&["/**"]),
        except: Vec::new(),
        networks: Networks::Any,
        hours: None,
        requirement: asks(Strength::Any, 60),
        rate: None,
    }
}

fn route(rules: Vec<Rule>) -> Arc<Route> {
    Arc::new(Route {
        id: RouteId::new("app"),
        from: Authority::parse("app.test").unwrap(),
        upstreams: vec![Upstream::Http(Endpoint { host: "127.0.0.1".into(), port: 80 })],
        class: "internal".into(),
        idle_timeout: None,
        rules,
        owner: None,
        data: Vec::new(),
        second_spellings: SecondSpellings::Refuse,
        recorded_parameters: Vec::new(),
    })
}

fn request_with(method: &Method, target: &str, client: &str, fields: &HeaderMap) -> CanonicalRequest {
    let mut head = Request::builder().method(method).uri(target).body(()).unwrap().into_parts().0;
    head.headers.insert("host", HeaderValue::from_static("app.test"));
    for (name, value) in fields {
        head.headers.append(name, value.clone());
    }
    let peer = ClientAddress::new(client.parse().unwrap());
    let connection = Connection { peer, port: 443, server_name: None, raw_target: None, fault: None };
    CanonicalRequest::read(&head, &connection, &TrustedProxies::default(), RequestId::new([1; 16]), at(NOON)).unwrap()
}

fn request(method: &Method, target: &str) -> CanonicalRequest {
    request_with(method, target, "10.1.2.3", &HeaderMap::new())
}

fn identity(member_of: &[&str]) -> Arc<Identity> {
    Arc::new(Identity {
        subject: Subject { issuer: "https://idp.test".into(), sub: "s-1".into() },
        email: Some(Email::parse("ana@example.com").unwrap()),
        name: None,
        groups: member_of.iter().map(|name| Group::new(*name)).collect(),
    })
}

fn shown(proofs: &[(FactorKind, Timestamp)]) -> Assurance {
    proofs.iter().fold(Assurance::default(), |assurance, (kind, at)| assurance.with(FactorProof { kind: *kind, at: *at }))
}

fn totp_now() -> Assurance {
    shown(&[(FactorKind::Totp, at(NOON))])
}

fn verdict_of(rules: Vec<Rule>, request: &CanonicalRequest, who: Option<(&Arc<Identity>, &Assurance)>) -> Verdict {
    let route = route(rules);
    let presented = match who {
        None => Presented::Nobody,
        Some((identity, assurance)) => Presented::Person(Person { session: SessionId::new([7; 16]), identity, assurance }),
    };
    let explained = explain(&route, request, &presented, at(NOON)).verdict;
    let decided = match decide(&route, request.clone(), &presented, at(NOON)) {
        Decision::Allow(permit) => Verdict::Allow(permit.rule().clone()),
        Decision::Challenge(challenge) => Verdict::Challenge(challenge),
        Decision::Deny(reason) => Verdict::Deny(reason),
    };
    assert_eq!(explained, decided, "an explanation says what is decided");
    decided
}

#[track_caller]
fn check(rules: Vec<Rule>, assurance: &Assurance, expected: &Verdict) {
    let identity = identity(&["staff"]);
    assert_eq!(verdict_of(rules, &request(&Method::GET, "/a"), Some((&identity, assurance))), *expected);
}

#[test]
fn rules_and_routes_are_written_by_their_names() {
    let (rule, route) = (RuleId::new("a-1"), RouteId::new("app"));
    assert_eq!((format!("{rule}"), format!("{rule:?}"), rule.as_str()), ("a-1".into(), "\"a-1\"".into(), "a-1"));
    assert_eq!((format!("{route}"), format!("{route:?}"), route.as_str()), ("app".into(), "\"app\"".into(), "app"));
}

fn allowed_by(id: &str) -> Verdict {
    Verdict::Allow(RuleId::new(id))
}

fn step_up(requirement: Requirement, reason: StepUp) -> Verdict {
    Verdict::Challenge(Challenge::StepUp { requirement, reason })
}

#[test]
fn without_a_rule_nothing_is_allowed() {
    check(Vec::new(), &totp_now(), &Verdict::Deny(Reason::NoRule));
    check(Vec::new(), &Assurance::default(), &Verdict::Challenge(Challenge::SecondFactor));
    assert_eq!(verdict_of(Vec::new(), &request(&Method::GET, "/a"), None), Verdict::Challenge(Challenge::SignIn));
}

#[test]
fn one_whole_match_allows_and_the_first_is_named() {
    check(
        vec![Rule { methods: Methods::Listed(vec![Method::POST]), ..rule("post") }, rule("one"), rule("two")],
        &totp_now(),
        &allowed_by("one"),
    );
}

#[test]
fn nobody_learns_of_rules_before_signing_in_whole() {
    for rules in [vec![rule("any")], vec![Rule { paths: patterns(&["/other"]), ..rule("other") }], Vec::new()] {
        assert_eq!(verdict_of(rules.clone(), &request(&Method::GET, "/a"), None), Verdict::Challenge(Challenge::SignIn));
        check(rules, &Assurance::default(), &Verdict::Challenge(Challenge::SecondFactor));
    }
}

#[test]
fn a_public_rule_lets_everybody_in_and_a_person_as_that_person() {
    let public = Rule { audience: Audience::Public, ..rule("public") };
    assert_eq!(verdict_of(vec![public.clone()], &request(&Method::GET, "/a"), None), allowed_by("public"));
    check(vec![public.clone()], &Assurance::default(), &allowed_by("public"));
    check(vec![public.clone(), rule("person")], &totp_now(), &allowed_by("person"));
    check(vec![public.clone(), Rule { id: RuleId::new("later"), ..public.clone() }], &totp_now(), &allowed_by("public"));
    check(vec![Rule { paths: patterns(&["/b"]), ..public.clone() }], &Assurance::default(), &Verdict::Challenge(Challenge::SecondFactor));
    check(vec![Rule { networks: Networks::Listed(Vec::new()), ..public }], &totp_now(), &Verdict::Deny(Reason::NetworkNotAllowed));
}

#[test]
fn the_person_is_told_what_is_nearest_to_being_allowed() {
    let elsewhere = Rule { networks: Networks::Listed(vec!["192.168.0.0/16".parse().unwrap()]), ..rule("network") };
    let at_night = Rule { hours: Some(nights()), ..rule("hours") };
    let strong = Rule { requirement: asks(Strength::PhishingResistant, 60), ..rule("strong") };
    let not_mine = Rule { audience: groups(&["admin"]), networks: Networks::Listed(Vec::new()), ..rule("group") };
    let other_path = Rule { paths: patterns(&["/b"]), ..elsewhere.clone() };
    let too_weak = step_up(asks(Strength::PhishingResistant, 60), StepUp::TooWeak);

    check(vec![not_mine, other_path], &totp_now(), &Verdict::Deny(Reason::NoRule));
    check(vec![elsewhere.clone()], &totp_now(), &Verdict::Deny(Reason::NetworkNotAllowed));
    check(vec![at_night.clone()], &totp_now(), &Verdict::Deny(Reason::OutsideHours));
    check(vec![elsewhere.clone(), at_night.clone()], &totp_now(), &Verdict::Deny(Reason::OutsideHours));
    check(vec![at_night.clone(), elsewhere.clone()], &totp_now(), &Verdict::Deny(Reason::OutsideHours));
    check(vec![strong.clone(), elsewhere.clone(), at_night.clone()], &totp_now(), &too_weak);
    check(vec![at_night, elsewhere.clone(), strong.clone()], &totp_now(), &too_weak);
    let both = Rule { networks: elsewhere.networks, ..strong };
    check(vec![both], &totp_now(), &Verdict::Deny(Reason::NetworkNotAllowed));
}

#[test]
fn of_two_factors_that_would_do_the_easier_is_asked() {
    let old = shown(&[(FactorKind::Totp, at(NOON).minus(minutes(90)))]);
    let (any, strong, hour) = (asks(Strength::Any, 30), asks(Strength::PhishingResistant, 30), asks(Strength::Any, 60));
    let needs = |requirement| Rule { requirement, ..rule("r") };
    check(vec![needs(strong), needs(any)], &old, &step_up(any, StepUp::TooOld));
    check(vec![needs(any), needs(strong)], &old, &step_up(any, StepUp::TooOld));
    check(vec![needs(any), needs(hour)], &old, &step_up(hour, StepUp::TooOld));
    check(vec![needs(hour), needs(any)], &old, &step_up(hour, StepUp::TooOld));
}

#[test]
fn a_challenge_has_the_reason_of_its_step() {
    let reason = |reason| Challenge::StepUp { requirement: asks(Strength::Any, 1), reason }.reason();
    assert_eq!(Challenge::SignIn.reason(), Reason::NoSession);
    assert_eq!(Challenge::SecondFactor.reason(), Reason::SecondFactorRequired);
    assert_eq!(reason(StepUp::TooWeak), Reason::FactorTooWeak);
    assert_eq!(reason(StepUp::TooOld), Reason::FactorTooOld);
    let verdicts = [allowed_by("r"), Verdict::Challenge(Challenge::SignIn), Verdict::Deny(Reason::NoRule)];
    let said: Vec<_> = verdicts.iter().map(|verdict| (verdict.word(), verdict.reason())).collect();
    assert_eq!(said, [("allow", None), ("challenge", Some(Reason::NoSession)), ("deny", Some(Reason::NoRule))]);
}

#[test]
fn only_listed_methods_pass_and_all_is_not_trace_or_connect() {
    assert!(Methods::All.contains(&Method::DELETE));
    assert!(!Methods::All.contains(&Method::TRACE));
    assert!(!Methods::All.contains(&Method::CONNECT));
    let listed = Methods::Listed(vec![Method::GET]);
    assert!(listed.contains(&Method::GET));
    for method in ["HEAD", "get", "GETT"] {
        assert!(!listed.contains(&method.parse().unwrap()), "{method}");
    }
    assert!(!Methods::Listed(Vec::new()).contains(&Method::GET));
}

#[test]
fn an_unknown_client_is_in_no_listed_network() {
    let client = |text: &str| Some(ClientAddress::new(text.parse().unwrap()));
    let listed = Networks::Listed(vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()]);
    assert!(listed.contains(client("10.255.255.255")));
    assert!(listed.contains(client("::ffff:10.0.0.1")));
    assert!(listed.contains(client("2001:db8:1::1")));
    assert!(!listed.contains(client("11.0.0.0")));
    assert!(!listed.contains(None));
    assert!(Networks::Any.contains(None));
    assert!(!Networks::Listed(Vec::new()).contains(client("10.0.0.1")));
}

#[test]
fn people_are_named_by_group_address_or_sub_exactly() {
    let ana = identity(&["staff"]);
    let users = |user| Audience::Listed { groups: Vec::new(), users: vec![user] };
    assert!(groups(&["x", "staff"]).names(&ana));
    assert!(users(User::Email(Email::parse("ana@example.com").unwrap())).names(&ana));
    assert!(users(User::Sub("s-1".into())).names(&ana));
    assert!(Audience::AnyoneSignedIn.names(&ana));
    assert!(Audience::Public.names(&ana));
    for stranger in [
        groups(&["Staff"]),
        groups(&["staff "]),
        groups(&[]),
        users(User::Email(Email::parse("Ana@example.com").unwrap())),
        users(User::Sub("ana@example.com".into())),
        users(User::Sub("s-1 ".into())),
    ] {
        assert!(!stranger.names(&ana), "{stranger:?}");
    }
    let without_address = Identity { email: None, ..(*ana).clone() };
    assert!(!users(User::Email(Email::parse("ana@example.com").unwrap())).names(&without_address));
}

#[test]
fn an_outcome_says_criterion_by_criterion_how_a_rule_stands() {
    let ana = identity(&[]);
    let assurance = totp_now();
    let person = Presented::Person(Person { session: SessionId::new([7; 16]), identity: &ana, assurance: &assurance });
    let carved = Rule { audience: groups(&["admin"]), except: patterns(&["/a"]), hours: Some(nights()), ..rule("r") };
    let outcome = carved.consider(&request(&Method::GET, "/a"), &person, at(NOON));
    assert_eq!((outcome.method, outcome.path, outcome.network, outcome.hours), (true, PathOutcome::Excepted, true, false));
    assert_eq!(outcome.audience, AudienceOutcome::NotMember);
    assert!(matches!(outcome.factor, FactorOutcome::Met(_)));
    assert!(!outcome.in_scope() && !outcome.allows());
    let elsewhere = carved.consider(&request(&Method::GET, "/a/b"), &Presented::Nobody, at(NOON));
    assert_eq!(
        (elsewhere.path, elsewhere.audience, elsewhere.factor),
        (PathOutcome::Matches, AudienceOutcome::NobodySignedIn, FactorOutcome::Missing)
    );
    assert_eq!(
        Rule { paths: patterns(&["/b"]), ..carved }.consider(&request(&Method::GET, "/a"), &person, at(NOON)).path,
        PathOutcome::NotListed
    );
}

#[test]
fn every_single_criterion_that_fails_keeps_a_rule_from_allowing() {
    let ana = identity(&["staff"]);
    let assurance = totp_now();
    let person = Presented::Person(Person { session: SessionId::new([7; 16]), identity: &ana, assurance: &assurance });
    let whole = rule("r").consider(&request(&Method::GET, "/a"), &person, at(NOON));
    assert!(whole.allows());
    use super::rule::Outcome;
    for broken in [
        Outcome { method: false, ..whole },
        Outcome { path: PathOutcome::NotListed, ..whole },
        Outcome { path: PathOutcome::Excepted, ..whole },
        Outcome { network: false, ..whole },
        Outcome { hours: false, ..whole },
        Outcome { audience: AudienceOutcome::NotMember, ..whole },
        Outcome { audience: AudienceOutcome::NobodySignedIn, ..whole },
        Outcome { factor: FactorOutcome::Missing, ..whole },
        Outcome { factor: FactorOutcome::TooWeak, ..whole },
        Outcome { factor: FactorOutcome::TooOld, ..whole },
    ] {
        assert!(!broken.allows(), "{broken:?}");
    }
}

#[test]
fn a_permit_carries_what_was_judged_through_every_proof() {
    let limited = Rule { rate: Some(crate::quota::Rate::parse("5/s").unwrap()), ..rule("r") };
    let route = route(vec![limited, Rule { audience: Audience::Public, paths: patterns(&["/pub"]), ..rule("public") }]);
    let (ana, assurance) = (identity(&["staff"]), totp_now());
    let person = Presented::Person(Person { session: SessionId::new([7; 16]), identity: &ana, assurance: &assurance });
    let Decision::Allow(permit) = decide(&route, request(&Method::GET, "/a?q"), &person, at(NOON)) else { panic!("not allowed") };
    let recorded = Recorded::assertion(Admitted::assertion(permit));
    let permit = recorded.permit();
    assert_eq!((permit.request().target(), permit.route().id.as_str(), permit.rule().as_str()), ("/a?q".to_owned(), "app", "r"));
    assert_eq!(permit.rate().map(|rate| rate.count.get()), Some(5));
    let granted = permit.person().unwrap();
    assert_eq!((granted.session, &granted.identity.subject, granted.proof.kind), (SessionId::new([7; 16]), &ana.subject, FactorKind::Totp));
    let Decision::Allow(permit) = decide(&route, request(&Method::GET, "/pub"), &Presented::Nobody, at(NOON)) else {
        panic!("not allowed")
    };
    assert!(matches!(permit.grantee(), Grantee::Anyone));
    assert!(Admitted::assertion(permit).permit().person().is_none());
}

#[test]
fn matching_stays_the_same_with_ten_thousand_rules() {
    let (ana, assurance) = (identity(&["staff"]), totp_now());
    for count in [1, 100, 101, 10_000] {
        let mut rules: Vec<_> = (1..count).map(|index| Rule { paths: patterns(&[&format!("/other/{index}")]), ..rule("other") }).collect();
        rules.push(Rule { paths: patterns(&["/App/Admin"]), ..rule("mine") });
        let verdict = |target: &str| verdict_of(rules.clone(), &request(&Method::GET, target), Some((&ana, &assurance)));
        assert_eq!(verdict("/App/Admin"), allowed_by("mine"), "{count}");
        for target in ["/app/admin", "/APP/ADMIN", "/App/admin", "/App/Admin/"] {
            assert_eq!(verdict(target), Verdict::Deny(Reason::NoRule), "{count} {target}");
        }
    }
}

#[test]
fn a_query_never_takes_part_in_a_match() {
    let (ana, assurance) = (identity(&["staff"]), totp_now());
    let rules = vec![Rule { paths: patterns(&["/public/**", "/*.css"]), ..rule("r") }];
    for target in ["/app?x=/public/ok", "/app?x=a.css", "/app?/public/", "/app/x.css?/x.css"] {
        assert_eq!(
            verdict_of(rules.clone(), &request(&Method::GET, target), Some((&ana, &assurance))),
            Verdict::Deny(Reason::NoRule),
            "{target}"
        );
    }
}

fn nights() -> Hours {
    let time = |hour| jiff::civil::time(hour, 0, 0, 0);
    Hours { days: Days::new(all_days()), from: time(22), until: time(6), zone: jiff::tz::TimeZone::UTC }
}

fn all_days() -> impl Iterator<Item = jiff::civil::Weekday> {
    jiff::civil::Weekday::Monday.cycle_forward().take(7)
}

#[test]
fn reasons_are_read_as_they_are_written_and_all_differ() {
    for reason in Reason::ALL {
        assert_eq!(Reason::parse(reason.code()), Some(*reason));
        assert_eq!(reason.to_string(), reason.code());
        assert!(reason.code().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{reason}");
        assert!(reason.meaning().ends_with('.'), "{reason}");
    }
    let codes: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
    assert_eq!(codes.len(), Reason::ALL.len());
    assert_eq!(Reason::parse("No_Rule"), None);
}

#[test]
fn a_route_is_found_by_its_whole_authority_alone() {
    let base = route(Vec::new());
    let other = Route { from: Authority::parse("db.test:8443").unwrap(), id: RouteId::new("a-db"), ..(*base).clone() };
    let gateway = Authority::parse("gate.test").unwrap();
    let table = RouteTable::new(gateway.clone(), [(*base).clone(), other]).unwrap();
    let find = |text: &str| match table.find_authority(&Authority::parse(text).unwrap()) {
        Target::Gateway => "gateway".to_owned(),
        Target::Route(route) => route.id.to_string(),
        Target::Unknown => "unknown".to_owned(),
    };
    assert_eq!((find("gate.test"), find("APP.test."), find("db.test:8443")), ("gateway".into(), "app".into(), "a-db".into()));
    for text in ["db.test", "app.test:8443", "gate.test:8443", "test", "x.app.test", "127.0.0.1"] {
        assert_eq!(find(text), "unknown", "{text}");
    }
    assert_eq!(table.sorted().iter().map(|route| route.id.as_str()).collect::<Vec<_>>(), ["a-db", "app"]);
    assert_eq!(table.gateway(), &gateway);
    let mut asked = request(&Method::GET, "/");
    assert!(matches!(table.find(&asked), Target::Route(_)));
    asked.port = 8443;
    assert!(matches!(table.find(&asked), Target::Unknown));
    assert!(RouteTable::new(gateway.clone(), [(*base).clone(), (*base).clone()]).is_err());
    assert!(RouteTable::new(base.from.clone(), [(*base).clone()]).is_err());
    assert_eq!(base.upstreams[0].to_string(), "http://127.0.0.1:80");
    assert_eq!(Upstream::Https(Endpoint { host: "::1".into(), port: 1 }).to_string(), "https://[::1]:1");
    assert_eq!(Upstream::Unix("/run/app.sock".into()).to_string(), "unix:/run/app.sock");
}
