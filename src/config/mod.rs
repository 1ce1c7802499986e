//! The configuration: file text becomes typed sections, with every mistake found in one run.
//!
//! Nothing here is repaired or guessed: a file that is missing, a key that is unknown, a secret that is empty or a test that
//! fails is an error, and with one error there is no configuration at all.

pub mod route_file;
pub mod secret;
pub mod sections;

pub use route_file::{AllowRule, Expectation, RouteFile, RouteTest, ShownFactor, TestPerson};
pub use secret::{Key, KeyRing, Secret};
pub use sections::*;
