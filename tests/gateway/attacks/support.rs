//! A gateway with a recorder behind it, a client that writes bytes, and a reader of the audit log.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use kernel::identity::assurance::{Assurance, FactorKind, FactorProof};
use kernel::identity::{Email, Group, Identity, Subject};
use kernel::request::host::Host;
use kernel::session::token::Purpose;
use kernel::session::{Session, SessionId, SessionState, Token, TokenHash};
use portcullis::clock::Clock;
use portcullis::config;
use portcullis::server::{self, Server};
use portcullis::store::NewSession;
use rustls::RootCertStore;
use rustls_pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub struct World {
    pub server: Arc<Server>,
    pub port: u16,
    pub folder: TempDir,
    recorded: Arc<Mutex<Vec<String>>>,
    roots: RootCertStore,
}

/// A browser or program: what it writes are bytes.
pub struct Client {
    pub stream: TlsStream<TcpStream>,
    read: Vec<u8>,
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl World {
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// Starts with `more` at the end of `portcullis.toml`.
    pub async fn start_with(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let recorded = Arc::new(Mutex::new(Vec::new()));
        let upstream = recorder(Arc::clone(&recorded)).await;
        let (port, operations) = (free_port().await, free_port().await);
        let roots = write_keys(&folder);
        let dir = folder.path();
        let text = format!(
            r#"
[gateway]
url = "https://gate.test:{port}"
state_dir = "{0}/state"
master_key = {{ file = "{0}/master.key" }}
[[listener]]
name = "https"
bind = "127.0.0.1:{port}"
protocols = ["h1", "h2"]
[operations]
bind = "127.0.0.1:{operations}"
[[tls.certificate]]
cert = "{0}/server.pem"
key = "{0}/server.key"
[[idp]]
id = "corp"
issuer = "http://127.0.0.1:9"
client_id = "portcullis"
client_secret = {{ file = "{0}/secret" }}
[audit]
dir = "{0}/audit"
signing_key = {{ file = "{0}/audit.key" }}
{more}
"#,
            dir.display()
        );
        write(&folder, "config/portcullis.toml", &text);
        let world_routes = [("app", APP), ("pub", PUB)];
        for (name, rules) in world_routes {
            write_route(&folder, name, port, upstream, rules);
        }
        let config_dir = dir.join("config");
        let loaded = config::load(&config_dir).unwrap_or_else(|report| panic!("{}", report.render(config::Colour::Plain)));
        let server = server::start(loaded, config_dir, Clock::system()).await.unwrap();
        fs::write(dir.join("upstream"), upstream.to_string()).unwrap();
        Self { server, port, folder, recorded, roots }
    }

    /// Rewrites the rules of a route; they count after a reload.
    pub fn rewrite(&self, name: &str, rules: &str) {
        let upstream = fs::read_to_string(self.folder.path().join("upstream")).unwrap().parse().unwrap();
        write_route(&self.folder, name, self.port, upstream, rules);
    }

    /// The same, with another upstream.
    pub fn rewrite_to(&self, name: &str, rules: &str, upstream: SocketAddr) {
        write_route(&self.folder, name, self.port, upstream, rules);
    }

    pub async fn connect(&self, name: &str) -> Client {
        Client { stream: self.connect_as(name, &[]).await, read: Vec::new() }
    }

    pub async fn connect_as(&self, name: &str, protocols: &[&[u8]]) -> TlsStream<TcpStream> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        tls.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let tcp = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        TlsConnector::from(Arc::new(tls)).connect(ServerName::try_from(name.to_owned()).unwrap(), tcp).await.unwrap()
    }

    /// A person of some groups with a fresh second factor, signed in on `app.test`: the cookie's text.
    pub async fn sign_in(&self, groups: &[&str]) -> String {
        let gateway = self.server.gateway();
        let now = gateway.clock.now();
        let identity = Identity {
            subject: Subject { issuer: "http://127.0.0.1:9".into(), sub: format!("sub-{}", groups.join("-")) },
            email: Some(Email::parse("alice@example.com").unwrap()),
            name: None,
            groups: groups.iter().map(|name| Group::new(*name)).collect(),
        };
        gateway.store.see_subject(identity.clone(), now).await.unwrap();
        let token = Token::new(portcullis::entropy::bytes::<32>().unwrap());
        let host = Host::parse("app.test").unwrap();
        let session = Session {
            id: SessionId::new(portcullis::entropy::bytes::<16>().unwrap()),
            idp: "corp".into(),
            identity,
            assurance: Assurance::default().with(FactorProof { kind: FactorKind::Totp, at: now }),
            state: SessionState::begin(now),
            idp_session: None,
            lineage: TokenHash::from_bytes([3; 32]),
            address: None,
            user_agent: None,
        };
        let cookie = token.hash(Purpose::Cookie(&host));
        gateway.sessions.begin(NewSession { session, cookie, host, id_token: None }).await.unwrap();
        token.text()
    }

    /// The heads that the recorder received, and forgets them.
    pub fn received(&self) -> Vec<String> {
        std::mem::take(&mut *self.recorded.lock().unwrap())
    }

    /// The own fields of all records of an event, in order.
    pub fn records(&self, event: &str) -> Vec<serde_json::Value> {
        let mut files: Vec<PathBuf> = fs::read_dir(self.folder.path().join("audit")).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|kind| kind == "jsonl"));
        files.sort();
        let text: String = files.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
        let own = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["unmapped"]["portcullis"].take();
        text.lines().map(own).filter(|own| own["event"] == event).collect()
    }

    pub fn decisions(&self) -> Vec<serde_json::Value> {
        self.records("decision")
    }

    /// Waits for what the gateway does on its own, within bounds.
    pub async fn until<T>(&self, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        for _ in 0..500 {
            if let Some(found) = look(self) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it did not happen within five seconds");
    }
}

