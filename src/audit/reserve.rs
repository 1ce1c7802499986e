//! Room on the disk that is kept for the day on which there is none: it is given back to the system so that a last record can
//! say that the disk is full, and taken again before records are accepted.

use std::path::{Path, PathBuf};

use super::layout;
use super::log::LogFault;
use super::media::{Media, MediaFile, is_full};

/// The reserve of a log.
pub struct Reserve {
    path: PathBuf,
    file: Box<dyn MediaFile>,
    state: ReserveState,
}

/// Whether the reserve is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReserveState {
    Kept,
    /// Given back, because the disk was full.
    Released,
    /// The file system cannot take room ahead of time.
    Unsupported,
}

impl Reserve {
    /// Opens the reserve and takes its room. A disk without that much room begins without a reserve.
    pub fn open(media: &dyn Media, folder: &Path) -> Result<Self, LogFault> {
        let path = layout::reserve(folder);
        let file = media.open(&path).map_err(|source| LogFault::Write { path: path.clone(), source })?;
        let mut reserve = Self { path, file, state: ReserveState::Released };
        match reserve.take() {
            Ok(()) => {}
            Err(LogFault::Write { source, .. }) if is_full(&source) => {
                tracing::warn!("the disk of the audit log has no room for its reserve of {} KiB", RESERVE_BYTES / 1_024);
            }
            Err(fault) => return Err(fault),
        }
        Ok(reserve)
    }

    #[must_use]
    pub const fn state(&self) -> ReserveState {
        self.state
    }

    /// Gives the room back to the system.
    pub fn release(&mut self) -> Result<(), LogFault> {
        if self.state == ReserveState::Kept {
            self.state = ReserveState::Released;
            self.file.truncate(0).map_err(|source| LogFault::Write { path: self.path.clone(), source })?;
        }
        Ok(())
    }

    /// Takes the room, where it is not taken.
    pub fn take(&mut self) -> Result<(), LogFault> {
        if self.state != ReserveState::Released {
            return Ok(());
        }
        match self.file.allocate(0, RESERVE_BYTES) {
            Ok(()) => self.state = ReserveState::Kept,
            Err(fault) if fault.kind() == std::io::ErrorKind::Unsupported => self.state = ReserveState::Unsupported,
            Err(source) => {
                // An attempt that failed may have taken a part.
                drop(self.file.truncate(0));
                return Err(LogFault::Write { path: self.path.clone(), source });
            }
        }
        Ok(())
    }
}

/// Enough for a record, a checkpoint and the names of their files, many times over.
pub const RESERVE_BYTES: u64 = 1024 * 1024;
