//! Follows the log from record to record, across segments, for whoever ships it.
//!
//! Reads only what a signed checkpoint covers: those records were synced before they were signed, so that nothing is handed
//! out that a loss of power could take back. Every line is checked to be the record that comes next; a line that is not stops
//! the reading, and nothing is passed over in silence.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::layout::{self, SegmentPaths};
use super::media::open_to_read;

/// Where a reader stands: before record `next`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub next: u64,
    /// First record of the segment that `offset` belongs to.
    pub segment: u64,
    /// Where in the segment the next record begins. A hint: it is checked before it is believed.
    pub offset: u64,
}

/// One record, as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub sequence: u64,
    /// Without its line end.
    pub line: Vec<u8>,
}

/// What the log is signed up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// How many records the checkpoint covers.
    pub size: u64,
    /// The signed note, as it was written.
    pub note: String,
}

/// How much is read at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub records: usize,
    /// Reached, it ends the batch; one record may be larger.
    pub bytes: usize,
}

#[derive(Debug, Error)]
pub enum FollowFault {
    #[error("cannot read {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("record {next} is no longer there: the log begins with record {first}")]
    Dropped { next: u64, first: u64 },
    #[error("record {next} is covered by a checkpoint and not to be found in {path}")]
    Missing { next: u64, path: PathBuf },
    #[error("{path} holds a line that is not record {next}, where that record should be")]
    Altered { next: u64, path: PathBuf },
    #[error("{0} is not a checkpoint")]
    Checkpoint(PathBuf),
}

/// A reader of the log.
#[derive(Debug)]
pub struct Reader {
    folder: PathBuf,
    place: Place,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    paths: SegmentPaths,
    file: BufReader<File>,
}

/// The latest checkpoint of the log in `folder`. None when there is no log yet.
pub fn head(folder: &Path) -> Result<Option<Head>, FollowFault> {
    let path = layout::checkpoint(folder);
    let note = match std::fs::read_to_string(&path) {
        Ok(note) => note,
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(FollowFault::Io { path, source }),
    };
    let size = note.lines().nth(1).and_then(|size| size.parse().ok());
    size.map(|size| Some(Head { size, note })).ok_or(FollowFault::Checkpoint(path))
}

/// The first record that is still there.
pub fn first(folder: &Path) -> Result<u64, FollowFault> {
    Ok(segments(folder)?.first().map_or(0, |paths| paths.first))
}

impl Reader {
    #[must_use]
    pub fn new(folder: &Path, place: Place) -> Self {
        Self { folder: folder.to_owned(), place, open: None }
    }

    #[must_use]
    pub const fn place(&self) -> Place {
        self.place
    }

    /// Goes to another place, back or forth.
    pub fn go_to(&mut self, place: Place) {
        self.place = place;
        self.open = None;
    }

    /// The next records before record `until`, at most as many as the limits say.
    pub fn read(&mut self, until: u64, limits: Limits) -> Result<Vec<Record>, FollowFault> {
        let mut records = Vec::new();
        let mut bytes = 0;
        while self.place.next < until && records.len() < limits.records && bytes < limits.bytes {
            let record = self.record()?;
            bytes += record.line.len();
            records.push(record);
        }
        Ok(records)
    }

    fn record(&mut self) -> Result<Record, FollowFault> {
        if let Some(line) = self.line()? {
            return Ok(line);
        }
        // The end of a segment, or a file that was put in place of the one that is open.
        self.open_at_place()?;
        match self.line()? {
            Some(line) => Ok(line),
            None => Err(FollowFault::Missing { next: self.place.next, path: self.path() }),
        }
    }

