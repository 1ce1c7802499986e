//! The id of a record: a UUID of version 7 (RFC 9562), unique, and in the order of time to the millisecond.
//!
//! It is no secret, so it needs no randomness of its own for each record: 74 bits are drawn when the first one is asked for,
//! and counted up from there (RFC 9562, section 6.2), so that neither two of a process are alike nor those of two processes.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use kernel::Failure;
use kernel::time::Timestamp;
use uuid::Uuid;

use crate::entropy;

pub(super) fn next(time: Timestamp) -> Result<Uuid, Failure> {
    let start = match START.get() {
        Some(start) => *start,
        None => {
            let drawn = u128::from_be_bytes(entropy::bytes()?);
            *START.get_or_init(|| drawn)
        }
    };
    Ok(made(time, start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed).into())))
}

/// Time, version and variant, with the lowest 74 bits of `count` around them.
fn made(time: Timestamp, count: u128) -> Uuid {
    let high = (count >> LOW_BITS) & 0xfff;
    let low = count & ((1 << LOW_BITS) - 1);
    Uuid::from_u128((u128::from(time.as_millis()) << 80) | (7 << 76) | (high << 64) | (0b10 << LOW_BITS) | low)
}

static START: OnceLock<u128> = OnceLock::new();
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Bits behind the variant.
const LOW_BITS: u32 = 62;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn ids_are_of_version_seven_and_name_their_time_and_count() {
        let time = Timestamp::from_seconds(1_790_000_000);
        for (count, shown) in [
            (0, "01a0c450-6c00-7000-8000-000000000000"),
            (1, "01a0c450-6c00-7000-8000-000000000001"),
            ((1 << 62) - 1, "01a0c450-6c00-7000-bfff-ffffffffffff"),
            (1 << 62, "01a0c450-6c00-7001-8000-000000000000"),
            (u128::MAX, "01a0c450-6c00-7fff-bfff-ffffffffffff"),
        ] {
            let id = made(time, count);
            assert_eq!(id.to_string(), shown);
            assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
        }
    }

    #[test]
    fn no_two_are_alike() {
        let ids: std::collections::BTreeSet<_> = (0..10_000).map(|_| next(Timestamp::from_seconds(1)).unwrap()).collect();
        assert_eq!(ids.len(), 10_000);
    }
}
