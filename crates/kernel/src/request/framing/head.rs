//! A request head, line by line.

use http::Uri;

use super::{FramingFault, HeadBounds, Intent, LINE_END, NAME_BYTES_MAX, is_token, line};
use crate::request::headers::fold_byte;

/// Reads one head. What was read is not read again when more bytes come.
#[derive(Debug, Default)]
pub(super) struct HeadReader {
    /// Bytes of the lines that were read.
    read: usize,
    /// Bytes behind them that hold no line end.
    searched: usize,
    empty_lines: usize,
    fields: usize,
    request_line: Option<RequestLine>,
    hosts: usize,
    content_length: Option<u64>,
    transfer_encoding: Option<Chunked>,
    upgrade: Option<Intent>,
}

#[derive(Clone, Copy, Debug)]
struct Chunked;

#[derive(Clone, Copy, Debug)]
struct RequestLine {
    kind: MethodKind,
    is_http_10: bool,
}

/// What a method says about the body and the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MethodKind {
    Connect,
    /// GET, HEAD, OPTIONS, TRACE: a body means nothing, and a chunked one is an attempt (TE.0).
    Bodiless,
    Other,
}

pub(super) enum HeadStep {
    NeedMore,
    Whole(Head),
}

/// A head with one reading.
pub(super) struct Head {
    pub bytes: usize,
    pub intent: Intent,
    pub body: Body,
    pub is_http_10: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    None,
    Counted(u64),
    Chunked,
}

impl HeadReader {
    pub fn advance(&mut self, bytes: &[u8], bounds: &HeadBounds) -> Result<HeadStep, FramingFault> {
        // What lies behind the bound is not looked at, so that a bound is reached at the same byte however bytes come.
        let within = bytes.get(..bounds.bytes).unwrap_or(bytes);
        while let Some(content) = line(within.get(self.read..).unwrap_or_default(), &mut self.searched)? {
            self.read += content.len() + LINE_END;
            let Some(request_line) = self.request_line else {
                self.read_first(content, bounds)?;
                continue;
            };
            if content.is_empty() {
                return self.finish(request_line).map(HeadStep::Whole);
            }
            self.fields += 1;
            if self.fields > bounds.fields {
                return Err(FramingFault::TooManyFields);
            }
            self.read_field(content)?;
        }
        if bytes.len() >= bounds.bytes {
            return Err(match self.request_line {
                None => FramingFault::TargetTooLong,
                Some(_) => FramingFault::HeadTooLarge,
            });
        }
        Ok(HeadStep::NeedMore)
    }

    /// RFC 9112 §2.2 lets a server skip an empty line before the request line; we let one pass.
    fn read_first(&mut self, content: &[u8], bounds: &HeadBounds) -> Result<(), FramingFault> {
        if !content.is_empty() {
            self.request_line = Some(read_request_line(content, bounds)?);
            return Ok(());
        }
        self.empty_lines += 1;
        if self.empty_lines > 1 { Err(FramingFault::EmptyLines) } else { Ok(()) }
    }

    fn read_field(&mut self, content: &[u8]) -> Result<(), FramingFault> {
        let (name, value) = split_field(content)?;
        if name.eq_ignore_ascii_case(b"host") {
            self.hosts += 1;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let length = read_content_length(value)?;
            if self.content_length.replace(length).is_some() {
                return Err(FramingFault::ContentLengthRepeated);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(FramingFault::TransferEncoding);
            }
            if self.transfer_encoding.replace(Chunked).is_some() {
                return Err(FramingFault::TransferEncodingRepeated);
            }
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            let webs = value.eq_ignore_ascii_case(b"websocket") && self.upgrade.is_none();
            self.upgrade = Some(if webs { Intent::WebSocket } else { Intent::Leave });
        } else if reads_like(name, b"content-length") || reads_like(name, b"transfer-encoding") {
            return Err(FramingFault::LengthLookAlike);
        }
        Ok(())
    }

