//! The state machine: one event in, what it completes out.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::tally::{Bounded, Limit, Mark, Reached, Tally, name_of};
use super::{DetectionRule, FindingFacts, KEYS_MAX, Rules};
use crate::event::{AccountChange, AccountFacts, Actor, AuthenticationFacts, AuthenticationStep, Body, DecisionFacts, Event, Verdict};
use crate::policy::Reason;
use crate::session::SessionId;
use crate::time::Timestamp;

/// What an event completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    Finding(FindingFacts),
    /// A person opened a restricted route. A finding only if the store never saw that before.
    Access(FindingFacts),
}

/// The rules and what they remember.
#[derive(Debug)]
pub struct Detector {
    rules: Rules,
    spray_people: Tally<IpNet>,
    spray_failures: Tally<IpNet>,
    brute_force: Tally<String>,
    scans: Tally<Scanner>,
    sessions: Bounded<(SessionId, Family), Seen>,
    accesses: Bounded<u64, ()>,
    new_factors: Bounded<String, Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scanner {
    Person(String),
    Network(IpNet),
}

/// A machine with both kinds of address uses them by turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    V4,
    V6,
}

/// Where a session was seen.
#[derive(Debug)]
struct Seen {
    here: Visit,
    before: Option<Visit>,
    told: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct Visit {
    network: IpNet,
    address: IpAddr,
    first: Timestamp,
    last: Timestamp,
}

impl Detector {
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self::with_room(rules, KEYS_MAX)
    }

    pub(super) fn with_room(rules: Rules, keys_max: usize) -> Self {
        Self {
            rules,
            spray_people: Tally::new(keys_max),
            spray_failures: Tally::new(keys_max),
            brute_force: Tally::new(keys_max),
            scans: Tally::new(keys_max),
            sessions: Bounded::new(keys_max),
            accesses: Bounded::new(keys_max),
            new_factors: Bounded::new(keys_max),
        }
    }

    /// Takes new thresholds; what is remembered stays.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// Whether an event can mean anything to any rule. Cheap, so that the others need no turn at the detector.
    #[must_use]
    pub fn concerns(event: &Event) -> bool {
        match &event.body {
            Body::Decision(facts) => facts.verdict != Verdict::Allow || facts.actor.is_some(),
            Body::Authentication(_) | Body::Account(_) => true,
            Body::Exchange(_)
            | Body::StreamOpen(_)
            | Body::Connections(_)
            | Body::Authorization(_)
            | Body::Entity(_)
            | Body::Lifecycle(_)
            | Body::Finding(_) => false,
        }
    }

    /// Takes in one event.
    pub fn observe(&mut self, event: &Event) -> Vec<Signal> {
        let mut signals = Vec::new();
        match &event.body {
            Body::Decision(facts) => {
                signals.extend(self.two_networks(facts, event.time));
                signals.extend(self.scan(facts, event.time));
                signals.extend(self.restricted(facts, event.time).into_iter().flatten());
            }
            Body::Authentication(facts) => {
                signals.extend(self.spray(facts, event.time));
                signals.extend(self.brute_force(facts, event.time));
            }
            Body::Account(facts) => self.enrolled(facts, event.time),
            Body::Exchange(_)
            | Body::StreamOpen(_)
            | Body::Connections(_)
            | Body::Authorization(_)
            | Body::Entity(_)
            | Body::Lifecycle(_)
            | Body::Finding(_) => {}
        }
        signals
    }

    /// Takes an access back that could not be looked up, so that the next one asks again.
    pub fn forget(&mut self, access: &FindingFacts) {
        if let Some(name) = access_name(access) {
            self.accesses.remove(&name);
        }
    }

