//! Each rule fires at its threshold, not before, not for others, and not again too soon.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::net::IpAddr;
use std::time::Duration;

use super::{DetectionRule, Detector, FindingFacts, Rules, Signal};
use crate::event::{
    AccountChange, AccountFacts, Actor, AuthenticationFacts, AuthenticationStep, Body, ChangedBy, Client, DecisionFacts, Event, Verdict,
};
use crate::identity::Subject;
use crate::identity::assurance::FactorKind;
use crate::policy::Reason;
use crate::policy::rule::RuleId;
use crate::request::RequestId;
use crate::route::RouteId;
use crate::session::SessionId;
use crate::time::Timestamp;

const START: u64 = 1_790_000_000;

fn at(second: u64, body: Body) -> Event {
    Event { time: Timestamp::from_seconds(START + second), body }
}

fn person(name: &str) -> Actor {
    let subject = Subject { issuer: "https://idp.test".to_owned(), sub: name.to_owned() };
    Actor { subject, email: None, groups: Vec::new(), session: Some(SessionId::new([u8::try_from(name.len()).unwrap(); 16])) }
}

fn step(step: AuthenticationStep, who: Option<&str>, address: &str, failure: Option<Reason>) -> Body {
    Body::Authentication(Box::new(AuthenticationFacts {
        request_id: Some(RequestId::new([1; 16])),
        step,
        failure,
        detail: None,
        idp: None,
        actor: who.map(person),
        client: Some(Client { address: address.parse().unwrap(), port: 1 }),
        user_agent: None,
    }))
}

fn failed_sign_in(who: Option<&str>, address: &str) -> Body {
    step(AuthenticationStep::SignIn, who, address, Some(Reason::IdpRefused))
}

fn wrong_code(who: &str, address: &str) -> Body {
    step(AuthenticationStep::SecondFactor(FactorKind::Totp), Some(who), address, Some(Reason::FactorCodeWrong))
}

fn request(verdict: Verdict, who: Option<&str>, address: &str, target: &str, class: Option<&str>) -> Body {
    Body::Decision(Box::new(DecisionFacts {
        request_id: RequestId::new([2; 16]),
        verdict,
        reason: (verdict != Verdict::Allow).then_some(Reason::NoRule),
        status: None,
        method: "GET".to_owned(),
        version: "2",
        authority: "app.test".to_owned(),
        raw_target: target.to_owned(),
        target: Some(target.to_owned()),
        parameters: Vec::new(),
        listener: "https".into(),
        server_name: None,
        client: Client { address: address.parse().unwrap(), port: 1 },
        peer: None,
        client_certificate: None,
        user_agent: None,
        actor: who.map(person),
        factor: None,
        route: class.map(|_| RouteId::new("vault")),
        class: class.map(Into::into),
        rule: class.map(|_| RuleId::new("read")),
        config: "c".into(),
    }))
}

fn enrol(who: &str, failure: Option<Reason>) -> Body {
    Body::Account(Box::new(AccountFacts {
        request_id: None,
        change: AccountChange::EnrolFactor(FactorKind::Totp),
        failure,
        subject: Some(person(who).subject),
        email: None,
        by: ChangedBy::Gateway,
        client: None,
    }))
}

const fn about(signal: &Signal) -> &FindingFacts {
    match signal {
        Signal::Finding(facts) | Signal::Access(facts) => facts,
    }
}

/// The rules that events lead to, with the second at which each fired.
#[track_caller]
fn check(rules: Rules, events: impl IntoIterator<Item = (u64, Body)>, expected: &[(u64, DetectionRule)]) -> Vec<Signal> {
    let mut detector = Detector::new(rules);
    let mut signals = Vec::new();
    let mut found = Vec::new();
    for (second, body) in events {
        let event = at(second, body);
        let new = detector.observe(&event);
        assert!(new.is_empty() || Detector::concerns(&event), "what concerns no rule leads to nothing");
        found.extend(new.iter().map(|signal| (second, about(signal).rule)));
        signals.extend(new);
    }
    assert_eq!(found, expected);
    signals
}

const ANA: Option<&str> = Some("ana");

#[test]
fn failures_of_five_people_from_one_network_are_a_spray() {
    let names = ["a", "bb", "ccc", "dddd", "eeeee", "ffffff"];
    let from = |n: usize| format!("192.0.2.{n}");
    let four = (0..4).map(|n| (n as u64, wrong_code(names[n], &from(n))));
    check(Rules::default(), four, &[]);
    let six = (0..6).map(|n| (n as u64, wrong_code(names[n], &from(n))));
    let signals = check(Rules::default(), six, &[(4, DetectionRule::SignInSpray)]);
    let Signal::Finding(facts) = &signals[0] else { panic!("{signals:?}") };
    assert_eq!((facts.events, facts.requests.len(), facts.first), (5, 5, Timestamp::from_seconds(START)));
    assert_eq!(facts.address, Some(from(4).parse().unwrap()));
}

