//! The operations listener: health and metrics, without TLS, on an address of its own. It answers three paths and never a
//! request for anything else.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::audit::sinks::{SinkReport, SinkState};
use crate::gateway::Gateway;
use crate::telemetry::metrics::CONTENT_TYPE;
use crate::telemetry::sinks::SinkFigures;
use crate::web::body::{self, Body};

/// Serves until shutdown. Connections over the bound wait in the kernel's queue.
pub async fn serve(listener: TcpListener, gateway: Arc<Gateway>, shutdown: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        // Either the gateway stops, or somebody asks.
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (gateway_of_request, shutdown) = (Arc::clone(&gateway), shutdown.clone());
        gateway.tasks.spawn(async move {
            let service = service_fn(|request| answer(Arc::clone(&gateway_of_request), request));
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_headers(64);
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            tokio::pin!(connection);
            // Either the connection ends, or the gateway stops and the connection after its answer.
            tokio::select! {
                _ended = connection.as_mut() => {}
                () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
            }
            drop(place);
        });
    }
}

async fn answer(gateway: Arc<Gateway>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here\n");
        response.headers_mut().insert(http::header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(response);
    }
    Ok(match request.uri().path() {
        "/livez" => text(StatusCode::OK, "alive\n"),
        "/readyz" => ready(&gateway).await,
        "/metrics" => metrics(&gateway),
        _ => text(StatusCode::NOT_FOUND, "there are /livez, /readyz and /metrics\n"),
    })
}

/// Ready means: requests can be judged, recorded and remembered. An IdP that does not answer is told, and keeps nobody out
/// who is signed in; so are files that were refused, with which the gateway goes on as before.
async fn ready(gateway: &Gateway) -> Response<Body> {
    let audit = gateway.audit.is_available();
    let store = gateway.store.check().await;
    let mut lines = String::new();
    let mut line = |name: &str, state: String| lines.push_str(&format!("{name}: {state}\n"));
    let held = gateway.audit.holds_grants();
    line(
        "audit",
        match (audit, held) {
            (true, false) => "ok".into(),
            (true, true) => "a sink is too far behind, grants are refused".into(),
            (false, _) => "records cannot be kept".into(),
        },
    );
    match gateway.refused.load_full() {
        None => line("configuration", "ok".into()),
        Some(refused) => {
            let why = refused.why.replace(['\n', '\r'], " ");
            line("configuration", format!("refused since {}, the one before is in force: {why}", refused.since));
        }
    }
    line("store", store.as_ref().map_or_else(ToString::to_string, |()| "ok".into()));
    line("sandbox", crate::system::sandbox::state().into());
    for idp in &gateway.snapshot.load().idps {
        let state = idp.reachable().await.map_or_else(|failure| failure.to_string(), |()| "ok".into());
        line(&format!("idp {}", idp.id()), state);
    }
    // A host without a certificate keeps nobody from the others, and a gateway that is not ready would never be shown a challenge.
    for (name, state) in gateway.metrics.acme().lines() {
        line(&name, state);
    }
    let status = if audit && !held && store.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    text(status, lines)
}

fn metrics(gateway: &Gateway) -> Response<Body> {
    let gauges = gateway.metrics.gauges();
    let stats = gateway.audit.stats();
    let whole = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    gauges.sessions.set(i64::try_from(gateway.sessions.count()).unwrap_or(i64::MAX));
    gauges.audit_records.set(whole(stats.size));
    gauges.audit_queue.set(whole(stats.queue_depth));
    gauges.audit_available.set(i64::from(gateway.audit.is_available()));
    let snapshot = gateway.snapshot.load();
    let mut routes = gateway.exchanges.by_route();
    // Those without one are stated too; those that are configured no more while they have some.
    snapshot.table.sorted().iter().for_each(|route| *routes.entry(route.id.clone()).or_default() += 0);
    let routes = routes.into_iter().map(|(route, count)| (route.as_str().to_owned(), count));
    gateway.metrics.standing().set(routes, &snapshot.upstreams.figures());
    gateway.metrics.sinks().set(&gateway.sinks.reports().into_iter().map(figures).collect::<Vec<_>>());
    let mut response = text(StatusCode::OK, gateway.metrics.text());
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    response
}

fn figures(report: SinkReport) -> SinkFigures {
    SinkFigures {
        up: report.state == SinkState::Shipping,
        acknowledged: report.next.checked_sub(1),
        name: report.name,
        lag_records: report.lag_records,
        lag_seconds: report.lag_seconds,
        batches: report.batches,
        events: report.events,
        bytes: report.bytes,
        errors: report.errors,
        dropped: report.dropped,
    }
}

fn text(status: StatusCode, content: impl Into<bytes::Bytes>) -> Response<Body> {
    let mut response = Response::new(body::full(content));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// Opens the listener, or takes the socket that was given.
pub fn listen(bind: SocketAddr, given: Option<std::net::TcpListener>) -> std::io::Result<TcpListener> {
    let socket = match given {
        Some(socket) => socket,
        // As every listener of the standard library: the address can be taken again at once.
        None => std::net::TcpListener::bind(bind)?,
    };
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

const CONNECTIONS_MAX: usize = 64;
const HEAD_TIME: Duration = Duration::from_secs(5);
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
