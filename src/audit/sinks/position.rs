//! Where a sink stands, on disk: `sinks/NAME.json` in the folder of the log, so that a log that is moved takes its positions along.
//!
//! Written whole and synced after the receiver has acknowledged, never before: a crash sends again, and loses nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::follow::Place;
use super::super::media::{Disk, Media, make_folder};
use super::fault::SinkFault;

/// What a receiver has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    pub place: Place,
    /// Size of the latest checkpoint that it has.
    pub checkpoint: u64,
}

/// The file of one sink.
#[derive(Clone, Debug)]
pub struct PositionFile {
    path: PathBuf,
}

impl PositionFile {
    #[must_use]
    pub fn new(audit_dir: &Path, name: &str) -> Self {
        Self { path: folder(audit_dir).join(format!("{name}.json")) }
    }

    /// None for a sink that never had anything acknowledged.
    pub fn load(&self) -> Result<Option<Position>, SinkFault> {
        match fs::read(&self.path) {
            // A position that cannot be read is not guessed at.
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|fault| self.fault(&fault)),
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(fault) => Err(self.fault(&fault)),
        }
    }

    pub fn save(&self, position: Position) -> Result<(), SinkFault> {
        let folder = self.path.parent().unwrap_or(&self.path);
        let text = serde_json::to_vec(&position).map_err(|fault| self.fault(&fault))?;
        let save = || {
            make_folder(folder)?;
            Disk.replace(&self.path, &text)?;
            Disk.sync_folder(folder)
        };
        save().map_err(|fault: io::Error| self.fault(&fault))
    }

    fn fault(&self, fault: &dyn std::fmt::Display) -> SinkFault {
        SinkFault::Position { path: self.path.clone(), why: fault.to_string() }
    }
}

fn folder(audit_dir: &Path) -> PathBuf {
    audit_dir.join("sinks")
}

/// The first record that one of these sinks does not have yet, by their files: what comes before it may be dropped. A sink
/// without a file has nothing. None when there are no sinks.
pub fn lowest_acknowledged<'a>(audit_dir: &Path, names: impl Iterator<Item = &'a str>) -> Result<Option<u64>, SinkFault> {
    let mut lowest = None;
    for name in names {
        let next = PositionFile::new(audit_dir, name).load()?.unwrap_or_default().place.next;
        lowest = Some(lowest.map_or(next, |lowest: u64| lowest.min(next)));
    }
    Ok(lowest)
}
