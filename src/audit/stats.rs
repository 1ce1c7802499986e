//! Counts what the log holds, from the indexes where they can be used, and by reading where they cannot.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use super::index::{self, Census, Index};
use super::layout::{self, SegmentPaths};
use super::search::Help;
use super::search::filter::Filter;
use super::search::view::View;

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub records: u64,
    /// Lines that are not records.
    pub unreadable: u64,
    pub segments: u64,
    /// Of the segments that were looked at.
    pub bytes: u64,
    pub index_bytes: u64,
    /// First and last time, in milliseconds since 1970.
    pub span: Option<(u64, u64)>,
    pub census: Census,
}

/// Counts the records that match. `progress` is told how many segments of how many are done.
pub fn count(folder: &Path, filter: &Filter, help: Help, progress: &mut dyn FnMut(u64, u64)) -> io::Result<Stats> {
    let segments = layout::segments(folder)?;
    let (mut stats, total) = (Stats::default(), segments.len() as u64);
    for (done, segment) in segments.iter().enumerate() {
        progress(done as u64, total);
        let is_closed = done as u64 + 1 < total;
        match stats.add(segment, filter, if is_closed { help } else { Help::Nothing }) {
            // Dropped since, because its time is over.
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => {}
            counted => counted?,
        }
    }
    progress(total, total);
    Ok(stats)
}

impl Stats {
    fn add(&mut self, segment: &SegmentPaths, filter: &Filter, help: Help) -> io::Result<()> {
        let index = match help {
            Help::Index => Index::open(segment).or_else(|| {
                index::keep(segment).ok()?;
                Index::open(segment)
            }),
            Help::Nothing => None,
        };
        if let Some(index) = &index {
            let head = index.head();
            let readable = u64::from(head.records - head.unreadable.min(head.records));
            if !filter.may_be_between(head.earliest, head.latest) && readable > 0 {
                return Ok(());
            }
            if filter.is_met_between(head.earliest, head.latest) {
                self.look(segment, head.bytes);
                self.records += readable;
                self.unreadable += u64::from(head.unreadable);
                self.census.merge(&head.census);
                if readable > 0 {
                    self.stretch(head.earliest, head.latest);
                }
                return Ok(());
            }
        }
        self.read(segment, filter)
    }

    fn read(&mut self, segment: &SegmentPaths, filter: &Filter) -> io::Result<()> {
        let file = File::open(&segment.records)?;
        self.look(segment, file.metadata()?.len());
        let mut reader = BufReader::with_capacity(READ_BYTES, file);
        let mut line = Vec::new();
        loop {
            line.clear();
            reader.read_until(b'\n', &mut line)?;
            let Some(record) = line.strip_suffix(b"\n") else { return Ok(()) };
            match View::read(record) {
                None => self.unreadable += 1,
                Some(view) if filter.matches(&view) => {
                    self.records += 1;
                    self.census.add(&view);
                    self.stretch(view.time, view.time);
                }
                Some(_) => {}
            }
        }
    }

    fn look(&mut self, segment: &SegmentPaths, bytes: u64) {
        self.segments += 1;
        self.bytes += bytes;
        self.index_bytes += fs::metadata(index::path_of(segment)).map_or(0, |found| found.len());
    }

    fn stretch(&mut self, earliest: u64, latest: u64) {
        let (first, last) = self.span.unwrap_or((earliest, latest));
        self.span = Some((first.min(earliest), last.max(latest)));
    }
}

const READ_BYTES: usize = 1024 * 1024;
