//! A request's body as it comes from the client.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use kernel::request::headers;

use super::deadline::Deadline;
use crate::web::body::BodyError;

/// The body of one request. It ends without an error only where the client sent it whole.
#[derive(Debug)]
pub struct Received {
    body: Incoming,
    carrier: Carrier,
}

/// What is left to look after.
#[derive(Debug)]
enum Carrier {
    /// The gate sees to ends and pauses.
    Http1,
    Http2 {
        pause: Pause,
    },
}

#[derive(Debug)]
enum Pause {
    /// Calls of gRPC may say nothing for long; whoever forwards them bounds that.
    AsLongAsItTakes,
    AtMost(Duration, Deadline),
}

impl Received {
    /// Of a request over HTTP/1.1.
    pub(super) const fn http1(body: Incoming) -> Self {
        Self { body, carrier: Carrier::Http1 }
    }

    /// Of a request over HTTP/2 with these fields, of which the next part is waited for so long.
    pub(super) fn http2(body: Incoming, fields: &HeaderMap, span: Duration) -> Self {
        let pause = if headers::is_grpc(fields) { Pause::AsLongAsItTakes } else { Pause::AtMost(span, Deadline::default()) };
        Self { body, carrier: Carrier::Http2 { pause } }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.body).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Into::into)));
        let Carrier::Http2 { pause } = &mut this.carrier else { return polled };
        match (polled, pause) {
            (Poll::Pending, Pause::AtMost(span, deadline)) => {
                deadline.poll(cx, *span).map(|()| Some(Err(io::Error::from(io::ErrorKind::TimedOut).into())))
            }
            // The library takes a stream that is reset with NO_ERROR for one that ended; an upstream would take half a body for the whole.
            (Poll::Ready(None), _) if !this.body.is_end_stream() => Poll::Ready(Some(Err("the client took its request back".into()))),
            (Poll::Ready(frame), Pause::AtMost(_, deadline)) => {
                deadline.disarm();
                Poll::Ready(frame)
            }
            (polled, Pause::AsLongAsItTakes) => polled,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
