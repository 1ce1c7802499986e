//! How many connections and handshakes there may be at one time, in all and of one address.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kernel::request::client::AddressKey;
use kernel::request::host::Host;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::settings::Bounds;

/// Counts the connections of all listeners that hold it; a clone is the same count. The table of addresses holds only addresses
/// with open connections, so that it is bounded by the number of connections.
#[derive(Clone, Debug)]
pub struct Shares {
    all: Arc<Semaphore>,
    all_max: usize,
    handshakes: Arc<Semaphore>,
    /// The host that the last places are kept for.
    kept_for: Option<Host>,
    by_address: Arc<Mutex<HashMap<AddressKey, usize>>>,
    per_address_max: usize,
}

/// One connection's place, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    _one: OwnedSemaphorePermit,
}

/// One connection's place among those of its address, given back when dropped.
#[derive(Debug)]
pub(super) struct AddressPlace {
    by_address: Arc<Mutex<HashMap<AddressKey, usize>>>,
    key: AddressKey,
}

impl Shares {
    /// The last sixteenth of the connections is kept for `kept_for`, the gateway's own host, so that people can sign in and operators
    /// work while the rest is taken.
    #[must_use]
    pub fn new(bounds: &Bounds, kept_for: Option<Host>) -> Self {
        let all_max = bounds.connections.min(Semaphore::MAX_PERMITS);
        let all = Arc::new(Semaphore::new(all_max));
        let handshakes = Arc::new(Semaphore::new(bounds.handshakes.min(Semaphore::MAX_PERMITS)));
        Self { all, all_max, handshakes, kept_for, by_address: Arc::default(), per_address_max: bounds.connections_per_address }
    }

    /// Whether a connection, which has its place, may go on for this host.
    pub(super) fn has_room_for(&self, host: &Host) -> bool {
        self.kept_for.as_ref().is_none_or(|own| own == host) || self.all.available_permits() >= self.all_max / KEPT_PART
    }

    /// A permit for each handshake that is computed.
    pub(super) fn handshakes(&self) -> &Semaphore {
        &self.handshakes
    }

    /// `None` when there is no place left.
    pub(super) fn take(&self) -> Option<Place> {
        Arc::clone(&self.all).try_acquire_owned().ok().map(|one| Place { _one: one })
    }

    /// `None` when the address has its share.
    pub(super) fn take_for(&self, key: AddressKey) -> Option<AddressPlace> {
        let mut table = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = table.get(&key).copied().unwrap_or(0);
        if count >= self.per_address_max {
            return None;
        }
        table.insert(key, count + 1);
        Some(AddressPlace { by_address: Arc::clone(&self.by_address), key })
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let mut table = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        match table.get_mut(&self.key) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => {
                table.remove(&self.key);
            }
        }
    }
}

const KEPT_PART: usize = 16;
