//! The shell of Portcullis: it acts on what the kernel decides. The rooms stand in the order in which a request meets them;
//! `docs/architecture.md` says who may import whom.

/// A request makes some hundred short-lived allocations. Measured beside the C library's allocator in docs/performance.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub mod clock;
pub mod config;
pub mod entropy;

pub mod system;
pub mod telemetry;
pub mod web;

pub mod listener;

pub mod limits;

pub mod store;

pub mod idp;

pub mod audit;

pub mod upstream;

pub mod notify;

pub mod acme;
pub mod gateway;

pub mod portal;

pub mod pipeline;

pub mod server;

pub mod cli;
pub mod demo;
