//! The log on disk: appends batches, syncs, signs, rotates, and mends itself after a fault of the disk.
//!
//! Invariants: `tree` counts whole batches that were acknowledged, nothing else; a checkpoint is signed only over records
//! that were fdatasync'ed, by the one process that holds the [`Fence`](super::fence::Fence); a line that was written but not
//! acknowledged is cut off before anything else is written, so that no sequence is ever given twice; no file is written to
//! again after a sync of it failed. Used by the writer thread alone.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use kernel::time::Timestamp;
use thiserror::Error;

use super::fence::Fence;
use super::layout;
use super::media::{Media, is_full};
use super::note::{NoteFault, Signer};
use super::reserve::Reserve;
use super::segment::Segment;
use super::tiles::Tiles;
use super::tree::Frontier;

/// An open log.
pub struct Log {
    pub(super) media: Box<dyn Media>,
    pub(super) folder: PathBuf,
    pub(super) segment_bytes: u64,
    pub(super) signer: Signer,
    pub(super) tree: Frontier,
    /// Memory for the tree of the batch in the making.
    pub(super) next: Frontier,
    pub(super) segment: Segment,
    /// The tree's hashes on disk.
    pub(super) tiles: Tiles,
    /// The latest checkpoint, as this process wrote it.
    pub(super) latest: String,
    pub(super) reserve: Reserve,
    pub(super) fence: Fence,
    /// How many segments there are.
    pub(super) segments: u64,
    /// How many heads this process signed.
    pub(super) signed: u64,
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

impl Line {
    /// The line, as the only one of a batch.
    pub fn once(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(&*self.0)
    }
}

/// Whether the files are looked after before they are written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    Now,
    /// They were looked after a moment ago, and one of a hurried series of batches does without.
    Spared,
}

/// What an append did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    pub bytes: u64,
    /// How long the sync took, where there was one.
    pub sync: Option<Duration>,
}

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
    #[error("{0} is no longer this process's: another process took the log over")]
    Superseded(PathBuf),
    #[error(transparent)]
    Note(#[from] NoteFault),
}

/// What a fault asks for before anything is written again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remedy {
    /// The files are good; what does not count is cut off.
    Cut,
    /// No file of the segment is trusted any more: all are written anew, and the log goes on in another segment.
    Rescue,
    /// Somebody else may write this log: this process never does again.
    Stop,
}

impl LogFault {
    #[must_use]
    pub const fn remedy(&self) -> Remedy {
        match self {
            Self::Write { .. } => Remedy::Cut,
            Self::Sync { .. } | Self::Gone(_) | Self::Read { .. } | Self::Altered(_) => Remedy::Rescue,
            Self::Forked(_) | Self::Superseded(_) | Self::Note(_) => Remedy::Stop,
        }
    }

    /// Whether there was no more room on the disk.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Write { source, .. } if is_full(source))
    }
}

