//! The body on its way to the upstream, and how far it has come.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::web::body::{Body, BodyError};

/// A request's body: read from the client as the upstream takes it. Trailers end here.
pub struct OutgoingBody {
    /// None when there is none.
    inner: Option<Body>,
    progress: Arc<Progress>,
    wait: Wait,
}

/// How far a request's body has come, seen from outside.
pub struct Progress {
    pub started: Instant,
    bytes: AtomicU64,
    /// Milliseconds from `started` to the last piece.
    last_moved: AtomicU64,
    state: AtomicU8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Sending {
    Underway = 0,
    Finished = 1,
    /// The client broke off, sent what is no body, or sent nothing for too long.
    ClientFailed = 2,
}

/// A limit on waiting for the next piece. The timer is made when there is first something to wait for.
pub struct Wait {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    running: Running,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Running {
    No,
    Yes,
}

impl OutgoingBody {
    pub fn new(inner: Body, progress: &Arc<Progress>, idle_timeout: Duration) -> Self {
        let inner = Some(inner).filter(|body| !body.is_end_stream());
        if inner.is_none() {
            progress.become_state(Sending::Finished);
        }
        Self { inner, progress: Arc::clone(progress), wait: Wait::new(idle_timeout) }
    }

    /// A request without a body, to be sent once more.
    pub fn none(progress: &Arc<Progress>) -> Self {
        Self { inner: None, progress: Arc::clone(progress), wait: Wait::new(Duration::ZERO) }
    }

    fn fail(&mut self, fault: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.inner = None;
        self.progress.become_state(Sending::ClientFailed);
        Poll::Ready(Some(Err(fault)))
    }

    fn finish(&mut self) {
        self.inner = None;
        self.progress.become_state(Sending::Finished);
    }
}

impl HttpBody for OutgoingBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        match Pin::new(inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let Ok(data) = frame.into_data() else {
                    self.finish();
                    return Poll::Ready(None);
                };
                self.wait.stop();
                self.progress.moved(data.len());
                if self.inner.as_ref().is_some_and(HttpBody::is_end_stream) {
                    self.finish();
                }
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Poll::Ready(Some(Err(fault))) => self.fail(fault),
            Poll::Ready(None) => {
                self.finish();
                Poll::Ready(None)
            }
            Poll::Pending if self.wait.poll_elapsed(cx).is_ready() => self.fail("the client sent no more of the body in time".into()),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Progress {
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            bytes: AtomicU64::new(0),
            last_moved: AtomicU64::new(0),
            state: AtomicU8::new(Sending::Underway as u8),
        }
    }

    fn moved(&self, bytes: usize) {
        self.bytes.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_moved.store(millis, Ordering::Release);
    }

    fn become_state(&self, state: Sending) {
        self.state.store(state as u8, Ordering::Release);
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// When the last piece was taken, or the exchange began.
    pub fn last_moved(&self) -> Instant {
        self.started + Duration::from_millis(self.last_moved.load(Ordering::Acquire))
    }

    pub fn sending(&self) -> Sending {
        match self.state.load(Ordering::Acquire) {
            0 => Sending::Underway,
            1 => Sending::Finished,
            _ => Sending::ClientFailed,
        }
    }
}

impl Wait {
    pub const fn new(limit: Duration) -> Self {
        Self { limit, timer: None, running: Running::No }
    }

    /// Something came.
    pub const fn stop(&mut self) {
        self.running = Running::No;
    }

    /// Called while nothing comes; ready when nothing came for the whole limit. The time counts from the first of these
    /// calls, so that a reader who does not ask is not taken for a sender who does not send.
    pub fn poll_elapsed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = Instant::now() + self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if self.running == Running::No {
            timer.as_mut().reset(deadline);
            self.running = Running::Yes;
        }
        timer.as_mut().poll(cx)
    }
}
