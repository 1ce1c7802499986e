//! Proofs that the steps towards an upstream were taken, each made of the one before.
//!
//! Functions that mint a proof are called `assertion`, so that searching for the word lists every place that vouches.

use std::sync::Arc;

use crate::identity::Identity;
use crate::identity::assurance::FactorProof;
use crate::policy::rule::RuleId;
use crate::quota::Rate;
use crate::request::CanonicalRequest;
use crate::route::Route;
use crate::session::SessionId;

/// Proof that [`decide`](crate::policy::decide) allowed one request. Not `Clone`, and made nowhere else. It carries what
/// was judged, so that the upstream's URI is built from it, never from the raw head.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    request: Arc<CanonicalRequest>,
    route: Arc<Route>,
    rule: RuleId,
    rate: Option<Rate>,
    grantee: Grantee,
}

/// To whom a permit was given.
#[derive(Clone, Debug)]
pub enum Grantee {
    /// The rule is public.
    Anyone,
    Person(Box<Person>),
}

/// Whom the upstream is told about.
#[derive(Clone, Debug)]
pub struct Person {
    pub session: SessionId,
    pub identity: Arc<Identity>,
    pub proof: FactorProof,
}

/// Proof that the quotas of a permit were paid.
#[derive(Debug)]
#[must_use]
pub struct Admitted(Permit);

/// Proof that an audit record names the request.
#[derive(Debug)]
#[must_use]
pub struct Recorded(Admitted);

impl Permit {
    pub(super) const fn assertion(
        request: Arc<CanonicalRequest>,
        route: Arc<Route>,
        rule: RuleId,
        rate: Option<Rate>,
        grantee: Grantee,
    ) -> Self {
        Self { request, route, rule, rate, grantee }
    }

    #[must_use]
    pub const fn request(&self) -> &Arc<CanonicalRequest> {
        &self.request
    }

    #[must_use]
    pub const fn route(&self) -> &Arc<Route> {
        &self.route
    }

    #[must_use]
    pub const fn rule(&self) -> &RuleId {
        &self.rule
    }

    #[must_use]
    pub const fn rate(&self) -> Option<&Rate> {
        self.rate.as_ref()
    }

    #[must_use]
    pub const fn grantee(&self) -> &Grantee {
        &self.grantee
    }

    /// The person, unless the rule is public.
    #[must_use]
    pub fn person(&self) -> Option<&Person> {
        match &self.grantee {
            Grantee::Anyone => None,
            Grantee::Person(person) => Some(person),
        }
    }
}

impl Admitted {
    /// Called by the limiter alone, after every quota was paid.
    pub const fn assertion(permit: Permit) -> Self {
        Self(permit)
    }

    pub const fn permit(&self) -> &Permit {
        &self.0
    }
}

impl Recorded {
    /// Called by the recorder alone, after the record was kept as the durability in force promises.
    pub const fn assertion(admitted: Admitted) -> Self {
        Self(admitted)
    }

    pub const fn permit(&self) -> &Permit {
        &self.0.0
    }
}
