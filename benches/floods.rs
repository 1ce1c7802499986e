//! What floods of HTTP/2 cost the gateway in memory, and how soon it has it back.
//!
//! `cargo bench --bench floods [-- NAME…]` sends each flood on `CONNECTIONS` (20) connections of its own over TLS, from 100 streams each where streams
//! are held, and reads the resident memory from the kernel meanwhile. Amplification is the growth of memory at its peak for each byte that the
//! clients sent, TLS handshakes included. Floods that are held are held for `HOLD` (10) seconds; then the clients leave, and the time is taken until
//! memory is within a tenth of what it was, a minute at most. All the while a good client asks twenty times a second. `PEER=nginx` floods a bare nginx in the same manner. Loopback only.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a bench")]

#[path = "data_path/machine.rs"]
#[allow(dead_code, reason = "shared with another bench")]
mod machine;
#[path = "data_path/minimal.rs"]
#[allow(dead_code, reason = "shared with another bench")]
mod minimal;
#[path = "data_path/peers.rs"]
#[allow(dead_code, reason = "shared with another bench")]
mod peers;
#[path = "data_path/world.rs"]
#[allow(dead_code, reason = "shared with another bench")]
mod world;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::peers::Peer;
use crate::world::{Growth, HOST, UPLOAD_HOST, World};

/// How a client floods.
enum Shape {
    /// The same again and again, until the connection is ended; by the number of the round.
    Repeated(fn(u32) -> Vec<u8>),
    /// Said once on each of a connection's streams, and then nothing, nor is anything read.
    Held { settings: &'static [(u16, u32)], window: u32, stream: fn(&Request, u32) -> Vec<u8>, host: &'static str, path: &'static str },
}

struct Flood {
    name: &'static str,
    shape: Shape,
}

/// What a request is made of.
struct Request {
    host: String,
    path: &'static str,
    cookie: String,
}

fn floods() -> Vec<Flood> {
    let repeated = |name, make| Flood { name, shape: Shape::Repeated(make) };
    let held = |name, settings, window, stream, host, path| Flood { name, shape: Shape::Held { settings, window, stream, host, path } };
    vec![
        repeated("rapid-reset", |round| [open(round, true), frame(RST_STREAM, 0, round * 2 + 1, &8_u32.to_be_bytes())].concat()),
        repeated("made-to-reset", |round| [open(round, false), frame(WINDOW_UPDATE, 0, round * 2 + 1, &[0; 4])].concat()),
        repeated("continuation", |round| match round {
            0 => frame(HEADERS, 0, 1, &plain(HOST, "/small")),
            _ => frame(CONTINUATION, 0, 1, &literal("a", "b").repeat(200)),
        }),
        repeated("settings", |_| frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff].repeat(100))),
        repeated("ping", |_| frame(PING, 0, 0, &[0; 8])),
        repeated("priority", |_| frame(PRIORITY, 0, 1_001, &[0, 0, 0, 0, 1])),
        repeated("window-update", |_| frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes())),
        repeated("empty-data", |round| if round == 0 { open(0, false) } else { frame(DATA, 0, 1, &[]) }),
        held("hpack-bomb", &[(INITIAL_WINDOW_SIZE, 0)], 0, bomb, HOST, "/large"),
        held("cookie-crumbs", &[(INITIAL_WINDOW_SIZE, 0)], 0, crumbs, HOST, "/large"),
        held("half-open", &[], 0, half_open, UPLOAD_HOST, "/upload"),
        // An answer that came whole holds no upstream connection: what the stream itself costs.
        held("shut-windows-1KiB", &[(INITIAL_WINDOW_SIZE, 0)], 0, get, HOST, "/small"),
        held("shut-windows", &[(INITIAL_WINDOW_SIZE, 0)], 0, get, HOST, "/large"),
        held("windows-of-one", &[(INITIAL_WINDOW_SIZE, 1)], 0, get, HOST, "/large"),
        held("nothing-read", &[(INITIAL_WINDOW_SIZE, 0x7fff_ffff)], 0x7fff_0000 - 65_535, get, HOST, "/large"),
        held("idle", &[], 0, |_, _| Vec::new(), HOST, "/small"),
    ]
}

