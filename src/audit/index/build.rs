//! Makes indexes: reads a closed segment once, and puts the index in place whole or not at all.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::form::{BLOCK, ClassSpan, ENTRIES, Entry, Head, SUM, checksum, write_entry};
use super::read::Index;
use super::words::Words;
use super::{GRANULE, list, path_of, term};
use crate::audit::layout::{self, SegmentPaths};
use crate::audit::media::{FILE_MODE, open_to_read};
use crate::audit::search::glance;
use crate::audit::search::view::View;

/// The index of a segment that does not change any more. None when it is too large to have one.
pub fn build(segment: &SegmentPaths) -> io::Result<Option<Vec<u8>>> {
    Ok(gather(segment, &mut |_| ())?.map(|mut gathered| gathered.write(segment.first)))
}

/// What a segment holds, read from its records and from nothing beside them. `each` sees every line, line feed included.
pub fn survey(segment: &SegmentPaths, each: &mut dyn FnMut(&[u8])) -> io::Result<Option<Head>> {
    Ok(gather(segment, each)?.map(|mut gathered| {
        gathered.words.settle(&mut gathered.head.census);
        Head { first: segment.first, ..gathered.head }
    }))
}

fn gather(segment: &SegmentPaths, each: &mut dyn FnMut(&[u8])) -> io::Result<Option<Gathered>> {
    let file = open_to_read(&segment.records)?;
    let mut gathered = Gathered::default();
    let mut reader = BufReader::with_capacity(READ_BYTES, file);
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(Some(gathered));
        }
        each(&line);
        if gathered.take(&line, Writer::Unknown).is_none() {
            return Ok(None);
        }
    }
}

/// Builds an index and keeps it. Whoever does not own the log leaves no file in it.
pub fn keep(segment: &SegmentPaths) -> io::Result<()> {
    if !is_owner(segment)? {
        return Ok(());
    }
    build(segment)?.map_or(Ok(()), |bytes| put(segment, &bytes))
}

pub(super) fn is_owner(segment: &SegmentPaths) -> io::Result<bool> {
    let owner = fs::metadata(&segment.records)?.uid();
    Ok(owner == rustix::process::geteuid().as_raw())
}

pub(super) fn put(segment: &SegmentPaths, bytes: &[u8]) -> io::Result<()> {
    let path = path_of(segment);
    // Two processes may build the same index: each writes a draft of its own, and either is right.
    let draft = path.with_extension(format!("index.{}.draft", std::process::id()));
    let written = write_whole(&draft, bytes).and_then(|()| fs::rename(&draft, &path));
    if written.is_err() {
        // What is left of a draft takes space that the log may need.
        drop(fs::remove_file(&draft));
    }
    written
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(path)?;
    file.write_all(bytes)
}

/// Builds the index of the newest closed segment that has no good one. False when there is nothing to do.
pub fn tend(folder: &Path) -> io::Result<bool> {
    let segments = layout::segments(folder)?;
    let closed = segments.split_last().map_or(&[][..], |(_, closed)| closed);
    let Some(segment) = closed.iter().rev().find(|segment| Index::open(segment).is_none()) else { return Ok(false) };
    keep(segment)?;
    // One that still cannot be used would be built for ever.
    Ok(Index::open(segment).is_some())
}

/// Who wrote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writer {
    /// This process: its form is known, and need not be read whole.
    Ourselves,
    /// Another version of the gateway, or whoever can write to the folder.
    Unknown,
}

/// What a segment was found to hold.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    head: Head,
    offsets: Vec<u64>,
    /// Term and record, as one number.
    pairs: Vec<u64>,
    words: Words,
}

impl Gathered {
    pub(super) const fn bytes(&self) -> u64 {
        self.head.bytes
    }

    pub(super) const fn records(&self) -> u32 {
        self.head.records
    }

    /// Takes the next line, line feed included. None when there are too many.
    pub(super) fn take(&mut self, line: &[u8], writer: Writer) -> Option<()> {
        let record = self.head.records;
        if record >= RECORDS_MAX {
            return None;
        }
        if record.is_multiple_of(GRANULE) {
            self.offsets.push(self.head.bytes);
        }
        self.head.bytes += line.len() as u64;
        self.head.records += 1;
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let seen = match writer {
            Writer::Ourselves => glance(line),
            Writer::Unknown => None,
        };
        let Some(view) = seen.or_else(|| View::read(line)) else {
            self.head.unreadable += 1;
            return Some(());
        };
        let (earliest, latest) = (&mut self.head.earliest, &mut self.head.latest);
        *earliest = if self.head.classes.is_empty() { view.time } else { view.time.min(*earliest) };
        *latest = view.time.max(*latest);
        let class = u32::try_from(view.class_uid).unwrap_or(u32::MAX);
        match self.head.classes.iter_mut().find(|span| span.class == class) {
            Some(span) => {
                span.records += 1;
                span.latest = span.latest.max(view.time);
            }
            None => self.head.classes.push(ClassSpan { class, records: 1, latest: view.time }),
        }
        self.head.census.date(&view);
        for (field, value) in view.all() {
            let term = term(field, value);
            self.words.count(term, field, value, &mut self.head.census);
            self.pairs.push(u64::from(term) << 32 | u64::from(record));
        }
        Some(())
    }

    /// As an index of what was taken so far.
    pub(super) fn write(&mut self, first: u64) -> Vec<u8> {
        // Where this was done before, most of them are in order already, which this sort makes use of.
        self.pairs.sort();
        self.pairs.dedup();
        self.words.settle(&mut self.head.census);
        let (mut entries, mut lists, mut records) = (Vec::new(), Vec::new(), Vec::new());
        for group in self.pairs.chunk_by(|one, other| one >> 32 == other >> 32) {
            let Some(first) = group.first() else { continue };
            records.clear();
            records.extend(group.iter().map(|pair| *pair as u32));
            entries.push(((first >> 32) as u32, place(&records, &mut lists)));
        }
        let (mut fences, mut blocks) = (Vec::new(), Vec::new());
        for chunk in entries.chunks(ENTRIES) {
            fences.extend(chunk.first().map(|(term, _)| *term));
            let mut block = Vec::with_capacity(BLOCK);
            chunk.iter().for_each(|(term, entry)| write_entry(*term, *entry, &mut block));
            // Zeros are entries of a term that is not asked for: fewer are read, because a block says how many it has.
            block.resize(BLOCK - SUM - 4, 0);
            block.extend_from_slice(&(chunk.len() as u32).to_le_bytes());
            let sum = checksum(&block);
            block.extend_from_slice(&sum);
            blocks.extend_from_slice(&block);
        }
        let head = Head { first, lists: lists.len() as u64, fences, ..self.head.clone() };
        let mut out = head.write();
        self.offsets.iter().for_each(|offset| out.extend_from_slice(&offset.to_le_bytes()));
        out.extend_from_slice(&blocks);
        out.extend_from_slice(&lists);
        out
    }
}

fn place(records: &[u32], lists: &mut Vec<u8>) -> Entry {
    match records {
        [one] => Entry::One(*one),
        [one, other] => Entry::Two(*one, *other),
        many => {
            let mut list = Vec::new();
            list::write(many, &mut list);
            let offset = lists.len() as u32;
            lists.extend_from_slice(&checksum(&list));
            lists.extend_from_slice(&list);
            Entry::List(offset, list.len() as u32)
        }
    }
}

/// With so many records every number in an index fits; a segment never has as many.
const RECORDS_MAX: u32 = 1 << 24;

const READ_BYTES: usize = 1024 * 1024;
