//! Opens a log: begins a new one, or picks up where the last run stopped, killed or not.
//!
//! An unterminated last line was never acknowledged and is cut off. Anything else that contradicts what was signed means that
//! somebody changed the log, and it is not written to any further: the start is refused, with the place and the mend.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use kernel::time::Timestamp;
use thiserror::Error;

use super::layout::{self, SegmentPaths};
use super::log::{Log, LogFault, Segment, Tail};
use super::media::{FILE_MODE, Media, make_folder};
use super::note::{Checkpoint, NoteFault, PublicKey, Signer, split_notes};
use super::tree::{Frontier, Hash, leaf_hash};

/// Why the log cannot be opened.
#[derive(Debug, Error)]
pub enum StartFault {
    #[error("cannot open {path} in the audit folder: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("another process writes the audit log in {0}: stop it, or give this one a folder of its own")]
    Locked(PathBuf),
    #[error("{path} names another signing key than the one configured: put the key back, or move the folder away to begin a new log")]
    OtherKey { path: PathBuf },
    #[error("the audit log's name or key: {0}")]
    Key(NoteFault),
    #[error(
        "the audit log was changed: {place}: {what}. Run `portcullis audit verify --dir {folder}` to see what; keep the folder as evidence, \
         and move it away to begin a new log"
    )]
    Contradiction { folder: String, place: String, what: String },
    #[error("cannot prepare the audit log: {0}")]
    Log(String),
    #[error("cannot start the audit log's writer: {0}")]
    Thread(io::Error),
}

/// What was cut off at the end of the last segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repair {
    pub bytes_cut: u64,
    /// How many whole records stand after the last checkpoint of the run before.
    pub uncovered: u64,
    pub records: u64,
}

/// Opens the log in `folder`. The second value tells of a run that did not end well.
pub fn open(
    media: Box<dyn Media>,
    folder: &Path,
    segment_bytes: u64,
    signer: Signer,
    now: Timestamp,
) -> Result<(Log, Option<Repair>), StartFault> {
    make_folder(folder).map_err(|source| StartFault::Io { path: folder.to_owned(), source })?;
    let lock = take_lock(folder)?;
    check_public_key(&*media, folder, signer.public())?;
    let segments = layout::segments(folder).map_err(|source| StartFault::Io { path: folder.to_owned(), source })?;
    match segments.split_last() {
        None => begin(media, folder, segment_bytes, signer, lock, now).map(|log| (log, None)),
        Some((last, earlier)) => resume(media, folder, segment_bytes, signer, lock, (last, earlier)),
    }
}

fn take_lock(folder: &Path) -> Result<File, StartFault> {
    let path = layout::lock(folder);
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(FILE_MODE).open(&path);
    let lock = lock.map_err(|source| StartFault::Io { path: path.clone(), source })?;
    let mut tries = LOCK_TRIES;
    loop {
        tries -= 1;
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            // A process that was just ended, or a child of one between fork and exec, holds the lock a moment longer.
            Err(TryLockError::WouldBlock) if tries > 0 => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => return Err(StartFault::Locked(folder.to_owned())),
            Err(TryLockError::Error(source)) => return Err(StartFault::Io { path, source }),
        }
    }
}

/// How often a start tries to take the log over from the process before it: for a second, all in all.
const LOCK_TRIES: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The public key is written once. Another one means another signing key, whose checkpoints nobody could verify.
fn check_public_key(media: &dyn Media, folder: &Path, public: &PublicKey) -> Result<(), StartFault> {
    let path = layout::public_key(folder);
    match fs::read_to_string(&path) {
        Ok(text) if PublicKey::parse(&text).as_ref() == Ok(public) => Ok(()),
        Ok(_) => Err(StartFault::OtherKey { path }),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => {
            media.replace(&path, format!("{}\n", public.text()).as_bytes()).map_err(|source| StartFault::Io { path, source })
        }
        Err(source) => Err(StartFault::Io { path, source }),
    }
}

