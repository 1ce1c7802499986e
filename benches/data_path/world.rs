//! A gateway with a real configuration, signed-in people and an upstream, in a folder of its own.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kernel::identity::assurance::{Assurance, FactorKind, FactorProof};
use kernel::identity::{Email, Group, Identity, Subject};
use kernel::request::host::Host;
use kernel::session::token::Purpose;
use kernel::session::{Session, SessionId, SessionState, Token, TokenHash};
use kernel::time::Timestamp;
use portcullis::clock::Clock;
use portcullis::store::sealing::KeyRing;
use portcullis::store::{NewSession, Store, sqlite};
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::CertificateDer;
use tempfile::TempDir;

use crate::peers::{end, free_port, pinned, wait_for};

/// The host that is asked.
pub const HOST: &str = "app0.test";
/// The host whose upstream takes bodies.
pub const UPLOAD_HOST: &str = "app1.test";

/// What the gateway holds.
#[derive(Clone, Copy, Debug)]
pub struct Growth {
    pub routes: usize,
    pub rules_per_route: usize,
    pub sessions: usize,
}

impl Default for Growth {
    fn default() -> Self {
        Self { routes: 50, rules_per_route: 4, sessions: 1_000 }
    }
}

pub struct World {
    folder: TempDir,
    gateway: Child,
    nginx: Child,
    address: SocketAddr,
    upstream: SocketAddr,
    sink: SocketAddr,
    pub authority: CertificateDer<'static>,
    /// A `Cookie` value of somebody who may do everything.
    pub cookie: String,
}

impl World {
    pub fn start(growth: Growth) -> Self {
        // Load and upstream stand on the second core, the proxies on the first.
        let _ = Command::new("taskset").args(["-a", "-cp", "1", &std::process::id().to_string()]).output();
        let folder = tempfile::tempdir().unwrap();
        let authority = certificate(folder.path());
        let (upstream, nginx) = static_upstream(folder.path());
        let sink = upload_sink();
        let (port, operations) = (free_port(), free_port());
        let master = write_config(folder.path(), growth, port, operations, upstream, sink);
        let cookie = sign_in_people(folder.path(), &master, growth.sessions);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let gateway = serve(folder.path());
        wait_for(address, folder.path());
        Self { folder, gateway, nginx, address, upstream, sink, authority, cookie }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn pid(&self) -> u32 {
        self.gateway.id()
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    pub const fn upstream(&self) -> SocketAddr {
        self.upstream
    }

    pub const fn sink(&self) -> SocketAddr {
        self.sink
    }
}

impl Drop for World {
    fn drop(&mut self) {
        end(&mut self.gateway);
        end(&mut self.nginx);
    }
}

fn serve(folder: &Path) -> Child {
    let program = std::env::var_os("PORTCULLIS_BIN").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_portcullis")), PathBuf::from);
    let log = fs::File::create(folder.join("portcullis.log")).unwrap();
    let mut command = Command::new(program);
    command.arg("--config").arg(folder.join("config")).arg("serve").env("PORTCULLIS_LOG", "warn");
    pinned(&mut command, 0).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

/// One self-signed certificate for every name, for all proxies.
fn certificate(folder: &Path) -> CertificateDer<'static> {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let names = [HOST, UPLOAD_HOST, "gate.test"].map(str::to_owned).to_vec();
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    fs::write(folder.join("server.pem"), certificate.pem()).unwrap();
    owner_only(&folder.join("server.key"), &key.serialize_pem());
    certificate.der().clone()
}

fn owner_only(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// nginx with files of 1 KiB and 100 MiB.
fn static_upstream(folder: &Path) -> (SocketAddr, Child) {
    let root = folder.join("files");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("small"), vec![b'x'; 1_024]).unwrap();
    fs::write(root.join("large"), vec![b'x'; 100 << 20]).unwrap();
    let port = free_port();
    let path = folder.join("upstream.conf");
    let text = format!(
        "daemon off; master_process off; pid {0}/upstream.pid; error_log {0}/upstream.err; worker_rlimit_nofile 40000;
events {{ worker_connections 20000; }}
http {{ access_log off; sendfile on; keepalive_requests 100000000; keepalive_timeout 600s;
  client_body_temp_path {0}/up-body; proxy_temp_path {0}/up-proxy; fastcgi_temp_path {0}/up-f; uwsgi_temp_path {0}/up-u; scgi_temp_path {0}/up-s;
  server {{ listen 127.0.0.1:{port} backlog=4096; root {0}/files; client_max_body_size 0; location = /auth {{ return 204; }} }} }}\n",
        folder.display()
    );
    fs::write(&path, text).unwrap();
    let mut command = Command::new("nginx");
    command.arg("-c").arg(&path).arg("-p").arg(folder);
    let child = pinned(&mut command, 1).spawn().expect("nginx is installed");
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    wait_for(address, folder);
    (address, child)
}

/// Reads bodies of a stated length or in chunks, and answers when they are whole.
fn upload_sink() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || drop(swallow(stream)));
        }
    });
    address
}

fn swallow(stream: TcpStream) -> std::io::Result<()> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::with_capacity(1 << 18, stream);
    loop {
        let (mut length, mut chunked, mut line) = (0_u64, false, String::new());
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let field = line.trim_end().to_ascii_lowercase();
            if field.is_empty() {
                break;
            }
            if let Some(value) = field.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
            chunked |= field == "transfer-encoding: chunked";
        }
        if chunked {
            loop {
                line.clear();
                reader.read_line(&mut line)?;
                // A client that leaves in the middle of a body.
                let Ok(size) = u64::from_str_radix(line.trim_end(), 16) else { return Ok(()) };
                std::io::copy(&mut reader.by_ref().take(size + 2), &mut std::io::sink())?;
                if size == 0 {
                    break;
                }
            }
        } else {
            std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
        }
        writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
    }
}

