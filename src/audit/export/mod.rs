//! Copies records out of the log, with what proves that exactly these lines stand in it.
//!
//! The proof beside an export needs no other file of the log: the tree up to the first record, the hashes of what stands between
//! the exported ones and after them, and a signed checkpoint. `portcullis-verify export` checks it with the public key alone. It
//! proves that every line is in the log, and where; that nothing was left out is proven where the records follow one another.
//!
//! Only records that a checkpoint covers are exported. The proof is checked against the checkpoint before the export is done.

mod csv;
mod proof;

use std::io::{self, Write};
use std::path::Path;

use thiserror::Error;

use super::pseudonym::KeyBook;
use super::search::filter::Filter;
use super::search::{Help, Order, Query, visit};

/// What to export, and how.
#[derive(Clone, Debug)]
pub struct Request {
    pub filter: Filter,
    pub form: Form,
    pub help: Help,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The lines of the log as they are.
    Lines,
    /// A table for people, whose last column is the line of the log as it is.
    Csv,
}

/// What was exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    pub records: u64,
    /// Sequence of the first record, and the one after the last.
    pub first: u64,
    pub end: u64,
    /// Records that were left out, because no checkpoint covers them yet.
    pub uncovered: u64,
    /// Records whose names could be put back.
    pub revealed: u64,
}

#[derive(Debug, Error)]
pub enum ExportFault {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the log cannot be proven: {0}; `portcullis audit verify` says more")]
    Unproven(String),
}

/// Where an export goes.
pub struct Sink<'a> {
    /// The records.
    pub records: &'a mut dyn Write,
    /// Names of people, one JSON object a record, where they are sealed in the log and the keys are there.
    pub names: &'a mut dyn Write,
    pub proof: &'a mut dyn Write,
}

impl std::fmt::Debug for Sink<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink").finish_non_exhaustive()
    }
}

/// Exports what matches, oldest first. `file` is the name of the records' file, for the proof.
pub fn export(
    folder: &Path,
    request: &Request,
    keys: &KeyBook,
    sink: &mut Sink<'_>,
    file: &str,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Exported, ExportFault> {
    let covered = proof::covered(folder)?;
    let mut chosen = proof::Chosen::default();
    let mut exported = Exported::default();
    if request.form == Form::Csv {
        csv::header(sink.records)?;
    }
    let query = Query { filter: request.filter.clone(), order: Order::OldestFirst, limit: usize::MAX, help: request.help };
    visit(folder, &query, progress, &mut |found| {
        if found.sequence >= covered {
            exported.uncovered += 1;
            return Ok(());
        }
        let text = String::from_utf8_lossy(&found.line);
        let revealed = keys.reveal(&text);
        match request.form {
            Form::Lines => {
                sink.records.write_all(&found.line)?;
                sink.records.write_all(b"\n")?;
            }
            Form::Csv => csv::row(sink.records, found.sequence, &text, revealed.as_ref())?,
        }
        if let Some(record) = &revealed {
            exported.revealed += 1;
            serde_json::to_writer(&mut *sink.names, record)?;
            sink.names.write_all(b"\n")?;
        }
        chosen.add(found.sequence, &found.line);
        exported.records += 1;
        Ok(())
    })?;
    if let Some((first, end)) = chosen.span() {
        (exported.first, exported.end) = (first, end);
        proof::write(folder, &chosen, file, sink.proof)?;
    }
    Ok(exported)
}

#[cfg(test)]
mod tests;
