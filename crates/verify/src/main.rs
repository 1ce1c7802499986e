//! `portcullis-verify`: what an auditor runs, with the public key alone. Reads only; the answer goes to standard output.
//!
//! Exit: 0 it verifies, 1 it does not, 2 wrong usage or nothing to read.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use portcullis_verify::verify::{Report, Request, read_key, verify};

const USAGE: &str = "\
portcullis-verify log DIR --public-key FILE [--checkpoint FILE] [--json]
    Prove that no record of the log in DIR was altered, moved, dropped, added or cut off.
    --public-key  `audit.pub`, kept outside the folder
    --checkpoint  a checkpoint kept outside the folder: shows that the log was not rolled back

Exit: 0 it verifies, 1 it does not, 2 wrong usage.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            // Nothing is left to tell when stderr is gone.
            drop(writeln!(io::stderr(), "{message}"));
            ExitCode::from(2)
        }
    }
}

/// Whether it verifies.
fn run(arguments: &[String]) -> Result<bool, String> {
    match arguments.first().map(String::as_str) {
        Some("log") => verify_log(&Arguments::read(arguments.get(1..).unwrap_or_default(), &["public-key", "checkpoint"])?),
        Some("-h" | "--help") => print(USAGE).map(|()| true),
        Some("--version") => print(&format!("portcullis-verify {}\n", env!("CARGO_PKG_VERSION"))).map(|()| true),
        Some(_) | None => Err(USAGE.to_owned()),
    }
}

fn verify_log(arguments: &Arguments) -> Result<bool, String> {
    let [folder] = arguments.plain.as_slice() else { return Err(USAGE.to_owned()) };
    let key = arguments.option("public-key").ok_or("--public-key is missing: a key from the folder itself proves nothing")?;
    let request = Request {
        folder: PathBuf::from(folder),
        public_key: Some(read_key(Path::new(key)).map_err(|fault| fault.to_string())?),
        anchor: arguments.option("checkpoint").map(read).transpose()?,
    };
    let report = verify(&request, &mut |_| ()).map_err(|fault| fault.to_string())?;
    let text = if arguments.json { serde_json::to_string_pretty(&report).map_err(|fault| fault.to_string())? } else { say(&report) };
    print(&format!("{text}\n"))?;
    Ok(report.findings.is_empty())
}

fn say(report: &Report) -> String {
    let verdict = if report.findings.is_empty() { "the log verifies" } else { "the log does not verify" };
    let mut lines = vec![format!("{verdict}: {}", report.origin)];
    for finding in &report.findings {
        let line = finding.line.map(|line| format!(" line {line}")).unwrap_or_default();
        let sequence = finding.sequence.map(|sequence| format!(" (record {sequence})")).unwrap_or_default();
        lines.push(format!("  {} {}{line}{sequence}: {}", finding.kind.word(), finding.file, finding.what));
    }
    lines.push(format!("  {} segments, {} records, {} checkpoints", report.segments, report.records, report.checkpoints));
    lines.push(format!("  {} records covered by a signature, {} after the last one", report.covered, report.uncovered));
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

    fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

fn read(path: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|fault| format!("cannot read {path}: {fault}"))
}

fn print(text: &str) -> Result<(), String> {
    io::stdout().write_all(text.as_bytes()).map_err(|fault| format!("cannot print: {fault}"))
}
