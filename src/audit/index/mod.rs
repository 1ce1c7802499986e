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
mod words;

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
    // Eight bytes at a time, because this is done for every value of every record. Somebody who makes names that are one term
    // has records read in vain, and nothing else.
    let (words, rest) = value.as_bytes().as_chunks::<8>();
    let mut last = [0; 8];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    let start = (value.len() as u64) << 8 | u64::from(tag);
    let hash = words.iter().chain([&last]).fold(mixed(start), |hash, word| mixed(hash ^ u64::from_le_bytes(*word)));
    (mixed(hash) >> 32) as u32
}

/// Every bit reaches the high half, and that reaches the low one for the next turn.
const fn mixed(hash: u64) -> u64 {
    let spread = hash.wrapping_mul(MIX);
    spread ^ (spread >> 32)
}

/// The first multiplier of MurmurHash3's last step: odd, and without a pattern.
const MIX: u64 = 0xff51_afd7_ed55_8ccd;

/// Records between two places that are noted.
pub const GRANULE: u32 = 16;

#[cfg(test)]
mod tests;
