//! Connections that ended before their first request, counted until somebody asks.
//!
//! A record for each would let anybody fill the log, so they are summed up: a number for each reason, and the last address.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use kernel::event::ConnectionFault as Fault;

use super::connection::ConnectionFault;

/// The counts of one listener.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<Vec<Refused>>);

/// What came of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    pub fault: Fault,
    pub count: u64,
    pub last: IpAddr,
}

impl Refusals {
    /// Counts one.
    pub(super) fn count(&self, fault: Fault, last: IpAddr) {
        // At most one entry for each reason there is.
        let mut all = self.lock();
        match all.iter_mut().find(|known| known.fault == fault) {
            Some(known) => (known.count, known.last) = (known.count.saturating_add(1), last),
            None => all.push(Refused { fault, count: 1, last }),
        }
    }

    /// Counts how a connection ended, if it came to nothing.
    pub(super) fn note(&self, fault: &ConnectionFault, peer: IpAddr) {
        let fault = match fault {
            ConnectionFault::NotAProxy | ConnectionFault::ProxyHeader(_) | ConnectionFault::ProxyHeaderTimedOut(_) => Fault::ProxyHeader,
            ConnectionFault::AddressFull => Fault::AddressFull,
            ConnectionFault::NearlyFull | ConnectionFault::MadeRoom => Fault::ListenerFull,
            ConnectionFault::ClientCertificate(_) => Fault::ClientCertificate,
            ConnectionFault::Handshake(_) | ConnectionFault::HandshakeTimedOut(_) => Fault::Handshake,
            ConnectionFault::UnknownServerName => Fault::ServerName,
            ConnectionFault::Challenge | ConnectionFault::ShuttingDown | ConnectionFault::Http(_) => return,
        };
        self.count(fault, peer);
    }

    /// What was counted since the last call.
    #[must_use]
    pub fn take(&self) -> Vec<Refused> {
        std::mem::take(&mut *self.lock())
    }

    /// Puts back what could not be recorded.
    pub fn give_back(&self, refused: Refused) {
        let mut all = self.lock();
        match all.iter_mut().find(|known| known.fault == refused.fault) {
            Some(known) => known.count = known.count.saturating_add(refused.count),
            None => all.push(refused),
        }
    }

    /// Nothing under the lock panics.
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Refused>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
