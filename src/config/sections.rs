//! The sections of `portcullis.toml` as types: plain data, every value already checked, every file already read.
//!
//! The doc comment of a field gives unit, default, effect and, where there is one, the source of the default.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use kernel::detection::Rules;
use kernel::identity::Group;
use kernel::identity::assurance::{FactorKind, Requirement};
use kernel::quota::Rate;
use kernel::request::host::Authority;
use kernel::session::SessionRules;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use url::Url;

use super::acme::Acme;
use super::client_facing::{ClientCertificates, Hsts, Redirect};
use super::detection::Notify;
use super::route_file::RouteFile;
pub use super::sandbox::{Sandbox, SandboxMode};
use super::secret::{Key, KeyRing, Secret};
use super::sink::Sink;
use super::traces::Traces;

/// A whole configuration: `portcullis.toml` and every file in `routes/`.
#[derive(Clone, Debug)]
pub struct Config {
    pub gateway: Gateway,
    /// Never empty.
    pub listeners: Vec<Listener>,
    pub operations: Operations,
    pub redirect: Redirect,
    pub tls: Tls,
    /// Never empty.
    pub idps: Vec<Idp>,
    pub second_factor: SecondFactor,
    /// `idle_timeout` default 30m, `absolute_timeout` default 12h (NIST SP 800-63B-4 §2.2.3 names 1h and 24h as bounds).
    pub session: SessionRules,
    pub rate_limit: RateLimit,
    pub audit: Audit,
    /// `[detection]`
    pub detection: Rules,
    pub notify: Notify,
    pub traces: Traces,
    pub store: Store,
    /// By name; `internal` and `restricted` are always there.
    pub classes: BTreeMap<Arc<str>, Class>,
    pub admin: Admin,
    pub upstream: UpstreamRules,
    pub sandbox: Sandbox,
    pub limits: Limits,
    /// In the order of the file names.
    pub routes: Vec<RouteFile>,
}

/// `[gateway]`
#[derive(Clone, Debug)]
pub struct Gateway {
    /// The gateway's own host: sign-in, portal, admin. Written as an `https://` URL without a path. Required.
    pub url: Authority,
    /// Folder for the database and the control socket; relative to the configuration's folder. Required.
    pub state_dir: PathBuf,
    /// Seals secrets at rest. A key file; several lines are a ring, the first one current. Required.
    pub master_key: KeyRing,
}

/// `[[listener]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// For logs and metrics. Required.
    pub name: Box<str>,
    /// Address and port to listen on. Required.
    pub bind: SocketAddr,
    /// The port that clients see, where a port mapping stands before the gateway. Default: the port of `bind`.
    pub public_port: u16,
    /// Default `["h1", "h2"]`. Offered by ALPN. Never empty.
    pub protocols: Vec<Protocol>,
    /// Networks whose `X-Forwarded-For` and PROXY headers are believed. Default empty: nobody's.
    pub trusted_proxies: Vec<IpNet>,
    /// Default false. With true every connection must begin with a PROXY header, from a trusted proxy.
    pub proxy_protocol: ProxyProtocol,
    /// Default: that of `[tls]`.
    pub tls_profile: Option<TlsProfile>,
    /// Default: clients are not asked for one.
    pub client_certificates: ClientCertificates,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

/// Whether connections begin with a PROXY header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyProtocol {
    #[default]
    Refused,
    Required,
}

/// `[operations]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operations {
    /// Health and metrics, without TLS. Default `127.0.0.1:9464` (the port OpenTelemetry gives Prometheus exporters).
    pub bind: SocketAddr,
}

