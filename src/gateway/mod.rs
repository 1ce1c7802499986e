//! What a running gateway holds: ports, the configuration snapshot, the context of a request.
//!
//! The only mutable things are stores, quota cells, pending sign-ins and the audit queue. The configuration of a request is
//! one immutable snapshot, taken when the request arrives.

pub mod exchanges;
pub mod pending;
pub mod people;
pub mod record;
pub mod sessions;
pub mod visit;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use http::HeaderValue;
use kernel::request::client::TrustedProxies;
use kernel::request::host::Authority;
use kernel::route::RouteTable;
use kernel::session::SessionRules;
use kernel::time::Timestamp;
use tokio_util::task::TaskTracker;

use crate::audit::Recorder;
use crate::audit::sinks::Sinks;
use crate::clock::Clock;
use crate::gateway::exchanges::Exchanges;
use crate::gateway::pending::Pending;
use crate::gateway::people::People;
use crate::gateway::sessions::Sessions;
use crate::idp::Idp;
use crate::limits::Limits;
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::telemetry::traces::{Sampler, Tracer};
use crate::upstream::{Upstreams, Ways};

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    pub clock: Clock,
    pub snapshot: ArcSwap<Snapshot>,
    pub store: Arc<dyn Store>,
    pub sessions: Sessions,
    pub people: Arc<People>,
    pub pending: Pending,
    pub exchanges: Exchanges,
    pub audit: Recorder,
    pub sinks: Sinks,
    pub metrics: Metrics,
    pub tracer: Arc<Tracer>,
    /// Set while the files on disk hold a configuration, or certificates, that were refused.
    pub refused: ArcSwapOption<RefusedConfiguration>,
    /// Work that must finish although nobody waits for it.
    pub tasks: TaskTracker,
}

/// What was not taken, so that what was in force before still is.
#[derive(Clone, Debug)]
pub struct RefusedConfiguration {
    pub since: Timestamp,
    /// In short, for operators.
    pub why: String,
}

/// One configuration, compiled. Replaced whole on reload, with everything that depends on it.
#[derive(Debug)]
pub struct Snapshot {
    pub table: RouteTable,
    /// Names this configuration in records.
    pub hash: Arc<str>,
    /// In the order of the file.
    pub idps: Vec<Arc<Idp>>,
    pub session: SessionRules,
    pub enrolment: EnrolmentPolicy,
    pub listeners: Vec<ListenerTrust>,
    pub limits: Arc<Limits>,
    /// How each route reaches its upstreams.
    pub ways: Ways,
    pub upstreams: Arc<Upstreams>,
    /// `Strict-Transport-Security`, for every answer.
    pub hsts: HeaderValue,
    /// None where nothing is traced.
    pub traces: Option<Arc<Sampler>>,
    /// Exchanges that there may be at one time.
    pub exchanges_max: usize,
}

/// Whose word on the client's address a listener takes.
#[derive(Clone, Debug)]
pub struct ListenerTrust {
    pub name: Arc<str>,
    /// The port that clients see.
    pub public_port: u16,
    pub trusted: TrustedProxies,
}

/// What protects the enrolment of a first factor beyond the IdP's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnrolmentPolicy {
    /// An admin's one-time code.
    Invite,
    /// Nothing, within this time after the subject was first seen; an invitation afterwards.
    FirstLogin(Duration),
}

impl Snapshot {
    /// The gateway's own host.
    #[must_use]
    pub const fn authority(&self) -> &Authority {
        self.table.gateway()
    }

    /// What a listener may believe. One that the configuration no longer names is on its way to be closed.
    #[must_use]
    pub fn listener(&self, name: &str) -> Option<&ListenerTrust> {
        self.listeners.iter().find(|known| *known.name == *name)
    }

    #[must_use]
    pub fn idp(&self, id: &str) -> Option<&Arc<Idp>> {
        self.idps.iter().find(|idp| idp.id() == id)
    }
}
