//! A connection to an upstream, plain or TLS, that counts what it receives.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

use super::heads::Heads;
use super::streams::STREAMS_MAX;

/// What an upstream may still send before the head of its answer must be whole. It tells a connection that has been silent
/// since the request from one that has answered, and it ends a flood of interim answers (SM-18).
#[derive(Debug)]
pub struct Allowance {
    bytes: AtomicU64,
    /// Interim answers. Over HTTP/2 those of all exchanges, each with the head of the answer itself.
    heads: AtomicI64,
}

pub enum Transport {
    Plain(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

pub struct Stream {
    pub transport: Transport,
    pub allowance: Arc<Allowance>,
    /// Over HTTP/2 alone.
    pub heads: Option<Heads>,
}

impl Allowance {
    pub const fn new() -> Self {
        Self { bytes: AtomicU64::new(HEAD_BYTES_MAX), heads: AtomicI64::new(0) }
    }

    /// A request is about to be sent over HTTP/1.1.
    pub fn begin(&self) {
        self.bytes.store(HEAD_BYTES_MAX, Ordering::Release);
        self.heads.store(INTERIM_MAX, Ordering::Release);
    }

    /// A request is about to be sent over HTTP/2. What others did not use is left, up to what all streams at one time may need: whose
    /// head comes is not to be seen in a frame.
    pub fn begin_stream(&self) {
        let more = |left: i64| Some(left.saturating_add(INTERIM_MAX + 1).min(HEADS_MAX));
        let _always_some = self.heads.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
    }

    /// The head has come; what follows is body, which is unbounded.
    pub fn lift(&self) {
        self.bytes.store(u64::MAX, Ordering::Release);
    }

    /// Whether not one byte has come since the request.
    pub fn is_untouched(&self) -> bool {
        self.bytes.load(Ordering::Acquire) == HEAD_BYTES_MAX
    }

    /// So many heads came.
    pub fn spend_heads(&self, count: u32) {
        if count > 0 {
            self.heads.fetch_sub(i64::from(count), Ordering::AcqRel);
        }
    }

    /// Whether there were more interim answers than anybody has a use for.
    pub fn is_flooded(&self) -> bool {
        self.heads.load(Ordering::Acquire) < 0
    }

    /// A body's bytes leave an allowance that was lifted as good as infinite: u64::MAX bytes are not read in a lifetime.
    fn spend(&self, bytes: usize) -> io::Result<()> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let spent = self.bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(bytes));
        spent.map(|_| ()).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the head of the answer does not end"))
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Transport::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        })?;
        let stream = &mut *self;
        if let Some(heads) = &mut stream.heads {
            stream.allowance.spend_heads(heads.count(buffer.filled().get(before..).unwrap_or_default()));
        }
        if stream.allowance.is_flooded() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, FLOODED)));
        }
        Poll::Ready(stream.allowance.spend(buffer.filled().len().saturating_sub(before)))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Transport::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Transport::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Transport::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Transport::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Unix(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

/// Most bytes read between a request and the end of its answer's head, interim answers included. More than one read buffer
/// and one piece of body in flight (`BUFFER_BYTES_MAX` each), which may be read before the head was looked at.
const HEAD_BYTES_MAX: u64 = 1_048_576;

/// Interim answers to one request. One that reports progress (102) sends them seconds apart, within the time for the first byte.
const INTERIM_MAX: i64 = 32;

/// For as many streams as a connection has at one time.
const HEADS_MAX: i64 = (INTERIM_MAX + 1) * STREAMS_MAX as i64;

/// Said of the answer.
pub const FLOODED: &str = "more than 32 interim answers to a request";

/// Read and write buffer of one connection. hyper grows into it as it is needed; a head must fit.
pub const BUFFER_BYTES_MAX: usize = 131_072;
