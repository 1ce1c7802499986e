//! Plain HTTP that is only told the way to https.
//!
//! Nothing is proxied here, no page is shown and no cookie read. Requests pass the same gate as behind TLS; what has two readings is 400,
//! a host that is not listed learns nothing, and where a listed one is sent is built from what was read, never from what was written.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, LOCATION};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use kernel::event::ConnectionFault;
use kernel::request::client::{ClientAddress, TrustedProxies};
use kernel::request::framing::HeadBounds;
use kernel::request::host::{Authority, Host};
use kernel::request::{CanonicalRequest, Connection, RequestId, Upgrade};
use kernel::time::Timestamp;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::accept::{self, BindFault};
use super::bed::Bed;
use super::caps::{Place, Shares};
use super::deadline::Timed;
use super::front::Front;
use super::gate::Gate;
use super::junction::Junction;
use super::refusals::Refusals;
use super::settings::{Bounds, Deadlines, ProxyHeader};
use crate::web::body::{self, Body};

/// What the listener asks about a request.
pub trait Ways: Send + Sync + 'static {
    /// Where a host is served by https; `None` for one that is not.
    fn secure(&self, host: &Host) -> Option<Authority>;

    /// What to answer when a certificate authority asks for this path of a host of ours (ACME HTTP-01, RFC 8555 §8.3); `None` when
    /// no challenge is open for it. Asked before anything else, for GET and HEAD.
    fn challenge(&self, host: &Host, path: &str) -> Option<Bytes>;

    /// Told of every answer once. Must not block.
    fn told(&self, told: Told);
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Redirected,
    Challenge,
    Refused,
}

impl Told {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Redirected => "redirected",
            Self::Challenge => "challenge",
            Self::Refused => "refused",
        }
    }
}

/// The listener for plain HTTP, as it is configured.
#[derive(Clone, Debug)]
pub struct RedirectSettings {
    pub bind: SocketAddr,
    pub bounds: Bounds,
    pub deadlines: Deadlines,
    pub trusted_proxies: TrustedProxies,
    pub proxy_header: ProxyHeader,
}

/// The listener, with its socket.
#[derive(Debug)]
pub struct Redirecting {
    socket: tokio::net::TcpListener,
    local: SocketAddr,
    settings: RedirectSettings,
    shares: Shares,
    refusals: Arc<Refusals>,
}

/// Takes the address. Call it within the runtime.
pub fn bind(settings: RedirectSettings, shares: &Shares) -> Result<Redirecting, BindFault> {
    let fault = |cause| BindFault { name: NAME.into(), address: settings.bind, cause };
    let socket = accept::listen(settings.bind).map_err(fault)?;
    let local = socket.local_addr().map_err(fault)?;
    Ok(Redirecting { socket, local, settings, shares: shares.clone(), refusals: Arc::default() })
}

/// The same on a socket that somebody else opened: the service manager, or the process before this one.
pub fn adopt(settings: RedirectSettings, socket: std::net::TcpListener, shares: &Shares) -> Result<Redirecting, BindFault> {
    let fault = |cause| BindFault { name: NAME.into(), address: settings.bind, cause };
    socket.set_nonblocking(true).map_err(fault)?;
    let socket = tokio::net::TcpListener::from_std(socket).map_err(fault)?;
    let local = socket.local_addr().map_err(fault)?;
    Ok(Redirecting { socket, local, settings, shares: shares.clone(), refusals: Arc::default() })
}

impl Redirecting {
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The socket once more, to be handed to another process.
    pub fn share(&self) -> io::Result<OwnedFd> {
        self.socket.as_fd().try_clone_to_owned()
    }

    /// What came to nothing, for whoever puts it on record.
    #[must_use]
    pub fn refusals(&self) -> Arc<Refusals> {
        Arc::clone(&self.refusals)
    }

    /// Accepts until `shutdown`; connections are served on `tasks`.
    pub async fn serve(self, ways: Arc<dyn Ways>, shutdown: CancellationToken, tasks: TaskTracker) {
        // The socket goes with this future, whatever its connections still have to say.
        let Self { socket, local, settings, shares, refusals } = self;
        let shared = Arc::new(Plainly { local, settings, shares, refusals });
        loop {
            let accepted = tokio::select! {
                // The listener shuts down.
                () = shutdown.cancelled() => return,
                // A connection came, or could not come.
                accepted = socket.accept() => accepted,
            };
            let Ok((stream, peer)) = accepted else {
                tokio::time::sleep(BACK_OFF).await;
                continue;
            };
            let Some(place) = shared.shares.take() else {
                shared.refusals.count(ConnectionFault::ListenerFull, peer.ip());
                continue;
            };
            let (ways, shared) = (Arc::clone(&ways), Arc::clone(&shared));
            let (standing, life) = (place.standing(), (tasks.clone(), shutdown.clone()));
            tasks.spawn(async move {
                let refusals = Arc::clone(&shared.refusals);
                tokio::select! {
                    () = shared.meet(stream, peer, place, ways, life) => {}
                    // Somebody else came while there was no place left.
                    () = standing.lost() => refusals.count(ConnectionFault::ListenerFull, peer.ip()),
                }
            });
        }
    }
}

/// What the connections share.
struct Plainly {
    local: SocketAddr,
    settings: RedirectSettings,
    shares: Shares,
    refusals: Arc<Refusals>,
}

