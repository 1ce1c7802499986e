//! A running gateway with everything around it, on loopback and in one temporary folder. Clients reach every host at
//! 127.0.0.1 and name it by SNI; to them the gateway is on port 443.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portcullis::clock::Clock;
use portcullis::server::Server;
use portcullis::server::control::{self, Order, Outcome};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls_pki_types::CertificateDer;

use super::browser::NAVIGATION;
use super::wire::{Wire, shown_leaf, tls};
use super::{Kind, Provider, Recorder};

/// The gateway's own host.
pub const GATE: &str = "gate.test";
/// A host with rules for people; see [`APP_RULES`].
pub const APP: &str = "app.test";
/// A host of which a part is open to everybody.
pub const PUB: &str = "pub.test";
/// A name that the certificate covers and no route has.
pub const UNLISTED: &str = "unlisted.test";

/// What a test wants otherwise than usual.
pub struct Setup {
    /// Text for `[tls]`.
    pub tls: String,
    /// Where the clock starts, from the machine's time.
    pub ahead: Duration,
    /// Text for `[second_factor]`.
    pub second_factor: String,
    /// Text for `[session]`.
    pub session: String,
    /// Text for `[rate_limit]`.
    pub rate_limit: String,
    /// Text for `[audit]`.
    pub audit: String,
    /// More text for `[[listener]]`.
    pub listener: String,
    /// More files beside `portcullis.toml`: name and text.
    pub files: Vec<(&'static str, String)>,
    /// More tables for `portcullis.toml`.
    pub more: String,
    /// More route files: name and text, in which `@UPSTREAM@` stands for the recorder's address.
    pub routes: Vec<(String, String)>,
    /// For the provider.
    pub environment: Vec<(&'static str, String)>,
    pub provider: Kind,
    /// A second IdP, `other`, beside the first, `corp`.
    pub two_idps: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            tls: "profile = \"modern\"\n[[tls.certificate]]\ncert = \"gate.pem\"\nkey = \"gate.key\"\n".to_owned(),
            ahead: Duration::ZERO,
            second_factor: "methods = [\"totp\"]\nenrolment = \"first-login\"\n".to_owned(),
            session: String::new(),
            // Everybody comes from one address here. Tests of limits set their own.
            rate_limit: "per_address = { rate = \"10000/s\" }\nper_subject = { rate = \"10000/s\" }\nsign_in = { rate = \"1000/s\" }\n\
                         second_factor = { rate = \"1000/s\" }\n"
                .to_owned(),
            audit: String::new(),
            listener: String::new(),
            files: Vec::new(),
            more: String::new(),
            routes: Vec::new(),
            environment: Vec::new(),
            provider: Kind::Certified,
            two_idps: false,
        }
    }
}

/// Everything that runs.
pub struct World {
    server: Mutex<Arc<Server>>,
    pub provider: Provider,
    pub other_provider: Option<Provider>,
    pub upstream: Recorder,
    pub clock: Clock,
    pub authority: CertificateDer<'static>,
    folder: tempfile::TempDir,
}

impl World {
    pub async fn start() -> Arc<Self> {
        Self::with(Setup::default()).await
    }

    pub async fn with(setup: Setup) -> Arc<Self> {
        // Printed with a test that fails.
        let _ = tracing_subscriber::fmt().with_test_writer().with_max_level(tracing::Level::WARN).try_init();
        let gateway = format!("https://{GATE}");
        let provider = Provider::start(setup.provider, &gateway, &setup.environment);
        let other_provider = setup.two_idps.then(|| Provider::start(Kind::Certified, &gateway, &setup.environment));
        let upstream = Recorder::start().await;
        let folder = tempfile::tempdir().unwrap();
        // Tokens of the provider carry the machine's time; the gateway's starts there and then stands.
        let clock = Clock::manual(Clock::system().now().plus(setup.ahead));
        let authority = write_files(folder.path(), &setup, &provider, other_provider.as_ref(), upstream.address);
        let server = start_server(&folder.path().join("config"), &clock).await;
        Arc::new(Self { server: Mutex::new(server), provider, other_provider, upstream, clock, authority, folder })
    }

    pub fn server(&self) -> Arc<Server> {
        Arc::clone(&self.server.lock().unwrap())
    }

    /// Where the gateway listens.
    pub fn address(&self) -> SocketAddr {
        self.server().addresses()[0].1
    }

    /// Stops the gateway and starts it again on the same folder.
    pub async fn restart(&self) {
        self.server().stop().await;
        let server = start_server(&self.config_dir(), &self.clock).await;
        *self.server.lock().unwrap() = server;
    }

