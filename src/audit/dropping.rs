//! Drops the oldest segments, when a record that a checkpoint covers says so: the half of retention that touches files.
//!
//! The order is what makes it provable. The record comes first and is signed for; then the file `dropped` says where it stands;
//! only then do files go, the oldest first. A crash in between leaves a log that verifies, and the next call goes on. The
//! tree's hashes stay. Refuses to drop anything that no record names, and the newest segment always.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::dropped::{Dropped, statement};
use super::layout::{self, SegmentPaths};
use super::media::{Disk, Media};
use super::prove::{self, ProveFault};
use super::verify::{VerifyFault, read_key};

#[derive(Debug, Error)]
pub enum DropFault {
    #[error("cannot drop records at {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("no segment begins with record {0}: only whole segments are dropped, and never the newest")]
    NoBoundary(u64),
    #[error("no record among the latest says that the records before {0} are dropped")]
    NotRecorded(u64),
    #[error("the record that says so is not covered by a checkpoint yet")]
    NotCovered,
    #[error("the log does not prove the record that says so: {0}")]
    Unprovable(ProveFault),
    #[error(transparent)]
    Read(#[from] VerifyFault),
}

/// Drops all segments before record `end`. The record that says so must stand in one of the last two segments, and be covered
/// by the latest checkpoint: [`DropFault::NotCovered`] asks for another try a moment later. Returns how many segments went.
/// Blocks on the disk.
pub fn drop_segments(folder: &Path, end: u64) -> Result<usize, DropFault> {
    let segments = layout::segments(folder).map_err(fault(folder))?;
    let at = segments.iter().position(|segment| segment.first == end).filter(|at| *at > 0).ok_or(DropFault::NoBoundary(end))?;
    let recorded = find_record(&segments, end)?.ok_or(DropFault::NotRecorded(end))?;
    let key = read_key(&layout::public_key(folder))?;
    match prove::inclusion(folder, &key, recorded) {
        Ok(_) => {}
        Err(ProveFault::NotCovered { .. }) => return Err(DropFault::NotCovered),
        Err(other) => return Err(DropFault::Unprovable(other)),
    }
    let path = layout::dropped(folder);
    Disk.replace(&path, Dropped { end, recorded }.text().as_bytes()).map_err(fault(&path))?;
    Disk.sync_folder(folder).map_err(fault(folder))?;
    remove_before(folder, end)?;
    Disk.sync_folder(folder).map_err(fault(folder))?;
    Ok(at)
}

/// The latest record that says that those before `end` are dropped, in the last two segments.
fn find_record(segments: &[SegmentPaths], end: u64) -> Result<Option<u64>, DropFault> {
    for segment in segments.iter().rev().take(2) {
        let text = fs::read(&segment.records).map_err(fault(&segment.records))?;
        let lines = text.split(|byte| *byte == b'\n').rev();
        let found = lines.filter(|line| statement(line).is_some_and(|said| said.end == end)).find_map(layout::sequence_of);
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Removes the segments and everything that stands beside them under their names: the oldest first, and of each the records
/// first, so that what a crash leaves behind begins with a whole segment. What an earlier call left goes too.
fn remove_before(folder: &Path, end: u64) -> Result<(), DropFault> {
    let mut gone = Vec::new();
    for entry in fs::read_dir(folder).map_err(fault(folder))? {
        let path = entry.map_err(fault(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let first = name.strip_prefix("audit-").and_then(|rest| rest.split_once('-')).and_then(|(first, _)| first.parse::<u64>().ok());
        if let Some(first) = first.filter(|first| *first < end) {
            gone.push((first, !name.ends_with(".jsonl"), path));
        }
    }
    gone.sort();
    gone.iter().try_for_each(|(_, _, path)| fs::remove_file(path).map_err(fault(path)))
}

fn fault(path: &Path) -> impl FnOnce(io::Error) -> DropFault + use<> {
    let path = path.to_owned();
    move |source| DropFault::Io { path, source }
}
