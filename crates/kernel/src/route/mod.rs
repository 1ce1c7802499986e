//! Routes: the protected systems, found by the authority of a request. One map, no patterns, no default.

pub mod matcher;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::policy::rule::Rule;
use crate::request::CanonicalRequest;
use crate::request::host::{Authority, DEFAULT_PORT, Host};

/// The name of a route: letters, digits and hyphens, given by the file.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId(Arc<str>);

/// One protected system.
#[derive(Clone, Debug)]
pub struct Route {
    pub id: RouteId,
    pub from: Authority,
    /// Where it is, in the order of the file. Never empty.
    pub upstreams: Vec<Upstream>,
    pub class: Arc<str>,
    /// Session idle time of the class, where it is shorter than the gateway's.
    pub idle_timeout: Option<Duration>,
    pub rules: Vec<Rule>,
    /// Who answers for the system, for pages and the inventory.
    pub owner: Option<Box<str>>,
    /// Kinds of data behind it.
    pub data: Vec<Box<str>>,
    /// Whether fields whose names hold `_`, `.` or another mark beside `-` are let through.
    pub second_spellings: SecondSpellings,
    /// Names of the query parameters that may stand in the record.
    pub recorded_parameters: Vec<Box<str>>,
}

/// What happens to a request with a field name that has two readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SecondSpellings {
    #[default]
    Refuse,
    Allow,
}

/// An upstream address. Names are resolved when a connection is made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Upstream {
    Http(Endpoint),
    Https(Endpoint),
    /// The absolute path of a socket on this machine.
    Unix(Box<str>),
}

/// A host and its port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// DNS name or address, without brackets.
    pub host: Box<str>,
    pub port: u16,
}

/// Where a request is going.
#[derive(Clone, Debug)]
pub enum Target {
    /// The gateway's own host.
    Gateway,
    Route(Arc<Route>),
    /// No route has this authority.
    Unknown,
}

/// All routes of one configuration.
#[derive(Clone, Debug)]
pub struct RouteTable {
    gateway: Authority,
    routes: HashMap<Authority, Arc<Route>>,
}

/// Two routes have one authority, or a route has the gateway's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is taken already")]
pub struct AuthorityTaken(pub Authority);

impl RouteTable {
    pub fn new(gateway: Authority, routes: impl IntoIterator<Item = Route>) -> Result<Self, AuthorityTaken> {
        let mut table = HashMap::new();
        for route in routes {
            let taken = route.from == gateway || table.contains_key(&route.from);
            if taken {
                return Err(AuthorityTaken(route.from));
            }
            table.insert(route.from.clone(), Arc::new(route));
        }
        Ok(Self { gateway, routes: table })
    }

    /// Finds what a request is for. An authority that nobody listed is unknown: there is no default. So is a listed one
    /// that was asked for at another port than its own.
    #[must_use]
    pub fn find(&self, request: &CanonicalRequest) -> Target {
        if request.authority.port == request.port { self.find_authority(&request.authority) } else { Target::Unknown }
    }

    #[must_use]
    pub fn find_authority(&self, authority: &Authority) -> Target {
        if *authority == self.gateway {
            return Target::Gateway;
        }
        self.routes.get(authority).map_or(Target::Unknown, |route| Target::Route(Arc::clone(route)))
    }

    /// Where a host is served: at the default port if it is there, otherwise at the lowest. `None` for one that nobody listed.
    #[must_use]
    pub fn secure(&self, host: &Host) -> Option<Authority> {
        let usual = Authority { host: host.clone(), port: DEFAULT_PORT };
        if usual == self.gateway || self.routes.contains_key(&usual) {
            return Some(usual);
        }
        self.routes.keys().chain([&self.gateway]).filter(|authority| authority.host == *host).min().cloned()
    }

    #[must_use]
    pub const fn gateway(&self) -> &Authority {
        &self.gateway
    }

    /// Routes in the order of their names.
    #[must_use]
    pub fn sorted(&self) -> Vec<&Arc<Route>> {
        let mut routes: Vec<_> = self.routes.values().collect();
        routes.sort_by(|a, b| a.id.cmp(&b.id));
        routes
    }
}

impl RouteId {
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RouteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RouteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(endpoint) => write!(f, "http://{endpoint}"),
            Self::Https(endpoint) => write!(f, "https://{endpoint}"),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') { write!(f, "[{}]:{}", self.host, self.port) } else { write!(f, "{}:{}", self.host, self.port) }
    }
}