fn begin(
    media: Box<dyn Media>,
    folder: &Path,
    segment_bytes: u64,
    mut signer: Signer,
    lock: File,
    now: Timestamp,
) -> Result<Log, StartFault> {
    let path = layout::checkpoint(folder);
    let tree = Frontier::default();
    // A crash before the first segment stood leaves a head of no records. A head of more says that segments are gone.
    if let Ok(note) = fs::read_to_string(&path) {
        let left = open_note(folder, signer.public(), &path, &note)?;
        if left.size > 0 {
            return Err(contradiction(folder, &path, format!("{} records were signed, and there are no segments", left.size)));
        }
    }
    let latest = signer.sign(&tree).map_err(StartFault::Key)?;
    media.replace(&path, latest.as_bytes()).map_err(|source| StartFault::Io { path, source })?;
    let segment = Segment::create(&*media, folder, &tree, &latest, now)?;
    let log = Log { media, folder: folder.to_owned(), segment_bytes, signer, tree, segment, latest, _lock: lock };
    log.sync_names()?;
    Ok(log)
}

fn resume(
    media: Box<dyn Media>,
    folder: &Path,
    segment_bytes: u64,
    mut signer: Signer,
    lock: File,
    (last, earlier): (&SegmentPaths, &[SegmentPaths]),
) -> Result<(Log, Option<Repair>), StartFault> {
    let path = layout::checkpoint(folder);
    let latest = fs::read_to_string(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => contradiction(folder, &path, "it is missing, though there are records".to_owned()),
        _ => StartFault::Io { path: path.clone(), source },
    })?;
    let signed = open_note(folder, signer.public(), &path, &latest)?;
    let notes = Notes::read(folder, signer.public(), &last.checkpoints)?;
    let start = start_of(folder, last, earlier, notes.heads.first())?;
    let scan = Scan::read(folder, last, &start)?;
    scan.compare(folder, last, &start, &notes.heads)?;
    scan.compare(folder, last, &start, std::slice::from_ref(&signed))?;

    let mut records = Tail::open(&*media, &last.records, scan.length)?;
    if scan.torn > 0 {
        records.cut()?;
    }
    let mut checkpoints = Tail::open(&*media, &last.checkpoints, notes.length)?;
    checkpoints.cut()?;
    let leaves: Vec<u8> = scan.leaves.concat();
    media.replace(&last.leaves, &leaves).map_err(|source| StartFault::Io { path: last.leaves.clone(), source })?;
    let leaves_tail = Tail::open(&*media, &last.leaves, leaves.len() as u64)?;

    let uncovered = scan.tree.size().saturating_sub(signed.size);
    let repair = (scan.torn > 0 || uncovered > 0).then_some(Repair { bytes_cut: scan.torn, uncovered, records: scan.tree.size() });
    signer.resume(signed);
    let segment = Segment { start, records, checkpoints, leaves: leaves_tail, leaves_pending: Vec::new() };
    let log = Log { media, folder: folder.to_owned(), segment_bytes, signer, tree: scan.tree, segment, latest, _lock: lock };
    Ok((log, repair))
}

/// The tree at the start of the last segment: the kept frontier where the signed head beside it vouches for it, and otherwise
/// every earlier segment, read again.
fn start_of(folder: &Path, last: &SegmentPaths, earlier: &[SegmentPaths], first_head: Option<&Checkpoint>) -> Result<Frontier, StartFault> {
    let vouched = |tree: &Frontier| first_head.is_some_and(|head| head.size == tree.size() && head.root == tree.root());
    let kept = fs::read_to_string(&last.frontier).ok().and_then(|text| layout::parse_frontier(&text)).filter(vouched);
    let tree = match kept {
        Some(tree) => tree,
        None => earlier.iter().try_fold(Frontier::default(), |tree, segment| Scan::read(folder, segment, &tree).map(|scan| scan.tree))?,
    };
    if tree.size() == last.first && vouched(&tree) {
        return Ok(tree);
    }
    let what = format!("it begins with record {}, but {} records before it are signed or found", last.first, tree.size());
    Err(contradiction(folder, &last.records, what))
}

