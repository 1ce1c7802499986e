//! The port to the file system. Small, so that tests can put a failing disk behind it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

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
    fn truncate(&mut self, length: u64) -> io::Result<()>;
    /// The first `length` bytes.
    fn read_prefix(&self, length: u64) -> io::Result<Vec<u8>>;
    /// Whether the file is still the one that stands at `path`.
    fn is_at(&self, path: &Path) -> bool;
}

/// The machine's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

#[derive(Debug)]
struct DiskFile(File);

impl Media for Disk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn MediaFile>> {
        let file = OpenOptions::new().append(true).read(true).create(true).mode(FILE_MODE).open(path)?;
        Ok(Box::new(DiskFile(file)))
    }

    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let draft = draft(path);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(&draft)?;
        file.write_all(content)?;
        file.sync_data()?;
        fs::rename(&draft, path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
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

    fn read_prefix(&self, length: u64) -> io::Result<Vec<u8>> {
        let mut content = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.0.read_exact_at(&mut content, 0)?;
        Ok(content)
    }

    fn is_at(&self, path: &Path) -> bool {
        let same = |here: fs::Metadata| self.0.metadata().is_ok_and(|ours| ours.ino() == here.ino() && ours.dev() == here.dev());
        fs::symlink_metadata(path).is_ok_and(same)
    }
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

/// Records name people and what they opened: for the owner alone.
pub const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;
