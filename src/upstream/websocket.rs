//! WebSockets: the handshake is checked, then bytes pass both ways until one side ends, nothing moves for too long, or the
//! session's end cuts it.
//!
//! Nothing that a client sends behind its handshake reaches the upstream before the upstream's 101 was checked, and a
//! connection that was upgraded never serves HTTP again.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Version;
use http::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use kernel::Failure;
use kernel::event::ExchangeOutcome;
use kernel::policy::Reason;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::answer::AnswerFault;
use super::backend::Lease;
use super::outgoing::Progress;
use super::returning::Ending;
use crate::entropy;

/// The handshake as the upstream was asked: the client's, or, for a client that asked over HTTP/2 and has no key, ours.
pub fn key(client: Version) -> Result<Option<HeaderValue>, Failure> {
    if client != Version::HTTP_2 {
        return Ok(None);
    }
    let random: [u8; 16] = entropy::bytes()?;
    HeaderValue::from_str(&STANDARD.encode(random)).map(Some).map_err(|_| Failure::Bug("base64 is not a field value"))
}

/// Checks a 101 against the handshake it answers (RFC 6455 §4.1). `own_key` is the key that was sent instead of the client's.
pub fn check(asked: &HeaderMap, own_key: Option<&HeaderValue>, answer: &HeaderMap) -> Result<(), AnswerFault> {
    let upgraded = only(answer, UPGRADE).is_some_and(|value| value.eq_ignore_ascii_case("websocket"));
    if !upgraded || !list(answer, CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade")) {
        return Err("it switches to no WebSocket");
    }
    let key = match own_key {
        Some(key) => key.to_str().ok(),
        None => only(asked, SEC_WEBSOCKET_KEY),
    };
    let key = key.ok_or("there was no key to accept")?;
    if only(answer, SEC_WEBSOCKET_ACCEPT) != Some(&accept(key)) {
        return Err("it does not accept this WebSocket handshake");
    }
    check_choices(asked, answer)
}

/// Checks that only what was offered is chosen, which is all that there is to an answer over HTTP/2 (RFC 8441 §5).
pub fn check_choices(asked: &HeaderMap, answer: &HeaderMap) -> Result<(), AnswerFault> {
    if answer.contains_key(SEC_WEBSOCKET_PROTOCOL) {
        let chosen = only(answer, SEC_WEBSOCKET_PROTOCOL).ok_or("it chooses more than one subprotocol")?;
        if !list(asked, SEC_WEBSOCKET_PROTOCOL).any(|offered| offered == chosen) {
            return Err("it chooses a subprotocol that was not offered");
        }
    }
    let offered: Vec<_> = list(asked, SEC_WEBSOCKET_EXTENSIONS).map(extension).collect();
    if !list(answer, SEC_WEBSOCKET_EXTENSIONS).all(|chosen| offered.contains(&extension(chosen))) {
        return Err("it chooses an extension that was not offered");
    }
    Ok(())
}

/// The field by which a client over HTTP/1.1 is told that its handshake is accepted.
pub fn acceptance(asked: &HeaderMap) -> Option<HeaderValue> {
    HeaderValue::from_str(&accept(only(asked, SEC_WEBSOCKET_KEY)?)).ok()
}

/// What a server proves with that it read the handshake (RFC 6455 §4.2.2). SHA-1 is the protocol's; nothing rests on it.
fn accept(key: &str) -> String {
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes()))
}

