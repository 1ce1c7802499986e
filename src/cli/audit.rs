//! `portcullis audit verify|tail|search|export|stats`: proves the log, and reads it.

mod bar;
mod export;
mod filters;
mod prove;
mod reading;
mod search;
mod show;
mod stats;
mod tail;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use clap::{Args, Subcommand, ValueEnum};

use self::bar::SlowBar;
use self::reading::Reading;
use super::{orders, sinks};
use crate::audit::layout::read_small;
use crate::audit::verify::{self, Finding, FindingKind, Report, Request, VerifyFault, read_key};
use crate::audit::{HEAD, checkpoint_of_head};

/// `portcullis audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    pub command: AuditCommand,
}

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Prove that no record was altered, moved, dropped or cut off.
    Verify(VerifyArgs),
    /// Show the last records, and follow the log.
    Tail(tail::TailArgs),
    /// Find records by person, route, decision, reason, event, request id and time.
    Search(search::SearchArgs),
    /// Write records to a file, with what proves that they stand in the log.
    Export(export::ExportArgs),
    /// Count records by day, class, event, decision, reason and route.
    Stats(stats::StatsArgs),
    /// Write the proof that a record stands in the log: a C2SP tlog-proof, for `portcullis-verify proof`.
    Prove(prove::ProveArgs),
    /// Write the proof that the log begins with the log of an older checkpoint, for `portcullis-verify consistency`.
    Consistency(prove::ConsistencyArgs),
    /// How the sinks of the running gateway are doing: position, lag, last error.
    Sinks(sinks::SinksArgs),
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Folder of the log. Default: `audit.dir` of the configuration.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Public key kept outside the folder. Default: `audit.pub` beside the log.
    #[arg(long, value_name = "FILE")]
    pub public_key: Option<PathBuf>,
    /// Checkpoint kept outside the folder: shows that the log was not rolled back. Any number of them. Without --dir what the
    /// gateway remembers beside its store is one.
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Vec<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    #[default]
    Table,
    Json,
}

/// Runs a command on the log of the configuration in `config_dir`. Exit: 0 done or verified, 1 the log does not verify, 2 wrong
/// usage, or nothing may be shown.
pub fn run(arguments: &AuditArgs, config_dir: &Path) -> ExitCode {
    let opened = |dir: &Option<PathBuf>| Reading::open(config_dir, dir.as_deref());
    let outcome = match &arguments.command {
        AuditCommand::Verify(arguments) => {
            let folder = arguments.dir.clone().map_or_else(|| orders::audit_dir(config_dir), Ok);
            folder.map(|folder| run_verify(arguments, &folder, config_dir))
        }
        AuditCommand::Prove(arguments) => opened(&arguments.dir).map(|reading| prove::run(arguments, &reading)),
        AuditCommand::Consistency(arguments) => {
            let folder = arguments.dir.clone().map_or_else(|| orders::audit_dir(config_dir), Ok);
            folder.map(|folder| prove::run_consistency(arguments, &folder))
        }
        AuditCommand::Tail(arguments) => opened(&arguments.dir).map(|reading| tail::run(arguments, &reading)),
        AuditCommand::Search(arguments) => opened(&arguments.dir).map(|reading| search::run(arguments, &reading)),
        AuditCommand::Export(arguments) => opened(&arguments.dir).map(|reading| export::run(arguments, &reading)),
        AuditCommand::Sinks(arguments) => Ok(sinks::run(config_dir, arguments)),
        AuditCommand::Stats(arguments) => opened(&arguments.dir).map(|reading| stats::run(arguments, &reading)),
    };
    outcome.unwrap_or_else(|message| wrong(&message))
}

fn run_verify(arguments: &VerifyArgs, folder: &Path, config_dir: &Path) -> ExitCode {
    let report = match verify_folder(arguments, folder, config_dir) {
        Ok(report) => report,
        Err(message) => return wrong(&message),
    };
    let printed = match arguments.output {
        Output::Json => {
            serde_json::to_string_pretty(&report).map_err(io::Error::other).and_then(|text| writeln!(anstream::stdout(), "{text}"))
        }
        Output::Table => print_report(&report, &mut anstream::stdout()),
    };
    match printed {
        Ok(()) if report.findings.is_empty() => ExitCode::SUCCESS,
        Ok(()) | Err(_) => ExitCode::FAILURE,
    }
}

