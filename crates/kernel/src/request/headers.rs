//! The one table of header names: what is hop-by-hop, what states an identity, what is forwarded.
//!
//! Header names stand here and nowhere else.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use thiserror::Error;

/// Why the header section of a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HeaderFault {
    #[error("the Connection field names a field that is not hop-by-hop")]
    ConnectionNamesEndToEnd,
    #[error("the Connection field is not a list of tokens")]
    ConnectionNotTokens,
    #[error("there is no Host field, or more than one")]
    HostCount,
    #[error("the Host field does not name a host")]
    HostInvalid,
    #[error("the request's target and its Host field name different hosts")]
    HostDiffers,
    #[error("the WebSocket handshake is not whole")]
    UpgradeNotWhole,
    #[error("the expectation is not 100-continue")]
    Expectation,
}

/// Cookie of the gateway, one on every host. `__Host-` keeps other hosts from setting it (RFC 6265bis §4.1.3.2).
pub const COOKIE: &str = "__Host-portcullis";

/// Names of the fields that the gateway states towards an upstream.
pub const SUBJECT: HeaderName = HeaderName::from_static("x-portcullis-subject");
pub const EMAIL: HeaderName = HeaderName::from_static("x-portcullis-email");
pub const GROUPS: HeaderName = HeaderName::from_static("x-portcullis-groups");
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-portcullis-request-id");
pub const ASSERTION: HeaderName = HeaderName::from_static("x-portcullis-assertion");
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
pub const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
pub const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
pub const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
pub const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
pub const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
pub const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Fields that end at this hop (RFC 9110 §7.6.1). The gateway frames both sides anew and sets its own.
const HOP_BY_HOP: [HeaderName; 10] = [
    http::header::CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    http::header::PROXY_AUTHENTICATE,
    http::header::PROXY_AUTHORIZATION,
    http::header::TE,
    http::header::TRAILER,
    http::header::TRANSFER_ENCODING,
    http::header::UPGRADE,
    HTTP2_SETTINGS,
];

/// Fields of an answer that stand in its head or nowhere.
const HEAD_ALONE: [HeaderName; 18] = [
    http::header::AGE,
    http::header::ALT_SVC,
    http::header::CACHE_CONTROL,
    http::header::CONTENT_ENCODING,
    http::header::CONTENT_LENGTH,
    http::header::CONTENT_RANGE,
    http::header::CONTENT_SECURITY_POLICY,
    http::header::CONTENT_TYPE,
    http::header::DATE,
    http::header::EXPIRES,
    http::header::HOST,
    http::header::LOCATION,
    http::header::RETRY_AFTER,
    http::header::SET_COOKIE,
    http::header::STRICT_TRANSPORT_SECURITY,
    http::header::VARY,
    http::header::WARNING,
    http::header::WWW_AUTHENTICATE,
];

/// What a client may list in `Connection`. Any other token would delete an end-to-end field on the way (HD-05), so the
/// request is refused.
const CONNECTION_TOKENS: [&str; 7] = ["close", "keep-alive", "upgrade", "te", "http2-settings", "trailer", "proxy-connection"];

/// Fields by which programs behind a gateway are told who asks, from where, or for what. A client's own are removed on
/// every path, under every spelling that reads the same: see [`begins_folded`].
const STATED_BY_GATEWAYS: [&str; 33] = [
    "forwarded",
    "proxy",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-proxyuser-ip",
    "true-client-ip",
    "fastly-client-ip",
    "client-ip",
    "proxy-client-ip",
    "x-host",
    "x-scheme",
    "x-url-scheme",
    "x-http-host-override",
    "front-end-https",
    "x-sendfile-type",
    "x-middleware-subrequest",
    "remote-user",
    "remote-name",
    "remote-email",
    "remote-group",
    "remote-groups",
    "x-remote-user",
    "x-remote-group",
    "x-remote-groups",
    "x-remote-email",
    "x-remote-name",
    "x-auth-user",
    "x-auth-username",
    "x-auth-email",
    "x-auth-groups",
    "x-auth-roles",
    "x-arr-clientcert",
];