/// Fields that take 27 KiB when they are unpacked, of a hundred bytes.
fn bomb(request: &Request, stream: u32) -> Vec<u8> {
    repeating(request, stream, &literal_indexed("a", &"x".repeat(250)))
}

fn crumbs(request: &Request, stream: u32) -> Vec<u8> {
    repeating(request, stream, &literal_indexed("cookie", &format!("a={}", "x".repeat(250))))
}

/// The field goes into the table with the first stream, as its newest entry, and is named from there.
fn repeating(request: &Request, stream: u32, field: &[u8]) -> Vec<u8> {
    let mut block = if stream == 1 { [indexing(request), field.to_vec()].concat() } else { indexed(1) };
    block.extend([0xbe; 88]);
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block)
}

fn get(request: &Request, stream: u32) -> Vec<u8> {
    let block = if stream == 1 { indexing(request) } else { indexed(0) };
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block)
}

fn half_open(request: &Request, stream: u32) -> Vec<u8> {
    let block = if stream == 1 { indexing(request) } else { indexed(0) };
    frame(HEADERS, END_HEADERS, stream, &[vec![0x83], block[1..].to_vec()].concat())
}

/// GET with its fields put into the table.
fn indexing(request: &Request) -> Vec<u8> {
    let fields = [(":authority", request.host.as_str()), (":path", request.path), ("cookie", &request.cookie)];
    let fields = fields.iter().flat_map(|(name, value)| literal_indexed(name, value));
    [0x82, 0x87].into_iter().chain(fields).collect()
}

/// The same from the table, which so many fields were added to since.
fn indexed(since: u8) -> Vec<u8> {
    vec![0x82, 0x87, 0xc0 + since, 0xbf + since, 0xbe + since]
}

fn open(round: u32, ended: bool) -> Vec<u8> {
    let flags = if ended { END_STREAM | END_HEADERS } else { END_HEADERS };
    frame(HEADERS, flags, round * 2 + 1, &plain(HOST, "/small"))
}

fn plain(host: &str, path: &str) -> Vec<u8> {
    [vec![0x82, 0x87], literal(":authority", host), literal(":path", path)].concat()
}

fn literal(name: &str, value: &str) -> Vec<u8> {
    [vec![0x00], text(name), text(value)].concat()
}

fn literal_indexed(name: &str, value: &str) -> Vec<u8> {
    [vec![0x40], text(name), text(value)].concat()
}

