//! HTTP/1.1 connections to one upstream that wait for a request.
//!
//! A connection comes back only from an exchange that ended cleanly in both directions. The last that came back goes out
//! first, so that a quiet pool shrinks. There is a shelf for each processor: a thread looks on its own first, so that threads
//! do not wait for each other, and on the others' before a connection is made.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::client::conn::http1::SendRequest;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::outgoing::OutgoingBody;
use super::stream::Allowance;

/// The connections to one upstream.
pub struct Pool {
    /// As many as processors, and never none.
    shelves: Vec<Mutex<Shelf>>,
    idle_timeout: Duration,
    /// On each shelf.
    idle_max: usize,
}

#[derive(Default)]
struct Shelf {
    idle: Vec<Idle>,
    closed: bool,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

/// A connection that HTTP/1.1 was begun on. Dropped, it is closed.
pub struct Connection {
    pub sender: SendRequest<OutgoingBody>,
    pub allowance: Arc<Allowance>,
    /// Ends the task that drives the connection, and with it the connection.
    pub task: AbortHandle,
}

impl Pool {
    pub fn new(idle_timeout: Duration, idle_max: usize) -> Self {
        let shelves = std::thread::available_parallelism().map_or(1, usize::from).clamp(1, SHELVES_MAX);
        Self { shelves: (0..shelves).map(|_| Mutex::default()).collect(), idle_timeout, idle_max: idle_max.div_ceil(shelves) }
    }

    /// A connection that waits, if there is one that still lives.
    pub fn take(&self) -> Option<Connection> {
        let own = own_shelf();
        (0..self.shelves.len()).find_map(|step| self.take_from(own.wrapping_add(step)))
    }

    fn take_from(&self, index: usize) -> Option<Connection> {
        let mut shelf = self.shelf(index)?;
        loop {
            let idle = shelf.idle.pop()?;
            if idle.since.elapsed() >= self.idle_timeout {
                // Those below have waited longer.
                shelf.idle.clear();
                return None;
            }
            if !idle.connection.sender.is_closed() {
                return Some(idle.connection);
            }
        }
    }

    pub fn put(&self, connection: Connection) {
        let Some(mut shelf) = self.shelf(own_shelf()) else { return };
        if !shelf.closed && shelf.idle.len() < self.idle_max && !connection.sender.is_closed() {
            shelf.idle.push(Idle { connection, since: Instant::now() });
        }
    }

    /// Drops the connections that waited too long or were closed.
    pub fn sweep(&self) {
        for shelf in &self.shelves {
            let live = |idle: &Idle| idle.since.elapsed() < self.idle_timeout && !idle.connection.sender.is_closed();
            lock(shelf).idle.retain(live);
        }
    }

    /// Drops all that wait, and lets none wait any more.
    pub fn close(&self) {
        for shelf in &self.shelves {
            let mut shelf = lock(shelf);
            shelf.closed = true;
            shelf.idle.clear();
        }
    }

    pub fn idle(&self) -> usize {
        self.shelves.iter().map(|shelf| lock(shelf).idle.len()).sum()
    }

    fn shelf(&self, index: usize) -> Option<MutexGuard<'_, Shelf>> {
        self.shelves.get(index % self.shelves.len().max(1)).map(lock)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// No code that holds the lock can panic half-way through a change, so a poisoned lock guards a whole shelf.
fn lock(shelf: &Mutex<Shelf>) -> MutexGuard<'_, Shelf> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number of this thread. Threads that ask for upstreams are the runtime's workers, so that the numbers are spread.
fn own_shelf() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static OWN: Cell<Option<usize>> = const { Cell::new(None) });
    OWN.with(|own| {
        own.get().unwrap_or_else(|| {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            own.set(Some(number));
            number
        })
    })
}

/// More processors than this share shelves.
const SHELVES_MAX: usize = 16;
