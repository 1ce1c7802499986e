//! Finds records over all segments, newest or oldest first.
//!
//! An index narrows down what is read and decides nothing: what it points to is read again, must be the record of that number,
//! and must meet the filter. Where an index cannot be used, its segment is read whole. Lines that are not records are counted.

pub mod filter;
#[doc(hidden)]
pub mod glance;
pub mod view;

use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::index::{self, GRANULE, Index};
use super::layout::{self, SegmentPaths};
use super::media::open_to_read;
use filter::Filter;
pub(super) use glance::glance;
use view::View;

/// What to look for, and how.
#[derive(Clone, Debug)]
pub struct Query {
    pub filter: Filter,
    pub order: Order,
    /// Most records that are returned.
    pub limit: usize,
    pub help: Help,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    NewestFirst,
    OldestFirst,
}

/// What a search may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Help {
    /// Indexes, which are made where they are missing.
    Index,
    /// The records alone: for whoever does not trust what stands beside them.
    Nothing,
}

/// A record that matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub sequence: u64,
    /// As it stands in the file, without its line feed.
    pub line: Vec<u8>,
}

/// How a search went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub segments: u64,
    /// Segments that were read whole.
    pub scanned: u64,
    /// Lines that are not records, in what was read whole.
    pub unreadable: u64,
    pub end: End,
}

/// Why a search ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// Everything was searched.
    #[default]
    Complete,
    /// There may be more than the limit allowed.
    Limit,
}

/// Searches the log in `folder`. `progress` is told how many segments of how many are done.
pub fn search(folder: &Path, query: &Query, progress: &mut dyn FnMut(u64, u64)) -> io::Result<(Vec<Found>, Tally)> {
    let mut found = Vec::new();
    let tally = visit(folder, query, progress, &mut |record| {
        found.push(record);
        Ok(())
    })?;
    Ok((found, tally))
}

/// As [`search`], handing over one record after another.
pub fn visit(
    folder: &Path,
    query: &Query,
    progress: &mut dyn FnMut(u64, u64),
    take: &mut dyn FnMut(Found) -> io::Result<()>,
) -> io::Result<Tally> {
    let mut segments: Vec<(SegmentPaths, Growth)> =
        layout::segments(folder)?.into_iter().map(|segment| (segment, Growth::Closed)).collect();
    if let Some((_, growth)) = segments.last_mut() {
        *growth = Growth::Open;
    }
    if query.order == Order::NewestFirst {
        segments.reverse();
    }
    let (total, mut left) = (segments.len() as u64, query.limit);
    let mut search = Search { query, tally: Tally::default() };
    for (done, (segment, growth)) in segments.iter().enumerate() {
        progress(done as u64, total);
        if left == 0 {
            search.tally.end = End::Limit;
            break;
        }
        let found = match search.segment(segment, *growth, left) {
            Ok(found) => found,
            // Dropped since, because its time is over.
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => continue,
            Err(fault) => return Err(fault),
        };
        left -= found.len().min(left);
        found.into_iter().try_for_each(&mut *take)?;
    }
    if left == 0 {
        search.tally.end = End::Limit;
    }
    progress(total, total);
    Ok(search.tally)
}

/// Whether a segment may still grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    Open,
    Closed,
}

/// What came of a look into an index.
enum LookUp {
    Found(Vec<Found>),
    /// It does not narrow down what was asked.
    Useless,
    Damaged,
}

struct Search<'a> {
    query: &'a Query,
    tally: Tally,
}

