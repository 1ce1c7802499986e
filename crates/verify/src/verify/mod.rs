//! Verification: proves from the files alone, and the public key, that no record was altered, moved, dropped, added or cut
//! off, or names the first one that was. Reads only; a gateway may go on writing meanwhile.
//!
//! Records after the last checkpoint are covered by no signature: they are counted, and their sequence is checked, no more.

mod segment;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use thiserror::Error;

use crate::layout;
use crate::note::{Checkpoint, PublicKey};
use crate::tree::Frontier;

/// What to verify, and against what.
#[derive(Clone, Debug)]
pub struct Request {
    pub folder: PathBuf,
    /// The key that an auditor holds. Without it the one beside the log is taken, which a forger could have replaced.
    pub public_key: Option<PublicKey>,
    /// A checkpoint that was kept elsewhere: shows a log that was rolled back whole.
    pub anchor: Option<String>,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub origin: String,
    pub segments: usize,
    /// Records that were read and found good.
    pub records: u64,
    pub bytes: u64,
    /// Checkpoints whose signature and root hold.
    pub checkpoints: u64,
    /// Records that a checkpoint covers.
    pub covered: u64,
    /// Records after the last checkpoint.
    pub uncovered: u64,
    /// What proves that the log was changed. Empty for a log that verifies; the first bad record comes first.
    pub findings: Vec<Finding>,
    /// What an auditor should know, though it proves nothing.
    pub remarks: Vec<String>,
}

/// One proof that the log was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub kind: FindingKind,
    pub file: String,
    /// Counted from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Of the record that should stand there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    pub what: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A record is not what was signed.
    Altered,
    /// Records are missing in the middle.
    Deleted,
    /// A record stands here a second time.
    Duplicated,
    /// A record stands in another's place, which comes later.
    Reordered,
    /// A record stands here that was never signed.
    Inserted,
    /// A file stands in another's place.
    Swapped,
    /// Records at the end are missing.
    TailCut,
    /// The log is older than, or another than, the one whose checkpoint was kept elsewhere.
    RolledBack,
    /// A checkpoint is missing, is not whole or not in order.
    Checkpoint,
    /// A checkpoint's signature does not hold.
    Signature,
}

impl FindingKind {
    /// In words.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Altered => "altered",
            Self::Deleted => "deleted",
            Self::Duplicated => "duplicated",
            Self::Reordered => "reordered",
            Self::Inserted => "inserted",
            Self::Swapped => "swapped",
            Self::TailCut => "tail cut",
            Self::RolledBack => "rolled back",
            Self::Checkpoint => "checkpoint",
            Self::Signature => "signature",
        }
    }
}

/// Why nothing could be verified.
#[derive(Debug, Error)]
pub enum VerifyFault {
    #[error("cannot read {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("there is no public key in {0}: name one with --public-key")]
    NoKey(PathBuf),
    #[error("{0} is not a public key")]
    Key(PathBuf),
    #[error("the checkpoint given is not usable: {0}")]
    Anchor(crate::note::NoteFault),
}

/// A checkpoint to be met on the way.
#[derive(Clone, Debug)]
struct Head {
    checkpoint: Checkpoint,
    source: Source,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Segment,
    Latest,
    Anchor,
}

/// The state of a verification.
struct Walk<'a> {
    key: &'a PublicKey,
    tree: Frontier,
    /// Heads from outside the segments, not met yet.
    outside: Vec<Head>,
    report: Report,
    progress: &'a mut dyn FnMut(u64),
}

/// Verifies a log. `progress` is told, now and then, how many bytes were read.
pub fn verify(request: &Request, progress: &mut dyn FnMut(u64)) -> Result<Report, VerifyFault> {
    let folder = &request.folder;
    let (key, remarks) = match &request.public_key {
        Some(key) => (key.clone(), Vec::new()),
        None => (read_key(&layout::public_key(folder))?, vec![KEY_REMARK.to_owned()]),
    };
    let report = Report {
        origin: key.name().to_owned(),
        segments: 0,
        records: 0,
        bytes: 0,
        checkpoints: 0,
        covered: 0,
        uncovered: 0,
        findings: Vec::new(),
        remarks,
    };
    let mut walk = Walk { key: &key, tree: Frontier::default(), outside: Vec::new(), report, progress };
    if let Some(anchor) = &request.anchor {
        let checkpoint = key.open(anchor).map_err(VerifyFault::Anchor)?;
        walk.outside.push(Head { checkpoint, source: Source::Anchor });
    }
    walk.read_latest(folder)?;
    walk.outside.sort_by_key(|head| head.checkpoint.size);
    let segments = layout::segments(folder).map_err(|source| VerifyFault::Io { path: folder.clone(), source })?;
    walk.report.segments = segments.len();
    let last = segments.len().saturating_sub(1);
    for (index, paths) in segments.iter().enumerate() {
        let place = if index == last { segment::Place::Last } else { segment::Place::Earlier };
        segment::check(&mut walk, paths, place)?;
        if walk.is_broken() {
            break;
        }
    }
    Ok(walk.finish())
}

