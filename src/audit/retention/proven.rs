//! What a segment holds, once its records are proven to be those that were signed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::audit::index::{Head, survey};
use crate::audit::layout::{self, SegmentPaths};
use crate::audit::note::{Checkpoint, PublicKey, split_notes};
use crate::audit::tree::leaf_hash;
use crate::audit::verify::{VerifyFault, read_key};

/// Why a segment is not dropped, though its time seems to be over.
#[derive(Debug, Error)]
pub enum Unproven {
    #[error("cannot read {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Key(#[from] VerifyFault),
    #[error("{0} does not begin with the signed head of the records before it")]
    Head(PathBuf),
    #[error("{0} is not what was signed, and stays: `portcullis audit verify` says more")]
    Altered(PathBuf),
}

/// The key that heads are signed with.
pub fn key(folder: &Path) -> Result<PublicKey, Unproven> {
    Ok(read_key(&layout::public_key(folder))?)
}

/// Reads a segment. Its records must lead from the signed head at its start to the one at the start of `next`.
pub fn head(segment: &SegmentPaths, next: &SegmentPaths, key: &PublicKey) -> Result<Head, Unproven> {
    let (before, after) = (first_head(segment, key)?, first_head(next, key)?);
    let text = fs::read_to_string(&segment.frontier).map_err(fault(&segment.frontier))?;
    let altered = || Unproven::Altered(segment.records.clone());
    let start = layout::parse_frontier(&text).filter(|tree| (tree.size(), tree.root()) == (before.size, before.root));
    let mut tree = start.ok_or_else(|| Unproven::Head(segment.frontier.clone()))?;
    let head = survey(segment, &mut |line| {
        // A last line without its end is none.
        if let Some(record) = line.strip_suffix(b"\n") {
            tree.push(leaf_hash(record));
        }
    });
    let head = head.map_err(fault(&segment.records))?.ok_or_else(altered)?;
    if (tree.size(), tree.root()) == (after.size, after.root) { Ok(head) } else { Err(altered()) }
}

/// The head that stands first beside a segment: the one of the records before it.
fn first_head(segment: &SegmentPaths, key: &PublicKey) -> Result<Checkpoint, Unproven> {
    let path = &segment.checkpoints;
    let text = fs::read_to_string(path).map_err(fault(path))?;
    let head = split_notes(&text).0.first().and_then(|note| key.open(note).ok());
    head.filter(|head| head.size == segment.first).ok_or_else(|| Unproven::Head(path.clone()))
}

fn fault(path: &Path) -> impl FnOnce(io::Error) -> Unproven + use<> {
    let path = path.to_owned();
    move |source| Unproven::Io { path, source }
}
