//! What is looked at before and after the segments: the latest checkpoint, the key beside the log, the length of the tree
//! hashes, and what is said of dropped records.

use std::io;
use std::path::Path;

use super::{DroppedReport, Finding, FindingKind, Head, Report, Source, VerifyFault, Walk};
use crate::dropped::{Dropped, Statement, statement};
use crate::layout::{self, SegmentPaths};
use crate::note::{Checkpoint, NoteFault, PublicKey};
use crate::tiles::{LEVELS, TILE_HEIGHT, Tiles};
use crate::tree::Frontier;

impl<'a> Walk<'a> {
    pub(super) fn begin(folder: &'a Path, key: &'a PublicKey, remarks: Vec<String>) -> Result<Self, VerifyFault> {
        let report = Report {
            origin: key.name().to_owned(),
            segments: 0,
            records: 0,
            bytes: 0,
            checkpoints: 0,
            covered: 0,
            uncovered: 0,
            dropped: None,
            findings: Vec::new(),
            remarks,
        };
        let mut walk = Walk {
            folder,
            key,
            tiles: Tiles::open(folder)?,
            tree: Frontier::default(),
            outside: Vec::new(),
            dropped: None,
            begins: 0,
            bad_from: None,
            heads: [0; 2],
            bad_levels: [false; LEVELS as usize],
            report,
        };
        let path = layout::dropped(folder);
        match Dropped::read(folder) {
            Ok(dropped) => walk.dropped = dropped,
            Err(fault) if fault.kind() == io::ErrorKind::InvalidData => {
                walk.found(FindingKind::Hashes, &path, None, None, "it does not say which records were dropped".to_owned());
            }
            Err(source) => return Err(VerifyFault::Io { path, source }),
        }
        Ok(walk)
    }

    /// The key beside the log says nothing where the auditor has one, but it is a file of the log.
    pub(super) fn compare_key(&mut self, beside: &Path) {
        match layout::read_small(beside) {
            Ok(text) if PublicKey::parse(&text).is_ok_and(|key| key == *self.key) => {}
            Ok(_) => self.found(FindingKind::Signature, beside, None, None, "it is not the public key that was given".to_owned()),
            Err(fault) if fault.kind() == io::ErrorKind::InvalidData => {
                self.found(FindingKind::Signature, beside, None, None, "it is not a public key".to_owned());
            }
            Err(_) => self.report.remarks.push("audit.pub is missing beside the log".to_owned()),
        }
    }

    pub(super) fn read_latest(&mut self) -> Result<(), VerifyFault> {
        let path = layout::checkpoint(self.folder);
        match self.open_latest()? {
            Some(Ok(checkpoint)) => self.outside.push(Head { checkpoint, source: Source::Latest }),
            Some(Err(what)) => self.found(FindingKind::Signature, &path, None, None, what),
            None => self.found(FindingKind::Checkpoint, &path, None, None, "the latest checkpoint is missing".to_owned()),
        }
        Ok(())
    }

    /// The latest checkpoint, or what is wrong with it. None where there is none.
    fn open_latest(&self) -> Result<Option<Result<Checkpoint, String>>, VerifyFault> {
        let path = layout::checkpoint(self.folder);
        match layout::read_small(&path) {
            Ok(note) => Ok(Some(self.key.open(&note).map_err(|fault| fault.to_string()))),
            Err(fault) if fault.kind() == io::ErrorKind::InvalidData => Ok(Some(Err(NoteFault::Form.to_string()))),
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(VerifyFault::Io { path, source }),
        }
    }

    pub(super) fn finish(mut self, segments: &[SegmentPaths]) -> Result<Report, VerifyFault> {
        let size = self.tree.size();
        self.report.records = self.bad_from.unwrap_or(size).saturating_sub(self.begins);
        self.report.uncovered = self.bad_from.unwrap_or(size).saturating_sub(self.report.covered);
        if self.is_broken() {
            return Ok(self.report);
        }
        let signed = self.outside.iter().filter(|head| head.source == Source::Latest).map(|head| head.checkpoint.size).max();
        for head in std::mem::take(&mut self.outside) {
            self.report_unmet(&head, size);
        }
        self.compare_latest()?;
        self.compare_widths(signed.unwrap_or(0).max(self.report.covered), size);
        let said = self.statement(segments)?;
        if self.begins > 0 {
            self.judge_dropped(segments, said);
        } else if self.dropped.is_some() && said.is_none() {
            let path = layout::dropped(self.folder);
            self.found(FindingKind::Inserted, &path, None, None, "it says what no record says, and nothing was dropped".to_owned());
        }
        Ok(self.report)
    }

