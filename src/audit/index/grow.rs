//! Makes the indexes of a log that is being written: of the newest segment what is signed, while it grows, so that nothing has to
//! be read again when it closes; and of closed segments those that are missing.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;

use super::build::{Gathered, is_owner, keep, put};
use super::read::Index;
use crate::audit::follow;
use crate::audit::layout::{self, SegmentPaths};

/// Who makes the indexes of one log. Remembers how far it came; whoever comes after it begins anew.
#[derive(Debug)]
pub struct Tender {
    newest: Option<Growing>,
    /// Bytes of records after which the newest segment's index is kept again.
    kept_every: u64,
}

impl Default for Tender {
    fn default() -> Self {
        Self { newest: None, kept_every: KEPT_EVERY }
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
    pub(super) const fn keeping_every(bytes: u64) -> Self {
        Self { newest: None, kept_every: bytes }
    }

    /// Makes one index of a closed segment or, where none is missing, goes on with that of the newest one. False when there is
    /// nothing more to do for now.
    pub fn tend(&mut self, folder: &Path) -> io::Result<bool> {
        let segments = layout::segments(folder)?;
        let Some((newest, closed)) = segments.split_last() else { return Ok(false) };
        if let Some(segment) = closed.iter().rev().find(|segment| Index::open(segment).is_none()) {
            match self.newest.take_if(|growing| growing.segment == *segment) {
                Some(growing) => growing.finish()?,
                None => keep(segment)?,
            }
            // One that still cannot be used would be built for ever.
            return Ok(Index::open(segment).is_some());
        }
        // What a checkpoint does not cover may still be taken back.
        let signed = follow::head(folder).map_err(io::Error::other)?.map_or(0, |head| head.size);
        let growing = match &mut self.newest {
            Some(growing) if growing.segment == *newest => growing,
            Some(_) | None => self.newest.insert(Growing::new(newest)),
        };
        growing.take_before(signed)?;
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
    fn finish(mut self) -> io::Result<()> {
        self.take_before(u64::MAX)?;
        if self.state == State::Good && is_owner(&self.segment)? {
            put(&self.segment, &self.gathered.write(self.segment.first))?;
        }
        Ok(())
    }

    /// Takes the records before `end` that were not taken yet.
    fn take_before(&mut self, end: u64) -> io::Result<()> {
        let mut left = end.saturating_sub(self.segment.first).saturating_sub(u64::from(self.gathered.records()));
        if left == 0 || self.state == State::GivenUp {
            return Ok(());
        }
        let mut file = File::open(&self.segment.records)?;
        file.seek(SeekFrom::Start(self.gathered.bytes()))?;
        let (mut reader, mut line) = (BufReader::with_capacity(READ_BYTES, file), Vec::new());
        while left > 0 {
            line.clear();
            reader.read_until(b'\n', &mut line)?;
            if !line.ends_with(b"\n") {
                break;
            }
            if self.gathered.take(&line).is_none() {
                self.state = State::GivenUp;
                break;
            }
            left -= 1;
        }
        Ok(())
    }
}

/// So much of the newest segment is without an index, at most: a search reads that in some fifty milliseconds. An index is
/// sorted and written whole each time, which is why it is not done more often.
const KEPT_EVERY: u64 = 16 * 1024 * 1024;

/// What comes in a few seconds.
const READ_BYTES: usize = 256 * 1024;
