//! The connection as the HTTP/1.1 parser sees it: only bytes that the gatekeeper let pass.
//!
//! A head that has no reading never reaches the parser. In its place comes a stand-in, so that the refusal is answered and
//! recorded on the one path that every request takes; behind the stand-in nothing is read any more.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use kernel::request::framing::{FramingFault, Gatekeeper, HeadBounds, Intent, Place, Step, target_of};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_util::task::TaskTracker;

use super::bed::Bed;
use super::deadline::Deadline;
use super::facts::BodyFault;
use super::junction::{HeadFacts, Junction, Verdict};
use super::settings::Deadlines;

/// A stream whose reading side shows requests with one reading only.
#[derive(Debug)]
pub(super) struct Gate<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> {
    /// Present until the gate is dropped.
    io: Option<S>,
    keeper: Gatekeeper,
    junction: Arc<Junction>,
    /// What was received and has not passed.
    held: BytesMut,
    /// So many bytes at the front of `held` may pass.
    passing: usize,
    /// Of the request whose body passes now.
    body_fault: BodyFault,
    ended: Ended,
    deadlines: Deadlines,
    deadline: Deadline,
    heads_seen: Seen,
    written: Written,
    shut: Shut,
    bed: Bed<S>,
    tasks: TaskTracker,
}

/// What has become of what the parser wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    Flushed,
    Held,
}

/// Whether the parser said that the connection ends here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shut {
    No,
    ByParser,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    No,
    /// The client sends nothing more, or has taken too long.
    EndOfFile,
    /// The stand-in was handed on.
    Faulted,
}

