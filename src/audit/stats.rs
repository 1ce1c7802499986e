//! Counts what the log holds, from the indexes where they can be used, and by reading where they cannot.

use std::fs;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;

use super::index::{self, Census, Index};
use super::layout::{self, SegmentPaths};
use super::media::open_to_read;
use super::search::filter::Filter;
use super::search::view::View;
use super::search::{Growth, Help};

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
        let growth = if done as u64 + 1 < total { Growth::Closed } else { Growth::Open };
        match stats.add(segment, filter, help, growth) {
            // Dropped since, because its time is over.
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => {}
            counted => counted?,
        }
    }
    progress(total, total);
    Ok(stats)
}

impl Stats {
    fn add(&mut self, segment: &SegmentPaths, filter: &Filter, help: Help, growth: Growth) -> io::Result<()> {
        let index = match (help, growth) {
            (Help::Nothing, _) => None,
            (Help::Index, Growth::Open) => Index::open_of_beginning(segment),
            (Help::Index, Growth::Closed) => Index::open(segment).or_else(|| {
                index::keep(segment).ok()?;
                Index::open(segment)
            }),
        };
        if let Some(index) = &index {
            let head = index.head();
            let readable = u64::from(head.records - head.unreadable.min(head.records));
            let is_outside = !filter.may_be_between(head.earliest, head.latest) && readable > 0;
            let is_met = !is_outside && filter.is_met_between(head.earliest, head.latest);
            if is_met {
                self.records += readable;
                self.unreadable += u64::from(head.unreadable);
                self.census.merge(&head.census);
                if readable > 0 {
                    self.stretch(head.earliest, head.latest);
                }
            }
            match growth {
                Growth::Open if is_outside || is_met => return self.read(segment, filter, head.bytes),
                Growth::Closed if is_outside => return Ok(()),
                Growth::Closed if is_met => {
                    self.look(segment, head.bytes);
                    return Ok(());
                }
                Growth::Open | Growth::Closed => {}
            }
        }
        self.read(segment, filter, 0)
    }

    fn read(&mut self, segment: &SegmentPaths, filter: &Filter, start: u64) -> io::Result<()> {
        let mut file = open_to_read(&segment.records)?;
        self.look(segment, file.metadata()?.len());
        file.seek(SeekFrom::Start(start))?;
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
