//! Allow rules, and how one rule stands to one request.

use std::fmt;
use std::sync::Arc;

use http::Method;
use ipnet::IpNet;

use crate::identity::assurance::{FactorProof, Requirement, Sufficiency};
use crate::identity::{Email, Group, Identity};
use crate::policy::decide::Presented;
use crate::policy::hours::Hours;
use crate::quota::Rate;
use crate::request::CanonicalRequest;
use crate::request::client::ClientAddress;
use crate::request::path::CanonicalPath;
use crate::route::matcher::PathPattern;
use crate::time::Timestamp;

/// The name of a rule within its route.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(Arc<str>);

/// An allow rule.
#[derive(Clone, Debug)]
pub struct Rule {
    pub id: RuleId,
    pub audience: Audience,
    pub methods: Methods,
    /// Never empty.
    pub paths: Vec<PathPattern>,
    pub except: Vec<PathPattern>,
    /// Client networks; `None` means any.
    pub networks: Networks,
    pub hours: Option<Hours>,
    /// Class and rule together; meaningless for [`Audience::Public`].
    pub requirement: Requirement,
    pub rate: Option<Rate>,
}

/// Whom a rule lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Everybody, signed in or not.
    Public,
    AnyoneSignedIn,
    /// Members of one of the groups, or one of the users. Not both empty.
    Listed {
        groups: Vec<Group>,
        users: Vec<User>,
    },
}

/// A person in a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum User {
    Email(Email),
    /// `sub` at whichever IdP.
    Sub(Box<str>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Methods {
    /// Every method but TRACE and CONNECT.
    All,
    Listed(Vec<Method>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Networks {
    Any,
    Listed(Vec<IpNet>),
}

/// How one rule stands to one request, criterion by criterion. A rule allows when every criterion holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub method: bool,
    pub path: PathOutcome,
    pub network: bool,
    pub hours: bool,
    pub audience: AudienceOutcome,
    pub factor: FactorOutcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathOutcome {
    Matches,
    NotListed,
    Excepted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudienceOutcome {
    Public,
    /// The person is one of those the rule names.
    Member,
    NotMember,
    NobodySignedIn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactorOutcome {
    NotAsked,
    Met(FactorProof),
    Missing,
    TooWeak,
    TooOld,
}

impl Rule {
    /// Compares the rule with a request.
    #[must_use]
    pub fn consider(&self, request: &CanonicalRequest, presented: &Presented<'_>, now: Timestamp) -> Outcome {
        Outcome {
            method: self.methods.contains(&request.method),
            path: self.consider_path(&request.path),
            network: self.networks.contains(request.client),
            hours: self.hours.as_ref().is_none_or(|hours| hours.contains(now)),
            audience: self.audience.consider(presented),
            factor: self.consider_factor(presented, now),
        }
    }

    fn consider_path(&self, path: &CanonicalPath) -> PathOutcome {
        if !self.paths.iter().any(|pattern| pattern.matches(path)) {
            return PathOutcome::NotListed;
        }
        if self.except.iter().any(|pattern| pattern.matches(path)) { PathOutcome::Excepted } else { PathOutcome::Matches }
    }

    fn consider_factor(&self, presented: &Presented<'_>, now: Timestamp) -> FactorOutcome {
        match (&self.audience, presented) {
            (Audience::Public, _) => FactorOutcome::NotAsked,
            (_, Presented::Nobody) => FactorOutcome::Missing,
            (_, Presented::Person(person)) => match person.assurance.meets(self.requirement, now) {
                Sufficiency::Met(proof) => FactorOutcome::Met(proof),
                Sufficiency::Missing => FactorOutcome::Missing,
                Sufficiency::TooWeak => FactorOutcome::TooWeak,
                Sufficiency::TooOld => FactorOutcome::TooOld,
            },
        }
    }
}

impl Audience {
    /// Whether a signed-in person is meant.
    #[must_use]
    pub fn names(&self, identity: &Identity) -> bool {
        match self {
            Self::Public | Self::AnyoneSignedIn => true,
            Self::Listed { groups, users } => {
                groups.iter().any(|group| identity.groups.contains(group)) || users.iter().any(|user| user.is(identity))
            }
        }
    }

    fn consider(&self, presented: &Presented<'_>) -> AudienceOutcome {
        match (self, presented) {
            (Self::Public, _) => AudienceOutcome::Public,
            (_, Presented::Nobody) => AudienceOutcome::NobodySignedIn,
            (Self::AnyoneSignedIn, Presented::Person(_)) => AudienceOutcome::Member,
            (Self::Listed { .. }, Presented::Person(person)) => {
                if self.names(person.identity) {
                    AudienceOutcome::Member
                } else {
                    AudienceOutcome::NotMember
                }
            }
        }
    }
}

impl User {
    fn is(&self, identity: &Identity) -> bool {
        match self {
            Self::Email(email) => identity.email.as_ref() == Some(email),
            Self::Sub(sub) => identity.subject.sub == **sub,
        }
    }
}

impl Methods {
    #[must_use]
    pub fn contains(&self, method: &Method) -> bool {
        match self {
            Self::All => !matches!(*method, Method::TRACE | Method::CONNECT),
            Self::Listed(methods) => methods.contains(method),
        }
    }
}

impl Networks {
    /// An unknown client is in no listed network.
    #[must_use]
    pub fn contains(&self, client: Option<ClientAddress>) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(networks) => client.is_some_and(|client| client.is_in(networks)),
        }
    }
}

impl Outcome {
    /// Whether the request lies in what the rule is about: method and path.
    #[must_use]
    pub fn in_scope(&self) -> bool {
        self.method && self.path == PathOutcome::Matches
    }

    /// Whether every criterion holds.
    #[must_use]
    pub fn allows(&self) -> bool {
        let audience = matches!(self.audience, AudienceOutcome::Public | AudienceOutcome::Member);
        let factor = matches!(self.factor, FactorOutcome::NotAsked | FactorOutcome::Met(_));
        self.in_scope() && self.network && self.hours && audience && factor
    }
}

impl RuleId {
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
