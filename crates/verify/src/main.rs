//! `portcullis-verify`: what an auditor runs, with the public key alone. Reads only; the answer goes to standard output.
//!
//! Exit: 0 it verifies, 1 it does not, 2 wrong usage or nothing to read.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use portcullis_verify::export::{ExportFault, Proven, check};
use portcullis_verify::note::PublicKey;
use portcullis_verify::proof::{Consistency, Inclusion};
use portcullis_verify::verify::{Report, Request, read_key, size_of, verify};

const USAGE: &str = "\
portcullis-verify log DIR --public-key FILE [--checkpoint FILE] [--json]
    Prove that no record of the log in DIR was altered, moved, dropped, added or cut off.
    --checkpoint  a checkpoint kept outside the folder: shows that the log was not rolled back; any number of them

portcullis-verify proof FILE --public-key FILE [--record FILE]
    Check that the record in a proof, or the one given, stands in the log. Prints the record.

portcullis-verify export FILE --public-key FILE [--proof FILE] [--json]
    Check that every line of an export stands in the log, and where. The proof is FILE.proof unless one is named.
    In a table, the column `record` is what is checked.

portcullis-verify consistency FILE --checkpoint FILE --public-key FILE
    Check that the log of the checkpoint in a proof begins with the log of an older checkpoint.

--public-key FILE  `audit.pub`, kept outside the folder.
Exit: 0 it verifies, 1 it does not, 2 wrong usage or nothing to read.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            tell(&message);
            ExitCode::from(2)
        }
    }
}

/// Whether it verifies.
fn run(arguments: &[String]) -> Result<bool, String> {
    let rest = arguments.get(1..).unwrap_or_default();
    match arguments.first().map(String::as_str) {
        Some("log") => verify_log(&Arguments::read(rest, &["public-key", "checkpoint"])?),
        Some("proof") => check_proof(&Arguments::read(rest, &["public-key", "record"])?),
        Some("export") => check_export(&Arguments::read(rest, &["public-key", "proof"])?),
        Some("consistency") => check_consistency(&Arguments::read(rest, &["public-key", "checkpoint"])?),
        Some("-h" | "--help") => print(USAGE).map(|()| true),
        Some("--version") => print(&format!("portcullis-verify {}\n", env!("CARGO_PKG_VERSION"))).map(|()| true),
        Some(_) | None => Err(USAGE.to_owned()),
    }
}

fn verify_log(arguments: &Arguments) -> Result<bool, String> {
    let folder = PathBuf::from(arguments.only()?);
    let anchors = arguments.options("checkpoint").map(read).collect::<Result<_, _>>()?;
    let request = Request { public_key: Some(arguments.key()?), anchors, folder };
    let mut bar = Bar::new(size_of(&request.folder));
    let report = verify(&request, &mut |bytes| bar.show(bytes)).map_err(|fault| fault.to_string());
    bar.clear();
    let report = report?;
    let text = if arguments.json { serde_json::to_string_pretty(&report).map_err(|fault| fault.to_string())? } else { say(&report) };
    print(&format!("{text}\n"))?;
    Ok(report.findings.is_empty())
}

fn check_proof(arguments: &Arguments) -> Result<bool, String> {
    let proof = Inclusion::parse(&read(arguments.only()?)?).map_err(|fault| fault.to_string())?;
    let given =
        arguments.option("record").map(|path| std::fs::read(path).map_err(|fault| format!("cannot read {path}: {fault}"))).transpose()?;
    // A record stands on a line of its own, whose end is not part of it.
    let record = given.as_deref().map(|record| record.strip_suffix(b"\n").unwrap_or(record)).or(proof.record.as_deref());
    match proof.check(&arguments.key()?, record) {
        Ok(checkpoint) => {
            print(&format!("{}\n", String::from_utf8_lossy(record.unwrap_or_default())))?;
            tell(&format!("it verifies: record {} of {} in {}", proof.index, checkpoint.size, checkpoint.origin));
            Ok(true)
        }
        Err(fault) => {
            tell(&format!("it does not verify: {fault}"));
            Ok(false)
        }
    }
}

fn check_export(arguments: &Arguments) -> Result<bool, String> {
    let file = arguments.only()?;
    let proof = arguments.option("proof").map_or_else(|| format!("{file}.proof"), str::to_owned);
    match check(Path::new(file), Path::new(&proof), &arguments.key()?) {
        Ok(proven) if arguments.json => {
            let text = serde_json::to_string_pretty(&proven).map_err(|fault| fault.to_string())?;
            print(&format!("{text}\n")).map(|()| true)
        }
        Ok(proven) => {
            let Proven { origin, records, first, last, contiguous, checkpoint } = proven;
            let between = if contiguous { "none between them was left out" } else { "others between them may have been left out" };
            print(&format!(
                "it verifies: {records} records of {origin}, {first} to {last}, in a log of {checkpoint} at the least; {between}\n"
            ))
            .map(|()| true)
        }
        Err(ExportFault::Io { path, source }) => Err(format!("cannot read {}: {source}", path.display())),
        Err(fault) => print(&format!("it does not verify: {fault}\n")).map(|()| false),
    }
}

