//! The one reading of a request. What is judged, logged and forwarded is this, never the raw head.

pub mod client;
pub mod framing;
pub mod headers;
pub mod host;
pub mod path;
#[cfg(test)]
mod tests_headers;
#[cfg(test)]
mod tests_host;
#[cfg(test)]
mod tests_path;
#[cfg(test)]
mod tests_reading;

use std::fmt::{self, Write as _};

use http::{HeaderMap, Method, Version, request::Parts};
use thiserror::Error;

use crate::request::client::{ClientAddress, TrustedProxies};
use crate::request::headers::HeaderFault;
use crate::request::host::{Authority, Host, HostFault};
use crate::request::path::{CanonicalPath, PathFault};
use crate::time::Timestamp;

/// What the connection says about a request that the request itself does not.
#[derive(Clone, Debug)]
pub struct Connection<'a> {
    /// Address of the socket's other end (or what a trusted PROXY header stated in its place).
    pub peer: ClientAddress,
    /// Port of the listener.
    pub port: u16,
    /// Server name of the TLS handshake. A request for another host is misdirected.
    pub server_name: Option<&'a Host>,
    /// The request target as it stood on the wire, where the protocol shows it.
    pub raw_target: Option<&'a str>,
    /// Why the bytes on the wire were not a request, when they were not.
    pub fault: Option<framing::FramingFault>,
}

/// The `:protocol` of an extended CONNECT (RFC 8441 §4). Whoever speaks HTTP/2 puts it into the extensions of the head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtendedConnect(pub Box<str>);

/// A request with one reading.
#[derive(Clone, Debug)]
pub struct CanonicalRequest {
    pub id: RequestId,
    pub received: Timestamp,
    pub method: Method,
    pub authority: Authority,
    /// Port of the listener that the request came to. A route is found only at the port its authority names.
    pub port: u16,
    pub path: CanonicalPath,
    /// The query as it stood on the wire, without `?`. No rule looks at it.
    pub query: Option<Box<str>>,
    /// The client; `None` when a trusted proxy named nobody that can be read, which satisfies no network.
    pub client: Option<ClientAddress>,
    /// The socket's other end.
    pub peer: ClientAddress,
    pub version: Version,
    pub caller: Caller,
    pub upgrade: Upgrade,
    /// Whether a field name holds `_`, `.` or another mark that programs behind the gateway may read as `-`.
    pub has_second_spellings: bool,
    /// The target as it stood on the wire, for the record.
    pub raw_target: Box<str>,
}

/// What asks: a person's browser going to an address, or a program (fetch, XHR, curl, gRPC, a WebSocket handshake).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    Navigation,
    Program,
}

/// Whether the client asks to leave HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    None,
    WebSocket,
}

/// Names one request in pages, records and answers: 128 random bits, in hex.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId([u8; 16]);

