//! What the listener for plain HTTP asks: which hosts are served by https, and whether a certificate authority looks for an answer.

use std::sync::Arc;

use bytes::Bytes;
use kernel::request::host::{Authority, Host};

use crate::gateway::Gateway;
use crate::listener::{Challenges, REDIRECT, Told, Ways};

/// Answers from the configuration in force.
pub(super) struct Directions(pub Arc<Gateway>, pub Arc<Challenges>);

impl Ways for Directions {
    fn secure(&self, host: &Host) -> Option<Authority> {
        self.0.snapshot.load().table.secure(host)
    }

    fn challenge(&self, host: &Host, path: &str) -> Option<Bytes> {
        let token = path.strip_prefix("/.well-known/acme-challenge/")?;
        let key_authorization = self.1.http_answer(host.as_str(), token)?;
        Some(Bytes::copy_from_slice(key_authorization.as_bytes()))
    }

    fn told(&self, told: Told) {
        self.0.metrics.met(REDIRECT, told.as_str());
    }
}