fn check_consistency(arguments: &Arguments) -> Result<bool, String> {
    let proof = Consistency::parse(&read(arguments.only()?)?).map_err(|fault| fault.to_string())?;
    let old = read(arguments.option("checkpoint").ok_or("--checkpoint is missing: which older checkpoint is it about?")?)?;
    match proof.check(&arguments.key()?, &old) {
        Ok((old, new)) => {
            print(&format!("it verifies: the log of {} records begins with the log of {}\n", new.size, old.size)).map(|()| true)
        }
        Err(fault) => print(&format!("it does not verify: {fault}\n")).map(|()| false),
    }
}

fn say(report: &Report) -> String {
    let verdict = if report.findings.is_empty() { "the log verifies" } else { "the log does not verify" };
    let mut lines = vec![format!("{verdict}: {}", report.origin)];
    for finding in &report.findings {
        let line = finding.line.map(|line| format!(" line {line}")).unwrap_or_default();
        let sequence = finding.sequence.map(|sequence| format!(" (record {sequence})")).unwrap_or_default();
        lines.push(format!("  {} {}{line}{sequence}: {}", finding.kind.word(), finding.file, finding.what));
    }
    if let Some(dropped) = report.dropped {
        lines.push(format!("  records before {} were dropped by retention, as record {} says", dropped.end, dropped.recorded));
    }
    lines.push(format!(
        "  segments: {}; records read and found good: {}; checkpoints: {}",
        report.segments, report.records, report.checkpoints
    ));
    // After a bad record no checkpoint is met any more, though there may be one.
    let last = if report.findings.is_empty() { "the last checkpoint" } else { "the last checkpoint that holds" };
    lines.push(format!("  records covered by a signature: {}; after {last}: {}", report.covered, report.uncovered));
    lines.extend(report.remarks.iter().map(|remark| format!("  remark: {remark}")));
    lines.join("\n")
}

/// Words of a command line.
struct Arguments {
    plain: Vec<String>,
    options: Vec<(String, String)>,
    json: bool,
}

impl Arguments {
    /// Reads words; `--json` and the named options, each with a value, are known.
    fn read(words: &[String], known: &[&str]) -> Result<Self, String> {
        let mut arguments = Self { plain: Vec::new(), options: Vec::new(), json: false };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.strip_prefix("--") {
                None => arguments.plain.push(word.clone()),
                Some("json") => arguments.json = true,
                Some(name) if known.contains(&name) => {
                    let value = words.next().ok_or_else(|| format!("--{name} has no value"))?;
                    arguments.options.push((name.to_owned(), value.clone()));
                }
                Some(name) => return Err(format!("there is no option --{name}\n\n{USAGE}")),
            }
        }
        Ok(arguments)
    }

    /// The one word that is not an option.
    fn only(&self) -> Result<&str, String> {
        match self.plain.as_slice() {
            [word] => Ok(word),
            _ => Err(USAGE.to_owned()),
        }
    }

    fn key(&self) -> Result<PublicKey, String> {
        let path = self.option("public-key").ok_or("--public-key is missing: a key from the folder itself proves nothing")?;
        read_key(Path::new(path)).map_err(|fault| fault.to_string())
    }

    fn option(&self, name: &str) -> Option<&str> {
        self.options(name).next()
    }

    fn options(&self, name: &str) -> impl Iterator<Item = &str> {
        self.options.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

fn read(path: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|fault| format!("cannot read {path}: {fault}"))
}

fn print(text: &str) -> Result<(), String> {
    io::stdout().write_all(text.as_bytes()).map_err(|fault| format!("cannot print: {fault}"))
}

fn tell(message: &str) {
    // Nothing is left to tell when stderr is gone.
    drop(writeln!(io::stderr(), "{message}"));
}

/// How far it is, on a terminal, for logs that take longer than a second.
struct Bar {
    total: u64,
    begun: Instant,
    /// How often it was shown.
    shown: u32,
    terminal: bool,
}

impl Bar {
    fn new(total: u64) -> Self {
        Self { total, begun: Instant::now(), shown: 0, terminal: io::stderr().is_terminal() }
    }

    fn show(&mut self, bytes: u64) {
        let passed = self.begun.elapsed();
        if self.terminal && passed >= BAR_AFTER + BAR_EVERY * self.shown {
            self.shown += 1;
            let per_second = bytes as f64 / f64::from(1 << 20) / passed.as_secs_f64();
            let (done, total) = (bytes >> 20, self.total >> 20);
            drop(write!(io::stderr(), "\rverifying: {done} of {total} MiB, {per_second:.0} MiB/s\x1b[K"));
        }
    }

    fn clear(&self) {
        if self.shown > 0 {
            drop(write!(io::stderr(), "\r\x1b[K"));
        }
    }
}

const BAR_AFTER: Duration = Duration::from_secs(1);

const BAR_EVERY: Duration = Duration::from_millis(200);
