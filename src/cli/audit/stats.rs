//! `portcullis audit stats`: what the log holds, counted.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use comfy_table::{Table, presets};
use serde::Serialize;

use super::filters::FilterArgs;
use super::reading::Reading;
use super::{Output, bar::SlowBar, finish, wrong};
use crate::audit::search::Help;
use crate::audit::search::view::Field;
use crate::audit::stats::{Stats, count};
use crate::audit::text::printable;
use crate::clock::Clock;

#[derive(Debug, Args)]
pub struct StatsArgs {
    /// Folder of the log: that of the configuration, which is the default.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<std::path::PathBuf>,
    #[command(flatten)]
    pub filters: FilterArgs,
    /// Read every record: for whoever does not trust the indexes beside the log.
    #[arg(long)]
    pub no_index: bool,
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Serialize)]
struct Page {
    records: u64,
    unreadable: u64,
    segments: u64,
    bytes: u64,
    index_bytes: u64,
    first: Option<String>,
    last: Option<String>,
    records_a_second: Option<f64>,
    days: BTreeMap<String, u64>,
    classes: BTreeMap<String, u64>,
    events: BTreeMap<String, u64>,
    decisions: BTreeMap<String, u64>,
    reasons: BTreeMap<String, u64>,
    routes: BTreeMap<String, u64>,
}

pub fn run(arguments: &StatsArgs, reading: &Reading) -> ExitCode {
    let now = Clock::system().now();
    let filter = arguments.filters.filter(now, &reading.keys);
    let help = if arguments.no_index { Help::Nothing } else { Help::Index };
    let bar = SlowBar::of_segments("counting");
    let outcome = count(&reading.folder, &filter, help, &mut |done, total| bar.set(done, total));
    drop(bar);
    let stats = match outcome {
        Ok(stats) => stats,
        Err(fault) => return finish(Err(fault), &reading.folder),
    };
    if let Err(message) = reading.record("stats", &arguments.filters.said(now, &reading.keys, reading.names), stats.records) {
        return wrong(&message);
    }
    let page = page(&stats);
    let printed = match arguments.output {
        Output::Json => {
            serde_json::to_string_pretty(&page).map_err(io::Error::other).and_then(|text| writeln!(anstream::stdout(), "{text}"))
        }
        Output::Table => print(&page),
    };
    finish(printed, &reading.folder)
}

fn page(stats: &Stats) -> Page {
    let words = |wanted: Field| stats.census.words.get(&wanted).cloned().unwrap_or_default();
    let moment = |millis: u64| kernel::time::Timestamp::from_micros(millis.saturating_mul(1_000));
    let seconds = stats.span.map(|(first, last)| moment(last).since(moment(first)).as_secs_f64()).filter(|seconds| *seconds >= 1.0);
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = |seconds: f64| (stats.records as f64 / seconds * 100.0).round() / 100.0;
    let day = |day: u32| moment(u64::from(day).saturating_mul(crate::audit::index::DAY_MILLIS)).to_string().chars().take(10).collect();
    Page {
        records: stats.records,
        unreadable: stats.unreadable,
        segments: stats.segments,
        bytes: stats.bytes,
        index_bytes: stats.index_bytes,
        first: stats.span.map(|(first, _)| moment(first).to_string()),
        last: stats.span.map(|(_, last)| moment(last).to_string()),
        records_a_second: seconds.map(rate),
        days: stats.census.days.iter().map(|(number, count)| (day(*number), *count)).collect(),
        classes: stats.census.classes.iter().map(|(class, count)| (class.to_string(), *count)).collect(),
        events: words(Field::Event),
        decisions: words(Field::Decision),
        reasons: words(Field::Reason),
        routes: words(Field::Route),
    }
}

fn print(page: &Page) -> io::Result<()> {
    let mut out = anstream::stdout();
    writeln!(out, "records      {}", page.records)?;
    if page.unreadable > 0 {
        writeln!(out, "unreadable   {} lines", page.unreadable)?;
    }
    writeln!(out, "segments     {}", page.segments)?;
    writeln!(out, "bytes        {} (indexes {})", indicatif::HumanBytes(page.bytes), indicatif::HumanBytes(page.index_bytes))?;
    if let (Some(first), Some(last)) = (&page.first, &page.last) {
        writeln!(out, "from         {first}\nto           {last}")?;
    }
    if let Some(rate) = page.records_a_second {
        writeln!(out, "rate         {rate} records a second, on average")?;
    }
    let groups = [
        ("DAY", &page.days),
        ("CLASS", &page.classes),
        ("EVENT", &page.events),
        ("DECISION", &page.decisions),
        ("REASON", &page.reasons),
        ("ROUTE", &page.routes),
    ];
    for (name, counts) in groups.into_iter().filter(|(_, counts)| !counts.is_empty()) {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header([name, "RECORDS"]);
        let mut rows: Vec<_> = counts.iter().collect();
        // Days in their order, everything else by how much there is of it.
        if name != "DAY" {
            rows.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        }
        for (word, count) in rows {
            table.add_row([printable(word), count.to_string()]);
        }
        writeln!(out, "\n{table}")?;
    }
    Ok(())
}
