//! The room's tests, a file per subject.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod dropping;
mod faults;
mod fence;
mod formats;
mod handing;
mod kills;
mod recording;
mod restart;
mod room;
mod speed;
mod tailing;
mod tampering;
