//! The PROXY protocol, versions 1 and 2: a trusted proxy states whose connection it passes on.
//!
//! Exactly the header is read, never a byte behind it, so that what follows is the client's TLS untouched.

use std::io;
use std::net::SocketAddr;

use proxy_header::{ParseConfig, Protocol, ProxyHeader};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Why a connection that had to begin with a PROXY header was closed.
#[derive(Debug, Error)]
pub enum ProxyHeaderFault {
    #[error("the connection broke before the PROXY header ended: {0}")]
    Broken(#[from] io::Error),
    #[error("the connection does not begin with a PROXY header")]
    Missing,
    #[error("the PROXY header is longer than {HEADER_BYTES_MAX} bytes")]
    TooLong,
    #[error("the PROXY header is malformed")]
    Malformed,
}

/// Whom a header names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stated {
    Client(SocketAddr),
    /// The proxy speaks for itself (`LOCAL`, `UNKNOWN`), as for a health check.
    Proxy,
}

/// Reads the header at the front of a connection. The caller sets the deadline.
pub async fn read(io: &mut (impl AsyncRead + Unpin)) -> Result<Stated, ProxyHeaderFault> {
    let mut header = vec![io.read_u8().await?];
    match header.first() {
        Some(b'P') => read_line(io, &mut header).await?,
        Some(b'\r') => read_counted(io, &mut header).await?,
        Some(_) | None => return Err(ProxyHeaderFault::Missing),
    }
    let (parsed, length) = ProxyHeader::parse(&header, ParseConfig::default()).map_err(|_| ProxyHeaderFault::Malformed)?;
    let tlvs_readable = parsed.tlvs().all(|tlv| tlv.is_ok());
    if length != header.len() || !tlvs_readable {
        return Err(ProxyHeaderFault::Malformed);
    }
    match parsed.proxied_address() {
        None => Ok(Stated::Proxy),
        Some(_) if header.starts_with(V1_SIGNATURE) && !ports_are_plain(&header) => Err(ProxyHeaderFault::Malformed),
        Some(address) if address.protocol == Protocol::Stream => Ok(Stated::Client(address.source)),
        Some(_) => Err(ProxyHeaderFault::Malformed),
    }
}

/// Version 1: a line of at most 107 bytes.
async fn read_line(io: &mut (impl AsyncRead + Unpin), header: &mut Vec<u8>) -> Result<(), ProxyHeaderFault> {
    while !header.ends_with(b"\r\n") {
        if header.len() >= LINE_BYTES_MAX {
            return Err(ProxyHeaderFault::TooLong);
        }
        let byte = io.read_u8().await?;
        // Whatever is not the beginning of a header is told at once, not after a line that may never end.
        if V1_SIGNATURE.get(header.len()).is_some_and(|expected| *expected != byte) {
            return Err(ProxyHeaderFault::Missing);
        }
        header.push(byte);
    }
    Ok(())
}

/// Whether both ports of a line are decimal numbers as the specification writes them. The library takes `+443` and `0443` too.
fn ports_are_plain(line: &[u8]) -> bool {
    let is_plain = |port: &[u8]| port == b"0" || port.first().is_some_and(|digit| (b'1'..=b'9').contains(digit));
    line.trim_ascii_end().rsplit(|byte| *byte == b' ').take(2).all(is_plain)
}

/// Version 2: 16 bytes that end with the length of the rest.
async fn read_counted(io: &mut (impl AsyncRead + Unpin), header: &mut Vec<u8>) -> Result<(), ProxyHeaderFault> {
    let mut rest = [0; 15];
    io.read_exact(&mut rest).await?;
    header.extend_from_slice(&rest);
    if !header.starts_with(V2_SIGNATURE) {
        return Err(ProxyHeaderFault::Missing);
    }
    let [.., high, low] = rest;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if header.len() + length > HEADER_BYTES_MAX {
        return Err(ProxyHeaderFault::TooLong);
    }
    let before = header.len();
    header.resize(before + length, 0);
    let Some(space) = header.get_mut(before..) else {
        return Err(ProxyHeaderFault::Malformed);
    };
    io.read_exact(space).await?;
    Ok(())
}

const V1_SIGNATURE: &[u8] = b"PROXY ";
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The bound of the specification for version 1.
const LINE_BYTES_MAX: usize = 107;

/// Addresses take 52 bytes of a version 2 header; the rest is extensions, of which no proxy in use sends this much.
const HEADER_BYTES_MAX: usize = 2_048;
