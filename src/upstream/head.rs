//! The head of the request that an upstream receives: the judged request, the client's other fields, and what the gateway
//! states.
//!
//! Everything the gateway states is set last, after every client field that reads the same was removed, so that there is one
//! of each and it is ours (HD-01..HD-07). Text that a field cannot hold is percent-encoded as UTF-8: control characters,
//! characters outside ASCII, `%` itself, spaces at either end, and in a list of groups the comma. A value that would be longer
//! than [`STATED_BYTES_MAX`] is left out: a missing statement grants nothing.

use std::net::IpAddr;

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_KEY, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Uri, Version};
use http_body::Body as _;
use kernel::Failure;
use kernel::policy::permit::Permit;
use kernel::request::client::ClientAddress;
use kernel::request::{CanonicalRequest, Upgrade, headers};
use kernel::route::Upstream;
use kernel::time::Timestamp;

use super::backend::Lease;
use super::hops;
use super::outgoing::OutgoingBody;
use super::settings::Vouch;
use super::statements::Statements;
use super::trace;
use super::via::Via;

/// What the head is made of, besides the permit.
pub struct Stated<'a> {
    pub via: &'a Via,
    pub statements: &'a Statements,
    pub vouch: Vouch,
    pub now: Timestamp,
    /// The client's fields as they came.
    pub client: &'a HeaderMap,
    /// Sent instead of the client's, which has none over HTTP/2.
    pub websocket_key: Option<&'a HeaderValue>,
    /// Stated in place of the client's.
    pub traceparent: Option<&'a HeaderValue>,
}

