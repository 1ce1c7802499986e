//! What the listener for plain HTTP asks: which hosts are served by https, and whether a certificate authority looks for an answer.

use std::sync::Arc;

use bytes::Bytes;
use kernel::request::host::{Authority, Host};

use crate::gateway::Gateway;
use crate::listener::{REDIRECT, Told, Ways};

/// Answers from the configuration in force.
pub(super) struct Directions(pub Arc<Gateway>);

impl Ways for Directions {
    fn secure(&self, host: &Host) -> Option<Authority> {
        self.0.snapshot.load().table.secure(host)
    }

    /// Certificates come from files: no authority has a challenge open.
    fn challenge(&self, _host: &Host, _path: &str) -> Option<Bytes> {
        None
    }

    fn told(&self, told: Told) {
        self.0.metrics.met(REDIRECT, told.as_str());
    }
}
