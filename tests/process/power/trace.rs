//! A disk that works, and remembers in which order it was asked for what.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use portcullis::audit::media::{Disk, Media, MediaFile, draft};

/// What was asked of the disk, in order.
#[derive(Clone, Debug)]
pub enum Step {
    /// A name stands for a file from now on.
    Link {
        name: PathBuf,
        file: usize,
    },
    Unlink {
        name: PathBuf,
    },
    Write {
        file: usize,
        at: u64,
        bytes: Vec<u8>,
    },
    Truncate {
        file: usize,
        length: u64,
    },
    Sync {
        file: usize,
    },
    SyncFolder {
        folder: PathBuf,
    },
    /// A caller was told that its record is on disk.
    Promised {
        id: String,
    },
}

/// Whether a sync of this disk does anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syncs {
    /// As the machine's own do.
    Real,
    Nothing,
}

#[derive(Clone, Debug)]
pub struct TracedDisk {
    trace: Arc<Mutex<Trace>>,
    syncs: Syncs,
}

#[derive(Debug, Default)]
struct Trace {
    steps: Vec<Step>,
    names: HashMap<PathBuf, usize>,
    lengths: Vec<u64>,
}

struct TracedFile {
    inner: Box<dyn MediaFile>,
    file: usize,
    disk: TracedDisk,
}

impl TracedDisk {
    pub fn new(syncs: Syncs) -> Self {
        // Under a library that turns syncs into nothing, this disk's do nothing either.
        let syncs = if syncs_reach_the_system() { syncs } else { Syncs::Nothing };
        Self { trace: Arc::default(), syncs }
    }

    pub fn promised(&self, id: String) {
        self.trace.lock().unwrap().steps.push(Step::Promised { id });
    }

    pub fn steps(&self) -> Vec<Step> {
        self.trace.lock().unwrap().steps.clone()
    }

    fn synced(&self, step: Step) {
        if self.syncs == Syncs::Real {
            self.trace.lock().unwrap().steps.push(step);
        }
    }
}

/// A pipe cannot be synced, and the system says so. Whoever answers that it was done did not ask the system.
fn syncs_reach_the_system() -> bool {
    let (_reader, writer) = io::pipe().unwrap();
    File::from(std::os::fd::OwnedFd::from(writer)).sync_data().is_err()
}

impl Trace {
    fn file_at(&mut self, name: &Path) -> usize {
        match self.names.get(name) {
            Some(file) => *file,
            None => self.new_file(name),
        }
    }

    fn new_file(&mut self, name: &Path) -> usize {
        let file = self.lengths.len();
        self.lengths.push(0);
        self.link(name, file);
        file
    }

    fn link(&mut self, name: &Path, file: usize) {
        self.names.insert(name.to_owned(), file);
        self.steps.push(Step::Link { name: name.to_owned(), file });
    }

    fn write(&mut self, file: usize, bytes: &[u8]) {
        let at = self.lengths[file];
        self.lengths[file] += bytes.len() as u64;
        self.steps.push(Step::Write { file, at, bytes: bytes.to_vec() });
    }
}

impl Media for TracedDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn MediaFile>> {
        let inner = Disk.open(path)?;
        let file = self.trace.lock().unwrap().file_at(path);
        Ok(Box::new(TracedFile { inner, file, disk: self.clone() }))
    }

    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        Disk.replace(path, content)?;
        let draft = draft(path);
        let file = {
            let mut trace = self.trace.lock().unwrap();
            let file = trace.new_file(&draft);
            trace.write(file, content);
            file
        };
        self.synced(Step::Sync { file });
        let mut trace = self.trace.lock().unwrap();
        trace.link(path, file);
        trace.names.remove(&draft);
        trace.steps.push(Step::Unlink { name: draft });
        Ok(())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        Disk.read(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        Disk.sync_folder(folder)?;
        self.synced(Step::SyncFolder { folder: folder.to_owned() });
        Ok(())
    }
}

impl MediaFile for TracedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.disk.trace.lock().unwrap().write(self.file, &bytes[..written]);
        Ok(written)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.inner.sync()?;
        self.disk.synced(Step::Sync { file: self.file });
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.inner.truncate(length)?;
        let mut trace = self.disk.trace.lock().unwrap();
        trace.lengths[self.file] = length;
        trace.steps.push(Step::Truncate { file: self.file, length });
        Ok(())
    }

    fn allocate(&mut self, start: u64, end: u64) -> io::Result<()> {
        self.inner.allocate(start, end)
    }

    fn read_prefix(&self, length: u64) -> io::Result<Vec<u8>> {
        self.inner.read_prefix(length)
    }

    fn put_copy(&self, path: &Path, length: u64) -> io::Result<()> {
        self.inner.put_copy(path, length)
    }
    fn length_at(&self, path: &Path) -> Option<u64> {
        self.inner.length_at(path)
    }
}
