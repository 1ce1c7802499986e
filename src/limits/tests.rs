//! Rates over a clock that is moved by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use governor::state::StateStore as _;
use kernel::identity::Identity;
use kernel::identity::assurance::{Assurance, FactorKind, FactorProof, Requirement, Strength};
use kernel::policy::decide::Person;
use kernel::policy::rule::{Audience, Methods, Networks, Rule, RuleId};
use kernel::policy::{Decision, Presented, decide};
use kernel::request::client::{ClientAddress, TrustedProxies};
use kernel::request::host::Authority;
use kernel::request::{CanonicalRequest, Connection, RequestId};
use kernel::route::matcher::PathPattern;
use kernel::route::{Route, RouteId, SecondSpellings};
use kernel::session::SessionId;
use kernel::time::Timestamp;

use super::*;

fn rate(text: &str) -> Rate {
    Rate::parse(text).unwrap()
}

fn settings() -> Settings {
    Settings { per_address: rate("2/s"), per_subject: rate("3/m"), sign_in: rate("2/m"), second_factor: rate("5/m"), keys: 1_024 }
}

fn limits() -> (Limits, ManualTicks) {
    let ticks = ManualTicks::default();
    (Limits::new(settings(), Ticker::manual(&ticks)), ticks)
}

fn v4(last: u8) -> AddressKey {
    ClientAddress::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))).key()
}

fn v6(network: u16, host: u16) -> AddressKey {
    ClientAddress::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, network, 0, 0, 0, host))).key()
}

fn subject(sub: &str) -> Subject {
    Subject { issuer: "https://idp.test".to_owned(), sub: sub.to_owned() }
}

