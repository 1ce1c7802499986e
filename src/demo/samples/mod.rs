//! Two sample upstreams: an application that shows what it received, and a WebSocket echo. Both trust whatever reaches them; that is
//! what the gateway is for.

mod pages;
mod ticks;
mod websocket;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use self::pages::{EchoPage, HeadersPage, page};
use crate::demo::Error;
use crate::demo::provider::style;
use crate::demo::serve::{self, Site, Tasks};
use crate::web::body::{self, Body};

/// Where the samples listen.
#[derive(Clone, Copy, Debug)]
pub struct Samples {
    pub page: SocketAddr,
    pub echo: SocketAddr,
}

/// The application: pages, events, an upload, and a WebSocket under `/echo`.
struct Application(Tasks);

/// The echo: a WebSocket on every path.
struct Echo(Tasks);

/// Serves both until the demo stops.
pub async fn start(tasks: &Tasks) -> Result<Samples, Error> {
    let (page_listener, page) = serve::bind(0).await?;
    let (echo_listener, echo) = serve::bind(0).await?;
    serve::spawn(Arc::new(Application(tasks.clone())), page_listener, tasks);
    serve::spawn(Arc::new(Echo(tasks.clone())), echo_listener, tasks);
    Ok(Samples { page, echo })
}

impl Site for Application {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let answered = match (request.method(), request.uri().path()) {
            (_, "/upload") => Ok(upload(request).await),
            (&Method::GET, "/echo") => echo_or_page(&self.0, request),
            (&Method::GET | &Method::HEAD, "/events") => Ok(events()),
            (&Method::GET | &Method::HEAD, "/slow") => Ok(slow()),
            (_, path) => asset(path).map_or_else(|| show(&request), Ok),
        };
        answered.unwrap_or_else(|error| failed(&error))
    }
}

impl Site for Echo {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        match asset(request.uri().path()) {
            Some(asset) => asset,
            None => echo_or_page(&self.0, request).unwrap_or_else(|error| failed(&error)),
        }
    }
}

/// Any page: what arrived, under a title that fits the path.
fn show(request: &Request<Incoming>) -> Result<Response<Body>, Error> {
    let (title, about) = match request.uri().path() {
        "/" => ("Headers received", "You are through: signed in, a second factor given, and a rule of the allowlist matched."),
        "/reports" => ("Reports", "Everybody in the group staff may read this page."),
        "/public/about" => ("Public page", "A rule opens this path to everybody: no sign-in, and yet each request is on record."),
        path if path == "/admin" || path.starts_with("/admin/") => {
            ("Admin", "Only the group admin may be here, and only within five minutes of a second factor.")
        }
        _ => ("Some page", "This path has nothing of its own to show."),
    };
    page(&HeadersPage::of(title, about, request))
}

fn echo_or_page(tasks: &Tasks, mut request: Request<Incoming>) -> Result<Response<Body>, Error> {
    if !websocket::is_asked_for(&request) {
        return page(&EchoPage);
    }
    let Some(response) = websocket::accept(&request)? else {
        return Ok(text(StatusCode::BAD_REQUEST, "The handshake is not whole.\n".to_owned()));
    };
    tasks.spawn(websocket::echo(hyper::upgrade::on(&mut request)));
    Ok(response)
}

/// Counts what is sent, as it comes.
async fn upload(request: Request<Incoming>) -> Response<Body> {
    let mut body = request.into_body();
    let mut bytes = 0_usize;
    while let Ok(Some(frame)) = tokio::time::timeout(UPLOAD_PAUSE_MAX, body.frame()).await {
        match frame {
            Ok(frame) => bytes = bytes.saturating_add(frame.data_ref().map_or(0, bytes::Bytes::len)),
            Err(_) => return text(StatusCode::BAD_REQUEST, "The upload broke off.\n".to_owned()),
        }
    }
    text(StatusCode::OK, format!("Received {bytes} bytes.\n"))
}

/// Server-sent events, one a second for an hour.
fn events() -> Response<Body> {
    let mut response = Response::new(ticks::body(SECOND, 3600, |count| format!("id: {count}\ndata: tick {count}\n\n")));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Ten lines in five seconds.
fn slow() -> Response<Body> {
    let mut response = Response::new(ticks::body(SECOND / 2, 10, |count| format!("line {count} of 10\n")));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn asset(path: &str) -> Option<Response<Body>> {
    match path {
        "/public/style.css" => Some(style()),
        "/public/echo.js" => {
            let mut response = Response::new(body::full(include_str!("echo.js")));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8"));
            Some(response)
        }
        _ => None,
    }
}

fn text(status: StatusCode, content: String) -> Response<Body> {
    let mut response = Response::new(body::full(content));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn failed(error: &Error) -> Response<Body> {
    tracing::error!(%error, "a sample could not answer");
    text(StatusCode::INTERNAL_SERVER_ERROR, "The sample could not answer.\n".to_owned())
}

const SECOND: Duration = Duration::from_secs(1);
/// An upload may take as long as it likes, but not stand still for longer.
const UPLOAD_PAUSE_MAX: Duration = Duration::from_secs(60);