/// Families of the same, by prefix after folding: the gateway's own, those of other gateways and identity proxies, whose names
/// a program may still know, those that state a client certificate (RFC 9440 and its forerunners), and those by which a
/// program is told what was asked for or which files the gateway may send for it (CVE-2025-61780).
const STATED_BY_GATEWAYS_PREFIX: [&str; 30] = [
    "x-portcullis",
    "x-forwarded",
    "x-auth-request-",
    "x-authenticated-",
    "x-authentik-",
    "x-remote-extra-",
    "x-webauth-",
    "x-vouch-",
    "x-pomerium-",
    "x-consumer-",
    "x-goog-authenticated-",
    "x-goog-iap-",
    "x-amzn-oidc-",
    "x-ms-client-principal",
    "cf-access-",
    "cf-connecting-",
    "tailscale-",
    "oidc-claim-",
    "oidc-access-",
    "oidc-id-",
    "wl-proxy-",
    "x-ssl-",
    "ssl-client-",
    "client-cert",
    "x-client-cert",
    "x-client-verify",
    "x-envoy-",
    "x-original-",
    "x-rewrite-",
    "x-accel-",
];

/// Fields that make some frameworks run another method than the one that was judged (PN-18).
const METHOD_OVERRIDES: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];

/// Whether a client's field of this name is kept from every upstream.
#[must_use]
pub fn is_stated_by_gateways(name: &HeaderName) -> bool {
    let name = name.as_str();
    let is_one_of = |known: &[&str]| known.iter().any(|known| name.len() == known.len() && begins_folded(name, known));
    is_one_of(&STATED_BY_GATEWAYS)
        || STATED_BY_GATEWAYS_PREFIX.iter().any(|prefix| begins_folded(name, prefix))
        || is_one_of(&METHOD_OVERRIDES)
}

/// Whether a field ends at this hop.
#[must_use]
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(name)
}

/// Whether a request is gRPC's: its outcome stands in the answer's trailers. gRPC-Web is not: it keeps them in the body.
#[must_use]
pub fn is_grpc(fields: &HeaderMap) -> bool {
    let mut types = fields.get_all(http::header::CONTENT_TYPE).iter();
    let (Some(value), None) = (types.next(), types.next()) else {
        return false;
    };
    let value = value.as_bytes();
    let named = value.get(..GRPC.len()).is_some_and(|start| start.eq_ignore_ascii_case(GRPC));
    named && matches!(value.get(GRPC.len()), None | Some(b'+' | b';' | b' '))
}

const GRPC: &[u8] = b"application/grpc";

