//! The body on its way to the upstream, and how far it has come.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};

use crate::web::body::{Body, BodyError};

/// A request's body: read from the client as the upstream takes it. Trailers end here.
pub struct OutgoingBody {
    /// None when there is none.
    inner: Option<Body>,
    progress: Arc<Progress>,
    patience: Patience,
    bytes_left: u64,
    /// Told when the exchange is over, for connections that outlive it: nobody reads this body any more.
    over: Option<oneshot::Receiver<()>>,
}

/// Bounds on one request's body.
#[derive(Clone, Copy, Debug)]
pub struct BodyBounds {
    pub idle_timeout: Duration,
    /// Bytes a second; 0 is no bound.
    pub rate_min: u64,
    pub bytes_max: Option<u64>,
}

/// How long a client is still waited for. Waiting spends it and every byte earns some, so that a trickle ends where a slow line
/// does not. Time in which nobody asked for more is not counted.
struct Patience {
    idle_timeout: Duration,
    rate_min: u64,
    left: Duration,
    since: Option<Instant>,
    wait: Wait,
}

/// How far a request's body has come, seen from outside.
#[derive(Debug)]
pub struct Progress {
    pub started: Instant,
    bytes: AtomicU64,
    /// Milliseconds from `started` to the last piece.
    last_moved: AtomicU64,
    state: AtomicU8,
    /// What passed beside the request's body, for whoever looks on: the answer's, and a WebSocket's both ways.
    beside_in: AtomicU64,
    out: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Sending {
    Underway = 0,
    Finished = 1,
    /// The client broke off, or sent what is no body.
    ClientFailed = 2,
    /// The client sent nothing for too long, or too little.
    TooSlow = 3,
    /// The client sent more than the route takes.
    TooLarge = 4,
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
    pub fn new(inner: Body, progress: &Arc<Progress>, bounds: BodyBounds) -> Self {
        let inner = Some(inner).filter(|body| !body.is_end_stream());
        if inner.is_none() {
            progress.become_state(Sending::Finished);
        }
        let bytes_left = bounds.bytes_max.unwrap_or(u64::MAX);
        Self { inner, progress: Arc::clone(progress), patience: Patience::new(bounds), bytes_left, over: None }
    }

    /// A request without a body, to be sent once more.
    pub fn none(progress: &Arc<Progress>) -> Self {
        let bounds = BodyBounds { idle_timeout: Duration::ZERO, rate_min: 0, bytes_max: None };
        Self { inner: None, progress: Arc::clone(progress), patience: Patience::new(bounds), bytes_left: 0, over: None }
    }

    /// What is returned is kept as long as somebody may read this body: dropped, it ends the body. None where there is none.
    pub fn bind(&mut self) -> Option<oneshot::Sender<()>> {
        self.inner.as_ref()?;
        let (sender, receiver) = oneshot::channel();
        self.over = Some(receiver);
        Some(sender)
    }

    fn fail(&mut self, state: Sending, fault: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.inner = None;
        self.progress.become_state(state);
        Poll::Ready(Some(Err(fault)))
    }

    fn finish(&mut self) {
        self.inner = None;
        self.progress.become_state(Sending::Finished);
    }

    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        self.over.as_mut().is_some_and(|over| Pin::new(over).poll(cx).is_ready())
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
                let bytes = u64::try_from(data.len()).unwrap_or(u64::MAX);
                let Some(left) = self.bytes_left.checked_sub(bytes) else {
                    return self.fail(Sending::TooLarge, "the client sent more of the body than the route takes".into());
                };
                self.bytes_left = left;
                self.patience.earn(bytes);
                self.progress.moved(bytes);
                if self.inner.as_ref().is_some_and(HttpBody::is_end_stream) {
                    self.finish();
                }
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Poll::Ready(Some(Err(fault))) => {
                let state = if timed_out(&*fault) { Sending::TooSlow } else { Sending::ClientFailed };
                self.fail(state, fault)
            }
            Poll::Ready(None) => {
                self.finish();
                Poll::Ready(None)
            }
            Poll::Pending if self.is_over(cx) => {
                self.inner = None;
                Poll::Ready(Some(Err("the exchange is over".into())))
            }
            Poll::Pending if self.patience.poll_elapsed(cx).is_ready() => {
                self.fail(Sending::TooSlow, "the client sent no more of the body in time".into())
            }
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

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress {
    /// Bytes from the client and to it, so far.
    #[must_use]
    pub fn seen(&self) -> (u64, u64) {
        (self.bytes().saturating_add(self.beside_in.load(Ordering::Relaxed)), self.out.load(Ordering::Relaxed))
    }

    pub fn passed_out(&self, bytes: u64) {
        self.out.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn passed_in(&self, bytes: u64) {
        self.beside_in.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            bytes: AtomicU64::new(0),
            last_moved: AtomicU64::new(0),
            state: AtomicU8::new(Sending::Underway as u8),
            beside_in: AtomicU64::new(0),
            out: AtomicU64::new(0),
        }
    }

    fn moved(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
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
            2 => Sending::ClientFailed,
            3 => Sending::TooSlow,
            _ => Sending::TooLarge,
        }
    }
}

impl Sending {
    /// Whether what became of the exchange is the client's doing.
    pub const fn is_clients_fault(self) -> bool {
        matches!(self, Self::ClientFailed | Self::TooSlow | Self::TooLarge)
    }
}

impl Patience {
    const fn new(bounds: BodyBounds) -> Self {
        Self {
            idle_timeout: bounds.idle_timeout,
            rate_min: bounds.rate_min,
            left: PATIENCE,
            since: None,
            wait: Wait::new(bounds.idle_timeout),
        }
    }

    /// So many bytes came.
    fn earn(&mut self, bytes: u64) {
        self.wait.stop();
        if let (Some(since), 1..) = (self.since.take(), self.rate_min) {
            let earned = Duration::from_millis(bytes.saturating_mul(1_000) / self.rate_min);
            self.left = self.left.saturating_sub(since.elapsed()).saturating_add(earned).min(PATIENCE);
        }
    }

    fn poll_elapsed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.rate_min > 0 && self.since.is_none() {
            self.since = Some(Instant::now());
            self.wait.limit = self.idle_timeout.min(self.left);
        }
        self.wait.poll_elapsed(cx)
    }
}

/// Whether the connection gave the client up because it was too slow.
fn timed_out(fault: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(fault);
    while let Some(error) = cause {
        if error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::TimedOut) {
            return true;
        }
        cause = error.source();
    }
    false
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

/// What a client has at first, and at most.
const PATIENCE: Duration = Duration::from_secs(60);
