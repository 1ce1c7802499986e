//! `portcullis audit prove|consistency`: proofs for somebody who has the public key and not the log.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::reading::Reading;
use super::wrong;
use crate::audit::layout;
use crate::audit::note::PublicKey;
use crate::audit::prove::{self, ProveFault};
use crate::audit::verify::read_key;

#[derive(Debug, Args)]
pub struct ProveArgs {
    /// The record's `metadata.sequence`.
    pub sequence: u64,
    /// Folder of the log. Default: `audit.dir` of the configuration.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Public key kept outside the folder. Default: `audit.pub` beside the log.
    #[arg(long, value_name = "FILE")]
    pub public_key: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ConsistencyArgs {
    /// The older checkpoint, kept elsewhere.
    pub checkpoint: PathBuf,
    /// Folder of the log. Default: `audit.dir` of the configuration.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Public key kept outside the folder. Default: `audit.pub` beside the log.
    #[arg(long, value_name = "FILE")]
    pub public_key: Option<PathBuf>,
}

/// Exit: 0 proven, 1 the log does not prove it, 2 wrong usage, or nothing may be shown. The proof holds the record, so that it is
/// a reading.
pub fn run(arguments: &ProveArgs, reading: &Reading) -> ExitCode {
    let key = match key(arguments.public_key.as_deref(), &reading.folder) {
        Ok(key) => key,
        Err(message) => return wrong(&message),
    };
    let proof = prove::inclusion(&reading.folder, &key, arguments.sequence);
    if proof.is_ok()
        && let Err(message) = reading.record("prove", &format!("record {}", arguments.sequence), 1)
    {
        return wrong(&message);
    }
    answer(proof.map(|proof| proof.text()))
}

/// As [`run`], but shows no record.
pub fn run_consistency(arguments: &ConsistencyArgs, folder: &Path) -> ExitCode {
    let path = &arguments.checkpoint;
    let old = fs::read_to_string(path).map_err(|fault| format!("cannot read the checkpoint {}: {fault}", path.display()));
    match key(arguments.public_key.as_deref(), folder).and_then(|key| old.map(|old| (key, old))) {
        Ok((key, old)) => answer(prove::consistency(folder, &key, &old).map(|proof| proof.text())),
        Err(message) => wrong(&message),
    }
}

fn key(given: Option<&Path>, folder: &Path) -> Result<PublicKey, String> {
    let beside = layout::public_key(folder);
    read_key(given.unwrap_or(&beside)).map_err(|fault| fault.to_string())
}

fn answer(proof: Result<String, ProveFault>) -> ExitCode {
    match proof {
        Ok(text) => match io::stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(fault @ (ProveFault::Io { .. } | ProveFault::Read(_))) => wrong(&fault.to_string()),
        Err(fault @ (ProveFault::Tiles(_) | ProveFault::NotCovered { .. } | ProveFault::Older { .. } | ProveFault::Unprovable(_))) => {
            // Nothing is left to tell when stderr is gone.
            drop(writeln!(io::stderr(), "error: {fault}"));
            ExitCode::FAILURE
        }
    }
}
