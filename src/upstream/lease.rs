//! A connection for one exchange: one that waits, a place on one that is shared, or one that is made.
//!
//! Nothing of the request is sent here, so that the next of a route's upstreams may be tried.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use kernel::policy::permit::Permit;
use kernel::{Failure, Unreachable};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::Upstreams;
use super::backend::{Backend, Held, Lease, Origin, Work};
use super::balance::Order;
use super::connect::{Purpose, Spoken};
use super::pool::Connection;
use super::settings::Protocol;
use super::stream::{BUFFER_BYTES_MAX, Stream};
use super::streams::{NoSeat, STREAMS_MAX, Seat};
use super::ways::Way;

impl Upstreams {
    /// Finds a connection to one of the route's upstreams.
    pub(super) async fn lease(&self, way: &Way, permit: &Permit) -> Result<Lease, Failure> {
        let purpose = Purpose::of(permit.request().upgrade);
        let mut fault = Failure::Bug("a route has no upstream");
        // With one upstream there is nothing to choose, and no counter that every thread writes.
        let seed = if way.backends.len() > 1 { self.turn.fetch_add(1, Ordering::Relaxed) } else { 0 };
        for backend in Order::new(&way.backends, seed) {
            match self.lease_of(way, backend, purpose).await {
                Ok(lease) => return Ok(lease),
                Err(failure) => fault = failure,
            }
        }
        Err(fault)
    }

    async fn lease_of(&self, way: &Way, backend: &Arc<Backend>, purpose: Purpose) -> Result<Lease, Failure> {
        // An upgraded connection is lost to the pool, so none is taken from it.
        let pooled = if purpose == Purpose::Requests && backend.protocol != Protocol::Http2 { backend.pool.take() } else { None };
        match pooled {
            Some(connection) => Ok(Lease::new(Held::Http1(connection), Work::begin(backend), Origin::Pooled)),
            // Kept apart, because what is seldom done would make every request's task as large as what it needs.
            None => Box::pin(self.fresh(way, backend, purpose)).await,
        }
    }

    /// A place on a shared connection, or a connection that is made now.
    pub(super) async fn fresh(&self, way: &Way, backend: &Arc<Backend>, purpose: Purpose) -> Result<Lease, Failure> {
        match purpose {
            Purpose::Requests if backend.is_shared() => {}
            Purpose::Requests => return self.make(way, backend, purpose).await,
            // One of its own also over HTTP/2, so that nobody waits behind a WebSocket whose client takes nothing.
            Purpose::WebSocket | Purpose::WebSocketOverHttp1 => return self.make(way, backend, backend.purpose_of_websocket()).await,
        }
        if let Some(lease) = seat(backend)? {
            return Ok(lease);
        }
        let limit = way.limits.connect_timeout;
        // Whoever waits here waits for a connection that somebody else makes, and takes a place on it.
        let permit = timeout(limit, backend.streams.may_make()).await;
        let _permit = permit.map_err(|_| timed_out(backend, limit))?.ok_or(Failure::Bug("a semaphore was closed"))?;
        match seat(backend)? {
            Some(lease) => Ok(lease),
            None => self.make(way, backend, purpose).await,
        }
    }

    async fn make(&self, way: &Way, backend: &Arc<Backend>, purpose: Purpose) -> Result<Lease, Failure> {
        let work = Work::begin(backend);
        let made = match self.begin(way, backend, purpose).await {
            Ok(None) => {
                backend.learn_of_websockets(Purpose::WebSocketOverHttp1);
                self.begin(way, backend, Purpose::WebSocketOverHttp1).await
            }
            made => made,
        };
        if made.is_err() && purpose != Purpose::Requests {
            backend.learn_of_websockets(Purpose::WebSocket);
        }
        let held = made?.ok_or(Failure::Bug("a connection over HTTP/1.1 was not begun"))?;
        Ok(Lease::new(held, work, Origin::Fresh))
    }

    /// A new connection; none where it is for a WebSocket, and the upstream speaks HTTP/2 and takes none there.
    async fn begin(&self, way: &Way, backend: &Arc<Backend>, purpose: Purpose) -> Result<Option<Held>, Failure> {
        let limit = way.limits.connect_timeout;
        let unreachable = |why, detail: String| {
            backend.condition.unreachable(way.limits.ejection);
            tracing::warn!(upstream = %backend.name, fault = %detail, "upstream could not be reached");
            Failure::UpstreamUnreachable { why, detail: format!("{}: {detail}", backend.name) }
        };
        let made = self.connector.connect(backend, purpose, limit).await;
        let (stream, spoken) = made.map_err(|fault| unreachable(fault.why(), fault.to_string()))?;
        let begun = async {
            match (spoken, purpose) {
                (Spoken::Http1, _) => self.begin_http1(stream).await.map(Held::Http1).map(Some),
                (Spoken::Http2, Purpose::Requests) => self.begin_http2(stream, backend).await.map(Some),
                (Spoken::Http2, Purpose::WebSocket | Purpose::WebSocketOverHttp1) => self.begin_websocket(stream).await,
            }
        };
        let begun = timeout(limit, begun).await.map_err(|_| timed_out(backend, limit))?;
        let held = begun.map_err(|fault| unreachable(Unreachable::Connection, fault.to_string()))?;
        if purpose == Purpose::Requests {
            backend.learn(spoken);
        }
        Ok(held)
    }

