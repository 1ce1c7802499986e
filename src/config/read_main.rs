//! `portcullis.toml`: from the spanned tree to the typed sections.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kernel::detection::Rules;
use kernel::identity::Group;
use kernel::identity::assurance::{Requirement, Strength};
use kernel::quota::Rate;
use kernel::request::host::Authority;
use kernel::session::SessionRules;

use super::acme;
use super::client_facing::Redirect;
use super::detection::{self, Notify};
use super::keys;
use super::read_facing::{self, PROFILES};
use super::read_files;
use super::read_idp::{idps, second_factor, second_factor_default};
use super::read_sink;
use super::read_upstream;
use super::reader::{Fault, Table, Value};
use super::sections::*;
use super::source::Place;
use super::traces::{self, Traces};
use super::values;

/// What was read of `portcullis.toml`: each section on its own, so that a mistake in one does not hide those in routes.
pub(super) struct Main {
    pub gateway: Option<Gateway>,
    /// The gateway's host, even when the rest of its section is wrong, and where it stands.
    pub url: Option<(Authority, Place)>,
    /// `None` when one of them was not read.
    pub listeners: Option<Vec<(Listener, Place)>>,
    pub operations: Operations,
    pub redirect: Redirect,
    pub tls: Option<Tls>,
    pub idps: Option<Vec<Idp>>,
    pub second_factor: SecondFactor,
    pub session: SessionRules,
    pub rate_limit: RateLimit,
    pub audit: Option<Audit>,
    pub detection: Rules,
    pub notify: Option<Notify>,
    pub traces: Option<Traces>,
    pub store: Option<Store>,
    pub classes: BTreeMap<Arc<str>, Class>,
    pub admin: Admin,
    pub upstream: UpstreamRules,
    pub sandbox: Sandbox,
    pub limits: Limits,
}

impl Main {
    /// Whether anybody answers on a port for plain HTTP.
    pub fn hears_plain_http(&self) -> bool {
        self.redirect.bind.is_some()
    }
}

pub(super) fn read(file: &Table<'_>) -> Main {
    let gateway_table = file.need("gateway", |value| value.table(keys::GATEWAY));
    let (gateway, url) = gateway_table.as_ref().map_or((None, None), gateway);
    let idps = file.need("idp", idps);
    let session = file.or("session", session_default(), session);
    let tls_table = file.need("tls", |value| value.table(keys::TLS));
    let state_dir = gateway.as_ref().map(|gateway| gateway.state_dir.clone());
    Main {
        url,
        listeners: file.need("listener", listeners),
        operations: file.or("operations", Operations { bind: OPERATIONS_BIND }, |value| {
            let table = value.table(keys::OPERATIONS)?;
            Some(Operations { bind: table.or("bind", OPERATIONS_BIND, values::socket_address) })
        }),
        redirect: file.or("redirect", Redirect::default(), read_facing::redirect),
        tls: tls_table.as_ref().and_then(tls),
        second_factor: file.or("second_factor", second_factor_default(), |value| second_factor(value, idps.as_deref())),
        session,
        rate_limit: file.or("rate_limit", rate_limit_default(), rate_limit),
        audit: file.need("audit", audit),
        detection: file.or("detection", Rules::default(), detection::detection),
        notify: file.value("notify").map_or_else(|| Some(Notify::default()), |value| detection::notify(&value)),
        traces: file.value("traces").map_or(Some(Traces::Off), |value| traces::read(&value)),
        store: store(file, state_dir.as_deref()),
        classes: classes(file, session),
        admin: file.or("admin", Admin { groups: Vec::new() }, admin),
        upstream: file.or("upstream", read_upstream::default(), read_upstream::main),
        sandbox: file.or("sandbox", Sandbox::default(), super::sandbox::read),
        limits: file.or("limits", LIMITS_DEFAULT, limits),
        gateway,
        idps,
    }
}

fn gateway(table: &Table<'_>) -> (Option<Gateway>, Option<(Authority, Place)>) {
    let url = table.need("url", |value| Some((value.parsed(values::https_authority)?, value.place())));
    let state_dir = table.need("state_dir", read_files::path);
    let master_key = table.need("master_key", read_files::ring);
    let whole = match (&url, state_dir, master_key) {
        (Some((url, _)), Some(state_dir), Some(master_key)) => Some(Gateway { url: url.clone(), state_dir, master_key }),
        _ => None,
    };
    (whole, url)
}

