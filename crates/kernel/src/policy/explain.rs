//! `explain`: the decision with its grounds, rule by rule, from the very comparison that `decide` makes.

use std::sync::Arc;

use crate::policy::decide::{Challenge, Decision, Presented, decide};
use crate::policy::reason::Reason;
use crate::policy::rule::{Outcome, RuleId};
use crate::request::CanonicalRequest;
use crate::route::Route;
use crate::time::Timestamp;

/// A decision and how every rule stood to the request.
#[derive(Clone, Debug)]
pub struct Explanation {
    pub verdict: Verdict,
    pub rules: Vec<(RuleId, Outcome)>,
}

/// A decision without its permit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allow(RuleId),
    Challenge(Challenge),
    Deny(Reason),
}

impl Verdict {
    /// The word that the record states.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Allow(_) => "allow",
            Self::Challenge(_) => "challenge",
            Self::Deny(_) => "deny",
        }
    }

    /// The reason code; none for an allow.
    #[must_use]
    pub const fn reason(&self) -> Option<Reason> {
        match self {
            Self::Allow(_) => None,
            Self::Challenge(challenge) => Some(challenge.reason()),
            Self::Deny(reason) => Some(*reason),
        }
    }
}

/// Decides, and says why. The permit is dropped: an explanation lets nothing through.
#[must_use]
pub fn explain(route: &Arc<Route>, request: &CanonicalRequest, presented: &Presented<'_>, now: Timestamp) -> Explanation {
    let rules = route.rules.iter().map(|rule| (rule.id.clone(), rule.consider(request, presented, now))).collect();
    let verdict = match decide(route, request.clone(), presented, now) {
        Decision::Allow(permit) => Verdict::Allow(permit.rule().clone()),
        Decision::Challenge(challenge) => Verdict::Challenge(challenge),
        Decision::Deny(reason) => Verdict::Deny(reason),
    };
    Explanation { verdict, rules }
}