fn only(fields: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = fields.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

fn list(fields: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let texts = fields.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(str::trim).filter(|member| !member.is_empty())
}

fn extension(member: &str) -> &str {
    member.split(';').next().unwrap_or(member).trim()
}

/// A WebSocket whose handshake both sides have agreed on.
pub struct Splice {
    pub client: OnUpgrade,
    pub upstream: OnUpgrade,
    /// Kept so that the exchange counts as outstanding, and the connection closes with it.
    pub lease: Lease,
    pub ending: Ending,
    pub cut: CancellationToken,
    pub idle_timeout: Option<Duration>,
}

impl Splice {
    /// Passes bytes until the end, then reports it.
    pub async fn run(mut self) {
        let both = timeout(UPGRADE_TIMEOUT, async { tokio::try_join!(self.client, self.upstream) }).await;
        let Ok(Ok((client, upstream))) = both else {
            return;
        };
        let meter = Arc::new(Meter::new(Arc::clone(&self.ending.progress)));
        let mut client = Metered { io: TokioIo::new(client), side: Side::Client, meter: Arc::clone(&meter) };
        let mut upstream = Metered { io: TokioIo::new(upstream), side: Side::Upstream, meter: Arc::clone(&meter) };
        // Biased: a cut wins over bytes that are ready.
        let outcome = tokio::select! {
            biased;
            // The session ended or policy changed.
            () = self.cut.cancelled() => ExchangeOutcome::Cut,
            // Nothing moved for too long.
            () = meter.idle(self.idle_timeout) => ExchangeOutcome::Cut,
            // Both sides ended, or one broke.
            ended = tokio::io::copy_bidirectional(&mut client, &mut upstream) => meter.outcome(&ended),
        };
        if outcome == ExchangeOutcome::Cut {
            // Best effort: inside a frame that was cut these bytes mean nothing, and the end of the connection follows anyway.
            let _ = timeout(CLOSE_TIMEOUT, say_goodbye(&mut client)).await;
        }
        self.ending.outcome = outcome;
        self.ending.failure = (outcome == ExchangeOutcome::UpstreamFailed).then_some(Reason::UpstreamAnswerInvalid);
        self.ending.bytes_in = meter.from_client.load(Ordering::Relaxed);
        self.ending.bytes_out = meter.to_client.load(Ordering::Relaxed);
        drop(self.lease);
    }
}

async fn say_goodbye(client: &mut Metered) -> io::Result<()> {
    client.write_all(&CLOSE_FRAME).await?;
    client.shutdown().await
}

/// What moves over a splice.
struct Meter {
    progress: Arc<Progress>,
    started: Instant,
    from_client: AtomicU64,
    to_client: AtomicU64,
    /// Milliseconds from `started` to the last byte in either direction.
    last_moved: AtomicU64,
    half_closed: AtomicBool,
    upstream_broke: AtomicBool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Upstream,
}

struct Metered {
    io: TokioIo<Upgraded>,
    side: Side,
    meter: Arc<Meter>,
}

impl Meter {
    fn new(progress: Arc<Progress>) -> Self {
        Self {
            progress,
            started: Instant::now(),
            from_client: AtomicU64::new(0),
            to_client: AtomicU64::new(0),
            last_moved: AtomicU64::new(0),
            half_closed: AtomicBool::new(false),
            upstream_broke: AtomicBool::new(false),
        }
    }

    fn moved(&self) {
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_moved.store(millis, Ordering::Relaxed);
    }

    /// Returns when nothing has moved for `limit`, or, once one side has ended, for [`HALF_CLOSED_TIMEOUT`].
    async fn idle(&self, limit: Option<Duration>) {
        loop {
            let limit = match limit {
                _ if self.half_closed.load(Ordering::Relaxed) => Some(HALF_CLOSED_TIMEOUT.min(limit.unwrap_or(Duration::MAX))),
                limit => limit,
            };
            let quiet_since = self.started + Duration::from_millis(self.last_moved.load(Ordering::Relaxed));
            let quiet = quiet_since.elapsed();
            let left = match limit {
                Some(limit) if quiet >= limit => return,
                Some(limit) => limit.saturating_sub(quiet),
                None => HALF_CLOSED_TIMEOUT,
            };
            // Looked at this often, because a side may end while the long limit runs.
            tokio::time::sleep(left.min(HALF_CLOSED_TIMEOUT)).await;
        }
    }

    fn outcome(&self, ended: &io::Result<(u64, u64)>) -> ExchangeOutcome {
        match ended {
            Ok(_) => ExchangeOutcome::Complete,
            Err(_) if self.upstream_broke.load(Ordering::Relaxed) => ExchangeOutcome::UpstreamFailed,
            Err(_) => ExchangeOutcome::ClientLeft,
        }
    }
}

impl Metered {
    /// Remembers which side an error came from; the copy does not say.
    fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if result.is_err() && self.side == Side::Upstream {
            self.meter.upstream_broke.store(true, Ordering::Relaxed);
        }
        result
    }

    fn count(&self, counter: &AtomicU64, bytes: usize) {
        if self.side == Side::Client {
            counter.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        self.meter.moved();
    }
}

impl AsyncRead for Metered {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.io).poll_read(cx, buffer));
        self.note(read)?;
        let bytes = buffer.filled().len().saturating_sub(before);
        if bytes == 0 {
            self.meter.half_closed.store(true, Ordering::Relaxed);
        }
        if self.side == Side::Client {
            self.meter.progress.passed_in(u64::try_from(bytes).unwrap_or(u64::MAX));
        }
        self.count(&self.meter.from_client, bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, bytes));
        let written = self.note(written)?;
        if self.side == Side::Client {
            self.meter.progress.passed_out(u64::try_from(written).unwrap_or(u64::MAX));
        }
        self.count(&self.meter.to_client, written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.io).poll_flush(cx));
        Poll::Ready(self.note(flushed))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = ready!(Pin::new(&mut self.io).poll_shutdown(cx));
        Poll::Ready(self.note(closed))
    }
}

/// A server's close frame, unmasked, status 1008: policy (RFC 6455 §7.4.1).
pub const CLOSE_FRAME: [u8; 4] = [0x88, 0x02, 0x03, 0xf0];

/// From the 101 to bare bytes on both connections. Nothing but our own two connections takes part.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);

/// For the close frame of a cut: the connection ends within a second even if the client does not read.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// How long one side may go on after the other has ended. A WebSocket closes by messages, so nothing is left to say.
const HALF_CLOSED_TIMEOUT: Duration = Duration::from_secs(15);
