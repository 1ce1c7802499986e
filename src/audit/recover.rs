//! Opens a log: begins a new one, or picks up where the last run stopped, killed or not.
//!
//! What was written and not signed may be torn, and the part of it that is not whole is cut off. Anything that contradicts what
//! was signed, in the folder or in the head that is remembered outside of it, means that somebody changed the log or put it
//! back to an earlier state: it is not written to any further, and the start is refused with the place and the mend.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use kernel::time::Timestamp;
use thiserror::Error;

use super::fence::{Fence, Remembered};
use super::layout::{self, SegmentPaths};
use super::log::{Log, LogFault};
use super::media::{Media, make_folder};
use super::note::{Checkpoint, NoteFault, PublicKey, Signer};
use super::reserve::Reserve;
use super::scan::{Notes, Scan};
use super::segment::{Records, Segment, Tail};
use super::tiles::Tiles;
use super::tree::{Frontier, Hash};
use super::verify::no_files;

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
    #[error(
        "the audit log was put back to an earlier state, or forked: {what}. Signing would make two histories. Put the newer log back; to go on \
         without it, keep both as evidence, and move the folder and {head} away to begin a new log"
    )]
    RolledBack { head: String, what: String },
    #[error("cannot prepare the audit log: {0}")]
    Log(String),
    #[error("cannot start the audit log's writer: {0}")]
    Thread(io::Error),
}

/// Where a log lies.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub folder: &'a Path,
    /// The file, outside of the folder, that remembers the latest signed head.
    pub head: &'a Path,
    pub segment_bytes: u64,
}

/// What a run that did not end well left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repair {
    pub bytes_cut: u64,
    /// How many whole records stand after the last checkpoint of the run before.
    pub uncovered: u64,
    pub records: u64,
}

/// Opens the log. The second value tells of a run that did not end well.
pub fn open(media: Box<dyn Media>, place: Place<'_>, signer: Signer, now: Timestamp) -> Result<(Log, Option<Repair>), StartFault> {
    let folder = place.folder;
    make_folder(folder).map_err(|source| StartFault::Io { path: folder.to_owned(), source })?;
    refuse_what_is_no_file(place)?;
    let fence = Fence::take(folder, place.head)?;
    check_public_key(&*media, folder, signer.public())?;
    let remembered = fence.remembered(&*media, signer.public())?;
    let segments = born(folder, signer.public())?;
    let opener = Opener { media, place, signer, fence, remembered, now };
    match segments.split_last() {
        None => opener.begin().map(|log| (log, None)),
        Some((last, earlier)) => opener.resume(last, earlier),
    }
}

/// Before anything is opened: a pipe in the place of a file would hold the start up for ever, without a word.
fn refuse_what_is_no_file(place: Place<'_>) -> Result<(), StartFault> {
    let folder = place.folder;
    let of_the_log = no_files(folder).map_err(|fault| StartFault::Log(fault.to_string()))?;
    if let Some(found) = of_the_log.into_iter().next() {
        return Err(contradiction(folder, &folder.join(found.file), found.what));
    }
    let own = [layout::lock(folder), layout::epoch(folder), layout::reserve(folder), place.head.to_owned()];
    match own.into_iter().find(|path| fs::metadata(path).is_ok_and(|about| !about.is_file())) {
        Some(path) => Err(StartFault::Io { path, source: io::Error::other("it is not a file") }),
        None => Ok(()),
    }
}

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

/// The segments, without one at the end that was in the making when the power went: it has no record, and not all of what
/// stands beside one.
fn born(folder: &Path, key: &PublicKey) -> Result<Vec<SegmentPaths>, StartFault> {
    let fault = |path: &Path, source| StartFault::Io { path: path.to_owned(), source };
    let mut segments = layout::segments(folder).map_err(|source| fault(folder, source))?;
    while let Some(last) = segments.last() {
        let empty = fs::metadata(&last.records).map_err(|source| fault(&last.records, source))?.len() == 0;
        let has_head = Notes::read(folder, key, &last.checkpoints).is_ok_and(|notes| notes.first.size == last.first);
        let signed = last.first > 0 || layout::checkpoint(folder).exists();
        if !empty || (has_head && signed) {
            break;
        }
        for path in [&last.checkpoints, &last.frontier, &last.records] {
            match fs::remove_file(path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(fault(path, source)),
                Ok(()) | Err(_) => {}
            }
        }
        segments.pop();
    }
    Ok(segments)
}

/// What an opening needs.
struct Opener<'a> {
    media: Box<dyn Media>,
    place: Place<'a>,
    signer: Signer,
    fence: Fence,
    remembered: Remembered,
    now: Timestamp,
}