/// `[tls]`
#[derive(Debug)]
pub struct Tls {
    /// Default `modern`.
    pub profile: TlsProfile,
    pub hsts: Hsts,
    /// Chosen by server name. Empty only with `acme`.
    pub certificates: Vec<Certificate>,
    /// `[tls.acme]`. Default: none are obtained.
    pub acme: Option<Acme>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsProfile {
    /// TLS 1.3 alone.
    Modern,
    /// TLS 1.2 with AEAD and ECDHE, and 1.3.
    Intermediate,
    /// Of that, what BSI TR-02102-2 names.
    Bsi,
    /// Of that, what NIST SP 800-52 names, for PCI DSS.
    Pci,
}

/// `[[tls.certificate]]`: what stood in the two files when the configuration was read.
pub struct Certificate {
    pub cert: PathBuf,
    pub key: PathBuf,
    /// The certificate and its intermediates. Never empty.
    pub chain: Vec<CertificateDer<'static>>,
    pub private_key: PrivateKeyDer<'static>,
}

/// `[[idp]]`
#[derive(Clone, Debug)]
pub struct Idp {
    /// Names the provider in sessions and records. Required.
    pub id: Box<str>,
    /// What the chooser shows. Default: the id.
    pub label: Box<str>,
    /// Issuer identifier, as the provider writes it. `https`, or `http` on loopback. Required.
    pub issuer: Url,
    /// The issuer byte by byte as it was written, because `iss` is compared byte by byte.
    pub issuer_text: Box<str>,
    pub client_id: Box<str>,
    pub client_secret: Secret,
    /// Default `["openid", "profile", "email", "groups"]`. `openid` is always asked for.
    pub scopes: Vec<Box<str>>,
    /// Claim that holds the groups. Default `groups`.
    pub groups_claim: Box<str>,
    /// Roots that are trusted for this provider beside the system's. Default none.
    pub ca: Option<RootFile>,
    /// Domains for whose addresses the provider may vouch. Default: any.
    pub email_domains: EmailDomains,
    /// Default false: an e-mail address without `email_verified = true` is not taken.
    pub trust_unverified_email: EmailTrust,
}

/// For which e-mail addresses an IdP may vouch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EmailDomains {
    Any,
    /// Lower case. Never empty.
    Listed(Vec<Box<str>>),
}

/// Which e-mail addresses of an IdP are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmailTrust {
    VerifiedOnly,
    UnverifiedToo,
}

/// Extra roots, as they stood in the file when the configuration was read.
#[derive(Clone)]
pub struct RootFile {
    pub path: PathBuf,
    /// Never empty.
    pub certificates: Vec<CertificateDer<'static>>,
}

/// `[second_factor]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecondFactor {
    /// Default `["totp"]`. Recovery codes come with any. Never empty.
    pub methods: Vec<FactorKind>,
    /// Default `invite`.
    pub enrolment: Enrolment,
    /// Ids of IdPs whose verified `amr`/`acr` may count as a second factor. Default none.
    pub trust_idp: Vec<Box<str>>,
}

/// How somebody comes by a first second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enrolment {
    /// An admin's one-time code.
    Invite,
    /// Within `enrolment_window` (default 24h) after the gateway first saw the person.
    FirstLogin { window: Duration },
}

/// `[rate_limit]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests of one client address (IPv6: /64). Default 100/s, burst 200.
    pub per_address: Rate,
    /// Requests of one subject. Default 100/s, burst 200.
    pub per_subject: Rate,
    /// Steps of a sign-in, by address. Default 10/m.
    pub sign_in: Rate,
    /// Second-factor attempts, by subject. Default 5/m.
    pub second_factor: Rate,
}

/// `[audit]`
#[derive(Clone, Debug)]
pub struct Audit {
    /// Folder of the log; relative to the configuration's folder. Required.
    pub dir: PathBuf,
    /// Default `written`.
    pub durability: Durability,
    /// Signs the checkpoints: the seed of an Ed25519 key. Required.
    pub signing_key: Key,
    /// Default `plain`.
    pub personal: Personal,
    /// Default `full`.
    pub client_address: ClientAddress,
    /// Default 365 days for every class.
    pub retention: Retention,
    /// Where records are shipped. Default nowhere.
    pub sinks: Vec<Sink>,
}

/// How records name people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Personal {
    #[default]
    Plain,
    /// By pseudonym; names under a key that can be destroyed.
    Sealed,
}

/// How much of client addresses records keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAddress {
    #[default]
    Full,
    Network,
}

/// `[audit.retention]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Default 365d: PCI DSS 10.5.1 asks for twelve months, and data protection authorities for no more without a reason.
    pub default: Duration,
    /// By the class's name in `keys::RETENTION`, where it differs.
    pub classes: BTreeMap<&'static str, Duration>,
}

