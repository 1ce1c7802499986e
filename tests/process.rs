//! The built binary, as a user runs it: commands and their exit codes, a gateway that starts, reloads, stops, is killed and
//! runs out of disk. Nothing here looks inside, but `power`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[path = "process/canary.rs"]
mod canary;
#[path = "process/change.rs"]
mod change;
#[path = "process/commands.rs"]
mod commands;
#[path = "process/damage.rs"]
mod damage;
#[path = "process/faults.rs"]
mod faults;
#[path = "process/kills.rs"]
mod kills;
#[path = "process/memory.rs"]
mod memory;
#[path = "process/observability.rs"]
mod observability;
#[path = "process/power/mod.rs"]
mod power;
#[path = "process/reading.rs"]
mod reading;
#[path = "process/reloads.rs"]
mod reloads;
#[path = "process/sandbox.rs"]
mod sandbox;
#[path = "process/service.rs"]
mod service;
#[path = "process/serving.rs"]
mod serving;
#[path = "process/sinks.rs"]
mod sinks;
#[path = "process/streams.rs"]
mod streams;
#[path = "process/support.rs"]
mod support;
