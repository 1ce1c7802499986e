//! What an upstream's name means, asked again after a short while.
//!
//! The system's resolver does not tell for how long an answer holds, so that it is kept for a few seconds only. Every address
//! is checked when it is connected to, wherever it came from. When the resolver does not answer, the last known addresses
//! hold for some minutes more, so that its outage is not everybody's.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kernel::route::Endpoint;
use tokio::time::Instant;

/// The addresses of one upstream.
#[derive(Default)]
pub struct Resolved(Mutex<Option<Known>>);

#[derive(Clone)]
struct Known {
    addresses: Arc<[SocketAddr]>,
    since: Instant,
}

impl Resolved {
    /// The addresses of `endpoint`: at most [`ADDRESSES_MAX`], in the resolver's order. The caller sets the deadline.
    pub async fn addresses(&self, endpoint: &Endpoint) -> std::io::Result<Arc<[SocketAddr]>> {
        let known = self.known();
        if let Some(known) = known.as_ref().filter(|known| known.since.elapsed() < TTL) {
            return Ok(Arc::clone(&known.addresses));
        }
        match tokio::net::lookup_host((&*endpoint.host, endpoint.port)).await {
            Ok(resolved) => {
                let addresses: Arc<[SocketAddr]> = resolved.take(ADDRESSES_MAX).collect();
                self.remember(Known { addresses: Arc::clone(&addresses), since: Instant::now() });
                Ok(addresses)
            }
            Err(fault) => match known.filter(|known| known.since.elapsed() < STALE_MAX && !known.addresses.is_empty()) {
                Some(known) => {
                    tracing::warn!(upstream = %endpoint, error = %fault, "a name does not resolve; its last addresses are used");
                    Ok(known.addresses)
                }
                None => Err(fault),
            },
        }
    }

    /// No address of the name could be reached: it is asked for again at once.
    pub fn doubt(&self) {
        if let Some(known) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            known.since = known.since.checked_sub(TTL).unwrap_or(known.since);
        }
    }

    fn known(&self) -> Option<Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, known: Known) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
    }
}

/// How long an answer of the resolver is used for new connections.
const TTL: Duration = Duration::from_secs(10);
/// How long it is used when the resolver answers no more.
const STALE_MAX: Duration = Duration::from_secs(300);
/// Addresses of one name that are tried. A name with more is served by the first ones.
const ADDRESSES_MAX: usize = 4;