#[test]
fn people_of_different_networks_are_no_spray_and_neither_is_one_person() {
    let names = ["a", "bb", "ccc", "dddd", "eeeee", "ffffff"];
    check(Rules::default(), (0..6).map(|n| (n as u64, wrong_code(names[n], &format!("192.0.{n}.1")))), &[]);
    check(Rules::default(), (0..19).map(|n| (n, failed_sign_in(ANA, "192.0.2.1"))), &[]);
}

#[test]
fn twenty_failures_of_nobody_in_particular_are_a_spray() {
    let failures = |count| (0..count).map(|n| (n, failed_sign_in(None, "2001:db8::1")));
    check(Rules::default(), failures(19), &[]);
    check(Rules::default(), failures(60), &[(19, DetectionRule::SignInSpray)]);
}

#[test]
fn an_idp_that_is_down_is_no_spray() {
    let down = |n| (n, step(AuthenticationStep::SignIn, None, "192.0.2.1", Some(Reason::IdpUnavailable)));
    check(Rules::default(), (0..50).map(down), &[]);
    check(Rules::default(), (0..50).map(|n| (n, step(AuthenticationStep::SignIn, ANA, "192.0.2.1", None))), &[]);
}

#[test]
fn five_wrong_codes_for_one_person_are_guessing_from_wherever_they_come() {
    let codes = |count: u64, apart: u64| (0..count).map(move |n| (n * apart, wrong_code("ana", &format!("10.{n}.0.1"))));
    check(Rules::default(), codes(4, 1), &[]);
    check(Rules::default(), codes(5, 1), &[(4, DetectionRule::FactorBruteForce)]);
    // The window slides: five in ten minutes, not five ever.
    check(Rules::default(), codes(9, 151), &[]);
    check(Rules::default(), codes(5, 149), &[(4 * 149, DetectionRule::FactorBruteForce)]);
}

#[test]
fn a_rule_tells_of_one_person_once_in_its_time_and_of_another_at_once() {
    let ana = (0..200).map(|n| (n * 60, wrong_code("ana", "192.0.2.1")));
    let rule = DetectionRule::FactorBruteForce;
    // Told after five minutes' codes; quiet for an hour; then counted anew.
    check(Rules { spray_failures: 1_000, ..Rules::default() }, ana, &[(240, rule), (4_080, rule), (7_920, rule), (11_760, rule)]);
    let both = (0..10).map(|n| (n, wrong_code(["ana", "benedict"][n as usize % 2], "192.0.2.1")));
    check(Rules::default(), both, &[(8, rule), (9, rule)]);
}

#[test]
fn a_session_that_moves_is_nothing_and_one_that_comes_back_is_a_finding() {
    let seen = |second, address: &'static str| (second, request(Verdict::Allow, ANA, address, "/", None));
    let rule = DetectionRule::SessionTwoNetworks;
    check(Rules::default(), [seen(0, "192.0.2.1"), seen(9, "198.51.100.1"), seen(20, "198.51.100.1")], &[]);
    let signals = check(Rules::default(), [seen(0, "192.0.2.1"), seen(9, "198.51.100.1"), seen(20, "192.0.9.9")], &[(20, rule)]);
    let Signal::Finding(facts) = &signals[0] else { panic!("{signals:?}") };
    let addresses = (facts.address.unwrap(), facts.other_address.unwrap());
    assert_eq!(addresses, ("198.51.100.1".parse::<IpAddr>().unwrap(), "192.0.9.9".parse::<IpAddr>().unwrap()));
    // Home again after a day at work.
    check(Rules::default(), [seen(0, "192.0.2.1"), seen(9, "198.51.100.1"), seen(620, "192.0.2.1")], &[]);
    // Both kinds of address of one machine, by turns.
    check(Rules::default(), (0..9).map(|n| seen(n, ["192.0.2.1", "2001:db8::1"][n as usize % 2])), &[]);
    check(Rules::default(), (0..9).map(|n| seen(n, ["192.0.2.1", "198.51.100.1"][n as usize % 2])), &[(2, rule)]);
}

#[test]
fn twenty_different_denials_of_one_person_are_a_scan() {
    let denied = |n: u64| (n, request(Verdict::Deny, ANA, "192.0.2.1", &format!("/{n}"), None));
    check(Rules::default(), (0..19).map(denied), &[]);
    check(Rules::default(), (0..40).map(denied), &[(19, DetectionRule::PathScan)]);
    check(Rules::default(), (0..99).map(|n| (n, request(Verdict::Deny, ANA, "192.0.2.1", "/same", None))), &[]);
    check(Rules::default(), (0..99).map(|n| (n, request(Verdict::Allow, ANA, "192.0.2.1", &format!("/{n}"), None))), &[]);
}

