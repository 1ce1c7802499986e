//! How many connections and handshakes there may be at one time, in all and of one address.
//!
//! Where there is no place left, the oldest connection that has not asked for anything gives up its own: whoever behaves asks
//! within moments, and a crowd that says nothing keeps nobody out.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kernel::request::client::AddressKey;
use kernel::request::host::Host;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::settings::Bounds;

/// Counts the connections of all listeners that hold it; a clone is the same count. The table of addresses holds only addresses
/// with open connections, so that it is bounded by the number of connections.
#[derive(Clone, Debug)]
pub struct Shares {
    all: Arc<Mutex<All>>,
    all_max: usize,
    handshakes: Arc<Semaphore>,
    /// The host that the last places are kept for.
    kept_for: Option<Host>,
    by_address: Arc<Mutex<HashMap<AddressKey, usize>>>,
    per_address_max: usize,
}

/// Who has a place.
#[derive(Debug, Default)]
struct All {
    taken: usize,
    /// Those that have not asked for anything, the oldest first.
    silent: BTreeMap<u64, CancellationToken>,
    next: u64,
}

/// One connection's place, given back when dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<Standing>);

/// Whether a connection has asked for anything yet, which makes its place its own.
#[derive(Debug)]
pub(super) struct Standing {
    all: Arc<Mutex<All>>,
    number: u64,
    has_asked: AtomicBool,
    /// Another connection has the place.
    lost: CancellationToken,
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
        let (all, all_max) = (Arc::default(), bounds.connections);
        let handshakes = Arc::new(Semaphore::new(bounds.handshakes.min(Semaphore::MAX_PERMITS)));
        Self { all, all_max, handshakes, kept_for, by_address: Arc::default(), per_address_max: bounds.connections_per_address }
    }

    /// Whether a connection, which has its place, may go on for this host.
    pub(super) fn has_room_for(&self, host: &Host) -> bool {
        if self.kept_for.as_ref().is_none_or(|own| own == host) {
            return true;
        }
        let all = lock(&self.all);
        // What can be had counts as free.
        self.all_max.saturating_sub(all.taken).saturating_add(all.silent.len()) > self.all_max / KEPT_PART
    }

    /// A permit for each handshake that is computed.
    pub(super) fn handshakes(&self) -> &Semaphore {
        &self.handshakes
    }

    /// `None` when there is no place left, and none that somebody must give up.
    pub(super) fn take(&self) -> Option<Place> {
        let mut all = lock(&self.all);
        if all.taken < self.all_max {
            all.taken += 1;
        } else {
            let (_, oldest) = all.silent.pop_first()?;
            oldest.cancel();
        }
        let (number, lost) = (all.next, CancellationToken::new());
        all.next = all.next.wrapping_add(1);
        all.silent.insert(number, lost.clone());
        Some(Place(Arc::new(Standing { all: Arc::clone(&self.all), number, has_asked: AtomicBool::new(false), lost })))
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

impl Place {
    pub fn standing(&self) -> Arc<Standing> {
        Arc::clone(&self.0)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = lock(&self.0.all);
        // Where it was lost, whoever has it gives it back.
        if all.silent.remove(&self.0.number).is_some() || self.0.has_asked.load(Ordering::Acquire) {
            all.taken = all.taken.saturating_sub(1);
        }
    }
}

impl Standing {
    /// A request came.
    pub fn ask(&self) {
        if !self.has_asked.load(Ordering::Acquire) {
            let mut all = lock(&self.all);
            let keeps = all.silent.remove(&self.number).is_some();
            self.has_asked.store(keeps, Ordering::Release);
        }
    }

    /// Somebody else got the place.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }
}

/// Nothing under the lock panics.
fn lock(all: &Mutex<All>) -> MutexGuard<'_, All> {
    all.lock().unwrap_or_else(PoisonError::into_inner)
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
