//! Deadlines on reading and writing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Runs from the first poll after it was disarmed. The timer is made once and used again.
#[derive(Debug, Default)]
pub(super) struct Deadline {
    sleep: Option<Pin<Box<Sleep>>>,
    armed: Armed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Armed {
    #[default]
    No,
    Yes,
}

impl Deadline {
    pub fn poll(&mut self, cx: &mut Context<'_>, span: Duration) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(span)));
        if self.armed == Armed::No {
            self.armed = Armed::Yes;
            sleep.as_mut().reset(Instant::now() + span);
        }
        sleep.as_mut().poll(cx)
    }

    pub fn disarm(&mut self) {
        self.armed = Armed::No;
    }
}

/// A stream that fails when the other side takes nothing of what is written for too long. It also keeps what must live
/// as long as the connection, upgraded or not.
#[derive(Debug)]
pub(super) struct Timed<S, K> {
    io: S,
    span: Duration,
    deadline: Deadline,
    _kept: K,
}

impl<S, K> Timed<S, K> {
    pub fn new(io: S, span: Duration, kept: K) -> Self {
        Self { io, span, deadline: Deadline::default(), _kept: kept }
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match outcome {
            Poll::Ready(result) => {
                self.deadline.disarm();
                Poll::Ready(result)
            }
            Poll::Pending => self.deadline.poll(cx, self.span).map(|()| Err(io::ErrorKind::TimedOut.into())),
        }
    }
}

impl<S: AsyncRead + Unpin, K: Unpin> AsyncRead for Timed<S, K> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin, K: Unpin> AsyncWrite for Timed<S, K> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.io).poll_write(cx, bytes);
        this.watch(cx, outcome)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.io).poll_flush(cx);
        this.watch(cx, outcome)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.io).poll_shutdown(cx);
        this.watch(cx, outcome)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.io).poll_write_vectored(cx, parts);
        this.watch(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
