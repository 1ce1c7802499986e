//! The head of an index, written and read.

use std::collections::BTreeMap;

use crate::audit::search::view::{FIELDS, Field, View};
use crate::audit::tree::sha256;

/// What an index is of, and where its parts stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Length of the segment's file: another length is another segment.
    pub bytes: u64,
    /// Sequence of the first record.
    pub first: u64,
    pub records: u32,
    /// Of the records, in milliseconds since 1970.
    pub earliest: u64,
    pub latest: u64,
    /// Lines that are not records.
    pub unreadable: u32,
    /// Length of the lists at the end.
    pub lists: u64,
    pub classes: Vec<ClassSpan>,
    pub census: Census,
    /// The first term of every block.
    pub fences: Vec<u32>,
}

/// What a segment holds of one OCSF class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassSpan {
    pub class: u32,
    pub records: u32,
    /// Of its records, in milliseconds since 1970.
    pub latest: u64,
}

/// How many records there are of what: for `audit stats`, which then needs no look at them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Days since 1970, UTC.
    pub days: BTreeMap<u32, u64>,
    /// OCSF classes.
    pub classes: BTreeMap<u32, u64>,
    /// Events, decisions, reasons and routes.
    pub words: BTreeMap<Field, BTreeMap<String, u64>>,
}

impl Census {
    /// Counts a record.
    pub fn add(&mut self, view: &View<'_>) {
        self.date(view);
        view.all().for_each(|(field, value)| self.word(field, value));
    }

    /// Counts the time and the class of a record.
    pub(super) fn date(&mut self, view: &View<'_>) {
        *self.days.entry(u32::try_from(view.time / DAY_MILLIS).unwrap_or(u32::MAX)).or_default() += 1;
        *self.classes.entry(u32::try_from(view.class_uid).unwrap_or(u32::MAX)).or_default() += 1;
    }

    /// Counts a value of a record.
    pub(super) fn word(&mut self, field: Field, value: &str) {
        if !is_counted(field) {
            return;
        }
        let words = self.words.entry(field).or_default();
        match words.get_mut(value) {
            Some(count) => *count += 1,
            None => {
                let word = if words.len() < WORDS_MAX { value } else { OTHERS };
                *words.entry(word.to_owned()).or_default() += 1;
            }
        }
    }

    /// Counts what another census counted.
    pub fn merge(&mut self, other: &Self) {
        other.days.iter().for_each(|(day, count)| *self.days.entry(*day).or_default() += count);
        other.classes.iter().for_each(|(class, count)| *self.classes.entry(*class).or_default() += count);
        for (field, words) in &other.words {
            let known = self.words.entry(*field).or_default();
            words.iter().for_each(|(word, count)| *known.entry(word.clone()).or_default() += count);
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        for numbers in [&self.days, &self.classes] {
            out.extend_from_slice(&(numbers.len() as u32).to_le_bytes());
            for (number, count) in numbers {
                out.extend_from_slice(&number.to_le_bytes());
                out.extend_from_slice(&count.to_le_bytes());
            }
        }
        let words = || self.words.iter().flat_map(|(field, words)| words.iter().map(move |(word, count)| (field, word, count)));
        out.extend_from_slice(&(words().count() as u32).to_le_bytes());
        for (field, word, count) in words() {
            out.push(FIELDS.iter().position(|known| known == field).unwrap_or_default() as u8);
            out.extend_from_slice(&(word.len() as u32).to_le_bytes());
            out.extend_from_slice(word.as_bytes());
            out.extend_from_slice(&count.to_le_bytes());
        }
    }

    fn read(rest: &mut Reader<'_>) -> Option<Self> {
        let mut census = Self::default();
        for numbers in [&mut census.days, &mut census.classes] {
            for _ in 0..rest.u32()? {
                numbers.insert(rest.u32()?, rest.u64()?);
            }
        }
        for _ in 0..rest.u32()? {
            let field = *FIELDS.get(usize::from(rest.u8()?))?;
            let length = rest.u32()? as usize;
            let (word, after) = rest.0.split_at_checked(length)?;
            rest.0 = after;
            census.words.entry(field).or_default().insert(std::str::from_utf8(word).ok()?.to_owned(), rest.u64()?);
        }
        Some(census)
    }
}

impl Head {
    /// With its length before and its checksum behind.
    pub fn write(&self) -> Vec<u8> {
        let mut body = Vec::new();
        body.extend_from_slice(&self.bytes.to_le_bytes());
        body.extend_from_slice(&self.first.to_le_bytes());
        body.extend_from_slice(&self.records.to_le_bytes());
        body.extend_from_slice(&self.earliest.to_le_bytes());
        body.extend_from_slice(&self.latest.to_le_bytes());
        body.extend_from_slice(&self.unreadable.to_le_bytes());
        body.extend_from_slice(&self.lists.to_le_bytes());
        body.extend_from_slice(&(self.classes.len() as u32).to_le_bytes());
        for span in &self.classes {
            body.extend_from_slice(&span.class.to_le_bytes());
            body.extend_from_slice(&span.records.to_le_bytes());
            body.extend_from_slice(&span.latest.to_le_bytes());
        }
        self.census.write(&mut body);
        body.extend_from_slice(&(self.fences.len() as u32).to_le_bytes());
        self.fences.iter().for_each(|fence| body.extend_from_slice(&fence.to_le_bytes()));
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&(body.len() as u32).to_le_bytes());
        out.extend_from_slice(&body);
        let sum = checksum(&out);
        out.extend_from_slice(&sum);
        out
    }

