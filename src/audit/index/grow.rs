//! Makes the indexes of a log that is being written: of the newest segment what is signed, while it grows, so that nothing has to
//! be read again when it closes; and of closed segments those that are missing.
//!
//! What was there when the making began is read whole. What came since was written by this process, whose form is known.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;

use memchr::memchr;

use super::build::{Gathered, Writer, is_owner, put};
use super::read::Index;
use crate::audit::follow;
use crate::audit::layout::{self, SegmentPaths};
use crate::audit::media::open_to_read;

/// Who makes the indexes of one log, in the process that writes it. Remembers how far it came; whoever comes after it begins
/// anew.
#[derive(Debug)]
pub struct Tender {
    newest: Option<Growing>,
    /// The first record that was signed after the making began.
    own_from: Option<u64>,
    /// Bytes of records after which the newest segment's index is kept again.
    kept_every: u64,
}

impl Default for Tender {
    fn default() -> Self {
        Self { newest: None, own_from: None, kept_every: KEPT_EVERY }
    }
}

/// The index of the newest segment, in the making.
#[derive(Debug)]
struct Growing {
    segment: SegmentPaths,
    gathered: Gathered,
    /// Bytes of the segment that the index on disk covers.
    kept: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Good,
    /// There are too many records for an index.
    GivenUp,
}

impl Tender {
    #[cfg(test)]
    pub(in crate::audit) const fn keeping_every(bytes: u64) -> Self {
        Self { newest: None, own_from: None, kept_every: bytes }
    }

    /// Makes one index of a closed segment or, where none is missing, goes on with that of the newest one. False when there is
    /// nothing more to do for now.
    pub fn tend(&mut self, folder: &Path) -> io::Result<bool> {
        let segments = layout::segments(folder)?;
        let Some((newest, closed)) = segments.split_last() else { return Ok(false) };
        // What a checkpoint does not cover may still be taken back. A log that is opened is covered whole before it is written.
        let signed = follow::head(folder).map_err(io::Error::other)?.map_or(0, |head| head.size);
        let own_from = *self.own_from.get_or_insert(signed);
        if let Some(segment) = closed.iter().rev().find(|segment| Index::open(segment).is_none()) {
            let known = self.newest.take_if(|growing| growing.segment == *segment);
            known.unwrap_or_else(|| Growing::new(segment)).finish(own_from)?;
            // One that still cannot be used would be built for ever.
            return Ok(Index::open(segment).is_some());
        }
        let growing = match &mut self.newest {
            Some(growing) if growing.segment == *newest => growing,
            Some(_) | None => self.newest.insert(Growing::new(newest)),
        };
        growing.take_before(signed, own_from)?;
        growing.keep_after(self.kept_every)?;
        Ok(false)
    }
}

impl Growing {
    fn new(segment: &SegmentPaths) -> Self {
        Self { segment: segment.clone(), gathered: Gathered::default(), kept: 0, state: State::Good }
    }

    /// Keeps the index, when so many bytes were taken since the last time.
    fn keep_after(&mut self, bytes: u64) -> io::Result<()> {
        if self.state == State::Good && self.gathered.bytes() - self.kept >= bytes && is_owner(&self.segment)? {
            put(&self.segment, &self.gathered.write(self.segment.first))?;
            self.kept = self.gathered.bytes();
        }
        Ok(())
    }

    /// Takes the rest of a segment that is closed by now.
    fn finish(mut self, own_from: u64) -> io::Result<()> {
        self.take_before(u64::MAX, own_from)?;
        if self.state == State::Good && is_owner(&self.segment)? {
            put(&self.segment, &self.gathered.write(self.segment.first))?;
        }
        Ok(())
    }

    /// Takes the records before `end` that were not taken yet.
    fn take_before(&mut self, end: u64, own_from: u64) -> io::Result<()> {
        let done = self.segment.first + u64::from(self.gathered.records());
        if end <= done || self.state == State::GivenUp {
            return Ok(());
        }
        let mut file = open_to_read(&self.segment.records)?;
        file.seek(SeekFrom::Start(self.gathered.bytes()))?;
        let (mut reader, mut begun) = (BufReader::with_capacity(READ_BYTES, file), Vec::new());
        for sequence in done..end {
            let writer = if sequence < own_from { Writer::Unknown } else { Writer::Ourselves };
            match self.take_next(&mut reader, &mut begun, writer)? {
                Next::Taken => {}
                Next::None => break,
                Next::TooMany => {
                    self.state = State::GivenUp;
                    break;
                }
            }
        }
        Ok(())
    }

    /// Takes a line, where there is a whole one: in place, unless it is in two parts of what was read.
    fn take_next(&mut self, reader: &mut BufReader<File>, begun: &mut Vec<u8>, writer: Writer) -> io::Result<Next> {
        begun.clear();
        loop {
            let read = reader.fill_buf()?;
            let length = memchr(b'\n', read).map_or(read.len(), |at| at + 1);
            let (line, _) = read.split_at_checked(length).unwrap_or_default();
            if line.is_empty() {
                return Ok(Next::None);
            }
            let taken = match (line.ends_with(b"\n"), begun.is_empty()) {
                (true, true) => Some(self.gathered.take(line, writer)),
                (is_whole, _) => {
                    begun.extend_from_slice(line);
                    is_whole.then(|| self.gathered.take(begun, writer))
                }
            };
            reader.consume(length);
            if let Some(taken) = taken {
                return Ok(taken.map_or(Next::TooMany, |()| Next::Taken));
            }
        }
    }
}

/// What became of the next line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Taken,
    /// There is none, or it is being written.
    None,
    TooMany,
}

/// So much of the newest segment is without an index, at most: a search reads that in some fifty milliseconds. An index is
/// sorted and written whole each time, which is why it is not done more often.
const KEPT_EVERY: u64 = 16 * 1024 * 1024;

/// What comes in a few seconds.
const READ_BYTES: usize = 256 * 1024;
