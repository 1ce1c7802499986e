//! A PROXY header names the same client however it arrives, takes not a byte of what follows, and says what a plain reading of the
//! specification says. Input: four letters that say how the rest is split, `A` for one byte.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use portcullis::listener::proxy_protocol::{self, Stated};
use tokio::io::{AsyncRead, ReadBuf};

/// What was stated, and how many bytes it took; or why there is nothing.
type Reading = Result<(Stated, usize), String>;

pub fn check(data: &[u8]) {
    let Some((lengths, input)) = data.split_at_checked(4) else { return };
    let lengths: Vec<_> = lengths.iter().map(|length| usize::from(*length % 32)).collect();
    let whole = read(input, &[usize::MAX]);
    assert_eq!(read(input, &lengths), whole, "a split makes no difference");
    let plain = if input.starts_with(b"P") { line(input) } else { counted(input) };
    match whole {
        Ok(stated) => assert_eq!(Some(stated), plain),
        // What is in an extension is looked at, which is more than the plain reading does.
        Err(fault) => assert!(plain.is_none_or(|(_, length)| holds_form(&input[..length])), "{fault}"),
    }
}

fn read(input: &[u8], lengths: &[usize]) -> Reading {
    let mut pieces = Pieces { rest: input, lengths: lengths.to_vec(), turn: 0, waits: true };
    let stated = {
        let mut reading = pin!(proxy_protocol::read(&mut pieces));
        loop {
            if let Poll::Ready(stated) = reading.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                break stated;
            }
        }
    };
    stated.map(|stated| (stated, input.len() - pieces.rest.len())).map_err(|fault| fault.to_string())
}

/// A connection whose bytes arrive in pieces, each after a wait.
struct Pieces<'a> {
    rest: &'a [u8],
    lengths: Vec<usize>,
    turn: usize,
    waits: bool,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.waits = !self.waits;
        if !self.waits {
            return Poll::Pending;
        }
        let length = self.lengths[self.turn % self.lengths.len()].max(1).min(buffer.remaining()).min(self.rest.len());
        self.turn += 1;
        let (piece, rest) = self.rest.split_at(length);
        buffer.put_slice(piece);
        self.rest = rest;
        Poll::Ready(Ok(()))
    }
}

/// Version 1.
fn line(input: &[u8]) -> Option<(Stated, usize)> {
    let end = input.windows(2).take(106).position(|window| window == b"\r\n")?;
    let text = input[..end].strip_prefix(b"PROXY ")?;
    if text.starts_with(b"UNKNOWN") && !text.contains(&b'\r') {
        return Some((Stated::Proxy, end + 2));
    }
    let words: Vec<&str> = std::str::from_utf8(text).ok()?.split(' ').collect();
    let [family, source, destination, port, other_port] = words.as_slice() else { return None };
    let address = |text: &str| text.parse::<IpAddr>().ok().filter(|address| address.is_ipv4() == (*family == "TCP4"));
    let (source, _) = (address(source)?, address(destination)?);
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| port.to_string() == text);
    let (port, _) = (number(port)?, number(other_port)?);
    ["TCP4", "TCP6"].contains(family).then_some((Stated::Client(SocketAddr::new(source, port)), end + 2))
}

/// Version 2.
fn counted(input: &[u8]) -> Option<(Stated, usize)> {
    let rest = input.strip_prefix(b"\r\n\r\n\0\r\nQUIT\n")?;
    let (&[command, family, high, low], rest) = rest.split_first_chunk()?;
    let length = usize::from(high) << 8 | usize::from(low);
    let body = rest.get(..length).filter(|_| length + 16 <= 2_048)?;
    let (addresses, client) = match family {
        0x00 => (0, None),
        0x11 | 0x12 => (12, body.get(..4).zip(body.get(8..10))),
        0x21 | 0x22 => (36, body.get(..16).zip(body.get(32..34))),
        0x31 | 0x32 => (216, None),
        _ => return None,
    };
    let extensions = body.get(addresses..)?;
    let stated = match (command, client) {
        (0x20, _) | (0x21, None) => Stated::Proxy,
        (0x21, Some(_)) if family & 0xf == 2 => return None,
        (0x21, Some((address, port))) => Stated::Client(SocketAddr::new(ip(address)?, u16::from_be_bytes(port.try_into().ok()?))),
        _ => return None,
    };
    are_whole(extensions).then_some((stated, 16 + length))
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| Ipv4Addr::from(bytes).into());
    v4.ok().or_else(|| Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()))
}

/// Whether a header has an extension of a kind whose content has a form: authority, checksum, TLS, namespace.
fn holds_form(header: &[u8]) -> bool {
    header.starts_with(b"\r") && header[16..].iter().any(|kind| matches!(kind, 0x02 | 0x03 | 0x20..=0x25 | 0x30))
}

fn are_whole(mut extensions: &[u8]) -> bool {
    while let [_, high, low, rest @ ..] = extensions {
        let Some(after) = rest.get(usize::from(*high) << 8 | usize::from(*low)..) else { return false };
        extensions = after;
    }
    extensions.is_empty()
}
