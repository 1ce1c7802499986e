//! What has to be done every few seconds: keep sights of sessions, end those whose time is over, drop what nobody needs, memory
//! included, and put on record what nobody waits for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kernel::Failure;
use kernel::event::{AuthenticationFacts, AuthenticationStep, Body as EventBody, ConnectionsFacts, Event, LifecycleChange, LifecycleFacts};
use kernel::time::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::gateway::{Gateway, record};
use crate::listener::Refusals;

/// Runs until shutdown. A failure is told and tried again at the next turn. `clocks` were read before anything could change them.
pub async fn run(gateway: Arc<Gateway>, refusals: Vec<(Arc<str>, Arc<Refusals>)>, mut clocks: Clocks, shutdown: CancellationToken) {
    let mut keys_seen = KeysSeen::default();
    let mut since = gateway.clock.now();
    let mut turn = tokio::time::interval(PERIOD);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut turns: u64 = 0;
    while shutdown.run_until_cancelled(turn.tick()).await.is_some() {
        tell(watch_clocks(&gateway, &mut clocks).await);
        tell(keep(&gateway).await);
        tell(keys_seen.compare(&gateway).await);
        if turns.is_multiple_of(SUM_EVERY) {
            tell(sum_up(&gateway, &refusals, &mut since).await);
        }
        if turns.is_multiple_of(SWEEP_EVERY) {
            tell(gateway.store.sweep(gateway.clock.now()).await.map_err(Failure::from));
        }
        crate::system::memory::give_back();
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

/// Both clocks, read at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    wall: Timestamp,
    steady: Duration,
}

impl Clocks {
    pub fn read(clock: &Clock) -> Self {
        Self { wall: clock.now(), steady: clock.steady() }
    }

    /// How the clock on the wall was set since `self`; none when both clocks agree to a second.
    fn jump_to(self, now: Self) -> Option<String> {
        let expected = self.wall.plus(now.steady.saturating_sub(self.steady));
        let (way, by) = if now.wall >= expected { ("forward", now.wall.since(expected)) } else { ("back", expected.since(now.wall)) };
        (by > JUMP_MIN).then(|| format!("the clock was set {way} by {}.{:03} s", by.as_secs(), by.subsec_millis()))
    }
}

/// Puts on record that the clock was set: from then on times of records before and after cannot be compared.
async fn watch_clocks(gateway: &Gateway, seen: &mut Clocks) -> Result<(), Failure> {
    let now = Clocks::read(&gateway.clock);
    if let Some(detail) = seen.jump_to(now) {
        tracing::warn!(detail, "the machine's clock jumped");
        let body = EventBody::Lifecycle(Box::new(LifecycleFacts { change: LifecycleChange::ClockJump, detail: Some(detail) }));
        gateway.audit.keep(Event { time: now.wall, body }).await?;
    }
    *seen = now;
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
/// Time servers slew a clock by less than this in a period; more is a jump. A machine that slept has one as well.
const JUMP_MIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten steady seconds, in which the clock on the wall goes to `wall`.
    fn check(wall: u64, expected: Option<&str>) {
        let before = Clocks { wall: Timestamp::from_micros(1_000_000_000), steady: Duration::from_secs(7) };
        let now = Clocks { wall: Timestamp::from_micros(wall), steady: Duration::from_secs(17) };
        assert_eq!(before.jump_to(now).as_deref(), expected);
    }

    #[test]
    fn only_a_clock_that_was_set_has_jumped() {
        check(1_010_000_000, None);
        check(1_011_000_000, None);
        check(1_009_000_000, None);
        check(1_011_001_000, Some("the clock was set forward by 1.001 s"));
        check(1_008_500_000, Some("the clock was set back by 1.500 s"));
        check(0, Some("the clock was set back by 1010.000 s"));
    }
}
