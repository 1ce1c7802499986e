//! The one body type that travels through the shell.

use std::error::Error;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};

/// What can go wrong while a body is read.
pub type BodyError = Box<dyn Error + Send + Sync>;

/// A body on its way through the gateway: read from the other side as it is asked for, never gathered.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// In an answer's extensions: what follows the head is a WebSocket's bytes and no HTTP.
#[derive(Clone, Copy, Debug)]
pub struct Opened;

#[must_use]
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

#[must_use]
pub fn full(content: impl Into<Bytes>) -> Body {
    Full::new(content.into()).map_err(|never| match never {}).boxed_unsync()
}
