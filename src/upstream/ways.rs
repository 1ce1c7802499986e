//! How each route reaches its upstreams, made from one configuration and replaced with it.
//!
//! What two configurations have in common goes on: connections, and what is known of an upstream's health.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kernel::Failure;
use kernel::request::headers;
use kernel::route::RouteId;
use tokio_util::sync::CancellationToken;

use super::backend::{Backend, BackendKey};
use super::outgoing::BodyBounds;
use super::settings::{Limits, Vouch, WaySettings};
use super::{Upstreams, health};

/// All ways of one configuration.
pub struct Ways(HashMap<RouteId, Way>);

/// How one route reaches its upstreams.
pub struct Way {
    /// Never empty.
    pub(super) backends: Vec<Arc<Backend>>,
    pub(super) limits: Limits,
    pub(super) assertion: Vouch,
}

impl Ways {
    /// The way of a route. Every route of the same configuration has one.
    pub fn of(&self, route: &RouteId) -> Result<&Way, Failure> {
        self.0.get(route).ok_or(Failure::Bug("a route has no way to its upstreams"))
    }

    #[cfg(test)]
    pub(super) fn backends(&self) -> impl Iterator<Item = &Arc<Backend>> {
        self.0.values().flat_map(|way| &way.backends)
    }
}

impl Way {
    /// gRPC streams may say little for long, so that only their pauses are bounded.
    pub(super) fn body_bounds(&self, fields: &http::HeaderMap) -> BodyBounds {
        BodyBounds {
            idle_timeout: self.limits.body_idle_timeout,
            rate_min: if headers::is_grpc(fields) { 0 } else { self.limits.body_rate_min },
            bytes_max: self.limits.body_bytes_max,
        }
    }
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Way").field("backends", &self.backends.len()).field("limits", &self.limits).finish()
    }
}

impl std::fmt::Debug for Ways {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ways").field("routes", &self.0.len()).finish()
    }
}

impl Upstreams {
    /// Makes the ways of a configuration. Upstreams that are reached as before stay as they are.
    #[must_use]
    pub fn ways(self: &Arc<Self>, routes: Vec<WaySettings>) -> Ways {
        Ways(routes.into_iter().map(|way| (way.route.clone(), self.way(way))).collect())
    }

    fn way(self: &Arc<Self>, way: WaySettings) -> Way {
        let backends =
            way.upstreams.iter().map(|upstream| self.backend(BackendKey::new(upstream, &way), || Backend::new(upstream, &way), &way));
        Way { backends: backends.collect(), limits: way.limits.clone(), assertion: way.assertion }
    }

    fn backend(self: &Arc<Self>, key: BackendKey, make: impl FnOnce() -> Backend, way: &WaySettings) -> Arc<Backend> {
        let mut known = self.backends();
        if let Some(backend) = known.get(&key).and_then(std::sync::Weak::upgrade) {
            return backend;
        }
        let backend = Arc::new(make());
        known.insert(key, Arc::downgrade(&backend));
        if let Some(check) = &way.health {
            let watch = health::watch(Arc::downgrade(self), Arc::downgrade(&backend), check.clone(), self.closing.clone());
            self.tasks.spawn(watch);
        }
        backend
    }

    /// Closes connections that waited too long, and forgets upstreams that no configuration has any more.
    fn sweep(&self) {
        self.backends().retain(|_, backend| backend.upgrade().inspect(|backend| backend.sweep()).is_some());
    }

    fn close(&self) {
        self.backends().values().filter_map(std::sync::Weak::upgrade).for_each(|backend| backend.close());
    }
}

/// Sweeps until the gateway ends, and closes at its end all that wait. Ends with the gateway, or with `upstreams`.
pub async fn sweep(upstreams: std::sync::Weak<Upstreams>, closing: CancellationToken) {
    loop {
        let goes_on = closing.run_until_cancelled(tokio::time::sleep(SWEEP_PERIOD)).await;
        let Some(upstreams) = upstreams.upgrade() else {
            return;
        };
        match goes_on {
            Some(()) => upstreams.sweep(),
            None => return upstreams.close(),
        }
    }
}

/// A connection that waited too long is not used in any case; this only closes it.
const SWEEP_PERIOD: Duration = Duration::from_secs(5);
