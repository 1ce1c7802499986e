//! One exchange: a connection, the request, the head of the answer.
//!
//! A request is sent twice in two cases alone (RFC 9110 §9.2.2, RFC 9113 §8.7, SM-22): when the first connection took nothing
//! of it, and when it is a GET, HEAD or OPTIONS without body, and either a connection that had waited in the pool was closed
//! without a byte of answer, or the upstream said that it did not act on the stream. It is never sent three times.

use std::pin::{Pin, pin};
use std::sync::Arc;

use http::{Method, Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use kernel::policy::permit::Permit;
use kernel::{Failure, Refusal, Rejection, Unreachable};
use tokio::time::{Instant, timeout, timeout_at};

use super::Upstreams;
use super::backend::{Held, Lease, Origin};
use super::connect::Purpose;
use super::head::{self, Stated};
use super::outgoing::{OutgoingBody, Progress, Sending};
use super::settings::Limits;
use super::stream::FLOODED;
use super::ways::Way;

/// An answer whose head has come, with the connection that its body is still on.
pub struct Answer {
    pub head: Response<Incoming>,
    pub lease: Lease,
}

/// What an exchange begins with.
pub struct Beginning<'a> {
    pub permit: &'a Permit,
    pub stated: &'a Stated<'a>,
    pub body: OutgoingBody,
    pub lease: Lease,
    pub progress: Arc<Progress>,
}

