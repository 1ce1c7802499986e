//! The exchanges under way, so that those which a new configuration no longer allows can be cut.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use kernel::policy::decide::Person;
use kernel::policy::{Decision, Presented, decide};
use kernel::request::CanonicalRequest;
use kernel::route::{RouteId, RouteTable, Target};
use kernel::time::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::gateway::sessions::Live;
use crate::upstream::Progress;

/// All exchanges under way.
#[derive(Debug, Default)]
pub struct Exchanges {
    open: DashMap<u64, Exchange>,
    /// Kept beside, because the map would lock each of its parts to count itself.
    count: AtomicUsize,
    next: AtomicU64,
}

/// One exchange under way.
#[derive(Debug)]
pub struct Exchange {
    pub request: Arc<CanonicalRequest>,
    pub route: RouteId,
    pub progress: Arc<Progress>,
    pub person: Option<Arc<Live>>,
    pub cut: CancellationToken,
}

impl Exchanges {
    /// Notes an exchange; the number takes it out again.
    pub fn enter(&self, exchange: Exchange) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.open.insert(number, exchange);
        self.count.fetch_add(1, Ordering::Relaxed);
        number
    }

    pub fn leave(&self, number: u64) {
        if self.open.remove(&number).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    #[must_use]
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Every exchange, as far as it has come.
    #[must_use]
    pub fn under_way(&self) -> Vec<UnderWay> {
        let seen = |exchange: &Exchange| {
            let (bytes_in, bytes_out) = exchange.progress.seen();
            UnderWay {
                request: Arc::clone(&exchange.request),
                route: exchange.route.clone(),
                person: exchange.person.clone(),
                age: exchange.progress.started.elapsed(),
                bytes_in,
                bytes_out,
            }
        };
        self.open.iter().map(|entry| seen(&entry)).collect()
    }

    /// How many there are of each route that has any.
    #[must_use]
    pub fn by_route(&self) -> HashMap<RouteId, usize> {
        let mut counts = HashMap::new();
        self.open.iter().for_each(|entry| *counts.entry(entry.route.clone()).or_default() += 1);
        counts
    }

    /// Cuts every exchange that is still under way.
    pub fn cut_all(&self) {
        self.open.iter().for_each(|entry| entry.cut.cancel());
    }

    /// Judges every exchange by a new configuration and cuts those that it does not allow. A factor that has grown too old
    /// since the exchange began cuts nothing: freshness is asked at the door. Returns how many were cut.
    pub fn judge_again(&self, table: &RouteTable, now: Timestamp) -> usize {
        let refused: Vec<_> =
            self.open.iter().filter(|entry| !entry.value().is_allowed(table, now)).map(|entry| entry.cut.clone()).collect();
        refused.iter().for_each(CancellationToken::cancel);
        refused.len()
    }
}

/// One exchange at the moment of a look.
#[derive(Clone, Debug)]
pub struct UnderWay {
    pub request: Arc<CanonicalRequest>,
    pub route: RouteId,
    pub person: Option<Arc<Live>>,
    pub age: Duration,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

impl Exchange {
    fn is_allowed(&self, table: &RouteTable, now: Timestamp) -> bool {
        let Target::Route(route) = table.find(&self.request) else { return false };
        let Some(live) = &self.person else {
            return matches!(decide(&route, Arc::clone(&self.request), &Presented::Nobody, now), Decision::Allow(_));
        };
        let facts = live.facts();
        // Judged as at the moment of the latest proof, when it was fresh.
        let proved = facts.assurance.latest().map_or(now, |proof| proof.at);
        let presented = Presented::Person(Person { session: live.id(), identity: &facts.identity, assurance: &facts.assurance });
        let by = |time| matches!(decide(&route, Arc::clone(&self.request), &presented, time), Decision::Allow(_));
        by(now) || (by(proved) && !outside_hours(&route, self, &presented, now))
    }
}

/// Whether the rules that would let the exchange on are closed at this hour.
fn outside_hours(route: &Arc<kernel::route::Route>, exchange: &Exchange, presented: &Presented<'_>, now: Timestamp) -> bool {
    let open = route.rules.iter().any(|rule| {
        let outcome = rule.consider(&exchange.request, presented, now);
        outcome.in_scope() && outcome.network && outcome.hours
    });
    !open
}
