//! Logs, metrics and health.

pub mod logs;
pub mod metrics;

pub use metrics::Metrics;
