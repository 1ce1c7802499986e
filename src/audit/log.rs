//! The log on disk: appends batches, syncs, signs, rotates, and mends itself after a fault of the disk.
//!
//! Invariants: `tree` and `length` count whole batches that were acknowledged, nothing else; a checkpoint is signed only over
//! records that were fdatasync'ed; a line that was written but not acknowledged is cut off before anything else is written,
//! so that no sequence is ever given twice. Used by the writer thread alone.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use kernel::time::Timestamp;
use thiserror::Error;

use super::layout::{self, SegmentPaths};
use super::media::{Media, MediaFile};
use super::note::{NoteFault, Signer};
use super::tree::{Frontier, Hash, leaf_hash};

/// An open log.
pub struct Log {
    pub(super) media: Box<dyn Media>,
    pub(super) folder: PathBuf,
    pub(super) segment_bytes: u64,
    pub(super) signer: Signer,
    pub(super) tree: Frontier,
    pub(super) segment: Segment,
    /// The latest checkpoint, as this process wrote it.
    pub(super) latest: String,
    /// Held for as long as the log is open: two processes with one log would sign two histories.
    pub(super) _lock: File,
}

/// The segment that is being written.
pub(super) struct Segment {
    /// The tree at its start.
    pub start: Frontier,
    pub records: Tail,
    pub checkpoints: Tail,
    pub leaves: Tail,
    /// Leaf hashes that are not in the file yet.
    pub leaves_pending: Vec<Hash>,
}

/// A file that only grows, and how much of it counts.
pub(super) struct Tail {
    path: PathBuf,
    file: Box<dyn MediaFile>,
    length: u64,
}

/// What a batch needs before it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    Written,
    Synced,
}

/// A line without its sequence, which is known only when it is written.
#[derive(Clone, Debug)]
pub struct Line(pub Vec<u8>);

#[derive(Debug, Error)]
pub enum LogFault {
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot sync {path}: {source}")]
    Sync { path: PathBuf, source: io::Error },
    #[error("{0} was removed or replaced while it was being written")]
    Gone(PathBuf),
    #[error("cannot read back {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{0} no longer holds what was written to it")]
    Altered(PathBuf),
    #[error("{0} was signed by somebody else since: another process writes this log")]
    Forked(PathBuf),
    #[error(transparent)]
    Note(#[from] NoteFault),
}

impl Log {
    /// Appends lines as one batch: one write, and one sync where the batch needs it. On a fault nothing of the batch counts.
    /// Returns how many bytes were written.
    pub fn append(&mut self, lines: &[Line], need: Need) -> Result<u64, LogFault> {
        let mut tree = self.tree.clone();
        let mut leaves = Vec::with_capacity(lines.len());
        let mut batch = Vec::with_capacity(lines.iter().map(|line| line.0.len() + 24).sum());
        for line in lines {
            let start = batch.len();
            batch.extend_from_slice(&line.0);
            batch.extend_from_slice(tree.size().to_string().as_bytes());
            batch.extend_from_slice(b"}}");
            let leaf = leaf_hash(batch.get(start..).unwrap_or_default());
            batch.push(b'\n');
            tree.push(leaf);
            leaves.push(leaf);
        }
        let records = &mut self.segment.records;
        records.write(&batch)?;
        if need == Need::Synced {
            records.sync()?;
        }
        let bytes = records.count(&batch);
        self.segment.leaves_pending.extend(leaves);
        self.tree = tree;
        Ok(bytes)
    }

    /// Whether there are records that no checkpoint covers.
    #[must_use]
    pub fn is_uncovered(&self) -> bool {
        self.signer.last().is_none_or(|last| last.size < self.tree.size())
    }

    #[must_use]
    pub const fn size(&self) -> u64 {
        self.tree.size()
    }

    /// Syncs the records, signs the head and writes it down: to the segment's checkpoints, then as the latest.
    pub fn checkpoint(&mut self) -> Result<(), LogFault> {
        self.segment.records.sync()?;
        self.refuse_fork()?;
        let leaves: Vec<u8> = self.segment.leaves_pending.concat();
        self.segment.leaves.write(&leaves)?;
        self.segment.leaves.count(&leaves);
        self.segment.leaves_pending.clear();
        let note = self.signer.sign(&self.tree)?;
        let entry = format!("{note}\n");
        self.segment.checkpoints.write(entry.as_bytes())?;
        self.segment.checkpoints.count(entry.as_bytes());
        self.publish(note)
    }

    /// Begins another segment when this one is full.
    pub fn rotate_if_full(&mut self, now: Timestamp) -> Result<(), LogFault> {
        if self.segment.records.length < self.segment_bytes {
            return Ok(());
        }
        self.checkpoint()?;
        self.segment.checkpoints.sync()?;
        self.segment = Segment::create(&*self.media, &self.folder, &self.tree, &self.latest, now)?;
        self.sync_names()
    }

    pub(super) fn sync_names(&self) -> Result<(), LogFault> {
        self.media.sync_folder(&self.folder).map_err(|source| LogFault::Sync { path: self.folder.clone(), source })
    }