impl Default for Retention {
    fn default() -> Self {
        Self { default: Duration::from_secs(365 * 24 * 3_600), classes: BTreeMap::new() }
    }
}

/// What a record must have survived before its request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    Queued,
    Written,
    Synced,
}

/// `[store]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Path of the SQLite database. Default `sqlite:portcullis.db`, relative to `state_dir`.
    pub sqlite: PathBuf,
}

/// `[class.NAME]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    /// Default of `internal`: any, 12h. Of `restricted`: phishing-resistant, 15m.
    pub second_factor: Requirement,
    /// Idle time after which a session counts as ended on routes of this class. Default: the session's; `restricted` 10m.
    pub idle_timeout: Option<Duration>,
}

/// `[admin]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Who may open the admin pages. Default empty: nobody.
    pub groups: Vec<Group>,
}

/// `[upstream]`
#[derive(Clone, Debug)]
pub struct UpstreamRules {
    /// Time for a connection to an upstream, TLS included. Default 5s.
    pub connect_timeout: Duration,
    /// Time from the request's end to the first byte of the answer. Default 60s.
    pub first_byte_timeout: Duration,
    /// Time without a byte in either direction after which an exchange is cut. Default 5m.
    pub idle_timeout: Duration,
    /// Bytes a second below which a request's body is given up; 0 is none. Default 100.
    pub body_rate_min: u64,
    /// Unused HTTP/1.1 connections kept for each upstream. Default 256.
    pub idle_connections: usize,
    /// How long an unused connection is kept. Default 30s.
    pub idle_connection_timeout: Duration,
    /// How long an upstream that came back gets less than its share. Default 30s.
    pub slow_start: Duration,
    /// Roots that are trusted for `https://` upstreams beside the system's. Default none.
    pub ca: Option<RootFile>,
}

/// `[limits]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections, all listeners together. Default 10000.
    pub connections: usize,
    /// Open connections of one client address (IPv6: /64). Default 256.
    pub connections_per_address: usize,
    /// TLS handshakes computed at once. Default 256.
    pub handshakes: usize,
    /// Requests that upstreams are busy with. Default 10000.
    pub requests: usize,
    /// Bytes of a request head. Default 32KiB.
    pub header_bytes: usize,
    /// Fields of a request head. Default 100.
    pub header_count: usize,
    /// Streams open at once in one HTTP/2 connection. Default 100.
    pub streams: u32,
    /// Time for a TLS handshake. Default 10s.
    pub handshake_timeout: Duration,
    /// Time for a request head. Default 10s.
    pub header_timeout: Duration,
    /// Time without a request after which a connection is closed. Default 60s.
    pub keep_alive_timeout: Duration,
    /// Time between two parts of a request body. Default 60s.
    pub body_timeout: Duration,
    /// Time in which a client must take something of an answer. Default 60s.
    pub stalled_timeout: Duration,
    /// Time that open requests get when the gateway stops. Default 30s.
    pub drain_timeout: Duration,
}

impl Config {
    /// The listeners that are listened on: those whose port the gateway itself or a route names.
    pub fn active_listeners(&self) -> impl Iterator<Item = &Listener> {
        let named = |port| self.gateway.url.port == port || self.routes.iter().any(|route| route.from.port == port);
        self.listeners.iter().filter(move |listener| listener.public_port == 0 || named(listener.public_port))
    }
}

impl Clone for Tls {
    fn clone(&self) -> Self {
        Self { profile: self.profile, hsts: self.hsts, certificates: self.certificates.clone(), acme: self.acme.clone() }
    }
}

impl Clone for Certificate {
    fn clone(&self) -> Self {
        Self { cert: self.cert.clone(), key: self.key.clone(), chain: self.chain.clone(), private_key: self.private_key.clone_key() }
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("cert", &self.cert).field("key", &self.key).finish_non_exhaustive()
    }
}

impl fmt::Debug for RootFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RootFile").field("path", &self.path).field("certificates", &self.certificates.len()).finish()
    }
}
