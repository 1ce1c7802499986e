//! What only one process may do at a time with a store and a log: upkeep, indexes, retention, certificates. They end before a hand-over, and
//! begin again where it fails.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::keeping::{self, Retention};
use super::{Server, upkeep};
use crate::system::service::Service;

/// Those under way.
#[derive(Debug, Default)]
pub struct Duties {
    end: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    pub(super) async fn begin_duties(self: &Arc<Self>) {
        let duties = Duties { end: self.shutdown.child_token(), tasks: TaskTracker::new() };
        let gateway = || Arc::clone(&self.gateway);
        let config = self.config.load_full();
        let folder = config.audit.dir.clone();
        let asked = Arc::clone(self);
        let policy = keeping::policy(&config.audit.retention);
        let retention = Retention { folder: folder.clone(), policy, acknowledged: Box::new(move || asked.acknowledged()) };
        let clocks = upkeep::Clocks::read(&self.gateway.clock);
        let work = &self.gateway.tasks;
        // On both: a stop waits for them like for everything else.
        duties.tasks.spawn(work.track_future(keeping::make_indexes(gateway(), folder, duties.end.clone())));
        duties.tasks.spawn(work.track_future(keeping::retain(gateway(), retention, duties.end.clone())));
        duties.tasks.spawn(work.track_future(upkeep::run(gateway(), self.refusals.clone(), clocks, duties.end.clone())));
        let (acme, end) = (Arc::clone(&self.acme), duties.end.clone());
        duties.tasks.spawn(work.track_future(async move { acme.run(end).await }));
        *self.duties.lock().await = duties;
    }

    /// Tells the service manager, again and again until the gateway stops, that tasks run and records have a writer.
    pub fn feed(&self, service: Arc<Service>, every: Duration) {
        let (gateway, shutdown) = (Arc::clone(&self.gateway), self.shutdown.clone());
        self.gateway.tasks.spawn(async move {
            let mut turn = tokio::time::interval(every);
            turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            while shutdown.run_until_cancelled(turn.tick()).await.is_some() {
                if gateway.audit.has_writer() {
                    service.alive();
                } else {
                    tracing::error!("records have no writer: the service manager is not told that all is well");
                }
            }
        });
    }

    /// Ends them. False where one of them does not end in time.
    pub(super) async fn end_duties(&self) -> bool {
        let duties = self.duties.lock().await;
        duties.end.cancel();
        duties.tasks.close();
        tokio::time::timeout(END_WITHIN, duties.tasks.wait()).await.is_ok()
    }
}

/// One index, or one segment that is dropped.
const END_WITHIN: Duration = Duration::from_secs(20);
