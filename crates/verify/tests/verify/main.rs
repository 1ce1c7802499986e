//! Tests of the verifier on logs that are written here, without the gateway: every way to change one is found and named.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod dropping;
mod fixture;
mod folders;
mod hashes;
mod proofs;
mod properties;
mod tampering;
mod third_party;
mod unlisted;
mod vectors;
