//! Says what happened to the first bad record: looks for what stands there among the records that were signed, and for the
//! record that should stand there among the lines that follow.

use std::collections::HashMap;

use super::read::{Line, Lines, Place};
use super::{Finding, FindingKind, VerifyFault};
use crate::layout::{self, SegmentPaths};
use crate::tree::{Hash, leaf_hash};

/// The first bad line of a segment.
pub struct Bad<'a> {
    pub paths: &'a SegmentPaths,
    pub place: Place,
    /// Its index in the segment.
    pub at: usize,
    /// The hashes of the records that were signed.
    pub signed: &'a [Hash],
    /// The hashes of the lines that are there.
    pub found: &'a [Hash],
}

impl Bad<'_> {
    pub fn explain(&self) -> Result<Finding, VerifyFault> {
        let expected = self.global(self.at);
        let Some(leaf) = self.found.get(self.at) else { return Ok(self.missing_at_the_end()) };
        let line = self.line()?;
        let stated = layout::sequence_of(&line);
        let signed = self.signed.get(self.at);
        let later = self.found.get(self.at + 1..).unwrap_or_default();
        let next_is_expected = signed.is_some() && later.first() == signed;
        let comes_later = signed.is_some_and(|signed| later.contains(signed));
        let places: HashMap<&Hash, usize> = self.signed.iter().enumerate().map(|(at, leaf)| (leaf, at)).collect();
        let (kind, what) = match (places.get(leaf), stated) {
            (Some(at), _) if *at < self.at => (FindingKind::Duplicated, format!("record {} stands here a second time", self.global(*at))),
            (Some(at), _) if comes_later => {
                (FindingKind::Reordered, format!("record {} stands here, and record {expected} comes later", self.global(*at)))
            }
            (Some(at), _) => (FindingKind::Deleted, missing(expected, self.global(*at))),
            (None, _) if signed.is_some() && line.strip_suffix(b"\r").map(leaf_hash).as_ref() == signed => {
                (FindingKind::Altered, format!("a carriage return was added to record {expected}"))
            }
            (None, Some(stated)) if self.at == 0 && stated != expected => (
                FindingKind::Swapped,
                format!("the file begins with record {stated}: it stands in the place of another, or comes from another log"),
            ),
            (None, _) if next_is_expected => {
                (FindingKind::Inserted, format!("the line was never signed; record {expected} comes after it"))
            }
            (None, Some(stated)) if signed.is_none() && stated > expected => (FindingKind::Deleted, missing(expected, stated)),
            (None, Some(stated)) if signed.is_none() => (FindingKind::Duplicated, format!("record {stated} stands here again")),
            (None, Some(stated)) if stated != expected => {
                (FindingKind::Altered, format!("the line is not record {expected} but calls itself record {stated}"))
            }
            (None, Some(_)) => (FindingKind::Altered, format!("record {expected} is not what was signed")),
            (None, None) if signed.is_none() => (FindingKind::Inserted, "the line is not a record".to_owned()),
            (None, None) => (FindingKind::Altered, format!("the line is not a record; record {expected} stood here")),
        };
        Ok(Finding { kind, file: self.paths.name(), line: Some(self.at as u64 + 1), sequence: Some(expected), what })
    }

    fn missing_at_the_end(&self) -> Finding {
        let kind = match self.place {
            Place::Earlier { .. } => FindingKind::Deleted,
            Place::Last => FindingKind::TailCut,
        };
        let (here, signed) = (self.global(self.at), self.global(self.signed.len()));
        let what = format!("{signed} records were signed, and {here} are there: {} are missing at the end", signed - here);
        Finding { kind, file: self.paths.name(), line: None, sequence: Some(here), what }
    }

    /// The bad line itself.
    fn line(&self) -> Result<Vec<u8>, VerifyFault> {
        let mut lines = Lines::open(&self.paths.records)?;
        for _ in 0..=self.at {
            match lines.next()? {
                Line::Whole => {}
                // The file has changed since it was read.
                Line::Unfinished(_) | Line::End => return Ok(Vec::new()),
            }
        }
        Ok(lines.record().to_vec())
    }

    const fn global(&self, at: usize) -> u64 {
        self.paths.first + at as u64
    }
}

/// Records `from` up to, not including, `to`.
pub fn missing(from: u64, to: u64) -> String {
    if from + 1 == to { format!("record {from} is missing") } else { format!("records {from} to {} are missing", to.saturating_sub(1)) }
}