/// Reads a public key file.
pub fn read_key(path: &Path) -> Result<PublicKey, VerifyFault> {
    let text = fs::read_to_string(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => VerifyFault::NoKey(path.parent().unwrap_or(path).to_owned()),
        _ => VerifyFault::Io { path: path.to_owned(), source },
    })?;
    PublicKey::parse(&text).map_err(|_| VerifyFault::Key(path.to_owned()))
}

/// Bytes of all segments, for a progress bar.
#[must_use]
pub fn size_of(folder: &Path) -> u64 {
    let segments = layout::segments(folder).unwrap_or_default();
    segments.iter().filter_map(|paths| fs::metadata(&paths.records).ok()).map(|file| file.len()).sum()
}

impl Walk<'_> {
    fn read_latest(&mut self, folder: &Path) -> Result<(), VerifyFault> {
        let path = layout::checkpoint(folder);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => {
                self.found(FindingKind::Checkpoint, &path, None, None, "the latest checkpoint is missing".to_owned());
                return Ok(());
            }
            Err(source) => return Err(VerifyFault::Io { path, source }),
        };
        match self.key.open(&String::from_utf8_lossy(&bytes)) {
            Ok(checkpoint) => self.outside.push(Head { checkpoint, source: Source::Latest }),
            Err(fault) => self.found(FindingKind::Signature, &path, None, None, fault.to_string()),
        }
        Ok(())
    }

    fn found(&mut self, kind: FindingKind, file: &Path, line: Option<u64>, sequence: Option<u64>, what: String) {
        let file = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.report.findings.push(Finding { kind, file, line, sequence, what });
    }

    /// Whether the records themselves are bad, so that what follows could not be judged.
    fn is_broken(&self) -> bool {
        self.report.findings.iter().any(|finding| match finding.kind {
            FindingKind::Altered
            | FindingKind::Deleted
            | FindingKind::Duplicated
            | FindingKind::Reordered
            | FindingKind::Inserted
            | FindingKind::Swapped
            | FindingKind::TailCut
            | FindingKind::RolledBack => true,
            FindingKind::Checkpoint | FindingKind::Signature => false,
        })
    }

    /// A head whose size the tree has reached. Returns whether it holds.
    fn meet(&mut self, head: &Head, file: &Path) -> bool {
        if head.checkpoint.root == self.tree.root() {
            self.report.checkpoints += 1;
            self.report.covered = self.report.covered.max(head.checkpoint.size);
            return true;
        }
        let size = head.checkpoint.size;
        let covered = self.report.covered;
        match head.source {
            Source::Anchor => {
                let what = format!(
                    "the first {size} records are not those of the checkpoint that was kept elsewhere: this is another log, or its past was rewritten"
                );
                self.found(FindingKind::RolledBack, file, None, None, what);
            }
            Source::Segment | Source::Latest => {
                let what = format!("at least one of the records {covered} to {} is not what was signed", size.saturating_sub(1));
                self.found(FindingKind::Altered, file, None, Some(covered), what);
            }
        }
        false
    }

    fn finish(mut self) -> Report {
        let size = self.tree.size();
        self.report.records = size;
        self.report.uncovered = size.saturating_sub(self.report.covered);
        if !self.is_broken() {
            for head in std::mem::take(&mut self.outside) {
                let signed = head.checkpoint.size;
                let missing = signed.saturating_sub(size);
                match head.source {
                    Source::Anchor => {
                        let what =
                            format!("the checkpoint kept elsewhere is of {signed} records, and there are {size}: the log was rolled back");
                        self.found(FindingKind::RolledBack, Path::new("checkpoint"), None, Some(size), what);
                    }
                    Source::Latest | Source::Segment => {
                        let what = format!("the latest checkpoint is of {signed} records, and there are {size}: {missing} were cut off");
                        self.found(FindingKind::TailCut, Path::new("checkpoint"), None, Some(size), what);
                    }
                }
            }
        }
        self.report
    }
}

const KEY_REMARK: &str = "the public key was taken from the folder itself; name one that is kept elsewhere with --public-key, because a forger could \
     have replaced both";
