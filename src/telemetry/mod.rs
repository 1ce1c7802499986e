//! Logs, metrics and health.

pub mod acme;
pub mod logs;
pub mod metrics;
pub mod sinks;
pub mod standing;
pub mod traces;

pub use metrics::Metrics;