/// A string without Huffman's code, its length as a number of seven bits and what follows.
fn text(text: &str) -> Vec<u8> {
    let mut head = Vec::new();
    if text.len() < 127 {
        head.push(u8::try_from(text.len()).unwrap());
    } else {
        head.push(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            head.push(u8::try_from(rest % 128).unwrap() | 0x80);
            rest /= 128;
        }
        head.push(u8::try_from(rest).unwrap());
    }
    [head, text.as_bytes().to_vec()].concat()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A socket that counts what is sent.
struct Counting(TcpStream, Arc<AtomicU64>);

impl Read for Counting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Counting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.0.write(bytes)?;
        self.1.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

type Tls = StreamOwned<ClientConnection, Counting>;

/// Whom is flooded, and by whom.
struct Target {
    address: SocketAddr,
    pid: u32,
    tls: Arc<ClientConfig>,
    /// For the good client, which speaks HTTP/1.1.
    plain: Arc<ClientConfig>,
    cookie: String,
    sent: Arc<AtomicU64>,
}

impl Target {
    fn connect(&self, host: &'static str, settings: &[(u16, u32)]) -> io::Result<Tls> {
        let socket = TcpStream::connect(self.address)?;
        socket.set_write_timeout(Some(Duration::from_secs(10)))?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        let session = ClientConnection::new(Arc::clone(&self.tls), host.try_into().unwrap()).unwrap();
        let mut tls = StreamOwned::new(session, Counting(socket, Arc::clone(&self.sent)));
        let settings: Vec<u8> = settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
        tls.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &settings)].concat())?;
        tls.flush()?;
        Ok(tls)
    }

    /// Sends until the connection is ended; whether it was.
    fn repeat(&self, make: fn(u32) -> Vec<u8>) -> bool {
        let Ok(mut tls) = self.connect(HOST, &[]) else { return true };
        (0..ROUNDS).any(|round| tls.write_all(&make(round)).is_err())
    }

    /// Opens the streams; the connection, to be held.
    fn hold(&self, shape: &Shape) -> Option<Tls> {
        let Shape::Held { settings, window, stream, host, path } = shape else { return None };
        let mut tls = self.connect(host, settings).ok()?;
        let request = Request { host: format!("{host}:{}", self.address.port()), path, cookie: self.cookie.clone() };
        let mut bytes = if *window > 0 { frame(WINDOW_UPDATE, 0, 0, &window.to_be_bytes()) } else { Vec::new() };
        for number in 0..STREAMS {
            bytes.extend(stream(&request, number * 2 + 1));
        }
        tls.write_all(&bytes).ok()?;
        tls.flush().ok()?;
        Some(tls)
    }

    /// Asks until it is told to stop: how often it was served, how often not, and the longest that it waited.
    fn ask(&self, over: &AtomicBool) -> (usize, usize, Duration) {
        let (mut served, mut failed, mut longest) = (0, 0, Duration::ZERO);
        let mut kept = None;
        while !over.load(Ordering::Acquire) {
            let began = Instant::now();
            match self.exchange(&mut kept) {
                Ok(()) => served += 1,
                Err(_) => {
                    failed += 1;
                    kept = None;
                }
            }
            longest = longest.max(began.elapsed());
            thread::sleep(Duration::from_millis(50));
        }
        (served, failed, longest)
    }

    fn exchange(&self, kept: &mut Option<StreamOwned<ClientConnection, TcpStream>>) -> io::Result<()> {
        let tls = match kept {
            Some(tls) => tls,
            None => {
                let socket = TcpStream::connect(self.address)?;
                socket.set_read_timeout(Some(Duration::from_secs(10)))?;
                let session = ClientConnection::new(Arc::clone(&self.plain), HOST.try_into().unwrap()).unwrap();
                kept.insert(StreamOwned::new(session, socket))
            }
        };
        let host = format!("{HOST}:{}", self.address.port());
        tls.write_all(format!("GET /small HTTP/1.1\r\nHost: {host}\r\nCookie: {}\r\n\r\n", self.cookie).as_bytes())?;
        let (mut answer, mut part) = (Vec::new(), [0; 4_096]);
        loop {
            let count = tls.read(&mut part)?;
            answer.extend_from_slice(&part[..count]);
            let body = answer.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |at| answer.len() - at - 4);
            if body >= 1_024 && answer.starts_with(b"HTTP/1.1 200") {
                return Ok(());
            }
            if count == 0 || body >= 1_024 {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
    }

    fn resident(&self) -> f64 {
        machine::resident_kib(self.pid)
    }
}

/// The greatest resident memory while something is done.
fn watched(target: &Target, work: impl FnOnce()) -> f64 {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut most: f64 = 0.0;
            while !over.load(Ordering::Acquire) {
                most = most.max(target.resident());
                thread::sleep(Duration::from_millis(20));
            }
            most
        });
        work();
        over.store(true, Ordering::Release);
        watching.join().unwrap()
    })
}

