//! What the gateway states of a person towards upstreams: fields that are the same for all requests of a session are written
//! once, and assertions that stand for a session are signed once in a while.
//!
//! Nothing kept here grants anything: a request gets here with a permit of its own. What is kept holds the identity that it was
//! made of, and is made anew when the session has another.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use kernel::Failure;
use kernel::identity::Identity;
use kernel::identity::assurance::FactorProof;
use kernel::policy::permit::{Permit, Person};
use kernel::policy::rule::RuleId;
use kernel::route::RouteId;
use kernel::session::SessionId;
use kernel::time::Timestamp;
use moka::sync::Cache;

use super::assertion::{AssertionKey, Named};
use super::head::{encode, field};
use super::settings::Vouch;

/// Writes statements, and keeps those that can be used again.
pub struct Statements {
    /// The gateway's own address, the issuer of assertions.
    gateway: String,
    key: AssertionKey,
    people: Cache<SessionId, Arc<Stated>>,
    assertions: Cache<Scope, Arc<Signed>>,
}

/// Fields that state a person. One that would be too long is left out.
pub struct Stated {
    identity: Arc<Identity>,
    pub subject: Option<HeaderValue>,
    pub email: Option<HeaderValue>,
    pub groups: Option<HeaderValue>,
}

/// What an assertion that stands for a session holds for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Scope {
    session: SessionId,
    route: RouteId,
    rule: RuleId,
    proof: FactorProof,
}

struct Signed {
    identity: Arc<Identity>,
    issued: Timestamp,
    token: HeaderValue,
}

impl Statements {
    pub fn new(gateway: String, key: AssertionKey) -> Self {
        Self { gateway, key, people: Cache::new(KEPT_MAX), assertions: Cache::new(KEPT_MAX) }
    }

    /// Who asks.
    pub fn person(&self, person: &Person) -> Arc<Stated> {
        if let Some(stated) = self.people.get(&person.session).filter(|stated| Arc::ptr_eq(&stated.identity, &person.identity)) {
            return stated;
        }
        let stated = Arc::new(Stated::new(&person.identity));
        self.people.insert(person.session, Arc::clone(&stated));
        stated
    }

    /// What is vouched for; none where the route wants none.
    pub fn assertion(&self, vouch: Vouch, permit: &Permit, person: &Person, now: Timestamp) -> Result<Option<HeaderValue>, Failure> {
        let sign = |named| -> Result<Option<HeaderValue>, Failure> {
            self.key.assertion(&self.gateway, permit, person, now, named).map(|token| field(&token))
        };
        match vouch {
            Vouch::Never => Ok(None),
            Vouch::EachRequest => sign(Named::Request),
            Vouch::EachSession => {
                let scope =
                    Scope { session: person.session, route: permit.route().id.clone(), rule: permit.rule().clone(), proof: person.proof };
                let kept = self.assertions.get(&scope);
                if let Some(signed) = kept.filter(|signed| Arc::ptr_eq(&signed.identity, &person.identity) && signed.is_fresh(now)) {
                    return Ok(Some(signed.token.clone()));
                }
                let token = sign(Named::Nothing)?;
                if let Some(token) = &token {
                    let signed = Signed { identity: Arc::clone(&person.identity), issued: now, token: token.clone() };
                    self.assertions.insert(scope, Arc::new(signed));
                }
                Ok(token)
            }
        }
    }

    /// The key set for `/.portcullis/jwks.json`.
    pub fn key_set(&self) -> String {
        self.key.key_set(&[])
    }
}

impl Stated {
    fn new(identity: &Arc<Identity>) -> Self {
        let groups: Vec<_> = identity.groups.iter().map(|group| encode(group.as_str(), b",")).collect();
        Self {
            subject: field(&encode(&identity.subject.to_string(), &[])),
            email: identity.email.as_ref().and_then(|email| field(&encode(email.as_str(), &[]))),
            groups: Some(groups).filter(|groups| !groups.is_empty()).and_then(|groups| field(&groups.join(","))),
            identity: Arc::clone(identity),
        }
    }
}

impl Signed {
    /// A clock that was set back makes a token of the future, which is not used.
    fn is_fresh(&self, now: Timestamp) -> bool {
        now >= self.issued && now.since(self.issued) < USED_FOR
    }
}

impl fmt::Debug for Statements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statements").field("gateway", &self.gateway).finish_non_exhaustive()
    }
}

/// How long an assertion that stands for a session is used. It is good for a minute, so that an upstream always has three
/// quarters of that.
const USED_FOR: Duration = Duration::from_secs(15);
/// Sessions, and scopes of assertions, that something is kept for. Some 1.5 KiB each.
const KEPT_MAX: u64 = 16_384;
