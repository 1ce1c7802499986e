//! `portcullis audit tail`: the last records, and those that come.

use std::io;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Args;

use super::filters::FilterArgs;
use super::reading::Reading;
use super::{Output, bar::SlowBar, finish, show, wrong};
use crate::audit::search::filter::Filter;
use crate::audit::search::view::View;
use crate::audit::search::{Help, Order, Query, search};
use crate::audit::tail::Follower;
use crate::clock::Clock;

#[derive(Debug, Args)]
pub struct TailArgs {
    /// Folder of the log: that of the configuration, which is the default.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<std::path::PathBuf>,
    /// Go on as records are written.
    #[arg(long, short)]
    pub follow: bool,
    /// How many records to begin with.
    #[arg(long, short = 'n', default_value_t = 20, value_name = "COUNT")]
    pub lines: usize,
    #[command(flatten)]
    pub filters: FilterArgs,
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

pub fn run(arguments: &TailArgs, reading: &Reading) -> ExitCode {
    let now = Clock::system().now();
    let filter = arguments.filters.filter(now, &reading.keys);
    let outcome = begin(arguments, reading, &filter);
    let (mut follower, lines) = match outcome {
        Ok(begun) => begun,
        Err(fault) => return finish(Err(fault), &reading.folder),
    };
    let mut said = arguments.filters.said(now, &reading.keys, reading.names);
    if arguments.follow {
        said = format!("--follow {said}").trim_end().to_owned();
    }
    if let Err(message) = reading.record("tail", &said, lines.len() as u64) {
        return wrong(&message);
    }
    finish(show_all(arguments, reading, &filter, &mut follower, &lines), &reading.folder)
}

/// The last records that match, and a follower that goes on where nothing was read yet.
fn begin(arguments: &TailArgs, reading: &Reading, filter: &Filter) -> io::Result<(Follower, Vec<String>)> {
    if *filter == Filter::default() {
        return Follower::begin(&reading.folder, arguments.lines);
    }
    // The follower first: what is written while the search runs is found by one of the two, or by both.
    let (mut follower, _) = Follower::begin(&reading.folder, 0)?;
    let query = Query { filter: filter.clone(), order: Order::NewestFirst, limit: arguments.lines, help: Help::Index };
    let bar = SlowBar::of_segments("searching");
    let (found, _) = search(&reading.folder, &query, &mut |done, total| bar.set(done, total))?;
    if let Some(newest) = found.first() {
        follower.skip_to(newest.sequence + 1);
    }
    Ok((follower, found.into_iter().rev().map(|found| String::from_utf8_lossy(&found.line).into_owned()).collect()))
}

fn show_all(arguments: &TailArgs, reading: &Reading, filter: &Filter, follower: &mut Follower, lines: &[String]) -> io::Result<()> {
    let mut out = anstream::stdout();
    show::print(&mut out, lines.iter().map(String::as_str), &reading.keys, arguments.output)?;
    if !arguments.follow {
        return Ok(());
    }
    loop {
        thread::sleep(FOLLOW_EVERY);
        let more = follower.more()?;
        let wanted = more.iter().filter(|line| is_wanted(filter, line));
        show::print(&mut out, wanted.map(String::as_str), &reading.keys, arguments.output)?;
    }
}

/// A line that is not a record is shown to whoever asked for everything, and to nobody else.
fn is_wanted(filter: &Filter, line: &str) -> bool {
    *filter == Filter::default() || View::read(line.as_bytes()).is_some_and(|view| filter.matches(&view))
}

/// Short enough to feel live.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);
