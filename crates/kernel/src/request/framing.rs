//! HTTP/1.1 framing, read strictly before any other parser sees the bytes.
//!
//! Two readers that find the end of one request in different places are how a request is smuggled; a reader that mends
//! or drops what it does not like hides what was sent. So every byte of a connection passes a [`Gatekeeper`] first. It
//! lets pass only what has one reading under RFC 9112, in the strict branch of every choice; whoever parses after it
//! cannot find anything else. It decides about syntax and framing alone: what a request asks for is judged later.

mod chunked;
mod head;

#[cfg(test)]
mod tests;

use http::{HeaderName, StatusCode};
use thiserror::Error;

use chunked::{Chunked, ChunkedStep};
use head::{Body, HeadReader, HeadStep, reads_like};

/// Why bytes on an HTTP/1.1 connection are not a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FramingFault {
    #[error("the request line is not `METHOD SP target SP HTTP/1.1`")]
    RequestLine,
    #[error("the method is longer than 32 bytes or holds a character that a method must not hold")]
    Method,
    #[error("the request target holds a byte that is not printable ASCII")]
    TargetCharacter,
    #[error("the request target holds a fragment")]
    Fragment,
    #[error("the request target is in none of the forms that HTTP knows")]
    TargetForm,
    #[error("the request target is too long")]
    TargetTooLong,
    #[error("the HTTP version is not 1.1 or 1.0")]
    Version,
    #[error("a line ends with LF alone")]
    BareLineFeed,
    #[error("a CR stands where no line ends")]
    BareCarriageReturn,
    #[error("more than one empty line stands before the request line")]
    EmptyLines,
    #[error("a field line is folded or begins with white space")]
    Folded,
    #[error("a field line has no colon")]
    NoColon,
    #[error("a field has no name")]
    EmptyName,
    #[error("white space stands between a field name and its colon")]
    SpaceBeforeColon,
    #[error("a field name holds a character that a name must not hold")]
    NameCharacter,
    #[error("a field name is longer than 256 bytes")]
    NameTooLong,
    #[error("a field value holds a control character")]
    ValueCharacter,
    #[error("the request head is too large")]
    HeadTooLarge,
    #[error("the request has too many fields")]
    TooManyFields,
    #[error("there is no Host field, or more than one")]
    HostCount,
    #[error("there is more than one Content-Length")]
    ContentLengthRepeated,
    #[error("the Content-Length is not one plain number")]
    ContentLength,
    #[error("there is more than one Transfer-Encoding")]
    TransferEncodingRepeated,
    #[error("the Transfer-Encoding is not `chunked`")]
    TransferEncoding,
    #[error("Content-Length and Transfer-Encoding come together")]
    TwoLengths,
    #[error("an HTTP/1.0 request has a Transfer-Encoding")]
    TransferEncodingIn10,
    #[error("a request of this method has no chunked body")]
    BodyNotExpected,
    #[error("a field name reads like Content-Length or Transfer-Encoding to some programs")]
    LengthLookAlike,
    #[error("a chunk size is not a plain hexadecimal number")]
    ChunkSize,
    #[error("a chunk extension is not a list of `name=token`")]
    ChunkExtension,
    #[error("the line of a chunk size is too long")]
    ChunkLineTooLong,
    #[error("a chunk does not end with CR LF")]
    ChunkEnd,
    #[error("the trailer section is too large")]
    TrailersTooLarge,
}

impl FramingFault {
    /// The status of the answer to a request with this fault.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge | Self::TooManyFields | Self::NameTooLong | Self::TrailersTooLarge => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::RequestLine
            | Self::Method
            | Self::TargetCharacter
            | Self::Fragment
            | Self::TargetForm
            | Self::BareLineFeed
            | Self::BareCarriageReturn
            | Self::EmptyLines
            | Self::Folded
            | Self::NoColon
            | Self::EmptyName
            | Self::SpaceBeforeColon
            | Self::NameCharacter
            | Self::ValueCharacter
            | Self::HostCount
            | Self::ContentLengthRepeated
            | Self::ContentLength
            | Self::TransferEncodingRepeated
            | Self::TransferEncoding
            | Self::TwoLengths
            | Self::TransferEncodingIn10
            | Self::BodyNotExpected
            | Self::LengthLookAlike
            | Self::ChunkSize
            | Self::ChunkExtension
            | Self::ChunkLineTooLong
            | Self::ChunkEnd => StatusCode::BAD_REQUEST,
        }
    }
}