#[test]
fn a_stranger_who_tries_a_hundred_addresses_is_a_scan() {
    let asked = |n: u64| (n, request(Verdict::Challenge, None, "192.0.2.1", &format!("/{n}"), None));
    check(Rules::default(), (0..99).map(asked), &[]);
    check(Rules::default(), (0..150).map(asked), &[(99, DetectionRule::PathScan)]);
}

#[test]
fn an_access_to_a_restricted_route_is_asked_about_once() {
    let open = |second, who: &'static str, class| (second, request(Verdict::Allow, Some(who), "192.0.2.1", "/", Some(class)));
    let rule = DetectionRule::FirstRestrictedAccess;
    let events =
        [open(0, "ana", "restricted"), open(1, "ana", "restricted"), open(2, "benedict", "restricted"), open(3, "eva-m", "internal")];
    let signals = check(Rules::default(), events, &[(0, rule), (2, rule)]);
    assert!(signals.iter().all(|signal| matches!(signal, Signal::Access(_))));
    let mut detector = Detector::new(Rules::default());
    let event = at(0, open(0, "ana", "restricted").1);
    let [Signal::Access(access)] = &detector.observe(&event)[..] else { panic!("an access") };
    assert!(detector.observe(&event).is_empty());
    detector.forget(access);
    assert_eq!(detector.observe(&event).len(), 1, "what could not be looked up is asked again");
}

#[test]
fn a_restricted_route_soon_after_a_new_factor_is_a_finding() {
    let open = |second| (second, request(Verdict::Allow, ANA, "192.0.2.1", "/", Some("restricted")));
    let rules = || Rules { off: vec![DetectionRule::FirstRestrictedAccess], ..Rules::default() };
    let rule = DetectionRule::NewFactorRestrictedAccess;
    check(rules(), [(0, enrol("ana", None)), open(60), open(61)], &[(60, rule)]);
    check(rules(), [(0, enrol("ana", None)), open(24 * 3_600)], &[]);
    check(rules(), [(0, enrol("ana", Some(Reason::FactorCodeWrong))), open(60)], &[]);
    check(rules(), [(0, enrol("benedict", None)), open(60)], &[]);
}

#[test]
fn a_rule_that_is_off_says_nothing() {
    let everything = || {
        let codes = (0..30).map(|n| (n, wrong_code("ana", "192.0.2.1")));
        let denied =
            (0..200).map(|n| (n, request(Verdict::Deny, ANA, ["192.0.2.1", "198.51.100.1"][n as usize % 2], &format!("/{n}"), None)));
        let open = [(300, enrol("ana", None)), (301, request(Verdict::Allow, ANA, "192.0.2.1", "/", Some("restricted")))];
        codes.chain(denied).chain(open)
    };
    let found = |off: Vec<DetectionRule>| {
        let mut detector = Detector::new(Rules { off, ..Rules::default() });
        let signals = everything().flat_map(|(second, body)| detector.observe(&at(second, body))).collect::<Vec<_>>();
        DetectionRule::ALL.map(|rule| signals.iter().any(|signal| about(signal).rule == rule))
    };
    assert_eq!(found(Vec::new()), [true; 6]);
    for (number, rule) in DetectionRule::ALL.into_iter().enumerate() {
        let mut expected = [true; 6];
        expected[number] = false;
        assert_eq!(found(vec![rule]), expected, "{rule:?}");
    }
}

#[test]
fn memory_is_bounded_whatever_comes() {
    let rules = Rules { repeat_after: Duration::ZERO, ..Rules::default() };
    let mut detector = Detector::with_room(rules, 8);
    for n in 0..2_000_u64 {
        let (name, address) = ("x".repeat(1 + (n % 200) as usize), format!("10.{}.{}.1", n % 250, n / 250));
        for body in [
            wrong_code(&name, &address),
            request(Verdict::Deny, Some(&name), &address, &format!("/{n}"), None),
            request(Verdict::Allow, Some(&name), &address, "/", Some("restricted")),
            enrol(&name, None),
        ] {
            detector.observe(&at(n, body));
        }
        assert!(detector.remembered().iter().all(|count| *count <= 8), "{:?}", detector.remembered());
    }
}

#[test]
fn the_same_events_lead_to_the_same_findings() {
    let run = || {
        let mut detector = Detector::new(Rules::default());
        let events = (0..500_u64).map(|n| at(n / 3, wrong_code(&"y".repeat(1 + (n % 7) as usize), &format!("10.0.{}.1", n % 3))));
        events.flat_map(|event| detector.observe(&event)).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
    assert!(!run().is_empty());
}

#[test]
fn a_clock_set_back_neither_fires_nor_silences_a_rule() {
    let codes = [100, 101, 50, 51, 52, 53].map(|second| (second, wrong_code("ana", "192.0.2.1")));
    check(Rules::default(), codes, &[(52, DetectionRule::FactorBruteForce)]);
}
