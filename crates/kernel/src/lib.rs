//! What Portcullis decides. Pure code: no I/O, no clock, no randomness, no async, no logging, no panics.
//!
//! Time and randomness are arguments. The rooms stand in the order in which a request meets them.

pub mod time;

pub mod request;

pub mod route;

pub mod identity;

pub mod session;

pub mod factor;

pub mod policy;

pub mod quota;

pub mod detection;
pub mod event;
pub mod redirect;
pub mod refusal;
#[cfg(test)]
mod tests;

pub use refusal::{Failure, Refusal, Rejection, Unreachable};
