//! The least that hyper and rustls can do: TLS, HTTP/1.1 or 2, one upstream over kept connections, one thread, and nothing else.
//! It is this program once more, told so by its arguments. What the gateway costs beyond it, the gateway's own work costs.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use tokio_rustls::TlsAcceptor;

use crate::world::World;

/// The first argument of the program where it is to be the proxy; then the folder, the port, the upstream, and the one that takes bodies.
pub const ARGUMENT: &str = "minimal-proxy";

pub fn command(world: &World, port: u16) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(ARGUMENT).arg(world.folder()).arg(port.to_string()).arg(world.upstream().to_string()).arg(world.sink().to_string());
    command
}

/// Serves until it is killed.
pub fn run(arguments: &[String]) {
    let [folder, port, upstream, sink] = arguments else { panic!("folder, port, upstream and sink") };
    let (port, upstream, sink): (u16, SocketAddr, SocketAddr) = (port.parse().unwrap(), upstream.parse().unwrap(), sink.parse().unwrap());
    let tls = TlsAcceptor::from(Arc::new(tls(Path::new(folder))));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async move {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let back = Rc::new(Back { upstream, pool: RefCell::default() });
        let bodies = Rc::new(Back { upstream: sink, pool: RefCell::default() });
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            socket.set_nodelay(true).unwrap();
            let (tls, back, bodies) = (tls.clone(), Rc::clone(&back), Rc::clone(&bodies));
            tokio::task::spawn_local(async move {
                let Ok(stream) = tls.accept(socket).await else { return };
                let service = service_fn(move |request: Request<Incoming>| {
                    let back = if request.uri().path() == "/upload" { &bodies } else { &back };
                    forward(request, Rc::clone(back))
                });
                let _ = auto::Builder::new(Local).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
}

/// An upstream and the connections to it that nobody uses.
struct Back {
    upstream: SocketAddr,
    pool: RefCell<Vec<SendRequest<Incoming>>>,
}

async fn forward(request: Request<Incoming>, back: Rc<Back>) -> Result<Response<Incoming>, Infallible> {
    let (mut head, body) = request.into_parts();
    if let Some(authority) = head.uri.authority() {
        head.headers.insert(http::header::HOST, HeaderValue::from_str(authority.as_str()).unwrap());
    }
    head.uri = Uri::from(head.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/")));
    head.version = Version::HTTP_11;
    let pooled = back.pool.borrow_mut().pop();
    let mut sender = match pooled {
        Some(sender) if sender.is_ready() => sender,
        Some(_) | None => connect(back.upstream).await,
    };
    let mut answer = sender.send_request(Request::from_parts(head, body)).await.unwrap();
    *answer.version_mut() = Version::HTTP_11;
    answer.headers_mut().remove(http::header::CONNECTION);
    tokio::task::spawn_local(async move {
        if sender.ready().await.is_ok() {
            back.pool.borrow_mut().push(sender);
        }
    });
    Ok(answer)
}

async fn connect(upstream: SocketAddr) -> SendRequest<Incoming> {
    let socket = TcpStream::connect(upstream).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let (sender, connection) = handshake(TokioIo::new(socket)).await.unwrap();
    tokio::task::spawn_local(connection);
    sender
}

fn tls(folder: &Path) -> ServerConfig {
    let chain = CertificateDer::pem_file_iter(folder.join("server.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
    let mut config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
    config.send_tls13_tickets = 1;
    config
}

/// Runs on this thread what the HTTP/2 library starts.
#[derive(Clone)]
struct Local;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
