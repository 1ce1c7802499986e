//! Detection: the rules that a security team would write first, as a state machine over the facts that go on record.
//!
//! Deterministic: the time is the event's own. Memory is bounded whatever comes: [`KEYS_MAX`] people, networks and sessions for
//! each rule, and no more marks of one than its threshold. What was seen longest ago is forgotten first, and everything is
//! forgotten when the process ends. Nothing here refuses anything: a finding is told, never enforced.

mod detector;
mod finding;
mod tally;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use detector::{ACCESS_KEPT, Detector, Signal};
pub use finding::{DetectionRule, FindingFacts};

/// Thresholds, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Rules that are switched off.
    pub off: Vec<DetectionRule>,
    /// One rule tells of one person, network or session once in this time.
    pub repeat_after: Duration,
    /// Failing sign-ins from one network (IPv4 /24, IPv6 /48): so many different people, or so many failures.
    pub spray_people: usize,
    pub spray_failures: usize,
    pub spray_within: Duration,
    /// Wrong second factors for one person.
    pub brute_force_codes: usize,
    pub brute_force_within: Duration,
    /// One session that comes back to a network (IPv4 /16, IPv6 /32) after it was seen in another.
    pub two_networks_within: Duration,
    /// Different targets denied to one person, and to one address without a session.
    pub scan_person: usize,
    pub scan_address: usize,
    pub scan_within: Duration,
    /// How long after its enrolment a factor is new.
    pub new_factor_within: Duration,
    /// Classes of routes that are restricted.
    pub restricted_classes: Vec<Box<str>>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            off: Vec::new(),
            repeat_after: Duration::from_secs(3_600),
            spray_people: 5,
            spray_failures: 20,
            spray_within: Duration::from_secs(600),
            brute_force_codes: 5,
            brute_force_within: Duration::from_secs(600),
            two_networks_within: Duration::from_secs(600),
            scan_person: 20,
            scan_address: 100,
            scan_within: Duration::from_secs(300),
            new_factor_within: Duration::from_secs(24 * 3_600),
            restricted_classes: vec!["restricted".into()],
        }
    }
}

impl Rules {
    #[must_use]
    pub fn is_on(&self, rule: DetectionRule) -> bool {
        !self.off.contains(&rule)
    }
}

/// People, networks or sessions that one rule remembers.
pub const KEYS_MAX: usize = 10_000;

/// Highest threshold that can be set: so many marks are kept of one key.
pub const THRESHOLD_MAX: usize = 1_000;
