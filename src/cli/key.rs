//! `portcullis key generate`: key files.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use zeroize::Zeroizing;

use super::refuse;
use crate::config::key_file;
use crate::entropy;

#[derive(Debug, Args)]
pub struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Write 32 random bytes in base64 to a new file that only you can read.
    Generate {
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

pub fn run(args: &KeyArgs) -> ExitCode {
    let KeyCommand::Generate { file } = &args.command;
    let random = match entropy::bytes() {
        Ok(random) => Zeroizing::new(random),
        Err(failure) => return refuse(&failure.to_string()),
    };
    match key_file::generate(file, &random) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&format!("{}: {error}", file.display())),
    }
}
