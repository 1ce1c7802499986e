//! What the files of a log are called, and how a segment's start is kept.
//!
//! A segment is `audit-<first sequence>-<time>.jsonl`: names sort by time because they sort by sequence first, which no clock
//! can set back. Beside it stand, under the same stem, `.checkpoints` (every signed head, the first of them the head at the
//! segment's start) and `.frontier` (the tree at the segment's start, so that a restart reads one segment and not all).
//! For the whole log: `checkpoint` (the latest), `audit.pub` (the public key), `tiles.0` to `tiles.4` (the tree's hashes, so that
//! a bad record is found exactly and a proof needs no scan), `dropped` (which records retention dropped), `lock`, `epoch` (how
//! often the log was opened), `reserve` (room for the last record of a full disk) and, after a power cut, `cut-…` (what was
//! cut off).

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::tree::{Frontier, Hash};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The files of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentPaths {
    pub records: PathBuf,
    pub checkpoints: PathBuf,
    pub frontier: PathBuf,
    /// The sequence that the name promises for the first line.
    pub first: u64,
}

impl SegmentPaths {
    /// The files of a segment that begins with record `first`. `now` is written as RFC 3339.
    #[must_use]
    pub fn new(folder: &Path, first: u64, now: impl Display) -> Self {
        Self::of_stem(folder, &format!("audit-{first:020}-{}", compact(now)), first)
    }

    /// Reads a file name; None when it is not a segment's.
    pub(crate) fn parse(folder: &Path, name: &str) -> Option<Self> {
        let stem = name.strip_suffix(".jsonl")?;
        let (first, _time) = stem.strip_prefix("audit-")?.split_once('-')?;
        let first = (first.len() == 20).then(|| first.parse().ok()).flatten()?;
        Some(Self::of_stem(folder, stem, first))
    }

    fn of_stem(folder: &Path, stem: &str, first: u64) -> Self {
        let file = |kind: &str| folder.join(format!("{stem}.{kind}"));
        Self { records: file("jsonl"), checkpoints: file("checkpoints"), frontier: file("frontier"), first }
    }

    /// The name of the records' file, for messages.
    #[must_use]
    pub fn name(&self) -> String {
        self.records.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// All segments of a log, in order.
pub fn segments(folder: &Path) -> io::Result<Vec<SegmentPaths>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder)? {
        segments.extend(entry?.file_name().to_str().and_then(|name| SegmentPaths::parse(folder, name)));
    }
    segments.sort_by(|a, b| a.records.cmp(&b.records));
    Ok(segments)
}

#[must_use]
pub fn checkpoint(folder: &Path) -> PathBuf {
    folder.join("checkpoint")
}

#[must_use]
pub fn public_key(folder: &Path) -> PathBuf {
    folder.join("audit.pub")
}

#[must_use]
pub fn lock(folder: &Path) -> PathBuf {
    folder.join("lock")
}

/// Counts how often the log was opened.
#[must_use]
pub fn epoch(folder: &Path) -> PathBuf {
    folder.join("epoch")
}

/// Room that is kept for the last record of a full disk.
#[must_use]
pub fn reserve(folder: &Path) -> PathBuf {
    folder.join("reserve")
}

/// Where bytes are kept that were cut off after `records` records. `now` is written as RFC 3339.
#[must_use]
pub fn cut_off(folder: &Path, records: u64, now: impl Display) -> PathBuf {
    folder.join(format!("cut-{records:020}-{}", compact(now)))
}

fn compact(now: impl Display) -> String {
    now.to_string().chars().filter(|letter| !matches!(letter, '-' | ':')).collect()
}

/// The tree's hashes at a level of tiles.
#[must_use]
pub fn tiles(folder: &Path, level: u32) -> PathBuf {
    folder.join(format!("tiles.{level}"))
}

/// Says which records were dropped.
#[must_use]
pub fn dropped(folder: &Path) -> PathBuf {
    folder.join("dropped")
}

/// Reads a file that is small in every log: all but records, their checkpoints and hashes. One that is not small is
/// `InvalidData`, as is one that is not text: nobody's memory has to hold what somebody put in its place.
pub fn read_small(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(SMALL_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > SMALL_BYTES_MAX { Err(io::ErrorKind::InvalidData.into()) } else { Ok(text) }
}

/// The text of a `.frontier` file: the size, then one hash a line.
#[must_use]
pub fn frontier_text(tree: &Frontier) -> String {
    let hashes = tree.hashes().iter().map(|hash| format!("{}\n", STANDARD.encode(hash)));
    std::iter::once(format!("{}\n", tree.size())).chain(hashes).collect()
}

/// Reads a `.frontier` file. None when it is not whole.
#[must_use]
pub fn parse_frontier(text: &str) -> Option<Frontier> {
    let mut lines = text.strip_suffix('\n')?.split('\n');
    let stated = lines.next()?;
    // As it is written: Rust reads `+3` and `03` too.
    let size = stated.parse().ok().filter(|size: &u64| size.to_string() == stated)?;
    let hashes: Option<Vec<Hash>> = lines.map(|line| STANDARD.decode(line).ok()?.try_into().ok()).collect();
    Frontier::from_parts(size, hashes?)
}

/// The sequence that a line states. It stands at the very end, where no text of a client can stand.
#[must_use]
pub fn sequence_of(line: &[u8]) -> Option<u64> {
    let line = line.strip_suffix(b"}}")?;
    let digits = line.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (head, digits) = line.split_at_checked(line.len().checked_sub(digits)?)?;
    let canonical = digits == b"0" || digits.first().is_some_and(|digit| *digit != b'0');
    if canonical && head.ends_with(SEQUENCE_KEY) { std::str::from_utf8(digits).ok()?.parse().ok() } else { None }
}

/// The largest of them is a checkpoint with the signatures of many witnesses.
const SMALL_BYTES_MAX: u64 = 1024 * 1024;

/// What stands before the sequence, at the end of every line.
pub const SEQUENCE_KEY: &[u8] = b"\"sequence\":";
