//! What is done for the log while it is written: indexes for searches, and what its retention asks for.
//!
//! Nothing here is in anybody's way: a failure is told, and tried again at the next turn.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::audit::index::Tender;
use crate::audit::retention::{CLASSES, Policy, enforce};
use crate::config;
use crate::gateway::Gateway;

/// Makes the indexes, one at a time, until shutdown.
pub async fn make_indexes(gateway: Arc<Gateway>, folder: PathBuf, shutdown: CancellationToken) {
    let mut turn = tokio::time::interval(LOOK_EVERY);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut tender = Tender::default();
    while shutdown.run_until_cancelled(turn.tick()).await.is_some() {
        loop {
            let folder = folder.clone();
            let work = gateway.tasks.spawn_blocking(move || {
                let made = tender.tend(&folder);
                (tender, made)
            });
            let made = match work.await {
                Ok((back, made)) => {
                    tender = back;
                    made
                }
                Err(error) => {
                    tracing::error!(error = %error, "the making of indexes broke off");
                    return;
                }
            };
            match made {
                Ok(true) if !shutdown.is_cancelled() => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(error = %error, "an index of the audit log could not be made; searches read the segment whole");
                    break;
                }
            }
        }
    }
}

/// What is kept for how long, and for whom.
pub struct Retention {
    pub folder: PathBuf,
    pub policy: Policy,
    /// The first record that a sink still needs; the end of time where there is none.
    pub acknowledged: Box<dyn Fn() -> u64 + Send + Sync>,
}

/// The policy of a configuration.
#[must_use]
pub fn policy(retention: &config::Retention) -> Policy {
    let named = CLASSES.iter().filter_map(|(name, class)| Some((*class, *retention.classes.get(name)?)));
    Policy { default: retention.default, classes: named.collect() }
}

/// Drops what retention does not keep any more: at the start, and once an hour.
pub async fn retain(gateway: Arc<Gateway>, retention: Retention, shutdown: CancellationToken) {
    let mut turn = tokio::time::interval(RETAIN_EVERY);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(turn.tick()).await.is_some() {
        let acknowledged = (retention.acknowledged)();
        let now = gateway.clock.now();
        match enforce(&gateway.audit, &retention.folder, &retention.policy, now, acknowledged).await {
            Ok(None) => {}
            Ok(Some(end)) => tracing::info!(audit.first = end, "records whose retention is over were dropped"),
            Err(fault) => tracing::error!(error = %fault, "retention failed and will be tried again"),
        }
    }
}

/// What came meanwhile is read by a search.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Retention counts in days.
const RETAIN_EVERY: Duration = Duration::from_secs(3_600);
