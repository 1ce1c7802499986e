//! Keeps a second signer out: one log has one writer, and what was signed once is never signed otherwise.
//!
//! Three things stand guard. The lock is held for as long as the log is open. The epoch counts the openings; whoever opens
//! the log raises it, so that a process that was superseded (on a file system that does not know locks, say) sees a number
//! that is not its own and never signs again. The head is the latest signed checkpoint, remembered outside of the log's
//! folder: a folder that was put back to an earlier state contradicts it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::layout;
use super::log::LogFault;
use super::media::{FILE_MODE, Media, identity};
use super::note::{Checkpoint, PublicKey};
use super::recover::StartFault;

/// The right to write a log. Given up when dropped.
pub struct Fence {
    lock: File,
    lock_path: PathBuf,
    /// Device and inode of the lock that was taken, and of the epoch that was written.
    lock_identity: (u64, u64),
    epoch_identity: Option<(u64, u64)>,
    epoch_path: PathBuf,
    head_path: PathBuf,
    epoch: u64,
}

/// What was remembered outside of the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remembered {
    /// This log's latest head.
    Head { epoch: u64, checkpoint: Checkpoint },
    /// Nothing: the log is new, or its head was moved away.
    Nothing,
    /// The head of a log with another name or key.
    OtherLog,
}

impl Fence {
    /// Takes the lock. The epoch is raised by [`enter`](Self::enter), after the log was found good.
    pub fn take(folder: &Path, head: &Path) -> Result<Self, StartFault> {
        let lock_path = layout::lock(folder);
        let lock = take_lock(folder, &lock_path)?;
        let lock_identity = lock.metadata().map_err(|source| StartFault::Io { path: lock_path.clone(), source })?;
        let lock_identity = identity(&lock_identity);
        let (epoch_path, head_path) = (layout::epoch(folder), head.to_owned());
        Ok(Self { lock, lock_path, lock_identity, epoch_identity: None, epoch_path, head_path, epoch: 0 })
    }

    /// The head that was signed last, as remembered outside of the folder.
    pub fn remembered(&self, media: &dyn Media, key: &PublicKey) -> Result<Remembered, StartFault> {
        match media.read(&self.head_path) {
            Ok(bytes) => Ok(parse_head(&String::from_utf8_lossy(&bytes), key).unwrap_or(Remembered::OtherLog)),
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(Remembered::Nothing),
            Err(source) => Err(StartFault::Io { path: self.head_path.clone(), source }),
        }
    }