fn verify_folder(arguments: &VerifyArgs, folder: &Path, config_dir: &Path) -> Result<Report, String> {
    let say = |fault: VerifyFault| fault.to_string();
    let public_key = arguments.public_key.as_deref().map(read_key).transpose().map_err(say)?;
    let given = arguments.checkpoint.iter().map(|path| read_anchor(path)).collect::<Result<Vec<_>, _>>()?;
    // Read before the log: what a running gateway remembers stands in the log already.
    let (head, remark) = if arguments.dir.is_some() { (None, None) } else { remembered(config_dir) };
    let anchors = given.iter().cloned().chain(head.clone()).collect();
    let mut request = Request { folder: folder.to_owned(), public_key, anchors };
    let (bar, total) = (SlowBar::of_bytes("verifying"), verify::size_of(folder));
    let mut verified = verify::verify(&request, &mut |bytes| bar.set(bytes, total));
    if let (Err(VerifyFault::Anchor(_)), Some(_)) = (&verified, &head) {
        // What is remembered cannot be compared, which is a finding and hides no other; or what was given, which fails again.
        request.anchors = given;
        verified = verify::verify(&request, &mut |bytes| bar.set(bytes, total));
        if let Ok(report) = &mut verified {
            let what = format!("the head that the gateway remembers is not a checkpoint of this log: {AROUND_THE_HEAD}");
            report.findings.push(Finding { kind: FindingKind::Checkpoint, file: HEAD.to_owned(), line: None, sequence: None, what });
        }
    }
    let mut report = verified.map_err(say)?;
    report.remarks.extend(remark);
    Ok(report)
}

/// The checkpoint that the gateway of this configuration remembers outside of its log's folder, or why there is none to compare with.
fn remembered(config_dir: &Path) -> (Option<String>, Option<String>) {
    let unknown = |why: &str| (None, Some(format!("whether the log was put back was not looked at by what the gateway remembers: {why}")));
    let Ok(state) = orders::state_dir(config_dir) else { return unknown("the configuration names no gateway.state_dir") };
    let path = state.join(HEAD);
    if path.metadata().is_ok_and(|about| !about.is_file()) {
        return (Some(String::new()), None);
    }
    match read_small(&path) {
        Ok(head) => (Some(checkpoint_of_head(&head).unwrap_or(&head).to_owned()), None),
        Err(fault) if fault.kind() == io::ErrorKind::InvalidData => (Some(String::new()), None),
        Err(fault) => unknown(&format!("{}: {fault}", path.display())),
    }
}

const AROUND_THE_HEAD: &str = "name a checkpoint that was kept elsewhere with --checkpoint, or the folder alone with --dir";

fn read_anchor(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|fault| format!("cannot read the checkpoint {}: {fault}", path.display()))
}

fn print_report(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let good = Style::new().fg_color(Some(AnsiColor::Green.into())).bold();
    let bad = Style::new().fg_color(Some(AnsiColor::Red.into())).bold();
    if report.findings.is_empty() {
        writeln!(out, "{good}the log verifies{good:#}  {}", report.origin)?;
    } else {
        writeln!(out, "{bad}the log does not verify{bad:#}  {}", report.origin)?;
    }
    for finding in &report.findings {
        let line = finding.line.map(|line| format!(" line {line}")).unwrap_or_default();
        let sequence = finding.sequence.map(|sequence| format!(" (record {sequence})")).unwrap_or_default();
        writeln!(out, "  {bad}{}{bad:#} {}{line}{sequence}: {}", finding.kind.word(), finding.file, finding.what)?;
    }
    if let Some(dropped) = report.dropped {
        writeln!(out, "  dropped      records before {}, by retention, as record {} says", dropped.end, dropped.recorded)?;
    }
    writeln!(out, "  segments     {}", report.segments)?;
    writeln!(out, "  records      {} read and found good", report.records)?;
    writeln!(out, "  checkpoints  {}", report.checkpoints)?;
    writeln!(out, "  covered      {}", report.covered)?;
    // After a bad record no checkpoint is met any more, though there may be one.
    let why = if report.findings.is_empty() {
        "after the last checkpoint: no signature covers them"
    } else {
        "after the last checkpoint that holds"
    };
    writeln!(out, "  uncovered    {} ({why})", report.uncovered)?;
    report.remarks.iter().try_for_each(|remark| writeln!(out, "  remark: {remark}"))
}