fn throttled(result: Result<(), Rejection>) -> u64 {
    match result {
        Err(Rejection::Throttled { retry_after }) => retry_after.as_secs(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_burst_passes_and_one_more_does_not() {
    let (limits, ticks) = limits();
    assert_eq!(limits.spend_address(v4(1)), Ok(()));
    assert_eq!(limits.spend_address(v4(1)), Ok(()));
    assert_eq!(throttled(limits.spend_address(v4(1))), 1);
    assert_eq!(limits.spend_address(v4(2)), Ok(()), "another address is not concerned");
    ticks.advance(Duration::from_millis(499));
    throttled(limits.spend_address(v4(1)));
    ticks.advance(Duration::from_millis(1));
    assert_eq!(limits.spend_address(v4(1)), Ok(()));
    throttled(limits.spend_address(v4(1)));
}

#[test]
fn a_client_that_waits_as_long_as_it_was_told_passes() {
    let (limits, ticks) = limits();
    limits.spend_sign_in(v4(1)).unwrap();
    limits.spend_sign_in(v4(1)).unwrap();
    let wait = throttled(limits.spend_sign_in(v4(1)));
    assert!((30..=31).contains(&wait), "{wait}");
    ticks.advance(Duration::from_secs(wait));
    assert_eq!(limits.spend_sign_in(v4(1)), Ok(()));
}

#[test]
fn one_ipv6_network_is_one_client() {
    let (limits, _) = limits();
    limits.spend_address(v6(1, 1)).unwrap();
    limits.spend_address(v6(1, 2)).unwrap();
    throttled(limits.spend_address(v6(1, 3)));
    assert_eq!(limits.spend_address(v6(2, 1)), Ok(()));
}

#[test]
fn limits_do_not_share_what_is_spent() {
    let (limits, _) = limits();
    for _ in 0..2 {
        limits.spend_address(v4(1)).unwrap();
        limits.spend_sign_in(v4(1)).unwrap();
    }
    throttled(limits.spend_address(v4(1)));
    throttled(limits.spend_sign_in(v4(1)));
    for _ in 0..5 {
        limits.spend_second_factor(&subject("ana")).unwrap();
    }
    throttled(limits.spend_second_factor(&subject("ana")));
    assert_eq!(limits.spend_second_factor(&subject("ben")), Ok(()));
}

#[test]
fn a_million_keys_take_no_more_room_than_the_bound() {
    let store = BoundedStore::new(4_096);
    let fingerprints = Fingerprints::default();
    for number in 0..1_000_000_u64 {
        let key = fingerprints.of(number);
        store.measure_and_replace(&key, |_| Ok::<_, ()>(((), Nanos::new(number)))).unwrap();
    }
    assert!(store.len() <= 4_096, "{}", store.len());
    assert!(store.len() > 4_000, "{}", store.len());
}

#[test]
fn a_flood_of_keys_does_not_free_a_throttled_one() {
    let (limits, ticks) = limits();
    for _ in 0..2 {
        limits.spend_sign_in(v4(1)).unwrap();
    }
    for number in 0..200_000_u32 {
        let address = Ipv4Addr::from_bits(0x0a00_0000 | number);
        limits.spend_sign_in(ClientAddress::new(IpAddr::V4(address)).key()).unwrap();
        // Time goes on as it would, slowly against the rate.
        if number.is_multiple_of(20_000) {
            ticks.advance(Duration::from_millis(100));
        }
    }
    throttled(limits.spend_sign_in(v4(1)));
}

#[test]
fn a_flood_of_keys_shuts_nobody_out() {
    let (limits, _) = limits();
    for number in 0..50_000_u32 {
        let key = ClientAddress::new(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 | number))).key();
        limits.spend_sign_in(key).unwrap();
        let _ = limits.spend_sign_in(key);
    }
    assert_eq!(limits.spend_sign_in(v4(1)), Ok(()));
}

#[test]
fn keys_without_debt_make_room_first() {
    let (limits, ticks) = limits();
    for number in 0..1_024_u32 {
        limits.spend_sign_in(ClientAddress::new(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 | number))).key()).unwrap();
    }
    ticks.advance(Duration::from_secs(60));
    limits.spend_sign_in(v4(1)).unwrap();
    limits.spend_sign_in(v4(1)).unwrap();
    for number in 0..100_u32 {
        limits.spend_sign_in(ClientAddress::new(IpAddr::V4(Ipv4Addr::from_bits(0x0b00_0000 | number))).key()).unwrap();
    }
    throttled(limits.spend_sign_in(v4(1)));
}

#[test]
fn a_reload_keeps_what_was_spent_at_a_rate_that_stays() {
    let (before, _) = limits();
    for _ in 0..2 {
        before.spend_address(v4(1)).unwrap();
        before.spend_sign_in(v4(1)).unwrap();
    }
    let after = before.reconfigured(Settings { sign_in: rate("3/m"), ..settings() });
    throttled(after.spend_address(v4(1)));
    assert_eq!(after.spend_sign_in(v4(1)), Ok(()), "another rate counts anew");
}

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

/// A request to `path`, allowed by the rule `id` with `rate`, for `sub` or, without one, for anybody.
fn permit(route: &str, id: &str, rule_rate: Option<&str>, grantee: Option<&str>, client: &str) -> Permit {
    let rule = Rule {
        id: RuleId::new(id),
        audience: if grantee.is_some() { Audience::AnyoneSignedIn } else { Audience::Public },
        methods: Methods::All,
        paths: vec![PathPattern::parse("/**").unwrap()],
        except: Vec::new(),
        networks: Networks::Any,
        hours: None,
        requirement: Requirement { strength: Strength::Any, max_age: Duration::from_secs(3_600) },
        rate: rule_rate.map(rate),
    };
    let route = Arc::new(Route {
        id: RouteId::new(route),
        from: Authority::parse("app.test").unwrap(),
        upstreams: Vec::new(),
        class: "internal".into(),
        idle_timeout: None,
        rules: vec![rule],
        owner: None,
        data: Vec::new(),
        second_spellings: SecondSpellings::Refuse,
        recorded_parameters: Vec::new(),
    });
    let assurance = Assurance::default().with(FactorProof { kind: FactorKind::Totp, at: NOW });
    let identity = Arc::new(Identity { subject: subject(grantee.unwrap_or_default()), email: None, name: None, groups: Vec::new() });
    let presented = match grantee {
        None => Presented::Nobody,
        Some(_) => Presented::Person(Person { session: SessionId::new([0; 16]), identity: &identity, assurance: &assurance }),
    };
    match decide(&route, request(client), &presented, NOW) {
        Decision::Allow(permit) => permit,
        other => panic!("{other:?}"),
    }
}

