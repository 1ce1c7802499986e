//! Whether the client of an HTTP/2 connection takes what is ready for it.
//!
//! A stream whose window is shut holds its piece of an answer, and what feeds it, for as long as the client likes: nothing fails,
//! and the connection itself may answer pings. So it is noted which answers wait to be taken, and when the last piece was.
//! A connection that moves nothing at all while answers wait is given up; one that moves something has few of them, and
//! each holds no more than a bounded buffer (H2D-06).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The answers of one connection.
#[derive(Debug)]
pub(super) struct Flow {
    born: Instant,
    /// Answers with a piece that was handed on and is not known to be taken.
    waiting: AtomicUsize,
    /// Milliseconds from `born` to the last piece that was taken.
    moved: AtomicU64,
}

/// One answer's part in it.
#[derive(Debug)]
pub(super) struct Watched {
    flow: Arc<Flow>,
    piece: Piece,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    None,
    HandedOn,
}

impl Flow {
    pub fn new() -> Self {
        Self { born: Instant::now(), waiting: AtomicUsize::new(0), moved: AtomicU64::new(0) }
    }

    /// Whether answers wait, and none was taken from for `span`.
    pub fn is_stalled(&self, span: Duration) -> bool {
        let moved = self.born + Duration::from_millis(self.moved.load(Ordering::Acquire));
        self.waiting.load(Ordering::Acquire) > 0 && moved.elapsed() >= span
    }

    fn note(&self) {
        let now = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(now, Ordering::Release);
    }
}

impl Watched {
    pub const fn new(flow: Arc<Flow>) -> Self {
        Self { flow, piece: Piece::None }
    }

    /// More is asked for, so that the last piece was taken.
    pub fn taken(&mut self) {
        if self.piece == Piece::HandedOn {
            self.piece = Piece::None;
            self.flow.note();
            self.flow.waiting.fetch_sub(1, Ordering::AcqRel);
        }
    }

    pub fn handed_on(&mut self) {
        self.piece = Piece::HandedOn;
        self.flow.note();
        self.flow.waiting.fetch_add(1, Ordering::AcqRel);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.taken();
    }
}
