//! Which of a route's upstreams is asked, and which after it.

use std::sync::Arc;

use super::backend::Backend;

/// The upstreams in the order in which they are tried: the less busy of two chosen at random, then the others, and those that
/// are out only after all the rest. Nobody is left out: when all are down, all are tried. Allocates nothing.
pub struct Order<'a> {
    backends: &'a [Arc<Backend>],
    first: usize,
    stage: Stage,
    next: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    First,
    OtherFit,
    OtherOut,
}

impl<'a> Order<'a> {
    /// `seed` is another number for every request.
    pub fn new(backends: &'a [Arc<Backend>], seed: u64) -> Self {
        Self { backends, first: choose(backends, seed), stage: Stage::First, next: 0 }
    }
}

impl<'a> Iterator for Order<'a> {
    type Item = &'a Arc<Backend>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.stage == Stage::First {
            self.stage = Stage::OtherFit;
            return self.backends.get(self.first);
        }
        loop {
            let index = self.next;
            let Some(backend) = self.backends.get(index) else {
                if self.stage == Stage::OtherOut {
                    return None;
                }
                (self.stage, self.next) = (Stage::OtherOut, 0);
                continue;
            };
            self.next += 1;
            if index != self.first && backend.condition.is_out() == (self.stage == Stage::OtherOut) {
                return Some(backend);
            }
        }
    }
}

fn choose(backends: &[Arc<Backend>], seed: u64) -> usize {
    if backends.len() < 2 {
        return 0;
    }
    let fit = backends.iter().filter(|backend| !backend.condition.is_out()).count();
    let counts = |backend: &Arc<Backend>| fit == 0 || !backend.condition.is_out();
    let candidates = u64::try_from(if fit == 0 { backends.len() } else { fit }).unwrap_or(1);
    let nth = |n: u64| {
        let mut counted = backends.iter().enumerate().filter(|(_, backend)| counts(backend)).map(|(index, _)| index);
        counted.nth(usize::try_from(n).unwrap_or(0)).unwrap_or(0)
    };
    let random = mix(seed);
    let (high, low) = (random >> 32, random & 0xffff_ffff);
    let first = high % candidates;
    if candidates < 2 {
        return nth(first);
    }
    let second = (first + 1 + low % (candidates - 1)) % candidates;
    let (first, second) = (nth(first), nth(second));
    match (backends.get(first), backends.get(second)) {
        (Some(a), Some(b)) if b.is_less_busy_than(a) => second,
        _ => first,
    }
}

/// Spreads consecutive numbers (the finalizer of SplitMix64). Nothing rests on it but an even spread.
const fn mix(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
