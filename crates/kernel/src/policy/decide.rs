//! `decide`: one request, one route, one person, one answer. No default and no bool.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use crate::identity::Identity;
use crate::identity::assurance::{Assurance, Requirement, Strength};
use crate::policy::permit::{Grantee, Permit, Person as Granted};
use crate::policy::reason::Reason;
use crate::policy::rule::{AudienceOutcome, FactorOutcome, Outcome, Rule};
use crate::request::CanonicalRequest;
use crate::route::Route;
use crate::session::SessionId;
use crate::time::Timestamp;

/// Who shows up with a request, after the session was found and its life judged.
#[derive(Clone, Copy, Debug)]
pub enum Presented<'a> {
    Nobody,
    Person(Person<'a>),
}

/// A person with a live session.
#[derive(Clone, Copy, Debug)]
pub struct Person<'a> {
    pub session: SessionId,
    pub identity: &'a Arc<Identity>,
    pub assurance: &'a Assurance,
}

/// What policy says. Forgetting a case does not compile.
#[derive(Debug)]
#[must_use]
pub enum Decision {
    Allow(Permit),
    /// The same request would be allowed, or judged at all, after another step.
    Challenge(Challenge),
    Deny(Reason),
}

/// The step that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    SignIn,
    SecondFactor,
    /// A factor as the rule asks it, because the one shown is too weak or too old.
    StepUp {
        requirement: Requirement,
        reason: StepUp,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepUp {
    TooWeak,
    TooOld,
}

impl Challenge {
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::SignIn => Reason::NoSession,
            Self::SecondFactor => Reason::SecondFactorRequired,
            Self::StepUp { reason: StepUp::TooWeak, .. } => Reason::FactorTooWeak,
            Self::StepUp { reason: StepUp::TooOld, .. } => Reason::FactorTooOld,
        }
    }
}

/// Decides one request. Who has not signed in, or has shown no second factor, is told so before any rule that is not
/// public is looked at: nobody learns which paths exist.
pub fn decide(route: &Arc<Route>, request: impl Into<Arc<CanonicalRequest>>, presented: &Presented<'_>, now: Timestamp) -> Decision {
    let request = request.into();
    let mut nearest = Miss::NoRule;
    let mut public = None;
    for rule in &route.rules {
        let outcome = rule.consider(&request, presented, now);
        match (outcome.allows(), outcome.audience, presented, outcome.factor) {
            (true, AudienceOutcome::Member, Presented::Person(person), FactorOutcome::Met(proof)) => {
                let grantee = Granted { session: person.session, identity: Arc::clone(person.identity), proof };
                return Decision::Allow(permit(route, request, rule, Grantee::Person(Box::new(grantee))));
            }
            (true, AudienceOutcome::Public, _, FactorOutcome::NotAsked) => public = public.or(Some(rule)),
            _ => nearest = nearest.nearer(Miss::of(rule, &outcome)),
        }
    }
    if let Some(rule) = public {
        return Decision::Allow(permit(route, request, rule, Grantee::Anyone));
    }
    match presented {
        Presented::Nobody => Decision::Challenge(Challenge::SignIn),
        Presented::Person(person) if !person.assurance.has_any() => Decision::Challenge(Challenge::SecondFactor),
        Presented::Person(_) => nearest.decision(),
    }
}

fn permit(route: &Arc<Route>, request: Arc<CanonicalRequest>, rule: &Rule, grantee: Grantee) -> Permit {
    Permit::assertion(request, Arc::clone(route), rule.id.clone(), rule.rate.clone(), grantee)
}

/// By how much a rule missed; later variants are nearer. The nearest one is what the person is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Miss {
    NoRule,
    Network,
    Hours,
    Factor(Requirement, StepUp),
}

impl Miss {
    fn of(rule: &Rule, outcome: &Outcome) -> Self {
        let named = matches!(outcome.audience, AudienceOutcome::Member | AudienceOutcome::Public);
        if !outcome.in_scope() || !named {
            return Self::NoRule;
        }
        if !outcome.network {
            return Self::Network;
        }
        if !outcome.hours {
            return Self::Hours;
        }
        match outcome.factor {
            FactorOutcome::TooWeak => Self::Factor(rule.requirement, StepUp::TooWeak),
            FactorOutcome::TooOld => Self::Factor(rule.requirement, StepUp::TooOld),
            // Missing is answered before any miss is; met and not asked did not miss.
            FactorOutcome::Missing | FactorOutcome::NotAsked | FactorOutcome::Met(_) => Self::NoRule,
        }
    }

    fn nearer(self, other: Self) -> Self {
        [self, other].into_iter().max_by_key(|miss| miss.nearness()).unwrap_or(self)
    }

    /// Greater is nearer. Of two factor misses the one that asks less is nearer.
    const fn nearness(self) -> (u8, Option<Reverse<Strength>>, Option<Duration>) {
        match self {
            Self::NoRule => (0, None, None),
            Self::Network => (1, None, None),
            Self::Hours => (2, None, None),
            Self::Factor(asked, _) => (3, Some(Reverse(asked.strength)), Some(asked.max_age)),
        }
    }

    const fn decision(self) -> Decision {
        match self {
            Self::NoRule => Decision::Deny(Reason::NoRule),
            Self::Network => Decision::Deny(Reason::NetworkNotAllowed),
            Self::Hours => Decision::Deny(Reason::OutsideHours),
            Self::Factor(requirement, reason) => Decision::Challenge(Challenge::StepUp { requirement, reason }),
        }
    }
}