/// How much of a head is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadBounds {
    /// Bytes, with the empty line. Default 32 KiB.
    pub bytes: usize,
    /// Field lines. Default 100.
    pub fields: usize,
    /// Bytes of the request target. Default 16 KiB: a path of 8 KiB, the longest that is read, and a query.
    pub target_bytes: usize,
}

impl Default for HeadBounds {
    fn default() -> Self {
        Self { bytes: 32 * 1024, fields: 100, target_bytes: 16 * 1024 }
    }
}

/// Whether a request asks to leave HTTP/1.1 on its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    Stay,
    /// `Upgrade: websocket`.
    WebSocket,
    /// `CONNECT`, or an upgrade to anything else.
    Leave,
}

/// What the bytes at the front of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// Not enough to tell. Ask again with the same bytes and more behind them.
    NeedMore,
    /// The first `bytes` are one whole request head.
    Head { bytes: usize, intent: Intent },
    /// The first `bytes` belong to the body, with its framing, and may pass.
    Body { bytes: usize },
    /// All bytes belong to the protocol that the connection was opened for.
    Tunnel,
    /// Nothing may be read before it is decided whether the connection leaves HTTP.
    Paused,
    /// The last request was HTTP/1.0: nothing that follows is read.
    Ended,
    /// There is no further reading of this connection.
    Fault(FramingFault),
}

/// Reads the bytes of one connection in order. The caller holds the bytes that have not passed.
#[derive(Debug)]
pub struct Gatekeeper {
    bounds: HeadBounds,
    state: State,
    /// Of the request whose bytes pass now.
    intent: Intent,
    after: After,
}

#[derive(Debug)]
enum State {
    Head(HeadReader),
    Counted { left: u64 },
    Chunked(Chunked),
    Paused,
    Ended,
    Tunnel,
    Failed(FramingFault),
}

/// What follows a message.
#[derive(Clone, Copy, Debug)]
enum After {
    NextHead,
    End,
}

/// The connection cannot be opened for another protocol now: no request asked for it, or its body has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the connection does not wait for the decision to leave HTTP")]
pub struct NotPaused;

impl Gatekeeper {
    #[must_use]
    pub fn new(bounds: HeadBounds) -> Self {
        Self { bounds, state: State::Head(HeadReader::default()), intent: Intent::Stay, after: After::NextHead }
    }

    /// Says what `bytes`, all that was received and has not passed, begin with. How they were split on their way here
    /// makes no difference.
    pub fn advance(&mut self, bytes: &[u8]) -> Step {
        match self.try_advance(bytes) {
            Ok(step) => step,
            Err(fault) => {
                self.state = State::Failed(fault);
                Step::Fault(fault)
            }
        }
    }

    /// The request that paused the connection was answered within HTTP: what follows is the next request.
    pub fn resume_http(&mut self) {
        self.intent = Intent::Stay;
        if matches!(self.state, State::Paused) {
            self.end_message();
        }
    }

    /// The connection leaves HTTP: from now on all bytes pass.
    pub fn become_tunnel(&mut self) -> Result<(), NotPaused> {
        match self.state {
            State::Paused => {
                self.state = State::Tunnel;
                Ok(())
            }
            State::Head(_) | State::Counted { .. } | State::Chunked(_) | State::Ended | State::Tunnel | State::Failed(_) => Err(NotPaused),
        }
    }

    /// What the next bytes belong to, for deadlines.
    #[must_use]
    pub const fn place(&self) -> Place {
        match self.state {
            State::Head(_) => Place::Head,
            State::Counted { .. } | State::Chunked(_) => Place::Body,
            State::Tunnel => Place::Tunnel,
            State::Paused | State::Ended | State::Failed(_) => Place::Nowhere,
        }
    }