    /// The next whole line of the open segment.
    fn line(&mut self) -> Result<Option<Record>, FollowFault> {
        let Some(open) = &mut self.open else { return Ok(None) };
        let path = || open.paths.records.clone();
        let mut line = Vec::new();
        let read = open.file.read_until(b'\n', &mut line).map_err(|source| FollowFault::Io { path: path(), source })?;
        if line.pop() != Some(b'\n') {
            return Ok(None);
        }
        if layout::sequence_of(&line) != Some(self.place.next) {
            return Err(FollowFault::Altered { next: self.place.next, path: path() });
        }
        let record = Record { sequence: self.place.next, line };
        self.place.next += 1;
        self.place.offset += read as u64;
        Ok(Some(record))
    }

    /// Opens the segment that holds the next record, and goes to where that record begins.
    fn open_at_place(&mut self) -> Result<(), FollowFault> {
        let next = self.place.next;
        self.open = None;
        let segments = segments(&self.folder)?;
        let first = segments.first().map_or(0, |paths| paths.first);
        let Some(paths) = segments.into_iter().rev().find(|paths| paths.first <= next) else {
            return Err(FollowFault::Dropped { next, first });
        };
        let fault = |source| FollowFault::Io { path: paths.records.clone(), source };
        let mut file = BufReader::with_capacity(READ_BYTES, open_to_read(&paths.records).map_err(fault)?);
        if self.place.segment != paths.first || !holds(&mut file, self.place).map_err(fault)? {
            let skipped = skip(&mut file, next - paths.first).map_err(fault)?;
            self.place = Place { next, segment: paths.first, offset: skipped };
        }
        file.seek(SeekFrom::Start(self.place.offset)).map_err(fault)?;
        self.open = Some(Open { paths, file });
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.open.as_ref().map_or_else(|| self.folder.clone(), |open| open.paths.records.clone())
    }
}

/// Whether the hint of a place is right: the line there is the one that is looked for.
fn holds(file: &mut BufReader<File>, place: Place) -> io::Result<bool> {
    file.seek(SeekFrom::Start(place.offset))?;
    let mut line = Vec::new();
    file.read_until(b'\n', &mut line)?;
    Ok(line.strip_suffix(b"\n").and_then(layout::sequence_of) == Some(place.next))
}

/// Passes over lines from the start of a file; returns how many bytes they are.
fn skip(file: &mut BufReader<File>, lines: u64) -> io::Result<u64> {
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = 0;
    for _ in 0..lines {
        bytes += file.skip_until(b'\n')? as u64;
    }
    Ok(bytes)
}

fn segments(folder: &Path) -> Result<Vec<SegmentPaths>, FollowFault> {
    layout::segments(folder).map_err(|source| FollowFault::Io { path: folder.to_owned(), source })
}

