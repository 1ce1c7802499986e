//! A folder with a configuration made by `init`, the gateway that runs on it, a client, and an upstream that remembers.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

pub const BINARY: &str = env!("CARGO_BIN_EXE_portcullis");

/// A configuration in a folder of its own, with one route, `app`, whose `/p/**` is public.
pub struct World {
    pub dir: TempDir,
    pub port: u16,
    pub operations: u16,
}

/// A running gateway. Killed when dropped.
pub struct Gateway {
    child: Child,
}

impl World {
    pub fn new() -> Self {
        Self::with_upstream("http://127.0.0.1:9")
    }

    pub fn with_upstream(upstream: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let world = Self { dir, port: free_port(), operations: free_port() };
        let made = world.init(upstream);
        assert_eq!(code(&made), 0, "{}", text(&made.stderr));
        world.edit("portcullis.toml", |main| {
            let main = main.replace("bind = \"[::]:", "bind = \"127.0.0.1:");
            let operations = world.operations;
            format!(
                "{main}\n[operations]\nbind = \"127.0.0.1:{operations}\"\n\n[rate_limit]\nper_address = {{ rate = \"100000/s\", burst = 100000 }}\n"
            )
        });
        world.edit("routes/app.toml", |route| {
            format!("{route}\n[[allow]]\nid = \"open\"\npublic = true\nmethods = [\"GET\"]\npaths = [\"/p/**\"]\n")
        });
        world
    }

    /// Runs `init` as an operator would, with the answers at its standard input.
    pub fn init(&self, upstream: &str) -> Output {
        let answers =
            format!("https://gate.localhost:{}\nhttp://127.0.0.1:9\nportcullis\nsecret-of-the-client\napp {upstream}\nadmins\n", self.port);
        fed(self.command(&["init"]), &answers)
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("config")
    }

    /// Certificates that clients trust, where a test says so: else the gateway's.
    pub fn trusted(&self) -> PathBuf {
        self.dir.path().join("trusted.pem")
    }

    pub fn audit(&self) -> PathBuf {
        self.config().join("audit")
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.arg("--config").arg(self.config()).args(arguments).env_remove("PORTCULLIS_CONFIG").env_remove("PORTCULLIS_LOG");
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs a command and asserts its exit code; gives standard output and standard error.
    #[track_caller]
    pub fn check(&self, arguments: &[&str], expected: i32) -> (String, String) {
        let output = self.run(arguments);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(code(&output), expected, "{arguments:?}\n{out}\n{err}");
        (out, err)
    }

    pub fn edit(&self, file: &str, change: impl FnOnce(String) -> String) {
        let path = self.config().join(file);
        fs::write(&path, change(fs::read_to_string(&path).unwrap())).unwrap();
    }

    /// Starts a gateway and waits until it answers.
    pub fn serve(&self) -> Gateway {
        self.serve_as(self.command(&["serve"]))
    }

    /// Starts a gateway by a command of one's own.
    pub fn serve_as(&self, mut command: Command) -> Gateway {
        command.stdin(Stdio::null()).stdout(self.log("serve.out"));
        self.serve_with(command)
    }

    /// The same, with a standard input and output of one's own.
    pub fn serve_with(&self, mut command: Command) -> Gateway {
        let child = command.stderr(self.log("serve.err")).spawn().unwrap();
        let mut gateway = Gateway { child };
        wait("the gateway answers /livez", || {
            if let Some(status) = gateway.child.try_wait().unwrap() {
                panic!("the gateway ended with {status}:\n{}", self.errors());
            }
            self.operations("/livez").is_some_and(|(status, _)| status == 200)
        });
        gateway
    }

    fn log(&self, name: &str) -> File {
        OpenOptions::new().create(true).append(true).open(self.dir.path().join(name)).unwrap()
    }

    /// What the gateway wrote to standard error.
    pub fn errors(&self) -> String {
        fs::read_to_string(self.dir.path().join("serve.err")).unwrap()
    }

    /// Asks the operations listener; None while nobody answers.
    pub fn operations(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.operations)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// Opens a connection as a browser would.
    pub fn connect(&self) -> io::Result<Client> {
        let trusted = if self.trusted().exists() { self.trusted() } else { self.config().join("certs/gate.pem") };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(trusted).map_err(io::Error::other)? {
            roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("app.localhost").map_err(io::Error::other)?;
        let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        let socket = TcpStream::connect(("127.0.0.1", self.port))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        Ok(Client {
            stream: BufReader::new(StreamOwned::new(connection, socket)),
            host: format!("app.localhost:{}", self.port),
            closes: false,
        })
    }

    /// One request on a connection of its own.
    #[track_caller]
    pub fn get(&self, path: &str) -> (u16, String) {
        self.connect().and_then(|mut client| client.get(path)).unwrap()
    }

    /// Every record of the log.
    pub fn records(&self) -> Vec<serde_json::Value> {
        records_in(self.audit())
    }

    /// The file that holds the first records.
    pub fn first_segment(&self) -> PathBuf {
        let mut files: Vec<_> = fs::read_dir(self.audit()).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
        files.sort();
        files.remove(0)
    }
}

/// Every record of the log in a folder, without a line that is being written.
pub fn records_in(folder: impl AsRef<std::path::Path>) -> Vec<serde_json::Value> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    let whole_lines = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>()
    };
    files.iter().flat_map(whole_lines).collect()
}

