//! The `portcullis` program.

use std::process::ExitCode;

use clap::Parser;
use portcullis::cli::{self, Cli};

fn main() -> ExitCode {
    cli::run(Cli::parse())
}
