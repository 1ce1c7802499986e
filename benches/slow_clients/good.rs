//! Those who behave: requests at a fixed rate, whether or not the ones before were answered (open loop).

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::World;

/// What became of their requests.
pub struct Served {
    /// Milliseconds from the moment at which a request was due, in order.
    times: Vec<f64>,
    failed: Vec<String>,
}

impl Served {
    pub fn percentile(&self, percent: usize) -> f64 {
        self.times.get((self.times.len() * percent / 100).min(self.times.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
    }
}

impl fmt::Display for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, high, most] = [50, 99, 100].map(|percent| self.percentile(percent));
        write!(
            f,
            "{} good requests answered, {} not; median {median:.2} ms, 99 % {high:.2} ms, longest {most:.2} ms",
            self.times.len(),
            self.failed.len()
        )?;
        self.failed.first().map_or(Ok(()), |first| write!(f, " (first failure: {first})"))
    }
}

pub fn client(world: &World) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(world.config().join("certs/gate.pem")).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    TlsConnector::from(Arc::new(config))
}

/// A connection from one of this machine's addresses.
pub async fn reach(port: u16, from: [u8; 4]) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((from, 0)))?;
    let stream = socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

pub async fn shake(connector: &TlsConnector, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    connector.connect(ServerName::try_from("app.localhost").unwrap(), stream).await
}

/// Asks for a while. The half of the requests that make a connection each count with it.
pub fn ask(world: &World, a_second: u32, span: Duration) -> Served {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (connector, port) = (client(world), world.port);
    let host = format!("app.localhost:{port}");
    let lanes = LANES.min(a_second);
    let outcomes = runtime.block_on(async {
        let begin = Instant::now() + Duration::from_millis(100);
        let period = Duration::from_secs(1) * lanes / a_second;
        let lanes = (0..lanes).map(|lane| {
            let (connector, host) = (connector.clone(), host.clone());
            tokio::spawn(async move {
                let mut kept = None;
                let mut outcomes = Vec::new();
                let mut due = begin + period * lane / lanes;
                while due < begin + span {
                    tokio::time::sleep_until(due.into()).await;
                    let asked = tokio::time::timeout(PATIENCE, once(&connector, port, &host, kept.take())).await;
                    let asked = asked.unwrap_or_else(|_| Err(io::Error::other("no answer in time")));
                    outcomes.push(asked.map_err(|error| error.to_string()).map(|stream| {
                        kept = Some(stream).filter(|_| lane % 2 == 0);
                        due.elapsed().as_secs_f64() * 1e3
                    }));
                    due += period;
                }
                outcomes
            })
        });
        let mut all = Vec::new();
        for lane in lanes.collect::<Vec<_>>() {
            all.extend(lane.await.unwrap());
        }
        all
    });
    let (mut times, mut failed) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        match outcome {
            Ok(time) => times.push(time),
            Err(error) => failed.push(error),
        }
    }
    times.sort_by(f64::total_cmp);
    Served { times, failed }
}

async fn once(connector: &TlsConnector, port: u16, host: &str, kept: Option<TlsStream<TcpStream>>) -> io::Result<TlsStream<TcpStream>> {
    let mut stream = match kept {
        Some(stream) => stream,
        None => shake(connector, reach(port, [127, 0, 0, 1]).await?).await?,
    };
    stream.write_all(format!("GET /p/good HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nok") {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::Error::other(format!("closed after {:?}", String::from_utf8_lossy(&answer))));
        }
    }
    if answer.starts_with(b"HTTP/1.1 200") { Ok(stream) } else { Err(io::Error::other(String::from_utf8_lossy(&answer).into_owned())) }
}

/// Even ones keep their connection, odd ones make one for each request.
const LANES: u32 = 20;
const PATIENCE: Duration = Duration::from_secs(30);