impl Gateway {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Sets how long a file of the running gateway may grow, in bytes; None takes the limit away.
    pub fn limit_files(&self, bytes: Option<u64>) {
        prlimit(Some(Pid::from_child(&self.child)), Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
    }

    /// SIGKILL: nothing is tidied up.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// SIGTERM, and the exit status.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let mut status = None;
        wait("the gateway ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A connection over TLS that is kept open between requests.
pub struct Client {
    pub stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
    pub host: String,
    /// The last answer said that the connection ends with it.
    pub closes: bool,
}

impl Client {
    pub fn get(&mut self, path: &str) -> io::Result<(u16, String)> {
        let host = &self.host;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\naccept: application/json\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.stream.get_mut().flush()?;
        let ended = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(ended)?;
        let mut length = 0;
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(ended());
            }
            if line == "\r\n" {
                break;
            }
            self.closes |= line.eq_ignore_ascii_case("connection: close\r\n");
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

/// An upstream that remembers the path of every request.
pub struct Upstream {
    pub url: String,
    pub seen: Arc<Mutex<HashSet<String>>>,
}

impl Upstream {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::default();
        let memory = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let memory = Arc::clone(&memory);
                thread::spawn(move || remember(&stream, &memory));
            }
        });
        Self { url, seen }
    }
}

fn remember(stream: &TcpStream, memory: &Mutex<HashSet<String>>) -> Option<()> {
    let (mut reader, mut writer) = (BufReader::new(stream), stream);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
        memory.lock().unwrap().insert(line.split(' ').nth(1)?.to_owned());
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
        }
        writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").ok()?;
    }
}

/// Runs a command with text at its standard input.
pub fn fed(mut command: Command, input: &str) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that refuses early does not read.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    child.wait_with_output().unwrap()
}

pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Asks until the answer is yes, a bounded number of times.
#[track_caller]
pub fn wait(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..3_000 {
        if done() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("never happened: {what}");
}

/// A port below those that the system gives to outgoing connections, so that nobody takes it meanwhile.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 20_000 + u16::try_from(std::process::id() % 1_000).unwrap() * 12;
    loop {
        let port = start + NEXT.fetch_add(1, Ordering::Relaxed) % 700;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Cuts a file to a length.
pub fn truncate(path: &std::path::Path, length: u64) {
    File::options().write(true).open(path).unwrap().set_len(length).unwrap();
}

const PATIENCE: Duration = Duration::from_secs(20);