    /// A head from outside that is of more records than there are.
    fn report_unmet(&mut self, head: &Head, size: u64) {
        let signed = head.checkpoint.size;
        if signed <= size {
            // Only among dropped records whose hashes are bad, which was reported.
            self.report.remarks.push(format!("a checkpoint of {signed} records could not be compared: those records were dropped"));
            return;
        }
        let missing = signed - size;
        let (kind, what) = match head.source {
            Source::Anchor => (
                FindingKind::RolledBack,
                format!("the checkpoint kept elsewhere is of {signed} records, and there are {size}: the log was rolled back"),
            ),
            Source::Latest | Source::Segment => (
                FindingKind::TailCut,
                format!("the latest checkpoint is of {signed} records, and there are {size}: {missing} were cut off"),
            ),
        };
        self.found(kind, Path::new("checkpoint"), None, Some(size), what);
    }

    /// The latest checkpoint must not be older than those beside the segments, nor missing among them. It is written last, so
    /// that a crash may leave it one behind; and the others are not synced each time, so that a power cut may take some.
    fn compare_latest(&mut self) -> Result<(), VerifyFault> {
        let Some(Ok(latest)) = self.open_latest()? else { return Ok(()) };
        let [newest, before] = self.heads;
        let path = layout::checkpoint(self.folder);
        if latest.size < before {
            let what = format!("it is of {} records, and one of {newest} was signed after it: it was put back", latest.size);
            self.found(FindingKind::Checkpoint, &path, None, None, what);
        } else if latest.size < newest {
            self.report
                .remarks
                .push("checkpoint is one behind those beside the segments: a gateway was killed, or it was put back".to_owned());
        } else if latest.size == self.report.covered && newest < latest.size {
            self.report.remarks.push(format!(
                "the checkpoint of {} records stands alone, not beside the last segment: a power cut, or somebody cut it off there",
                latest.size
            ));
        }
        Ok(())
    }

    /// Tree hashes are there for all that was signed, and for nothing that is not there.
    fn compare_widths(&mut self, signed: u64, size: u64) {
        for level in 0..LEVELS {
            let (width, height) = (self.tiles.width(level), level * TILE_HEIGHT);
            let path = layout::tiles(self.folder, level);
            let what = if !self.tiles.has(level) && signed >> height > 0 {
                "the tree hashes are missing".to_owned()
            } else if width < signed >> height {
                format!("it holds {width} hashes, and {} are needed for what was signed", signed >> height)
            } else if width > size >> height {
                format!("it holds {width} hashes, and the records give {}", size >> height)
            } else {
                let torn = self.tiles.torn(level);
                if torn > 0 {
                    self.report.remarks.push(format!("tiles.{level}: the last {torn} bytes are not a whole hash"));
                }
                continue;
            };
            self.found(FindingKind::Hashes, &path, None, None, what);
        }
    }

    /// What a record says of dropped records, where the file beside the log leads to one that says the same.
    fn statement(&self, segments: &[SegmentPaths]) -> Result<Option<(Dropped, Statement)>, VerifyFault> {
        let Some(dropped) = self.dropped.filter(|dropped| dropped.recorded < self.report.covered) else { return Ok(None) };
        let said = read_record(segments, dropped.recorded)?.and_then(|record| statement(&record));
        Ok(said.filter(|said| said.end == dropped.end).map(|said| (dropped, said)))
    }

    /// The log does not begin with record 0: a record of its own must say why.
    fn judge_dropped(&mut self, segments: &[SegmentPaths], said: Option<(Dropped, Statement)>) {
        let begins = self.begins;
        let Some((dropped, said)) = said else {
            let what = format!("records 0 to {} are missing, and no record says that they were dropped", begins - 1);
            self.first_finding(segments, 0, what);
            return;
        };
        if begins > said.end {
            let what =
                format!("records {} to {} are missing; only those before {} were dropped by retention", said.end, begins - 1, said.end);
            self.first_finding(segments, said.end, what);
            return;
        }
        self.report.dropped = Some(DroppedReport { end: begins, recorded: dropped.recorded, time: said.time });
    }

    fn first_finding(&mut self, segments: &[SegmentPaths], sequence: u64, what: String) {
        let file = segments.first().map(SegmentPaths::name).unwrap_or_default();
        self.report.findings.insert(0, Finding { kind: FindingKind::Deleted, file, line: Some(1), sequence: Some(sequence), what });
    }
}

/// A record by its sequence. None where it is not there.
pub fn read_record(segments: &[SegmentPaths], sequence: u64) -> Result<Option<Vec<u8>>, VerifyFault> {
    let after = segments.partition_point(|segment| segment.first <= sequence);
    let Some(segment) = after.checked_sub(1).and_then(|at| segments.get(at)) else { return Ok(None) };
    let mut lines = super::read::Lines::open(&segment.records)?;
    for _ in segment.first..=sequence {
        match lines.next()? {
            super::read::Line::Whole => {}
            super::read::Line::Unfinished(_) | super::read::Line::End => return Ok(None),
        }
    }
    Ok(Some(lines.record().to_vec()))
}