    async fn begin_http1(&self, stream: Stream) -> hyper::Result<Connection> {
        let allowance = Arc::clone(&stream.allowance);
        let mut builder = http1::Builder::new();
        builder.max_buf_size(BUFFER_BYTES_MAX);
        let (sender, driver) = builder.handshake(TokioIo::new(stream)).await?;
        let task = self.tasks.spawn(async move {
            // How it ended is told to whoever holds the exchange; a connection that was idle ends with nobody to tell.
            let _ = driver.with_upgrades().await;
        });
        Ok(Connection { sender, allowance, task: task.abort_handle() })
    }

    async fn begin_http2(&self, stream: Stream, backend: &Backend) -> hyper::Result<Held> {
        let allowance = Arc::clone(&stream.allowance);
        let (sender, driver) = http2_builder(self.executor(), &stream, STREAMS_MAX).handshake(TokioIo::new(stream)).await?;
        let allowed = Arc::new(AtomicUsize::new(STREAMS_MAX));
        let told = Arc::clone(&allowed);
        self.tasks.spawn(async move {
            let mut driver = std::pin::pin!(driver);
            // The upstream's word on how many streams there may be is read whenever the connection moves. How it ended is told
            // to whoever holds an exchange.
            let _ = std::future::poll_fn(|cx| {
                let ended = driver.as_mut().poll(cx);
                told.store(driver.current_max_send_streams(), Ordering::Relaxed);
                ended
            })
            .await;
        });
        Ok(Held::Http2(backend.streams.add(sender, allowed, allowance)))
    }

    /// A connection for one WebSocket (RFC 8441), if the upstream says that it takes any.
    async fn begin_websocket(&self, stream: Stream) -> hyper::Result<Option<Held>> {
        let allowance = Arc::clone(&stream.allowance);
        let moved = Arc::<Notify>::default();
        let executor = Telling { executor: self.executor(), moved: Arc::clone(&moved) };
        // None before the upstream has said how many it takes, which it says with what else it takes.
        let (sender, driver) = http2_builder(executor, &stream, 0).handshake(TokioIo::new(stream)).await?;
        let mut driver = Box::pin(driver);
        while driver.current_max_send_streams() == 0 {
            tokio::select! {
                // The connection ended.
                ended = &mut driver => return ended.map(|()| None),
                // Something came, or went.
                () = moved.notified() => {}
            }
        }
        if !driver.is_extended_connect_protocol_enabled() {
            return Ok(None);
        }
        self.tasks.spawn(async move {
            // How it ended is told to whoever holds the exchange.
            let _ = driver.await;
        });
        Ok(Some(Held::Http2(Seat::alone(sender, allowance))))
    }

    pub(super) fn executor(&self) -> Tracked {
        Tracked(self.tasks.clone())
    }
}

fn http2_builder<E: Clone>(executor: E, stream: &Stream, streams_at_first: usize) -> http2::Builder<E> {
    // The library bounds each head; what the connection as a whole receives is not bounded.
    stream.allowance.lift();
    let mut builder = http2::Builder::new(executor);
    builder
        .timer(TokioTimer::new())
        .initial_max_send_streams(streams_at_first)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEAD_BYTES_MAX)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

fn seat(backend: &Arc<Backend>) -> Result<Option<Lease>, Failure> {
    match backend.streams.take() {
        Ok(seat) => Ok(Some(Lease::new(Held::Http2(seat), Work::begin(backend), Origin::Pooled))),
        Err(NoSeat::MakeOne) => Ok(None),
        Err(NoSeat::Full) => Err(Failure::Overloaded),
    }
}

fn timed_out(backend: &Backend, limit: Duration) -> Failure {
    Failure::UpstreamUnreachable { why: Unreachable::TimedOut, detail: format!("{}: no connection within {limit:?}", backend.name) }
}

/// Runs what the HTTP/2 library starts on the gateway's tracked tasks.
#[derive(Clone)]
pub struct Tracked(TaskTracker);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Tracked {
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

/// The same for the connection of one WebSocket, and tells when one of these tasks moved.
#[derive(Clone)]
struct Telling {
    executor: Tracked,
    moved: Arc<Notify>,
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Telling {
    fn execute(&self, future: F) {
        let moved = Arc::clone(&self.moved);
        self.executor.execute(async move {
            let mut future = std::pin::pin!(future);
            std::future::poll_fn(|cx| {
                let polled = future.as_mut().poll(cx);
                moved.notify_one();
                polled
            })
            .await;
        });
    }
}

/// Bytes that an upstream may send ahead of what the client takes, on one stream and on the connection.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// Of a stream's request body, ahead of what the upstream takes.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// Of one head or trailer section, decoded.
const HEAD_BYTES_MAX: u32 = 128 * 1024;
/// Finds an upstream that vanished under open streams within forty seconds.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
