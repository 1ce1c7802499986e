//! What a listener hands its requests to.

use std::future::Future;

use http::{Request, Response};
use hyper::body::Incoming;

use super::facts::RequestFacts;
use crate::web::body::Body;

/// Answers requests. A panic in `handle` is answered with 500 and ends neither the process nor the connection's other
/// requests.
///
/// An answer of 101 to a request that asked to leave HTTP/1.1 opens the connection: from then on its bytes reach
/// [`hyper::upgrade::on`] unread. Until the answer is there, nothing that the client sent after such a request is read;
/// after any other answer it is read as the next request. What `on` returned is to be dropped before another answer than
/// 101 is given.
pub trait Handler: Clone + Send + Sync + 'static {
    fn handle(&self, facts: RequestFacts, request: Request<Incoming>) -> impl Future<Output = Result<Response<Body>, HandlerAbort>> + Send;
}

/// The connection is to be closed without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection was closed without an answer: {0}")]
pub struct HandlerAbort(pub &'static str);
