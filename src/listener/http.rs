//! HTTP/1.1 and HTTP/2 on a connection, with every bound set by hand: the defaults of libraries are for friends.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use kernel::request::framing::HeadBounds;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, sleep};

use super::answer::Answering;
use super::bed::Bed;
use super::caps::Standing;
use super::connection::{Shared, Stream};
use super::facts::ConnectionFacts;
use super::flow::Flow;
use super::frames::Counted;
use super::gate::{Gate, Woken};
use super::handler::Handler;
use super::junction::Junction;
use super::settings::Deadlines;
use super::streams::Streams;

/// How a parser came to be put away.
enum Parting {
    /// The connection ended.
    End(Result<(), hyper::Error>),
    /// Nothing is asked at the moment; the stream lies in the bed.
    Lull,
}

pub(super) async fn serve_http1<H: Handler>(
    shared: &Shared<H>,
    facts: Arc<ConnectionFacts>,
    stream: Stream,
    standing: Arc<Standing>,
) -> Result<(), hyper::Error> {
    let bounds = shared.settings.bounds;
    let head = HeadBounds { bytes: bounds.head_bytes, fields: bounds.head_fields, ..HeadBounds::default() };
    let answering = answering(shared, facts, standing);
    let (junction, bed) = (Arc::clone(&answering.junction), Bed::new());
    let gate = |stream| Gate::new(stream, head, shared.settings.deadlines, Arc::clone(&junction), bed.clone(), shared.tasks.clone());
    let mut awake = gate(stream);
    loop {
        if let Parting::End(ended) = converse(shared, &answering, awake, &bed).await {
            return ended;
        }
        let Some(stream) = bed.leave() else { return Ok(()) };
        shared.handler.rested();
        awake = gate(stream);
        tokio::select! {
            biased;
            woken = awake.woken() => if woken == Woken::ByTheEnd { return Ok(()) },
            // Whoever is about to ask is told that the connection ends.
            () = shared.shutdown.cancelled() => {}
            () = sleep(shared.settings.deadlines.idle) => return Ok(()),
        }
    }
}

/// Parses and answers until the connection ends, or nothing has been asked for a while.
async fn converse<H: Handler>(shared: &Shared<H>, answering: &Arc<Answering<H>>, gate: Gate<Stream>, bed: &Bed<Stream>) -> Parting {
    let (bounds, deadlines) = (shared.settings.bounds, shared.settings.deadlines);
    let (junction, closing) = (Arc::clone(&answering.junction), Arc::clone(&answering.closing));
    let answering = Arc::clone(answering);
    let service = service_fn(move |request| Arc::clone(&answering).answer(request));
    // On the heap, so that it is gone when it is put away.
    let mut connection = Box::pin(
        http1::Builder::new()
            .timer(TokioTimer::new())
            // The gate ends heads that take too long; this ends connections that are idle.
            .header_read_timeout(deadlines.idle)
            .keep_alive(true)
            .half_close(false)
            // A head that passed the gate must fit, or it would be answered unrecorded.
            .max_buf_size(bounds.head_bytes.max(HTTP1_BUFFER_MIN) * 2)
            .max_headers(bounds.head_fields + 1)
            .serve_connection(TokioIo::new(gate), service)
            .with_upgrades(),
    );
    let (mut drain, mut linger) = (pin!(None), pin!(None));
    let mut look = interval_at(Instant::now() + deadlines.look, deadlines.look);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // Deadlines first, so that a connection that is always busy does not outlive them; then the connection, so that whoever
            // looks after it finds it at rest or not.
            biased;
            // The open request is answered with `Connection: close`, or the next one: it may be on its way already.
            () = shared.shutdown.cancelled(), if drain.is_none() => {
                drain.set(Some(sleep(deadlines.drain)));
                linger.set(Some(sleep(deadlines.linger())));
                closing.store(true, Ordering::Release);
            }
            // None came: an idle connection ends.
            () = until(linger.as_mut().as_pin_mut()) => {
                linger.set(None);
                connection.as_mut().graceful_shutdown();
            }
            // What was not done by now is given up.
            () = until(drain.as_mut().as_pin_mut()) => return Parting::End(Ok(())),
            // The connection ended by itself.
            ended = connection.as_mut() => return Parting::End(ended),
            // An idle timeout that is short is the parser's to keep.
            _ = look.tick(), if drain.is_none() && deadlines.idle > 2 * deadlines.look => {
                if junction.has_rested() {
                    bed.make();
                    return Parting::Lull;
                }
            }
        }
    }
}

