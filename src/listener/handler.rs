//! What a listener hands its requests to.

use std::future::Future;

use http::{Request, Response};

use super::facts::{ConnectionFacts, RequestFacts};
use super::received::Received;
use crate::web::body::Body;

/// Answers requests. A panic in `handle` is answered with 500 and ends neither the process nor the connection's other
/// requests.
///
/// An answer of 101 to a request that asked to leave HTTP/1.1 opens the connection: from then on its bytes reach
/// [`hyper::upgrade::on`] unread. Until the answer is there, nothing that the client sent after such a request is read;
/// after any other answer it is read as the next request. What `on` returned is to be dropped before another answer than
/// 101 is given.
pub trait Handler: Clone + Send + Sync + 'static {
    /// Told of every connection once, when it is known what becomes of it. Must not block.
    fn met(&self, _listener: &str, _meeting: Meeting) {}

    /// Told of every handshake that was completed: TLS and HTTP version as they were agreed on. Must not block.
    fn shook_hands(&self, _connection: &ConnectionFacts) {}

    /// Told of every connection that keeps no parser while nothing is asked on it. Must not block.
    fn rested(&self) {}

    fn handle(&self, facts: RequestFacts, request: Request<Received>) -> impl Future<Output = Result<Response<Body>, HandlerAbort>> + Send;
}

/// What became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meeting {
    /// The handshake is done: requests may come.
    Opened,
    /// Refused: the listener has all the connections that it may have.
    ListenerFull,
    /// Refused: the address has its share of connections.
    AddressFull,
    /// No PROXY header where one is required, or one that cannot be read.
    ProxyHeader,
    /// The listener asks for a certificate, and the client showed none that it accepts.
    ClientCertificate,
    /// The TLS handshake failed, named no host of ours, or took too long.
    Handshake,
    /// A challenge of a certificate authority was answered in the handshake, and the connection ended with it.
    Challenge,
}

impl Meeting {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::ListenerFull => "listener_full",
            Self::AddressFull => "address_full",
            Self::ProxyHeader => "proxy_header",
            Self::ClientCertificate => "client_certificate",
            Self::Handshake => "handshake_failed",
            Self::Challenge => "challenge",
        }
    }
}

/// The connection is to be closed without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection was closed without an answer: {0}")]
pub struct HandlerAbort(pub &'static str);