/// Whether a name holds a character that programs behind the gateway may read as `-`.
#[must_use]
pub fn has_second_spelling(name: &HeaderName) -> bool {
    !name.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Whether a name begins with `start` as CGI and its heirs read it: case does not tell names apart, nor does it matter which
/// mark stands between words. Some take `_` and `.` for `-`, others whatever is neither letter nor digit.
fn begins_folded(name: &str, start: &str) -> bool {
    name.len() >= start.len() && name.bytes().zip(start.bytes()).all(|(byte, known)| fold_byte(byte) == known)
}

pub(super) const fn fold_byte(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' }
}

/// The client's fields that may travel on to an upstream, in their order: without hop-by-hop fields, without anything a
/// gateway states, without the gateway's cookie, without `Host` (the caller writes the judged one).
#[must_use]
pub fn forwardable(headers: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::with_capacity(headers.len() + 12);
    for (name, value) in headers {
        let ours = matches!(*name, http::header::HOST | http::header::EXPECT | http::header::COOKIE);
        if !ours && !is_hop_by_hop(name) && !is_stated_by_gateways(name) {
            kept.append(name.clone(), value.clone());
        }
    }
    if let Some(cookies) = foreign_cookies(headers) {
        kept.insert(http::header::COOKIE, cookies);
    }
    kept
}

/// The upstream's answer fields that may travel on to the client: hop-by-hop fields, what `Connection` names besides, the
/// gateway's own names and cookies of the gateway's name are removed. Most answers have few of these, so that the rest is not
/// copied.
#[must_use]
pub fn returnable(mut headers: HeaderMap) -> HeaderMap {
    let stays = |name: &HeaderName| !is_hop_by_hop(name) && !begins_folded(name.as_str(), "x-portcullis");
    let mut ends_here: Vec<HeaderName> = headers.keys().filter(|name| !stays(name)).cloned().collect();
    ends_here.extend(named_for_this_hop(&headers));
    for name in ends_here {
        headers.remove(name);
    }
    let is_own = |value: &HeaderValue| sets_own_cookie(value.as_bytes());
    if headers.get_all(http::header::SET_COOKIE).iter().any(is_own) {
        let others: Vec<_> = headers.get_all(http::header::SET_COOKIE).iter().filter(|value| !is_own(value)).cloned().collect();
        headers.remove(http::header::SET_COOKIE);
        headers.extend(others.into_iter().map(|value| (http::header::SET_COOKIE, value)));
    }
    headers
}

/// The same for an answer's trailers, which hold nothing that frames, routes, keeps, formats or signs in besides (RFC 9110 §6.5.1): whoever
/// takes trailers for fields of the head would hear of it too late, and from somebody who may not say it.
#[must_use]
pub fn returnable_trailers(trailers: HeaderMap) -> HeaderMap {
    let mut kept = returnable(trailers);
    for name in HEAD_ALONE {
        kept.remove(name);
    }
    kept
}

/// What an answer's `Connection` says is for this hop alone (RFC 9110 §7.6.1). What is no field name names nothing.
fn named_for_this_hop(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    let fields = headers.get_all(http::header::CONNECTION).iter();
    let tokens = fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    // The two that most answers have name no field that would pass otherwise, and are not made into names.
    let others = tokens.filter(|token| !token.eq_ignore_ascii_case(b"keep-alive") && !token.eq_ignore_ascii_case(b"close"));
    others.filter_map(|token| HeaderName::from_bytes(token).ok())
}

/// The cookies of the client without the gateway's own, in one field; `None` when there are none. Over HTTP/2 each cookie may
/// come in a field of its own, and a program behind that takes one field, or joins them as lists, would read others than were
/// sent (RFC 9113 §8.2.3).
fn foreign_cookies(headers: &HeaderMap) -> Option<HeaderValue> {
    let pairs = || headers.get_all(http::header::COOKIE).iter().flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
    let mut fields = headers.get_all(http::header::COOKIE).iter();
    if let (Some(field), None) = (fields.next(), fields.next())
        && !pairs().any(names_own_cookie)
    {
        return Some(field.clone());
    }
    let kept: Vec<&[u8]> = pairs().map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty() && !names_own_cookie(pair)).collect();
    if kept.is_empty() { None } else { HeaderValue::from_bytes(&kept.join(&b"; "[..])).ok() }
}

/// Whether a `name=value` pair carries the gateway's cookie. The comparison ignores case and white space, because a
/// program behind may.
fn names_own_cookie(pair: &[u8]) -> bool {
    let name = pair.split(|byte| *byte == b'=').next().unwrap_or(pair).trim_ascii();
    name.eq_ignore_ascii_case(COOKIE.as_bytes())
}

/// Whether a `Set-Cookie` makes a browser send the gateway's cookie. A cookie without a name is sent as its value alone, so
/// `=name=value` comes back as `name=value` from browsers that do not look for this (RFC 6265bis §5.7).
fn sets_own_cookie(value: &[u8]) -> bool {
    let from = value.iter().position(|byte| *byte != b'=' && !byte.is_ascii_whitespace()).unwrap_or(value.len());
    names_own_cookie(value.get(from..).unwrap_or_default().split(|byte| *byte == b';').next().unwrap_or_default())
}

/// The value of the gateway's cookie. Two of them are none: the second may be planted (OI-18).
#[must_use]
pub fn own_cookie(headers: &HeaderMap) -> Option<&str> {
    let mut found = None;
    for field in headers.get_all(http::header::COOKIE) {
        for pair in field.as_bytes().split(|byte| *byte == b';') {
            if !names_own_cookie(pair) {
                continue;
            }
            let (name, value) = split_pair(pair.trim_ascii())?;
            if found.is_some() || name != COOKIE.as_bytes() {
                return None;
            }
            found = Some(std::str::from_utf8(value).ok()?);
        }
    }
    found
}

fn split_pair(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = pair.iter().position(|byte| *byte == b'=')?;
    Some((pair.get(..at)?, pair.get(at + 1..)?))
}

