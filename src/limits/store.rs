//! The bounded memory of a limit.
//!
//! What happens when it is full: the key with the least debt makes room. A key's debt is the time until it is as if it had
//! never been seen; a key without debt costs nothing to forget. A key that is throttled has the greatest debt of all, so
//! that somebody who wants it forgotten must first bring every other key of its shard into as much debt, which is to
//! spend as much as the limit allows as many times as the store has keys. Whoever holds that many addresses has
//! that many budgets anyway. Forgetting always errs to the side of letting a request pass, never of refusing
//! one who has spent nothing: a flood of keys shuts nobody out.
//!
//! Keys are kept as fingerprints (SipHash under secret random keys), so that an entry has one size, whatever the length of
//! a subject, and nobody can aim at a shard or make two keys meet.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, PoisonError};

use governor::nanos::Nanos;
use governor::state::StateStore;

/// A key, as the store remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(u128);

/// Makes fingerprints under keys drawn at the start of the process.
#[derive(Clone, Debug, Default)]
pub struct Fingerprints {
    high: RandomState,
    low: RandomState,
}

/// Theoretical arrival times by key.
#[derive(Debug)]
pub struct BoundedStore {
    shards: Box<[Mutex<Shard>]>,
    shard_keys_max: usize,
}

#[derive(Debug, Default)]
struct Shard {
    by_key: HashMap<Fingerprint, u64>,
    /// The same entries; the least debt first.
    by_debt: BTreeSet<(u64, Fingerprint)>,
}

/// A power of two is not needed; sixteen locks are enough for the threads of a large machine.
const SHARDS: usize = 16;

impl Fingerprints {
    pub fn of(&self, key: impl Hash) -> Fingerprint {
        let half = |state: &RandomState| u128::from(state.hash_one(&key));
        Fingerprint(half(&self.high) << 64 | half(&self.low))
    }
}

impl BoundedStore {
    /// Room for at most `keys_max` keys, rounded up to a multiple of the shards.
    pub fn new(keys_max: usize) -> Self {
        let shards = std::iter::repeat_with(Mutex::default).take(SHARDS).collect();
        Self { shards, shard_keys_max: keys_max.div_ceil(SHARDS).max(1) }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).by_key.len()).sum()
    }

    fn shard(&self, key: Fingerprint) -> Option<&Mutex<Shard>> {
        let index = usize::try_from(key.0 % SHARDS as u128).unwrap_or(0);
        self.shards.get(index)
    }
}

impl Shard {
    fn set(&mut self, key: Fingerprint, arrival: u64, keys_max: usize) {
        match self.by_key.insert(key, arrival) {
            Some(before) => {
                self.by_debt.remove(&(before, key));
            }
            // One was added; the least indebted of the others makes room.
            None if self.by_key.len() > keys_max => {
                if let Some((_, forgotten)) = self.by_debt.pop_first() {
                    self.by_key.remove(&forgotten);
                }
            }
            None => {}
        }
        self.by_debt.insert((arrival, key));
    }
}

impl StateStore for BoundedStore {
    type Key = Fingerprint;

    fn measure_and_replace<T, F, E>(&self, key: &Fingerprint, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let Some(shard) = self.shard(*key) else {
            return measure(None).map(|(outcome, _)| outcome);
        };
        // A panic of another thread cannot leave a shard half changed in a way that matters: the worst is one forgotten key.
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let (outcome, next) = measure(shard.by_key.get(key).copied().map(Nanos::new))?;
        shard.set(*key, next.as_u64(), self.shard_keys_max);
        Ok(outcome)
    }
}