/// Why a connection is looked after again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    ByBytes,
    /// The client sends nothing more, or has taken too long.
    ByTheEnd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    None,
    Some,
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Gate<S> {
    pub fn new(io: S, bounds: HeadBounds, deadlines: Deadlines, junction: Arc<Junction>, bed: Bed<S>, tasks: TaskTracker) -> Self {
        Self {
            // One that comes after another on its connection is not the first to wait.
            heads_seen: if junction.was_used() { Seen::Some } else { Seen::None },
            written: Written::Flushed,
            shut: Shut::No,
            bed,
            io: Some(io),
            keeper: Gatekeeper::new(bounds),
            junction,
            held: BytesMut::new(),
            passing: 0,
            body_fault: BodyFault::default(),
            ended: Ended::No,
            deadlines,
            deadline: Deadline::default(),
            tasks,
        }
    }

    fn io(&mut self) -> io::Result<Pin<&mut S>> {
        self.io.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }

    fn hand_on(&mut self, buffer: &mut ReadBuf<'_>) {
        let bytes = self.passing.min(buffer.remaining());
        if let Some(front) = self.held.get(..bytes) {
            buffer.put_slice(front);
            self.held.advance(bytes);
            self.passing -= bytes;
        }
        if self.held.is_empty() {
            // An idle connection holds no buffer.
            self.held = BytesMut::new();
        }
    }

    fn admit_head(&mut self, bytes: usize, intent: Intent) {
        self.heads_seen = Seen::Some;
        self.deadline.disarm();
        self.passing = bytes;
        self.push_head(None, intent);
    }

    fn push_head(&mut self, fault: Option<FramingFault>, intent: Intent) {
        self.body_fault = BodyFault::default();
        self.junction.push(HeadFacts {
            raw_target: target_of(&self.held).map(escape),
            fault,
            body_fault: self.body_fault.clone(),
            intent,
            open: self.junction.open_request(),
        });
    }

    fn stand_in(&mut self, fault: FramingFault) {
        self.push_head(Some(fault), Intent::Stay);
        self.held = BytesMut::from(STAND_IN);
        self.passing = STAND_IN.len();
        self.ended = Ended::Faulted;
    }

    /// Reads from the client into `held`. Ready when there is more, or when nothing more will come.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // On the stack, because most of the time nothing has come, and an idle connection holds no buffer.
        let mut space = [MaybeUninit::uninit(); READ_BYTES];
        let mut part = ReadBuf::uninit(&mut space);
        let Some(io) = self.io.as_mut() else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        match Pin::new(io).poll_read(cx, &mut part) {
            Poll::Ready(Ok(())) => {
                let part = part.filled();
                self.held.extend_from_slice(part);
                self.came(part.len());
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let rests = self.held.is_empty() && self.keeper.place() == Place::Head && self.written == Written::Flushed;
                self.junction.tell_rest(rests);
                self.poll_too_late(cx)
            }
        }
    }

    /// Reads a part of a body to where the parser wants it, so that it is copied once less. Ready when something may pass, when
    /// there is more in `held`, or when nothing more will come.
    fn poll_body(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.io()?.poll_read(cx, buffer)?.is_pending() {
            return self.poll_too_late(cx);
        }
        let part = buffer.filled().get(before..).unwrap_or_default();
        let came = part.len();
        self.came(came);
        let passing = match self.keeper.advance(part) {
            _ if came == 0 => 0,
            Step::Body { bytes } => bytes.min(came),
            // Told again when it is asked with what is held.
            Step::NeedMore | Step::Head { .. } | Step::Tunnel | Step::Paused | Step::Ended | Step::Fault(_) => 0,
        };
        self.held.extend_from_slice(part.get(passing..).unwrap_or_default());
        buffer.set_filled(before + passing);
        Poll::Ready(Ok(()))
    }

    /// So many bytes were read; none means that the client sends nothing more.
    fn came(&mut self, bytes: usize) {
        self.junction.tell_rest(false);
        if bytes == 0 {
            self.ended = Ended::EndOfFile;
        } else if self.keeper.place() == Place::Body {
            self.deadline.disarm();
        }
    }

    /// Nothing came, and there is a time for it.
    fn poll_too_late(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_deadline(cx));
        // A head that does not end is no request: nobody waits for an answer that could be told apart from silence.
        self.ended = Ended::EndOfFile;
        match self.keeper.place() {
            Place::Body => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Place::Head | Place::Tunnel | Place::Nowhere => Poll::Ready(Ok(())),
        }
    }

    /// Waits for the first bytes of a head, with no parser beside. Whether any came, or any will.
    pub async fn woken(&mut self) -> Woken {
        let filled = poll_fn(|cx| self.poll_fill(cx)).await;
        if filled.is_ok() && self.ended == Ended::No { Woken::ByBytes } else { Woken::ByTheEnd }
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let begun = !self.held.is_empty() || self.heads_seen == Seen::None;
        let span = match self.keeper.place() {
            Place::Body => self.deadlines.body_part,
            // While an answer is on its way, a head that was begun may wait.
            Place::Head if begun && self.junction.is_idle() => self.deadlines.head,
            // Idle connections are the parser's to end.
            Place::Head | Place::Tunnel | Place::Nowhere => return Poll::Pending,
        };
        self.deadline.poll(cx, span)
    }

    fn writes(&mut self) {
        self.written = Written::Held;
        self.junction.tell_rest(false);
    }

    /// Waits for the client to go away, with a bounded part of what it sends meanwhile.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.ended == Ended::No {
            if self.held.len() >= HELD_WHILE_WAITING_MAX {
                return Poll::Pending;
            }
            ready!(self.poll_fill(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_pass(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        loop {
            if self.passing > 0 {
                self.hand_on(buffer);
            }
            let handed_on = buffer.filled().len() > before;
            if self.passing > 0 || buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            match self.ended {
                Ended::No => {}
                Ended::EndOfFile => return Poll::Ready(Ok(())),
                Ended::Faulted if handed_on => return Poll::Ready(Ok(())),
                // The answer to the stand-in closes the connection; nothing wakes this reader again.
                Ended::Faulted => return Poll::Pending,
            }
            let place = self.keeper.place();
            if place == Place::Body && self.held.is_empty() {
                if handed_on {
                    return Poll::Ready(Ok(()));
                }
                ready!(self.poll_body(cx, buffer))?;
                continue;
            }
            match self.keeper.advance(&self.held) {
                Step::Head { bytes, intent } => self.admit_head(bytes, intent),
                Step::Body { bytes } => self.passing = bytes,
                Step::Tunnel if !self.held.is_empty() => self.passing = self.held.len(),
                Step::Fault(fault) if place == Place::Head => self.stand_in(fault),
                // What can be handed on is handed on before anything is waited for.
                Step::NeedMore | Step::Tunnel | Step::Paused | Step::Ended | Step::Fault(_) if handed_on => return Poll::Ready(Ok(())),
                Step::NeedMore => ready!(self.poll_fill(cx))?,
                Step::Tunnel => return self.io()?.poll_read(cx, buffer),
                Step::Paused => match self.junction.take_verdict(cx) {
                    Some(Verdict::ResumeHttp) => self.keeper.resume_http(),
                    Some(Verdict::BecomeTunnel) => self.keeper.become_tunnel().map_err(io::Error::other)?,
                    None => ready!(self.poll_gone(cx))?,
                },
                Step::Ended => ready!(self.poll_gone(cx))?,
                Step::Fault(fault) => {
                    self.body_fault.set(fault);
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, fault)));
                }
            }
        }
    }
}

