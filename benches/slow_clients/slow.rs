//! Those who do not behave. Whoever is closed comes again, a second later.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use crate::Plan;
use crate::good::{client, reach, shake};
use crate::support::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Silent,
    Hello,
    Shaken,
    Head,
    Body,
    Mix,
    Flood,
}

impl Kind {
    pub const ALL: &[(&str, Self, &str)] = &[
        ("silent", Self::Silent, "connections on which nothing is said"),
        ("hello", Self::Hello, "half of a TLS hello, a byte every two seconds"),
        ("shaken", Self::Shaken, "handshakes that no request follows"),
        ("head", Self::Head, "a request head, a byte every two seconds"),
        ("body", Self::Body, "a request body, a byte every two seconds"),
        ("mix", Self::Mix, "of ten, six in their hello, two in their head, two in their body"),
        (
            "flood",
            Self::Flood,
            "connections that shake hands, ask once and are gone: as many as can be made, at most a tenth of the clients at once",
        ),
    ];
}

/// While it lives, they come.
pub struct Slow {
    stop: CancellationToken,
    figures: Arc<Figures>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Figures {
    open: AtomicUsize,
    tried: AtomicUsize,
    rounds: AtomicU64,
    refused: AtomicU64,
}

impl Figures {
    /// Counts each of them once.
    fn came(&self, first: &mut bool) {
        if std::mem::take(first) {
            self.tried.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Slow {
    /// Starts them, and returns when each has come once.
    pub fn start(world: &World, plan: Plan, kind: Kind) -> Self {
        let (stop, figures) = (CancellationToken::new(), Arc::<Figures>::default());
        let (ended, seen, port, connector) = (stop.clone(), Arc::clone(&figures), world.port, client(world));
        let host: Arc<str> = format!("app.localhost:{port}").into();
        let clients = if kind == Kind::Flood { plan.clients / 10 } else { plan.clients };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                for number in 0..clients {
                    let address = number % plan.addresses;
                    let from = [127, 0, 1 + u8::try_from(address / 250).unwrap(), 1 + u8::try_from(address % 250).unwrap()];
                    let one = One { kind: kind.of(number), from, port, connector: connector.clone(), host: Arc::clone(&host) };
                    tokio::spawn(come(one, Arc::clone(&seen)));
                    if number % 50 == 0 {
                        // Not all in one instant, which would only fill the backlog of the system.
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
                ended.cancelled().await;
            });
        });
        while figures.tried.load(Ordering::Relaxed) < clients {
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { stop, figures, thread: Some(thread) }
    }

    pub fn open(&self) -> usize {
        self.figures.open.load(Ordering::Relaxed)
    }

    pub fn told(&self) -> String {
        let Figures { rounds, refused, .. } = &*self.figures;
        format!(
            "they came {} times, {} of them in vain; {} open now",
            rounds.load(Ordering::Relaxed),
            refused.load(Ordering::Relaxed),
            self.open()
        )
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.stop.cancel();
        self.thread.take().unwrap().join().unwrap();
    }
}

struct One {
    kind: Kind,
    from: [u8; 4],
    port: u16,
    connector: TlsConnector,
    host: Arc<str>,
}

impl Kind {
    const fn of(self, number: usize) -> Self {
        match (self, number % 10) {
            (Self::Mix, 0..6) => Self::Hello,
            (Self::Mix, 6..8) => Self::Head,
            (Self::Mix, _) => Self::Body,
            (kind, _) => kind,
        }
    }
}

async fn come(one: One, figures: Arc<Figures>) {
    let mut first = true;
    loop {
        let reached = reach(one.port, one.from).await;
        figures.rounds.fetch_add(1, Ordering::Relaxed);
        let lasted = match reached {
            Ok(stream) => {
                figures.open.fetch_add(1, Ordering::Relaxed);
                if matches!(one.kind, Kind::Silent | Kind::Hello | Kind::Flood) {
                    figures.came(&mut first);
                }
                let begun = tokio::time::Instant::now();
                let _closed = stay(&one, stream, &figures, &mut first).await;
                figures.open.fetch_sub(1, Ordering::Relaxed);
                begun.elapsed() > Duration::from_secs(1)
            }
            Err(_) => {
                figures.came(&mut first);
                false
            }
        };
        if !lasted && one.kind != Kind::Flood {
            figures.refused.fetch_add(1, Ordering::Relaxed);
        }
        if one.kind != Kind::Flood {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

async fn stay(one: &One, mut stream: tokio::net::TcpStream, figures: &Figures, first: &mut bool) -> io::Result<()> {
    match one.kind {
        Kind::Silent => read_to_end(&mut stream).await,
        // The record says 500 bytes, the hello in it as many, and both stay away.
        Kind::Hello => drip(&mut stream, b"\x16\x03\x01\x01\xf4\x01\x00\x01\xf0\x03\x03", 0).await,
        Kind::Shaken | Kind::Head | Kind::Body | Kind::Flood | Kind::Mix => {
            let shaken = shake(&one.connector, stream).await;
            figures.came(first);
            let mut stream = shaken?;
            match one.kind {
                Kind::Shaken => read_to_end(&mut stream).await,
                Kind::Head => drip(&mut stream, b"GET /p/slow HTTP/1.1\r\nX: ", b'x').await,
                Kind::Body => {
                    let head = format!("POST /p/slow HTTP/1.1\r\nHost: {}\r\nContent-Length: 100000\r\n\r\n", one.host);
                    drip(&mut stream, head.as_bytes(), b'x').await
                }
                Kind::Silent | Kind::Hello | Kind::Flood | Kind::Mix => {
                    stream
                        .write_all(format!("GET /p/flood HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", one.host).as_bytes())
                        .await?;
                    stream.flush().await?;
                    let mut answer = Vec::new();
                    stream.read_to_end(&mut answer).await?;
                    if !answer.starts_with(b"HTTP/1.1 200") {
                        figures.refused.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(())
                }
            }
        }
    }
}

async fn read_to_end(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> io::Result<()> {
    let mut buffer = [0; 256];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// A beginning, and then a byte every two seconds until the other side has enough.
async fn drip(stream: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin), beginning: &[u8], byte: u8) -> io::Result<()> {
    stream.write_all(beginning).await?;
    stream.flush().await?;
    let mut buffer = [0; 256];
    loop {
        match tokio::time::timeout(Duration::from_secs(2), stream.read(&mut buffer)).await {
            Ok(Ok(1..)) => {}
            Ok(_) => return Ok(()),
            Err(_) => {
                stream.write_all(&[byte]).await?;
                stream.flush().await?;
            }
        }
    }
}
