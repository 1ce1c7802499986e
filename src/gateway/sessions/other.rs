//! Two books over one store, while one gateway hands over to another: what ends in one ends in the other.
//!
//! Every end is in the store before it is told, so that a session that the other one looks up afterwards is found ended.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use kernel::session::{SessionId, TokenHash};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::Sessions;

/// What one book tells the other.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    Ended(Vec<SessionId>),
    /// The cookie leads nowhere any more.
    Replaced(TokenHash),
    /// More happened than could be told: nothing of what is in memory holds.
    Everything,
}

impl Sessions {
    /// Tells another book from now on. Full means that it does not listen: the last thing it hears then is that nothing holds.
    pub fn tell(&self, other: mpsc::Sender<Change>) {
        self.other.store(Some(Arc::new(other)));
    }

    pub(super) fn tell_other(&self, change: Change) {
        let Some(other) = self.other.load_full() else { return };
        match other.try_send(change) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                // The channel ends, and whoever reads it says so: see `Change::Everything`.
                tracing::error!("sessions end faster than the other process can be told");
                self.other.store(None);
            }
            Err(mpsc::error::TrySendError::Closed(_)) => self.other.store(None),
        }
    }

    /// Takes over what another book says. It is in the store already.
    pub fn hear(&self, change: Change) {
        self.ends.fetch_add(1, Ordering::AcqRel);
        match change {
            Change::Ended(ids) => ids.iter().for_each(|id| self.let_go(id)),
            Change::Replaced(cookie) => self.by_cookie.invalidate(&cookie),
            Change::Everything => {
                let all: Vec<_> = self.by_id.iter().map(|entry| *entry.key()).collect();
                all.iter().for_each(|id| self.let_go(id));
                self.by_cookie.invalidate_all();
            }
        }
    }

    fn let_go(&self, id: &SessionId) {
        if let Some((_, live)) = self.by_id.remove(id) {
            live.ended.cancel();
        }
    }
}