/// Checks the `Connection` fields of a request.
pub(crate) fn check_connection(headers: &HeaderMap) -> Result<(), HeaderFault> {
    for field in headers.get_all(http::header::CONNECTION) {
        let text = field.to_str().map_err(|_| HeaderFault::ConnectionNotTokens)?;
        for token in text.split(',').map(str::trim).filter(|token| !token.is_empty()) {
            if !CONNECTION_TOKENS.iter().any(|known| token.eq_ignore_ascii_case(known)) {
                return Err(HeaderFault::ConnectionNamesEndToEnd);
            }
        }
    }
    Ok(())
}

/// `Expect` holds `100-continue` or is absent (RFC 9110 §10.1.1).
pub(crate) fn check_expectation(headers: &HeaderMap) -> Result<(), HeaderFault> {
    let mut fields = headers.get_all(http::header::EXPECT).iter();
    match (fields.next(), fields.next()) {
        (None, _) => Ok(()),
        (Some(value), None) if value.as_bytes().eq_ignore_ascii_case(b"100-continue") => Ok(()),
        _ => Err(HeaderFault::Expectation),
    }
}

/// Whether the client asks for a WebSocket (RFC 6455 §4.1, RFC 8441 §5). Any other upgrade is an offer that may be declined,
/// and is (`Upgrade` does not travel); a WebSocket handshake that is not whole is refused.
pub(crate) fn read_upgrade(head: &http::request::Parts) -> Result<super::Upgrade, HeaderFault> {
    let once = |name: HeaderName| head.headers.get_all(name).iter().count() == 1;
    let framed = head.headers.contains_key(http::header::CONTENT_LENGTH) || head.headers.contains_key(http::header::TRANSFER_ENCODING);
    if is_extended_connect(head) {
        // There is no key over HTTP/2: nothing here could be taken for an answer to another handshake.
        let whole = once(http::header::SEC_WEBSOCKET_VERSION) && !framed;
        return if whole { Ok(super::Upgrade::WebSocket) } else { Err(HeaderFault::UpgradeNotWhole) };
    }
    let mut offers = head.headers.get_all(http::header::UPGRADE).iter();
    let (Some(offer), another) = (offers.next(), offers.next()) else {
        return Ok(super::Upgrade::None);
    };
    if head.version != http::Version::HTTP_11 || !offer.as_bytes().eq_ignore_ascii_case(b"websocket") {
        return Ok(super::Upgrade::None);
    }
    let asks = connection_lists(&head.headers, "upgrade");
    let whole = head.method == http::Method::GET
        && another.is_none()
        && asks
        && once(http::header::SEC_WEBSOCKET_KEY)
        && once(http::header::SEC_WEBSOCKET_VERSION)
        && !framed;
    if whole { Ok(super::Upgrade::WebSocket) } else { Err(HeaderFault::UpgradeNotWhole) }
}

/// Whether this is HTTP/2's way to ask for a WebSocket. Any other CONNECT is not served.
pub(crate) fn is_extended_connect(head: &http::request::Parts) -> bool {
    let websocket = |protocol: &super::ExtendedConnect| &*protocol.0 == "websocket";
    head.version == http::Version::HTTP_2
        && head.method == http::Method::CONNECT
        && head.extensions.get::<super::ExtendedConnect>().is_some_and(websocket)
}

/// The page that opens a WebSocket is one of the same origin (WS-01). Browsers always send `Origin` with the handshake, do not
/// ask first, and do send the cookie; so a handshake without it, or with another's, is refused. The text is compared as it
/// stands: a browser writes an origin in one way only.
pub fn websocket_origin(headers: &HeaderMap, authority: &super::host::Authority) -> Result<(), crate::Rejection> {
    let mut origins = headers.get_all(http::header::ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (Some(origin), None) if origin.as_bytes() == authority.origin().as_bytes() => Ok(()),
        _ => Err(crate::Rejection::Forbidden(crate::policy::Reason::CrossSite)),
    }
}

fn connection_lists(headers: &HeaderMap, token: &str) -> bool {
    headers
        .get_all(http::header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|text| text.split(',').any(|listed| listed.trim().eq_ignore_ascii_case(token)))
}