/// Why a request has no reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RequestFault {
    #[error(transparent)]
    Framing(#[from] framing::FramingFault),
    #[error(transparent)]
    Path(#[from] PathFault),
    #[error(transparent)]
    Host(#[from] HostFault),
    #[error(transparent)]
    Header(#[from] HeaderFault),
    #[error("the request's target is not in a form that is served")]
    TargetForm,
    #[error("the method is not a token of capital letters")]
    Method,
    #[error("the query holds a character that a query must not hold")]
    Query,
    #[error("the HTTP version is not served")]
    Version,
    #[error("a field name holds a mark that some programs read as a hyphen, and the route does not allow that")]
    SecondSpelling,
}

/// A request that was read, or why it was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFault {
    Malformed(RequestFault),
    /// The connection was opened for another host (RFC 9110 §15.5.20).
    Misdirected,
}

impl<F: Into<RequestFault>> From<F> for ReadFault {
    fn from(fault: F) -> Self {
        Self::Malformed(fault.into())
    }
}

impl CanonicalRequest {
    /// Reads a request head. Everything ambiguous is refused.
    pub fn read(
        head: &Parts,
        connection: &Connection<'_>,
        trusted: &TrustedProxies,
        id: RequestId,
        received: Timestamp,
    ) -> Result<Self, ReadFault> {
        if let Some(fault) = connection.fault {
            return Err(fault.into());
        }
        if !matches!(head.version, Version::HTTP_10 | Version::HTTP_11 | Version::HTTP_2) {
            return Err(RequestFault::Version.into());
        }
        check_method(&head.method)?;
        if head.version == Version::HTTP_2 {
            check_bounds(head)?;
        }
        let has_second_spellings = head.headers.keys().any(headers::has_second_spelling);
        if has_second_spellings && head.headers.keys().any(framing::reads_like_a_length) {
            // Refused before the parser over HTTP/1.1; over HTTP/2 nobody else looks.
            return Err(framing::FramingFault::LengthLookAlike.into());
        }
        headers::check_connection(&head.headers)?;
        headers::check_expectation(&head.headers)?;
        let upgrade = headers::read_upgrade(head)?;
        let authority = read_authority(head)?;
        let (path, query) = read_target(head)?;
        let caller = read_caller(&head.headers);
        let forwarded_for = head.headers.get_all(headers::X_FORWARDED_FOR).iter().map(http::HeaderValue::as_bytes);
        let client = trusted.client(connection.peer, forwarded_for);
        if connection.server_name.is_some_and(|name| *name != authority.host) {
            return Err(ReadFault::Misdirected);
        }
        Ok(Self {
            id,
            received,
            method: judged_method(head, upgrade),
            authority,
            port: connection.port,
            path,
            query,
            client,
            peer: connection.peer,
            version: head.version,
            caller,
            upgrade,
            has_second_spellings,
            raw_target: raw_target(head, connection),
        })
    }

    /// Path and query, as the upstream receives them.
    #[must_use]
    pub fn target(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.to_string(),
        }
    }
}

/// What stood on the wire where a target should be, for the record of a request that could not be read.
#[must_use]
pub fn raw_target(head: &Parts, connection: &Connection<'_>) -> Box<str> {
    match connection.raw_target {
        Some(raw) => raw.into(),
        None => head.uri.path_and_query().map_or_else(|| head.uri.to_string(), ToString::to_string).into(),
    }
}

/// A method is read in one way: capital letters and hyphens, 32 at most.
pub fn check_method(method: &Method) -> Result<(), RequestFault> {
    let text = method.as_str();
    let token = !text.is_empty() && text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
    if token { Ok(()) } else { Err(RequestFault::Method) }
}

/// What is bounded before the parser over HTTP/1.1, and would be bounded over HTTP/2 by the whole head alone.
fn check_bounds(head: &Parts) -> Result<(), framing::FramingFault> {
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > framing::HeadBounds::default().target_bytes {
        return Err(framing::FramingFault::TargetTooLong);
    }
    let fits = |name: &http::HeaderName| name.as_str().len() <= framing::NAME_BYTES_MAX;
    if head.headers.keys().all(fits) { Ok(()) } else { Err(framing::FramingFault::NameTooLong) }
}

/// A WebSocket is asked for by GET, or over HTTP/2 by an extended CONNECT, which rules see as the GET that it stands for.
fn judged_method(head: &Parts, upgrade: Upgrade) -> Method {
    match upgrade {
        Upgrade::WebSocket => Method::GET,
        Upgrade::None => head.method.clone(),
    }
}

/// RFC 9112 §3.2.2: the authority of an absolute target counts; ours is stricter, and wants `Host` to agree with it.
fn read_authority(head: &Parts) -> Result<Authority, RequestFault> {
    let mut fields = head.headers.get_all(http::header::HOST).iter();
    let field = match (fields.next(), fields.next()) {
        (None, _) => None,
        (Some(_), Some(_)) => return Err(HeaderFault::HostCount.into()),
        (Some(value), None) => Some(parse_host_field(value)?),
    };
    let target = match head.uri.authority() {
        Some(authority) => Some(Authority::parse(authority.as_str())?),
        None => None,
    };
    match (target, field) {
        (Some(target), Some(field)) if target != field => Err(HeaderFault::HostDiffers.into()),
        // HTTP/2 without `:authority` but with `host` (RFC 9113 §8.3.1) reads like HTTP/1.1.
        (Some(authority), _) | (None, Some(authority)) => Ok(authority),
        (None, None) => Err(HeaderFault::HostCount.into()),
    }
}

fn parse_host_field(value: &http::HeaderValue) -> Result<Authority, RequestFault> {
    let text = value.to_str().map_err(|_| HeaderFault::HostInvalid)?;
    Authority::parse(text).map_err(RequestFault::Host)
}

fn read_target(head: &Parts) -> Result<(CanonicalPath, Option<Box<str>>), RequestFault> {
    let uri = &head.uri;
    // Authority form (CONNECT) and `*` have no path; an absolute target is served for https alone.
    let scheme_served = match uri.scheme_str() {
        None => uri.authority().is_none(),
        Some(scheme) => scheme == "https" && uri.authority().is_some(),
    };
    let connects = head.method == Method::CONNECT && !headers::is_extended_connect(head);
    if !scheme_served || connects {
        return Err(RequestFault::TargetForm);
    }
    let path = CanonicalPath::parse(uri.path())?;
    let query = match uri.query() {
        None => None,
        Some(query) if query.bytes().all(|byte| (0x21..=0x7e).contains(&byte) && byte != b'#') => Some(query.into()),
        Some(_) => return Err(RequestFault::Query),
    };
    Ok((path, query))
}

/// Who asks. Fetch metadata decides; where a browser is too old to send it, `Accept` does.
#[must_use]
pub fn read_caller(fields: &HeaderMap) -> Caller {
    let text = |name: &http::HeaderName| fields.get(name).and_then(|value| value.to_str().ok());
    if fields.contains_key(http::header::UPGRADE) {
        return Caller::Program;
    }
    match (text(&headers::SEC_FETCH_MODE), text(&headers::SEC_FETCH_DEST)) {
        (Some(mode), dest) => {
            let document = matches!(dest, None | Some("document" | "iframe" | "frame" | "embed" | "object"));
            if mode == "navigate" && document { Caller::Navigation } else { Caller::Program }
        }
        (None, Some(dest)) if dest != "document" => Caller::Program,
        (None, _) => {
            let html = text(&http::header::ACCEPT)
                .is_some_and(|accept| accept.split(',').any(|range| range.trim_start().starts_with("text/html")));
            if html { Caller::Navigation } else { Caller::Program }
        }
    }
}

impl RequestId {
    /// From 16 random bytes.
    #[must_use]
    pub const fn new(random: [u8; 16]) -> Self {
        Self(random)
    }

    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |half: u8| char::from(DIGITS.get(usize::from(half)).copied().unwrap_or_default());
        self.0.iter().try_for_each(|byte| {
            f.write_char(digit(byte >> 4))?;
            f.write_char(digit(byte & 0xf))
        })
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
