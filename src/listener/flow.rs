//! Whether the client of an HTTP/2 connection takes what is ready for it.
//!
//! A stream whose window is shut holds its piece of an answer, and what feeds it, for as long as the client likes: nothing fails,
//! and the connection itself may answer pings. So it is noted which answers wait to be taken, and when the last piece was.
//! A connection that moves nothing at all while answers wait is given up; one that moves something has few of them, and
//! each holds no more than a bounded buffer (H2D-06).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::frames::Allowance;
use super::streams::Pieces;

/// The answers of one connection.
#[derive(Debug)]
pub(super) struct Flow {
    born: Instant,
    /// Answers with a piece that was handed on and is not known to be taken.
    waiting: AtomicUsize,
    /// Milliseconds from `born` to the last piece that was taken.
    moved: AtomicU64,
    /// Whether a stream was given up since anything moved.
    given_up: AtomicBool,
    /// What the client may still send of frames that move nothing.
    allowance: Arc<Allowance>,
}

/// One answer's part in it.
#[derive(Debug)]
pub(super) struct Watched {
    flow: Arc<Flow>,
    stream: Arc<Pieces>,
    piece: Piece,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    None,
    HandedOn,
}

impl Flow {
    pub fn new() -> Self {
        Self {
            born: Instant::now(),
            waiting: AtomicUsize::new(0),
            moved: AtomicU64::new(0),
            given_up: AtomicBool::new(false),
            allowance: Arc::new(Allowance::full()),
        }
    }

    /// Whether answers wait, and none was taken from for `span`.
    pub fn is_stalled(&self, span: Duration) -> bool {
        let moved = self.born + Duration::from_millis(self.moved.load(Ordering::Acquire));
        let waits = self.waiting.load(Ordering::Acquire) > 0 || self.given_up.load(Ordering::Acquire);
        waits && moved.elapsed() >= span
    }

    /// For how long nothing at all may be taken while answers wait: the whole span as long as few do, and the less the more there are. Each
    /// costs memory, so that what a client makes the gateway hold, and for how long, is bounded together.
    pub fn patience(&self, span: Duration) -> Duration {
        let waiting = u32::try_from(self.waiting.load(Ordering::Acquire)).unwrap_or(u32::MAX);
        if waiting <= WAITING_AT_LEISURE { span } else { span.saturating_mul(WAITING_AT_LEISURE) / waiting }
    }

    /// A stream is given up because its client took nothing of it.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::Release);
    }

    pub fn allowance(&self) -> Arc<Allowance> {
        Arc::clone(&self.allowance)
    }

    fn note(&self) {
        self.given_up.store(false, Ordering::Release);
        let now = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(now, Ordering::Release);
    }
}

impl Watched {
    /// Of the stream that is being worked on.
    pub fn new(flow: Arc<Flow>) -> Self {
        // An answer pays for the request, and for the window that the client opens for its head.
        flow.allowance.add(FRAMES_PER_ANSWER);
        Self { flow, stream: Pieces::current(), piece: Piece::None }
    }

    /// More is asked for, so that the last piece was taken.
    pub fn taken(&mut self) {
        if self.piece == Piece::HandedOn {
            self.piece = Piece::None;
            self.stream.taken();
            self.flow.note();
            self.flow.waiting.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Another piece, of so many bytes, is on its way. It pays for the windows that the client opens, and a ping or two.
    pub fn handed_on(&mut self, bytes: usize) {
        self.piece = Piece::HandedOn;
        self.stream.handed_on();
        self.flow.allowance.add(FRAMES_PER_PIECE + i64::try_from(bytes / BYTES_PER_FRAME).unwrap_or(0));
        self.flow.note();
        self.flow.waiting.fetch_add(1, Ordering::AcqRel);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.piece == Piece::HandedOn {
            // Nothing moved: the answer ended, or was given up.
            self.stream.taken();
            self.flow.waiting.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// Answers of one connection that may wait for their client at one time and be given all the time there is: a page with players that
/// are paused has a few.
const WAITING_AT_LEISURE: u32 = 16;

const FRAMES_PER_ANSWER: i64 = 4;
const FRAMES_PER_PIECE: i64 = 4;

/// Clients open a window again by a kilobyte or more.
const BYTES_PER_FRAME: usize = 1_024;
