//! How many connections there may be, in all and of one address.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kernel::request::client::AddressKey;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Counts the connections of one listener. The table of addresses holds only addresses with open connections, so that it
/// is bounded by the number of connections.
#[derive(Clone, Debug)]
pub(super) struct Caps {
    all: Arc<Semaphore>,
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

impl Caps {
    pub fn new(all_max: usize, per_address_max: usize) -> Self {
        let all = Arc::new(Semaphore::new(all_max.min(Semaphore::MAX_PERMITS)));
        Self { all, by_address: Arc::default(), per_address_max }
    }

    /// `None` when the listener is full.
    pub fn take(&self) -> Option<Place> {
        Arc::clone(&self.all).try_acquire_owned().ok().map(|one| Place { _one: one })
    }

    /// `None` when the address has its share.
    pub fn take_for(&self, key: AddressKey) -> Option<AddressPlace> {
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
