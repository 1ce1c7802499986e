//! A SIEM that is down for an hour at 2,000 events a second, with the built binary: what it costs requests, how much memory it
//! takes, and how fast the backlog drains when the SIEM is back.
//!
//! ```sh
//! cargo bench --bench siem_outage                                   # a fraction: seconds
//! SIEM_BACKLOG=7200000 SIEM_WINDOW_S=60 cargo bench --bench siem_outage   # the hour's 7.2 million records
//! ```
//! The hour is scaled in time: its records are written to the log at once, as the gateway writes them, before it starts with the
//! SIEM down. Then requests come at the live rate (1,000 a second, two records each), the SIEM comes back, and the backlog drains
//! beside them. Last come rounds with the SIEM up and down in turn, for the price of being down.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a benchmark stops where something is wrong"
)]

#[path = "../tests/process/support.rs"]
#[allow(dead_code, reason = "shared with the process tests")]
mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use kernel::event::{Actor, Body, Client, DecisionFacts, Event, Verdict};
use kernel::identity::{Email, Subject};
use kernel::request::RequestId;
use kernel::route::RouteId;
use portcullis::audit::{Durability, Recorder, SEGMENT_BYTES, Settings};
use portcullis::clock::Clock;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use support::{Gateway, Upstream, World};

fn main() {
    let number = |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (backlog, rounds) = (number("SIEM_BACKLOG", 200_000), number("SIEM_ROUNDS", 3));
    let window = Duration::from_secs(number("SIEM_WINDOW_S", 10));
    let upstream = Upstream::start();
    let world = World::with_upstream(&upstream.url);
    let siem = Siem::start(world.dir.path());
    configure(&world, siem.address);
    let filled = Instant::now();
    fill(&world, backlog);
    println!("{backlog} records written in {:.1} s", filled.elapsed().as_secs_f64());
    let gateway = world.serve();

    let before = resident(&gateway);
    let down = load(&world, window);
    let mut peak = resident(&gateway);
    siem.up.store(true, Ordering::SeqCst);
    let (began, mut drained) = (Instant::now(), None);
    let behind = lag(&world);
    let mut during = Vec::new();
    while drained.is_none() {
        during.extend(load(&world, Duration::from_secs(1)));
        peak = peak.max(resident(&gateway));
        if lag(&world) < 5_000 {
            drained = Some(began.elapsed());
        }
    }
    let seconds = drained.unwrap().as_secs_f64();
    let shipped = f64::from(u32::try_from(behind).unwrap()) + seconds * RATE_RECORDS;
    println!("behind when the SIEM came back   {behind} records");
    println!(
        "drained in                       {seconds:.1} s beside live traffic: {:.0} records/s, {:.1} times the live rate",
        shipped / seconds,
        shipped / seconds / RATE_RECORDS
    );
    println!(
        "resident memory                  {before} KiB at the start, {peak} KiB at most, {:+.1} MiB",
        (f64::from(peak) - f64::from(before)) / 1_024.0
    );
    println!("p99 down with backlog, draining  {:.2} ms, {:.2} ms", percentile(down), percentile(during));

    let (mut ups, mut downs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        siem.up.store(true, Ordering::SeqCst);
        until(|| lag(&world) < 5_000);
        ups.push(percentile(load(&world, window)));
        siem.up.store(false, Ordering::SeqCst);
        downs.push(percentile(load(&world, window)));
    }
    println!("p99 up, each round               {ups:.2?} ms");
    println!("p99 down, each round             {downs:.2?} ms");
    println!("p99 down against up, medians     {:+.1} %", (median(downs) / median(ups) - 1.0) * 100.0);

    siem.up.store(true, Ordering::SeqCst);
    until(|| lag(&world) == 0);
    assert!(gateway.stop().success());
    let records = portcullis::audit::follow::head(&world.audit()).unwrap().unwrap().size;
    let next = siem.next.load(Ordering::SeqCst);
    assert_eq!(next, records, "every record arrived, the last one too");
    println!("lost, out of order               0, 0 of {records} records ({} came twice)", siem.twice.load(Ordering::SeqCst));
}

fn configure(world: &World, siem: SocketAddr) {
    world.edit("portcullis.toml", |main| {
        format!(
            "{main}\n[[audit.sink]]\nkind = \"http\"\nname = \"siem\"\naddress = \"https://{siem}/\"\nserver_name = \"siem.test\"\nca = \"{}\"\n",
            world.dir.path().join("siem.pem").display()
        )
    });
}

