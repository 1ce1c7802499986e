//! What has to be done every few seconds: keep sights of sessions, end those whose time is over, drop what nobody needs.

use std::sync::Arc;
use std::time::Duration;

use kernel::Failure;
use kernel::event::{AuthenticationFacts, AuthenticationStep, Body as EventBody, Event};
use tokio_util::sync::CancellationToken;

use crate::gateway::{Gateway, record};

/// Runs until shutdown. A failure is told and tried again at the next turn.
pub async fn run(gateway: Arc<Gateway>, shutdown: CancellationToken) {
    let mut turn = tokio::time::interval(PERIOD);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut turns: u64 = 0;
    while shutdown.run_until_cancelled(turn.tick()).await.is_some() {
        tell(keep(&gateway).await);
        if turns.is_multiple_of(SWEEP_EVERY) {
            tell(gateway.store.sweep(gateway.clock.now()).await.map_err(Failure::from));
        }
        turns = turns.wrapping_add(1);
    }
}

async fn keep(gateway: &Gateway) -> Result<(), Failure> {
    let rules = gateway.snapshot.load().session;
    for (live, reason) in gateway.sessions.end_expired(&rules).await? {
        let facts = AuthenticationFacts {
            request_id: None,
            step: AuthenticationStep::Expire(reason),
            failure: None,
            detail: None,
            idp: Some(live.facts().idp.clone()),
            actor: Some(record::actor(&live)),
            client: None,
            user_agent: None,
        };
        gateway.audit.keep(Event { time: gateway.clock.now(), body: EventBody::Authentication(Box::new(facts)) }).await?;
    }
    gateway.sessions.keep_sights().await
}

fn tell(outcome: Result<(), Failure>) {
    if let Err(failure) = outcome {
        tracing::error!(error = %failure, "upkeep failed and will be tried again");
    }
}

const PERIOD: Duration = Duration::from_secs(5);
/// The store is swept once an hour.
const SWEEP_EVERY: u64 = 720;
