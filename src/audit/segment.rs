//! The segment that is being written: its records and what stands beside them.
//!
//! Room is taken on the disk before it is written to, without changing the length that readers see, so that a disk that is
//! full is noticed before half a line stands in the file. What no sync covers yet is kept in memory too: after a failed sync
//! the system may have dropped it, and a second sync would not say so.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kernel::time::Timestamp;

use super::layout::{self, SegmentPaths};
use super::log::LogFault;
use super::media::{Media, MediaFile};
use super::plain::push_number;
use super::tree::{Frontier, Hash, leaf_hash, leaf_hash_in_place};

/// The segment that is being written.
pub struct Segment {
    pub paths: SegmentPaths,
    /// The tree at its start.
    pub start: Frontier,
    /// The signed head at its start, as it stands first in the checkpoints.
    pub first_note: String,
    pub records: Records,
    pub checkpoints: Tail,
    /// Leaf hashes that are not on disk with the tree's yet.
    pub leaves_pending: Vec<Hash>,
}

/// The records' file.
pub struct Records {
    tail: Tail,
    /// Bytes at the front that a sync covers.
    synced: u64,
    /// A line feed, and the bytes that follow: acknowledged ones, and behind them those of the batch in the making.
    pending: Vec<u8>,
    /// How far room was taken on the disk.
    allocated: u64,
    segment_bytes: u64,
}

/// A file that only grows, and how much of it counts.
pub struct Tail {
    path: PathBuf,
    file: Box<dyn MediaFile>,
    length: u64,
}

impl Segment {
    /// Makes the files of a segment that starts at `tree`, the records last: a crash or fault before that leaves no segment.
    /// The caller makes the names last.
    pub fn create(
        media: &dyn Media,
        folder: &Path,
        tree: &Frontier,
        note: &str,
        segment_bytes: u64,
        now: Timestamp,
    ) -> Result<Self, LogFault> {
        let paths = SegmentPaths::new(folder, tree.size(), now);
        let put = |path: &PathBuf, content: &str| {
            media.replace(path, content.as_bytes()).map_err(|source| LogFault::Write { path: path.clone(), source })
        };
        put(&paths.frontier, &layout::frontier_text(tree))?;
        let entry = format!("{note}\n");
        put(&paths.checkpoints, &entry)?;
        let checkpoints = Tail::open(media, &paths.checkpoints, entry.len() as u64)?;
        put(&paths.records, "")?;
        let records = Records::open(media, &paths.records, 0, segment_bytes)?;
        let first_note = note.to_owned();
        Ok(Self { paths, start: tree.clone(), first_note, records, checkpoints, leaves_pending: Vec::new() })
    }

    /// Whether no record stands in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.records.tail.length == 0
    }

    /// Makes everything last and gives back the room that was not used. Nothing is written to the segment after that.
    pub fn close(&mut self) -> Result<(), LogFault> {
        self.records.give_back()?;
        self.checkpoints.sync()
    }

    /// After a sync that failed, or a file that went: writes every file anew from what was acknowledged, once it is proven by
    /// the tree that it is that. What a failed sync left behind cannot be known, so its file is never written to again.
    pub fn rescue(&mut self, media: &dyn Media, acknowledged: &Frontier, latest: &str) -> Result<(), LogFault> {
        let content = self.acknowledged(media, acknowledged)?;
        self.records.tail.put(media, &content)?;
        let again = self.records.tail.file.read_prefix(content.len() as u64);
        if again.map_err(|source| LogFault::Read { path: self.paths.records.clone(), source })? != content {
            return Err(LogFault::Altered(self.paths.records.clone()));
        }
        self.records.forget_pending();
        self.records.allocated = 0;
        let notes = self.notes(media, latest);
        self.checkpoints.put(media, notes.as_bytes())
    }

    /// Reads the records back and compares them with what was acknowledged.
    pub fn prove(&self, acknowledged: &Frontier) -> Result<(), LogFault> {
        let path = &self.paths.records;
        let content = self.records.tail.file.read_prefix(self.records.tail.length);
        let content = content.map_err(|source| LogFault::Read { path: path.clone(), source })?;
        if leads_to(&content, &self.start, acknowledged) { Ok(()) } else { Err(LogFault::Altered(path.clone())) }
    }

    /// What was acknowledged: from a new descriptor or, where the name is gone, from the old one; behind it what is in memory.
    fn acknowledged(&self, media: &dyn Media, expected: &Frontier) -> Result<Vec<u8>, LogFault> {
        let (path, records) = (&self.paths.records, &self.records);
        let reopened =
            if records.tail.file.is_at(path) { media.open(path).and_then(|file| file.read_prefix(records.synced)) } else { Ok(Vec::new()) };
        let held = || records.tail.file.read_prefix(records.synced);
        let mut unreadable = None;
        for found in [reopened, held()] {
            match found {
                Ok(mut content) => {
                    content.extend_from_slice(records.acknowledged_pending());
                    if leads_to(&content, &self.start, expected) {
                        return Ok(content);
                    }
                }
                Err(source) => unreadable = Some(LogFault::Read { path: path.clone(), source }),
            }
        }
        Err(unreadable.unwrap_or_else(|| LogFault::Altered(path.clone())))
    }

    /// The checkpoints, as far as they can be read and are whole; the first and the latest are always known.
    fn notes(&self, media: &dyn Media, latest: &str) -> String {
        let first = format!("{}\n", self.first_note);
        let read = media.read(&self.paths.checkpoints).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let mut text = read.filter(|text| text.starts_with(&first) && !text.contains('\0')).unwrap_or(first);
        let torn = super::note::split_notes(&text).1.len();
        text.truncate(text.len() - torn);
        let latest = format!("{latest}\n");
        if !text.ends_with(&latest) {
            text.push_str(&latest);
        }
        text
    }
}

