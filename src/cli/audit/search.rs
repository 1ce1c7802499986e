//! `portcullis audit search`: finds records, newest first.

use std::process::ExitCode;

use clap::Args;

use super::filters::FilterArgs;
use super::reading::Reading;
use super::{Output, bar::SlowBar, finish, show, wrong};
use crate::audit::search::{End, Help, Order, Query, Tally, search};
use crate::clock::Clock;

#[derive(Debug, Args)]
pub struct SearchArgs {
    /// Folder of the log: that of the configuration, which is the default.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<std::path::PathBuf>,
    #[command(flatten)]
    pub filters: FilterArgs,
    /// Most records to show.
    #[arg(long, short = 'n', default_value_t = 100, value_name = "COUNT", value_parser = limit)]
    pub limit: usize,
    /// Begin with the oldest record.
    #[arg(long)]
    pub oldest_first: bool,
    /// Read every record: for whoever does not trust the indexes beside the log.
    #[arg(long)]
    pub no_index: bool,
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

pub fn run(arguments: &SearchArgs, reading: &Reading) -> ExitCode {
    let now = Clock::system().now();
    let query = Query {
        filter: arguments.filters.filter(now, &reading.keys),
        order: if arguments.oldest_first { Order::OldestFirst } else { Order::NewestFirst },
        limit: arguments.limit,
        help: if arguments.no_index { Help::Nothing } else { Help::Index },
    };
    let bar = SlowBar::of_segments("searching");
    let outcome = search(&reading.folder, &query, &mut |done, total| bar.set(done, total));
    drop(bar);
    let (found, tally) = match outcome {
        Ok(answer) => answer,
        Err(fault) => return finish(Err(fault), &reading.folder),
    };
    if let Err(message) = reading.record("search", &arguments.filters.said(now, &reading.keys, reading.names), found.len() as u64) {
        return wrong(&message);
    }
    let lines: Vec<_> = found.iter().map(|found| String::from_utf8_lossy(&found.line)).collect();
    let printed = show::print(&mut anstream::stdout(), lines.iter().map(|line| &**line), &reading.keys, arguments.output);
    remark(found.len(), tally);
    finish(printed, &reading.folder)
}

fn remark(found: usize, tally: Tally) {
    if tally.unreadable > 0 {
        anstream::eprintln!("{} lines are not records: `portcullis audit verify` says what became of the log", tally.unreadable);
    }
    match tally.end {
        End::Limit => anstream::eprintln!("{found} records; there may be more: --limit, or another condition"),
        End::Complete => anstream::eprintln!("{found} records"),
    }
}

fn limit(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(limit) if (1..=LIMIT_MAX).contains(&limit) => Ok(limit),
        Ok(_) | Err(_) => Err(format!("a number from 1 to {LIMIT_MAX}; `audit export` writes any number to a file")),
    }
}

/// What is shown is held in memory first, because the reading is recorded with how much there is.
const LIMIT_MAX: usize = 100_000;
