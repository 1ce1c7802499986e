//! Counting within a sliding window, for many keys, in bounded memory.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::request::RequestId;
use crate::time::Timestamp;

/// A map that forgets what was put in first when it is full.
#[derive(Debug)]
pub(super) struct Bounded<K, V> {
    slots: BTreeMap<K, V>,
    order: VecDeque<K>,
    max: usize,
}

/// Marks of many keys.
#[derive(Debug)]
pub(super) struct Tally<K>(Bounded<K, Slot>);

/// One thing that happened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub at: Timestamp,
    /// What is counted once, however often it happens. Where each time counts, [`Mark::each`].
    pub what: Option<u64>,
    pub request: Option<RequestId>,
}

/// A threshold and its window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    pub count: usize,
    pub within: Duration,
    pub repeat_after: Duration,
}

/// The marks that reached a threshold.
#[derive(Debug)]
pub(super) struct Reached {
    pub first: Timestamp,
    pub events: u64,
    /// The last requests among them.
    pub requests: Vec<RequestId>,
}

#[derive(Debug, Default)]
struct Slot {
    marks: VecDeque<Mark>,
    told: Option<Timestamp>,
}

impl<K: Ord + Clone, V> Bounded<K, V> {
    pub fn new(max: usize) -> Self {
        Self { slots: BTreeMap::new(), order: VecDeque::new(), max: max.max(1) }
    }

    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.slots.get_mut(key)
    }

    /// The value of a key, made if need be; another key's is forgotten for it when there is no room.
    pub fn entry(&mut self, key: K, fresh: impl FnOnce() -> V) -> &mut V {
        if !self.slots.contains_key(&key) {
            // A key that was removed may still stand in the order, so that more than one may have to go.
            while self.order.len() >= self.max {
                if let Some(oldest) = self.order.pop_front() {
                    self.slots.remove(&oldest);
                }
            }
            self.order.push_back(key.clone());
        }
        self.slots.entry(key).or_insert_with(fresh)
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        let removed = self.slots.remove(key)?;
        self.order.retain(|known| known != key);
        Some(removed)
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        assert_eq!(self.slots.len(), self.order.len());
        self.slots.len()
    }
}

impl<K: Ord + Clone> Tally<K> {
    pub fn new(max: usize) -> Self {
        Self(Bounded::new(max))
    }

    /// Adds a mark. Answers when the threshold is reached; then the count begins anew, and is quiet for `repeat_after`.
    pub fn add(&mut self, key: K, mark: Mark, limit: Limit) -> Option<Reached> {
        let slot = self.0.entry(key, Slot::default);
        if slot.told.is_some_and(|told| told <= mark.at && mark.at.since(told) < limit.repeat_after) {
            return None;
        }
        slot.marks.retain(|known| mark.at.since(known.at) < limit.within && (mark.what.is_none() || known.what != mark.what));
        slot.marks.push_back(mark);
        if slot.marks.len() < limit.count {
            return None;
        }
        slot.told = Some(mark.at);
        let marks = std::mem::take(&mut slot.marks);
        Some(Reached {
            first: marks.front().map_or(mark.at, |first| first.at),
            events: u64::try_from(marks.len()).unwrap_or(u64::MAX),
            requests: last_requests(marks.iter().rev().filter_map(|mark| mark.request)),
        })
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

fn last_requests(newest_first: impl Iterator<Item = RequestId>) -> Vec<RequestId> {
    let mut requests: Vec<_> = newest_first.take(REQUESTS_MAX).collect();
    requests.reverse();
    requests
}

impl Mark {
    /// Something that counts each time.
    pub const fn each(at: Timestamp, request: Option<RequestId>) -> Self {
        Self { at, what: None, request }
    }
}

/// A short name for a text: whether two are the same, nothing more.
pub(super) fn name_of(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Requests that a finding names.
const REQUESTS_MAX: usize = 10;
