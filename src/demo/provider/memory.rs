//! Things that are remembered for a while: codes, tokens, sessions. Bounded, and gone when their time is over.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kernel::time::Timestamp;

/// Values by an unguessable name.
#[derive(Debug)]
pub(super) struct Memory<V>(Mutex<HashMap<String, (Timestamp, V)>>);

impl<V> Default for Memory<V> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
}

impl<V: Clone> Memory<V> {
    /// Remembers `value` until `until`. When full, the one that would be forgotten first is forgotten now.
    pub(super) fn insert(&self, name: String, value: V, until: Timestamp, now: Timestamp) {
        let mut entries = self.lock();
        entries.retain(|_, (end, _)| *end > now);
        if entries.len() >= ENTRIES_MAX
            && let Some(oldest) = entries.iter().min_by_key(|(_, (end, _))| *end).map(|(name, _)| name.clone())
        {
            entries.remove(&oldest);
        }
        entries.insert(name, (until, value));
    }

    pub(super) fn find(&self, name: &str, now: Timestamp) -> Option<V> {
        self.lock().get(name).filter(|(until, _)| *until > now).map(|(_, value)| value.clone())
    }

    /// Gives the value to the first who asks, and to nobody after.
    pub(super) fn take(&self, name: &str, now: Timestamp) -> Option<V> {
        self.lock().remove(name).filter(|(until, _)| *until > now).map(|(_, value)| value)
    }

    /// Takes whatever `chosen` picks.
    pub(super) fn take_where(&self, chosen: impl Fn(&V) -> bool) -> Vec<V> {
        self.lock().extract_if(|_, (_, value)| chosen(value)).map(|(_, (_, value))| value).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Timestamp, V)>> {
        // Every change is one call on the map, so a thread that panicked left nothing half-done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const ENTRIES_MAX: usize = 1024;
