//! What goes wrong between a statement and the store's answer.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::ErrorCode;
use thiserror::Error;

use crate::store::StoreFault;
use crate::store::sealing::SealFault;

/// Why one operation did not happen.
#[derive(Debug, Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    /// A value in the database that nobody of ours has written.
    #[error("{0}")]
    Unreadable(String),
    #[error(transparent)]
    Seal(#[from] SealFault),
    /// The database is not the file that stands at its path.
    #[error("{} was removed or replaced while it was open: put it back, or restart", .0.display())]
    Gone(PathBuf),
    /// The caller's deadline passed before the commit.
    #[error("given up by the caller")]
    GivenUp,
}

impl Trouble {
    /// An unreadable value, by its column.
    pub(super) fn column(name: &str) -> Self {
        Self::Unreadable(format!("the value of {name}"))
    }

    pub(super) fn into_fault(self, deadline: Duration) -> StoreFault {
        match self {
            Self::Sql(error) => sql_fault(error, deadline),
            Self::Gone(_) => StoreFault::Refused(self.to_string()),
            Self::Unreadable(what) => StoreFault::Corrupt(what),
            Self::Seal(SealFault::Cipher) => StoreFault::Refused(SealFault::Cipher.to_string()),
            Self::Seal(fault @ (SealFault::Malformed | SealFault::UnknownKey | SealFault::Altered)) => {
                StoreFault::Corrupt(fault.to_string())
            }
            Self::GivenUp => StoreFault::TimedOut(deadline),
        }
    }
}

/// SQLite has several hundred codes. Those that say "what is on disk is not what was written" are `Corrupt`; those of a lock
/// held by somebody else are `TimedOut`, because SQLite has waited by then; the rest (disk full, read-only, I/O) is `Refused`.
fn sql_fault(error: rusqlite::Error, deadline: Duration) -> StoreFault {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreFault::TimedOut(deadline),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreFault::Corrupt(error.to_string()),
        Some(_) => StoreFault::Refused(error.to_string()),
        // Without a code it is a value of another type or length than the column's: rusqlite's own complaint.
        None => StoreFault::Corrupt(error.to_string()),
    }
}
