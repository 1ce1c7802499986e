//! One request and its answer, between the parser and the handler.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_LENGTH};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::{Frame, Incoming, SizeHint};
use kernel::request::ExtendedConnect;
use kernel::request::framing::{FramingFault, Intent};
use tracing::error;

use super::caps::Standing;
use super::facts::{BodyFault, ConnectionFacts, Protocol, RequestFacts};
use super::flow::{Flow, Watched};
use super::handler::{Handler, HandlerAbort};
use super::junction::{Junction, OpenRequest, StaysOpen, Verdict};
use super::received::Received;
use crate::web::body::{self, Body, BodyError, Opened};

/// An answer's body that counts as an open request until it was sent whole or given up.
#[derive(Debug)]
pub(super) struct Counted {
    body: Body,
    /// What did not fit into the last piece.
    rest: Bytes,
    /// For HTTP/2, where a shut window stops a stream alone. HTTP/1.1 has a deadline on writing.
    watched: Option<Watched>,
    _open: OpenRequest,
}

/// What the answering side knows of its connection.
#[derive(Clone, Debug)]
pub(super) struct Answering<H> {
    pub handler: H,
    pub connection: Arc<ConnectionFacts>,
    pub junction: Arc<Junction>,
    pub flow: Arc<Flow>,
    /// From now on every HTTP/1.1 answer says that the connection ends with it.
    pub closing: Arc<AtomicBool>,
    pub head_fields_max: usize,
    /// Between two parts of a body that is waited for.
    pub body_part: Duration,
    pub standing: Arc<Standing>,
}

/// A request with what goes with it.
struct Met {
    facts: RequestFacts,
    intent: Intent,
    open: OpenRequest,
}