    /// How long the head is, by its first [`PREFIX`] bytes. None when this is not an index of this form.
    pub fn length(prefix: &[u8]) -> Option<usize> {
        let length = prefix.strip_prefix(MAGIC)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))?;
        (length <= HEAD_BYTES_MAX).then_some(PREFIX + length as usize + SUM)
    }

    /// Reads a whole head.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (text, sum) = bytes.split_last_chunk::<SUM>()?;
        if checksum(text) != *sum {
            return None;
        }
        let mut rest = Reader(text.get(PREFIX..)?);
        let mut head = Self {
            bytes: rest.u64()?,
            first: rest.u64()?,
            records: rest.u32()?,
            earliest: rest.u64()?,
            latest: rest.u64()?,
            unreadable: rest.u32()?,
            lists: rest.u64()?,
            ..Self::default()
        };
        for _ in 0..rest.u32()? {
            head.classes.push(ClassSpan { class: rest.u32()?, records: rest.u32()?, latest: rest.u64()? });
        }
        head.census = Census::read(&mut rest)?;
        for _ in 0..rest.u32()? {
            head.fences.push(rest.u32()?);
        }
        rest.0.is_empty().then_some(head)
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn u8(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn u32(&mut self) -> Option<u32> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*bytes))
    }

    fn u64(&mut self) -> Option<u64> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*bytes))
    }
}

/// Where the records of a term are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    One(u32),
    Two(u32, u32),
    /// Offset and length among the lists; the checksum of the list stands before it.
    List(u32, u32),
}

/// A term and where its records are, in [`ENTRY`] bytes.
pub fn write_entry(term: u32, entry: Entry, out: &mut Vec<u8>) {
    let (one, other) = match entry {
        Entry::One(record) => (record, NOTHING),
        Entry::Two(one, other) => (one, other),
        Entry::List(offset, length) => (offset | IS_LIST, length),
    };
    [term, one, other].iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
}

/// The term and the place of an entry.
pub fn read_entry(bytes: &[u8; ENTRY]) -> Option<(u32, Entry)> {
    let mut rest = Reader(bytes);
    let (term, one, other) = (rest.u32()?, rest.u32()?, rest.u32()?);
    let entry = match (one & IS_LIST, other) {
        (0, NOTHING) => Entry::One(one),
        (0, other) => Entry::Two(one, other),
        (_, length) => Entry::List(one & !IS_LIST, length),
    };
    Some((term, entry))
}

/// Finds damage, not malice.
pub fn checksum(bytes: &[u8]) -> [u8; SUM] {
    let hash = sha256(bytes);
    hash.first_chunk().copied().unwrap_or_default()
}

/// Names this form. Another form of index has another name, and is made anew.
pub const MAGIC: &[u8; 8] = b"PCINDEX3";

/// Name and length of the head.
pub const PREFIX: usize = 12;

/// Bytes of a checksum.
pub const SUM: usize = 16;

/// Bytes of an entry.
pub const ENTRY: usize = 12;

/// Bytes of a block: as many entries as fit, zeros, how many they are, and a checksum.
pub const BLOCK: usize = 4_096;

/// Entries of a block.
pub const ENTRIES: usize = (BLOCK - SUM - 4) / ENTRY;

/// Longest head: no segment has so many terms.
const HEAD_BYTES_MAX: u32 = 16 * 1024 * 1024;

const IS_LIST: u32 = 1 << 31;
const NOTHING: u32 = u32::MAX;

/// Whether it is counted by name. People and requests are too many.
pub(super) const fn is_counted(field: Field) -> bool {
    match field {
        Field::Event | Field::Decision | Field::Reason | Field::Route => true,
        Field::RequestId | Field::Person => false,
    }
}

/// Most words of a field that are counted by name. Routes and reasons are a few hundred; more come from nowhere good.
const WORDS_MAX: usize = 4_096;

/// What the rest is counted as.
const OTHERS: &str = "(others)";

pub const DAY_MILLIS: u64 = 86_400_000;