/// Says goodbye: the answer is sent whole, TLS is closed, and what the client still sends is taken for a moment, because
/// unread bytes would make the system reset the connection, and the client lose the answer.
async fn part<S: AsyncRead + AsyncWrite + Unpin>(mut io: S) {
    let goodbye = async {
        io.shutdown().await?;
        tokio::io::copy(&mut io.take(LINGER_BYTES_MAX), &mut tokio::io::sink()).await
    };
    // Whether the client heard it makes no difference any more.
    let _ = tokio::time::timeout(LINGER, goodbye).await;
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Drop for Gate<S> {
    /// The parser drops the stream of a connection that failed, was idle too long, or was declined an upgrade, without
    /// closing it. A tunnel was closed by its reader.
    fn drop(&mut self) {
        let Some(io) = self.io.take().and_then(|io| self.bed.lie_down(io)) else { return };
        if self.shut == Shut::No && self.junction.ends_answer() {
            // Half of an answer: where only the end of the connection shows its end, TLS must not say that this was it (RFC 9112 §9.8).
            return;
        }
        if self.keeper.place() != Place::Tunnel && tokio::runtime::Handle::try_current().is_ok() {
            self.tasks.spawn(part(io));
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> AsyncRead for Gate<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_pass(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> AsyncWrite for Gate<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writes();
        self.io()?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.io()?.poll_flush(cx))?;
        self.written = Written::Flushed;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shut = Shut::ByParser;
        self.io()?.poll_shutdown(cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.writes();
        self.io()?.poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }
}

/// A target for the record: printable ASCII as it stands, any other byte as `\xNN`, cut to a bound.
fn escape(target: &[u8]) -> Box<str> {
    let mut text = String::with_capacity(target.len().min(RAW_TARGET_BYTES_MAX));
    for byte in target {
        let piece = byte.escape_ascii();
        if text.len() + piece.len() > RAW_TARGET_BYTES_MAX {
            break;
        }
        match byte {
            b'\\' | b'"' | b'\'' => text.push(char::from(*byte)),
            _ => text.extend(piece.map(char::from)),
        }
    }
    text.into()
}

/// What the parser reads in place of a head that has no reading.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nHost: malformed.invalid\r\nConnection: close\r\n\r\n";

/// Read from the client at one time.
const READ_BYTES: usize = 8 * 1024;

/// Taken from a client that sends before its upgrade request was answered.
const HELD_WHILE_WAITING_MAX: usize = 16 * 1024;

/// Bytes of a target that a record keeps.
const RAW_TARGET_BYTES_MAX: usize = 8 * 1024;

/// SM-19: a client that goes on sending after the answer is listened to for so much and so long.
const LINGER_BYTES_MAX: u64 = 64 * 1024;
const LINGER: std::time::Duration = std::time::Duration::from_secs(1);
