//! What a rule of detection saw, as a fact for the record.

use std::net::IpAddr;

use crate::event::Actor;
use crate::request::RequestId;
use crate::route::RouteId;
use crate::time::Timestamp;

/// A finding: what a rule of detection saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindingFacts {
    pub rule: DetectionRule,
    /// The person concerned, where there is one.
    pub actor: Option<Actor>,
    /// Where it came from; with two networks, the newer.
    pub address: Option<IpAddr>,
    /// The other network.
    pub other_address: Option<IpAddr>,
    pub route: Option<RouteId>,
    /// First and last of the events that led here.
    pub first: Timestamp,
    pub last: Timestamp,
    /// How many they are.
    pub events: u64,
    /// Requests among them, the last ones; bounded.
    pub requests: Vec<RequestId>,
}

/// The rules of detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DetectionRule {
    /// Sign-ins or factors of many people fail from one network.
    SignInSpray,
    /// Wrong second factors for one person.
    FactorBruteForce,
    /// One session is used from two distant networks by turns.
    SessionTwoNetworks,
    /// One person or address meets many denials.
    PathScan,
    /// A person opens a restricted route for the first time.
    FirstRestrictedAccess,
    /// A person opens a restricted route soon after a factor was enrolled.
    NewFactorRestrictedAccess,
}

impl DetectionRule {
    pub const ALL: [Self; 6] = [
        Self::SignInSpray,
        Self::FactorBruteForce,
        Self::SessionTwoNetworks,
        Self::PathScan,
        Self::FirstRestrictedAccess,
        Self::NewFactorRestrictedAccess,
    ];

    /// The rule's name in records, configuration and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SignInSpray => "sign_in_spray",
            Self::FactorBruteForce => "factor_brute_force",
            Self::SessionTwoNetworks => "session_two_networks",
            Self::PathScan => "path_scan",
            Self::FirstRestrictedAccess => "first_restricted_access",
            Self::NewFactorRestrictedAccess => "new_factor_restricted_access",
        }
    }
}
