//! What has to be done every few seconds: keep sights of sessions, end those whose time is over, drop what nobody needs, and
//! put on record what nobody waits for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kernel::Failure;
use kernel::event::{AuthenticationFacts, AuthenticationStep, Body as EventBody, ConnectionsFacts, Event, LifecycleChange, LifecycleFacts};
use kernel::time::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::gateway::{Gateway, record};
use crate::listener::Refusals;

/// Runs until shutdown. A failure is told and tried again at the next turn.
pub async fn run(gateway: Arc<Gateway>, refusals: Vec<(Arc<str>, Arc<Refusals>)>, shutdown: CancellationToken) {
    let mut keys_seen = KeysSeen::default();
    let mut since = gateway.clock.now();
    let mut turn = tokio::time::interval(PERIOD);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut turns: u64 = 0;
    while shutdown.run_until_cancelled(turn.tick()).await.is_some() {
        tell(keep(&gateway).await);
        tell(keys_seen.compare(&gateway).await);
        if turns.is_multiple_of(SUM_EVERY) {
            tell(sum_up(&gateway, &refusals, &mut since).await);
        }
        if turns.is_multiple_of(SWEEP_EVERY) {
            tell(gateway.store.sweep(gateway.clock.now()).await.map_err(Failure::from));
        }
        turns = turns.wrapping_add(1);
    }
    tell(sum_up(&gateway, &refusals, &mut since).await);
}

/// The keys of each IdP as they were last seen. The first sight is no change: what was seen before a restart is not known.
#[derive(Default)]
struct KeysSeen(BTreeMap<String, [u8; 32]>);

impl KeysSeen {
    async fn compare(&mut self, gateway: &Gateway) -> Result<(), Failure> {
        let snapshot = gateway.snapshot.load_full();
        // No more than the IdPs that are configured.
        self.0.retain(|id, _| snapshot.idp(id).is_some());
        for idp in &snapshot.idps {
            let Some(keys) = idp.keys_seen() else { continue };
            if self.0.get(idp.id()).is_some_and(|known| *known != keys) {
                let facts = LifecycleFacts { change: LifecycleChange::IdpKeysChange, detail: Some(idp.id().to_owned()) };
                gateway.audit.keep(Event { time: gateway.clock.now(), body: EventBody::Lifecycle(Box::new(facts)) }).await?;
            }
            self.0.insert(idp.id().to_owned(), keys);
        }
        Ok(())
    }
}

/// Puts on record what came to nothing on the listeners since the last time.
async fn sum_up(gateway: &Gateway, refusals: &[(Arc<str>, Arc<Refusals>)], since: &mut Timestamp) -> Result<(), Failure> {
    let now = gateway.clock.now();
    for (listener, refusals) in refusals {
        for refused in refusals.take() {
            let facts = ConnectionsFacts {
                listener: Arc::clone(listener),
                fault: refused.fault,
                count: refused.count,
                since: *since,
                last: Some(refused.last),
            };
            let kept = gateway.audit.keep(Event { time: now, body: EventBody::Connections(Box::new(facts)) }).await;
            if let Err(failure) = kept {
                refusals.give_back(refused);
                return Err(failure);
            }
        }
    }
    *since = now;
    Ok(())
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

/// Connections that came to nothing are summed up once a minute.
const SUM_EVERY: u64 = 12;
const PERIOD: Duration = Duration::from_secs(5);
/// The store is swept once an hour.
const SWEEP_EVERY: u64 = 720;
