//! A file or standard output, for an agent on the same machine.
//!
//! A file holds whole lines only: what a crash or a full disk tore is cut off before anything is written behind it, and the
//! record is written again. A file counts as having a record when it is synced.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncWriteExt, Stdout};
use tokio::time::timeout;

use crate::config::RecordFormat;

use super::super::media::FILE_MODE;
use super::event::Item;
use super::fault::SinkFault;
use super::format;

/// A file that is appended to, made if need be, and opened anew when another one stands in its place.
#[derive(Debug)]
pub struct FileLines {
    path: PathBuf,
    format: RecordFormat,
    open: Option<File>,
}

/// Standard output.
#[derive(Debug)]
pub struct StdoutLines {
    format: RecordFormat,
    out: Stdout,
    timeout: Duration,
    /// What of a batch was not taken yet. A reader that stood still goes on in the middle of a line.
    rest: Vec<u8>,
}

fn lines(items: &[Item], form: RecordFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    for item in items {
        bytes.extend_from_slice(&format::text(item, form));
        bytes.push(b'\n');
    }
    bytes
}

impl FileLines {
    pub const fn new(path: PathBuf, format: RecordFormat) -> Self {
        Self { path, format, open: None }
    }

    pub fn send(&mut self, items: &[Item]) -> Result<u64, SinkFault> {
        let bytes = lines(items, self.format);
        match self.append(&bytes) {
            Ok(()) => Ok(bytes.len() as u64),
            Err(source) => {
                // Opened anew, the file is looked at again, and a torn line cut off.
                self.open = None;
                Err(SinkFault::File { path: self.path.clone(), source })
            }
        }
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.open.as_ref().is_some_and(|file| self.is_in_place(file)) {
            self.open = None;
        }
        let file = match &mut self.open {
            Some(file) => file,
            none => {
                let mut file = OpenOptions::new().read(true).append(true).create(true).mode(FILE_MODE).open(&self.path)?;
                if file.metadata()?.is_file() {
                    cut_torn_line(&mut file)?;
                }
                none.insert(file)
            }
        };
        file.write_all(bytes)?;
        match file.sync_data() {
            // A pipe has nothing to sync.
            Err(fault) if fault.kind() == io::ErrorKind::InvalidInput => Ok(()),
            synced => synced,
        }
    }

    fn is_in_place(&self, file: &File) -> bool {
        let same = |here: std::fs::Metadata| file.metadata().is_ok_and(|ours| ours.ino() == here.ino() && ours.dev() == here.dev());
        std::fs::metadata(&self.path).is_ok_and(same)
    }

    pub fn break_off(&mut self) {
        self.open = None;
    }
}

/// Cuts off what stands behind the last line end.
fn cut_torn_line(file: &mut File) -> io::Result<()> {
    let length = file.metadata()?.len();
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(LOOK_BACK_BYTES);
        let mut part = vec![0; usize::try_from(end - start).map_err(io::Error::other)?];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut part)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            end = start + at as u64 + 1;
            break;
        }
        end = start;
    }
    if end < length { file.set_len(end) } else { Ok(()) }
}

impl StdoutLines {
    pub fn new(format: RecordFormat, timeout: Duration) -> Self {
        Self { format, out: tokio::io::stdout(), timeout, rest: Vec::new() }
    }

    /// What was begun is finished before anything else, so that no line is ever cut; then the batch is written, again where
    /// some of it was written before.
    pub async fn send(&mut self, items: &[Item]) -> Result<u64, SinkFault> {
        self.finish().await?;
        self.rest = lines(items, self.format);
        let bytes = self.rest.len() as u64;
        self.finish().await?;
        Ok(bytes)
    }

    async fn finish(&mut self) -> Result<(), SinkFault> {
        let write = async {
            while !self.rest.is_empty() {
                let taken = self.out.write(&self.rest).await?;
                self.rest.drain(..taken);
            }
            self.out.flush().await
        };
        let written = timeout(self.timeout, write).await.map_err(|_| SinkFault::TimedOut("the reader of stdout", self.timeout))?;
        written.map_err(|source| SinkFault::File { path: "stdout".into(), source })
    }
}

const LOOK_BACK_BYTES: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use std::fs;

    use super::*;

    #[test]
    fn a_torn_line_is_cut_off_and_whole_ones_stay() {
        for (before, after) in [("a\nb\nto", "a\nb\n"), ("a\n", "a\n"), ("torn", ""), ("", "")] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("out");
            fs::write(&path, before).unwrap();
            let mut file = OpenOptions::new().read(true).append(true).open(&path).unwrap();
            cut_torn_line(&mut file).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), after, "{before:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        fs::write(&path, format!("a\n{}", "x".repeat(200_000))).unwrap();
        cut_torn_line(&mut OpenOptions::new().read(true).append(true).open(&path).unwrap()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a\n");
    }
}
