//! Detection at work: every event that is kept passes the detector; what it finds is put on record, counted, and told.
//!
//! The detector decides nothing about a request. It is asked under a lock for the length of a few look-ups; what it signals
//! goes through a bounded channel to a task that may wait for the store, the log and the notifier.

use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use kernel::detection::{ACCESS_KEPT, Detector, FindingFacts, Rules, Signal};
use kernel::event::{Body, Event};
use kernel::session::TokenHash;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::audit::Observer;
use crate::gateway::Gateway;
use crate::notify::Notifier;
use crate::store::StoreFault;

/// The detector, as the recorder sees it.
#[derive(Debug)]
pub struct Watch {
    detector: Mutex<Detector>,
    signals: mpsc::Sender<Signal>,
}

/// What was signalled and is not dealt with yet.
#[derive(Debug)]
pub struct Signals(mpsc::Receiver<Signal>);

impl Watch {
    pub fn new(rules: Rules) -> (Arc<Self>, Signals) {
        let (signals, taken) = mpsc::channel(SIGNALS_MAX);
        (Arc::new(Self { detector: Mutex::new(Detector::new(rules)), signals }), Signals(taken))
    }

    /// Other thresholds from now on.
    pub fn set_rules(&self, rules: Rules) {
        self.lock().set_rules(rules);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Detector> {
        self.detector.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Watch {
    fn kept(&self, event: &Event) {
        if !Detector::concerns(event) {
            return;
        }
        let found = self.lock().observe(event);
        for signal in found {
            // Full: findings come faster than they can be recorded. The events themselves stand in the log.
            if let Err(mpsc::error::TrySendError::Full(Signal::Finding(facts) | Signal::Access(facts))) = self.signals.try_send(signal) {
                tracing::error!(detection = facts.rule.name(), "a finding is lost: too many wait");
                self.lock().forget(&facts);
            }
        }
    }
}

/// Deals with signals until shutdown.
pub async fn run(gateway: Arc<Gateway>, watch: Arc<Watch>, mut signals: Signals, notifier: Arc<Notifier>, shutdown: CancellationToken) {
    while let Some(Some(signal)) = shutdown.run_until_cancelled(signals.0.recv()).await {
        let facts = match signal {
            Signal::Finding(facts) => facts,
            Signal::Access(facts) => match is_first(&gateway, &facts).await {
                Ok(First::Yes) => facts,
                Ok(First::No) => continue,
                Err(fault) => {
                    tracing::error!(error = %fault, "whether an access is a person's first could not be looked up; the next one will be");
                    watch.lock().forget(&facts);
                    continue;
                }
            },
        };
        gateway.metrics.found(facts.rule);
        let event = Event { time: gateway.clock.now(), body: Body::Finding(Box::new(facts.clone())) };
        let rule = facts.rule.name();
        // Whoever is told outside learns what the record says, and no name that is sealed in it.
        match gateway.audit.shown(&event).await {
            // But the person concerned is asked at their own address, whether records seal it or not.
            Ok(Event { body: Body::Finding(shown), .. }) => notifier.tell(*shown, facts.actor.and_then(|actor| actor.email)),
            Ok(_) => {}
            Err(failure) => tracing::error!(error = %failure, detection = rule, "a finding is not told: the person's key cannot be had"),
        }
        if let Err(failure) = gateway.audit.keep(event).await {
            tracing::error!(error = %failure, detection = rule, "a finding was not recorded");
        }
    }
}

enum First {
    Yes,
    No,
}

/// Whether the store never saw this person on this route, within a year. It has seen them afterwards.
async fn is_first(gateway: &Gateway, access: &FindingFacts) -> Result<First, StoreFault> {
    let (Some(actor), Some(route)) = (&access.actor, &access.route) else { return Ok(First::No) };
    let mut bytes = b"portcullis\0first access".to_vec();
    for part in [actor.subject.issuer.as_str(), &actor.subject.sub, route.as_str()] {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    let mut id = [0; 32];
    id.copy_from_slice(digest(&SHA256, &bytes).as_ref());
    let now = gateway.clock.now();
    let first = gateway.store.remember_once(TokenHash::from_bytes(id), now.plus(ACCESS_KEPT), now).await?;
    Ok(if first { First::Yes } else { First::No })
}

/// Signals that may wait.
const SIGNALS_MAX: usize = 256;