fn listeners(value: &Value<'_>) -> Option<Vec<(Listener, Place)>> {
    let names = RefCell::new(Vec::new());
    let read: Vec<(Listener, Value<'_>)> = value.each_filled(|value| Some((listener(value, &names)?, value.clone())))?;
    for (index, (listener, value)) in read.iter().enumerate() {
        for (other, _) in read.iter().take(index) {
            if other.bind == listener.bind && listener.bind.port() != 0 {
                value.error(format!("two listeners have the address {}", listener.bind), "bind each listener to its own address");
            }
        }
    }
    Some(read.into_iter().map(|(listener, value)| (listener, value.place())).collect())
}

/// `names` are those of the listeners before this one, whatever else is wrong with them.
fn listener(value: &Value<'_>, names: &RefCell<Vec<Box<str>>>) -> Option<Listener> {
    let table = value.table(keys::LISTENER)?;
    let name = table.need("name", |value| {
        let name = value.owned()?;
        if names.borrow().contains(&name) {
            value.error(format!("two listeners are named `{name}`"), "give each listener its own name");
        }
        names.borrow_mut().push(name.clone());
        Some(name)
    });
    let bind = table.need("bind", values::socket_address);
    let public_port = table.value("public_port").map(|port| port.count(1..=65_535));
    let protocols = table.or("protocols", vec![Protocol::Http1, Protocol::Http2], |value| value.each_filled(protocol));
    let (trusted_proxies, proxy_protocol) = read_facing::proxies(&table);
    let tls_profile = table.value("tls_profile").map_or(Some(None), |value| value.choice(&PROFILES).map(Some));
    let client_certificates = read_facing::client_certificates(&table);
    let bind = bind?;
    let public_port = match public_port {
        None => bind.port(),
        Some(port) => u16::try_from(port?).ok()?,
    };
    let (proxy_protocol, tls_profile, client_certificates) = (proxy_protocol?, tls_profile?, client_certificates?);
    Some(Listener { name: name?, bind, public_port, protocols, trusted_proxies, proxy_protocol, tls_profile, client_certificates })
}

fn protocol(value: &Value<'_>) -> Option<Protocol> {
    if value.text()? == "h3" {
        value.error("this build has no HTTP/3, so `h3` cannot be offered", "remove \"h3\"");
        return None;
    }
    value.choice(&[("h1", Protocol::Http1), ("h2", Protocol::Http2)])
}

fn tls(table: &Table<'_>) -> Option<Tls> {
    let profile = table.or("profile", TlsProfile::Modern, |value| value.choice(&PROFILES));
    let hsts = table.or("hsts", read_facing::HSTS_DEFAULT, read_facing::hsts);
    let read = |value: &Value<'_>| value.table(keys::CERTIFICATE).and_then(|table| read_files::certificate(&table));
    let acme = table.value("acme").map_or(Some(None), |value| acme::read(&value).map(Some));
    if matches!(acme, Some(None)) && table.value("certificate").is_none() {
        table.error("there is no certificate", "add [[tls.certificate]] with `cert` and `key`, or [tls.acme]");
        return None;
    }
    let certificates = table.value("certificate").map_or_else(|| Some(Vec::new()), |value| value.each_filled(read));
    Some(Tls { profile, hsts, certificates: certificates?, acme: acme? })
}

/// A name for ids: letters, digits, hyphens and underscores.
pub(super) fn identifier(value: &Value<'_>) -> Option<Box<str>> {
    value.parsed(|text| {
        let plain = text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        let simple: String =
            text.chars().map(|character| if character.is_ascii_alphanumeric() { character } else { '-' }).take(64).collect();
        plain.then(|| text.into()).ok_or_else(|| {
            Fault::new(
                format!("`{text}` is not a name: letters, digits, hyphens and underscores, at most 64"),
                format!("did you mean `{simple}`?"),
            )
        })
    })
}

fn session(value: &Value<'_>) -> Option<SessionRules> {
    let table = value.table(keys::SESSION)?;
    let default = session_default();
    let idle_timeout = table.or("idle_timeout", default.idle_timeout, |value| values::duration(value, MINUTE, 30 * DAY));
    let absolute_timeout = table.or("absolute_timeout", default.absolute_timeout, |value| values::duration(value, MINUTE, 30 * DAY));
    if let Some(value) = table.value("idle_timeout").filter(|_| idle_timeout > absolute_timeout) {
        let mend = format!("write at most the absolute_timeout, \"{}\"", values::write_duration(absolute_timeout));
        value.error("the idle_timeout is longer than the absolute_timeout", mend);
    } else if let Some(value) = table.value("absolute_timeout").filter(|_| idle_timeout > absolute_timeout) {
        let mend = format!("write at least the idle_timeout, \"{}\"", values::write_duration(idle_timeout));
        value.error("the absolute_timeout is shorter than the idle_timeout", mend);
    }
    Some(SessionRules { idle_timeout, absolute_timeout })
}

fn rate_limit(value: &Value<'_>) -> Option<RateLimit> {
    let table = value.table(keys::RATE_LIMIT)?;
    let default = rate_limit_default();
    Some(RateLimit {
        per_address: table.or("per_address", default.per_address, values::rate),
        per_subject: table.or("per_subject", default.per_subject, values::rate),
        sign_in: table.or("sign_in", default.sign_in, values::rate),
        second_factor: table.or("second_factor", default.second_factor, values::rate),
    })
}

fn audit(value: &Value<'_>) -> Option<Audit> {
    let table = value.table(keys::AUDIT)?;
    let dir = table.need("dir", read_files::path);
    let levels = [("queued", Durability::Queued), ("written", Durability::Written), ("synced", Durability::Synced)];
    let durability = table.or("durability", Durability::Written, |value| value.choice(&levels));
    let signing_key = table.need("signing_key", read_files::key);
    let sinks = table.or("sink", Vec::new(), |value| read_sink::sinks(value, dir.as_deref()));
    let ways = [("plain", Personal::Plain), ("sealed", Personal::Sealed)];
    let personal = table.or("personal", Personal::Plain, |value| value.choice(&ways));
    let parts = [("full", ClientAddress::Full), ("network", ClientAddress::Network)];
    let client_address = table.or("client_address", ClientAddress::Full, |value| value.choice(&parts));
    let retention = table.or("retention", Retention::default(), retention);
    Some(Audit { dir: dir?, durability, signing_key: signing_key?, personal, client_address, retention, sinks })
}

fn retention(value: &Value<'_>) -> Option<Retention> {
    let table = value.table(keys::RETENTION)?;
    let span = |value: &Value<'_>| values::duration(value, Duration::from_secs(24 * 3_600), Duration::from_secs(36_500 * 24 * 3_600));
    let classes = keys::RETENTION.iter().map(|key| key.name).filter(|name| *name != "default");
    Some(Retention {
        default: table.or("default", Retention::default().default, span),
        classes: classes.filter_map(|name| Some((name, span(&table.value(name)?)?))).collect(),
    })
}

fn store(file: &Table<'_>, state_dir: Option<&Path>) -> Option<Store> {
    let in_state_dir = |path: &str| state_dir.map(|dir| dir.join(path));
    let Some(value) = file.value("store") else {
        return in_state_dir(STORE_FILE).map(|sqlite| Store { sqlite });
    };
    let table = value.table(keys::STORE);
    if let Some(shared) = table.as_ref().and_then(|table| table.value("shared")) {
        shared.error("this build has no shared store", "remove `shared`: one node needs none");
    }
    let Some(url) = table?.value("url") else {
        return in_state_dir(STORE_FILE).map(|sqlite| Store { sqlite });
    };
    let path = url.parsed(|text| {
        let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
        match text.strip_prefix("sqlite:") {
            Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
            Some(_) => Err(Fault::new("the database has no path", "write \"sqlite:portcullis.db\"")),
            None if matches!(scheme, "postgres" | "postgresql" | "redis" | "rediss") => {
                Err(Fault::new(format!("this build has no `{scheme}` store"), "write \"sqlite:portcullis.db\""))
            }
            None => Err(Fault::new(format!("`{text}` is not a store"), "write \"sqlite:portcullis.db\"")),
        }
    })?;
    state_dir.map(|dir| Store { sqlite: dir.join(path) })
}

/// The classes that are always there.
pub(super) fn classes_built_in() -> BTreeMap<Arc<str>, Class> {
    let internal = Class { second_factor: FACTOR_DEFAULT, idle_timeout: None };
    let strong = Requirement { strength: Strength::PhishingResistant, max_age: 15 * MINUTE };
    let restricted = Class { second_factor: strong, idle_timeout: Some(10 * MINUTE) };
    BTreeMap::from([("internal".into(), internal), ("restricted".into(), restricted)])
}

fn classes(file: &Table<'_>, session: SessionRules) -> BTreeMap<Arc<str>, Class> {
    let mut classes = classes_built_in();
    for (name, value) in file.value("class").and_then(|value| value.named()).unwrap_or_default() {
        // A class with a mistake in it is still there, so that routes are not blamed for naming it.
        let class = class(&value, session).unwrap_or(Class { second_factor: FACTOR_DEFAULT, idle_timeout: None });
        classes.insert(name.into(), class);
    }
    classes
}

fn class(value: &Value<'_>, session: SessionRules) -> Option<Class> {
    let table = value.table(keys::CLASS)?;
    let second_factor = table.or("second_factor", FACTOR_DEFAULT, |value| factor(value, FACTOR_DEFAULT));
    let idle_timeout = table.value("idle_timeout").map(|value| {
        let span = values::duration(&value, MINUTE, 30 * DAY)?;
        if span > session.idle_timeout {
            let mend = format!("write at most \"{}\"", values::write_duration(session.idle_timeout));
            value.error("a class's idle_timeout cannot be longer than the session's", mend);
        }
        Some(span)
    });
    Some(Class { second_factor, idle_timeout: idle_timeout.map_or(Some(None), |span| span.map(Some))? })
}

/// What is asked of a factor; what is left out is as in `base`.
pub(super) fn factor(value: &Value<'_>, base: Requirement) -> Option<Requirement> {
    let table = value.table(keys::FACTOR)?;
    let strengths = [("any", Strength::Any), ("phishing-resistant", Strength::PhishingResistant)];
    Some(Requirement {
        strength: table.or("strength", base.strength, |value| value.choice(&strengths)),
        max_age: table.or("max_age", base.max_age, |value| values::duration(value, 30 * SECOND, 30 * DAY)),
    })
}

fn admin(value: &Value<'_>) -> Option<Admin> {
    let table = value.table(keys::ADMIN)?;
    let group = |value: &Value<'_>| value.text().map(Group::new);
    Some(Admin { groups: table.or("groups", Vec::new(), |value| value.each(group)) })
}

fn limits(value: &Value<'_>) -> Option<Limits> {
    let table = value.table(keys::LIMITS)?;
    let default = LIMITS_DEFAULT;
    let count =
        |name, default: usize, most| table.or(name, default, |value| value.count(1..=most).and_then(|count| usize::try_from(count).ok()));
    let span = |name, default| table.or(name, default, |value| values::duration(value, 100 * MILLISECOND, HOUR));
    Some(Limits {
        connections: count("connections", default.connections, 1_000_000),
        connections_per_address: count("connections_per_address", default.connections_per_address, 1_000_000),
        handshakes: count("handshakes", default.handshakes, 1_000_000),
        requests: count("requests", default.requests, 1_000_000),
        header_bytes: table.or("header_bytes", default.header_bytes, |value| values::size(value, 4_096, 1_048_576)),
        header_count: count("header_count", default.header_count, 1_000),
        streams: table.or("streams", default.streams, |value| value.count(1..=10_000)),
        handshake_timeout: span("handshake_timeout", default.handshake_timeout),
        header_timeout: span("header_timeout", default.header_timeout),
        keep_alive_timeout: span("keep_alive_timeout", default.keep_alive_timeout),
        body_timeout: span("body_timeout", default.body_timeout),
        stalled_timeout: span("stalled_timeout", default.stalled_timeout),
        drain_timeout: span("drain_timeout", default.drain_timeout),
    })
}

const fn session_default() -> SessionRules {
    SessionRules { idle_timeout: Duration::from_secs(30 * 60), absolute_timeout: Duration::from_secs(12 * 3_600) }
}

const fn rate_limit_default() -> RateLimit {
    RateLimit {
        per_address: per(100, SECOND, 200),
        per_subject: per(100, SECOND, 200),
        sign_in: per(10, MINUTE, 10),
        second_factor: per(5, MINUTE, 5),
    }
}

const fn per(count: u32, span: Duration, burst: u32) -> Rate {
    Rate { count: at_least_one(count), per: span, burst: at_least_one(burst) }
}

const fn at_least_one(count: u32) -> NonZeroU32 {
    match NonZeroU32::new(count) {
        Some(count) => count,
        None => NonZeroU32::MIN,
    }
}

const LIMITS_DEFAULT: Limits = Limits {
    connections: 10_000,
    connections_per_address: 256,
    handshakes: 256,
    requests: 10_000,
    header_bytes: 32_768,
    header_count: 100,
    streams: 100,
    handshake_timeout: Duration::from_secs(10),
    header_timeout: Duration::from_secs(10),
    keep_alive_timeout: MINUTE,
    body_timeout: MINUTE,
    stalled_timeout: MINUTE,
    drain_timeout: Duration::from_secs(30),
};
const OPERATIONS_BIND: std::net::SocketAddr = std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9_464);
const FACTOR_DEFAULT: Requirement = Requirement { strength: Strength::Any, max_age: Duration::from_secs(12 * 3_600) };
const STORE_FILE: &str = "portcullis.db";
const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
pub(super) const DAY: Duration = Duration::from_secs(86_400);
