//! The room's tests, against upstreams in this process that speak raw bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod addresses;
mod answers_http2;
mod assertions;
mod bodies;
mod framing;
mod headers;
mod health;
mod http2;
mod pooling;
mod tls;
mod tls_agreed;
mod websockets;
mod websockets_http2;
mod websockets_upstream;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, Request, Response};
use http_body_util::BodyExt;
use kernel::Refusal;
use kernel::event::ExchangeOutcome;
use kernel::identity::assurance::{Assurance, FactorKind, FactorProof, Requirement, Strength};
use kernel::identity::{Email, Group, Identity, Subject};
use kernel::policy::decide::Person;
use kernel::policy::permit::{Admitted, Recorded};
use kernel::policy::rule::{Audience, Methods, Networks, Rule, RuleId};
use kernel::policy::{Decision, Presented, decide};
use kernel::request::client::{ClientAddress, TrustedProxies};
use kernel::request::host::Authority;
use kernel::request::{CanonicalRequest, Connection, RequestId};
use kernel::route::matcher::PathPattern;
use kernel::route::{Endpoint, Route, RouteId, SecondSpellings, Upstream};
use kernel::session::SessionId;
use kernel::time::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::assertion::AssertionKey;
use super::{ExchangeEnd, ForwardContext, Incoming, Limits, Protocol, Settings, Tls, Upstreams, Vouch, WaySettings, Ways};
use crate::web::body::{self, Body};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// The room with one route, `app.test`, whose paths under `/public/` are open to everybody and all others to anyone signed in.
pub struct Bench {
    pub upstreams: Arc<Upstreams>,
    pub ways: Ways,
    pub route: Arc<Route>,
    pub identity: Arc<Identity>,
    pub session: SessionId,
    pub proof: FactorProof,
    pub now: Timestamp,
    pub cut: CancellationToken,
    ends: Arc<Mutex<Vec<ExchangeEnd>>>,
}

impl Bench {
    pub fn new(addresses: &[SocketAddr]) -> Self {
        Self::with(addresses.iter().map(|address| at(Scheme::Http, &address.ip().to_string(), address.port())).collect(), |_| {})
    }

    pub fn with(upstreams: Vec<Upstream>, change: impl FnOnce(&mut WaySettings)) -> Self {
        Self::among(upstreams, vec![], change)
    }

    pub fn among(upstreams: Vec<Upstream>, own_listeners: Vec<SocketAddr>, change: impl FnOnce(&mut WaySettings)) -> Self {
        let key = AssertionKey::from_pkcs8(&AssertionKey::generate().unwrap()).unwrap();
        let settings = Settings { gateway: "https://gate.test".to_owned(), assertion_key: key, own_listeners };
        let mut way = WaySettings {
            route: RouteId::new("app"),
            upstreams: upstreams.clone(),
            protocol: Protocol::Http1,
            assertion: Vouch::EachRequest,
            tls: Tls::default(),
            limits: Limits::default(),
            health: None,
        };
        change(&mut way);
        let room = Upstreams::new(settings, TaskTracker::new(), CancellationToken::new());
        let route = Route {
            id: RouteId::new("app"),
            from: Authority::parse("app.test").unwrap(),
            upstreams,
            class: "internal".into(),
            idle_timeout: None,
            rules: vec![rule("open", "/public/**", Audience::Public), rule("all", "/**", Audience::AnyoneSignedIn)],
            owner: None,
            data: vec![],
            second_spellings: SecondSpellings::Allow,
            recorded_parameters: vec![],
        };
        Self {
            ways: room.ways(vec![way]),
            upstreams: room,
            route: Arc::new(route),
            identity: identity("ana", &["dev", "sre"]),
            session: SessionId::new([1; 16]),
            proof: FactorProof { kind: FactorKind::Totp, at: NOW.minus(Duration::from_secs(30)) },
            now: NOW,
            cut: CancellationToken::new(),
            ends: Arc::default(),
        }
    }

    pub fn recorded<B>(&self, request: &Request<B>) -> Recorded {
        let mut shell = Request::new(());
        *shell.method_mut() = request.method().clone();
        *shell.uri_mut() = request.uri().clone();
        *shell.version_mut() = request.version();
        *shell.headers_mut() = request.headers().clone();
        if let Some(protocol) = request.extensions().get::<hyper::ext::Protocol>() {
            shell.extensions_mut().insert(kernel::request::ExtendedConnect(protocol.as_str().into()));
        }
        let (head, ()) = shell.into_parts();
        let peer = ClientAddress::new("192.0.2.9".parse().unwrap());
        let connection = Connection { peer, port: 443, server_name: None, raw_target: None, fault: None };
        let canonical = CanonicalRequest::read(&head, &connection, &TrustedProxies::default(), RequestId::new([7; 16]), NOW).unwrap();
        let assurance = Assurance::default().with(self.proof);
        let person = Person { session: self.session, identity: &self.identity, assurance: &assurance };
        let presented = if canonical.path.is_under("/public") { Presented::Nobody } else { Presented::Person(person) };
        let Decision::Allow(permit) = decide(&self.route, canonical, &presented, NOW) else { panic!("not allowed") };
        Recorded::assertion(Admitted::assertion(permit))
    }

