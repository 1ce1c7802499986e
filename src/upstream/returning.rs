//! The answer's body on its way to the client, and the report of the exchange's end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use kernel::event::ExchangeOutcome;
use kernel::policy::Reason;
use kernel::policy::permit::{Permit, Recorded};
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::ExchangeEnd;
use super::backend::Lease;
use super::outgoing::{Progress, Sending, Wait};
use crate::web::body::BodyError;

/// Reports the end of one exchange when it is dropped, so that a client that hangs up is reported as well.
pub struct Ending {
    on_end: Option<Box<dyn FnOnce(ExchangeEnd) + Send>>,
    recorded: Recorded,
    pub progress: Arc<Progress>,
    pub status: Option<u16>,
    /// What is reported unless something else comes to be known: whoever drops a body unread has left.
    pub outcome: ExchangeOutcome,
    pub failure: Option<Reason>,
    /// On top of the request's body, which `progress` counts.
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub upstream: Option<String>,
    /// Kept until then: see [`OutgoingBody::bind`](super::outgoing::OutgoingBody::bind).
    pub reading: Option<oneshot::Sender<()>>,
}

/// Whether an answer's trailers pass on. They do for gRPC alone, whose outcome they hold (RFC 9110 §6.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trailers {
    Drop,
    Pass,
}

/// An answer's body. A cut ends it with an error, so that nobody takes what came for the whole.
pub struct ReturningBody {
    inner: Incoming,
    /// None once the connection went back, or was closed.
    lease: Option<Lease>,
    ending: Ending,
    wait: Wait,
    cut: CancellationToken,
    cut_wait: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    trailers: Trailers,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    Over,
}

impl Ending {
    pub fn new(recorded: Recorded, progress: Arc<Progress>, on_end: Box<dyn FnOnce(ExchangeEnd) + Send>) -> Self {
        Self {
            on_end: Some(on_end),
            recorded,
            progress,
            status: None,
            outcome: ExchangeOutcome::ClientLeft,
            failure: None,
            bytes_in: 0,
            bytes_out: 0,
            upstream: None,
            reading: None,
        }
    }

    /// The upstream failed, and this is why.
    pub const fn fail(&mut self, reason: Reason) {
        self.outcome = ExchangeOutcome::UpstreamFailed;
        self.failure = Some(reason);
    }

    pub const fn permit(&self) -> &Permit {
        self.recorded.permit()
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let Some(on_end) = self.on_end.take() else {
            return;
        };
        on_end(ExchangeEnd {
            status: self.status,
            bytes_in: self.progress.bytes().saturating_add(self.bytes_in),
            bytes_out: self.bytes_out,
            outcome: self.outcome,
            failure: self.failure,
            duration: self.progress.started.elapsed(),
            upstream: self.upstream.take(),
        });
    }
}

impl ReturningBody {
    pub fn new(inner: Incoming, lease: Lease, ending: Ending, wait: Wait, cut: CancellationToken, trailers: Trailers) -> Self {
        let mut body = Self { inner, lease: Some(lease), ending, wait, cut, cut_wait: None, trailers, stage: Stage::Open };
        if body.inner.is_end_stream() {
            body.finish();
        }
        body
    }

    /// The answer has come whole. The connection goes back if the request went out whole.
    fn finish(&mut self) {
        self.stage = Stage::Over;
        self.ending.outcome = ExchangeOutcome::Complete;
        // Whoever answers before it was asked whole is not sent the rest.
        self.ending.reading = None;
        if let Some(lease) = self.lease.take()
            && self.ending.progress.sending() == Sending::Finished
        {
            lease.give_back();
        }
    }

    /// Whether the upstream took the answer back. The library takes a stream that is reset with NO_ERROR for one that ended; that is how an
    /// answer ends that came before the request was sent whole (RFC 9113 §8.1), and no other.
    fn was_taken_back(&self) -> bool {
        let over_http2 = self.lease.as_ref().is_some_and(Lease::is_http2);
        let came_whole = self.inner.is_end_stream() || self.inner.size_hint().exact() == Some(0);
        over_http2 && !came_whole && self.ending.progress.sending() == Sending::Finished
    }

    /// Nothing comes after trailers, and nobody asks for it.
    fn pass_trailers(&mut self, frame: Frame<Bytes>) -> Option<Frame<Bytes>> {
        let trailers = frame.into_trailers().ok().filter(|_| self.trailers == Trailers::Pass)?;
        self.finish();
        Some(Frame::trailers(kernel::request::headers::returnable_trailers(trailers)))
    }

    fn fail(&mut self, outcome: ExchangeOutcome, fault: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.stage = Stage::Over;
        self.ending.outcome = outcome;
        self.lease = None;
        Poll::Ready(Some(Err(fault)))
    }

    fn upstream_failed(&mut self, reason: Reason, fault: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.ending.failure = Some(reason);
        self.fail(ExchangeOutcome::UpstreamFailed, fault)
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let cut = &self.cut;
        self.cut_wait.get_or_insert_with(|| Box::pin(cut.clone().cancelled_owned())).as_mut().poll(cx)
    }
}

impl HttpBody for ReturningBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.stage == Stage::Over {
            return Poll::Ready(None);
        }
        if self.cut.is_cancelled() {
            return self.fail(ExchangeOutcome::Cut, "the exchange was cut".into());
        }
        loop {
            match Pin::new(&mut self.inner).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    let data = match frame.into_data() {
                        Ok(data) => data,
                        Err(frame) => match self.pass_trailers(frame) {
                            Some(trailers) => return Poll::Ready(Some(Ok(trailers))),
                            // What follows is asked for at once, so that the connection's end is seen.
                            None => continue,
                        },
                    };
                    self.wait.stop();
                    let bytes = u64::try_from(data.len()).unwrap_or(u64::MAX);
                    self.ending.bytes_out = self.ending.bytes_out.saturating_add(bytes);
                    self.ending.progress.passed_out(bytes);
                    if self.inner.is_end_stream() {
                        self.finish();
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Poll::Ready(None) if self.was_taken_back() => {
                    return self.upstream_failed(Reason::UpstreamAnswerInvalid, "the upstream took its answer back".into());
                }
                Poll::Ready(None) => {
                    self.finish();
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Err(fault))) => {
                    let clients_fault = self.ending.progress.sending().is_clients_fault();
                    return if clients_fault {
                        self.fail(ExchangeOutcome::ClientLeft, fault.into())
                    } else {
                        self.upstream_failed(Reason::UpstreamAnswerInvalid, fault.into())
                    };
                }
                Poll::Pending if self.poll_cut(cx).is_ready() => {
                    return self.fail(ExchangeOutcome::Cut, "the exchange was cut".into());
                }
                Poll::Pending if self.wait.poll_elapsed(cx).is_ready() => {
                    return self.upstream_failed(Reason::UpstreamTimedOut, "the upstream sent no more of the body in time".into());
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.stage == Stage::Over
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