fn write_config(folder: &Path, growth: Growth, port: u16, operations: u16, upstream: SocketAddr, sink: SocketAddr) -> [u8; 32] {
    let config = folder.join("config");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(config.join("routes")).unwrap();
    let master = portcullis::entropy::bytes::<32>().unwrap();
    owner_only(&config.join("master.key"), &STANDARD.encode(master));
    owner_only(&config.join("audit.key"), &STANDARD.encode(portcullis::entropy::bytes::<32>().unwrap()));
    owner_only(&config.join("oidc.secret"), "a secret that nobody asks for");
    let place = folder.display();
    let durability = std::env::var("DURABILITY").unwrap_or_else(|_| "written".to_owned());
    let text = format!(
        r#"[gateway]
url = "https://gate.test:{port}"
state_dir = "{place}/state"
master_key = {{ file = "master.key" }}
[[listener]]
name = "https"
bind = "127.0.0.1:{port}"
[operations]
bind = "127.0.0.1:{operations}"
[tls]
[[tls.certificate]]
cert = "{place}/server.pem"
key = "{place}/server.key"
[[idp]]
id = "corp"
issuer = "http://127.0.0.1:9"
client_id = "portcullis"
client_secret = {{ file = "oidc.secret" }}
[second_factor]
methods = ["totp"]
[rate_limit]
per_address = {{ rate = "1000000/s", burst = 1000000 }}
per_subject = {{ rate = "1000000/s", burst = 1000000 }}
[audit]
dir = "{place}/audit"
durability = "{durability}"
signing_key = {{ file = "audit.key" }}
[limits]
connections = 20000
connections_per_address = 20000
keep_alive_timeout = "10m"
header_timeout = "5m"
"#
    );
    fs::write(config.join("portcullis.toml"), text).unwrap();
    for route in 0..growth.routes {
        fs::write(config.join(format!("routes/r{route}.toml")), route_text(route, growth.rules_per_route, port, upstream, sink)).unwrap();
    }
    master
}

fn route_text(route: usize, rules: usize, port: u16, upstream: SocketAddr, sink: SocketAddr) -> String {
    let mut text = format!(
        "name = \"r{route}\"\nfrom = \"https://app{route}.test:{port}\"\nto = [\"http://{upstream}\"]\nclass = \"internal\"\n[upstream]\nassertion = \"{}\"\n",
        std::env::var("ASSERTION").unwrap_or_else(|_| "session".to_owned())
    );
    for rule in 1..rules {
        text += &format!(
            "[[allow]]\nid = \"rule-{rule}\"\nwho = {{ groups = [\"team-{rule}\", \"on-call-{rule}\"] }}\nmethods = [\"GET\", \"POST\"]\npaths = [\"/team/{rule}/**\"]\nexcept = [\"/team/{rule}/secret/**\"]\n"
        );
    }
    text += "[[allow]]\nid = \"all\"\nwho = { groups = [\"staff\"] }\nmethods = [\"GET\", \"POST\"]\npaths = [\"/**\"]\nrate = { rate = \"1000000/s\", burst = 1000000 }\n";
    if route == 1 {
        text = text.replace(&format!("http://{upstream}"), &format!("http://{sink}"));
    }
    text
}

/// Sessions as a sign-in leaves them. The first is the one that the load uses.
fn sign_in_people(folder: &Path, master: &[u8; 32], count: usize) -> String {
    let ring = KeyRing::new(&zeroize::Zeroizing::new(*master), &[]).unwrap();
    fs::DirBuilder::new().mode(0o700).create(folder.join("state")).unwrap();
    let path = folder.join("state/portcullis.db");
    let store: Arc<dyn Store> = Arc::new(sqlite::open(&path, ring, sqlite::Settings::default()).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let now = Clock::system().now();
    runtime.block_on(async {
        let mut first = None;
        for person in 0..count.max(1) {
            let token = Token::new(portcullis::entropy::bytes::<32>().unwrap());
            let session = session(person, now);
            let id = session.id;
            let identity = session.identity.clone();
            if person < 100 {
                store.see_subject(identity, now).await.unwrap();
            }
            let gate = Host::parse("gate.test").unwrap();
            let cookie = TokenHash::from_bytes(portcullis::entropy::bytes::<32>().unwrap());
            store.begin_session(NewSession { session, cookie, host: gate, id_token: None }).await.unwrap();
            for name in [HOST, UPLOAD_HOST] {
                let host = Host::parse(name).unwrap();
                store.bind_cookie(id, token.hash(Purpose::Cookie(&host)), host).await.unwrap();
            }
            first.get_or_insert_with(|| format!("__Host-portcullis={}", token.text()));
        }
        first.unwrap()
    })
}

fn session(person: usize, now: Timestamp) -> Session {
    let subject = Subject { issuer: "http://127.0.0.1:9".into(), sub: format!("person-{person}") };
    let email = Email::parse(&format!("person-{person}@example.com")).unwrap();
    let groups = vec![Group::new("staff"), Group::new("dev"), Group::new("sre")];
    Session {
        id: SessionId::new(portcullis::entropy::bytes::<16>().unwrap()),
        idp: "corp".into(),
        identity: Identity { subject, email: Some(email), name: Some(format!("Person {person}")), groups },
        assurance: Assurance::default().with(FactorProof { kind: FactorKind::Totp, at: now }),
        state: SessionState { created: now, authenticated: now, last_seen: now, ended: None },
        idp_session: None,
        lineage: TokenHash::from_bytes(portcullis::entropy::bytes::<32>().unwrap()),
        address: None,
        user_agent: None,
    }
}