impl Plainly {
    async fn meet(
        self: Arc<Self>,
        mut stream: TcpStream,
        peer: SocketAddr,
        place: Place,
        ways: Arc<dyn Ways>,
        (tasks, shutdown): (TaskTracker, CancellationToken),
    ) {
        let RedirectSettings { bounds, deadlines, trusted_proxies, proxy_header, .. } = &self.settings;
        let (deadline, shares) = (deadlines.proxy_header, &self.shares);
        let front = Front { trusted_proxies, proxy_header: *proxy_header, deadline, shares };
        let (client, address_place) = match shutdown.run_until_cancelled(front.meet(&mut stream, peer)).await {
            Some(Ok(met)) => met,
            Some(Err(fault)) => return self.refusals.note(&fault, peer.ip()),
            None => return,
        };
        let stream = Timed::new(stream, deadlines.write, (place, address_place));
        let met = Met { ways, peer: client, port: self.local.port() };
        serve(stream, *bounds, *deadlines, met, (tasks, shutdown)).await;
    }
}

/// One connection, as far as answers depend on it.
#[derive(Clone)]
struct Met {
    ways: Arc<dyn Ways>,
    peer: SocketAddr,
    port: u16,
}

type Plain<K> = Timed<TcpStream, K>;

async fn serve<K: Send + Unpin + 'static>(
    stream: Plain<K>,
    bounds: Bounds,
    deadlines: Deadlines,
    met: Met,
    (tasks, shutdown): (TaskTracker, CancellationToken),
) {
    let head = HeadBounds { bytes: bounds.head_bytes, fields: bounds.head_fields, ..HeadBounds::default() };
    let junction = Arc::new(Junction::default());
    let gate = Gate::new(stream, head, deadlines, Arc::clone(&junction), Bed::new(), tasks);
    let service = service_fn(move |request: Request<Incoming>| {
        let answered = answer(&met, &junction, request);
        async move { Ok::<_, Infallible>(answered) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(deadlines.idle)
            // One question, one answer: whoever asks again asks by https.
            .keep_alive(false)
            .max_buf_size(bounds.head_bytes.max(BUFFER_MIN) * 2)
            .max_headers(bounds.head_fields + 1)
            .serve_connection(TokioIo::new(gate), service)
    );
    // What is lost of a redirect is asked for again.
    tokio::select! {
        // The connection ended by itself.
        _ended = connection.as_mut() => {}
        // A request that came is answered, and one that did not come is not waited for.
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ended: Result<(), hyper::Error> = connection.await;
        }
    }
}

fn answer(met: &Met, junction: &Junction, request: Request<Incoming>) -> Response<Body> {
    let (head, _unread) = request.into_parts();
    let (response, told) = match junction.next_head() {
        Some(facts) => decide(met, &head, facts.raw_target.as_deref(), facts.fault),
        // The gate saw no such request.
        None => (refusal(StatusCode::BAD_REQUEST), Told::Refused),
    };
    met.ways.told(told);
    response
}

fn decide(
    met: &Met,
    head: &Parts,
    raw_target: Option<&str>,
    fault: Option<kernel::request::framing::FramingFault>,
) -> (Response<Body>, Told) {
    let refused = |status| (refusal(status), Told::Refused);
    if let Some(fault) = fault {
        return refused(fault.status());
    }
    let connection = Connection { peer: ClientAddress::new(met.peer.ip()), port: met.port, server_name: None, raw_target, fault };
    // Nothing is kept of it, so that it needs neither a name nor a time.
    let read = CanonicalRequest::read(head, &connection, &TrustedProxies::default(), RequestId::new([0; 16]), Timestamp::EPOCH);
    let Ok(request) = read else { return refused(StatusCode::BAD_REQUEST) };
    let asks = matches!(request.method, Method::GET | Method::HEAD) && request.upgrade == Upgrade::None;
    // A port that is written must be the one that was asked.
    let plain = request.authority.port == kernel::request::host::DEFAULT_PORT && !names_port(head) || request.authority.port == met.port;
    if !plain {
        return refused(StatusCode::NOT_FOUND);
    }
    if asks && let Some(content) = met.ways.challenge(&request.authority.host, request.path.as_str()) {
        return (text(StatusCode::OK, content), Told::Challenge);
    }
    let Some(secure) = met.ways.secure(&request.authority.host) else { return refused(StatusCode::NOT_FOUND) };
    if !asks {
        let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return (response, Told::Refused);
    }
    match HeaderValue::from_str(&format!("{}{}", secure.origin(), request.target())) {
        Ok(location) => {
            let mut response = refusal(StatusCode::PERMANENT_REDIRECT);
            response.headers_mut().insert(LOCATION, location);
            (response, Told::Redirected)
        }
        Err(_) => refused(StatusCode::BAD_REQUEST),
    }
}

/// Whether the request's host is written with a port.
fn names_port(head: &Parts) -> bool {
    let written = head.headers.get(http::header::HOST).map(HeaderValue::as_bytes).unwrap_or_default();
    written.rsplit(|byte| *byte == b']').next().is_some_and(|rest| rest.contains(&b':'))
}

fn refusal(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn text(status: StatusCode, content: Bytes) -> Response<Body> {
    let mut response = Response::new(body::full(content));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// For errors and records.
pub const NAME: &str = "redirect";

const BUFFER_MIN: usize = 8 * 1024;
const BACK_OFF: Duration = Duration::from_millis(50);
