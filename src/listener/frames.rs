//! HTTP/2 frames that cost work and move nothing: pings, settings, resets, priorities, empty or unknown frames.
//!
//! The library answers them all for as long as they come. Here each one takes from an allowance, which fills with time, with what a
//! client sends of bodies, and with what it is sent; whoever uses it up is a flood, and the connection ends (CVE-2019-9512, -9514, -9515,
//! -9518, CVE-2023-44487, CVE-2025-8671). Only the nine bytes of a frame's head are looked at; the frames are the library's to judge, but for
//! the first: that must be SETTINGS (RFC 9113 §3.4), and the library does not insist on it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// What is left of the allowance of one connection.
#[derive(Debug)]
pub struct Allowance(AtomicI64);

impl Allowance {
    pub const fn full() -> Self {
        Self(AtomicI64::new(MOST))
    }

    /// Adds for something that moved.
    pub fn add(&self, frames: i64) {
        if self.0.fetch_add(frames, Ordering::AcqRel).saturating_add(frames) > MOST {
            self.0.store(MOST, Ordering::Release);
        }
    }

    fn is_spent_by(&self, frames: i64) -> bool {
        self.0.fetch_sub(frames, Ordering::AcqRel) < frames
    }
}

/// Counts the frames that a client sends.
#[derive(Debug)]
pub struct Counted<S> {
    io: S,
    allowance: Arc<Allowance>,
    since: Instant,
    at: At,
    met: Met,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Met {
    Nothing,
    Settings,
}

/// Where in the client's bytes the reader is.
#[derive(Clone, Copy, Debug)]
enum At {
    /// So many bytes of the preface are still to come.
    Preface(usize),
    /// Within a frame's head, of which so many bytes are here.
    Head([u8; HEAD_BYTES], usize),
    /// So many bytes of a frame's payload are still to come.
    Payload(usize),
}

impl<S> Counted<S> {
    pub fn new(io: S, allowance: Arc<Allowance>) -> Self {
        Self { io, allowance, since: Instant::now(), at: At::Preface(PREFACE_BYTES), met: Met::Nothing }
    }

    /// Reads on; the cost of the frames that began in `bytes`.
    pub fn read(&mut self, mut bytes: &[u8]) -> io::Result<i64> {
        let mut cost = 0;
        while !bytes.is_empty() {
            match &mut self.at {
                At::Preface(left) | At::Payload(left) => {
                    let taken = (*left).min(bytes.len());
                    *left -= taken;
                    bytes = bytes.get(taken..).unwrap_or_default();
                    if *left == 0 {
                        self.at = At::Head([0; HEAD_BYTES], 0);
                    }
                }
                At::Head(head, here) => {
                    let taken = (HEAD_BYTES - *here).min(bytes.len());
                    let (now, rest) = bytes.split_at_checked(taken).unwrap_or_default();
                    if let Some(space) = head.get_mut(*here..*here + taken) {
                        space.copy_from_slice(now);
                    }
                    *here += taken;
                    bytes = rest;
                    if *here == HEAD_BYTES {
                        if self.met == Met::Nothing && !is_settings(head) {
                            return Err(io::Error::new(io::ErrorKind::InvalidData, "HTTP/2 that does not begin with SETTINGS"));
                        }
                        self.met = Met::Settings;
                        let (length, price) = weigh(head);
                        cost += price;
                        self.at = if length == 0 { At::Head([0; HEAD_BYTES], 0) } else { At::Payload(length) };
                    }
                }
            }
        }
        Ok(cost)
    }

    fn settle(&mut self, cost: i64) -> io::Result<()> {
        if cost <= 0 {
            self.allowance.add(-cost);
            return Ok(());
        }
        let seconds = self.since.elapsed().as_secs();
        if seconds > 0 {
            self.since = Instant::now();
            self.allowance.add(i64::try_from(seconds).unwrap_or(MOST).saturating_mul(EACH_SECOND));
        }
        if self.allowance.is_spent_by(cost) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a flood of HTTP/2 frames that move nothing"));
        }
        Ok(())
    }
}

/// Bytes of payload, and what the frame costs; below nothing for one that moves something.
fn weigh(head: &[u8; HEAD_BYTES]) -> (usize, i64) {
    let [high, middle, low, kind, flags, ..] = *head;
    let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
    let ends = flags & 0x1 != 0;
    let price = match kind {
        DATA if length > 0 => -1,
        DATA if ends => 0,
        // A request is paid for by its answer, and what it costs to read is bounded by the library.
        HEADERS => 0,
        CONTINUATION if length > 0 => 1,
        // DATA that is empty, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, and what nobody knows.
        _ => 1,
    };
    (length, price)
}

fn is_settings(head: &[u8; HEAD_BYTES]) -> bool {
    let [_, _, _, kind, flags, ..] = *head;
    kind == SETTINGS && flags & ACKNOWLEDGED == 0
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.io).poll_read(cx, buffer);
        if let Poll::Ready(Ok(())) = polled {
            let cost = this.read(buffer.filled().get(before..).unwrap_or_default())?;
            this.settle(cost)?;
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

const PREFACE_BYTES: usize = 24;
const HEAD_BYTES: usize = 9;
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const SETTINGS: u8 = 0x4;
const CONTINUATION: u8 = 0x9;
const ACKNOWLEDGED: u8 = 0x1;

/// Frames at once. A browser that leaves a page resets a hundred streams.
const MOST: i64 = 1_000;

/// Frames a second, for connections that live long on pings.
const EACH_SECOND: i64 = 100;