impl Log {
    /// Appends lines as one batch: one write, and one sync where the batch needs it. On a fault nothing of the batch counts.
    pub fn append<'a>(&mut self, lines: impl Iterator<Item = &'a [u8]>, need: Need, look: Look) -> Result<Appended, LogFault> {
        let mut tree = std::mem::take(&mut self.next);
        tree.set_to(&self.tree);
        let segment = &mut self.segment;
        let known_leaves = segment.leaves_pending.len();
        for line in lines {
            let leaf = segment.records.stage(line, tree.size());
            tree.push(leaf);
            segment.leaves_pending.push(leaf);
        }
        let appended = self.commit(need, look);
        match &appended {
            Ok(_) => std::mem::swap(&mut self.tree, &mut tree),
            Err(_) => self.segment.leaves_pending.truncate(known_leaves),
        }
        self.next = tree;
        appended
    }

    fn commit(&mut self, need: Need, look: Look) -> Result<Appended, LogFault> {
        let records = &mut self.segment.records;
        let need = if records.owes_sync() { Need::Synced } else { need };
        let allowed = match (need, look) {
            (Need::Written, Look::Spared) => Ok(()),
            (Need::Written, Look::Now) => self.fence.look().and_then(|()| records.look()),
            (Need::Synced, _) => self.fence.hold(&*self.media).and_then(|()| records.look()),
        };
        if let Err(fault) = allowed {
            records.unstage();
            return Err(fault);
        }
        let bytes = records.write_staged()?;
        if need == Need::Written {
            return Ok(Appended { bytes, sync: None });
        }
        match records.sync() {
            Ok(sync) => Ok(Appended { bytes, sync }),
            Err(fault) => {
                records.take_back(bytes);
                Err(fault)
            }
        }
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

    /// Whether the next batch is synced although nobody asks for that.
    #[must_use]
    pub const fn owes_sync(&self) -> bool {
        self.segment.records.owes_sync()
    }

    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.fence.epoch()
    }

    /// Syncs the records, signs the head and writes it down: outside of the folder, to the segment's checkpoints, then as the
    /// latest. Says how long the sync of the records took.
    pub fn checkpoint(&mut self) -> Result<Option<Duration>, LogFault> {
        let sync = self.segment.records.sync()?;
        self.fence.hold(&*self.media)?;
        self.refuse_fork()?;
        self.tiles.extend(&self.segment.leaves_pending)?;
        self.segment.leaves_pending.clear();
        let growth = self.tiles.consistency(self.signer.last().map_or(0, |last| last.size))?;
        let note = self.signer.sign_growth(&self.tree, &growth)?;
        self.fence.remember(&*self.media, &note)?;
        self.segment.checkpoints.append(format!("{note}\n").as_bytes())?;
        self.publish(note)?;
        self.signed = self.signed.saturating_add(1);
        Ok(sync)
    }

    /// Gives back the room that was taken ahead, when nothing more is written. The next opening takes it again.
    pub fn rest(&mut self) -> Result<(), LogFault> {
        self.segment.records.give_back()
    }

    /// Whether the segment has reached its size.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.segment.records.is_full()
    }

    /// Signs, closes the segment and begins another.
    pub fn rotate(&mut self, now: Timestamp) -> Result<(), LogFault> {
        self.checkpoint()?;
        self.segment.close()?;
        self.segment = Segment::create(&*self.media, &self.folder, &self.tree, &self.latest, self.segment_bytes, now)?;
        self.segments = self.segments.saturating_add(1);
        self.sync_names()
    }

    pub(super) fn sync_names(&self) -> Result<(), LogFault> {
        self.media.sync_folder(&self.folder).map_err(|source| LogFault::Sync { path: self.folder.clone(), source })
    }

    /// After a fault: puts the files back to what was acknowledged, proves it by the tree, and gets it to the disk. Room that
    /// was given back is taken again first, so that a disk that is nearly full is not taken for one that has room.
    pub fn mend(&mut self, remedy: Remedy, now: Timestamp) -> Result<(), LogFault> {
        match remedy {
            Remedy::Cut => {
                self.reserve.take()?;
                self.restore_tails()?;
                self.segment.prove(&self.tree)?;
            }
            Remedy::Rescue => {
                self.fence.restore(&*self.media)?;
                self.reserve.take()?;
                self.segment.rescue(&*self.media, &self.tree, &self.latest)?;
                self.tiles.mend(&*self.media)?;
                self.sync_names()?;
            }
            Remedy::Stop => return Err(LogFault::Superseded(self.folder.clone())),
        }
        let latest = layout::checkpoint(&self.folder);
        if self.media.read(&latest).is_err_and(|fault| fault.kind() == io::ErrorKind::NotFound) {
            self.publish(self.latest.clone())?;
        }
        self.sync_names()?;
        // The files were written anew and are good now, but a disk that failed once is not asked twice about the same file.
        if remedy == Remedy::Rescue && !self.segment.is_empty() { self.rotate(now) } else { Ok(()) }
    }

    /// Cuts off the batch that failed, so that something small can be written at once: the last record of a full disk.
    pub fn make_room_for_a_last_record(&mut self) -> Result<(), LogFault> {
        self.reserve.release()?;
        self.restore_tails()
    }

    fn restore_tails(&mut self) -> Result<(), LogFault> {
        self.segment.records.cut()?;
        self.segment.checkpoints.cut()?;
        self.tiles.cut()
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

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("folder", &self.folder).field("size", &self.tree.size()).finish_non_exhaustive()
    }
}