/// The request as it is sent on the connection of `lease`.
pub fn request(permit: &Permit, stated: &Stated<'_>, body: OutgoingBody, lease: &Lease) -> Result<Request<OutgoingBody>, Failure> {
    let judged = permit.request();
    let authority = judged.authority.to_string();
    let host = field(&authority);
    let mut fields = headers::forwardable(stated.client);
    hops::count_down(&mut fields, &judged.method);
    state_origin(&mut fields, judged, &authority, host.clone(), stated.via);
    put(&mut fields, headers::REQUEST_ID, HeaderValue::try_from(judged.id.to_string()).ok());
    trace::settle(&mut fields, judged.id, stated.traceparent);
    if let Some(person) = permit.person() {
        let who = stated.statements.person(person);
        put(&mut fields, headers::SUBJECT, who.subject.clone());
        put(&mut fields, headers::EMAIL, who.email.clone());
        put(&mut fields, headers::GROUPS, who.groups.clone());
        put(&mut fields, headers::ASSERTION, stated.statements.assertion(stated.vouch, permit, person, stated.now)?);
    }
    let target = PathAndQuery::try_from(judged.target()).map_err(|_| Failure::Bug("a canonical target is not a URI"))?;
    frame(&mut fields, &judged.method, &body);
    let overlooked = may_be_overlooked(&judged.method, &body);
    let mut request = Request::new(body);
    if lease.is_http2() {
        fields.remove(TRANSFER_ENCODING);
        if headers::is_grpc(stated.client) {
            // Without it gRPC servers send no trailers, and theirs hold the outcome.
            fields.insert(TE, HeaderValue::from_static("trailers"));
        }
        *request.uri_mut() = whole_uri(&lease.backend().upstream, authority, target)?;
        *request.version_mut() = Version::HTTP_2;
        *request.method_mut() = judged.method.clone();
        if judged.upgrade == Upgrade::WebSocket {
            // RFC 8441 §5: the stream itself becomes the WebSocket, and there is nothing to accept.
            fields.remove(SEC_WEBSOCKET_KEY);
            *request.method_mut() = Method::CONNECT;
            request.extensions_mut().insert(hyper::ext::Protocol::from_static("websocket"));
        }
    } else {
        put(&mut fields, HOST, host);
        if overlooked {
            // Whoever takes the body for the next request takes no next request.
            fields.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if judged.upgrade == Upgrade::WebSocket {
            fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
            if let Some(key) = stated.websocket_key {
                fields.insert(SEC_WEBSOCKET_KEY, key.clone());
            }
        }
        *request.uri_mut() = Uri::from(target);
        *request.method_mut() = judged.method.clone();
    }
    *request.headers_mut() = fields;
    Ok(request)
}

/// HTTP/2 has no `Host`: the authority that was judged is a part of the target.
fn whole_uri(upstream: &Upstream, authority: String, target: PathAndQuery) -> Result<Uri, Failure> {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(match upstream {
        Upstream::Https(_) => Scheme::HTTPS,
        Upstream::Http(_) | Upstream::Unix(_) => Scheme::HTTP,
    });
    parts.authority = Some(Authority::try_from(authority).map_err(|_| Failure::Bug("a canonical authority is not one of a URI"))?);
    parts.path_and_query = Some(target);
    Uri::from_parts(parts).map_err(|_| Failure::Bug("a canonical target is not a URI"))
}

/// One framing, chosen here: the client's `Content-Length` is not copied but derived from the body that is sent.
fn frame(fields: &mut HeaderMap, method: &Method, body: &OutgoingBody) {
    let announced = fields.remove(CONTENT_LENGTH).is_some();
    fields.remove(TRANSFER_ENCODING);
    if body.is_end_stream() {
        // RFC 9110 §8.6: a method that gives content a meaning says that there is none.
        if announced || matches!(*method, Method::POST | Method::PUT | Method::PATCH) {
            fields.insert(CONTENT_LENGTH, HeaderValue::from(0));
        }
    } else if let Some(length) = body.size_hint().exact() {
        fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
    } else {
        // Said outright, because for a GET the client library would otherwise send no body at all.
        fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// Whether some upstreams look for no body behind such a request, because its method gives content no meaning (RFC 9110 §9.3.1,
/// §9.3.5): what they leave unread would be the next request on the connection, which nobody judged (SM-04, SM-05).
pub fn may_be_overlooked(method: &Method, body: &OutgoingBody) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::DELETE) && !body.is_end_stream()
}

/// From where and for what the request came. One hop is named: the client, as the gateway judged it.
fn state_origin(fields: &mut HeaderMap, judged: &CanonicalRequest, authority: &str, host: Option<HeaderValue>, via: &Via) {
    let client = judged.client.map_or_else(|| judged.peer.ip(), ClientAddress::ip);
    let node = client.to_string();
    let mut forwarded = String::with_capacity(FORWARDED_BYTES + node.len() + authority.len());
    forwarded.push_str("for=");
    match client {
        IpAddr::V4(_) => forwarded.push_str(&node),
        // RFC 7239 §6: an IPv6 address is bracketed, and therefore quoted.
        IpAddr::V6(_) => forwarded.extend(["\"[", &node, "]\""]),
    }
    forwarded.extend([";host=\"", authority, "\";proto=https"]);
    put(fields, headers::X_FORWARDED_FOR, HeaderValue::try_from(node).ok());
    fields.insert(headers::X_FORWARDED_PROTO, HeaderValue::from_static("https"));
    put(fields, headers::X_FORWARDED_HOST, host);
    put(fields, headers::FORWARDED, HeaderValue::try_from(forwarded).ok());
    via.add(fields, judged.version);
}

/// Sets a field that no client field stands beside. Where there is no value, what stood there goes too.
fn put(fields: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    match value {
        Some(value) => drop(fields.insert(name, value)),
        None => drop(fields.remove(name)),
    }
}

/// `text` as a field's value, if it can be one.
pub fn field(text: &str) -> Option<HeaderValue> {
    (text.len() <= STATED_BYTES_MAX).then(|| HeaderValue::from_str(text).ok()).flatten()
}

/// Writes `text` so that a field can hold it and only one text reads so.
pub fn encode(text: &str, reserved: &[u8]) -> String {
    let inner = text.trim_matches(' ');
    let start = text.len() - text.trim_start_matches(' ').len();
    let kept = start..start + inner.len();
    let mut encoded = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        let plain = byte.is_ascii_graphic() && byte != b'%' && !reserved.contains(&byte);
        if plain || (byte == b' ' && kept.contains(&at)) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// What `Forwarded` says beside the two names.
const FORWARDED_BYTES: usize = 36;

/// Longest value stated, in bytes: what common servers take in one field.
const STATED_BYTES_MAX: usize = 8_000;
