//! The port to the file system. Small, so that tests can put a failing disk behind it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, FallocateFlags, OFlags, fadvise, fallocate};

/// What the log needs of a file system.
pub trait Media: Send + 'static {
    /// Opens a file to append to, made if need be, readable by its owner alone.
    fn open(&self, path: &Path) -> io::Result<Box<dyn MediaFile>>;
    /// Puts a whole file in place at once, on disk when this returns.
    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()>;
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Makes names in the folder last.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// An open file.
pub trait MediaFile: Send {
    /// Appends; may write less than it was given.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file to a length, and gives back what was allocated beyond it.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
    /// Takes room on the disk up to `end`, without changing the length that readers see. `Unsupported` where the file system
    /// has no such thing.
    fn allocate(&mut self, start: u64, end: u64) -> io::Result<()>;
    /// The first `length` bytes, from the disk as far as the system lets us ask it.
    fn read_prefix(&self, length: u64) -> io::Result<Vec<u8>>;
    /// Puts a file with the first `length` bytes of this one in place at `path`, on disk when this returns. However long it
    /// is, little of it is held in memory.
    fn put_copy(&self, path: &Path, length: u64) -> io::Result<()>;
    /// Whether the file is still the one that stands at `path`.
    fn is_at(&self, path: &Path) -> bool {
        self.length_at(path).is_some()
    }
    /// How long the file at this path is, if it is this one.
    fn length_at(&self, path: &Path) -> Option<u64>;
}

/// The machine's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

/// A file, and which one it is: device and inode.
#[derive(Debug)]
struct DiskFile(File, (u64, u64));

impl Media for Disk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn MediaFile>> {
        let file = OpenOptions::new().append(true).read(true).create(true).mode(FILE_MODE).open(path)?;
        let identity = identity(&file.metadata()?);
        Ok(Box::new(DiskFile(file, identity)))
    }

    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let draft = draft(path);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(&draft)?;
        file.write_all(content)?;
        file.sync_data()?;
        fs::rename(&draft, path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        open_to_read(path)?.read_to_end(&mut content)?;
        Ok(content)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

impl MediaFile for DiskFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn allocate(&mut self, start: u64, end: u64) -> io::Result<()> {
        if end > start { Ok(fallocate(&self.0, FallocateFlags::KEEP_SIZE, start, end - start)?) } else { Ok(()) }
    }

    fn read_prefix(&self, length: u64) -> io::Result<Vec<u8>> {
        // What the system remembers of a file whose sync failed need not be what the disk holds. Advice may be passed over.
        let _advice_only = fadvise(&self.0, 0, None, Advice::DontNeed);
        let mut content = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.0.read_exact_at(&mut content, 0)?;
        Ok(content)
    }

    fn put_copy(&self, path: &Path, length: u64) -> io::Result<()> {
        let draft = draft(path);
        let mut copy = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(&draft)?;
        // What is appended goes to the end, wherever reading stands.
        let mut from = &self.0;
        from.rewind()?;
        if io::copy(&mut from.take(length), &mut copy)? != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        copy.sync_data()?;
        fs::rename(&draft, path)
    }

    fn length_at(&self, path: &Path) -> Option<u64> {
        fs::symlink_metadata(path).ok().filter(|here| identity(here) == self.1).map(|here| here.len())
    }
}

/// Opens a file of the log to be read. A pipe in its place is an error at once, and not a wait for whoever writes to it.
pub fn open_to_read(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a file")) }
}

/// Device and inode: what makes a file the same one.
#[must_use]
pub fn identity(file: &fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// The folder of the log, made for its owner alone.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)
}

/// Where a file is written before it takes its place.
#[must_use]
pub fn draft(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".draft");
    name.into()
}

/// Whether a write failed because there is no more room.
#[must_use]
pub fn is_full(fault: &io::Error) -> bool {
    matches!(fault.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

/// Records name people and what they opened: for the owner alone.
pub const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;