/// The heads in a `.checkpoints` file.
struct Notes {
    heads: Vec<Checkpoint>,
    /// How much of the file is whole.
    length: u64,
}

impl Notes {
    fn read(folder: &Path, key: &PublicKey, path: &Path) -> Result<Self, StartFault> {
        let bytes = fs::read(path).map_err(|source| StartFault::Io { path: path.to_owned(), source })?;
        // A tear may leave half a letter, which then belongs to what is cut off.
        let text = match std::str::from_utf8(&bytes) {
            Ok(text) => text,
            Err(fault) => std::str::from_utf8(bytes.get(..fault.valid_up_to()).unwrap_or_default()).unwrap_or_default(),
        };
        let (notes, torn) = split_notes(text);
        let heads: Result<_, _> = notes.iter().map(|note| open_note(folder, key, path, note)).collect();
        Ok(Self { heads: heads?, length: (text.len() - torn.len()) as u64 })
    }
}

/// One segment, read and hashed.
struct Scan {
    tree: Frontier,
    leaves: Vec<Hash>,
    /// Bytes up to the last whole line.
    length: u64,
    /// Bytes after it.
    torn: u64,
}

impl Scan {
    fn read(folder: &Path, segment: &SegmentPaths, start: &Frontier) -> Result<Self, StartFault> {
        let bytes = fs::read(&segment.records).map_err(|source| StartFault::Io { path: segment.records.clone(), source })?;
        let mut scan = Self { tree: start.clone(), leaves: Vec::new(), length: 0, torn: 0 };
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Some(record) = line.strip_suffix(b"\n") else {
                scan.torn = line.len() as u64;
                break;
            };
            if layout::sequence_of(record) != Some(scan.tree.size()) {
                let line = scan.leaves.len() + 1;
                return Err(contradiction(folder, &segment.records, format!("line {line} is not record {}", scan.tree.size())));
            }
            let leaf = leaf_hash(record);
            scan.tree.push(leaf);
            scan.leaves.push(leaf);
            scan.length += line.len() as u64;
        }
        Ok(scan)
    }

    /// Compares the tree with heads that were signed, each at its size.
    fn compare(&self, folder: &Path, segment: &SegmentPaths, start: &Frontier, heads: &[Checkpoint]) -> Result<(), StartFault> {
        let mut tree = start.clone();
        let mut leaves = self.leaves.iter();
        for head in heads {
            if head.size < tree.size() {
                return Err(contradiction(folder, &segment.checkpoints, format!("a head of {} records stands out of order", head.size)));
            }
            while tree.size() < head.size {
                let Some(leaf) = leaves.next() else {
                    let what = format!("{} records were signed, and {} are there", head.size, self.tree.size());
                    return Err(contradiction(folder, &segment.records, what));
                };
                tree.push(*leaf);
            }
            if tree.root() != head.root {
                let what = format!("the records up to {} are not those that were signed", head.size);
                return Err(contradiction(folder, &segment.records, what));
            }
        }
        Ok(())
    }
}

fn open_note(folder: &Path, key: &PublicKey, path: &Path, note: &str) -> Result<Checkpoint, StartFault> {
    key.open(note).map_err(|fault| contradiction(folder, path, fault.to_string()))
}

fn contradiction(folder: &Path, place: &Path, what: String) -> StartFault {
    let place = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
    StartFault::Contradiction { folder: folder.display().to_string(), place, what }
}

impl From<LogFault> for StartFault {
    fn from(fault: LogFault) -> Self {
        Self::Log(fault.to_string())
    }
}
