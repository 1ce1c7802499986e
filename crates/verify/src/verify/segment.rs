//! Verifies one segment, and names exactly what is wrong with its first bad record.
//!
//! The leaf hashes beside a segment are trusted as far as a signed root covers them. Up to there a bad line is found by its own
//! hash; without them it is found by the next checkpoint, to within the records between two of those.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;

use super::{FindingKind, Head, Source, VerifyFault, Walk};
use crate::layout::{self, SegmentPaths};
use crate::note::split_notes;
use crate::tree::{Frontier, Hash, leaf_hash};

/// Where a segment stands. Only the last may be unfinished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Earlier,
    Last,
}

/// What was read beside the records. Read before them, so that a log that grows meanwhile has all that was signed.
struct Beside {
    heads: Vec<Head>,
    /// Leaf hashes that a signed root covers.
    leaves: Vec<Hash>,
}

/// Checks one segment; what is found goes to the report.
pub fn check(walk: &mut Walk<'_>, paths: &SegmentPaths, place: Place) -> Result<(), VerifyFault> {
    let size = walk.tree.size();
    if paths.first != size {
        let (kind, what) = if paths.first > size {
            (FindingKind::Deleted, format!("records {size} to {} are missing", paths.first - 1))
        } else {
            (FindingKind::Duplicated, format!("it begins again with record {}, after {size} records", paths.first))
        };
        walk.found(kind, &paths.records, Some(1), Some(size), what);
        return Ok(());
    }
    let beside = Beside::read(walk, paths, place)?;
    let file = File::open(&paths.records).map_err(|source| VerifyFault::Io { path: paths.records.clone(), source })?;
    let mut lines = Lines { reader: BufReader::with_capacity(READ_BYTES, file), path: &paths.records };
    let mut heads = merge(beside.heads, walk).into_iter().peekable();
    let mut number = 0;
    let mut line = Vec::new();
    loop {
        while let Some(head) = heads.next_if(|head| head.checkpoint.size <= walk.tree.size()) {
            if !walk.meet(&head, &paths.records) {
                return Ok(());
            }
        }
        let bytes = lines.next(&mut line)?;
        if bytes == 0 {
            break;
        }
        let Some(record) = line.strip_suffix(b"\n") else {
            if place == Place::Last {
                walk.report.remarks.push("the last line is unfinished: a gateway writes it now, or was killed".to_owned());
            } else {
                let sequence = walk.tree.size();
                walk.found(FindingKind::Altered, &paths.records, Some(number + 1), Some(sequence), "the line is not whole".to_owned());
            }
            break;
        };
        number += 1;
        let leaf = leaf_hash(record);
        let at = usize::try_from(number - 1).unwrap_or(usize::MAX);
        let expected = beside.leaves.get(at);
        let good = expected.is_none_or(|expected| *expected == leaf) && layout::sequence_of(record) == Some(walk.tree.size());
        if !good {
            let bad = Bad { record: record.to_vec(), leaf, number, at };
            return explain(walk, paths, &beside.leaves, &bad, &mut lines);
        }
        walk.tree.push(leaf);
        walk.report.bytes += bytes as u64;
        (walk.progress)(walk.report.bytes);
    }
    let rest: Vec<Head> = heads.collect();
    end(walk, paths, place, rest);
    Ok(())
}

/// The records are over; heads that are left say that there were more.
fn end(walk: &mut Walk<'_>, paths: &SegmentPaths, place: Place, rest: Vec<Head>) {
    let size = walk.tree.size();
    let signed = rest.iter().filter(|head| head.source == Source::Segment).map(|head| head.checkpoint.size).max();
    // Heads from outside may belong to segments that come.
    walk.outside = rest.into_iter().filter(|head| head.source != Source::Segment).collect();
    if let Some(signed) = signed {
        let kind = if place == Place::Last { FindingKind::TailCut } else { FindingKind::Deleted };
        let what = format!("{signed} records were signed, and {size} are there: {} are missing at the end", signed - size);
        walk.found(kind, &paths.records, None, Some(size), what);
    }
}

/// The heads of the segment and those from outside, by size.
fn merge(mut heads: Vec<Head>, walk: &mut Walk<'_>) -> Vec<Head> {
    heads.append(&mut walk.outside);
    heads.sort_by_key(|head| head.checkpoint.size);
    heads
}

/// The first bad line.
struct Bad {
    record: Vec<u8>,
    leaf: Hash,
    number: u64,
    at: usize,
}

/// Says what happened to the first bad line: looks for it among the records that were signed, and for the record that should
/// stand there among the lines that follow.
fn explain(walk: &mut Walk<'_>, paths: &SegmentPaths, leaves: &[Hash], bad: &Bad, lines: &mut Lines<'_>) -> Result<(), VerifyFault> {
    let expected = walk.tree.size();
    let stated = layout::sequence_of(&bad.record);
    let places: HashMap<&Hash, usize> = leaves.iter().enumerate().map(|(at, leaf)| (leaf, at)).collect();
    let (next_is_expected, comes_later) = match leaves.get(bad.at) {
        Some(leaf) => look_ahead(lines, leaf)?,
        None => (false, false),
    };
    let first = paths.first;
    let global = |at: usize| first + at as u64;
    let (kind, what) = match (places.get(&bad.leaf), stated) {
        (Some(at), _) if *at < bad.at => (FindingKind::Duplicated, format!("record {} stands here a second time", global(*at))),
        (Some(at), _) if comes_later => {
            (FindingKind::Reordered, format!("record {} stands here, and record {expected} comes later", global(*at)))
        }
        (Some(at), _) => (FindingKind::Deleted, missing(expected, global(*at))),
        (None, Some(stated)) if bad.number == 1 && stated != expected => (
            FindingKind::Swapped,
            format!("the file begins with record {stated}: it stands in the place of another, or comes from another log"),
        ),
        (None, _) if next_is_expected => (FindingKind::Inserted, format!("the line was never signed; record {expected} comes after it")),
        (None, Some(stated)) if leaves.get(bad.at).is_none() && stated > expected => (FindingKind::Deleted, missing(expected, stated)),
        (None, Some(stated)) if leaves.get(bad.at).is_none() => (FindingKind::Duplicated, format!("record {stated} stands here again")),
        (None, Some(stated)) if stated != expected => {
            (FindingKind::Altered, format!("the line is not record {expected} but calls itself record {stated}"))
        }
        (None, Some(_)) => (FindingKind::Altered, format!("record {expected} is not what was signed")),
        (None, None) => (FindingKind::Altered, format!("the line is not a record; record {expected} stood here")),
    };
    walk.found(kind, &paths.records, Some(bad.number), Some(expected), what);
    Ok(())
}

