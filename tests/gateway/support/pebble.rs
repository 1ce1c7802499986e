//! Debian's `pebble`, a certificate authority that speaks ACME and validates for real: with the names that a test answers
//! ([`Names`]), at a port that leads to the gateway wherever it listens ([`Relay`]).

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;

use super::wire::Wire;

/// The authority, with a folder of its own.
pub struct Pebble {
    child: Option<Child>,
    folder: tempfile::TempDir,
    names: SocketAddr,
    port: u16,
    management: u16,
    authority: CertificateDer<'static>,
}

impl Pebble {
    /// Starts it. It looks at `tls_port` and `http_port` of the addresses that `names` tells.
    pub async fn start(names: &Names, tls_port: u16, http_port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        let authority = parameters.self_signed(&authority_key).unwrap();
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(["127.0.0.1", "localhost"].map(str::to_owned).to_vec()).unwrap();
        let certificate = own.signed_by(&key, &Issuer::new(parameters, authority_key)).unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("ca.pem"), authority.pem()).unwrap();
        std::fs::write(at("cert.pem"), certificate.pem()).unwrap();
        std::fs::write(at("key.pem"), key.serialize_pem()).unwrap();
        let (port, management) = (free_port(), free_port());
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": at("cert.pem"),
            "privateKey": at("key.pem"),
            "httpPort": http_port,
            "tlsPort": tls_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
        }});
        std::fs::write(at("config.json"), config.to_string()).unwrap();
        let mut pebble = Self { child: None, names: names.address, port, management, authority: authority.der().clone(), folder };
        pebble.begin().await;
        pebble
    }

    /// Starts it again at the same address. It remembers nothing, and has another root.
    pub async fn begin(&mut self) {
        // It ends with the test, however that ends: its standard input closes then.
        let script = "pebble -config \"$1\" -dnsserver \"$2\" >\"$3\" 2>&1 & cat >/dev/null; kill $!";
        let mut command = Command::new("sh");
        command.args(["-c", script, "pebble"]).arg(self.folder.path().join("config.json")).arg(self.names.to_string());
        command.arg(self.folder.path().join("log"));
        command.env("PEBBLE_VA_NOSLEEP", "1").stdin(Stdio::piped());
        self.child = Some(command.spawn().expect("sh starts; tests/run installs pebble"));
        for _ in 0..1_000 {
            if TcpStream::connect(("127.0.0.1", self.port)).await.is_ok()
                && TcpStream::connect(("127.0.0.1", self.management)).await.is_ok()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("pebble does not answer: {}", self.log());
    }

    pub fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.stdin.take());
            let _ended = child.wait();
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The root of what it issues.
    pub async fn root(&self) -> CertificateDer<'static> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.management));
        let mut wire = Wire::open(Ipv4Addr::LOCALHOST, address, "localhost", &self.authority).await;
        let answer = wire.exchange(b"GET /roots/0 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
        CertificateDer::from_pem_slice(&answer.body).unwrap()
    }

    /// Text for `[tls]`.
    pub fn acme(&self, more: &str) -> String {
        format!(
            "[tls.acme]\ndirectory = \"https://127.0.0.1:{}/dir\"\nterms_accepted = true\nca = \"{}\"\n{more}",
            self.port,
            self.folder.path().join("ca.pem").display()
        )
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.end();
    }
}

/// A port for a program that binds it itself: below those that the system gives to listeners and connections of other tests,
/// so that nobody takes it meanwhile.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 12_000 + u16::try_from(std::process::id() % 1_000).unwrap() * 7;
    loop {
        let port = start + NEXT.fetch_add(1, Ordering::Relaxed) % 500;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Answers DNS: every name is this machine, but those that are gone.
pub struct Names {
    pub address: SocketAddr,
    gone: Arc<Mutex<BTreeSet<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Names {
    pub async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let gone = Arc::<Mutex<BTreeSet<String>>>::default();
        let known = Arc::clone(&gone);
        let task = tokio::spawn(async move {
            let mut query = [0; 512];
            while let Ok((length, peer)) = socket.recv_from(&mut query).await {
                if let Some(answer) = resolve(&query[..length], &known.lock().unwrap()) {
                    let _lost_is_asked_again = socket.try_send_to(&answer, peer);
                }
            }
        });
        Self { address, gone, task }
    }

    pub fn take_away(&self, name: &str) {
        self.gone.lock().unwrap().insert(name.to_owned());
    }

    pub fn give_back(&self, name: &str) {
        self.gone.lock().unwrap().remove(name);
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// RFC 1035 §4: the question again, with 127.0.0.1 for A, nothing for other types, and NXDOMAIN for a name that is gone.
fn resolve(query: &[u8], gone: &BTreeSet<String>) -> Option<Vec<u8>> {
    let (mut at, mut labels) = (12, Vec::new());
    while let Some(length) = query.get(at).map(|length| usize::from(*length)).filter(|length| *length > 0) {
        labels.push(String::from_utf8_lossy(query.get(at + 1..at + 1 + length)?).to_ascii_lowercase());
        at += 1 + length;
    }
    let question = query.get(12..at + 5)?;
    let is_gone = gone.contains(&labels.join("."));
    let has_address = !is_gone && query.get(at + 1..at + 3)? == [0, 1];
    let mut answer = query.get(..2)?.to_vec();
    answer.extend([0x85, if is_gone { 0x83 } else { 0x80 }, 0, 1, 0, u8::from(has_address), 0, 0, 0, 0]);
    answer.extend_from_slice(question);
    if has_address {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}

/// A port that leads somewhere else; who comes before it is known where waits.
pub struct Relay {
    pub port: u16,
    target: watch::Sender<Option<SocketAddr>>,
    task: tokio::task::JoinHandle<()>,
}

impl Relay {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (target, known) = watch::channel(None);
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut known = known.clone();
                tokio::spawn(async move {
                    let target: SocketAddr = known.wait_for(Option::is_some).await.ok()?.as_ref().copied()?;
                    let mut server = TcpStream::connect(target).await.ok()?;
                    tokio::io::copy_bidirectional(&mut client, &mut server).await.ok()
                });
            }
        });
        Self { port, target, task }
    }

    pub fn lead_to(&self, target: SocketAddr) {
        self.target.send_replace(Some(target));
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}
