//! Which of a route's upstreams is asked, and which after it.

use std::sync::Arc;

use super::pool::Pool;

/// The upstreams in the order in which they are tried: the less busy of two that take turns, then the others, and those that
/// could not be reached lately only after all the rest. Nobody is left out: when all are down, all are tried.
pub fn order(pools: Vec<Arc<Pool>>, turn: usize) -> Vec<Arc<Pool>> {
    if pools.len() < 2 {
        return pools;
    }
    let (mut order, ejected): (Vec<_>, Vec<_>) = pools.into_iter().partition(|pool| !pool.is_ejected());
    put_less_busy_first(&mut order, turn);
    order.extend(ejected);
    order
}

/// Over time `turn` brings every pair together, in both orders, so that equally busy upstreams share the work.
fn put_less_busy_first(pools: &mut [Arc<Pool>], turn: usize) {
    let count = pools.len();
    let Some(others @ 1..) = count.checked_sub(1) else {
        return;
    };
    let first = turn % count;
    let second = (first + 1 + (turn / count) % others) % count;
    let busy = |index: usize| pools.get(index).map_or(usize::MAX, |pool| pool.outstanding());
    let chosen = if busy(second) < busy(first) { second } else { first };
    pools.swap(0, chosen);
}
