//! One exchange: a connection, the request, the head of the answer.
//!
//! A request is sent twice in two cases alone (RFC 9110 §9.2.2, SM-22): when the first connection took nothing of it, and when
//! a connection that had waited in the pool was closed without a byte of answer to a GET, HEAD or OPTIONS without body.

use std::sync::Arc;

use http::{Method, Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use kernel::policy::permit::Permit;
use kernel::request::Upgrade;
use kernel::{Failure, Refusal, Rejection};
use tokio::time::{Instant, timeout, timeout_at};

use super::Upstreams;
use super::connect::ConnectFault;
use super::head::{self, Stated};
use super::outgoing::{OutgoingBody, Progress, Sending};
use super::pool::{Connection, Lease, Origin, Pool, Work};
use super::stream::BUFFER_BYTES_MAX;

/// An answer whose head has come, with the connection that its body is still on.
pub struct Answer {
    pub head: Response<Incoming>,
    pub lease: Lease,
}

/// Why no head came.
enum Fault {
    /// Not a byte of the request was sent; here it is.
    Unsent(Box<Request<OutgoingBody>>),
    /// The connection ended, or what came is no HTTP.
    Broken(String),
    TimedOut,
}

/// A request and whether it may be sent once more.
struct Outgoing {
    request: Request<OutgoingBody>,
    repeat: Repeat,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeat {
    Once,
    Never,
}

impl Upstreams {
    /// Finds a connection to one of the route's upstreams. Nothing is sent yet, so the next may be tried.
    pub(super) async fn lease(&self, permit: &Permit) -> Result<(Arc<Pool>, Lease), Failure> {
        let mut fault = Failure::Bug("a route has no upstream");
        for pool in self.candidates(permit.route()) {
            // An upgraded connection is lost to the pool, so none is taken from it.
            let pooled = if permit.request().upgrade == Upgrade::None { pool.take() } else { None };
            if let Some(lease) = pooled {
                return Ok((pool, lease));
            }
            match self.connect(&pool).await {
                Ok(lease) => return Ok((pool, lease)),
                Err(failure) => fault = failure,
            }
        }
        Err(fault)
    }

    async fn connect(&self, pool: &Arc<Pool>) -> Result<Lease, Failure> {
        let work = Work::begin(pool);
        let made = self.connector.connect(&pool.upstream).await;
        let stream = made.map_err(|fault| {
            pool.eject(self.limits.ejection);
            tracing::warn!(upstream = %pool.name, %fault, "upstream could not be reached");
            match fault {
                ConnectFault::TimedOut(limit) => Failure::UpstreamTimedOut(limit),
                other => Failure::UpstreamUnreachable(format!("{}: {other}", pool.name)),
            }
        })?;
        pool.readmit();
        let allowance = Arc::clone(&stream.allowance);
        let mut builder = http1::Builder::new();
        builder.max_buf_size(BUFFER_BYTES_MAX);
        let begun = timeout(self.limits.connect_timeout, builder.handshake(TokioIo::new(stream))).await;
        let (sender, driver) = begun
            .map_err(|_| Failure::UpstreamTimedOut(self.limits.connect_timeout))?
            .map_err(|fault| Failure::UpstreamUnreachable(fault.to_string()))?;
        let task = self.tasks.spawn(async move {
            // How it ended is told to whoever holds the exchange; a connection that was idle ends with nobody to tell.
            let _ = driver.with_upgrades().await;
        });
        let connection = Connection { sender, allowance, task: task.abort_handle() };
        Ok(Lease::new(connection, work, Origin::Fresh))
    }

    /// Sends the request and waits for the head of the answer.
    pub(super) async fn exchange(
        &self,
        permit: &Permit,
        stated: &Stated<'_>,
        body: OutgoingBody,
        (pool, mut lease): (Arc<Pool>, Lease),
        progress: &Arc<Progress>,
    ) -> Result<Answer, Refusal> {
        let safe = matches!(permit.request().method, Method::GET | Method::HEAD | Method::OPTIONS);
        let repeat = if safe && body.is_end_stream() { Repeat::Once } else { Repeat::Never };
        let outgoing = Outgoing { request: head::request(permit, stated, body)?, repeat };
        let fault = match self.send(&mut lease, outgoing.request, progress).await {
            Ok(head) => return Ok(Answer { head, lease }),
            Err(fault) => fault,
        };
        let silent = lease.connection().is_some_and(|connection| connection.allowance.is_untouched());
        let again = match (lease.origin, fault) {
            (Origin::Pooled, Fault::Unsent(request)) => *request,
            (Origin::Pooled, Fault::Broken(_)) if silent && outgoing.repeat == Repeat::Once => {
                head::request(permit, stated, OutgoingBody::none(progress))?
            }
            (Origin::Pooled | Origin::Fresh, fault) => return Err(self.explain(fault, progress)),
        };
        drop(lease);
        let mut lease = self.connect(&pool).await?;
        let head = self.send(&mut lease, again, progress).await.map_err(|fault| self.explain(fault, progress))?;
        Ok(Answer { head, lease })
    }

    async fn send(&self, lease: &mut Lease, request: Request<OutgoingBody>, progress: &Progress) -> Result<Response<Incoming>, Fault> {
        let Some(connection) = lease.connection() else {
            return Err(Fault::Unsent(Box::new(request)));
        };
        // A connection that has just come back may still be putting its last answer away.
        let ready = timeout(self.limits.connect_timeout, connection.sender.ready()).await;
        if !matches!(ready, Ok(Ok(()))) {
            return Err(Fault::Unsent(Box::new(request)));
        }
        let begun = Instant::now();
        connection.allowance.begin();
        let mut answer = std::pin::pin!(connection.sender.try_send_request(request));
        let mut deadline = begun + self.limits.first_byte_timeout;
        loop {
            match timeout_at(deadline, &mut answer).await {
                Ok(Ok(head)) => {
                    connection.allowance.lift();
                    return Ok(head);
                }
                Ok(Err(fault)) => return Err(Fault::of(fault)),
                Err(_) => {}
            }
            // The time for an answer begins when the request has been sent. Until then each piece of it has its own, and a
            // client that sends no more is found out first, by the body itself: what is left is an upstream that does not read.
            let patience = match progress.sending() {
                Sending::Underway => self.limits.body_idle_timeout + self.limits.first_byte_timeout,
                Sending::Finished | Sending::ClientFailed => self.limits.first_byte_timeout,
            };
            deadline = progress.last_moved().max(begun) + patience;
            if deadline <= Instant::now() {
                return Err(Fault::TimedOut);
            }
        }
    }

    /// What the client is told. A body that the client broke off is the client's fault, whatever the upstream made of it.
    fn explain(&self, fault: Fault, progress: &Progress) -> Refusal {
        if progress.sending() == Sending::ClientFailed {
            return Rejection::BadSubmission(kernel::policy::Reason::MalformedRequest).into();
        }
        match fault {
            Fault::TimedOut => Failure::UpstreamTimedOut(self.limits.first_byte_timeout).into(),
            Fault::Broken(detail) => Failure::UpstreamAnswer(detail).into(),
            Fault::Unsent(_) => Failure::UpstreamUnreachable("the connection was closed before the request was sent".to_owned()).into(),
        }
    }
}

impl Fault {
    fn of(mut fault: TrySendError<Request<OutgoingBody>>) -> Self {
        match fault.take_message() {
            Some(request) => Self::Unsent(Box::new(request)),
            None => Self::Broken(describe(fault.error())),
        }
    }
}

/// hyper's words with their cause. They name states and positions, never content.
fn describe(fault: &hyper::Error) -> String {
    match std::error::Error::source(fault) {
        Some(cause) => format!("{fault}: {cause}"),
        None => fault.to_string(),
    }
}