    fn try_advance(&mut self, bytes: &[u8]) -> Result<Step, FramingFault> {
        match &mut self.state {
            State::Head(reader) => match reader.advance(bytes, &self.bounds)? {
                HeadStep::NeedMore => Ok(Step::NeedMore),
                HeadStep::Whole(head) => {
                    self.intent = head.intent;
                    self.after = if head.is_http_10 { After::End } else { After::NextHead };
                    self.begin_body(head.body);
                    Ok(Step::Head { bytes: head.bytes, intent: head.intent })
                }
            },
            State::Counted { left } => {
                let available = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                let passing = available.min(*left);
                *left -= passing;
                let ended = *left == 0;
                if ended {
                    self.end_message();
                }
                Ok(step_of_body(usize::try_from(passing).unwrap_or(bytes.len())))
            }
            State::Chunked(body) => match body.advance(bytes)? {
                ChunkedStep::NeedMore => Ok(Step::NeedMore),
                ChunkedStep::Part { bytes } => Ok(step_of_body(bytes)),
                ChunkedStep::End { bytes } => {
                    self.end_message();
                    Ok(step_of_body(bytes))
                }
            },
            State::Paused => Ok(Step::Paused),
            State::Ended => Ok(Step::Ended),
            State::Tunnel => Ok(Step::Tunnel),
            State::Failed(fault) => Ok(Step::Fault(*fault)),
        }
    }

    fn begin_body(&mut self, body: Body) {
        match body {
            Body::None | Body::Counted(0) => self.end_message(),
            Body::Counted(left) => self.state = State::Counted { left },
            Body::Chunked => self.state = State::Chunked(Chunked::default()),
        }
    }

    fn end_message(&mut self) {
        self.state = match (self.intent, self.after) {
            (Intent::WebSocket | Intent::Leave, _) => State::Paused,
            (Intent::Stay, After::NextHead) => State::Head(HeadReader::default()),
            (Intent::Stay, After::End) => State::Ended,
        };
    }
}

/// What the next bytes of a connection belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Head,
    Body,
    Tunnel,
    /// They are not read, now or ever.
    Nowhere,
}

const fn step_of_body(bytes: usize) -> Step {
    match bytes {
        0 => Step::NeedMore,
        bytes => Step::Body { bytes },
    }
}

/// The request target in the bytes of a head, whole or broken off, as well as it can be told: what stands between the
/// first two spaces of the first line. For records; nothing is decided by it.
#[must_use]
pub fn target_of(head: &[u8]) -> Option<&[u8]> {
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    let line = head.split(|byte| matches!(byte, b'\r' | b'\n')).next()?;
    let target = line.split(|byte| *byte == b' ').nth(1)?;
    (!target.is_empty()).then_some(target)
}

/// Whether a field's name is none of the two that state a length, and reads like one of them to a program that takes other marks
/// for `-`.
pub(super) fn reads_like_a_length(name: &HeaderName) -> bool {
    let name = name.as_str().as_bytes();
    [&b"content-length"[..], b"transfer-encoding"].into_iter().any(|known| name != known && reads_like(name, known))
}

/// RFC 9110 §5.6.2.
const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| is_token_byte(*byte))
}

/// The line at the front of `bytes`, without its CR LF; `None` when its end is not there yet. `searched` bytes were
/// searched before, so that a line which comes byte by byte costs no more than one that comes whole.
fn line<'a>(bytes: &'a [u8], searched: &mut usize) -> Result<Option<&'a [u8]>, FramingFault> {
    let new = bytes.get(*searched..).unwrap_or_default();
    let Some(end) = new.iter().position(|byte| *byte == b'\n') else {
        *searched = bytes.len();
        return Ok(None);
    };
    let end = *searched + end;
    *searched = 0;
    let content = bytes.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(FramingFault::BareLineFeed)?;
    if content.contains(&b'\r') { Err(FramingFault::BareCarriageReturn) } else { Ok(Some(content)) }
}

/// Names in use stay below 80 bytes; a table of headers need not hold more.
pub(super) const NAME_BYTES_MAX: usize = 256;

/// Bytes of CR LF.
const LINE_END: usize = 2;