/// The end of a command that reads the log in `folder`.
fn finish(done: io::Result<()>, folder: &Path) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has seen enough.
        Err(fault) if fault.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(fault) => wrong(&format!("cannot read the audit log in {}: {fault}", folder.display())),
    }
}

fn wrong(message: &str) -> ExitCode {
    // Nothing is left to tell when stderr is gone.
    drop(writeln!(io::stderr(), "error: {message}"));
    ExitCode::from(2)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use clap::Parser;
    use tempfile::tempdir;

    use super::*;
    use crate::audit::fixtures::write_log;
    use crate::audit::layout;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        audit: AuditArgs,
    }

    fn exit(config: &Path, arguments: &[&str]) -> ExitCode {
        let line = Line::try_parse_from([&["audit"], arguments].concat()).unwrap();
        run(&line.audit, config)
    }

    #[test]
    fn the_exit_code_says_whether_the_log_verifies() {
        let folder = tempdir().unwrap();
        write_log(folder.path(), 5, 1 << 20);
        let (dir, nowhere) = (folder.path().to_str().unwrap(), Path::new("/nonexistent"));
        assert_eq!(exit(nowhere, &["verify", "--dir", dir]), ExitCode::SUCCESS);
        assert_eq!(exit(nowhere, &["verify", "--dir", dir, "--output", "json"]), ExitCode::SUCCESS);
        let path = &layout::segments(folder.path()).unwrap()[0].records;
        fs::write(path, fs::read_to_string(path).unwrap().replacen("ana@", "eva@", 1)).unwrap();
        assert_eq!(exit(nowhere, &["verify", "--dir", dir]), ExitCode::FAILURE);
    }

    #[test]
    fn a_log_proves_that_it_begins_with_an_older_checkpoint_and_no_other() {
        let (folder, other, nowhere) = (tempdir().unwrap(), tempdir().unwrap(), Path::new("/nonexistent"));
        write_log(folder.path(), 5, 1 << 20);
        let old = folder.path().join("old");
        fs::copy(layout::checkpoint(folder.path()), &old).unwrap();
        write_log(folder.path(), 5, 1 << 20);
        write_log(other.path(), 5, 1 << 20);
        let dir = folder.path().to_str().unwrap();
        assert_eq!(exit(nowhere, &["consistency", old.to_str().unwrap(), "--dir", dir]), ExitCode::SUCCESS);
        let foreign = layout::checkpoint(other.path());
        assert_eq!(exit(nowhere, &["consistency", foreign.to_str().unwrap(), "--dir", dir]), ExitCode::FAILURE);
        assert_eq!(exit(nowhere, &["consistency", "/nonexistent", "--dir", dir]), ExitCode::from(2));
    }

    #[test]
    fn what_cannot_be_read_is_wrong_usage() {
        let folder = tempdir().unwrap();
        assert_eq!(exit(folder.path(), &["verify", "--dir", folder.path().to_str().unwrap()]), ExitCode::from(2));
        assert_eq!(exit(folder.path(), &["verify"]), ExitCode::from(2));
    }

    #[test]
    fn a_log_of_no_configuration_is_not_shown() {
        let folder = tempdir().unwrap();
        write_log(folder.path(), 5, 1 << 20);
        let dir = folder.path().to_str().unwrap();
        for command in ["tail", "search", "stats"] {
            assert_eq!(exit(folder.path(), &[command, "--dir", dir]), ExitCode::from(2), "{command}");
        }
    }
}
