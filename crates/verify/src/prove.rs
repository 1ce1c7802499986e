//! Makes proofs from the files of a log: some kilobytes of tree hashes and one record are read, whatever the size of the log.
//! A proof is checked before it is handed out, so that a log that was changed gives none.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::layout;
use crate::note::PublicKey;
use crate::proof::{Consistency, Inclusion, ProofFault, prove_consistency, prove_inclusion};
use crate::tiles::{TileFault, Tiles};
use crate::verify::{VerifyFault, read_record};

#[derive(Debug, Error)]
pub enum ProveFault {
    #[error("cannot read {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Read(#[from] VerifyFault),
    #[error(transparent)]
    Tiles(#[from] TileFault),
    #[error("record {sequence} is not covered by the latest checkpoint yet, which is of {size} records")]
    NotCovered { sequence: u64, size: u64 },
    #[error("the older checkpoint is of {old} records, and the latest of {new}: this log was rolled back")]
    Older { old: u64, new: u64 },
    #[error("this log does not prove it: {0}; run `audit verify`")]
    Unprovable(#[from] ProofFault),
}

/// The proof that a record stands in the log, against the latest checkpoint. A record that was dropped is proven without
/// being in the proof: whoever kept it elsewhere has it.
pub fn inclusion(folder: &Path, key: &PublicKey, sequence: u64) -> Result<Inclusion, ProveFault> {
    let checkpoint = latest(folder)?;
    let size = key.open(&checkpoint).map_err(ProofFault::from)?.size;
    if sequence >= size {
        return Err(ProveFault::NotCovered { sequence, size });
    }
    let tiles = Tiles::open(folder)?;
    let path = prove_inclusion(size, sequence, &mut |height, index| tiles.node(height, index))?;
    let segments = layout::segments(folder).map_err(|source| ProveFault::Io { path: folder.to_owned(), source })?;
    let record = read_record(&segments, sequence)?;
    let proof = Inclusion { index: sequence, record, path, checkpoint };
    if proof.record.is_some() {
        proof.check(key, None)?;
    }
    Ok(proof)
}

/// The proof that the log begins with the log of an older checkpoint.
pub fn consistency(folder: &Path, key: &PublicKey, old_checkpoint: &str) -> Result<Consistency, ProveFault> {
    let checkpoint = latest(folder)?;
    let old = key.open(old_checkpoint).map_err(ProofFault::from)?.size;
    let new = key.open(&checkpoint).map_err(ProofFault::from)?.size;
    if old > new {
        return Err(ProveFault::Older { old, new });
    }
    let tiles = Tiles::open(folder)?;
    let path = prove_consistency(old, new, &mut |height, index| tiles.node(height, index))?;
    let proof = Consistency { old_size: old, path, checkpoint };
    proof.check(key, old_checkpoint)?;
    Ok(proof)
}

fn latest(folder: &Path) -> Result<String, ProveFault> {
    let path = layout::checkpoint(folder);
    layout::read_small(&path).map_err(|source| ProveFault::Io { path, source })
}
