//! One HTTP/2 stream whose client takes nothing of its answer, while the connection goes on with others.
//!
//! The library waits for a stream's window without end. So each stream's work runs under a watch that gives it up, alone, when a piece of
//! its answer is not taken within the time: its body is dropped, with whatever fed it, and the client gets RST_STREAM.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use hyper_util::rt::TokioExecutor;

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
            deadline: Deadline::default(),
            seen: 0,
        });
    }
}

struct Watched<F> {
    work: Option<Pin<Box<F>>>,
    pieces: Arc<Pieces>,
    flow: Arc<Flow>,
    span: Duration,
    deadline: Deadline,
    /// The count of pieces that the deadline runs for.
    seen: u32,
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
            this.deadline.disarm();
        }
        if count.is_multiple_of(2) {
            return Poll::Pending;
        }
        match this.deadline.poll(cx, this.span) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                this.flow.give_up();
                this.work = None;
                Poll::Ready(())
            }
        }
    }
}
