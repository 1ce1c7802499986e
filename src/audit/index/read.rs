//! Reads an index: its head, and of the rest only what is asked for.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::form::{BLOCK, ENTRIES, ENTRY, Entry, Head, PREFIX, SUM, checksum, read_entry};
use super::{GRANULE, list, path_of, term};
use crate::audit::layout::SegmentPaths;
use crate::audit::media::open_to_read;
use crate::audit::search::filter::Filter;

/// An open index of one segment.
#[derive(Debug)]
pub struct Index {
    file: File,
    head: Head,
    offsets_at: u64,
    blocks_at: u64,
    lists_at: u64,
}

impl Index {
    /// Opens the index of a segment that is closed. None when there is none that can be used.
    #[must_use]
    pub fn open(segment: &SegmentPaths) -> Option<Self> {
        Self::read(segment, |indexed, length| indexed == length)
    }

    /// Opens the index of a segment that may still grow: of its beginning.
    #[must_use]
    pub fn open_of_beginning(segment: &SegmentPaths) -> Option<Self> {
        Self::read(segment, |indexed, length| indexed <= length)
    }

    fn read(segment: &SegmentPaths, fits: impl FnOnce(u64, u64) -> bool) -> Option<Self> {
        let file = open_to_read(&path_of(segment)).ok()?;
        let mut start = vec![0; FIRST_READ];
        let got = read_up_to(&file, &mut start).ok()?;
        start.truncate(got);
        let length = Head::length(start.get(..PREFIX)?)?;
        if start.len() < length {
            start = read_at(&file, 0, length)?;
        }
        let head = Head::read(start.get(..length)?)?;
        let is_of_segment =
            head.first == segment.first && std::fs::metadata(&segment.records).is_ok_and(|found| fits(head.bytes, found.len()));
        let offsets_at = length as u64;
        let blocks_at = offsets_at + u64::from(head.records.div_ceil(GRANULE)) * 8;
        let lists_at = blocks_at + (head.fences.len() * BLOCK) as u64;
        let is_whole = file.metadata().is_ok_and(|found| found.len() == lists_at + head.lists);
        (is_of_segment && is_whole).then_some(Self { file, head, offsets_at, blocks_at, lists_at })
    }

    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// The records that may match, rising. None when the index is damaged.
    #[must_use]
    pub fn candidates(&self, filter: &Filter) -> Option<Vec<u32>> {
        let mut left: Option<Vec<u32>> = None;
        for (field, wanted) in filter.conditions() {
            let mut found = Vec::new();
            for value in wanted {
                found = list::either(&found, &self.records_of(term(field, value))?);
            }
            let narrowed = match left {
                None => found,
                Some(before) => list::both(&before, &found),
            };
            if narrowed.is_empty() {
                return Some(narrowed);
            }
            left = Some(narrowed);
        }
        Some(left.unwrap_or_else(|| (0..self.head.records).collect()))
    }

    /// Where the granule of a record begins and ends in the segment. None when the index is damaged.
    #[must_use]
    pub fn granule(&self, granule: u32) -> Option<(u64, u64)> {
        let last = self.head.records.div_ceil(GRANULE).checked_sub(1)?;
        let at = self.offsets_at + u64::from(granule) * 8;
        let places = read_at(&self.file, at, if granule == last { 8 } else { 16 })?;
        let mut places = places.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
        let (start, end) = (places.next()?, places.next().unwrap_or(self.head.bytes));
        (start < end && end <= self.head.bytes).then_some((start, end))
    }

    fn records_of(&self, term: u32) -> Option<Vec<u32>> {
        let after = self.head.fences.partition_point(|fence| *fence <= term);
        let Some(number) = after.checked_sub(1) else { return Some(Vec::new()) };
        let block = read_at(&self.file, self.blocks_at + (number * BLOCK) as u64, BLOCK)?;
        let (text, sum) = block.split_last_chunk::<SUM>()?;
        let (entries, count) = text.split_last_chunk::<4>()?;
        let count = u32::from_le_bytes(*count) as usize;
        if checksum(text) != *sum || count > ENTRIES {
            return None;
        }
        let entries = entries.as_chunks::<ENTRY>().0.get(..count)?;
        let found = entries.iter().filter_map(read_entry).find(|(known, _)| *known == term);
        let records = match found {
            None => Vec::new(),
            Some((_, Entry::One(record))) => vec![record],
            Some((_, Entry::Two(one, other))) => vec![one, other],
            Some((_, Entry::List(offset, length))) => self.list(offset, length)?,
        };
        records.last().is_none_or(|last| *last < self.head.records).then_some(records)
    }

    fn list(&self, offset: u32, length: u32) -> Option<Vec<u32>> {
        let bytes = read_at(&self.file, self.lists_at + u64::from(offset), SUM + length as usize)?;
        let (sum, list) = bytes.split_first_chunk::<SUM>()?;
        if checksum(list) == *sum { list::read(list, self.head.records) } else { None }
    }
}

fn read_at(file: &File, at: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, at).ok().map(|()| bytes)
}

fn read_up_to(file: &File, bytes: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while let Some(rest) = bytes.get_mut(got..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, got as u64)? {
            0 => break,
            more => got += more,
        }
    }
    Ok(got)
}

/// Most heads fit.
const FIRST_READ: usize = 8 * 1024;