    /// After a fault: puts the files back to what was acknowledged, proves it by the tree, and gets it to the disk. A file
    /// whose sync failed, or that is gone, is written anew from what is still open: what a failed sync left behind cannot be
    /// known, so it is never tried again on the same file.
    pub fn mend(&mut self, fault: &LogFault) -> Result<(), LogFault> {
        let segment = &mut self.segment;
        let content = segment.records.read_back()?;
        let mut tree = segment.start.clone();
        content.split_inclusive(|byte| *byte == b'\n').for_each(|line| tree.push(leaf_hash(line.strip_suffix(b"\n").unwrap_or(line))));
        if tree != self.tree {
            return Err(LogFault::Altered(segment.records.path.clone()));
        }
        let trust = match fault {
            LogFault::Write { .. } => Trust::Kept,
            LogFault::Sync { .. }
            | LogFault::Gone(_)
            | LogFault::Read { .. }
            | LogFault::Altered(_)
            | LogFault::Forked(_)
            | LogFault::Note(_) => Trust::Lost,
        };
        segment.records.restore(&*self.media, &content, trust)?;
        let notes = segment.checkpoints.read_back()?;
        segment.checkpoints.restore(&*self.media, &notes, trust)?;
        let leaves = segment.leaves.read_back()?;
        segment.leaves.restore(&*self.media, &leaves, trust)?;
        let latest = layout::checkpoint(&self.folder);
        if self.media.read(&latest).is_err_and(|fault| fault.kind() == io::ErrorKind::NotFound) {
            self.publish(self.latest.clone())?;
        }
        self.sync_names()
    }

    /// C2SP: a log must not sign two histories. What is written as the latest must be what this process wrote.
    fn refuse_fork(&self) -> Result<(), LogFault> {
        let path = layout::checkpoint(&self.folder);
        let found = self.media.read(&path).map_err(|source| LogFault::Read { path: path.clone(), source })?;
        if found == self.latest.as_bytes() { Ok(()) } else { Err(LogFault::Forked(path)) }
    }

    fn publish(&mut self, note: String) -> Result<(), LogFault> {
        let path = layout::checkpoint(&self.folder);
        self.media.replace(&path, note.as_bytes()).map_err(|source| LogFault::Write { path, source })?;
        self.latest = note;
        Ok(())
    }
}

/// Whether what stands in a file is still known to be what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    Kept,
    Lost,
}

impl Segment {
    /// Makes the files of a segment that starts at `tree`, the records last: a crash or fault before that leaves no segment.
    /// The caller makes the names last.
    pub fn create(media: &dyn Media, folder: &Path, tree: &Frontier, note: &str, now: Timestamp) -> Result<Self, LogFault> {
        let paths = SegmentPaths::new(folder, tree.size(), now);
        let put = |path: &PathBuf, content: &str| {
            media.replace(path, content.as_bytes()).map_err(|source| LogFault::Write { path: path.clone(), source })
        };
        put(&paths.frontier, &layout::frontier_text(tree))?;
        let entry = format!("{note}\n");
        put(&paths.checkpoints, &entry)?;
        put(&paths.leaves, "")?;
        let checkpoints = Tail::open(media, &paths.checkpoints, entry.len() as u64)?;
        let leaves = Tail::open(media, &paths.leaves, 0)?;
        Ok(Self { start: tree.clone(), records: Tail::open(media, &paths.records, 0)?, checkpoints, leaves, leaves_pending: Vec::new() })
    }
}

impl Tail {
    /// Opens a file of which the first `length` bytes count.
    pub fn open(media: &dyn Media, path: &Path, length: u64) -> Result<Self, LogFault> {
        let file = media.open(path).map_err(|source| LogFault::Write { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), file, length })
    }

    /// Cuts off what does not count, on disk when this returns.
    pub fn cut(&mut self) -> Result<(), LogFault> {
        self.file.truncate(self.length).map_err(|source| LogFault::Write { path: self.path.clone(), source })?;
        self.sync()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), LogFault> {
        if !self.file.is_at(&self.path) {
            return Err(LogFault::Gone(self.path.clone()));
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => return Err(LogFault::Write { path: self.path.clone(), source: io::ErrorKind::WriteZero.into() }),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(LogFault::Write { path: self.path.clone(), source }),
            }
        }
        Ok(())
    }

    fn count(&mut self, bytes: &[u8]) -> u64 {
        let added = bytes.len() as u64;
        self.length = self.length.saturating_add(added);
        added
    }

    fn sync(&mut self) -> Result<(), LogFault> {
        self.file.sync().map_err(|source| LogFault::Sync { path: self.path.clone(), source })
    }

    fn read_back(&self) -> Result<Vec<u8>, LogFault> {
        self.file.read_prefix(self.length).map_err(|source| LogFault::Read { path: self.path.clone(), source })
    }

    fn restore(&mut self, media: &dyn Media, content: &[u8], trust: Trust) -> Result<(), LogFault> {
        if trust == Trust::Lost || !self.file.is_at(&self.path) {
            media.replace(&self.path, content).map_err(|source| LogFault::Write { path: self.path.clone(), source })?;
            self.file = media.open(&self.path).map_err(|source| LogFault::Write { path: self.path.clone(), source })?;
        }
        self.cut()
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("folder", &self.folder).field("size", &self.tree.size()).finish_non_exhaustive()
    }
}
