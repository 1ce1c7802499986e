//! A stream that can be cut from outside: for connections that stand on a client's certificate, upgraded or not.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::tls::Clients;

/// Fails both ways once it was cut.
#[derive(Debug)]
pub(super) struct Cuttable<S> {
    io: S,
    cut: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl<S> Cuttable<S> {
    pub const fn whole(io: S) -> Self {
        Self { io, cut: None }
    }

    pub fn until(io: S, cut: CancellationToken) -> Self {
        Self { io, cut: Some(Box::pin(cut.cancelled_owned())) }
    }

    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(cut) = &mut self.cut else { return Ok(()) };
        match cut.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the connection was cut")),
            Poll::Pending => Ok(()),
        }
    }
}

/// Cuts a connection when its client's chain is accepted no more: by a change of who issues or of what was revoked, at once; by
/// time (the certificate's or the list's), within [`RECHECK`]. Returns whether it did before `closed`.
pub(super) async fn watch_chain(
    chain: Vec<CertificateDer<'static>>,
    mut clients: watch::Receiver<Option<Arc<Clients>>>,
    cut: CancellationToken,
    closed: CancellationToken,
) -> Outcome {
    let mut may_change = true;
    loop {
        let accepted = clients.borrow_and_update().as_ref().is_some_and(|clients| clients.accepts(&chain));
        if !accepted {
            cut.cancel();
            return Outcome::Cut;
        }
        tokio::select! {
            // The connection ended by itself.
            () = closed.cancelled() => return Outcome::Closed,
            // Another check is in force; when none can come any more, the listener is gone and time alone counts.
            changed = clients.changed(), if may_change => may_change = changed.is_ok(),
            // Time passed.
            () = tokio::time::sleep(RECHECK) => {}
        }
    }
}

/// How watching a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Cut,
    Closed,
}

impl<S: AsyncRead + Unpin> AsyncRead for Cuttable<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Cuttable<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

/// How long a certificate, or a list of revoked ones, may be out of its time before its connections are cut.
const RECHECK: Duration = Duration::from_secs(30);
