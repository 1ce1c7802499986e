//! A request's body as it comes from the client.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::facts::Protocol;
use crate::web::body::BodyError;

/// The body of one request. It ends without an error only where the client sent it whole.
#[derive(Debug)]
pub struct Received {
    body: Incoming,
    protocol: Protocol,
}

impl Received {
    pub(super) const fn new(body: Incoming, protocol: Protocol) -> Self {
        Self { body, protocol }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(frame)) => Poll::Ready(Some(frame.map_err(Into::into))),
            // The library takes a stream that is reset with NO_ERROR for one that ended; an upstream would take half a body for the whole.
            Poll::Ready(None) if self.protocol == Protocol::Http2 && !self.body.is_end_stream() => {
                Poll::Ready(Some(Err("the client took its request back".into())))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
