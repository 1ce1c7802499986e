//! What is done for the log while it is written: indexes for searches, and what its retention asks for.
//!
//! Nothing here is in anybody's way: a failure is told, and tried again at the next turn.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::audit::index;
use crate::gateway::Gateway;

/// Makes indexes of segments that are closed, one at a time, until shutdown.
pub async fn make_indexes(gateway: Arc<Gateway>, folder: PathBuf, shutdown: CancellationToken) {
    let mut turn = tokio::time::interval(LOOK_EVERY);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(turn.tick()).await.is_some() {
        loop {
            let folder = folder.clone();
            let made = gateway.tasks.spawn_blocking(move || index::tend(&folder)).await;
            match made {
                Ok(Ok(true)) if !shutdown.is_cancelled() => {}
                Ok(Ok(_)) => break,
                Ok(Err(error)) => {
                    tracing::warn!(error = %error, "an index of the audit log could not be made; searches read the segment whole");
                    break;
                }
                Err(error) => {
                    tracing::error!(error = %error, "the making of indexes broke off");
                    return;
                }
            }
        }
    }
}

/// A segment is seldom closed; a search that comes first reads it whole.
const LOOK_EVERY: Duration = Duration::from_secs(5);