impl Client {
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The gateway may have closed already; what it answered is still to be read.
        let _closed = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Sends a whole request with this target, and the fields in `more`, each with its CR LF.
    pub async fn ask(&mut self, method: &str, target: &str, host: &str, more: &str) -> Option<Reply> {
        self.send(format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n")).await;
        self.reply_to(method).await
    }

    /// The next answer; none when the connection is closed instead.
    pub async fn reply(&mut self) -> Option<Reply> {
        self.reply_to("GET").await
    }

    async fn reply_to(&mut self, method: &str) -> Option<Reply> {
        tokio::time::timeout(Duration::from_secs(10), self.read_reply(method)).await.expect("an answer or an end within ten seconds")
    }

    async fn read_reply(&mut self, method: &str) -> Option<Reply> {
        let end = loop {
            if let Some(at) = find(&self.read, b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let head = String::from_utf8_lossy(&self.read.drain(..end).collect::<Vec<_>>()).into_owned();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let length = field(&head, "content-length").and_then(|text| text.parse::<usize>().ok());
        let wanted = if method == "HEAD" { 0 } else { length.unwrap_or(0) };
        while self.read.len() < wanted {
            self.more().await?;
        }
        // A body without a length is read whole, with its framing, where the connection ends with it.
        if length.is_none() && status >= 200 && field(&head, "connection") == Some("close") {
            while self.more().await.is_some() {}
            let body = String::from_utf8_lossy(&std::mem::take(&mut self.read)).into_owned();
            return Some(Reply { status, head, body });
        }
        let body = String::from_utf8_lossy(&self.read.drain(..wanted).collect::<Vec<_>>()).into_owned();
        Some(Reply { status, head, body })
    }

    /// Reads more bytes; none at the end of the connection.
    pub async fn more(&mut self) -> Option<()> {
        let mut buffer = [0; 4_096];
        match self.stream.read(&mut buffer).await {
            Ok(0) | Err(_) => None,
            Ok(count) => {
                self.read.extend_from_slice(&buffer[..count]);
                Some(())
            }
        }
    }
}

impl Reply {
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }
}

/// The value of the only field of this name.
pub fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let values = fields(head, name);
    assert!(values.len() < 2, "{name} comes more than once in {head}");
    values.first().copied()
}

/// All values under names that some program reads as `name`: case and `_ . -` do not count.
pub fn fields<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let folded = |text: &str| text.trim().to_ascii_lowercase().replace(['_', '.'], "-");
    head.split("\r\n")
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .filter(|(known, _)| folded(known) == name)
        .map(|(_, value)| value.trim())
        .collect()
}

pub fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// The rules of the protected route at the start.
pub const APP: &str = r#"
[[allow]]
id = "public"
public = true
methods = ["GET", "HEAD", "POST", "OPTIONS"]
paths = ["/public/**"]
[[allow]]
id = "staff"
who = { groups = ["staff"] }
paths = ["/app/**"]
except = ["/app/admin/**", "/app/@secret/**"]
[[allow]]
id = "admin"
who = { groups = ["admin"] }
paths = ["/app/admin/**"]
"#;

const PUB: &str = r#"
[[allow]]
id = "public"
public = true
methods = ["GET"]
paths = ["/**"]
"#;

fn write_route(folder: &TempDir, name: &str, port: u16, upstream: SocketAddr, rules: &str) {
    let text =
        format!("name = \"{name}\"\nfrom = \"https://{name}.test:{port}\"\nto = [\"http://{upstream}\"]\nclass = \"internal\"\n{rules}");
    write(folder, &format!("config/routes/{name}.toml"), &text);
}

fn write(folder: &TempDir, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn write_keys(folder: &TempDir) -> RootCertStore {
    let names = ["gate.test", "app.test", "pub.test"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    write(folder, "server.pem", &made.cert.pem());
    write(folder, "server.key", &made.signing_key.serialize_pem());
    for name in ["master.key", "audit.key"] {
        let key = portcullis::entropy::bytes::<32>().unwrap();
        write(folder, name, &base64::engine::general_purpose::STANDARD.encode(key));
    }
    write(folder, "secret", "a secret between friends");
    for name in ["state", "audit"] {
        use std::os::unix::fs::DirBuilderExt;
        fs::DirBuilder::new().mode(0o700).create(folder.path().join(name)).unwrap();
    }
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    roots
}

pub async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

/// Keeps the raw head of every request it gets, and answers `ok`; `/app/stream` and `/app/ws` never end on their own.
async fn recorder(recorded: Arc<Mutex<Vec<String>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(record(stream, Arc::clone(&recorded)));
        }
    });
    address
}

async fn record(mut stream: TcpStream, recorded: Arc<Mutex<Vec<String>>>) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4_096];
    loop {
        let Some(end) = find(&bytes, b"\r\n\r\n") else {
            let count = stream.read(&mut buffer).await?;
            if count == 0 {
                return Ok(());
            }
            bytes.extend_from_slice(&buffer[..count]);
            continue;
        };
        let head = String::from_utf8_lossy(&bytes.drain(..end + 4).collect::<Vec<_>>()).into_owned();
        let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let is_head = head.starts_with("HEAD ");
        recorded.lock().unwrap().push(head);
        match target.as_str() {
            _ if is_head => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n").await?,
            "/app/stream" => stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n").await?,
            "/app/ws" => {
                stream
                    .write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
                    .await?;
            }
            _ => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?,
        }
    }
}
