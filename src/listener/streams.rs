//! One HTTP/2 stream whose client takes nothing of its answer, while the connection goes on with others.
//!
//! The library waits for a stream's window without end. So each stream's work runs under a watch that gives it up, alone, when a piece of
//! its answer is not taken within the time: its body is dropped, with whatever fed it, and the client gets RST_STREAM. While the client takes
//! nothing of any stream, the time is the shorter the more of them wait.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::Executor;
use hyper_util::rt::TokioExecutor;
use tokio::time::Instant;

use super::deadline::Deadline;
use super::flow::Flow;

tokio::task_local! {
    /// Of the stream that is being worked on.
    static CURRENT: Arc<Pieces>;
}

/// Counts the pieces of one answer: odd while one was handed on and is not known to be taken.
#[derive(Debug, Default)]
pub(super) struct Pieces(AtomicU32);

impl Pieces {
    /// Those of the stream that is being worked on; of none, where there is none.
    pub fn current() -> Arc<Self> {
        CURRENT.try_with(Arc::clone).unwrap_or_default()
    }

    pub fn handed_on(&self) {
        self.0.fetch_or(1, Ordering::AcqRel);
    }

    pub fn taken(&self) {
        let before = self.0.load(Ordering::Acquire);
        self.0.store((before | 1).wrapping_add(1), Ordering::Release);
    }

    fn count(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }
}

/// Runs the streams of one connection.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    pub flow: Arc<Flow>,
    pub span: Duration,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, work: F) {
        TokioExecutor::new().execute(Watched {
            work: Some(Box::pin(work)),
            pieces: Arc::default(),
            flow: Arc::clone(&self.flow),
            span: self.span,
            look: Deadline::default(),
            seen: 0,
            since: None,
        });
    }
}

struct Watched<F> {
    work: Option<Pin<Box<F>>>,
    pieces: Arc<Pieces>,
    flow: Arc<Flow>,
    span: Duration,
    /// When to look again.
    look: Deadline,
    /// The count of pieces that are waited for, and since when.
    seen: u32,
    since: Option<Instant>,
}

impl<F: Future<Output = ()>> Future for Watched<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let Some(work) = &mut this.work else { return Poll::Ready(()) };
        let polled = CURRENT.sync_scope(Arc::clone(&this.pieces), || work.as_mut().poll(cx));
        if polled.is_ready() {
            return Poll::Ready(());
        }
        let count = this.pieces.count();
        if count != this.seen {
            this.seen = count;
            this.since = None;
            this.look.disarm();
        }
        if count.is_multiple_of(2) {
            return Poll::Pending;
        }
        let since = *this.since.get_or_insert_with(Instant::now);
        loop {
            ready!(this.look.poll(cx, this.span / LOOKS));
            this.look.disarm();
            if since.elapsed() >= this.span || this.flow.is_stalled(this.flow.patience(this.span)) {
                this.flow.give_up();
                // What it held goes now, and with it its part in how many wait.
                this.work = None;
                return Poll::Ready(());
            }
        }
    }
}

/// How often it is looked whether a stream's time is over, within the longest.
const LOOKS: u32 = 32;