fn run(target: &Target, flood: &Flood, connections: usize, hold: Duration) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let asking = scope.spawn(|| target.ask(&over));
        // It has shaken hands.
        thread::sleep(Duration::from_millis(500));
        let line = flooded(target, flood, connections, hold);
        over.store(true, Ordering::Release);
        let (served, failed, longest) = asking.join().unwrap();
        println!("{line} {served}, {failed}, {:.0} ms |", longest.as_secs_f64() * 1_000.0);
    });
}

fn flooded(target: &Target, flood: &Flood, connections: usize, hold: Duration) -> String {
    let before = target.resident();
    target.sent.store(0, Ordering::Relaxed);
    let mut ended = 0;
    let most = watched(target, || {
        let mut held = Vec::new();
        thread::scope(|scope| match &flood.shape {
            Shape::Repeated(make) => {
                let clients: Vec<_> = (0..connections).map(|_| scope.spawn(|| target.repeat(*make))).collect();
                ended = clients.into_iter().map(|client| usize::from(client.join().unwrap())).sum();
            }
            shape @ Shape::Held { .. } => held = (0..connections).filter_map(|_| target.hold(shape)).collect(),
        });
        if matches!(flood.shape, Shape::Held { .. }) {
            thread::sleep(hold);
        }
    });
    let (sent, left) = (target.sent.load(Ordering::Relaxed) as f64 / 1024.0, Instant::now());
    let back = loop {
        let now = target.resident();
        if now <= before * 1.1 {
            break format!("{:.1} s", left.elapsed().as_secs_f64());
        }
        if left.elapsed() > Duration::from_secs(60) {
            break format!("not in 60 s: {:.1} MiB", now / 1024.0);
        }
        thread::sleep(Duration::from_millis(100));
    };
    let growth = (most - before).max(0.0);
    format!(
        "| {} | {:.0} KiB | {:.1} | {:.1} | {:.1} | {back} | {} |",
        flood.name,
        sent,
        before / 1024.0,
        most / 1024.0,
        growth / sent,
        if matches!(flood.shape, Shape::Repeated(_)) {
            format!("{ended} of {connections}")
        } else {
            format!("{:.1} KiB a stream", growth / (connections as f64 * f64::from(STREAMS)))
        }
    )
}

fn main() {
    let names: Vec<String> = std::env::args().skip(1).filter(|name| !name.starts_with("--")).collect();
    let number = |name: &str, usual: u64| std::env::var(name).map_or(usual, |text| text.parse().expect("a number"));
    let (connections, hold) = (usize::try_from(number("CONNECTIONS", 20)).unwrap(), Duration::from_secs(number("HOLD", 10)));
    let world = World::start(Growth::default());
    let peer = match std::env::var("PEER") {
        Ok(name) => Peer::start(&name, &world).expect("the peer starts"),
        Err(_) => Peer::gateway(&world),
    };
    let mut roots = RootCertStore::empty();
    roots.add(world.authority.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.resumption = rustls::client::Resumption::disabled();
    let plain = Arc::new(tls.clone());
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let target =
        Target { address: peer.address, pid: peer.pid, tls: Arc::new(tls), plain, cookie: world.cookie.clone(), sent: Arc::default() };
    machine::describe();
    println!("{}, {connections} connections, {STREAMS} streams each where they are held", peer.name);
    println!(
        "| flood | sent | MiB before | MiB at most | growth for each byte sent | back within a tenth after | |\n|---|---|---|---|---|---|---|"
    );
    // What a process keeps for good after its first load is no flood's doing.
    for _ in 0..3 {
        let held: Vec<_> =
            floods().iter().filter(|flood| flood.name == "shut-windows").filter_map(|flood| target.hold(&flood.shape)).collect();
        thread::sleep(Duration::from_millis(200));
        drop(held);
    }
    thread::sleep(Duration::from_secs(3));
    for flood in floods().iter().filter(|flood| names.is_empty() || names.iter().any(|name| name == flood.name)) {
        run(&target, flood, connections, hold);
    }
}

const ROUNDS: u32 = 100_000;
const STREAMS: u32 = 100;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const INITIAL_WINDOW_SIZE: u16 = 4;
