//! A whole listener on a loopback port, spoken to by clients of its own making.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod challenges;
mod clients;
mod desync;
mod floods;
mod http1;
mod http2;
mod opening;
mod policies;
mod redirect;
mod rest;
mod signatures;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use kernel::request::client::TrustedProxies;
use kernel::time::Timestamp;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::web::body::{self, Body};

/// What the handler met.
#[derive(Debug)]
pub struct Met {
    pub facts: RequestFacts,
    pub target: String,
    pub body: Result<usize, String>,
}

/// Answers by path: `/panic` panics, `/abort` closes, `/upgrade` opens and echoes, `/decline` does not, `/held` waits to
/// be released, `/large` is answered at length; `/broken` by half; anything else is
/// read and answered.
#[derive(Clone)]
pub struct Recorder {
    met: Sender<Met>,
    release: Arc<Notify>,
    rested: watch::Sender<usize>,
}

impl Handler for Recorder {
    fn rested(&self) {
        self.rested.send_modify(|count| *count += 1);
    }

    async fn handle(&self, facts: RequestFacts, mut request: Request<Received>) -> Result<Response<Body>, HandlerAbort> {
        let path = request.uri().path().to_owned();
        let target = request.uri().to_string();
        let version = request.version();
        if path == "/upgrade" || path == "/open" {
            let upgrade = hyper::upgrade::on(&mut request);
            let open = request.extensions().get::<StaysOpen>().cloned();
            tokio::spawn(async move {
                let _open = open;
                let Ok(upgraded) = upgrade.await else { return };
                let (mut reader, mut writer) = tokio::io::split(TokioIo::new(upgraded));
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
                let _ = writer.shutdown().await;
            });
        }
        let fault = facts.fault;
        let body_fault = facts.body_fault.clone();
        let body = request.into_body().collect().await.map(|body| body.to_bytes().len()).map_err(|error| error.to_string());
        let broken = body.is_err();
        self.met.send(Met { facts, target, body }).await.unwrap();
        let status = match path.as_str() {
            "/panic" => panic!("as asked"),
            "/abort" => return Err(HandlerAbort("as asked")),
            "/upgrade" | "/open" => StatusCode::SWITCHING_PROTOCOLS,
            "/held" => {
                self.release.notified().await;
                StatusCode::OK
            }
            "/none" => StatusCode::NO_CONTENT,
            _ => fault.or(body_fault.found()).map_or(StatusCode::OK, |fault| fault.status()),
        };
        let mut answer = Response::new(match path.as_str() {
            _ if broken => body::empty(),
            "/large" => body::full(vec![b'x'; LARGE_BYTES]),
            _ => body::full(path.clone()),
        });
        *answer.status_mut() = status;
        if path == "/endless" {
            *answer.body_mut() = Endless.boxed_unsync();
            return Ok(answer);
        }
        if path == "/broken" {
            *answer.body_mut() = Broken::Not.boxed_unsync();
            return Ok(answer);
        }
        if path == "/upgrade" && version == ::http::Version::HTTP_2 {
            *answer.status_mut() = StatusCode::OK;
            *answer.body_mut() = body::empty();
            answer.extensions_mut().insert(body::Opened);
            return Ok(answer);
        }
        if status == StatusCode::SWITCHING_PROTOCOLS {
            *answer.body_mut() = body::empty();
            answer.headers_mut().insert("connection", "upgrade".parse().unwrap());
            answer.headers_mut().insert("upgrade", "websocket".parse().unwrap());
        }
        Ok(answer)
    }
}

/// A running listener with all that is needed to speak to it.
pub struct Stand {
    pub address: SocketAddr,
    pub met: Receiver<Met>,
    pub release: Arc<Notify>,
    /// How often a connection came to rest.
    pub rested: watch::Receiver<usize>,
    pub shutdown: CancellationToken,
    pub tasks: TaskTracker,
    pub tls: Arc<ServerTls>,
    pub roots: Arc<RootCertStore>,
    pub challenges: Arc<Challenges>,
    authority: Authority,
}

pub struct Authority {
    certificate: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        Self { certificate: params.self_signed(&key).unwrap(), issuer: rcgen::Issuer::new(params, key) }
    }

    /// PEM of a chain and its key.
    pub fn issue(&self, names: &[&str]) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    pub fn certificate(&self, names: &[&str]) -> Certificate {
        let (chain, key) = self.issue(names);
        Certificate::from_pem(chain.as_bytes(), key.as_bytes(), NOW, Path::new("cert.pem"), Path::new("cert.key")).unwrap()
    }
}

/// Within what rcgen issues by default (1975 to 4096).
pub const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

/// Longer than anything here takes; a test that comes to it has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// More than what sockets hold of an answer that nobody takes.
pub const LARGE_BYTES: usize = 16 * 1024 * 1024;

pub fn settings() -> Settings {
    Settings {
        name: "test".into(),
        bind: "127.0.0.1:0".parse().unwrap(),
        protocols: Protocols::default(),
        trusted_proxies: TrustedProxies::default(),
        proxy_header: ProxyHeader::default(),
        bounds: Bounds::default(),
        deadlines: Deadlines::default(),
    }
}

pub fn start() -> Stand {
    start_with(settings(), Profile::Modern)
}

pub fn start_with(settings: Settings, profile: Profile) -> Stand {
    let authority = Authority::new();
    let certificates = vec![authority.certificate(&["app.test", "*.w.test"]), authority.certificate(&["other.test"])];
    let challenges = Arc::<Challenges>::default();
    let tls = Arc::new(ServerTls::new(profile, settings.protocols, certificates).unwrap().answering(Arc::clone(&challenges)));
    Stand { challenges, ..start_on(settings, tls, authority) }
}

