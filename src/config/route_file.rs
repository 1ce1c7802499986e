//! `routes/NAME.toml` as types: one protected system and its allow rules.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use kernel::identity::assurance::{FactorKind, Requirement};
use kernel::identity::{Email, Group};
use kernel::policy::Reason;
use kernel::policy::hours::Hours;
use kernel::policy::rule::{Audience, Methods, Networks, RuleId};
use kernel::quota::Rate;
use kernel::request::client::ClientAddress;
use kernel::request::host::Authority;
use kernel::request::path::{CanonicalPath, PathFault};
use kernel::route::matcher::PathPattern;
use kernel::route::{RouteId, SecondSpellings, Upstream};
use kernel::time::Timestamp;

use super::sections::{Certificate, RootFile};

/// One protected system.
#[derive(Clone, Debug)]
pub struct RouteFile {
    /// Required. Letters, digits and hyphens.
    pub name: RouteId,
    /// Host and port that clients ask for, written as an `https://` URL without a path. Required.
    pub from: Authority,
    /// Where the system is. Required, never empty.
    pub to: Vec<Upstream>,
    /// Default `internal`.
    pub class: Arc<str>,
    /// Who answers for the system. Default nobody.
    pub owner: Option<Box<str>>,
    /// Kinds of data behind it, for the inventory. Default none.
    pub data: Vec<Box<str>>,
    /// Default none: nobody gets in.
    pub rules: Vec<AllowRule>,
    pub tests: Vec<RouteTest>,
    /// Names of query parameters that may stand in the audit record. Default none.
    pub recorded_parameters: Vec<Box<str>>,
    /// `underscore_headers`: default `refuse`.
    pub second_spellings: SecondSpellings,
    /// `[upstream]`: how the upstreams are reached.
    pub upstream: RouteUpstream,
}

/// `[upstream]` of a route. What it leaves open is `[upstream]` of `portcullis.toml`.
#[derive(Clone, Debug, Default)]
pub struct RouteUpstream {
    /// Default `h1`.
    pub protocol: UpstreamProtocol,
    /// Default `request`.
    pub assertion: Assertion,
    pub connect_timeout: Option<Duration>,
    pub first_byte_timeout: Option<Duration>,
    pub idle_timeout: Option<Duration>,
    /// Bytes of a request's body. Default none.
    pub body_max: Option<u64>,
    /// Bytes a second; 0 is no bound.
    pub body_rate_min: Option<u64>,
    /// The name that certificates must have. Default: the host in `to`.
    pub tls_name: Option<Box<str>>,
    /// Roots that are trusted beside the system's, instead of those of `portcullis.toml`.
    pub ca: Option<RootFile>,
    /// Shown to upstreams that ask for a client certificate. Default none.
    pub certificate: Option<Certificate>,
    pub slow_start: Option<Duration>,
    /// Default none: upstreams are judged by what becomes of exchanges alone.
    pub health: Option<Health>,
}

/// What a signed assertion stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Assertion {
    #[default]
    Request,
    /// For a session and a rule, and several requests.
    Session,
    /// None is sent.
    Off,
}

/// The HTTP version that is spoken to an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpstreamProtocol {
    #[default]
    Http1,
    /// By ALPN over TLS, by prior knowledge without.
    Http2,
    /// What the upstream chooses by ALPN; without TLS HTTP/1.1.
    Auto,
}

/// `[upstream.health]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Path and query. Required.
    pub path: Box<str>,
    /// Default: the upstream's own.
    pub host: Option<Box<str>>,
    /// Default 10s.
    pub interval: Duration,
    /// Default 2s.
    pub timeout: Duration,
    /// Default 3.
    pub unhealthy_after: u32,
    /// Default 2.
    pub healthy_after: u32,
}

/// `[[allow]]`
#[derive(Clone, Debug)]
pub struct AllowRule {
    /// Names the rule in records. Required, once per route.
    pub id: RuleId,
    /// `who` or `public = true`. Required.
    pub audience: Audience,
    /// Default `["GET", "HEAD"]`; `["*"]` means all.
    pub methods: Methods,
    /// Required, never empty.
    pub paths: Vec<PathPattern>,
    /// Default none.
    pub except: Vec<PathPattern>,
    /// What the rule asks of the second factor; what it leaves open is the class's. Never weaker than the class.
    pub requirement: Requirement,
    /// `from`: client networks. Default any.
    pub networks: Networks,
    /// Default always.
    pub hours: Option<Hours>,
    /// Requests of one subject under this rule. Default unlimited by the rule.
    pub rate: Option<Rate>,
}

/// `[[test]]`: a request and what is expected of it.
#[derive(Clone, Debug)]
pub struct RouteTest {
    /// `as`; nobody is signed in when it is left out.
    pub person: Option<TestPerson>,
    pub method: Method,
    /// A path without one reading is refused before any rule is asked.
    pub path: Result<CanonicalPath, PathFault>,
    /// `from`: the client's address. Default unknown, which is in no listed network.
    pub client: Option<ClientAddress>,
    /// `at`: RFC 3339. Default 2025-01-01T12:00:00Z, a Wednesday at noon, so that every check decides alike.
    pub at: Option<Timestamp>,
    /// `allow`, `challenge` or `deny`. Required.
    pub expect: Expectation,
    /// The reason code. Default: any.
    pub reason: Option<Reason>,
}

/// Whom a test or `explain` asks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestPerson {
    pub email: Option<Email>,
    pub sub: Box<str>,
    pub groups: Vec<Group>,
    pub factor: ShownFactor,
}

/// The second factor that is taken as shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShownFactor {
    None,
    /// `factor` (default `totp`), shown `factor_age` ago (default `0s`).
    Shown {
        kind: FactorKind,
        age: Duration,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    Allow,
    Challenge,
    Deny,
}

impl TestPerson {
    /// `user` is an e-mail address or a subject; without `sub` the subject has the user's name.
    #[must_use]
    pub fn new(user: Option<&str>, sub: Option<&str>, groups: Vec<Group>, factor: ShownFactor) -> Self {
        let email = user.and_then(|user| Email::parse(user).ok());
        Self { email, sub: sub.or(user).unwrap_or("somebody").into(), groups, factor }
    }
}

impl Expectation {
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Challenge => "challenge",
            Self::Deny => "deny",
        }
    }
}
