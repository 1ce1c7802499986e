//! The gateway as a whole, between a certified provider, a recording upstream and clients that say exactly what a test wants.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod acme;
mod attacks;
mod canary;
mod conformance;
mod control;
mod expiry;
mod facing;
mod guessing;
mod mail;
mod privacy;
mod providers;
mod redirects;
mod second_factor;
mod sign_in;
mod support;
mod telling;
mod traces;