/// A listener that counts together with others.
pub fn start_sharing(shares: &Shares) -> Stand {
    let authority = Authority::new();
    let certificates = vec![authority.certificate(&["app.test", "other.test"])];
    let tls = Arc::new(ServerTls::new(Profile::Modern, Protocols::default(), certificates).unwrap());
    start_bound(bind(settings(), Arc::clone(&tls)).unwrap().sharing(shares), tls, authority)
}

/// Another listener, with TLS that is made already.
pub fn start_on(settings: Settings, tls: Arc<ServerTls>, authority: Authority) -> Stand {
    start_bound(bind(settings, Arc::clone(&tls)).unwrap(), tls, authority)
}

fn start_bound(bound: Bound, tls: Arc<ServerTls>, authority: Authority) -> Stand {
    let (sender, met) = channel(64);
    let release = Arc::new(Notify::new());
    let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate.der().clone()).unwrap();
    let address = bound.local_addr();
    let (resting, rested) = watch::channel(0);
    let recorder = Recorder { met: sender, release: Arc::clone(&release), rested: resting };
    tasks.spawn(bound.serve(recorder, shutdown.clone(), tasks.clone()));
    Stand { address, met, release, rested, shutdown, tasks, tls, roots: Arc::new(roots), challenges: Arc::default(), authority }
}

/// What a client offers.
#[derive(Clone, Copy)]
pub struct Offer<'a> {
    pub name: &'a str,
    pub alpn: &'a [&'a [u8]],
    pub versions: &'a [&'static rustls::SupportedProtocolVersion],
}

pub const HTTP1: Offer<'static> = Offer { name: "app.test", alpn: &[b"http/1.1"], versions: rustls::ALL_VERSIONS };

impl Stand {
    pub async fn connect(&self) -> TlsStream<TcpStream> {
        self.shake(TcpStream::connect(self.address).await.unwrap(), HTTP1).await.unwrap()
    }

    pub async fn shake(&self, stream: TcpStream, offer: Offer<'_>) -> std::io::Result<TlsStream<TcpStream>> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(offer.versions)
            .unwrap()
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth();
        config.alpn_protocols = offer.alpn.iter().map(|name| name.to_vec()).collect();
        let name = offer.name.to_owned().try_into().unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// Sends bytes on a connection of their own and reads until the listener closes it.
    pub async fn exchange(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut client = self.connect().await;
        client.write_all(bytes.as_ref()).await.unwrap();
        read_to_end(&mut client).await
    }

    pub async fn next(&mut self) -> Met {
        tokio::time::timeout(PATIENCE, self.met.recv()).await.expect("no request came").unwrap()
    }

    /// Waits until connections have come to rest so many times.
    pub async fn until_rested(&mut self, times: usize) {
        let rested = self.rested.wait_for(|count| *count >= times);
        tokio::time::timeout(PATIENCE, rested).await.expect("no connection came to rest").unwrap();
    }

    /// Nothing more reaches the handler: the listener is shut down and waited for.
    pub async fn assert_nothing_more(mut self) {
        self.shutdown.cancel();
        self.tasks.close();
        tokio::time::timeout(PATIENCE, self.tasks.wait()).await.expect("the listener did not end");
        assert!(self.met.recv().await.is_none(), "a request reached the handler");
    }
}

pub async fn read_to_end(client: &mut TlsStream<TcpStream>) -> String {
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, client.read_to_end(&mut answer)).await.expect("the connection stayed open").unwrap();
    String::from_utf8(answer).unwrap()
}

/// Reads until what was read ends with `end`.
pub async fn read_until(client: &mut TlsStream<TcpStream>, end: &str) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(end.as_bytes()) {
        let byte = tokio::time::timeout(PATIENCE, client.read_u8()).await.expect("the answer did not come");
        answer.push(byte.unwrap_or_else(|error| panic!("{error} after {}", answer.escape_ascii())));
    }
    String::from_utf8(answer).unwrap()
}

pub fn statuses(answer: &str) -> Vec<&str> {
    answer.split("HTTP/1.").skip(1).map(|part| &part[2..5]).collect()
}

/// A body that goes on for as long as somebody takes of it.
struct Endless;

impl hyper::body::Body for Endless {
    type Data = bytes::Bytes;
    type Error = crate::web::body::BodyError;
    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<bytes::Bytes>, Self::Error>>> {
        std::task::Poll::Ready(Some(Ok(hyper::body::Frame::data(bytes::Bytes::from_static(&[b'x'; 16_384])))))
    }
}

/// A body that breaks after its first part.
enum Broken {
    Not,
    Half,
    Yes,
}

impl hyper::body::Body for Broken {
    type Data = bytes::Bytes;
    type Error = crate::web::body::BodyError;
    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<bytes::Bytes>, Self::Error>>> {
        match *self {
            Self::Not => {
                *self = Self::Half;
                std::task::Poll::Ready(Some(Ok(hyper::body::Frame::data(bytes::Bytes::from_static(b"half")))))
            }
            Self::Half => {
                // The first part is on its way by then.
                *self = Self::Yes;
                cx.waker().wake_by_ref();
                std::task::Poll::Pending
            }
            Self::Yes => std::task::Poll::Ready(Some(Err("it broke".into()))),
        }
    }
}