impl Opener<'_> {
    fn begin(mut self) -> Result<Log, StartFault> {
        let folder = self.place.folder;
        let path = layout::checkpoint(folder);
        let tree = Frontier::default();
        // A crash before the first segment stood leaves a head of no records. A head of more says that segments are gone.
        if let Ok(note) = fs::read_to_string(&path) {
            let left = open_note(folder, self.signer.public(), &path, &note)?;
            if left.size > 0 {
                return Err(contradiction(folder, &path, format!("{} records were signed, and there are no segments", left.size)));
            }
        }
        self.refuse_other_history(&tree, |size| Ok((size == 0).then(|| tree.root())))?;
        self.fence.enter(&*self.media, &self.remembered)?;
        let latest = self.signer.sign(&tree).map_err(StartFault::Key)?;
        self.fence.remember(&*self.media, &latest)?;
        self.media.replace(&path, latest.as_bytes()).map_err(|source| StartFault::Io { path, source })?;
        let segment = Segment::create(&*self.media, folder, &tree, &latest, self.place.segment_bytes, self.now)?;
        let tiles = Tiles::create(&*self.media, folder)?;
        let log = self.log(segment, tiles, tree, latest, 1)?;
        log.sync_names()?;
        Ok(log)
    }

    fn resume(mut self, last: &SegmentPaths, earlier: &[SegmentPaths]) -> Result<(Log, Option<Repair>), StartFault> {
        let folder = self.place.folder;
        let path = layout::checkpoint(folder);
        let latest = fs::read_to_string(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => contradiction(folder, &path, "it is missing, though there are records".to_owned()),
            _ => StartFault::Io { path: path.clone(), source },
        })?;
        let signed = open_note(folder, self.signer.public(), &path, &latest)?;
        let notes = Notes::read(folder, self.signer.public(), &last.checkpoints)?;
        let start = start_of(folder, last, earlier, &notes.first)?;
        let covered = signed.size.max(notes.last.size).max(self.remembered_size());
        let scan = Scan::read(folder, last, &start, covered)?;
        scan.compare(folder, last, &start, &[&notes.first, &notes.last])?;
        let root_of = |size| {
            if size >= start.size() { Ok(scan.root_at(&start, size)) } else { root_of_earlier(folder, self.signer.public(), earlier, size) }
        };
        if signed.size >= start.size() {
            scan.compare(folder, last, &start, &[&signed])?;
        } else if root_of(signed.size)? != Some(signed.root) {
            // The name of a later one may have been lost with the power, but an earlier one is of this log all the same.
            return Err(contradiction(folder, &path, format!("the records up to {} are not those that were signed", signed.size)));
        }
        self.refuse_other_history(&scan.tree, root_of)?;
        self.fence.enter(&*self.media, &self.remembered)?;

        self.keep_what_is_cut(&scan)?;
        let mut records = Records::open(&*self.media, &last.records, scan.length, self.place.segment_bytes)?;
        let signed_size = signed.size.max(notes.last.size);
        let uncovered = scan.tree.size().saturating_sub(signed_size);
        if !scan.torn.is_empty() || uncovered > 0 {
            // What stands there may never have reached the disk: the next checkpoint must not be the first to ask.
            records.cut()?;
        }
        let mut checkpoints = Tail::open(&*self.media, &last.checkpoints, notes.length)?;
        checkpoints.cut()?;
        if notes.last.size < signed.size && signed.size >= start.size() {
            // It was written there too, before it was the latest, and lost with the power.
            checkpoints.append(format!("{latest}\n").as_bytes())?;
        }
        let tiles = Tiles::resume(&*self.media, folder, &start, &scan.leaves, |take| give_leaves(folder, earlier, take))?;

        let bytes_cut = scan.torn.len() as u64;
        let repair = (bytes_cut > 0 || uncovered > 0 || signed.size < signed_size).then_some(Repair {
            bytes_cut,
            uncovered,
            records: scan.tree.size(),
        });
        let largest = [signed, notes.last].into_iter().max_by_key(|head| head.size);
        largest.into_iter().for_each(|head| self.signer.resume(head));
        let first_note = notes.first_note;
        let segment = Segment { paths: last.clone(), start, first_note, records, checkpoints, leaves_pending: Vec::new() };
        let log = self.log(segment, tiles, scan.tree, latest, earlier.len() as u64 + 1)?;
        log.sync_names()?;
        Ok((log, repair))
    }

    fn log(self, segment: Segment, tiles: Tiles, tree: Frontier, latest: String, segments: u64) -> Result<Log, StartFault> {
        let reserve = Reserve::open(&*self.media, self.place.folder)?;
        Ok(Log {
            media: self.media,
            folder: self.place.folder.to_owned(),
            segment_bytes: self.place.segment_bytes,
            signer: self.signer,
            tree,
            next: Frontier::default(),
            segment,
            tiles,
            latest,
            reserve,
            fence: self.fence,
            segments,
            signed: 0,
        })
    }

    const fn remembered_size(&self) -> u64 {
        match &self.remembered {
            Remembered::Head { checkpoint, .. } => checkpoint.size,
            Remembered::Nothing | Remembered::OtherLog => 0,
        }
    }

    /// What was signed last must be a beginning of what is here.
    fn refuse_other_history(
        &self,
        tree: &Frontier,
        root_at: impl FnOnce(u64) -> Result<Option<[u8; 32]>, StartFault>,
    ) -> Result<(), StartFault> {
        let Remembered::Head { checkpoint, .. } = &self.remembered else { return Ok(()) };
        let Checkpoint { size, root, .. } = checkpoint;
        let what = if *size > tree.size() {
            format!("{size} records were signed, and {} are there", tree.size())
        } else if root_at(*size)? != Some(*root) {
            format!("its first {size} records are not those that were signed")
        } else {
            return Ok(());
        };
        Err(StartFault::RolledBack { head: self.fence.head_path().display().to_string(), what })
    }

    /// An unfinished line says nothing. More than that is kept: it was recorded, though nobody was promised that it lasts.
    fn keep_what_is_cut(&self, scan: &Scan) -> Result<(), StartFault> {
        if !scan.torn.contains(&b'\n') {
            return Ok(());
        }
        let path = layout::cut_off(self.place.folder, scan.tree.size(), self.now);
        self.media.replace(&path, &scan.torn).map_err(|source| StartFault::Io { path, source })
    }
}

