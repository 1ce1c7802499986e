//! Reads the files that a configuration names: regular files of bounded size, nothing else.
//!
//! The file that is judged (kind, size, mode) is the file that is read: all of it through one descriptor. A pipe or device
//! never blocks the reading.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use thiserror::Error;
use zeroize::Zeroizing;

/// Why a file was not read.
#[derive(Debug, Error)]
pub enum FileFault {
    #[error("does not exist")]
    Missing,
    #[error("may not be read by this user")]
    Forbidden,
    #[error("is a directory")]
    Directory,
    #[error("is not a regular file")]
    NotRegular,
    #[error("is larger than 1 MiB")]
    TooLarge,
    #[error("is empty")]
    Empty,
    #[error("is not UTF-8 (byte {0})")]
    NotUtf8(usize),
    #[error("can be read by others (mode {0:o})")]
    TooOpen(u32),
    #[error("cannot be read: {0}")]
    Io(ErrorKind),
}

/// Who else than the owner may be able to read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    Anyone,
    OwnerOnly,
}

impl FileFault {
    /// What to do about it.
    #[must_use]
    pub fn mend(&self, path: &Path) -> String {
        let path = path.display();
        match self {
            Self::Missing => format!("create {path}, or correct the path"),
            Self::Forbidden => {
                format!("let the gateway's user read {path}; a running gateway reaches only folders that it knew at its start (restart it)")
            }
            Self::Directory => format!("name a file in {path}"),
            Self::NotRegular => "name a regular file: no pipe, socket or device".to_owned(),
            Self::TooLarge => "name the right file: none that belongs here is larger than 1 MiB".to_owned(),
            Self::Empty => format!("write the content to {path}"),
            Self::NotUtf8(_) => format!("save {path} as UTF-8 text"),
            Self::TooOpen(_) => format!("chmod 600 {path}"),
            Self::Io(_) => format!("make {path} readable"),
        }
    }
}

/// The bytes of a regular file of at most 1 MiB; wiped when dropped, because it may be a secret.
pub fn read(path: &Path, readers: Readers) -> Result<Zeroizing<Vec<u8>>, FileFault> {
    // Opening a pipe would otherwise wait for a writer.
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path).map_err(|fault| fault_of(&fault))?;
    let metadata = file.metadata().map_err(|fault| fault_of(&fault))?;
    if metadata.is_dir() {
        return Err(FileFault::Directory);
    }
    if !metadata.is_file() {
        return Err(FileFault::NotRegular);
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if readers == Readers::OwnerOnly && mode & 0o077 != 0 {
        return Err(FileFault::TooOpen(mode));
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(FileFault::TooLarge);
    }
    read_bounded(file)
}

/// A file may grow between the look at its size and the reading.
fn read_bounded(file: File) -> Result<Zeroizing<Vec<u8>>, FileFault> {
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|fault| fault_of(&fault))?;
    match u64::try_from(bytes.len()) {
        Ok(length) if length <= FILE_BYTES_MAX => Ok(bytes),
        _ => Err(FileFault::TooLarge),
    }
}

/// Like [`read`], as text that is not blank.
pub fn read_text(path: &Path, readers: Readers) -> Result<Zeroizing<String>, FileFault> {
    let bytes = read(path, readers)?;
    let text = std::str::from_utf8(&bytes).map_err(|fault| FileFault::NotUtf8(fault.valid_up_to()))?;
    if text.trim().is_empty() { Err(FileFault::Empty) } else { Ok(Zeroizing::new(text.to_owned())) }
}

fn fault_of(fault: &std::io::Error) -> FileFault {
    match fault.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => FileFault::Missing,
        ErrorKind::PermissionDenied => FileFault::Forbidden,
        ErrorKind::IsADirectory => FileFault::Directory,
        // A socket cannot be opened at all.
        _ if fault.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => FileFault::NotRegular,
        kind => FileFault::Io(kind),
    }
}

/// A megabyte holds any certificate chain and thousands of rules; more is a wrong file.
const FILE_BYTES_MAX: u64 = 1_048_576;
