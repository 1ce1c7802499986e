//! A WebSocket server that says everything back (RFC 6455), frame by frame, without extensions.

use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::demo::Error;
use crate::web::body::{self, Body};

/// Whether a request asks for a WebSocket.
pub(super) fn is_asked_for<B>(request: &Request<B>) -> bool {
    request.headers().get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Answers the handshake. `None` when it is not whole (RFC 6455 §4.2.1).
pub(super) fn accept<B>(request: &Request<B>) -> Result<Option<Response<Body>>, Error> {
    let headers = request.headers();
    let version = headers.get(SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
    let Some(key) = headers.get(SEC_WEBSOCKET_KEY).filter(|_| version) else { return Ok(None) };
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let fields = response.headers_mut();
    fields.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
    fields.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::try_from(answer_to(key.as_bytes()))?);
    Ok(Some(response))
}

/// Echoes until either side closes.
pub(super) async fn echo(upgrade: OnUpgrade) {
    if let Ok(upgraded) = upgrade.await
        && let Err(error) = echo_frames(TokioIo::new(upgraded)).await
    {
        tracing::debug!(%error, "a sample WebSocket ended early");
    }
}

/// The protocol's own use of SHA-1 (RFC 6455 §1.3): no security rests on it.
fn answer_to(key: &[u8]) -> String {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(context.finish())
}

async fn echo_frames<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> std::io::Result<()> {
    loop {
        let Ok(frame) = tokio::time::timeout(IDLE_TIME_MAX, read_frame(&mut stream)).await else {
            return write_frame(&mut stream, &Frame::closing(GOING_AWAY)).await;
        };
        let answer = match frame? {
            Ok(frame) => frame.answer(),
            Err(status) => Some(Frame::closing(status)),
        };
        let Some(answer) = answer else { continue };
        write_frame(&mut stream, &answer).await?;
        if answer.opcode() == CLOSE {
            return stream.shutdown().await;
        }
    }
}

/// A frame: the first byte as it is on the wire (FIN, reserved bits, opcode) and the unmasked payload.
struct Frame {
    first: u8,
    payload: Vec<u8>,
}

impl Frame {
    fn closing(status: u16) -> Self {
        Self { first: FIN | CLOSE, payload: status.to_be_bytes().to_vec() }
    }

    const fn opcode(&self) -> u8 {
        self.first & 0x0f
    }

    fn answer(self) -> Option<Self> {
        match self.opcode() {
            PONG => None,
            PING => Some(Self { first: FIN | PONG, payload: self.payload }),
            _ => Some(self),
        }
    }
}

/// Reads one frame, or says with which status the connection must close.
async fn read_frame<S: AsyncRead + Unpin>(stream: &mut S) -> std::io::Result<Result<Frame, u16>> {
    let first = stream.read_u8().await?;
    let second = stream.read_u8().await?;
    let length = match second & 0x7f {
        126 => u64::from(stream.read_u16().await?),
        127 => stream.read_u64().await?,
        short => u64::from(short),
    };
    let control = first & 0x08 != 0;
    let known = matches!(first & 0x0f, 0 | TEXT | BINARY | CLOSE | PING | PONG);
    let masked = second & MASKED != 0;
    if first & RESERVED != 0 || !known || !masked || (control && (length > 125 || first & FIN == 0)) {
        return Ok(Err(PROTOCOL_ERROR));
    }
    if length > PAYLOAD_BYTES_MAX {
        return Ok(Err(TOO_BIG));
    }
    let mask = stream.read_u32().await?.to_be_bytes();
    let mut payload = vec![0; usize::try_from(length).unwrap_or_default()];
    stream.read_exact(&mut payload).await?;
    for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
    Ok(Ok(Frame { first, payload }))
}

async fn write_frame<S: AsyncWrite + Unpin>(stream: &mut S, frame: &Frame) -> std::io::Result<()> {
    let mut bytes = vec![frame.first];
    match (u8::try_from(frame.payload.len()), u16::try_from(frame.payload.len())) {
        (Ok(short), _) if short < 126 => bytes.push(short),
        (_, Ok(medium)) => {
            bytes.push(126);
            bytes.extend(medium.to_be_bytes());
        }
        (_, Err(_)) => {
            bytes.push(127);
            bytes.extend(u64::try_from(frame.payload.len()).unwrap_or(u64::MAX).to_be_bytes());
        }
    }
    bytes.extend(&frame.payload);
    stream.write_all(&bytes).await?;
    stream.flush().await
}

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const GOING_AWAY: u16 = 1001;
const PROTOCOL_ERROR: u16 = 1002;
const TOO_BIG: u16 = 1009;
/// What a person types, and what a load test sends.
const PAYLOAD_BYTES_MAX: u64 = 1024 * 1024;
const IDLE_TIME_MAX: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use super::*;

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first, MASKED | u8::try_from(payload.len()).unwrap(), 1, 2, 3, 4];
        bytes.extend(payload.iter().zip([1, 2, 3, 4].iter().cycle()).map(|(byte, key)| byte ^ key));
        bytes
    }

    async fn check(sent: &[u8], expected: &[u8]) {
        let (near, far) = tokio::io::duplex(4096);
        let server = tokio::spawn(echo_frames(far));
        let (mut reader, mut writer) = tokio::io::split(near);
        writer.write_all(sent).await.unwrap();
        let mut got = vec![0; expected.len()];
        reader.read_exact(&mut got).await.unwrap();
        assert_eq!(got, expected);
        server.abort();
    }

    #[test]
    fn the_handshake_of_the_standard_is_answered_as_in_the_standard() {
        assert_eq!(answer_to(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[tokio::test]
    async fn text_comes_back_unmasked() {
        check(&masked(FIN | TEXT, b"hello"), b"\x81\x05hello").await;
    }

    #[tokio::test]
    async fn a_fragmented_message_comes_back_in_its_fragments() {
        let sent = [masked(TEXT, b"he"), masked(FIN, b"llo")].concat();
        check(&sent, b"\x01\x02he\x80\x03llo").await;
    }

    #[tokio::test]
    async fn a_ping_is_answered_by_a_pong() {
        check(&masked(FIN | PING, b"x"), b"\x8a\x01x").await;
    }

    #[tokio::test]
    async fn a_close_is_answered_by_the_same_close() {
        check(&masked(FIN | CLOSE, &1000_u16.to_be_bytes()), b"\x88\x02\x03\xe8").await;
    }

    #[tokio::test]
    async fn a_frame_without_mask_closes_the_connection() {
        check(b"\x81\x01x", b"\x88\x02\x03\xea").await;
    }

    #[tokio::test]
    async fn a_frame_too_large_closes_the_connection_before_it_is_read() {
        check(b"\x82\xff\x00\x00\x00\xff\x00\x00\x00\x00", b"\x88\x02\x03\xf1").await;
    }
}
