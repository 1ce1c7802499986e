//! Connections to one upstream: those that wait for a request, and how many are at work.
//!
//! A connection comes back only from an exchange that ended cleanly in both directions; every other one is closed by dropping
//! its [`Lease`]. The last that came back goes out first, so that a quiet pool shrinks.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::client::conn::http1::SendRequest;
use kernel::route::Upstream;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::outgoing::OutgoingBody;
use super::stream::Allowance;

/// The connections to one upstream.
pub struct Pool {
    pub upstream: Upstream,
    /// The upstream as the route writes it, for records.
    pub name: String,
    shelf: Mutex<Shelf>,
    outstanding: AtomicUsize,
    idle_timeout: Duration,
    idle_max: usize,
    /// Cancelled when the gateway ends: then none waits any more.
    closing: CancellationToken,
}

#[derive(Default)]
struct Shelf {
    idle: Vec<Idle>,
    ejected_until: Option<Instant>,
    closed: bool,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

/// A connection that HTTP was begun on.
pub struct Connection {
    pub sender: SendRequest<OutgoingBody>,
    pub allowance: Arc<Allowance>,
    /// Ends the task that drives the connection, and with it the connection.
    pub task: AbortHandle,
}

/// A connection at work for one exchange. Dropped, it closes the connection.
pub struct Lease {
    connection: Option<Connection>,
    work: Work,
    pub origin: Origin,
    reuse: Reuse,
}

/// Counts one exchange as outstanding.
pub struct Work(Arc<Pool>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Fresh,
    /// It was used before, so the other side may have closed it meanwhile.
    Pooled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reuse {
    WhenClean,
    Never,
}

impl Pool {
    pub fn new(upstream: &Upstream, idle_timeout: Duration, idle_max: usize, closing: CancellationToken) -> Self {
        Self {
            name: upstream.to_string(),
            upstream: upstream.clone(),
            shelf: Mutex::default(),
            outstanding: AtomicUsize::new(0),
            idle_timeout,
            idle_max,
            closing,
        }
    }

    /// A connection that waits, if there is one that still lives.
    pub fn take(self: &Arc<Self>) -> Option<Lease> {
        let mut shelf = self.shelf();
        loop {
            let idle = shelf.idle.pop()?;
            if idle.since.elapsed() >= self.idle_timeout {
                // Those below have waited longer.
                shelf.idle.clear();
                return None;
            }
            if !idle.connection.sender.is_closed() {
                drop(shelf);
                return Some(Lease::new(idle.connection, Work::begin(self), Origin::Pooled));
            }
        }
    }

    fn put(&self, connection: Connection) {
        let mut shelf = self.shelf();
        let closed = shelf.closed || self.closing.is_cancelled();
        if !closed && shelf.idle.len() < self.idle_max && !connection.sender.is_closed() {
            shelf.idle.push(Idle { connection, since: Instant::now() });
        }
    }

    /// Drops the connections that waited too long or were closed.
    pub fn sweep(&self) {
        self.shelf().idle.retain(|idle| idle.since.elapsed() < self.idle_timeout && !idle.connection.sender.is_closed());
    }

    /// Drops all that wait, and lets none wait any more.
    pub fn close(&self) {
        let mut shelf = self.shelf();
        shelf.closed = true;
        shelf.idle.clear();
    }

    /// The upstream could not be reached: others are asked first for a while.
    pub fn eject(&self, span: Duration) {
        self.shelf().ejected_until = Some(Instant::now() + span);
    }

    pub fn is_ejected(&self) -> bool {
        self.shelf().ejected_until.is_some_and(|until| Instant::now() < until)
    }

    pub fn readmit(&self) {
        self.shelf().ejected_until = None;
    }

    pub fn outstanding(&self) -> usize {
        self.outstanding.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub fn idle(&self) -> usize {
        self.shelf().idle.len()
    }

    /// No code that holds the lock can panic half-way through a change, so a poisoned lock guards a whole shelf.
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    pub const fn new(connection: Connection, work: Work, origin: Origin) -> Self {
        Self { connection: Some(connection), work, origin, reuse: Reuse::WhenClean }
    }

    pub const fn connection(&mut self) -> Option<&mut Connection> {
        self.connection.as_mut()
    }

    /// Nobody else gets this connection, however the exchange ends.
    pub const fn never_reuse(&mut self) {
        self.reuse = Reuse::Never;
    }

    /// The exchange ended cleanly in both directions.
    pub fn give_back(mut self) {
        if self.reuse == Reuse::WhenClean
            && let Some(connection) = self.connection.take()
        {
            self.work.0.put(connection);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.task.abort();
        }
    }
}

impl Work {
    pub fn begin(pool: &Arc<Pool>) -> Self {
        pool.outstanding.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(pool))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.outstanding.fetch_sub(1, Ordering::Relaxed);
    }
}
