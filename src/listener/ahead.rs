//! Reads ahead of TLS where a client sends much.
//!
//! The TLS library asks for four KiB at a time, which is a call to the system for each, five for a full record. A connection whose
//! reads come back full is read in larger pieces; one that is quiet keeps nothing for it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A socket that is read ahead of who asks.
#[derive(Debug)]
pub(super) struct Ahead<S> {
    io: S,
    /// What was read and not asked for yet.
    held: BytesMut,
    pace: Pace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// What came last was less than there was room for.
    Quiet,
    Bulk,
}

impl<S> Ahead<S> {
    pub fn new(io: S) -> Self {
        Self { io, held: BytesMut::new(), pace: Pace::Quiet }
    }

    fn hand_on(&mut self, buffer: &mut ReadBuf<'_>) {
        let bytes = self.held.len().min(buffer.remaining());
        buffer.put_slice(self.held.get(..bytes).unwrap_or_default());
        self.held.advance(bytes);
        if self.held.is_empty() && self.pace == Pace::Quiet {
            self.held = BytesMut::new();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Ahead<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.held.is_empty() && this.pace == Pace::Quiet {
            let room = buffer.remaining();
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.io).poll_read(cx, buffer))?;
            if room >= FULL_BYTES_MIN && buffer.filled().len() - before == room {
                this.pace = Pace::Bulk;
            }
            return Poll::Ready(Ok(()));
        }
        if this.held.is_empty() {
            this.held.reserve(AHEAD_BYTES);
            let Poll::Ready(read) = tokio_util::io::poll_read_buf(Pin::new(&mut this.io), cx, &mut this.held) else {
                // It may be long until there is more.
                (this.held, this.pace) = (BytesMut::new(), Pace::Quiet);
                return Poll::Pending;
            };
            if read? < FULL_BYTES_MIN {
                this.pace = Pace::Quiet;
            }
        }
        this.hand_on(buffer);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Ahead<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

/// Two full records, each with what TLS puts around it.
const AHEAD_BYTES: usize = 33 * 1024;

/// What is asked for at one time while a record is not whole.
const FULL_BYTES_MIN: usize = 4 * 1024;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    fn pattern(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|at| u8::try_from(at % 251).unwrap()).collect()
    }

    #[tokio::test]
    async fn everything_arrives_in_order_however_it_is_asked_for() {
        for (sent, asked) in [(1, 4096), (4096, 4096), (4097, 4096), (200_000, 4096), (200_000, 100), (70_000, 65_536), (99_999, 5)] {
            let (mut client, server) = duplex(50_000);
            let text = pattern(sent);
            let expected = text.clone();
            let sending = tokio::spawn(async move { client.write_all(&text).await.unwrap() });
            let mut ahead = Ahead::new(server);
            let (mut got, mut space) = (Vec::new(), vec![0; asked]);
            loop {
                let count = ahead.read(&mut space).await.unwrap();
                if count == 0 {
                    break;
                }
                got.extend_from_slice(&space[..count]);
            }
            sending.await.unwrap();
            assert_eq!(got, expected, "{sent} bytes asked for by {asked}");
        }
    }

    #[tokio::test]
    async fn a_connection_that_has_become_quiet_keeps_nothing() {
        let (mut client, server) = duplex(200_000);
        let mut ahead = Ahead::new(server);
        let mut space = vec![0; 4096];
        // One read that comes back full, and two ahead.
        let sent = pattern(4096 + AHEAD_BYTES + 2 * FULL_BYTES_MIN);
        client.write_all(&sent).await.unwrap();
        for _ in 0..3 {
            ahead.read_exact(&mut space).await.unwrap();
        }
        assert_eq!((ahead.pace, ahead.held.is_empty()), (Pace::Bulk, false));
        let mut rest = vec![0; sent.len() - 3 * 4096];
        ahead.read_exact(&mut rest).await.unwrap();
        assert_eq!((ahead.pace, rest.as_slice()), (Pace::Bulk, &sent[3 * 4096..]));
        assert!(nothing_comes(&mut ahead));
        assert_eq!((ahead.pace, ahead.held.capacity()), (Pace::Quiet, 0));
        client.write_all(b"again").await.unwrap();
        assert_eq!(ahead.read(&mut space).await.unwrap(), 5);
    }

    fn nothing_comes(ahead: &mut Ahead<tokio::io::DuplexStream>) -> bool {
        let mut space = [0; 64];
        let mut buffer = ReadBuf::new(&mut space);
        Pin::new(ahead).poll_read(&mut Context::from_waker(std::task::Waker::noop()), &mut buffer).is_pending()
    }
}
