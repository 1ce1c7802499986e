//! The decision. Access is granted when one allow rule matches whole, and denied otherwise; there is no deny rule and no
//! order.

pub mod decide;
pub mod explain;
pub mod hours;
pub mod permit;
pub mod reason;
pub mod rule;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_hours;

pub use decide::{Challenge, Decision, Presented, decide};
pub use permit::{Admitted, Permit, Recorded};
pub use reason::Reason;