pub(super) async fn serve_http2<H: Handler>(
    shared: &Shared<H>,
    facts: Arc<ConnectionFacts>,
    stream: Stream,
    standing: Arc<Standing>,
) -> Result<(), hyper::Error> {
    let bounds = shared.settings.bounds;
    let answering = answering(shared, facts, standing);
    let (junction, flow) = (Arc::clone(&answering.junction), Arc::clone(&answering.flow));
    let service = service_fn(move |request| Arc::clone(&answering).answer(request));
    let stream = Counted::new(stream, flow.allowance());
    let streams = Streams { flow: Arc::clone(&flow), span: shared.settings.deadlines.write };
    let mut connection = pin!(
        http2::Builder::new(streams)
            .timer(TokioTimer::new())
            .max_concurrent_streams(bounds.streams)
            // WebSockets (RFC 8441 §3).
            .enable_connect_protocol()
            // Decoded, with 32 bytes a field on top (RFC 9113 §6.5.2).
            .max_header_list_size(u32::try_from(bounds.head_bytes).unwrap_or(u32::MAX))
            .header_table_size(HPACK_TABLE_BYTES)
            // Rapid reset and its kin: streams that end before they are served are counted (CVE-2023-44487, CVE-2025-8671).
            .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
            .max_local_error_reset_streams(LOCAL_ERROR_STREAMS_MAX)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(SEND_BUFFER_BYTES)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service)
    );
    let (mut drain, mut linger) = (pin!(None), pin!(None));
    let mut idle = Idle::new(Arc::clone(&junction), flow, shared.settings.deadlines);
    loop {
        tokio::select! {
            // The connection ended by itself.
            ended = connection.as_mut() => return ended,
            // GOAWAY; open streams are answered. A connection that was opened just now gets to ask first.
            () = shared.shutdown.cancelled(), if drain.is_none() => {
                drain.set(Some(sleep(shared.settings.deadlines.drain)));
                if junction.was_used() {
                    connection.as_mut().graceful_shutdown();
                } else {
                    linger.set(Some(sleep(shared.settings.deadlines.linger())));
                }
            }
            // It had its time to ask.
            () = until(linger.as_mut().as_pin_mut()) => {
                linger.set(None);
                connection.as_mut().graceful_shutdown();
            }
            // Nothing was asked for long, or nothing taken of what was.
            () = idle.passed(), if drain.is_none() => {
                drain.set(Some(sleep(shared.settings.deadlines.drain)));
                connection.as_mut().graceful_shutdown();
            }
            // What was not done by now is given up.
            () = until(drain.as_mut().as_pin_mut()) => return Ok(()),
        }
    }
}

fn answering<H: Handler>(shared: &Shared<H>, connection: Arc<ConnectionFacts>, standing: Arc<Standing>) -> Arc<Answering<H>> {
    Arc::new(Answering {
        handler: shared.handler.clone(),
        connection,
        junction: Arc::new(Junction::default()),
        flow: Arc::new(Flow::new()),
        closing: Arc::default(),
        head_fields_max: shared.settings.bounds.head_fields,
        body_part: shared.settings.deadlines.body_part,
        standing,
    })
}

/// The end of a timer that may not run.
async fn until<F: Future<Output = ()>>(timer: Option<Pin<&mut F>>) {
    match timer {
        Some(timer) => timer.await,
        None => std::future::pending().await,
    }
}

/// Watches for a connection without open requests, or whose client takes nothing of its answers. Looks now and then, because what matters is that it ends some time.
struct Idle {
    junction: Arc<Junction>,
    flow: Arc<Flow>,
    deadlines: Deadlines,
    since: Option<Instant>,
    ticks: tokio::time::Interval,
}

impl Idle {
    fn new(junction: Arc<Junction>, flow: Arc<Flow>, deadlines: Deadlines) -> Self {
        let shortest = deadlines.head.min(deadlines.idle).min(deadlines.write);
        let mut ticks = interval((shortest / 4).max(Duration::from_millis(10)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { junction, flow, deadlines, since: None, ticks }
    }

    async fn passed(&mut self) {
        loop {
            let now = self.ticks.tick().await;
            if self.flow.is_stalled(self.deadlines.write) {
                return;
            }
            if !self.junction.is_idle() {
                self.since = None;
                continue;
            }
            let since = *self.since.get_or_insert(now);
            // Whoever shook hands and asks for nothing is not waited for as long as somebody between two pages.
            let span = if self.junction.was_used() { self.deadlines.idle } else { self.deadlines.head };
            if now.duration_since(since) >= span {
                return;
            }
        }
    }
}

/// What the parser insists on.
const HTTP1_BUFFER_MIN: usize = 8 * 1024;

const HPACK_TABLE_BYTES: u32 = 4 * 1024;
const RESET_STREAMS_MAX: usize = 20;
const LOCAL_ERROR_STREAMS_MAX: usize = 128;

/// Bytes that a client may send ahead of what is read, and that an answer may be ahead of what is taken. The latter is kept by each of a
/// connection's streams whose client takes nothing; the socket's own buffer keeps the line busy.
const STREAM_WINDOW_BYTES: u32 = 128 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
const SEND_BUFFER_BYTES: usize = 16 * 1024;

/// Finds a peer that vanished within forty seconds.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
