//! HTTP/2 connections to one upstream, each shared by the exchanges that run on it at one time.
//!
//! Exchanges are kept apart by their streams, so that one which ends badly costs its stream and not the connection. A
//! connection that said GOAWAY takes no new stream; those that it has go on to their end.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::client::conn::http2::SendRequest;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::outgoing::OutgoingBody;
use super::stream::Allowance;

/// The connections to one upstream.
pub struct Streams {
    connections: Mutex<Connections>,
    /// One makes a connection while the others wait for it, or a burst would make one each.
    making: Semaphore,
    idle_timeout: Duration,
}

#[derive(Default)]
struct Connections {
    open: Vec<Arc<Shared>>,
    closed: bool,
}

/// A connection that HTTP/2 was begun on. It ends with its last exchange, once it takes no new ones.
pub struct Shared {
    pub sender: SendRequest<OutgoingBody>,
    /// Streams that run. Changed under the lock of [`Streams`] when one begins.
    running: AtomicUsize,
    /// How many the upstream allows at one time, as far as it has said.
    pub allowed: Arc<AtomicUsize>,
    pub allowance: Arc<Allowance>,
    born: Instant,
    /// Milliseconds from `born` to the end of the latest exchange.
    last_used: AtomicU64,
}

/// One stream's place on a connection, given back when dropped.
pub struct Seat(Arc<Shared>);

/// Why there is no place.
#[derive(Debug, PartialEq, Eq)]
pub enum NoSeat {
    /// A connection may be made.
    MakeOne,
    /// There are as many connections as there may be, and all are full.
    Full,
}

impl Streams {
    pub fn new(idle_timeout: Duration) -> Self {
        Self { connections: Mutex::default(), making: Semaphore::new(1), idle_timeout }
    }

    /// A place on a connection that lives and has room.
    pub fn take(&self) -> Result<Seat, NoSeat> {
        let mut connections = self.lock();
        connections.open.retain(|shared| !shared.sender.is_closed());
        if let Some(shared) = connections.open.iter().find(|shared| shared.has_room()) {
            return Ok(Seat::new(shared));
        }
        if connections.open.len() < CONNECTIONS_MAX { Err(NoSeat::MakeOne) } else { Err(NoSeat::Full) }
    }

    /// Leave to make a connection. After it was waited for, [`take`](Self::take) is asked again.
    pub async fn may_make(&self) -> Option<SemaphorePermit<'_>> {
        self.making.acquire().await.ok()
    }

    /// Adds a connection that was made, and takes the first place on it.
    pub fn add(&self, sender: SendRequest<OutgoingBody>, allowed: Arc<AtomicUsize>, allowance: Arc<Allowance>) -> Seat {
        let shared = Arc::new(Shared::new(sender, allowed, allowance));
        let mut connections = self.lock();
        // One that is made while the gateway ends serves its one exchange.
        if !connections.closed {
            connections.open.push(Arc::clone(&shared));
        }
        Seat::new(&shared)
    }

    /// Drops the connections that nobody used for long, or that were closed.
    pub fn sweep(&self) {
        self.lock().open.retain(|shared| !shared.sender.is_closed() && !shared.is_stale(self.idle_timeout));
    }

    /// Lets no exchange begin on the connections there are. Those that run go on.
    pub fn close(&self) {
        let mut connections = self.lock();
        connections.closed = true;
        connections.open.clear();
    }

    pub fn open(&self) -> usize {
        self.lock().open.len()
    }

    /// No code that holds the lock can panic half-way through a change.
    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn new(sender: SendRequest<OutgoingBody>, allowed: Arc<AtomicUsize>, allowance: Arc<Allowance>) -> Self {
        Self { sender, running: AtomicUsize::new(0), allowed, allowance, born: Instant::now(), last_used: AtomicU64::new(0) }
    }

    fn has_room(&self) -> bool {
        // An upstream that allows none yet may allow some later: one stream waits for it rather than a connection each.
        let allowed = self.allowed.load(Ordering::Relaxed).clamp(1, STREAMS_MAX);
        self.running.load(Ordering::Acquire) < allowed
    }

    fn is_stale(&self, idle_timeout: Duration) -> bool {
        let last_used = self.born + Duration::from_millis(self.last_used.load(Ordering::Relaxed));
        self.running.load(Ordering::Acquire) == 0 && last_used.elapsed() >= idle_timeout
    }
}

impl Seat {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.running.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(shared))
    }

    /// A place on a connection that nobody else gets one on.
    pub fn alone(sender: SendRequest<OutgoingBody>, allowance: Arc<Allowance>) -> Self {
        Self::new(&Arc::new(Shared::new(sender, Arc::default(), allowance)))
    }

    pub fn shared(&self) -> &Shared {
        &self.0
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let now = u64::try_from(self.0.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last_used.store(now, Ordering::Relaxed);
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Streams at one time on a connection, whatever the upstream allows: what RFC 9113 §6.5.2 recommends as the least.
pub const STREAMS_MAX: usize = 100;

/// Connections to one upstream. With 100 streams each there is room for 6,400 exchanges at one time.
const CONNECTIONS_MAX: usize = 64;
