//! Load from the second core: h2load for requests on kept connections, and a plain rustls client for the rest.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::{ClientSessionMemoryCache, Resumption as Resume};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::ServerName;

use crate::machine::{median, resident_kib};
use crate::peers::{Peer, pinned};
use crate::world::{HOST, UPLOAD_HOST, World};

/// One request, as far as they differ.
#[derive(Clone, Copy)]
struct Ask {
    method: &'static str,
    host: &'static str,
    path: &'static str,
    body: u64,
}

const SMALL: Ask = Ask { method: "GET", host: HOST, path: "/small", body: 0 };
const LARGE: Ask = Ask { path: "/large", ..SMALL };

type Tls = StreamOwned<ClientConnection, TcpStream>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumption {
    Never,
    Always,
}

/// Requests answered on 64 HTTP/1.1 connections.
pub fn http1(peer: &Peer, span: Duration) -> f64 {
    h2load(peer, span, &["--h1", "-c", "64"])
}

/// Requests answered on 32 HTTP/2 connections of 32 streams.
pub fn http2(peer: &Peer, span: Duration) -> f64 {
    h2load(peer, span, &["-c", "32", "-m", "32"])
}

fn h2load(peer: &Peer, span: Duration, shape: &[&str]) -> f64 {
    let port = peer.address.port();
    let mut command = Command::new("h2load");
    command.args(shape).args(["-t", "1", "-D", &span.as_secs().to_string(), "--warm-up-time=1"]);
    command.arg("--connect-to").arg(peer.address.to_string());
    command.arg("-H").arg(format!("cookie: {}", peer.cookie));
    command.arg(format!("https://{HOST}:{port}/small"));
    let output = pinned(&mut command, 1).output().expect("h2load is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let succeeded = number_before(&text, " 2xx").unwrap_or_else(|| panic!("h2load says nothing of 2xx: {text}"));
    let refused = ["3xx", "4xx", "5xx"].iter().filter_map(|kind| number_before(&text, &format!(" {kind}"))).sum::<f64>();
    assert!(refused * 1000.0 < succeeded, "{} refused: {text}\n{}", peer.name, String::from_utf8_lossy(&output.stderr));
    // h2load counts what it got after its warm-up, the CPU of the proxy is counted from the beginning.
    let measured = span.as_secs_f64();
    succeeded * (measured + 1.0) / measured
}

fn number_before(text: &str, mark: &str) -> Option<f64> {
    let before = text.get(..text.find(mark)?)?;
    before.rsplit([' ', ':', ',']).next()?.parse().ok()
}

/// Connections made, each with one request.
pub fn connections(world: &World, peer: &Peer, span: Duration, resumption: Resumption) -> f64 {
    let config = client(world, resumption);
    let end = Instant::now() + span;
    let mut done = 0.0;
    while Instant::now() < end {
        let mut stream = connect(&config, peer.address);
        request(peer, &mut stream, SMALL);
        read_answer(&mut stream);
        if resumption == Resumption::Always && done > 2.0 {
            assert_eq!(stream.conn.handshake_kind(), Some(rustls::HandshakeKind::Resumed), "{} did not resume", peer.name);
        }
        stream.conn.send_close_notify();
        let _ = stream.conn.write_tls(&mut stream.sock);
        done += 1.0;
    }
    done
}

/// Megabytes that came down.
pub fn download(world: &World, peer: &Peer, count: usize) -> f64 {
    let mut stream = connect(&client(world, Resumption::Never), peer.address);
    let mut megabytes = 0.0;
    for _ in 0..count {
        request(peer, &mut stream, LARGE);
        megabytes += read_answer(&mut stream) / 1e6;
    }
    megabytes
}

/// Megabytes that went up, in one body.
pub fn upload(world: &World, peer: &Peer) -> f64 {
    let mut stream = connect_as(UPLOAD_HOST, &client(world, Resumption::Never), peer.address);
    let piece = vec![b'x'; 1 << 16];
    let total: u64 = 1 << 30;
    request(peer, &mut stream, Ask { method: "POST", host: UPLOAD_HOST, path: "/upload", body: total });
    for _ in 0..total / piece.len() as u64 {
        stream.write_all(&piece).unwrap();
    }
    stream.flush().unwrap();
    read_answer(&mut stream);
    total as f64 / 1e6
}

/// Memory of each of many connections that asked once and then wait, in KiB.
pub fn idle(world: &World, peer: &Peer, count: usize) -> f64 {
    let config = client(world, Resumption::Never);
    // What the first connections cost once is not what one more costs.
    let mut open: Vec<Tls> = (0..200).map(|_| asked_once(peer, &config)).collect();
    let before = resident_kib(peer.pid);
    open.extend((0..count).map(|_| asked_once(peer, &config)));
    // Idle is who has not asked for a while.
    std::thread::sleep(Duration::from_secs(2));
    let after = resident_kib(peer.pid);
    (after - before) / count as f64
}

fn asked_once(peer: &Peer, config: &Arc<ClientConfig>) -> Tls {
    let mut stream = connect(config, peer.address);
    request(peer, &mut stream, SMALL);
    read_answer(&mut stream);
    stream
}

/// Median microseconds that the proxy adds to a request, at 2,500 a second over 64 connections, open loop.
pub fn added_latency(world: &World, peer: &Peer, span: Duration) -> f64 {
    let config = client(world, Resumption::Never);
    let through: Vec<Tls> = (0..64).map(|_| asked_once(peer, &config)).collect();
    let direct: Vec<TcpStream> = (0..64).map(|_| TcpStream::connect(world.upstream()).unwrap()).collect();
    direct.iter().for_each(|stream| stream.set_nodelay(true).unwrap());
    let through = paced(through, span, |stream| {
        request(peer, stream, SMALL);
        read_answer(stream);
    });
    let direct = paced(direct, span, |stream| {
        stream.write_all(b"GET /small HTTP/1.1\r\nHost: app0.test\r\n\r\n").unwrap();
        read_answer(stream);
    });
    through - direct
}

/// Median microseconds from the moment at which each exchange was due.
fn paced<S: Send>(streams: Vec<S>, span: Duration, exchange: impl Fn(&mut S) + Sync) -> f64 {
    let count = u32::try_from(streams.len()).unwrap();
    let period = Duration::from_secs(1) * count / 2_500;
    let begin = Instant::now() + Duration::from_millis(50);
    let times = std::thread::scope(|scope| {
        let exchange = &exchange;
        let workers: Vec<_> = (0_u32..)
            .zip(streams)
            .map(|(at, mut stream)| {
                scope.spawn(move || {
                    let mut due = begin + period * at / count;
                    let mut times = Vec::new();
                    while due < begin + span {
                        std::thread::sleep(due.saturating_duration_since(Instant::now()));
                        exchange(&mut stream);
                        times.push(due.elapsed().as_secs_f64() * 1e6);
                        due += period;
                    }
                    times
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    median(times)
}

fn client(world: &World, resumption: Resumption) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(world.authority.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = match resumption {
        Resumption::Never => Resume::disabled(),
        Resumption::Always => Resume::store(Arc::new(ClientSessionMemoryCache::new(32))),
    };
    Arc::new(config)
}

fn connect(config: &Arc<ClientConfig>, address: SocketAddr) -> Tls {
    connect_as(HOST, config, address)
}

fn connect_as(host: &'static str, config: &Arc<ClientConfig>, address: SocketAddr) -> Tls {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let name = ServerName::try_from(host).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), socket)
}

fn request(peer: &Peer, stream: &mut Tls, ask: Ask) {
    let Ask { method, host, path, body } = ask;
    let length = if body > 0 { format!("Content-Length: {body}\r\n") } else { String::new() };
    let port = peer.address.port();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}:{port}\r\nCookie: {}\r\n{length}\r\n", peer.cookie);
    stream.write_all(head.as_bytes()).unwrap();
    stream.flush().unwrap();
}

/// Reads one whole answer of stated length, which must be a 200; gives the bytes of its body.
fn read_answer(stream: &mut impl Read) -> f64 {
    let mut buffer = vec![0; 1 << 17];
    let mut filled = 0;
    let end = loop {
        let count = stream.read(&mut buffer[filled..]).unwrap();
        assert!(count > 0, "closed before the answer: {}", String::from_utf8_lossy(&buffer[..filled]));
        filled += count;
        if let Some(end) = buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map(|value| value.parse::<usize>().unwrap());
    let length = length.unwrap_or_else(|| panic!("no length: {head}"));
    let mut left = length - (filled - end);
    while left > 0 {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "closed within the answer");
        left -= count;
    }
    length as f64
}
