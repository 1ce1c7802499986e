//! Verification: proves from the files alone, and the public key, that no record was altered, moved, dropped, added or cut
//! off, or names the first one that was. Reads only; a gateway may go on writing meanwhile.
//!
//! Segments are read by as many threads as there are cores, and judged in order against the tree hashes beside them, which are
//! believed as far as a signed root covers them. Memory does not grow with the log. Records after the last checkpoint are
//! covered by no signature: their sequence is checked, and the hash beside them where there is one.

mod explain;
mod finish;
mod folder;
mod judge;
mod read;

pub use finish::read_record;
pub use folder::no_files;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use serde::Serialize;
use thiserror::Error;

use crate::dropped::Dropped;
use crate::layout::{self, SegmentPaths};
use crate::note::{Checkpoint, PublicKey};
use crate::tiles::{LEVELS, TileFault, Tiles};
use crate::tree::Frontier;

/// What to verify, and against what.
#[derive(Clone, Debug)]
pub struct Request {
    pub folder: PathBuf,
    /// The key that an auditor holds. Without it the one beside the log is taken, which a forger could have replaced.
    pub public_key: Option<PublicKey>,
    /// Checkpoints that were kept elsewhere: show a log that was rolled back whole.
    pub anchors: Vec<String>,
}

/// What was found.
#[derive(Clone, Debug, Default, Serialize)]
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
    /// Records that retention dropped on purpose, as the log itself says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<DroppedReport>,
    /// What proves that the log was changed. Empty for a log that verifies; the first bad record comes first.
    pub findings: Vec<Finding>,
    /// What an auditor should know, though it proves nothing.
    pub remarks: Vec<String>,
}

/// Records that were dropped on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DroppedReport {
    /// Records before this one are gone.
    pub end: u64,
    /// The sequence of the record that says so.
    pub recorded: u64,
    /// When it was recorded, in milliseconds since 1970.
    pub time: u64,
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
    /// Records of another history, signed by the same key, were joined on.
    Spliced,
    /// Records at the end are missing.
    TailCut,
    /// The log is older than, or another than, the one whose checkpoint was kept elsewhere.
    RolledBack,
    /// A checkpoint is missing, is not whole or not in order.
    Checkpoint,
    /// A checkpoint's signature does not hold.
    Signature,
    /// The tree hashes beside the records are not theirs. The records themselves may be good.
    Hashes,
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
            Self::Spliced => "spliced",
            Self::TailCut => "tail cut",
            Self::RolledBack => "rolled back",
            Self::Checkpoint => "checkpoint",
            Self::Signature => "signature",
            Self::Hashes => "tree hashes",
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
    #[error(transparent)]
    Tiles(#[from] TileFault),
    #[error("a reader of segments ended early")]
    Reader,
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
    folder: &'a Path,
    key: &'a PublicKey,
    tiles: Tiles,
    /// The tree over the records that were judged.
    tree: Frontier,
    /// Heads from outside the segments, not met yet.
    outside: Vec<Head>,
    /// What is said of dropped records, and where the log begins now.
    dropped: Option<Dropped>,
    begins: u64,
    /// The first record that is not good.
    bad_from: Option<u64>,
    /// Sizes of the two latest heads beside the segments.
    heads: [u64; 2],
    /// Levels of tree hashes that were found bad already: one finding each is enough.
    bad_levels: [bool; LEVELS as usize],
    report: Report,
}

/// Verifies a log. `progress` is told, now and then, how many bytes were read.
pub fn verify(request: &Request, progress: &mut dyn FnMut(u64)) -> Result<Report, VerifyFault> {
    let folder = &request.folder;
    let no_files = folder::no_files(folder)?;
    if !no_files.is_empty() {
        let origin = request.public_key.as_ref().map(|key| key.name().to_owned()).unwrap_or_default();
        let remarks = vec!["nothing was read: what stands in the place of a file may not end".to_owned()];
        return Ok(Report { origin, findings: no_files, remarks, ..Report::default() });
    }
    let beside = layout::public_key(folder);
    let (key, remarks) = match &request.public_key {
        Some(key) => (key.clone(), Vec::new()),
        None => (read_key(&beside)?, vec![KEY_REMARK.to_owned()]),
    };
    let mut walk = Walk::begin(folder, &key, remarks)?;
    for anchor in &request.anchors {
        let checkpoint = key.open(anchor).map_err(VerifyFault::Anchor)?;
        walk.outside.push(Head { checkpoint, source: Source::Anchor });
    }
    if request.public_key.is_some() {
        walk.compare_key(&beside);
    }
    walk.read_latest()?;
    walk.outside.sort_by_key(|head| head.checkpoint.size);
    // After the latest checkpoint, so that they hold all that it covers, and before any record, so that those hold more.
    walk.tiles = Tiles::open(folder)?;
    let listing = folder::list(folder)?;
    walk.report.findings.extend(listing.findings);
    walk.report.remarks.extend(listing.remarks);
    walk.report.segments = listing.segments.len();
    read_all(&mut walk, &listing.segments, progress)?;
    walk.finish(&listing.segments)
}

