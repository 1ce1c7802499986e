//! Logs, metrics and health.

pub mod logs;
pub mod metrics;
pub mod sinks;

pub use metrics::Metrics;