/// A few hundred records a read.
const READ_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use std::fs;

    use tempfile::tempdir;

    use super::super::fixtures::{allow, clock, runtime, settings, write_log};
    use super::super::{Durability, Recorder, Settings};
    use super::*;

    const LIMITS: Limits = Limits { records: 7, bytes: 1 << 20 };

    fn all(reader: &mut Reader, until: u64) -> Vec<u64> {
        let mut found = Vec::new();
        loop {
            let records = reader.read(until, LIMITS).unwrap();
            assert!(records.len() <= LIMITS.records);
            if records.is_empty() {
                return found;
            }
            found.extend(records.iter().map(|record| record.sequence));
        }
    }

    #[test]
    fn every_record_comes_once_and_in_order_across_segments() {
        let folder = tempdir().unwrap();
        write_log(folder.path(), 40, 4_000);
        assert!(layout::segments(folder.path()).unwrap().len() > 3);
        let size = head(folder.path()).unwrap().unwrap().size;
        assert_eq!(size, 40);
        assert_eq!(all(&mut Reader::new(folder.path(), Place::default()), size), (0..40).collect::<Vec<_>>());
    }

    #[test]
    fn a_reader_goes_on_from_any_place_with_or_without_its_hint() {
        let folder = tempdir().unwrap();
        write_log(folder.path(), 40, 4_000);
        let mut reader = Reader::new(folder.path(), Place::default());
        let mut places = vec![reader.place()];
        while !reader.read(40, Limits { records: 1, bytes: 1 }).unwrap().is_empty() {
            places.push(reader.place());
        }
        for place in places {
            let wanted: Vec<u64> = (place.next..40).collect();
            let wrong = Place { offset: place.offset + 3, ..place };
            let unknown = Place { next: place.next, segment: 0, offset: 0 };
            for place in [place, wrong, unknown] {
                assert_eq!(all(&mut Reader::new(folder.path(), place), 40), wanted);
            }
        }
    }

    #[test]
    fn what_no_checkpoint_covers_is_not_read() {
        let folder = tempdir().unwrap();
        let recorder = Recorder::start(settings(folder.path(), Durability::Written), clock()).unwrap();
        runtime().block_on(recorder.keep(allow(1))).unwrap();
        let size = head(folder.path()).unwrap().unwrap().size;
        assert_eq!(size, 0, "the record stands in the file, and nobody has signed it");
        assert_eq!(Reader::new(folder.path(), Place::default()).read(size, LIMITS).unwrap(), []);
        recorder.shutdown();
        assert_eq!(head(folder.path()).unwrap().unwrap().size, 1);
    }

    #[test]
    fn a_reader_waits_in_a_segment_and_finds_the_next() {
        let folder = tempdir().unwrap();
        let settings = Settings { segment_bytes: 2_000, ..settings(folder.path(), Durability::Written) };
        let recorder = Recorder::start(settings, clock()).unwrap();
        let runtime = runtime();
        let mut reader = Reader::new(folder.path(), Place::default());
        let mut found = Vec::new();
        for number in 0..20 {
            runtime.block_on(recorder.keep(allow(number))).unwrap();
            let size = head(folder.path()).unwrap().unwrap().size;
            found.extend(all(&mut reader, size));
        }
        recorder.shutdown();
        found.extend(all(&mut reader, 20));
        assert_eq!(found, (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn a_file_that_took_the_place_of_the_open_one_is_read() {
        let folder = tempdir().unwrap();
        write_log(folder.path(), 3, 1 << 20);
        let mut reader = Reader::new(folder.path(), Place::default());
        assert_eq!(all(&mut reader, 3).len(), 3);
        let path = layout::segments(folder.path()).unwrap()[0].records.clone();
        let text = fs::read_to_string(&path).unwrap();
        let more = text.lines().next().unwrap().replace("\"sequence\":0}}", "\"sequence\":3}}");
        fs::remove_file(&path).unwrap();
        fs::write(&path, format!("{text}{more}\n")).unwrap();
        assert_eq!(all(&mut reader, 4), [3]);
    }

    #[test]
    fn a_line_that_is_not_the_next_record_stops_the_reading() {
        let folder = tempdir().unwrap();
        write_log(folder.path(), 3, 1 << 20);
        let path = layout::segments(folder.path()).unwrap()[0].records.clone();
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let read = |text: String| {
            fs::write(&path, text).unwrap();
            Reader::new(folder.path(), Place::default()).read(3, LIMITS).unwrap_err()
        };
        let swapped = read(format!("{}\n{}\n{}\n", lines[0], lines[2], lines[1]));
        assert!(matches!(swapped, FollowFault::Altered { next: 1, .. }), "{swapped}");
        let cut = read(format!("{}\n{}\n{}", lines[0], lines[1], &lines[2][..50]));
        assert!(matches!(cut, FollowFault::Missing { next: 2, .. }), "{cut}");
    }

    #[test]
    fn records_that_retention_dropped_are_named() {
        let folder = tempdir().unwrap();
        write_log(folder.path(), 40, 4_000);
        let segments = layout::segments(folder.path()).unwrap();
        fs::remove_file(&segments[0].records).unwrap();
        let fault = Reader::new(folder.path(), Place::default()).read(40, LIMITS).unwrap_err();
        assert!(matches!(fault, FollowFault::Dropped { next: 0, first } if first == segments[1].first), "{fault}");
        assert_eq!(first(folder.path()).unwrap(), segments[1].first);
    }
}
