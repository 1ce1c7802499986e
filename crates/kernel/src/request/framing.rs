//! HTTP/1.1 framing, read strictly before any other parser sees the bytes.

use thiserror::Error;

/// Why bytes on an HTTP/1.1 connection are not a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FramingFault {
    #[error("the request line is not `METHOD SP target SP HTTP/1.1`")]
    RequestLine,
}