    pub fn config_dir(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    pub fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub fn audit_dir(&self) -> PathBuf {
        self.folder.path().join("audit")
    }

    /// A raw connection to a host.
    pub async fn wire(&self, host: &str) -> Wire {
        self.wire_from(Ipv4Addr::LOCALHOST, host).await
    }

    /// The same, from another address of loopback.
    pub async fn wire_from(&self, source: Ipv4Addr, host: &str) -> Wire {
        Wire::open(source, self.address(), host, &self.authority).await
    }

    /// An HTTP/2 connection to a host. The connection is driven until it is dropped.
    pub async fn h2(&self, host: &str) -> hyper::client::conn::http2::SendRequest<http_body_util::Full<bytes::Bytes>> {
        let stream = tls(Ipv4Addr::LOCALHOST, self.address(), host, &self.authority, b"h2").await;
        let io = hyper_util::rt::TokioIo::new(stream);
        let (sender, connection) =
            hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io).await.expect("HTTP/2 begins");
        tokio::spawn(connection);
        sender
    }

    /// The leaf that is shown for a host; none when the handshake is refused.
    pub async fn leaf(&self, host: &str, root: &CertificateDer<'static>) -> Option<CertificateDer<'static>> {
        shown_leaf(self.address(), host, root).await
    }

    /// The state that `/readyz` tells.
    pub fn told(&self) -> Vec<(String, String)> {
        self.server().gateway().metrics.acme().lines()
    }

    /// Writes another text of `portcullis.toml`, made of the present one, and reloads.
    pub async fn rewrite_main(&self, change: impl FnOnce(String) -> String) {
        let path = self.config_dir().join("portcullis.toml");
        write(&path, &change(fs::read_to_string(&path).unwrap()));
        self.server().reload().await.unwrap();
    }

    /// Moves the clock into the next TOTP step.
    pub fn next_code(&self) {
        self.clock.advance(Duration::from_secs(30));
    }

    /// Gives an order at the control socket.
    pub async fn order(&self, order: Order) -> Outcome {
        control::give(&self.state_dir(), &order).await.unwrap()
    }

    /// The `sub` of everybody who ever signed in.
    pub async fn gateway_subjects(&self) -> Vec<String> {
        let subjects = self.server().gateway().store.subjects().await.unwrap();
        subjects.into_iter().map(|record| record.identity.subject.sub).collect()
    }

    /// All audit records so far, in order. A record stands in the file before its answer goes out.
    pub fn records(&self) -> Vec<serde_json::Value> {
        let mut segments: Vec<_> = fs::read_dir(self.audit_dir()).unwrap().map(|entry| entry.unwrap().path()).collect();
        segments.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
        segments.sort();
        let text: String = segments.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The gateway's own fields of all records of an event, in order.
    pub fn events(&self, event: &str) -> Vec<serde_json::Value> {
        let own = self.records().into_iter().map(|mut record| record["unmapped"]["portcullis"].take());
        own.filter(|own| own["event"] == event).collect()
    }

    pub fn decisions(&self) -> Vec<serde_json::Value> {
        self.events("decision")
    }

    /// Waits, within bounds, for what the gateway does on its own.
    pub async fn until<T>(&self, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        for _ in 0..1_000 {
            if let Some(found) = look(self) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it did not happen within ten seconds");
    }

    /// Writes the file of a route with these rules; they count after a reload.
    pub fn write_route(&self, name: &str, upstream: SocketAddr, rules: &str) {
        write(&self.config_dir().join(format!("routes/{name}.toml")), &route_text(name, upstream, rules));
    }

    /// The same, before the usual upstream.
    pub fn rewrite(&self, name: &str, rules: &str) {
        self.write_route(name, self.upstream.address, rules);
    }

    /// Puts a new certificate in place of the old, which no client knows; it counts after a reload.
    pub fn renew_certificate(&self) {
        let (_, certificate, key) = certificates();
        write(&self.config_dir().join("gate.pem"), &certificate);
        write(&self.config_dir().join("gate.key"), &key);
    }

    /// How many records contain all these texts.
    pub fn recorded(&self, texts: &[&str]) -> usize {
        self.records().iter().map(ToString::to_string).filter(|record| texts.iter().all(|text| record.contains(text))).count()
    }
}

/// The bytes of a navigation without a cookie.
pub fn navigation(host: &str, target: &str) -> Vec<u8> {
    let mut head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\n");
    for (name, value) in NAVIGATION {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// The text of a route file with these rules, for the host `NAME.test`.
pub fn route_text(name: &str, upstream: impl std::fmt::Display, rules: &str) -> String {
    format!("name = \"{name}\"\nfrom = \"https://{name}.test\"\nto = [\"http://{upstream}\"]\nclass = \"internal\"\n{rules}")
}

async fn start_server(config: &Path, clock: &Clock) -> Arc<Server> {
    let loaded = portcullis::config::load(config).unwrap_or_else(|report| panic!("{}", report.render(portcullis::config::Colour::Plain)));
    portcullis::server::start(loaded, config.to_owned(), clock.clone()).await.unwrap_or_else(|fault| panic!("{fault}"))
}

fn write_files(
    folder: &Path,
    setup: &Setup,
    provider: &Provider,
    other: Option<&Provider>,
    upstream: SocketAddr,
) -> CertificateDer<'static> {
    let config = folder.join("config");
    for name in ["config", "config/routes", "state", "audit"] {
        fs::create_dir(folder.join(name)).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o700)).unwrap();
    }
    let (authority, certificate, key) = certificates();
    write(&config.join("gate.pem"), &certificate);
    write(&config.join("gate.key"), &key);
    write(&config.join("master.key"), &fresh_key());
    write(&config.join("audit.key"), &fresh_key());
    write(&config.join("oidc.secret"), "a-secret-that-only-tests-know");
    for (name, text) in &setup.files {
        write(&config.join(name), text);
    }
    write(&config.join("portcullis.toml"), &main_text(folder, setup, provider, other));
    let routes = [("app".to_owned(), APP_RULES.to_owned()), ("pub".to_owned(), PUB_RULES.to_owned())];
    for (name, text) in routes.iter().chain(&setup.routes) {
        write(&config.join(format!("routes/{name}.toml")), &text.replace("@UPSTREAM@", &upstream.to_string()));
    }
    authority
}

fn write(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn fresh_key() -> String {
    STANDARD.encode(portcullis::entropy::bytes::<32>().unwrap())
}

fn certificates() -> (CertificateDer<'static>, String, String) {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.distinguished_name.push(DnType::CommonName, "Test authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_certificate = authority.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = [GATE, APP, PUB, UNLISTED, "third.test"].map(str::to_owned).to_vec();
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    (authority_certificate.der().clone(), certificate.pem(), key.serialize_pem())
}

fn main_text(folder: &Path, setup: &Setup, provider: &Provider, other: Option<&Provider>) -> String {
    let idp = |id: &str, issuer: &str| {
        format!(
            "[[idp]]\nid = \"{id}\"\nissuer = \"{issuer}\"\nclient_id = \"portcullis\"\nclient_secret = {{ file = \"oidc.secret\" }}\n\
             scopes = {}\n",
            setup.provider.scopes()
        )
    };
    let idps = idp("corp", &provider.url) + &other.map(|other| idp("other", &other.url)).unwrap_or_default();
    let Setup { tls, second_factor, session, rate_limit, listener, more, audit: audit_text, .. } = setup;
    format!(
        "[gateway]\nurl = \"https://{GATE}\"\nstate_dir = \"{state}\"\nmaster_key = {{ file = \"master.key\" }}\n\
         [[listener]]\nname = \"https\"\nbind = \"127.0.0.1:0\"\npublic_port = 443\n{listener}\
         [operations]\nbind = \"127.0.0.1:0\"\n\
         [tls]\n{tls}\
         {idps}[second_factor]\n{second_factor}[session]\n{session}[rate_limit]\n{rate_limit}\
         [audit]\ndir = \"{audit}\"\nsigning_key = {{ file = \"audit.key\" }}\n{audit_text}[limits]\ndrain_timeout = \"1s\"\n{more}",
        state = folder.join("state").display(),
        audit = folder.join("audit").display(),
    )
}

/// `app.test`: reading for staff, writing for on-call, a part that wants a fresh factor, a part for admins alone.
pub const APP_RULES: &str = r#"name = "app"
from = "https://app.test"
to = ["http://@UPSTREAM@"]
class = "internal"
owner = "team@example.com"
data = ["samples"]

[[allow]]
id = "read"
who = { groups = ["staff"] }
methods = ["GET", "HEAD"]
paths = ["/**"]
except = ["/fresh/**", "/admin/**", "/unlisted/**"]

[[allow]]
id = "write"
who = { groups = ["on-call"] }
methods = ["POST", "PUT", "DELETE"]
paths = ["/**"]
except = ["/fresh/**", "/admin/**", "/unlisted/**"]

[[allow]]
id = "fresh"
who = { groups = ["staff"] }
methods = ["GET"]
paths = ["/fresh/**"]
factor = { max_age = "5m" }

[[allow]]
id = "administer"
who = { groups = ["admin"] }
paths = ["/admin/**"]
"#;

/// `pub.test`: `/open/**` for everybody, the rest for staff.
pub const PUB_RULES: &str = r#"name = "pub"
from = "https://pub.test"
to = ["http://@UPSTREAM@"]
class = "internal"
owner = "team@example.com"
data = ["samples"]

[[allow]]
id = "open"
public = true
methods = ["GET", "HEAD", "POST"]
paths = ["/open/**"]

[[allow]]
id = "rest"
who = { groups = ["staff"] }
methods = ["GET", "HEAD"]
paths = ["/**"]
"#;
