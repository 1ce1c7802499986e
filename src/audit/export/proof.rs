//! Writes the proof of an export, and checks it while doing so.
//!
//! Text, one item a line, to be read from top to bottom while the exported lines are read beside it:
//!
//! ```text
//! portcullis-export-proof 1
//! file NAME                  the file with the records
//! first SEQUENCE             of the first record
//! frontier HASH              the tree before it, largest subtree first; one line for each bit set in SEQUENCE
//! lines COUNT                the next COUNT lines of the file are the next records
//! hash LEVEL HASH            2^LEVEL records that are not in the file
//! checkpoint                 what follows is a signed note; its root is what all of this comes to
//! ```

use std::fs;
use std::io::Write;
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portcullis_verify::export::Subtrees;
use portcullis_verify::tiles::{TileFault, Tiles};

use super::ExportFault;
use crate::audit::layout::{self, SegmentPaths};
use crate::audit::note::{Checkpoint, PublicKey, split_notes};
use crate::audit::tree::leaf_hash;

/// Which records were exported.
pub struct Chosen {
    /// First and end of every run.
    runs: Vec<(u64, u64)>,
    /// Over the leaf hashes of all of them.
    sum: Context,
}

impl Default for Chosen {
    fn default() -> Self {
        Self { runs: Vec::new(), sum: Context::new(&SHA256) }
    }
}

impl Chosen {
    /// The next record.
    pub fn add(&mut self, sequence: u64, line: &[u8]) {
        self.sum.update(&leaf_hash(line));
        match self.runs.last_mut() {
            Some((_, end)) if *end == sequence => *end += 1,
            Some(_) | None => self.runs.push((sequence, sequence + 1)),
        }
    }

    /// The first record and the one after the last.
    pub fn span(&self) -> Option<(u64, u64)> {
        Some((self.runs.first()?.0, self.runs.last()?.1))
    }
}

/// How many records the latest checkpoint covers.
pub fn covered(folder: &Path) -> Result<u64, ExportFault> {
    let key = public_key(folder)?;
    let note = fs::read_to_string(layout::checkpoint(folder))?;
    key.open(&note).map(|head| head.size).map_err(|fault| ExportFault::Unproven(format!("the latest checkpoint: {fault}")))
}

/// Writes the proof of what was chosen. Of the records between and after those it reads no more than kept hashes.
pub fn write(folder: &Path, chosen: &Chosen, file: &str, out: &mut dyn Write) -> Result<(), ExportFault> {
    let Some((first, end)) = chosen.span() else { return Ok(()) };
    let (note, head) = head_over(folder, &layout::segments(folder)?, end)?;
    let tiles = Tiles::open(folder).map_err(missing)?;
    let frontier = tiles.frontier(first).map_err(missing)?;
    let mut tree = Subtrees::from_frontier(&frontier);
    writeln!(out, "portcullis-export-proof 1\nfile {file}\nfirst {first}")?;
    frontier.hashes().iter().try_for_each(|hash| writeln!(out, "frontier {}", STANDARD.encode(hash)))?;
    let mut sum = Context::new(&SHA256);
    let mut at = first;
    for (start, stop) in &chosen.runs {
        skip(&tiles, &mut tree, at, *start, out)?;
        writeln!(out, "lines {}", stop - start)?;
        at = *start;
        while at < *stop {
            let leaves = tiles.read(0, at, (stop - at).min(LEAVES_AT_ONCE)).map_err(missing)?;
            if leaves.is_empty() {
                return Err(ExportFault::Unproven(format!("the hash of record {at} is not there")));
            }
            for leaf in leaves {
                sum.update(&leaf);
                tree.push(0, leaf);
                at += 1;
            }
        }
    }
    skip(&tiles, &mut tree, at, head.size, out)?;
    if sum.finish().as_ref() != chosen.sum.clone().finish().as_ref() || tree.size() != head.size || tree.root() != head.root {
        return Err(ExportFault::Unproven(format!("the records {first} to {} are not those that were signed", head.size - 1)));
    }
    write!(out, "checkpoint\n{note}")?;
    Ok(())
}

/// Passes over records that are not exported, and writes their hashes, in as few subtrees as there are.
fn skip(tiles: &Tiles, tree: &mut Subtrees, from: u64, to: u64, out: &mut dyn Write) -> Result<(), ExportFault> {
    let mut at = from;
    while at < to {
        let level = at.trailing_zeros().min((to - at).ilog2());
        let hash = tiles.node(level, at >> level).map_err(missing)?;
        writeln!(out, "hash {level} {}", STANDARD.encode(hash))?;
        tree.push(level, hash);
        at += 1 << level;
    }
    Ok(())
}

/// The first signed head that covers the records before `end`: it stands in the segment of the last of them.
fn head_over(folder: &Path, segments: &[SegmentPaths], end: u64) -> Result<(String, Checkpoint), ExportFault> {
    let key = public_key(folder)?;
    let of_last = segments.iter().rev().find(|segment| segment.first < end);
    let notes = of_last.map(|segment| fs::read(&segment.checkpoints)).transpose()?.unwrap_or_default();
    let text = String::from_utf8_lossy(&notes);
    let heads = split_notes(&text).0.into_iter().filter_map(|note| Some((note.to_owned(), key.open(note).ok()?)));
    heads
        .into_iter()
        .find(|(_, head)| head.size >= end)
        .ok_or_else(|| ExportFault::Unproven(format!("no checkpoint covers record {}", end - 1)))
}

fn public_key(folder: &Path) -> Result<PublicKey, ExportFault> {
    let path = layout::public_key(folder);
    PublicKey::parse(&fs::read_to_string(&path)?).map_err(|fault| ExportFault::Unproven(format!("{}: {fault}", path.display())))
}

fn missing(fault: TileFault) -> ExportFault {
    ExportFault::Unproven(fault.to_string())
}

/// A few hundred KiB.
const LEAVES_AT_ONCE: u64 = 8_192;
