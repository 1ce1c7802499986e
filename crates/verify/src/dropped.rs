//! Records that retention dropped on purpose, told apart from records that somebody removed.
//!
//! Before anything is dropped the gateway records it (`drop_records`), and a signed checkpoint covers that record. The file
//! `dropped` says where it stands; it proves nothing by itself. The tree hashes of what was dropped stay, so that the rest, and
//! every old proof, still verify.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::layout;

/// The content of the file `dropped`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropped {
    /// Records before this one were dropped.
    pub end: u64,
    /// The sequence of the record that says so.
    pub recorded: u64,
}

/// What a record says about records that were dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// Records before this one.
    pub end: u64,
    /// When, in milliseconds since 1970.
    pub time: u64,
}

impl Dropped {
    /// Reads the file. None when nothing was ever dropped; an error of kind `InvalidData` when it is not such a file.
    pub fn read(folder: &Path) -> io::Result<Option<Self>> {
        match layout::read_small(&layout::dropped(folder)) {
            Ok(text) => serde_json::from_str(&text).map(Some).map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault)),
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// The text of the file.
    #[must_use]
    pub fn text(self) -> String {
        format!("{{\"end\":{},\"recorded\":{}}}\n", self.end, self.recorded)
    }
}

/// Reads a record. None when it does not say that records were dropped.
#[must_use]
pub fn statement(record: &[u8]) -> Option<Statement> {
    let record: Record = serde_json::from_slice(record).ok()?;
    let own = record.unmapped.portcullis;
    (own.event == EVENT).then_some(Statement { end: own.next, time: record.time })
}

#[derive(Deserialize)]
struct Record {
    time: u64,
    unmapped: Unmapped,
}

#[derive(Deserialize)]
struct Unmapped {
    portcullis: Own,
}

#[derive(Deserialize)]
struct Own {
    event: String,
    next: u64,
}

/// The gateway's word for the event.
pub const EVENT: &str = "drop_records";
