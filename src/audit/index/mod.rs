//! The index of a segment: which records hold a value, so that a search over many segments reads only what it finds. The newest
//! segment has one of what stood in it a while ago, and the rest of it is read.
//!
//! `NAME.index` beside the segment is a help and never the truth: what it points to is read again and checked, every part of it
//! has a checksum, and one that is missing, damaged, of another form or of another segment means that the segment is read
//! whole. It can be removed at any time, and is made again. Somebody who may write to the folder could still make an index that
//! leaves something out: where that matters, search without it (`--no-index`).
//!
//! Form, all numbers little-endian: the head (what segment it is of, times, how many records of what, the first term of every
//! block), the place of every sixteenth record, blocks of 4 KiB of sorted terms, and the lists of records of terms that have
//! more than two.

mod build;
mod form;
mod grow;
mod list;
mod read;

pub use build::{build, keep, survey, tend};
pub use form::{Census, ClassSpan, DAY_MILLIS, Head};
pub use grow::Tender;
pub use read::Index;

use std::path::{Path, PathBuf};

use super::layout::SegmentPaths;
use super::search::filter::ID_LETTERS;
use super::search::view::Field;

/// Where the index of a segment stands.
#[must_use]
pub fn path_of(segment: &SegmentPaths) -> PathBuf {
    Path::new(&segment.records).with_extension("index")
}

/// A value as the index knows it. Two values may be one term: what is found is compared again.
#[must_use]
pub fn term(field: Field, value: &str) -> u32 {
    let (tag, value) = match field {
        // Ids are found by their first letters.
        Field::RequestId => (b'i', value.get(..value.floor_char_boundary(ID_LETTERS)).unwrap_or_default()),
        Field::Person => (b'p', value),
        Field::Route => (b'r', value),
        Field::Decision => (b'd', value),
        Field::Reason => (b'w', value),
        Field::Event => (b'e', value),
    };
    // FNV-1a, mixed at the end. Somebody who makes names that are one term has records read in vain, and nothing else.
    let mut hash = (FNV_START ^ u64::from(tag)).wrapping_mul(FNV_PRIME);
    for byte in value.as_bytes() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(MIX);
    (hash ^ (hash >> 29)) as u32
}

const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;
/// The first multiplier of MurmurHash3's last step: every bit of a name reaches every bit that is kept.
const MIX: u64 = 0xff51_afd7_ed55_8ccd;

/// Records between two places that are noted.
pub const GRANULE: u32 = 16;

#[cfg(test)]
mod tests;