/// The tree at the start of the last segment: the kept frontier where the signed head beside it vouches for it, and otherwise
/// every earlier segment, read again.
fn start_of(folder: &Path, last: &SegmentPaths, earlier: &[SegmentPaths], first_head: &Checkpoint) -> Result<Frontier, StartFault> {
    let vouched = |tree: &Frontier| first_head.size == tree.size() && first_head.root == tree.root();
    let kept = fs::read_to_string(&last.frontier).ok().and_then(|text| layout::parse_frontier(&text)).filter(vouched);
    let by_hashes = || Tiles::tree(folder, last.first).filter(vouched);
    let tree = match kept.or_else(by_hashes) {
        Some(tree) => tree,
        None => earlier
            .iter()
            .try_fold(Frontier::default(), |tree, segment| Scan::read(folder, segment, &tree, u64::MAX).map(|scan| scan.tree))?,
    };
    if tree.size() == last.first && vouched(&tree) {
        return Ok(tree);
    }
    let what = format!("it begins with record {}, but {} records before it are signed or found", last.first, tree.size());
    Err(contradiction(folder, &last.records, what))
}

/// Gives the leaf hashes of the earlier segments, to make the tree's hashes from them again.
fn give_leaves(folder: &Path, earlier: &[SegmentPaths], take: &mut dyn FnMut(&[Hash]) -> Result<(), LogFault>) -> Result<(), StartFault> {
    if earlier.first().is_some_and(|segment| segment.first > 0) {
        let path = layout::tiles(folder, 0);
        let what = "the tree hashes are missing or changed, and cannot be made again, because retention dropped the first records";
        return Err(contradiction(folder, &path, what.to_owned()));
    }
    let mut tree = Frontier::default();
    for segment in earlier {
        let scan = Scan::read(folder, segment, &tree, u64::MAX)?;
        take(&scan.leaves)?;
        tree = scan.tree;
    }
    Ok(())
}

/// The root over records that end in one of the earlier segments.
fn root_of_earlier(folder: &Path, key: &PublicKey, earlier: &[SegmentPaths], size: u64) -> Result<Option<[u8; 32]>, StartFault> {
    let after = earlier.partition_point(|segment| segment.first <= size);
    let Some((segment, before)) = earlier.get(..after).and_then(<[SegmentPaths]>::split_last) else { return Ok(None) };
    let start = start_of(folder, segment, before, &Notes::read(folder, key, &segment.checkpoints)?.first)?;
    Ok(Scan::read(folder, segment, &start, u64::MAX)?.root_at(&start, size))
}

pub(super) fn open_note(folder: &Path, key: &PublicKey, path: &Path, note: &str) -> Result<Checkpoint, StartFault> {
    key.open(note).map_err(|fault| contradiction(folder, path, fault.to_string()))
}

pub(super) fn contradiction(folder: &Path, place: &Path, what: String) -> StartFault {
    let place = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
    StartFault::Contradiction { folder: folder.display().to_string(), place, what }
}

impl From<LogFault> for StartFault {
    fn from(fault: LogFault) -> Self {
        Self::Log(fault.to_string())
    }
}