/// Why no head came.
enum Fault {
    /// Not a byte of the request was sent; here it is.
    Unsent(Box<Request<OutgoingBody>>),
    /// The upstream says that it did nothing with the request.
    Refused(String),
    /// The connection ended, or what came is no HTTP.
    Broken(String),
    TimedOut,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeat {
    Once,
    Never,
}

impl Upstreams {
    /// Sends the request and waits for the head of the answer.
    pub(super) async fn exchange(&self, way: &Way, beginning: Beginning<'_>) -> Result<Answer, Refusal> {
        let Beginning { permit, stated, body, mut lease, progress } = beginning;
        let safe = matches!(permit.request().method, Method::GET | Method::HEAD | Method::OPTIONS);
        let repeat = if safe && body.is_end_stream() { Repeat::Once } else { Repeat::Never };
        let request = head::request(permit, stated, body, &lease)?;
        let fault = match send(&way.limits, &mut lease, request, &progress).await {
            Ok(head) => return Ok(Answer { head, lease }),
            Err(fault) => fault,
        };
        let silent = match lease.held() {
            Held::Http1(connection) => connection.allowance.is_untouched(),
            // Whether a stream was answered is told by the fault itself.
            Held::Http2(_) => false,
        };
        // What is sent again is made anew where the first connection had it already.
        let again = match (lease.origin, fault) {
            (Origin::Pooled, Fault::Unsent(request)) => Some(*request),
            (Origin::Pooled, Fault::Broken(_)) if silent && repeat == Repeat::Once => None,
            (_, Fault::Refused(_)) if repeat == Repeat::Once => None,
            (Origin::Pooled | Origin::Fresh, fault) => return Err(explain(way, &lease, fault, &progress)),
        };
        let backend = Arc::clone(lease.backend());
        drop(lease);
        let mut lease = Box::pin(self.fresh(way, &backend, Purpose::of(permit.request().upgrade))).await?;
        let request = match again {
            // The other connection may speak the other version, so that only the body is taken over.
            Some(unsent) => head::request(permit, stated, unsent.into_body(), &lease)?,
            None => head::request(permit, stated, OutgoingBody::none(&progress), &lease)?,
        };
        match send(&way.limits, &mut lease, request, &progress).await {
            Ok(head) => Ok(Answer { head, lease }),
            Err(fault) => Err(explain(way, &lease, fault, &progress)),
        }
    }
}

async fn send(
    limits: &Limits,
    lease: &mut Lease,
    mut request: Request<OutgoingBody>,
    progress: &Progress,
) -> Result<Response<Incoming>, Fault> {
    let head = match lease.held() {
        Held::Http1(connection) => {
            // A connection that has just come back may still be putting its last answer away.
            let ready = timeout(limits.connect_timeout, connection.sender.ready()).await;
            if !matches!(ready, Ok(Ok(()))) {
                return Err(Fault::Unsent(Box::new(request)));
            }
            let allowance = &connection.allowance;
            allowance.begin();
            let counted = Arc::clone(allowance);
            hyper::ext::on_informational(&mut request, move |_| counted.spend_heads(1));
            let head = wait_for_head(limits, pin!(connection.sender.try_send_request(request)), progress).await?;
            // The head may have come with them, in what was read at once.
            if allowance.is_flooded() {
                return Err(Fault::Broken(FLOODED.to_owned()));
            }
            allowance.lift();
            head
        }
        Held::Http2(seat) => {
            seat.shared().allowance.begin_stream();
            let mut sender = seat.shared().sender.clone();
            wait_for_head(limits, pin!(sender.try_send_request(request)), progress).await?
        }
    };
    lease.backend().condition.answered();
    Ok(head)
}

async fn wait_for_head(
    limits: &Limits,
    mut answer: Pin<&mut impl Future<Output = Result<Response<Incoming>, TrySendError<Request<OutgoingBody>>>>>,
    progress: &Progress,
) -> Result<Response<Incoming>, Fault> {
    let begun = Instant::now();
    let mut deadline = begun + limits.first_byte_timeout;
    loop {
        match timeout_at(deadline, &mut answer).await {
            Ok(Ok(head)) => return Ok(head),
            Ok(Err(fault)) => return Err(Fault::of(fault)),
            Err(_) => {}
        }
        // The time for an answer begins when the request has been sent. Until then each piece of it has its own, and a
        // client that sends no more is found out first, by the body itself: what is left is an upstream that does not read.
        let patience = match progress.sending() {
            Sending::Underway => limits.body_idle_timeout + limits.first_byte_timeout,
            Sending::Finished | Sending::ClientFailed | Sending::TooSlow | Sending::TooLarge => limits.first_byte_timeout,
        };
        deadline = progress.last_moved().max(begun) + patience;
        if deadline <= Instant::now() {
            return Err(Fault::TimedOut);
        }
    }
}

/// What the client is told. A body that the client broke off is the client's fault, whatever the upstream made of it.
fn explain(way: &Way, lease: &Lease, fault: Fault, progress: &Progress) -> Refusal {
    match progress.sending() {
        Sending::ClientFailed => return Rejection::BadSubmission(kernel::policy::Reason::MalformedRequest).into(),
        Sending::TooSlow => return Rejection::TooSlow.into(),
        Sending::TooLarge => return Rejection::TooLarge.into(),
        Sending::Underway | Sending::Finished => {}
    }
    lease.backend().condition.failed(way.limits.ejection);
    match fault {
        Fault::TimedOut => Failure::UpstreamTimedOut(way.limits.first_byte_timeout).into(),
        Fault::Broken(detail) | Fault::Refused(detail) => Failure::UpstreamAnswer(detail).into(),
        Fault::Unsent(_) => {
            let detail = "the connection was closed before the request was sent".to_owned();
            Failure::UpstreamUnreachable { why: Unreachable::Connection, detail }.into()
        }
    }
}

impl Fault {
    fn of(mut fault: TrySendError<Request<OutgoingBody>>) -> Self {
        match fault.take_message() {
            Some(request) => Self::Unsent(Box::new(request)),
            None if was_not_acted_upon(fault.error()) => Self::Refused(describe(fault.error())),
            None => Self::Broken(describe(fault.error())),
        }
    }
}

/// RFC 9113 §8.7: a stream that was reset with REFUSED_STREAM, or that is above the last one of a GOAWAY, was not acted upon.
fn was_not_acted_upon(fault: &hyper::Error) -> bool {
    let cause = std::error::Error::source(fault).and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| cause.is_remote() && (cause.is_go_away() || cause.reason() == Some(h2::Reason::REFUSED_STREAM)))
}

/// hyper's words with their cause. They name states and positions, never content.
fn describe(fault: &hyper::Error) -> String {
    match std::error::Error::source(fault) {
        Some(cause) => format!("{fault}: {cause}"),
        None => fault.to_string(),
    }
}