impl Search<'_> {
    /// At most `limit` matches of one segment, in the order that was asked for.
    fn segment(&mut self, segment: &SegmentPaths, growth: Growth, limit: usize) -> io::Result<Vec<Found>> {
        self.tally.segments += 1;
        let Some(index) = self.index(segment, growth) else { return self.scan(segment, limit) };
        match (self.look_up(segment, &index, limit)?, growth) {
            (LookUp::Found(found), Growth::Closed) => Ok(found),
            (LookUp::Found(found), Growth::Open) => self.add_rest(segment, &index, found, limit),
            (LookUp::Useless, _) | (LookUp::Damaged, Growth::Open) => self.scan(segment, limit),
            (LookUp::Damaged, Growth::Closed) => {
                // The next search shall have a good one. If it cannot be made, the next one reads the segment whole too.
                drop(index::keep(segment));
                self.scan(segment, limit)
            }
        }
    }

    fn index(&self, segment: &SegmentPaths, growth: Growth) -> Option<Index> {
        match (self.query.help, growth) {
            (Help::Nothing, _) => None,
            (Help::Index, Growth::Open) => Index::open_of_beginning(segment),
            (Help::Index, Growth::Closed) => Index::open(segment).or_else(|| {
                // Costs what a scan costs, and spares the next. Without it there is the scan.
                index::keep(segment).ok()?;
                Index::open(segment)
            }),
        }
    }

    fn look_up(&self, segment: &SegmentPaths, index: &Index, limit: usize) -> io::Result<LookUp> {
        let head = index.head();
        if !self.query.filter.may_be_between(head.earliest, head.latest) {
            return Ok(LookUp::Found(Vec::new()));
        }
        if self.query.filter.conditions().next().is_none() {
            return Ok(LookUp::Useless);
        }
        let Some(candidates) = index.candidates(&self.query.filter) else { return Ok(LookUp::Damaged) };
        Ok(self.pick(segment, index, &candidates, limit)?.map_or(LookUp::Damaged, LookUp::Found))
    }

    /// What stands behind the part that the index is of.
    fn add_rest(&mut self, segment: &SegmentPaths, index: &Index, indexed: Vec<Found>, limit: usize) -> io::Result<Vec<Found>> {
        let head = index.head();
        let rest = self.scan_from(segment, head.bytes, segment.first + u64::from(head.records), limit)?;
        let (mut found, more) = match self.query.order {
            Order::OldestFirst => (indexed, rest),
            Order::NewestFirst => (rest, indexed),
        };
        found.extend(more);
        found.truncate(limit);
        Ok(found)
    }

    /// Reads candidates. None when one of them is not where the index says.
    fn pick(&self, segment: &SegmentPaths, index: &Index, candidates: &[u32], limit: usize) -> io::Result<Option<Vec<Found>>> {
        let file = open_to_read(&segment.records)?;
        let mut found = Vec::new();
        let mut granules: Vec<&[u32]> = candidates.chunk_by(|one, other| one / GRANULE == other / GRANULE).collect();
        if self.query.order == Order::NewestFirst {
            granules.reverse();
        }
        for wanted in granules {
            if found.len() >= limit {
                break;
            }
            let Some(granule) = wanted.first().map(|record| record / GRANULE) else { continue };
            let Some((start, end)) = index.granule(granule) else { return Ok(None) };
            let Ok(length) = usize::try_from(end - start) else { return Ok(None) };
            let mut bytes = vec![0; length];
            file.read_exact_at(&mut bytes, start)?;
            let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
            let mut here = Vec::new();
            for record in wanted {
                let sequence = segment.first + u64::from(*record);
                let line = lines.get((record % GRANULE) as usize).and_then(|line| line.strip_suffix(b"\n"));
                let Some(line) = line.filter(|line| layout::sequence_of(line) == Some(sequence)) else { return Ok(None) };
                let Some(view) = View::read(line) else { return Ok(None) };
                // The index knows hashes; the record says whether it is one that was asked for.
                if self.query.filter.matches(&view) {
                    here.push(Found { sequence, line: line.to_vec() });
                }
            }
            self.order(&mut here);
            found.append(&mut here);
        }
        found.truncate(limit);
        Ok(Some(found))
    }

    /// Reads a segment whole.
    fn scan(&mut self, segment: &SegmentPaths, limit: usize) -> io::Result<Vec<Found>> {
        self.tally.scanned += 1;
        self.scan_from(segment, 0, segment.first, limit)
    }

    /// Reads a segment from a byte on, where record `first` begins.
    fn scan_from(&mut self, segment: &SegmentPaths, start: u64, first: u64, limit: usize) -> io::Result<Vec<Found>> {
        let mut file = open_to_read(&segment.records)?;
        file.seek(SeekFrom::Start(start))?;
        let mut reader = BufReader::with_capacity(READ_BYTES, file);
        let mut found = std::collections::VecDeque::new();
        let mut line = Vec::new();
        for sequence in first.. {
            line.clear();
            reader.read_until(b'\n', &mut line)?;
            // A line without its end is being written, or was never finished.
            let Some(record) = line.strip_suffix(b"\n") else { break };
            let Some(view) = View::read(record) else {
                self.tally.unreadable += 1;
                continue;
            };
            if !self.query.filter.matches(&view) {
                continue;
            }
            found.push_back(Found { sequence, line: record.to_vec() });
            match self.query.order {
                Order::OldestFirst if found.len() >= limit => break,
                Order::NewestFirst if found.len() > limit => drop(found.pop_front()),
                Order::OldestFirst | Order::NewestFirst => {}
            }
        }
        let mut found: Vec<Found> = found.into();
        self.order(&mut found);
        Ok(found)
    }

    fn order(&self, found: &mut [Found]) {
        if self.query.order == Order::NewestFirst {
            found.reverse();
        }
    }
}

const READ_BYTES: usize = 1024 * 1024;