fn missing(from: u64, to: u64) -> String {
    if from + 1 == to { format!("record {from} is missing") } else { format!("records {from} to {} are missing", to.saturating_sub(1)) }
}

/// Whether the next line has this hash, and whether any that follows has.
fn look_ahead(lines: &mut Lines<'_>, leaf: &Hash) -> Result<(bool, bool), VerifyFault> {
    let mut line = Vec::new();
    let mut first = true;
    while lines.next(&mut line)? > 0 {
        if leaf_hash(line.strip_suffix(b"\n").unwrap_or(&line)) == *leaf {
            return Ok((first, true));
        }
        first = false;
    }
    Ok((false, false))
}

impl Beside {
    fn read(walk: &mut Walk<'_>, paths: &SegmentPaths, place: Place) -> Result<Self, VerifyFault> {
        let heads = read_heads(walk, paths, place)?;
        let bytes = fs::read(&paths.leaves).unwrap_or_default();
        let (all, _torn) = bytes.as_chunks::<32>();
        let covered = covered_leaves(&walk.tree, all, heads.iter().chain(&walk.outside));
        if covered < all.len() && place == Place::Earlier {
            let name = paths.name();
            walk.report
                .remarks
                .push(format!("the leaf hashes beside {name} are not those that were signed: a bad record there is found less exactly"));
        }
        Ok(Self { heads, leaves: all.get(..covered).unwrap_or_default().to_vec() })
    }
}

/// How many of the leaves are covered by a head whose root they give.
fn covered_leaves<'a>(start: &Frontier, leaves: &[Hash], heads: impl Iterator<Item = &'a Head>) -> usize {
    let mut heads: Vec<&Head> = heads.collect();
    heads.sort_by_key(|head| head.checkpoint.size);
    let mut tree = start.clone();
    let mut covered = 0;
    let mut heads = heads.into_iter().filter(|head| head.checkpoint.size > start.size()).peekable();
    for (at, leaf) in leaves.iter().enumerate() {
        tree.push(*leaf);
        while let Some(head) = heads.next_if(|head| head.checkpoint.size <= tree.size()) {
            if head.checkpoint.root == tree.root() {
                covered = at + 1;
            }
        }
    }
    covered
}

/// The signed heads beside a segment. Every signature is checked; the first head must be the one at the segment's start.
fn read_heads(walk: &mut Walk<'_>, paths: &SegmentPaths, place: Place) -> Result<Vec<Head>, VerifyFault> {
    let path = &paths.checkpoints;
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => {
            walk.found(FindingKind::Checkpoint, path, None, None, "the segment's checkpoints are missing".to_owned());
            return Ok(Vec::new());
        }
        Err(source) => return Err(VerifyFault::Io { path: path.clone(), source }),
    };
    let text = String::from_utf8_lossy(&bytes);
    let (notes, torn) = split_notes(&text);
    if !torn.is_empty() && place == Place::Earlier {
        walk.found(FindingKind::Checkpoint, path, None, None, "the last checkpoint is not whole".to_owned());
    }
    let mut heads: Vec<Head> = Vec::with_capacity(notes.len());
    for (index, note) in notes.iter().enumerate() {
        match walk.key.open(note) {
            Ok(checkpoint) if heads.last().is_some_and(|last| checkpoint.size < last.checkpoint.size) || checkpoint.size < paths.first => {
                let what = format!("checkpoint {} of {} records stands out of order", index + 1, checkpoint.size);
                walk.found(FindingKind::Checkpoint, path, None, None, what);
            }
            Ok(checkpoint) => heads.push(Head { checkpoint, source: Source::Segment }),
            Err(fault) => walk.found(FindingKind::Signature, path, None, None, format!("checkpoint {}: {fault}", index + 1)),
        }
    }
    if heads.first().is_none_or(|head| head.checkpoint.size != paths.first) {
        walk.found(FindingKind::Checkpoint, path, None, None, "the checkpoint of the segment's start is missing".to_owned());
    }
    Ok(heads)
}

/// Lines of a file, with their line feeds.
struct Lines<'a> {
    reader: BufReader<File>,
    path: &'a Path,
}

impl Lines<'_> {
    fn next(&mut self, line: &mut Vec<u8>) -> Result<usize, VerifyFault> {
        line.clear();
        self.reader.read_until(b'\n', line).map_err(|source| VerifyFault::Io { path: self.path.to_owned(), source })
    }
}

const READ_BYTES: usize = 1024 * 1024;
