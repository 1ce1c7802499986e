//! Attacks on a whole gateway, over the real wire: what is sent is bytes over TLS, and what counts is what a recorder behind the
//! gateway received and what the audit log says.
//!
//! Every attack passes when the recorder saw no request that policy does not allow, when each request has exactly one decision
//! on record, and when the next request is answered rightly or the connection is closed.

mod backends;
mod config;
mod headers;
mod paths;
mod support;
