//! Reads back what stands on the disk: the records of a segment, as a tree, and the signed heads beside them.
//!
//! What a sync covers is read strictly: anything odd there means that somebody changed it. What no signed head covers may have
//! been written when the power went, and then a disk keeps any part of it in any order: the longest beginning that is whole
//! counts, and the rest is cut off.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;

use super::layout::{self, SegmentPaths};
use super::note::{Checkpoint, PublicKey, split_notes};
use super::recover::{StartFault, contradiction, open_note};
use super::tree::{Frontier, Hash, leaf_hash};

/// One segment, read and hashed.
pub struct Scan {
    pub tree: Frontier,
    pub leaves: Vec<Hash>,
    /// Bytes up to the last line that counts.
    pub length: u64,
    /// What stands after it.
    pub torn: Vec<u8>,
}

/// The heads in a `.checkpoints` file.
pub struct Notes {
    /// The first, which is that of the segment's start.
    pub first: Checkpoint,
    pub first_note: String,
    pub last: Checkpoint,
    /// How much of the file is whole.
    pub length: u64,
}

impl Scan {
    /// Reads a segment that begins at `start`. Lines up to the size `covered` must be records, each in its place.
    pub fn read(folder: &Path, segment: &SegmentPaths, start: &Frontier, covered: u64) -> Result<Self, StartFault> {
        let bytes = fs::read(&segment.records).map_err(|source| StartFault::Io { path: segment.records.clone(), source })?;
        let mut scan = Self { tree: start.clone(), leaves: Vec::new(), length: 0, torn: Vec::new() };
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let must_hold = scan.tree.size() < covered;
            let record = line
                .strip_suffix(b"\n")
                .filter(|record| layout::sequence_of(record) == Some(scan.tree.size()) && (must_hold || is_whole(record)));
            let Some(record) = record else {
                if must_hold && line.ends_with(b"\n") {
                    let line = scan.leaves.len() + 1;
                    return Err(contradiction(folder, &segment.records, format!("line {line} is not record {}", scan.tree.size())));
                }
                break;
            };
            let leaf = leaf_hash(record);
            scan.tree.push(leaf);
            scan.leaves.push(leaf);
            scan.length += line.len() as u64;
        }
        scan.torn = bytes.get(usize::try_from(scan.length).unwrap_or(usize::MAX)..).unwrap_or_default().to_vec();
        Ok(scan)
    }

    /// Compares the tree with heads that were signed, each at its size, the smallest first.
    pub fn compare(&self, folder: &Path, segment: &SegmentPaths, start: &Frontier, heads: &[&Checkpoint]) -> Result<(), StartFault> {
        for head in heads {
            let Some(root) = self.root_at(start, head.size) else {
                let what = if head.size < start.size() {
                    format!("a head of {} records stands out of order", head.size)
                } else {
                    format!("{} records were signed, and {} are there", head.size, self.tree.size())
                };
                return Err(contradiction(folder, &segment.records, what));
            };
            if root != head.root {
                let what = format!("the records up to {} are not those that were signed", head.size);
                return Err(contradiction(folder, &segment.records, what));
            }
        }
        Ok(())
    }

    /// The root over the first `size` records of the log; none where the segment does not reach to that.
    pub fn root_at(&self, start: &Frontier, size: u64) -> Option<Hash> {
        if size == self.tree.size() {
            return Some(self.tree.root());
        }
        let more = usize::try_from(size.checked_sub(start.size())?).ok()?;
        let mut tree = start.clone();
        self.leaves.get(..more)?.iter().for_each(|leaf| tree.push(*leaf));
        Some(tree.root())
    }
}

/// Whether a line that no signed head covers is a record, and not what a power cut left of one: a disk fills with zeros what
/// it did not get, and no record has any.
fn is_whole(record: &[u8]) -> bool {
    !record.iter().any(u8::is_ascii_control) && serde_json::from_slice::<IgnoredAny>(record).is_ok()
}

impl Notes {
    /// Reads the heads. The signatures of the first and the last are checked; all between them are `audit verify`'s matter,
    /// because a day has 86,400 of them and a start has no time for that.
    pub fn read(folder: &Path, key: &PublicKey, path: &Path) -> Result<Self, StartFault> {
        let bytes = fs::read(path).map_err(|source| StartFault::Io { path: path.to_owned(), source })?;
        // A tear may leave half a letter, which then belongs to what is cut off.
        let text = match std::str::from_utf8(&bytes) {
            Ok(text) => text,
            Err(fault) => std::str::from_utf8(bytes.get(..fault.valid_up_to()).unwrap_or_default()).unwrap_or_default(),
        };
        let (notes, _torn) = split_notes(text);
        let whole: Vec<&str> = notes.into_iter().take_while(|note| is_note(note, key.name())).collect();
        let (Some(first), Some(last)) = (whole.first(), whole.last()) else {
            return Err(contradiction(folder, path, "the head of the segment's start is missing".to_owned()));
        };
        Ok(Self {
            first: open_note(folder, key, path, first)?,
            first_note: (*first).to_owned(),
            last: open_note(folder, key, path, last)?,
            length: whole.iter().map(|note| note.len() as u64 + 1).sum(),
        })
    }
}

/// Whether a text has the form of a signed head, every part of it whole.
fn is_note(note: &str, name: &str) -> bool {
    let body = note.strip_prefix(name).is_some_and(|rest| rest.starts_with('\n'));
    let signature = note.rsplit_once(&format!("\n\n\u{2014} {name} ")).and_then(|(_, rest)| STANDARD.decode(rest.trim_end()).ok());
    let control = note.chars().any(|letter| letter.is_control() && letter != '\n');
    body && !control && signature.is_some_and(|bytes| bytes.len() == SIGNATURE_BYTES)
}

/// Four bytes that name the key, and an Ed25519 signature.
const SIGNATURE_BYTES: usize = 68;