    pub async fn forward(&self, request: Request<Body>) -> Result<Response<Body>, Refusal> {
        let recorded = self.recorded(&request);
        let (head, body) = request.into_parts();
        self.send(recorded, Incoming { headers: &head.headers, body, on_upgrade: None }).await
    }

    pub async fn send<B>(&self, recorded: Recorded, client: Incoming<'_, B>) -> Result<Response<Body>, Refusal>
    where
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<crate::web::body::BodyError>,
    {
        self.upstreams.forward(self.ways.of(&self.route.id).unwrap(), recorded, self.context(), client).await
    }

    pub fn context(&self) -> ForwardContext {
        let ends = Arc::clone(&self.ends);
        ForwardContext {
            now: self.now,
            cut: self.cut.clone(),
            on_end: Box::new(move |end| ends.lock().unwrap().push(end)),
            progress: Arc::new(super::Progress::new()),
            traceparent: None,
        }
    }

    pub async fn get(&self, path: &str) -> Result<(u16, String), Refusal> {
        let response = self.forward(get(path)).await?;
        let status = response.status().as_u16();
        let text = response.into_body().collect().await.map(|whole| whole.to_bytes()).unwrap_or_else(|_| "broken".into());
        Ok((status, String::from_utf8_lossy(&text).into_owned()))
    }

    /// The one end that was reported.
    pub fn end(&self) -> ExchangeEnd {
        let ends = self.ends.lock().unwrap().clone();
        assert_eq!(ends.len(), 1, "reported once");
        ends[0].clone()
    }

    pub fn outcomes(&self) -> Vec<ExchangeOutcome> {
        self.ends.lock().unwrap().iter().map(|end| end.outcome).collect()
    }

    /// Connections that wait and still live.
    pub fn idle_alive(&self) -> usize {
        self.ways.backends().for_each(|backend| backend.sweep());
        self.idle()
    }

    pub fn idle(&self) -> usize {
        self.ways.backends().map(|backend| backend.pool.idle()).sum()
    }
}

pub fn identity(sub: &str, groups: &[&str]) -> Arc<Identity> {
    Arc::new(Identity {
        subject: Subject { issuer: "https://idp.test".into(), sub: sub.into() },
        email: Some(Email::parse("ana@example.com").unwrap()),
        name: None,
        groups: groups.iter().map(|name| Group::new(*name)).collect(),
    })
}

fn rule(id: &str, path: &str, audience: Audience) -> Rule {
    Rule {
        id: RuleId::new(id),
        audience,
        methods: Methods::All,
        paths: vec![PathPattern::parse(path).unwrap()],
        except: vec![],
        networks: Networks::Any,
        hours: None,
        requirement: Requirement { strength: Strength::Any, max_age: Duration::from_secs(3_600) },
        rate: None,
    }
}

pub enum Scheme {
    Http,
    Https,
}

pub fn at(scheme: Scheme, host: &str, port: u16) -> Upstream {
    let endpoint = Endpoint { host: host.into(), port };
    match scheme {
        Scheme::Http => Upstream::Http(endpoint),
        Scheme::Https => Upstream::Https(endpoint),
    }
}

pub fn get(path: &str) -> Request<Body> {
    request(Method::GET, path, body::empty())
}

pub fn request(method: Method, path: &str, body: Body) -> Request<Body> {
    Request::builder().method(method).uri(path).header("host", "app.test").body(body).unwrap()
}

/// An upstream that hands each connection, with its number, to `serve`.
pub async fn upstream<F, S>(serve: S) -> (SocketAddr, Arc<AtomicUsize>)
where
    S: Fn(TcpStream, usize) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, count.fetch_add(1, Ordering::SeqCst)));
        }
    });
    (address, accepted)
}

/// An upstream that answers every head with `answer` and keeps the connection.
pub async fn answering(answer: &'static [u8]) -> (SocketAddr, Arc<AtomicUsize>) {
    upstream(move |mut stream, _| async move {
        while read_head(&mut stream).await.is_some() {
            stream.write_all(answer).await.unwrap();
        }
    })
    .await
}

/// An upstream that answers every head with that head.
pub async fn mirror() -> (SocketAddr, Arc<AtomicUsize>) {
    upstream(|mut stream, _| async move {
        while let Some(head) = read_head(&mut stream).await {
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{head}", head.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await
}

/// Reads to the end of a head; None at the end of the connection.
pub async fn read_head(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// Lets every task that can run, run, without the clock.
pub async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}
