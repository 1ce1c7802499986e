//! `portcullis config schema` and `portcullis config show`.

use std::io::{self, Write};
use std::path::Path;

use super::exit;
use crate::config::{self, Colour};

/// The JSON schema of the configuration, or the configuration in force
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Subcommand)]
pub enum Verb {
    /// Prints the JSON schema, for editors
    Schema,
    /// Prints the whole configuration, defaults included, secrets hidden
    Show,
}

/// Exit code 0, or 78 when there is no configuration to show.
pub fn run(dir: &Path, args: &Args, colour: Colour, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    match args.verb {
        Verb::Schema => out.write_all(config::schema::text().as_bytes())?,
        Verb::Show => match config::load(dir) {
            Ok(loaded) => out.write_all(config::show::text(&loaded.config).as_bytes())?,
            Err(report) => return super::check::refuse(&report, colour, err),
        },
    }
    Ok(exit::DONE)
}