/// Reads a public key file.
pub fn read_key(path: &Path) -> Result<PublicKey, VerifyFault> {
    let text = layout::read_small(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => VerifyFault::NoKey(path.parent().unwrap_or(path).to_owned()),
        io::ErrorKind::InvalidData => VerifyFault::Key(path.to_owned()),
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

/// Has the segments read by several threads, each some segments ahead at most, and judges them in order.
fn read_all(walk: &mut Walk<'_>, segments: &[SegmentPaths], progress: &mut dyn FnMut(u64)) -> Result<(), VerifyFault> {
    let lanes = thread::available_parallelism().map_or(1, std::num::NonZero::get).min(segments.len());
    let (key, read) = (walk.key, AtomicU64::new(0));
    let counter = &read;
    // A second file that begins alike ends nothing.
    let place = |index: usize| {
        let (_, rest) = segments.split_at_checked(index).unwrap_or_default();
        let next = rest.iter().find(|next| rest.first().is_some_and(|here| next.first > here.first));
        next.map_or(read::Place::Last, |next| read::Place::Earlier { next: next.first })
    };
    thread::scope(|scope| {
        let begin = |lane: usize| {
            let (sender, receiver) = sync_channel(1);
            scope.spawn(move || {
                for (index, paths) in segments.iter().enumerate().skip(lane).step_by(lanes) {
                    let lines_max = match place(index) {
                        read::Place::Earlier { next } => next.saturating_sub(paths.first).saturating_add(LINES_TOO_MANY),
                        read::Place::Last => LINES_MAX,
                    };
                    if sender.send(read::read(key, paths, place(index), lines_max, counter)).is_err() {
                        break;
                    }
                }
            });
            receiver
        };
        let lanes: Vec<_> = (0..lanes).map(begin).collect();
        for ((index, paths), lane) in segments.iter().enumerate().zip(lanes.iter().cycle()) {
            let segment = receive(lane, counter, progress)?;
            walk.judge(paths, place(index), segment)?;
            if walk.is_broken() {
                break;
            }
        }
        Ok(())
    })
}

fn receive<T>(lane: &Receiver<Result<T, VerifyFault>>, read: &AtomicU64, progress: &mut dyn FnMut(u64)) -> Result<T, VerifyFault> {
    loop {
        let received = lane.recv_timeout(PROGRESS_EVERY);
        progress(read.load(Ordering::Relaxed));
        match received {
            Ok(segment) => return segment,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(VerifyFault::Reader),
        }
    }
}

fn finding(kind: FindingKind, file: &Path, what: String) -> Finding {
    let file = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Finding { kind, file, line: None, sequence: None, what }
}

impl Walk<'_> {
    fn found(&mut self, kind: FindingKind, file: &Path, line: Option<u64>, sequence: Option<u64>, what: String) {
        self.report.findings.push(Finding { line, sequence, ..finding(kind, file, what) });
    }

    /// Whether the records themselves are bad, so that what follows could not be judged.
    fn is_broken(&self) -> bool {
        self.report.findings.iter().any(|finding| match finding.kind {
            FindingKind::Altered
            | FindingKind::Deleted
            | FindingKind::Duplicated
            | FindingKind::Reordered
            | FindingKind::Spliced
            | FindingKind::TailCut
            | FindingKind::RolledBack => true,
            // Of these there are some that concern a file and not the records.
            FindingKind::Inserted | FindingKind::Swapped => finding.sequence.is_some(),
            FindingKind::Checkpoint | FindingKind::Signature | FindingKind::Hashes => false,
        })
    }
}

/// How often progress is told, where nothing else happens.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// Lines that are read beyond those that a segment can have, to say what they are.
const LINES_TOO_MANY: u64 = 65_536;

/// Most lines of the last segment, whose end nobody has signed yet.
const LINES_MAX: u64 = 1 << 24;

const KEY_REMARK: &str = "the public key was taken from the folder itself; name one that is kept elsewhere with --public-key, because a forger could \
     have replaced both";
