//! The keys of people, for records that name them by pseudonym.
//!
//! Kept in the store, at hand in memory. When `forget` returns, no record that is begun later is sealed under the key it had.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kernel::Failure;
use kernel::identity::Subject;
use moka::sync::Cache;
use zeroize::Zeroizing;

use crate::audit::note::hex;
use crate::audit::pseudonym::{KeyAnswer, Keys, PersonKey};
use crate::entropy;
use crate::store::{self, Store};

/// Everybody's keys. One per gateway.
pub struct People {
    store: Arc<dyn Store>,
    /// Bounded: what falls out is read from the store again.
    at_hand: Cache<Subject, Arc<PersonKey>>,
    /// Counts erasures, so that a key that was being read meanwhile is not kept at hand.
    erasures: AtomicU64,
}

impl People {
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, at_hand: Cache::builder().max_capacity(KEYS_MAX).build(), erasures: AtomicU64::new(0) }
    }

    /// Lets go of a key whose row is gone.
    pub fn forget(&self, person: &Subject) {
        self.erasures.fetch_add(1, Ordering::AcqRel);
        self.at_hand.invalidate(person);
    }

    async fn load(&self, person: Subject) -> Result<Arc<PersonKey>, Failure> {
        let erasures = self.erasures.load(Ordering::Acquire);
        let fresh = store::PersonKey {
            pseudonym: hex(&entropy::bytes::<PSEUDONYM_BYTES>()?),
            key: Zeroizing::new(entropy::bytes::<32>()?.to_vec()),
        };
        let kept = self.store.person_key(person.clone(), fresh).await?;
        let key = Arc::new(PersonKey::new(&kept.pseudonym, &kept.key)?);
        if self.erasures.load(Ordering::Acquire) == erasures {
            self.at_hand.insert(person, Arc::clone(&key));
        }
        Ok(key)
    }
}

impl Keys for People {
    fn of(&self, person: Subject) -> KeyAnswer<'_> {
        Box::pin(async move {
            match self.at_hand.get(&person) {
                Some(key) => Ok(key),
                None => self.load(person).await,
            }
        })
    }

    fn at_hand(&self, person: &Subject) -> Option<Arc<PersonKey>> {
        self.at_hand.get(person)
    }
}

impl fmt::Debug for People {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("People").field("at_hand", &self.at_hand.entry_count()).finish_non_exhaustive()
    }
}

/// Some 400 bytes each.
const KEYS_MAX: u64 = 100_000;

/// Enough that no two people share a pseudonym.
const PSEUDONYM_BYTES: usize = 16;