    fn spray(&mut self, facts: &AuthenticationFacts, at: Timestamp) -> Option<Signal> {
        let rule = DetectionRule::SignInSpray;
        let client = facts.client.filter(|_| self.rules.is_on(rule) && counts_as_failed(facts))?;
        let network = network(client.address, 24, 48)?;
        let rules = &self.rules;
        let limit = |count| Limit { count, within: rules.spray_within, repeat_after: rules.repeat_after };
        let each = Mark::each(at, facts.request_id);
        let many = self.spray_failures.add(network, each, limit(rules.spray_failures));
        let person = facts.actor.as_ref().map(|actor| name_of(&[&actor.subject.issuer, &actor.subject.sub]));
        let mark = person.map(|person| Mark { what: Some(person), ..each });
        let people = mark.and_then(|mark| self.spray_people.add(network, mark, limit(rules.spray_people)));
        // The people tell more; both at once are one finding.
        let reached = people.or(many)?;
        Some(Signal::Finding(FindingFacts { address: Some(client.address), ..found(rule, reached, at) }))
    }

    fn brute_force(&mut self, facts: &AuthenticationFacts, at: Timestamp) -> Option<Signal> {
        let rule = DetectionRule::FactorBruteForce;
        let (AuthenticationStep::SecondFactor(_), Some(_), Some(actor)) = (facts.step, facts.failure, &facts.actor) else { return None };
        if !self.rules.is_on(rule) {
            return None;
        }
        let rules = &self.rules;
        let limit = Limit { count: rules.brute_force_codes, within: rules.brute_force_within, repeat_after: rules.repeat_after };
        let reached = self.brute_force.add(actor.subject.to_string(), Mark::each(at, facts.request_id), limit)?;
        let address = facts.client.map(|client| client.address);
        Some(Signal::Finding(FindingFacts { actor: Some(actor.clone()), address, ..found(rule, reached, at) }))
    }

    fn two_networks(&mut self, facts: &DecisionFacts, at: Timestamp) -> Option<Signal> {
        let rule = DetectionRule::SessionTwoNetworks;
        let (actor, address) = (facts.actor.as_ref().filter(|_| self.rules.is_on(rule))?, facts.client.address);
        let family = if address.is_ipv4() { Family::V4 } else { Family::V6 };
        let now = Visit { network: network(address, 16, 32)?, address, first: at, last: at };
        let seen = self.sessions.entry((actor.session?, family), || Seen { here: now, before: None, told: None });
        if seen.here.network == now.network {
            seen.here.last = seen.here.last.max(at);
            return None;
        }
        let there = std::mem::replace(&mut seen.here, now);
        let before = seen.before.replace(there).filter(|before| before.network == now.network);
        let before = before.filter(|before| at.since(before.last) < self.rules.two_networks_within)?;
        if seen.told.is_some_and(|told| told <= at && at.since(told) < self.rules.repeat_after) {
            return None;
        }
        seen.told = Some(at);
        Some(Signal::Finding(FindingFacts {
            actor: Some(actor.clone()),
            address: Some(there.address),
            other_address: Some(now.address),
            requests: vec![facts.request_id],
            events: 3,
            ..blank(rule, before.first, at)
        }))
    }

    fn scan(&mut self, facts: &DecisionFacts, at: Timestamp) -> Option<Signal> {
        let rule = DetectionRule::PathScan;
        let is_denied = match facts.verdict {
            Verdict::Deny => facts.reason != Some(Reason::RateLimited),
            // Whoever is not signed in hears nothing but that.
            Verdict::Challenge => facts.actor.is_none(),
            Verdict::Allow | Verdict::Fail => false,
        };
        if !is_denied || !self.rules.is_on(rule) {
            return None;
        }
        let rules = &self.rules;
        let (scanner, count) = match &facts.actor {
            Some(actor) => (Scanner::Person(actor.subject.to_string()), rules.scan_person),
            None => (Scanner::Network(network(facts.client.address, 32, 64)?), rules.scan_address),
        };
        let what = name_of(&[&facts.authority, facts.target.as_deref().unwrap_or(&facts.raw_target)]);
        let limit = Limit { count, within: rules.scan_within, repeat_after: rules.repeat_after };
        let reached = self.scans.add(scanner, Mark { at, what: Some(what), request: Some(facts.request_id) }, limit)?;
        let (actor, address) = (facts.actor.clone(), Some(facts.client.address));
        Some(Signal::Finding(FindingFacts { actor, address, route: facts.route.clone(), ..found(rule, reached, at) }))
    }

