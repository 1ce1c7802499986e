//! A connection to an upstream, plain or TLS, that counts what it receives.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

/// What an upstream may still send before the head of its answer must be whole. It tells a connection that has been silent
/// since the request from one that has answered, and it ends a flood of interim answers (SM-18).
#[derive(Debug)]
pub struct Allowance(AtomicU64);

pub enum Transport {
    Plain(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

pub struct Stream {
    pub transport: Transport,
    pub allowance: Arc<Allowance>,
}

impl Allowance {
    pub const fn new() -> Self {
        Self(AtomicU64::new(HEAD_BYTES_MAX))
    }

    /// A request is about to be sent.
    pub fn begin(&self) {
        self.0.store(HEAD_BYTES_MAX, Ordering::Release);
    }

    /// The head has come; what follows is body, which is unbounded.
    pub fn lift(&self) {
        self.0.store(u64::MAX, Ordering::Release);
    }

    /// Whether not one byte has come since the request.
    pub fn is_untouched(&self) -> bool {
        self.0.load(Ordering::Acquire) == HEAD_BYTES_MAX
    }

    /// A body's bytes leave an allowance that was lifted as good as infinite: u64::MAX bytes are not read in a lifetime.
    fn spend(&self, bytes: usize) -> io::Result<()> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let spent = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(bytes));
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
        Poll::Ready(self.allowance.spend(buffer.filled().len().saturating_sub(before)))
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

/// Read and write buffer of one connection. hyper grows into it as it is needed; a head must fit.
pub const BUFFER_BYTES_MAX: usize = 131_072;
