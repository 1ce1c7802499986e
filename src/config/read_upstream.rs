//! `[upstream]`, of `portcullis.toml` and of a route.

use std::time::Duration;

use kernel::route::Upstream;
use rustls_pki_types::ServerName;

use super::keys;
use super::read_files;
use super::read_main::{DAY, MINUTE};
use super::reader::{Fault, Table, Value};
use super::route_file::{Assertion, Health, RouteUpstream, UpstreamProtocol};
use super::sections::UpstreamRules;
use super::values;

/// `[upstream]` of `portcullis.toml`.
pub(super) fn main(value: &Value<'_>) -> Option<UpstreamRules> {
    let table = value.table(keys::UPSTREAM)?;
    let default = default();
    let span = |name, default| table.or(name, default, timeout);
    let ca = table.value("ca").map(|value| read_files::roots(&value));
    Some(UpstreamRules {
        connect_timeout: span("connect_timeout", default.connect_timeout),
        first_byte_timeout: span("first_byte_timeout", default.first_byte_timeout),
        idle_timeout: span("idle_timeout", default.idle_timeout),
        body_rate_min: table.or("body_rate_min", default.body_rate_min, rate),
        idle_connections: table.or("idle_connections", default.idle_connections, |value| {
            value.count(1..=100_000).and_then(|count| usize::try_from(count).ok())
        }),
        idle_connection_timeout: span("idle_connection_timeout", default.idle_connection_timeout),
        slow_start: table.or("slow_start", default.slow_start, ramp),
        ca: ca.flatten(),
    })
}

pub(super) const fn default() -> UpstreamRules {
    UpstreamRules {
        connect_timeout: Duration::from_secs(5),
        first_byte_timeout: MINUTE,
        idle_timeout: Duration::from_secs(300),
        body_rate_min: 100,
        idle_connections: 256,
        idle_connection_timeout: Duration::from_secs(30),
        slow_start: Duration::from_secs(30),
        ca: None,
    }
}

/// `[upstream]` of a route; `to` is where the upstreams are, if that could be read.
pub(super) fn route(file: &Table<'_>, to: Option<&[Upstream]>) -> Option<RouteUpstream> {
    let Some(value) = file.value("upstream") else { return Some(RouteUpstream::default()) };
    let table = value.table(keys::ROUTE_UPSTREAM)?;
    if let Some(to) = to {
        check_tls(&table, to);
    }
    let protocols = [("h1", UpstreamProtocol::Http1), ("h2", UpstreamProtocol::Http2), ("auto", UpstreamProtocol::Auto)];
    let protocol = table.or("protocol", UpstreamProtocol::Http1, |value| value.choice(&protocols));
    let assertions = [("request", Assertion::Request), ("session", Assertion::Session), ("off", Assertion::Off)];
    let assertion = table.or("assertion", Assertion::Request, |value| value.choice(&assertions));
    // A mistake is noted where it stands; what is left out is not one.
    let span = |name, read: fn(&Value<'_>) -> Option<Duration>| table.value(name).map_or(Some(None), |value| read(&value).map(Some));
    let bytes = |name, read: fn(&Value<'_>) -> Option<u64>| table.value(name).map_or(Some(None), |value| read(&value).map(Some));
    let tls_name = table.value("tls_name").map_or(Some(None), |value| tls_name(&value).map(Some));
    let ca = table.value("ca").map_or(Some(None), |value| read_files::roots(&value).map(Some));
    let certificate = table.value("certificate").map_or(Some(None), |value| {
        let pair = value.table(keys::CERTIFICATE)?;
        read_files::certificate(&pair).map(Some)
    });
    let health = table.value("health").map_or(Some(None), |value| health(&value).map(Some));
    let (connect_timeout, first_byte_timeout) = (span("connect_timeout", timeout), span("first_byte_timeout", timeout));
    let (idle_timeout, slow_start) = (span("idle_timeout", timeout), span("slow_start", ramp));
    let (body_max, body_rate_min) = (bytes("body_max", body_max), bytes("body_rate_min", rate));
    Some(RouteUpstream {
        protocol,
        assertion,
        connect_timeout: connect_timeout?,
        first_byte_timeout: first_byte_timeout?,
        idle_timeout: idle_timeout?,
        body_max: body_max?,
        body_rate_min: body_rate_min?,
        tls_name: tls_name?,
        ca: ca?,
        certificate: certificate?,
        slow_start: slow_start?,
        health: health?,
    })
}

/// What is said about TLS means nothing where there is none, and somebody who wrote it thinks that there is.
fn check_tls(table: &Table<'_>, to: &[Upstream]) {
    if to.iter().any(|upstream| matches!(upstream, Upstream::Https(_))) {
        return;
    }
    for name in ["tls_name", "ca", "certificate"] {
        if let Some(value) = table.value(name) {
            value.error(format!("`{name}` means nothing: no upstream of this route is https"), "write `https://` in `to`, or remove it");
        }
    }
}

fn tls_name(value: &Value<'_>) -> Option<Box<str>> {
    value.parsed(|text| {
        let fault = |_| Fault::new(format!("`{text}` is not the name of a certificate"), "write a host name: \"db.internal.example.com\"");
        ServerName::try_from(text).map_err(fault).map(|_| text.into())
    })
}

fn health(value: &Value<'_>) -> Option<Health> {
    let table = value.table(keys::HEALTH)?;
    let path = table.need("path", |value| {
        value.parsed(|text| {
            let plain = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
            plain.then(|| text.into()).ok_or_else(|| Fault::new(format!("`{text}` is not a path"), "write a path: \"/healthz\""))
        })
    });
    let host = table.value("host").map_or(Some(None), |value| {
        let fault = |text: &str| Fault::new(format!("`{text}` is not a host"), "write a host: \"app.internal.example.com\"");
        value.parsed(|text| text.parse::<http::uri::Authority>().map(|_| Some(text.into())).map_err(|_| fault(text)))
    });
    let count = |name, default: u32| table.or(name, default, |value| value.count(1..=100));
    let interval = table.or("interval", INTERVAL, |value| values::duration(value, Duration::from_secs(1), DAY));
    let timeout = table.or("timeout", TIMEOUT, |value| values::duration(value, Duration::from_millis(100), MINUTE));
    Some(Health {
        path: path?,
        host: host?,
        interval,
        timeout,
        unhealthy_after: count("unhealthy_after", 3),
        healthy_after: count("healthy_after", 2),
    })
}

fn timeout(value: &Value<'_>) -> Option<Duration> {
    values::duration(value, Duration::from_millis(100), DAY)
}

fn ramp(value: &Value<'_>) -> Option<Duration> {
    values::duration(value, Duration::ZERO, DAY)
}

fn rate(value: &Value<'_>) -> Option<u64> {
    values::size(value, 0, 1_073_741_824).and_then(|bytes| u64::try_from(bytes).ok())
}

fn body_max(value: &Value<'_>) -> Option<u64> {
    values::size(value, 0, 1 << 50).and_then(|bytes| u64::try_from(bytes).ok())
}

const INTERVAL: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(2);