    fn finish(&self, line: RequestLine) -> Result<Head, FramingFault> {
        let hosts_allowed = if line.is_http_10 { 0..=1 } else { 1..=1 };
        if !hosts_allowed.contains(&self.hosts) {
            return Err(FramingFault::HostCount);
        }
        let body = match (self.content_length, self.transfer_encoding) {
            (Some(_), Some(Chunked)) => return Err(FramingFault::TwoLengths),
            (None, Some(Chunked)) if line.is_http_10 => return Err(FramingFault::TransferEncodingIn10),
            (None, Some(Chunked)) if line.kind != MethodKind::Other => return Err(FramingFault::BodyNotExpected),
            (Some(length), None) if line.kind == MethodKind::Connect && length > 0 => return Err(FramingFault::BodyNotExpected),
            (None, Some(Chunked)) => Body::Chunked,
            (Some(length), None) => Body::Counted(length),
            (None, None) => Body::None,
        };
        // RFC 9110 §7.8: an upgrade in HTTP/1.0 is ignored.
        let intent = match (line.kind, self.upgrade) {
            (MethodKind::Connect, _) => Intent::Leave,
            (_, Some(intent)) if !line.is_http_10 => intent,
            (_, _) => Intent::Stay,
        };
        Ok(Head { bytes: self.read, intent, body, is_http_10: line.is_http_10 })
    }
}

fn read_request_line(content: &[u8], bounds: &HeadBounds) -> Result<RequestLine, FramingFault> {
    let mut words = content.splitn(3, |byte| *byte == b' ');
    let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next()) else {
        return Err(FramingFault::RequestLine);
    };
    if !is_token(method) || method.len() > METHOD_BYTES_MAX {
        return Err(FramingFault::Method);
    }
    check_target(target, bounds)?;
    let is_http_10 = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', ..] if !version.contains(&b' ') => return Err(FramingFault::Version),
        _ => return Err(FramingFault::RequestLine),
    };
    let kind = match method {
        b"CONNECT" => MethodKind::Connect,
        b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" => MethodKind::Bodiless,
        _ => MethodKind::Other,
    };
    Ok(RequestLine { kind, is_http_10 })
}

fn check_target(target: &[u8], bounds: &HeadBounds) -> Result<(), FramingFault> {
    if target.len() > bounds.target_bytes {
        return Err(FramingFault::TargetTooLong);
    }
    if target.is_empty() {
        return Err(FramingFault::RequestLine);
    }
    for byte in target {
        match byte {
            b'#' => return Err(FramingFault::Fragment),
            0x21..=0x7e => {}
            _ => return Err(FramingFault::TargetCharacter),
        }
    }
    // The parser behind answers a target that it cannot read by itself, unrecorded; so it is asked here first.
    Uri::try_from(target).map(|_| ()).map_err(|_| FramingFault::TargetForm)
}

/// Splits and checks `name: value`; also for trailers.
pub(super) fn split_field(content: &[u8]) -> Result<(&[u8], &[u8]), FramingFault> {
    if matches!(content.first(), Some(b' ' | b'\t')) {
        return Err(FramingFault::Folded);
    }
    let mut halves = content.splitn(2, |byte| *byte == b':');
    let (Some(name), Some(value)) = (halves.next(), halves.next()) else {
        return Err(FramingFault::NoColon);
    };
    if name.is_empty() {
        return Err(FramingFault::EmptyName);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(FramingFault::NameTooLong);
    }
    if matches!(name.last(), Some(b' ' | b'\t')) {
        return Err(FramingFault::SpaceBeforeColon);
    }
    if !is_token(name) {
        return Err(FramingFault::NameCharacter);
    }
    // RFC 9110 §5.5: no control but HTAB; bytes from 0x80 are opaque.
    if value.iter().any(|byte| matches!(byte, 0..=0x08 | 0x0a..=0x1f | 0x7f)) {
        return Err(FramingFault::ValueCharacter);
    }
    Ok((name, trim(value)))
}

/// Without optional white space, which is SP and HTAB alone.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// One plain number: no sign, no list, no leading zero, below 2^63.
fn read_content_length(value: &[u8]) -> Result<u64, FramingFault> {
    let plain = value == b"0" || (matches!(value.first(), Some(b'1'..=b'9')) && value.len() <= 19 && value.iter().all(u8::is_ascii_digit));
    let number = std::str::from_utf8(value).ok().filter(|_| plain).and_then(|digits| digits.parse::<u64>().ok());
    number.filter(|length| i64::try_from(*length).is_ok()).ok_or(FramingFault::ContentLength)
}

/// Whether a program that takes other marks for `-` reads `name` as `known`.
pub(super) fn reads_like(name: &[u8], known: &[u8]) -> bool {
    name.iter().copied().map(fold_byte).eq(known.iter().copied())
}

/// The longest registered method has 17 bytes.
const METHOD_BYTES_MAX: usize = 32;