    fn restricted(&mut self, facts: &DecisionFacts, at: Timestamp) -> [Option<Signal>; 2] {
        let class = facts.class.as_deref().filter(|_| facts.verdict == Verdict::Allow && facts.rule.is_some());
        let is_restricted = class.is_some_and(|class| self.rules.restricted_classes.iter().any(|listed| **listed == *class));
        let (true, Some(actor)) = (is_restricted, &facts.actor) else { return [None, None] };
        let about = |rule, first| FindingFacts {
            actor: Some(actor.clone()),
            address: Some(facts.client.address),
            route: facts.route.clone(),
            requests: vec![facts.request_id],
            ..blank(rule, first, at)
        };
        let mut signals = [None, None];
        let rule = DetectionRule::NewFactorRestrictedAccess;
        if self.rules.is_on(rule)
            && let Some(enrolled) = self.new_factors.remove(&actor.subject.to_string())
            && at.since(enrolled) < self.rules.new_factor_within
        {
            signals[0] = Some(Signal::Finding(about(rule, enrolled)));
        }
        let rule = DetectionRule::FirstRestrictedAccess;
        let access = about(rule, at);
        if self.rules.is_on(rule)
            && let Some(name) = access_name(&access)
            && self.accesses.get_mut(&name).is_none()
        {
            self.accesses.entry(name, || ());
            signals[1] = Some(Signal::Access(access));
        }
        signals
    }

    fn enrolled(&mut self, facts: &AccountFacts, at: Timestamp) {
        let AccountChange::EnrolFactor(_) = facts.change else { return };
        if let (None, Some(subject)) = (facts.failure, &facts.subject) {
            *self.new_factors.entry(subject.to_string(), || at) = at;
        }
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> [usize; 7] {
        let tallies = [self.spray_people.len(), self.spray_failures.len(), self.brute_force.len(), self.scans.len()];
        let [a, b, c, d] = tallies;
        [a, b, c, d, self.sessions.len(), self.accesses.len(), self.new_factors.len()]
    }
}

/// Whether a step failed by what the person or browser did. An IdP that is down fails for everybody.
fn counts_as_failed(facts: &AuthenticationFacts) -> bool {
    match facts.step {
        AuthenticationStep::SignIn => facts.failure.is_some_and(|reason| reason != Reason::IdpUnavailable),
        AuthenticationStep::SecondFactor(_) => facts.failure.is_some(),
        AuthenticationStep::Finish
        | AuthenticationStep::SignOut
        | AuthenticationStep::BackchannelLogout
        | AuthenticationStep::Expire(_) => false,
    }
}

fn access_name(access: &FindingFacts) -> Option<u64> {
    let (Actor { subject, .. }, route) = (access.actor.as_ref()?, access.route.as_ref()?);
    Some(name_of(&[&subject.issuer, &subject.sub, route.as_str()]))
}

fn found(rule: DetectionRule, reached: Reached, at: Timestamp) -> FindingFacts {
    FindingFacts { events: reached.events, requests: reached.requests, ..blank(rule, reached.first, at) }
}

const fn blank(rule: DetectionRule, first: Timestamp, last: Timestamp) -> FindingFacts {
    FindingFacts { rule, actor: None, address: None, other_address: None, route: None, first, last, events: 1, requests: Vec::new() }
}

/// The network of an address, by the length of its prefix.
fn network(address: IpAddr, v4: u8, v6: u8) -> Option<IpNet> {
    let address = address.to_canonical();
    IpNet::new(address, if address.is_ipv4() { v4 } else { v6 }).ok().map(|network| network.trunc())
}

/// What a first access is remembered for.
pub const ACCESS_KEPT: Duration = Duration::from_secs(365 * 24 * 3_600);
