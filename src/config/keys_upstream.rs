//! The keys of `[upstream]`, of `portcullis.toml` and of a route.

use super::keys::Form::{Choice, Count, Duration, Size, Table, Text};
use super::keys::Need::{Default, Optional, Required};
use super::keys::{CERTIFICATE, Key, key};

/// `[upstream]` of `portcullis.toml`
pub const UPSTREAM: &[Key] = &[
    key("connect_timeout", Duration, Default("\"5s\""), "Time for a connection to an upstream, TLS included."),
    key("first_byte_timeout", Duration, Default("\"60s\""), "Time from the end of a request to the first byte of its answer."),
    key("idle_timeout", Duration, Default("\"5m\""), "Time without a byte in either direction after which an exchange is cut."),
    key(
        "body_rate_min",
        Size,
        Default("\"100B\""),
        "Bytes a second: a request body is given up when, with a minute to spare, less came of it while it was waited for. 0B: no bound.",
    ),
    key("idle_connections", Count, Default("256"), "Unused HTTP/1.1 connections kept for each upstream."),
    key("idle_connection_timeout", Duration, Default("\"30s\""), "How long an unused connection to an upstream is kept."),
    key("slow_start", Duration, Default("\"30s\""), "How long an upstream that came back gets less than its share of the work."),
    key("ca", Text, Optional("the system's roots"), "PEM file with further roots for https upstreams."),
];

pub const ROUTE_UPSTREAM: &[Key] = &[
    key(
        "protocol",
        Choice(&["h1", "h2", "auto"]),
        Default("\"h1\""),
        "h1: HTTP/1.1. h2: HTTP/2, by ALPN over TLS and by prior knowledge without; gRPC needs it. auto: what the upstream chooses by ALPN.",
    ),
    key(
        "assertion",
        Choice(&["request", "session", "off"]),
        Default("\"request\""),
        "request: X-Portcullis-Assertion is signed for each request and names it. session: for each session and rule, used for 15 seconds, and names no request; costs a fraction. off: none is sent.",
    ),
    key("connect_timeout", Duration, Optional("[upstream] of portcullis.toml"), "Time for a connection, TLS included."),
    key("first_byte_timeout", Duration, Optional("[upstream] of portcullis.toml"), "Time from the end of a request to its answer."),
    key("idle_timeout", Duration, Optional("[upstream] of portcullis.toml"), "Time without a byte after which an exchange is cut."),
    key("body_max", Size, Optional("no bound"), "Bytes of a request's body; more is refused with 413."),
    key("body_rate_min", Size, Optional("[upstream] of portcullis.toml"), "Bytes a second that a request's body must bring. 0B: no bound."),
    key("slow_start", Duration, Optional("[upstream] of portcullis.toml"), "How long an upstream that came back gets less than its share."),
    key(
        "tls_name",
        Text,
        Optional("the host in `to`"),
        "The name that an https upstream's certificate must have, and that is sent as SNI.",
    ),
    key("ca", Text, Optional("[upstream] of portcullis.toml"), "PEM file with further roots for this route's https upstreams."),
    key("certificate", Table(CERTIFICATE), Optional("none is shown"), "Client certificate for https upstreams that ask for one."),
    key("health", Table(HEALTH), Optional("no checks"), "Asks each upstream for a page over and over, and passes over those that fail."),
];

pub const HEALTH: &[Key] = &[
    key("path", Text, Required("\"/healthz\""), "Path to ask for with GET; a status of 2xx or 3xx is good."),
    key("host", Text, Optional("the upstream's"), "The `Host` to ask for."),
    key("interval", Duration, Default("\"10s\""), "Time between two questions."),
    key("timeout", Duration, Default("\"2s\""), "Time for one answer, the connection included."),
    key("unhealthy_after", Count, Default("3"), "Bad answers in a row after which the upstream is passed over."),
    key("healthy_after", Count, Default("2"), "Good answers in a row after which it is asked again."),
];