/// Writes the hour's records, with the gateway's key and name.
fn fill(world: &World, count: u64) {
    use base64::Engine;
    let key = fs::read_to_string(world.config().join("keys/audit.key")).unwrap();
    let key: [u8; 32] = base64::engine::general_purpose::STANDARD.decode(key.trim()).unwrap().try_into().unwrap();
    let settings = Settings {
        dir: world.audit(),
        head: world.config().join("state/audit.head"),
        durability: Durability::Queued,
        signing_key: zeroize::Zeroizing::new(key),
        origin: "portcullis/gate.localhost".to_owned(),
        queue: 65_536,
        segment_bytes: SEGMENT_BYTES,
    };
    let recorder = Recorder::start(settings, Clock::system()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for number in 0..count {
        let event = record(number);
        // A full queue refuses: here it means to wait.
        while runtime.block_on(recorder.keep(event.clone())).is_err() {
            thread::sleep(Duration::from_millis(1));
        }
    }
    recorder.shutdown();
}

fn record(number: u64) -> Event {
    let body = Body::Decision(Box::new(DecisionFacts {
        request_id: RequestId::new([u8::try_from(number % 251).unwrap(); 16]),
        verdict: Verdict::Allow,
        reason: None,
        status: None,
        method: "GET".to_owned(),
        version: "2",
        authority: "app.localhost".to_owned(),
        raw_target: format!("/p/{number}"),
        target: Some(format!("/p/{number}")),
        parameters: Vec::new(),
        listener: "https".into(),
        server_name: Some("app.localhost".to_owned()),
        client: Client { address: [192, 0, 2, 1].into(), port: 4_711 },
        peer: None,
        client_certificate: None,
        user_agent: Some("curl/8".to_owned()),
        actor: Some(Actor {
            subject: Subject { issuer: "https://idp.test".to_owned(), sub: "ana".to_owned() },
            email: Some(Email::parse("ana@example.com").unwrap()),
            groups: vec!["dev".to_owned()],
            session: None,
        }),
        factor: None,
        route: Some(RouteId::new("app")),
        class: Some("internal".into()),
        rule: None,
        config: "c0ffee".into(),
    }));
    Event { time: Clock::system().now(), body }
}

/// A receiver of JSON lines over TLS, that is up or down.
struct Siem {
    address: SocketAddr,
    up: Arc<AtomicBool>,
    /// The record that is expected next.
    next: Arc<AtomicU64>,
    twice: Arc<AtomicU64>,
}

impl Siem {
    fn start(folder: &Path) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["siem.test".to_owned()]).unwrap();
        fs::write(folder.join("siem.pem"), made.cert.pem()).unwrap();
        let chain = vec![CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let siem = Self { address: listener.local_addr().unwrap(), up: Arc::default(), next: Arc::default(), twice: Arc::default() };
        let (up, next, twice) = (Arc::clone(&siem.up), Arc::clone(&siem.next), Arc::clone(&siem.twice));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, up, next, twice) = (Arc::clone(&config), Arc::clone(&up), Arc::clone(&next), Arc::clone(&twice));
                thread::spawn(move || take(stream, config, &up, &next, &twice));
            }
        });
        siem
    }
}

fn take(stream: TcpStream, config: Arc<ServerConfig>, up: &AtomicBool, next: &AtomicU64, twice: &AtomicU64) -> Option<()> {
    if !up.load(Ordering::SeqCst) {
        return None;
    }
    let mut stream = BufReader::new(StreamOwned::new(ServerConnection::new(config).unwrap(), stream));
    loop {
        let (mut line, mut length) = (String::new(), 0);
        loop {
            line.clear();
            stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
            if line == "\r\n" {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        if !up.load(Ordering::SeqCst) {
            return None;
        }
        for line in body.split(|byte| *byte == b'\n') {
            let Some(sequence) = portcullis::audit::layout::sequence_of(line) else { continue };
            let expected = next.load(Ordering::SeqCst);
            assert!(sequence <= expected, "record {sequence} came before record {expected}");
            if sequence == expected {
                next.store(expected + 1, Ordering::SeqCst);
            } else {
                twice.fetch_add(1, Ordering::SeqCst);
            }
        }
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()?;
    }
}

/// Requests at the live rate, each connection at its own pace; their latencies in milliseconds.
fn load(world: &World, window: Duration) -> Vec<f64> {
    let latencies = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut client = world.connect().unwrap();
                let (began, mut own) = (Instant::now(), Vec::new());
                let every = Duration::from_secs_f64(f64::from(CONNECTIONS) / (RATE_RECORDS / 2.0));
                let mut due = began;
                while began.elapsed() < window {
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    let sent = Instant::now();
                    assert_eq!(client.get("/p/load").unwrap().0, 200);
                    own.push(sent.elapsed().as_secs_f64() * 1_000.0);
                    due += every;
                }
                latencies.lock().unwrap().extend(own);
            });
        }
    });
    latencies.into_inner().unwrap()
}

fn percentile(mut latencies: Vec<f64>) -> f64 {
    latencies.sort_by(f64::total_cmp);
    latencies[latencies.len() * 99 / 100]
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn lag(world: &World) -> u64 {
    let (_, metrics) = world.operations("/metrics").unwrap();
    let line = metrics.lines().find(|line| line.starts_with("portcullis_audit_sink_lag_records{")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn until(mut done: impl FnMut() -> bool) {
    while !done() {
        thread::sleep(Duration::from_millis(100));
    }
}

/// Resident memory of the gateway in KiB.
fn resident(gateway: &Gateway) -> u32 {
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Each request leaves two records.
const RATE_RECORDS: f64 = 2_000.0;
const CONNECTIONS: u32 = 8;
