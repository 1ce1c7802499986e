//! Reads one segment: hashes its lines and checks the signatures beside it. Several are read at once; what they add up to is
//! judged afterwards, in order.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Finding, FindingKind, Head, Source, VerifyFault, finding};
use crate::layout::{self, SegmentPaths};
use crate::note::{PublicKey, split_notes};
use crate::tree::{Hash, sha256};

/// Where a segment stands. Only the last may be unfinished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// With the sequence that the next one begins with.
    Earlier {
        next: u64,
    },
    Last,
}

/// What a segment holds.
pub struct Segment {
    /// Heads whose signature holds, by size.
    pub heads: Vec<Head>,
    /// What is wrong with the checkpoints.
    pub findings: Vec<Finding>,
    pub remarks: Vec<String>,
    /// The hash of every whole line.
    pub leaves: Vec<Hash>,
    /// The first line that does not state the sequence of its place.
    pub first_odd: Option<usize>,
    pub bytes: u64,
    /// Bytes after the last line feed, or in a line that is longer than any record.
    pub unfinished: u64,
}

/// Reads a segment. The heads come first, so that a log that grows meanwhile has all that they cover.
pub fn read(key: &PublicKey, paths: &SegmentPaths, place: Place, lines_max: u64, progress: &AtomicU64) -> Result<Segment, VerifyFault> {
    let mut segment = Segment {
        heads: Vec::new(),
        findings: Vec::new(),
        remarks: Vec::new(),
        leaves: Vec::new(),
        first_odd: None,
        bytes: 0,
        unfinished: 0,
    };
    segment.read_heads(key, paths, place)?;
    segment.read_records(paths, lines_max, progress)?;
    segment.compare_end(paths, place);
    Ok(segment)
}

impl Segment {
    fn read_records(&mut self, paths: &SegmentPaths, lines_max: u64, progress: &AtomicU64) -> Result<(), VerifyFault> {
        let mut lines = Lines::open(&paths.records)?;
        while (self.leaves.len() as u64) < lines_max {
            match lines.next()? {
                Line::Whole => {}
                Line::Unfinished(bytes) => {
                    self.unfinished = bytes;
                    break;
                }
                Line::End => break,
            }
            let at = self.leaves.len();
            if self.first_odd.is_none() && layout::sequence_of(lines.record()) != Some(paths.first + at as u64) {
                self.first_odd = Some(at);
            }
            self.leaves.push(sha256(&lines.line));
            // The line has the prefix byte in the place of its line feed.
            let bytes = lines.line.len() as u64;
            self.bytes += bytes;
            progress.fetch_add(bytes, Ordering::Relaxed);
        }
        Ok(())
    }

    fn read_heads(&mut self, key: &PublicKey, paths: &SegmentPaths, place: Place) -> Result<(), VerifyFault> {
        let path = &paths.checkpoints;
        let mut bytes = Vec::new();
        match File::open(path).and_then(|file| file.take(NOTES_BYTES_MAX).read_to_end(&mut bytes)) {
            Ok(_) => {}
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => {
                self.findings.push(finding(FindingKind::Checkpoint, path, "the segment's checkpoints are missing".to_owned()));
                return Ok(());
            }
            Err(source) => return Err(VerifyFault::Io { path: path.clone(), source }),
        }
        let text = String::from_utf8_lossy(&bytes);
        let (notes, torn) = split_notes(&text);
        for (index, note) in notes.iter().enumerate() {
            self.take_note(key, paths, place, index + 1, note);
        }
        let starts = self.heads.first().is_some_and(|head| head.checkpoint.size == paths.first);
        if !starts {
            self.findings.push(finding(FindingKind::Checkpoint, path, "the checkpoint of the segment's start is missing".to_owned()));
        }
        if !torn.is_empty() {
            match place {
                Place::Earlier { .. } => {
                    self.findings.push(finding(FindingKind::Checkpoint, path, "the last checkpoint is not whole".to_owned()));
                }
                Place::Last => {
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    self.remarks.push(format!("{name}: the last {} bytes are not a whole checkpoint", torn.len()));
                }
            }
        }
        Ok(())
    }

    /// A segment that has a successor ends with a checkpoint over all of it.
    fn compare_end(&mut self, paths: &SegmentPaths, place: Place) {
        let Place::Earlier { next } = place else { return };
        let end = next.min(paths.first + self.leaves.len() as u64);
        if self.heads.last().is_some_and(|head| head.checkpoint.size < end) {
            let what = "the checkpoint of the segment's end is missing".to_owned();
            self.findings.push(finding(FindingKind::Checkpoint, &paths.checkpoints, what));
        }
    }

    fn take_note(&mut self, key: &PublicKey, paths: &SegmentPaths, place: Place, number: usize, note: &str) {
        let path = &paths.checkpoints;
        match key.open(note) {
            Ok(checkpoint) => {
                let size = checkpoint.size;
                let after_last = self.heads.last().is_none_or(|last| last.checkpoint.size <= size);
                let within = match place {
                    Place::Earlier { next } => size <= next,
                    Place::Last => true,
                };
                if after_last && within && size >= paths.first {
                    self.heads.push(Head { checkpoint, source: Source::Segment });
                } else {
                    let what = format!("checkpoint {number} of {size} records stands out of order");
                    self.findings.push(finding(FindingKind::Checkpoint, path, what));
                }
            }
            Err(fault) => self.findings.push(finding(FindingKind::Signature, path, format!("checkpoint {number}: {fault}"))),
        }
    }
}

/// Lines of a file, one at a time, each with the prefix of a leaf before it and without its line feed.
pub struct Lines<'a> {
    reader: BufReader<File>,
    path: &'a Path,
    line: Vec<u8>,
}

/// What was read.
pub enum Line {
    Whole,
    /// Bytes that end without a line feed, or are more than any record has.
    Unfinished(u64),
    End,
}

impl<'a> Lines<'a> {
    pub fn open(path: &'a Path) -> Result<Self, VerifyFault> {
        let file = File::open(path).map_err(|source| VerifyFault::Io { path: path.to_owned(), source })?;
        Ok(Self { reader: BufReader::with_capacity(READ_BYTES, file), path, line: Vec::new() })
    }

    /// The record that was read last.
    #[must_use]
    pub fn record(&self) -> &[u8] {
        self.line.get(1..).unwrap_or_default()
    }

    pub fn next(&mut self) -> Result<Line, VerifyFault> {
        self.line.clear();
        self.line.push(0);
        let fault = |source| VerifyFault::Io { path: self.path.to_owned(), source };
        let bytes = self.reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut self.line).map_err(fault)?;
        match self.line.pop_if(|last| bytes > 0 && *last == b'\n') {
            Some(_) => Ok(Line::Whole),
            None if bytes == 0 => Ok(Line::End),
            None => Ok(Line::Unfinished(bytes as u64)),
        }
    }
}

const READ_BYTES: usize = 1024 * 1024;

/// Longer than any record: texts and lists in a record are cut long before.
const LINE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// More than the checkpoints of any segment: a million of them.
const NOTES_BYTES_MAX: u64 = 256 * 1024 * 1024;
