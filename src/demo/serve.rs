//! A small HTTP/1.1 server for the demo's own sites. Binds loopback only and never TLS: whoever sits at this machine may
//! use it, nobody else can reach it.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::demo::Error;
use crate::web::body::Body;

/// Where the demo's background work is kept, and how it is told to end.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    pub tracker: TaskTracker,
    pub stop: CancellationToken,
}

impl Tasks {
    /// Runs `work` until it ends or the demo stops.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            stop.run_until_cancelled(work).await;
        });
    }

    /// Ends everything and waits for it.
    pub async fn finish(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// Something that answers requests.
pub(super) trait Site: Send + Sync + 'static {
    fn answer(self: Arc<Self>, request: Request<Incoming>) -> impl Future<Output = Response<Body>> + Send;
}

/// Takes a loopback port; 0 takes any free one.
pub(super) async fn bind(port: u16) -> Result<(TcpListener, SocketAddr), Error> {
    let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let fault = |source| Error::Bind { address: wanted, source };
    let listener = TcpListener::bind(wanted).await.map_err(fault)?;
    let address = listener.local_addr().map_err(fault)?;
    Ok((listener, address))
}

/// Serves `site` until the demo stops.
pub(super) fn spawn<S: Site>(site: Arc<S>, listener: TcpListener, tasks: &Tasks) {
    let inner = tasks.clone();
    tasks.spawn(accept(site, listener, inner));
}

/// Reads a whole small body; `None` when it is too large, too slow or broken off.
pub(super) async fn small_body(body: Incoming) -> Option<Bytes> {
    let whole = Limited::new(body, FORM_BYTES_MAX).collect();
    let collected = tokio::time::timeout(READ_TIME_MAX, whole).await.ok()?.ok()?;
    Some(collected.to_bytes())
}

async fn accept<S: Site>(site: Arc<S>, listener: TcpListener, tasks: Tasks) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(slot) = slots.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let site = site.clone();
                tasks.spawn(async move {
                    converse(site, stream).await;
                    drop(slot);
                });
            }
            // Out of descriptors, most likely: trying again at once would only spin.
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn converse<S: Site>(site: Arc<S>, stream: TcpStream) {
    let service = service_fn(move |request| {
        let site = site.clone();
        async move { Ok::<_, Infallible>(site.answer(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_TIME_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to a demo site ended early");
    }
}

/// The demo serves one person; this is only so that a loop in a page cannot take all descriptors of the gateway.
const CONNECTIONS_MAX: usize = 256;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A sign-in form or a token request is a few hundred bytes.
const FORM_BYTES_MAX: usize = 64 * 1024;
const READ_TIME_MAX: Duration = Duration::from_secs(30);