fn request(client: &str) -> CanonicalRequest {
    let (head, ()) = http::Request::get("/a").header("host", "app.test").body(()).unwrap().into_parts();
    let peer = ClientAddress::new(client.parse().unwrap());
    let connection = Connection { peer, port: 443, server_name: None, raw_target: None, fault: None };
    CanonicalRequest::read(&head, &connection, &TrustedProxies::default(), RequestId::new([0; 16]), NOW).unwrap()
}

/// How many of ten permits are admitted.
fn admitted(limits: &Limits, permit: impl Fn() -> Permit) -> usize {
    (0..10).filter(|_| limits.admit(permit()).is_ok()).count()
}

#[test]
fn a_person_pays_over_all_rules_and_routes() {
    let (limits, _) = limits();
    assert_eq!(admitted(&limits, || permit("one", "a", None, Some("ana"), "192.0.2.1")), 3);
    assert_eq!(admitted(&limits, || permit("two", "b", None, Some("ana"), "192.0.2.9")), 0);
    assert_eq!(admitted(&limits, || permit("one", "a", None, Some("ben"), "192.0.2.1")), 3);
}

#[test]
fn a_rule_with_a_rate_counts_each_person_apart_and_apart_from_other_rules() {
    let ticks = ManualTicks::default();
    let limits = Limits::new(Settings { per_subject: rate("1000/s"), ..settings() }, Ticker::manual(&ticks));
    assert_eq!(admitted(&limits, || permit("one", "a", Some("4/m"), Some("ana"), "192.0.2.1")), 4);
    assert_eq!(admitted(&limits, || permit("one", "a", Some("4/m"), Some("ben"), "192.0.2.1")), 4);
    assert_eq!(admitted(&limits, || permit("one", "b", Some("4/m"), Some("ana"), "192.0.2.1")), 4);
    assert_eq!(admitted(&limits, || permit("two", "a", Some("4/m"), Some("ana"), "192.0.2.1")), 4);
    assert_eq!(admitted(&limits, || permit("one", "a", Some("4/m"), Some("ana"), "192.0.2.9")), 0);
}

#[test]
fn a_public_rule_counts_each_address_apart() {
    let (limits, _) = limits();
    assert_eq!(admitted(&limits, || permit("one", "a", Some("4/m"), None, "192.0.2.1")), 4);
    assert_eq!(admitted(&limits, || permit("one", "a", Some("4/m"), None, "192.0.2.2")), 4);
    assert_eq!(admitted(&limits, || permit("one", "a", Some("4/m"), None, "2001:db8::1")), 4);
    assert_eq!(admitted(&limits, || permit("one", "a", Some("4/m"), None, "2001:db8::2")), 0);
    assert_eq!(admitted(&limits, || permit("one", "b", None, None, "192.0.2.1")), 10, "a rule without a rate is not limited");
}

#[test]
fn rates_of_rules_are_bounded_in_number() {
    let ticks = ManualTicks::default();
    let limits = Limits::new(Settings { per_subject: rate("1000/s"), ..settings() }, Ticker::manual(&ticks));
    for count in 1..=500 {
        let _ = limits.admit(permit("one", "a", Some(&format!("{count}/m")), Some("ana"), "192.0.2.1")).unwrap();
    }
    assert!(limits.rules.read().unwrap().len() <= RULE_RATES_MAX);
}
