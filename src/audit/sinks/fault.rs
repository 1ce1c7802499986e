//! Why a sink did not take something.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::super::follow::FollowFault;
use super::super::text::printable;
use super::event::ReadFault;

#[derive(Debug, Error)]
pub enum SinkFault {
    #[error("{0} did not answer within {1:?}")]
    TimedOut(&'static str, Duration),
    #[error("no connection: {0}")]
    Connect(String),
    #[error("TLS: {0}")]
    Tls(String),
    #[error("the receiver closed the connection")]
    Closed,
    #[error("the connection broke: {0}")]
    Broken(String),
    #[error("the receiver refused: {0}")]
    Refused(String),
    #[error("the receiver's answer cannot be understood: {0}")]
    Answer(String),
    #[error("what was sent {0:?} ago is still not acknowledged")]
    Unacknowledged(Duration),
    #[error("cannot write {}: {source}", .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the log: {0}")]
    Follow(#[from] FollowFault),
    #[error("the log: {0}")]
    Read(#[from] ReadFault),
    #[error("the position of this sink, {}: {why}", .path.display())]
    Position { path: PathBuf, why: String },
    #[error("that records are skipped or sent again could not be recorded, so that neither was done: {0}")]
    Gap(kernel::Failure),
    #[error("the log ends before record {0}, which this sink had already: it was rolled back, or is another log")]
    Beyond(u64),
}

impl SinkFault {
    /// What a receiver said, as far as it helps and safe to show.
    pub fn refused(said: &[u8], status: impl std::fmt::Display) -> Self {
        let said = String::from_utf8_lossy(said.get(..said.len().min(SAID_BYTES_MAX)).unwrap_or_default()).into_owned();
        Self::Refused(format!("{status} {}", printable(said.trim())))
    }
}

/// Of an answer, this much is told.
const SAID_BYTES_MAX: usize = 300;
