//! Checks an export of records against its proof: that every line of it stands in the log, and where.
//!
//! Nothing else of the log is needed. What is not proven is said: records between the exported ones may have been left out,
//! unless all of them follow one another; and in a table the column `record` alone is what the proof is about.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use thiserror::Error;

use crate::layout::sequence_of;
use crate::note::PublicKey;
use crate::tree::{Frontier, Hash, leaf_hash, node_hash, sha256};

/// What was proven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proven {
    pub origin: String,
    pub records: u64,
    /// Sequence of the first record, and of the last.
    pub first: u64,
    pub last: u64,
    /// Whether the records follow one another, so that none between them was left out.
    pub contiguous: bool,
    /// How many records the checkpoint covers.
    pub checkpoint: u64,
}

/// Why an export is not proven.
#[derive(Debug, Error)]
pub enum ExportFault {
    #[error("cannot read {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} is not a proof of an export: line {line}")]
    Form { path: PathBuf, line: u64 },
    #[error("line {line} of the export is not a record: {what}")]
    Line { line: u64, what: &'static str },
    #[error("line {line} of the export calls itself record {stated}, and the proof puts record {expected} there")]
    Sequence { line: u64, stated: u64, expected: u64 },
    #[error("the export has {0} lines, and the proof is about another number")]
    Count(u64),
    #[error("the checkpoint in the proof: {0}")]
    Checkpoint(crate::note::NoteFault),
    #[error("the lines are not what was signed: at least one was altered, or the proof belongs to another export")]
    Root,
}

/// Checks the export in `file` against the proof beside it.
pub fn check(file: &Path, proof: &Path, key: &PublicKey) -> Result<Proven, ExportFault> {
    let mut lines = Lines::open(file)?;
    let mut items = Items::open(proof)?;
    items.word("portcullis-export-proof 1")?;
    items.next()?.strip_prefix("file ").ok_or_else(|| items.bad())?;
    let first = items.number("first ")?;
    let mut tree = Subtrees::default();
    for level in (0..u64::BITS).rev().filter(|level| first >> level & 1 == 1) {
        let hash = items.next()?.strip_prefix("frontier ").and_then(read_hash).ok_or_else(|| items.bad())?;
        tree.push(level, hash).ok_or_else(|| items.bad())?;
    }
    let (mut records, mut runs, mut last) = (0, 0, first);
    loop {
        let item = items.next()?;
        if item == "checkpoint" {
            break;
        }
        if let Some(count) = item.strip_prefix("lines ").and_then(|count| count.parse::<u64>().ok()) {
            runs += 1;
            for _ in 0..count {
                last = tree.size;
                tree.push(0, lines.leaf(last)?).ok_or_else(|| items.bad())?;
                records += 1;
            }
            continue;
        }
        let subtree = item.strip_prefix("hash ").and_then(|rest| rest.split_once(' '));
        let subtree = subtree.and_then(|(level, hash)| Some((level.parse().ok()?, read_hash(hash)?)));
        let (level, hash) = subtree.ok_or_else(|| items.bad())?;
        tree.push(level, hash).ok_or_else(|| items.bad())?;
    }
    if lines.read()?.is_some() || records == 0 {
        return Err(ExportFault::Count(lines.number));
    }
    let head = key.open(&items.rest()?).map_err(ExportFault::Checkpoint)?;
    if head.size != tree.size || head.root != tree.root() {
        return Err(ExportFault::Root);
    }
    Ok(Proven { origin: head.origin, records, first, last, contiguous: runs == 1, checkpoint: head.size })
}

/// The tree as its largest whole subtrees, from left to right: what a prover writes down and a verifier reads.
#[derive(Debug, Default)]
pub struct Subtrees {
    size: u64,
    subtrees: Vec<(u32, Hash)>,
}

impl Subtrees {
    /// The tree of the records before some record.
    #[must_use]
    pub fn from_frontier(frontier: &Frontier) -> Self {
        let levels = (0..u64::BITS).rev().filter(|level| frontier.size() >> level & 1 == 1);
        Self { size: frontier.size(), subtrees: levels.zip(frontier.hashes().iter().copied()).collect() }
    }

    /// How many records it has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a whole subtree. None where it cannot stand: RFC 6962 puts each at a multiple of its size.
    pub fn push(&mut self, level: u32, hash: Hash) -> Option<()> {
        let width = 1_u64.checked_shl(level)?;
        if !self.size.is_multiple_of(width) {
            return None;
        }
        self.size = self.size.checked_add(width)?;
        let (mut level, mut hash) = (level, hash);
        while let Some((_, left)) = self.subtrees.pop_if(|(known, _)| *known == level) {
            hash = node_hash(&left, &hash);
            level += 1;
        }
        self.subtrees.push((level, hash));
        Some(())
    }