impl<H: Handler> Answering<H> {
    pub async fn answer(self: Arc<Self>, mut request: Request<Incoming>) -> Result<Response<Counted>, HandlerAbort> {
        let Met { facts, intent, open } = self.meet(&request)?;
        if intent != Intent::WebSocket {
            // The parser would hand the whole connection to whoever holds this once the connection ends.
            drop(hyper::upgrade::on(&mut request));
        } else {
            request.extensions_mut().insert(StaysOpen::new(self.junction.open_request()));
        }
        if let Some(protocol) = request.extensions_mut().remove::<hyper::ext::Protocol>() {
            request.extensions_mut().insert(ExtendedConnect(protocol.as_str().into()));
        }
        let (method, version) = (request.method().clone(), request.version());
        let handler = self.handler.clone();
        let (head, body) = request.into_parts();
        let body = match self.connection.protocol {
            Protocol::Http1 => Received::http1(body),
            Protocol::Http2 => Received::http2(body, &head.headers, self.body_part),
        };
        let request = Request::from_parts(head, body);
        // The handler is called inside the guarded future, because it may panic before it returns one.
        let handled = caught(Box::pin(async move { handler.handle(facts, request).await })).await;
        let answer = match handled {
            Ok(answer) => answer?,
            Err(panic) => {
                error!(panic.message = panic_message(&*panic), "a request handler panicked");
                internal_error()
            }
        };
        let mut answer = settle(answer, intent, &method, version);
        if version == Version::HTTP_2 {
            answer = without_stray_content(answer, &method);
        }
        if intent != Intent::Stay && version != Version::HTTP_2 {
            let leaves = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
            self.junction.decide(if leaves { Verdict::BecomeTunnel } else { Verdict::ResumeHttp });
        }
        // SM-15: nothing is read after an HTTP/1.0 request, so that the client is told.
        let closes =
            version == Version::HTTP_11 && self.closing.load(Ordering::Acquire) && answer.status() != StatusCode::SWITCHING_PROTOCOLS;
        if version == Version::HTTP_10 {
            self.junction.tell_end();
        }
        if version == Version::HTTP_10 || closes {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let watched = (version == Version::HTTP_2).then(|| Watched::new(Arc::clone(&self.flow)));
        Ok(answer.map(|body| Counted { body, rest: Bytes::new(), watched, _open: open }))
    }

    fn meet(&self, request: &Request<Incoming>) -> Result<Met, HandlerAbort> {
        self.standing.ask();
        let connection = Arc::clone(&self.connection);
        match self.connection.protocol {
            Protocol::Http1 => {
                let head = self.junction.next_head().ok_or(HandlerAbort("a request was parsed that the gatekeeper did not see"))?;
                let facts = RequestFacts { connection, raw_target: head.raw_target, fault: head.fault, body_fault: head.body_fault };
                Ok(Met { facts, intent: head.intent, open: head.open })
            }
            Protocol::Http2 => {
                // Each crumb of a cookie is a field of its own here, and counts.
                let fields = request.headers().len();
                let fault = (fields > self.head_fields_max).then_some(FramingFault::TooManyFields);
                let facts = RequestFacts { connection, raw_target: None, fault, body_fault: BodyFault::default() };
                let websocket = request.extensions().get::<hyper::ext::Protocol>().is_some_and(|protocol| protocol.as_str() == "websocket");
                let intent = if websocket { Intent::WebSocket } else { Intent::Stay };
                Ok(Met { facts, intent, open: self.junction.open_request() })
            }
        }
    }
}

/// The parser takes 101, and 2xx to CONNECT, as leave to stop reading HTTP. Only a WebSocket may have it; over HTTP/2, where
/// any 2xx would do, only by an answer that says so.
fn settle(answer: Response<Body>, intent: Intent, method: &Method, version: Version) -> Response<Body> {
    let opens = answer.status() == StatusCode::SWITCHING_PROTOCOLS || (*method == Method::CONNECT && answer.status().is_success());
    match intent {
        Intent::WebSocket if version == Version::HTTP_2 && opens && answer.extensions().get::<Opened>().is_none() => {
            error!("an answer that is no WebSocket would have opened a stream");
            internal_error()
        }
        Intent::WebSocket => answer,
        Intent::Stay | Intent::Leave if opens => {
            error!("an answer would have opened a connection that did not ask for a WebSocket");
            internal_error()
        }
        Intent::Stay | Intent::Leave => answer,
    }
}

/// Answers to HEAD, 204 and 304 have no content (RFC 9110 §6.4.1), and over HTTP/2 the library leaves that to its caller.
fn without_stray_content(answer: Response<Body>, method: &Method) -> Response<Body> {
    if method != Method::HEAD && !matches!(answer.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return answer;
    }
    let (mut head, body) = answer.into_parts();
    let length = hyper::body::Body::size_hint(&body).exact().filter(|length| method == Method::HEAD && *length > 0);
    if let Some(length) = length {
        head.headers.entry(CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    Response::from_parts(head, body::empty())
}

fn internal_error() -> Response<Body> {
    let mut answer = Response::new(body::empty());
    *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

type Panic = Box<dyn Any + Send>;

/// Runs a future; a panic in it is an outcome. What the panic may have left half done is the request's own.
async fn caught<F: Future>(mut future: Pin<Box<F>>) -> Result<F::Output, Panic> {
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("unknown")
}

impl Counted {
    /// Hands on no more at once than a slow client takes in the time that it has; the library would keep the whole.
    fn piece(&mut self, mut data: Bytes) -> Frame<Bytes> {
        if data.len() > PIECE_BYTES_MAX {
            self.rest = data.split_off(PIECE_BYTES_MAX);
        }
        if let Some(watched) = &mut self.watched {
            watched.handed_on(data.len());
        }
        Frame::data(data)
    }
}

impl hyper::body::Body for Counted {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(watched) = &mut self.watched {
            watched.taken();
        }
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            return Poll::Ready(Some(Ok(self.piece(rest))));
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) if self.watched.is_some() => Poll::Ready(Some(Ok(match frame.into_data() {
                Ok(data) => self.piece(data),
                Err(trailers) => trailers,
            }))),
            polled => polled,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (hint, rest) = (self.body.size_hint(), u64::try_from(self.rest.len()).unwrap_or(u64::MAX));
        if rest == 0 {
            return hint;
        }
        let mut with_rest = SizeHint::new();
        with_rest.set_lower(hint.lower().saturating_add(rest));
        if let Some(upper) = hint.upper() {
            with_rest.set_upper(upper.saturating_add(rest));
        }
        with_rest
    }
}

/// Of an answer over HTTP/2, a frame's worth: with the default time, a quarter of a kilobyte a second.
const PIECE_BYTES_MAX: usize = 16 * 1024;