    /// Raises the epoch above every one that is known: from now on no earlier process signs.
    pub fn enter(&mut self, media: &dyn Media, remembered: &Remembered) -> Result<(), StartFault> {
        let fault = |source| StartFault::Io { path: self.epoch_path.clone(), source };
        let written = match media.read(&self.epoch_path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).trim().parse().unwrap_or(0),
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => 0,
            Err(source) => return Err(fault(source)),
        };
        let known = match remembered {
            Remembered::Head { epoch, .. } => written.max(*epoch),
            Remembered::Nothing | Remembered::OtherLog => written,
        };
        self.epoch = known.saturating_add(1);
        media.replace(&self.epoch_path, self.epoch_text().as_bytes()).map_err(fault)?;
        self.epoch_identity = standing(&self.epoch_path);
        Ok(())
    }

    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    #[must_use]
    pub fn head_path(&self) -> &Path {
        &self.head_path
    }

    /// A look before every write: whether lock and epoch are the files that they were. Two questions to the system.
    pub fn look(&self) -> Result<(), LogFault> {
        match standing(&self.lock_path) {
            // Taken away, with its folder or alone: nobody can have it yet.
            None => return Err(LogFault::Gone(self.lock_path.clone())),
            found if found == Some(self.lock_identity) => {}
            Some(_) => return Err(LogFault::Superseded(self.lock_path.clone())),
        }
        match standing(&self.epoch_path) {
            None => Err(LogFault::Gone(self.epoch_path.clone())),
            found if found == self.epoch_identity => Ok(()),
            Some(_) => Err(LogFault::Superseded(self.epoch_path.clone())),
        }
    }

    /// Whether this process is still the one that may sign: as [`look`](Self::look), and the epoch is read.
    pub fn hold(&self, media: &dyn Media) -> Result<(), LogFault> {
        self.look()?;
        match media.read(&self.epoch_path) {
            Ok(found) if found == self.epoch_text().as_bytes() => Ok(()),
            Ok(_) => Err(LogFault::Superseded(self.epoch_path.clone())),
            Err(source) => Err(LogFault::Read { path: self.epoch_path.clone(), source }),
        }
    }

    /// Puts lock and epoch back where their files went with the others. Whoever took the lock meanwhile has raised the epoch, or
    /// is about to: then this process has no right any more.
    pub fn restore(&mut self, media: &dyn Media) -> Result<(), LogFault> {
        if standing(&self.lock_path).is_none() {
            self.take_again()?;
        }
        if standing(&self.epoch_path).is_none() {
            let path = self.epoch_path.clone();
            media.replace(&path, self.epoch_text().as_bytes()).map_err(|source| LogFault::Write { path, source })?;
            self.epoch_identity = standing(&self.epoch_path);
        }
        self.hold(media)
    }

    /// Takes a lock in the place of the one that was removed, and only then looks whether somebody else had it in between.
    fn take_again(&mut self) -> Result<(), LogFault> {
        let gone = || LogFault::Gone(self.lock_path.clone());
        let folder = self.lock_path.parent().filter(|folder| folder.is_dir()).ok_or_else(gone)?;
        let lock = take_lock(folder, &self.lock_path).map_err(|_| gone())?;
        let identity = lock.metadata().map(|found| identity(&found)).map_err(|_| gone())?;
        (self.lock, self.lock_identity) = (lock, identity);
        Ok(())
    }

    /// Remembers a head outside of the folder, on disk when this returns.
    pub fn remember(&self, media: &dyn Media, note: &str) -> Result<(), LogFault> {
        let text = format!("epoch {}\n{note}", self.epoch);
        media.replace(&self.head_path, text.as_bytes()).map_err(|source| LogFault::Write { path: self.head_path.clone(), source })
    }

    fn epoch_text(&self) -> String {
        format!("{}\n", self.epoch)
    }
}

/// Which file stands at a path.
fn standing(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|here| identity(&here))
}

fn parse_head(text: &str, key: &PublicKey) -> Option<Remembered> {
    let (epoch, note) = split_head(text)?;
    Some(Remembered::Head { epoch: epoch.parse().ok()?, checkpoint: key.open(note).ok()? })
}

/// The signed checkpoint in the text of a remembered head.
#[must_use]
pub fn checkpoint_of_head(text: &str) -> Option<&str> {
    split_head(text).map(|(_, note)| note)
}

fn split_head(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix("epoch ")?.split_once('\n')
}

/// Name of the remembered head's file in `state_dir`.
pub const HEAD: &str = "audit.head";

fn take_lock(folder: &Path, path: &Path) -> Result<File, StartFault> {
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(FILE_MODE).open(path);
    let lock = lock.map_err(|source| StartFault::Io { path: path.to_owned(), source })?;
    let mut tries = LOCK_TRIES;
    loop {
        tries -= 1;
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            // A process that was just ended, or a child of one between fork and exec, holds the lock a moment longer.
            Err(TryLockError::WouldBlock) if tries > 0 => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => return Err(StartFault::Locked(folder.to_owned())),
            Err(TryLockError::Error(source)) => return Err(StartFault::Io { path: path.to_owned(), source }),
        }
    }
}

/// How often a start tries to take the log over from the process before it: for a second, all in all.
const LOCK_TRIES: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(20);
