//! `portcullis audit export`: records as files of their own, with their proof.
//!
//! Files appear whole, for their owner alone, once the reading is on record; what stood there before is not overwritten.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::filters::FilterArgs;
use super::reading::Reading;
use super::{bar::SlowBar, wrong};
use crate::audit::export::{Exported, Form, Request, Sink, export};
use crate::audit::search::Help;
use crate::clock::Clock;

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The file to write. The proof becomes FILE.proof, and names that were sealed FILE.names.jsonl.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Folder of the log: that of the configuration, which is the default.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    #[command(flatten)]
    pub filters: FilterArgs,
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Read every record: for whoever does not trust the indexes beside the log.
    #[arg(long)]
    pub no_index: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The lines of the log as they are.
    #[default]
    Jsonl,
    /// A table, with the line of the log as its last column.
    Csv,
}

pub fn run(arguments: &ExportArgs, reading: &Reading) -> ExitCode {
    match write(arguments, reading) {
        Ok(exported) => tell(arguments, &exported),
        Err(message) => wrong(&message),
    }
}

fn write(arguments: &ExportArgs, reading: &Reading) -> Result<Exported, String> {
    let said = |path: &Path, fault: io::Error| format!("{}: {fault}", path.display());
    let (file, proof, names) = (&arguments.file, beside(&arguments.file, "proof"), beside(&arguments.file, "names.jsonl"));
    if let Some(path) = [file, &proof, &names].into_iter().find(|path| path.symlink_metadata().is_ok()) {
        return Err(format!("{} is there already: name another file", path.display()));
    }
    let mut drafts = Drafts::default();
    let mut records = drafts.open(file).map_err(|fault| said(file, fault))?;
    let mut names_out = drafts.open(&names).map_err(|fault| said(&names, fault))?;
    let mut proof_out = drafts.open(&proof).map_err(|fault| said(&proof, fault))?;
    let now = Clock::system().now();
    let request = Request {
        filter: arguments.filters.filter(now, &reading.keys),
        form: match arguments.format {
            Format::Jsonl => Form::Lines,
            Format::Csv => Form::Csv,
        },
        help: if arguments.no_index { Help::Nothing } else { Help::Index },
    };
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let bar = SlowBar::of_segments("exporting");
    let mut sink = Sink { records: &mut records, names: &mut names_out, proof: &mut proof_out };
    let exported = export(&reading.folder, &request, &reading.keys, &mut sink, &name, &mut |done, total| bar.set(done, total));
    drop(bar);
    let exported = exported.map_err(|fault| fault.to_string())?;
    for (out, path) in [(records, file), (names_out, &names), (proof_out, &proof)] {
        let synced = out.into_inner().map_err(io::IntoInnerError::into_error).and_then(|out| out.sync_all());
        synced.map_err(|fault| said(path, fault))?;
    }
    reading.record("export", &arguments.filters.said(now, &reading.keys, reading.names), exported.records)?;
    // The proof first: an export that is there has one.
    let wanted = [(&proof, exported.records > 0), (&names, exported.revealed > 0), (file, true)];
    for (path, _) in wanted.into_iter().filter(|(_, is_wanted)| *is_wanted) {
        drafts.place(path).map_err(|fault| said(path, fault))?;
    }
    Ok(exported)
}

fn tell(arguments: &ExportArgs, exported: &Exported) -> ExitCode {
    let file = arguments.file.display();
    anstream::println!("{} records in {file}", exported.records);
    if exported.records > 0 {
        let last = exported.end - 1;
        anstream::println!(
            "{file}.proof proves them, records {} to {last}: portcullis-verify export {file} --public-key FILE",
            exported.first
        );
    }
    if exported.revealed > 0 {
        anstream::println!("{file}.names.jsonl holds the {} records that name people by pseudonym, with their names", exported.revealed);
    }
    if exported.uncovered > 0 {
        anstream::eprintln!("{} records at the end were left out: no checkpoint covers them yet", exported.uncovered);
    }
    ExitCode::SUCCESS
}

fn beside(file: &Path, kind: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(kind);
    name.into()
}

/// Files that are not in place yet. What is not placed is removed.
#[derive(Default)]
struct Drafts(Vec<PathBuf>);

impl Drafts {
    fn open(&mut self, path: &Path) -> io::Result<BufWriter<File>> {
        let draft = beside(path, &format!("{}.draft", std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        self.0.push(path.to_owned());
        Ok(BufWriter::with_capacity(1024 * 1024, file))
    }

    /// Puts a file in its place, whole.
    fn place(&mut self, path: &Path) -> io::Result<()> {
        // A hard link does not replace what came to stand there meanwhile, as a rename would.
        fs::hard_link(beside(path, &format!("{}.draft", std::process::id())), path)
    }
}

impl Drop for Drafts {
    fn drop(&mut self) {
        for path in &self.0 {
            drop(fs::remove_file(beside(path, &format!("{}.draft", std::process::id()))));
        }
    }
}