    #[must_use]
    pub fn root(&self) -> Hash {
        let mut subtrees = self.subtrees.iter().rev().map(|(_, hash)| hash);
        let Some(last) = subtrees.next() else { return sha256(&[]) };
        subtrees.fold(*last, |right, left| node_hash(left, &right))
    }
}

/// The lines of an export: of the log as they are, or in the last column of a table.
struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    number: u64,
    is_table: bool,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, ExportFault> {
        let fault = |source| ExportFault::Io { path: path.to_owned(), source };
        let mut reader = BufReader::with_capacity(READ_BYTES, File::open(path).map_err(fault)?);
        // A record begins with a brace, and the head of a table with its first column.
        let is_table = reader.fill_buf().map_err(fault)?.starts_with(b"sequence,");
        let mut lines = Self { path: path.to_owned(), reader, number: 0, is_table };
        if is_table {
            lines.read()?;
        }
        Ok(lines)
    }

    fn read(&mut self) -> Result<Option<Vec<u8>>, ExportFault> {
        let mut line = Vec::new();
        let read = self.reader.read_until(b'\n', &mut line);
        if read.map_err(|source| ExportFault::Io { path: self.path.clone(), source })? == 0 {
            return Ok(None);
        }
        self.number += 1;
        if line.pop() != Some(b'\n') {
            return Err(ExportFault::Line { line: self.number, what: "it is not whole" });
        }
        if self.is_table {
            line.pop_if(|byte| *byte == b'\r');
        }
        Ok(Some(line))
    }

    /// The leaf hash of the next line, which must be this record.
    fn leaf(&mut self, expected: u64) -> Result<Hash, ExportFault> {
        let line = self.read()?.ok_or(ExportFault::Count(self.number))?;
        let bad = |what| ExportFault::Line { line: self.number, what };
        let record = if self.is_table { last_column(&line).ok_or_else(|| bad("it is not a row of an export"))? } else { line };
        let stated = sequence_of(&record).ok_or_else(|| bad("it has no sequence"))?;
        if stated != expected {
            return Err(ExportFault::Sequence { line: self.number, stated, expected });
        }
        Ok(leaf_hash(&record))
    }
}

/// The last column of a row, without its quotes (RFC 4180).
fn last_column(row: &[u8]) -> Option<Vec<u8>> {
    let (mut column, mut quoted, mut rest) = (Vec::new(), false, row.iter().copied().peekable());
    while let Some(byte) = rest.next() {
        match (byte, quoted) {
            (b'"', true) if rest.next_if_eq(&b'"').is_some() => column.push(b'"'),
            (b'"', _) => quoted = !quoted,
            (b',', false) => column.clear(),
            (other, _) => column.push(other),
        }
    }
    (!quoted).then_some(column)
}

/// The lines of a proof.
struct Items {
    path: PathBuf,
    reader: BufReader<File>,
    number: u64,
}

impl Items {
    fn open(path: &Path) -> Result<Self, ExportFault> {
        let file = File::open(path).map_err(|source| ExportFault::Io { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), reader: BufReader::with_capacity(READ_BYTES, file), number: 0 })
    }

    fn next(&mut self) -> Result<String, ExportFault> {
        self.number += 1;
        let mut line = String::new();
        self.reader.read_line(&mut line).map_err(|source| ExportFault::Io { path: self.path.clone(), source })?;
        line.strip_suffix('\n').map(str::to_owned).ok_or_else(|| self.bad())
    }

    fn word(&mut self, word: &str) -> Result<(), ExportFault> {
        if self.next()? == word { Ok(()) } else { Err(self.bad()) }
    }

    fn number(&mut self, name: &str) -> Result<u64, ExportFault> {
        let line = self.next()?;
        line.strip_prefix(name).and_then(|number| number.parse().ok()).ok_or_else(|| self.bad())
    }

    fn rest(&mut self) -> Result<String, ExportFault> {
        io::read_to_string(&mut self.reader).map_err(|source| ExportFault::Io { path: self.path.clone(), source })
    }

    fn bad(&self) -> ExportFault {
        ExportFault::Form { path: self.path.clone(), line: self.number }
    }
}

fn read_hash(text: &str) -> Option<Hash> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

const READ_BYTES: usize = 1024 * 1024;