/// Whether a segment's content leads from one tree to the other.
fn leads_to(content: &[u8], start: &Frontier, expected: &Frontier) -> bool {
    let mut tree = start.clone();
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        let Some(record) = line.strip_suffix(b"\n") else { return false };
        tree.push(leaf_hash(record));
    }
    tree == *expected
}

impl Records {
    /// Opens the records' file, of which the first `length` bytes count and are on disk.
    pub fn open(media: &dyn Media, path: &Path, length: u64, segment_bytes: u64) -> Result<Self, LogFault> {
        let tail = Tail::open(media, path, length)?;
        let mut records = Self { tail, synced: length, pending: vec![b'\n'; LEAD], allocated: 0, segment_bytes };
        records.take_room(0)?;
        Ok(records)
    }

    /// Whether the segment has reached its size.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.tail.length >= self.segment_bytes
    }

    /// Puts a line in the batch in the making, with its sequence, and gives its leaf hash.
    pub fn stage(&mut self, line: &[u8], sequence: u64) -> Hash {
        // The line feed before it makes room for the prefix of its hash for a moment, so that no byte is copied for that.
        let start = self.pending.len() - LEAD;
        self.pending.extend_from_slice(line);
        push_number(&mut self.pending, sequence);
        self.pending.extend_from_slice(b"}}");
        let leaf = leaf_hash_in_place(self.pending.get_mut(start..).unwrap_or_default());
        if let Some(feed) = self.pending.get_mut(start) {
            *feed = b'\n';
        }
        self.pending.push(b'\n');
        leaf
    }

    /// Whether the file is the one that stands in the folder.
    pub fn look(&self) -> Result<(), LogFault> {
        self.tail.look()
    }

    /// Writes the batch at once. On a fault nothing of it counts. Returns how many bytes it has.
    pub fn write_staged(&mut self) -> Result<u64, LogFault> {
        let acknowledged = LEAD + self.acknowledged_pending().len();
        let bytes = (self.pending.len() - acknowledged) as u64;
        let written = self.take_room(bytes).and_then(|()| self.tail.write(self.pending.get(acknowledged..).unwrap_or_default()));
        match written {
            Ok(()) => {
                self.tail.length = self.tail.length.saturating_add(bytes);
                Ok(bytes)
            }
            Err(fault) => {
                self.unstage();
                Err(fault)
            }
        }
    }

    /// Forgets the batch in the making.
    pub fn unstage(&mut self) {
        let acknowledged = LEAD + self.acknowledged_pending().len();
        self.pending.truncate(acknowledged);
    }

    /// Takes back a batch that was written: it was not acknowledged.
    pub fn take_back(&mut self, bytes: u64) {
        self.tail.length = self.tail.length.saturating_sub(bytes);
        self.unstage();
    }

    /// Whether more waits for a sync than should be kept in memory.
    #[must_use]
    pub const fn owes_sync(&self) -> bool {
        self.pending.len() >= UNSYNCED_MAX
    }

    /// Gets everything to the disk, and says how long that took; none where it was there already.
    pub fn sync(&mut self) -> Result<Option<Duration>, LogFault> {
        if self.synced == self.tail.length {
            return Ok(None);
        }
        let began = Instant::now();
        self.tail.sync()?;
        self.forget_pending();
        Ok(Some(began.elapsed()))
    }

    /// Cuts off what does not count, on disk when this returns, and takes room again.
    pub fn cut(&mut self) -> Result<(), LogFault> {
        self.tail.cut()?;
        self.forget_pending();
        self.allocated = 0;
        self.take_room(0)
    }

    /// Gives back the room that was taken and not used.
    pub fn give_back(&mut self) -> Result<(), LogFault> {
        self.allocated = 0;
        self.tail.truncate()
    }

    fn forget_pending(&mut self) {
        self.synced = self.tail.length;
        self.pending.truncate(LEAD);
        self.pending.shrink_to(PENDING_KEPT);
    }

    fn acknowledged_pending(&self) -> &[u8] {
        let length = usize::try_from(self.tail.length.saturating_sub(self.synced)).unwrap_or(usize::MAX);
        let pending = self.pending.get(LEAD..).unwrap_or_default();
        pending.get(..length).unwrap_or(pending)
    }

    /// Makes sure that `bytes` more can be written: takes the rest of the segment or, where the disk has no room for that,
    /// a smaller step.
    fn take_room(&mut self, bytes: u64) -> Result<(), LogFault> {
        let end = self.tail.length.saturating_add(bytes);
        if end <= self.allocated && self.allocated > 0 {
            return Ok(());
        }
        let mut shortage = None;
        for target in [self.segment_bytes.max(end.saturating_add(ROOM_STEP)), end.saturating_add(ROOM_STEP), end] {
            match self.tail.file.allocate(self.tail.length, target) {
                Ok(()) => {
                    self.allocated = target;
                    return Ok(());
                }
                // Then room is found out by writing.
                Err(fault) if fault.kind() == io::ErrorKind::Unsupported => {
                    self.allocated = u64::MAX;
                    return Ok(());
                }
                Err(fault) => {
                    shortage = Some(fault);
                    // An attempt that failed may have taken everything there was; others need some of it.
                    self.tail.truncate()?;
                }
            }
        }
        match shortage {
            Some(source) => Err(LogFault::Write { path: self.tail.path.clone(), source }),
            None => Ok(()),
        }
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
        self.truncate()?;
        self.sync()
    }

    pub fn append(&mut self, bytes: &[u8]) -> Result<(), LogFault> {
        self.look()?;
        self.write(bytes)?;
        self.length = self.length.saturating_add(bytes.len() as u64);
        Ok(())
    }

    pub fn sync(&mut self) -> Result<(), LogFault> {
        self.file.sync().map_err(|source| LogFault::Sync { path: self.path.clone(), source })
    }

    fn truncate(&mut self) -> Result<(), LogFault> {
        self.file.truncate(self.length).map_err(|source| LogFault::Write { path: self.path.clone(), source })
    }

    /// Puts a new file with this content in its place.
    fn put(&mut self, media: &dyn Media, content: &[u8]) -> Result<(), LogFault> {
        let fault = |source| LogFault::Write { path: self.path.clone(), source };
        media.replace(&self.path, content).map_err(fault)?;
        self.file = media.open(&self.path).map_err(fault)?;
        self.length = content.len() as u64;
        Ok(())
    }

    fn look(&self) -> Result<(), LogFault> {
        match self.file.length_at(&self.path) {
            None => Err(LogFault::Gone(self.path.clone())),
            Some(length) if length == self.length => Ok(()),
            // Somebody else cut it, or wrote to it.
            Some(_) => Err(LogFault::Altered(self.path.clone())),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), LogFault> {
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
}

/// What stands before the first of the bytes that no sync covers, in memory.
const LEAD: usize = 1;

/// Room that is taken at a time where the disk has none for a whole segment.
const ROOM_STEP: u64 = 256 * 1024;

/// Most bytes that wait for a sync, because they are kept in memory until then.
const UNSYNCED_MAX: usize = 8 * 1024 * 1024;

/// Memory that is kept from one sync to the next: all of it, because memory that is given back has to be taken again.
const PENDING_KEPT: usize = 2 * UNSYNCED_MAX;
