//! `portcullis check`: reads the configuration as the gateway would, and prints everything that is wrong with it.

use std::io::{self, Write};
use std::path::Path;

use kernel::policy::rule::{Audience, Rule};

use crate::config::{self, Colour, Loaded, Report, Severity};

/// Checks the configuration: every mistake in one run, with the mend
#[derive(Clone, Debug, clap::Args)]
pub struct Args {}

/// Writes the answer to `out` and problems to `err`. Exit code 0, or 78 when there is no configuration.
pub fn run(dir: &Path, colour: Colour, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    match config::load(dir) {
        Ok(loaded) => {
            write!(err, "{}", loaded.warnings.render(colour))?;
            summarise(&loaded, out)?;
            Ok(super::exit::DONE)
        }
        Err(report) => refuse(&report, colour, err),
    }
}

/// Prints a report. Exit code 78.
pub fn refuse(report: &Report, colour: Colour, err: &mut dyn Write) -> io::Result<u8> {
    let errors = report.count(Severity::Error);
    write!(err, "{}", report.render(colour))?;
    writeln!(err, "the configuration is refused: {}, {}", counted(errors, "error"), counted(report.count(Severity::Warning), "warning"))?;
    Ok(super::exit::BAD_CONFIGURATION)
}

fn summarise(loaded: &Loaded, out: &mut dyn Write) -> io::Result<()> {
    let routes = loaded.table.sorted();
    let rules: usize = routes.iter().map(|route| route.rules.len()).sum();
    let tests: usize = loaded.config.routes.iter().map(|route| route.tests.len()).sum();
    let warnings = counted(loaded.warnings.problems().len(), "warning");
    writeln!(
        out,
        "OK: {}, {}, {} passed, {warnings} (config {})",
        counted(routes.len(), "route"),
        counted(rules, "rule"),
        counted(tests, "test"),
        loaded.hash
    )?;
    let is_public = |rule: &&Rule| rule.audience == Audience::Public;
    let public: Vec<_> = routes.iter().flat_map(|route| route.rules.iter().filter(is_public).map(move |rule| (route, rule))).collect();
    if public.is_empty() {
        return writeln!(out, "public rules: none");
    }
    writeln!(out, "public rules, open to everybody without sign-in:")?;
    for (route, rule) in public {
        let methods = super::routes::methods_words(&rule.methods);
        let paths: Vec<&str> = rule.paths.iter().map(|path| path.as_str()).collect();
        writeln!(out, "  {}/{}: {methods} {} on {}", route.id, rule.id, paths.join(" "), route.from.origin())?;
    }
    Ok(())
}

fn counted(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}
