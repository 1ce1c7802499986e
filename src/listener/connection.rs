//! One connection from its first byte to its last: PROXY header, TLS, HTTP.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kernel::request::client::ClientAddress;
use kernel::request::host::Host;
use rustls::ProtocolVersion;
use rustls::server::Acceptor;
use thiserror::Error;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::ahead::Ahead;
use super::caps::{AddressPlace, Place, Shares};
use super::cut::{self, Cuttable, Outcome};
use super::deadline::Timed;
use super::facts::{ConnectionFacts, Protocol, TlsFacts};
use super::front::Front;
use super::handler::{Handler, Meeting};
use super::http;
use super::proxy_protocol::ProxyHeaderFault;
use super::refusals::Refusals;
use super::settings::Settings;
use super::tls::{self, ServerTls};

/// What the connections of one listener share.
#[derive(Debug)]
pub(super) struct Shared<H> {
    pub settings: Settings,
    pub tls: Arc<ServerTls>,
    pub shares: Shares,
    pub local: SocketAddr,
    pub refusals: Arc<Refusals>,
    pub handler: H,
    pub shutdown: CancellationToken,
    pub tasks: TaskTracker,
}

/// Why a connection ended before its time.
#[derive(Debug, Error)]
pub(super) enum ConnectionFault {
    #[error("a PROXY header is required, and the peer is not a trusted proxy")]
    NotAProxy,
    #[error(transparent)]
    ProxyHeader(#[from] ProxyHeaderFault),
    #[error("the PROXY header did not come within {0:?}")]
    ProxyHeaderTimedOut(Duration),
    #[error("the address has its share of connections")]
    AddressFull,
    #[error("the gateway is nearly full, and the connection is not for its own host")]
    NearlyFull,
    #[error("it asked for nothing while the listener was full, and made room")]
    MadeRoom,
    #[error("no certificate was shown that the listener accepts: {0}")]
    ClientCertificate(io::Error),
    #[error("the TLS handshake failed: {0}")]
    Handshake(io::Error),
    #[error("the TLS handshake was not complete within {0:?}")]
    HandshakeTimedOut(Duration),
    #[error("no certificate has the server name")]
    UnknownServerName,
    #[error("a challenge of a certificate authority was answered")]
    Challenge,
    #[error("the listener shuts down")]
    ShuttingDown,
    #[error("HTTP ended: {}", chain(.0))]
    Http(#[from] hyper::Error),
}

impl ConnectionFault {
    /// What the handler is told of it; nothing where nobody on the other side had a part in it.
    const fn meeting(&self) -> Option<Meeting> {
        match self {
            Self::NotAProxy | Self::ProxyHeader(_) | Self::ProxyHeaderTimedOut(_) => Some(Meeting::ProxyHeader),
            Self::AddressFull => Some(Meeting::AddressFull),
            Self::NearlyFull | Self::MadeRoom => Some(Meeting::ListenerFull),
            Self::ClientCertificate(_) => Some(Meeting::ClientCertificate),
            Self::Handshake(_) | Self::HandshakeTimedOut(_) | Self::UnknownServerName => Some(Meeting::Handshake),
            Self::Challenge => Some(Meeting::Challenge),
            Self::ShuttingDown | Self::Http(_) => None,
        }
    }
}

/// Places that a connection holds while its socket is open, upgraded or not.
pub(super) type Places = (Place, Option<AddressPlace>, Option<DropGuard>);

/// The stream that HTTP is spoken on.
pub(super) type Stream = Timed<Cuttable<Box<TlsStream<Ahead<TcpStream>>>>, Places>;

pub(super) async fn run<H: Handler>(
    shared: Arc<Shared<H>>,
    stream: TcpStream,
    peer: SocketAddr,
    place: Place,
) -> Result<(), ConnectionFault> {
    let standing = place.standing();
    tokio::select! {
        ended = live(&shared, stream, peer, place) => ended,
        // It has asked for nothing yet, and somebody else came.
        () = standing.lost() => Err(ConnectionFault::MadeRoom),
    }
}

async fn live<H: Handler>(shared: &Arc<Shared<H>>, stream: TcpStream, peer: SocketAddr, place: Place) -> Result<(), ConnectionFault> {
    let standing = place.standing();
    // Apart, as is HTTP/2 below: a connection keeps no room for what it is not doing.
    let opening = Box::pin(open(shared, stream, peer, place));
    let (facts, stream) = tokio::select! {
        opened = opening => {
            let meeting = opened.as_ref().map_or_else(ConnectionFault::meeting, |_| Some(Meeting::Opened));
            if let Some(meeting) = meeting {
                shared.handler.met(&shared.settings.name, meeting);
            }
            opened?
        }
        // Who was let in gets to ask; who does not begin is not waited for.
        () = lingered(shared) => return Err(ConnectionFault::ShuttingDown),
    };
    shared.handler.shook_hands(&facts);
    let facts = Arc::new(facts);
    match facts.protocol {
        Protocol::Http1 => http::serve_http1(shared, facts, stream, standing).await?,
        Protocol::Http2 => Box::pin(http::serve_http2(shared, facts, stream, standing)).await?,
    }
    Ok(())
}

async fn lingered<H>(shared: &Shared<H>) {
    shared.shutdown.cancelled().await;
    tokio::time::sleep(shared.settings.deadlines.linger()).await;
}

async fn open<H>(
    shared: &Shared<H>,
    mut stream: TcpStream,
    peer: SocketAddr,
    place: Place,
) -> Result<(ConnectionFacts, Stream), ConnectionFault> {
    let settings = &shared.settings;
    let front = Front {
        trusted_proxies: &settings.trusted_proxies,
        proxy_header: settings.proxy_header,
        deadline: settings.deadlines.proxy_header,
        shares: &shared.shares,
    };
    let (client, address_place) = front.meet(&mut stream, peer).await?;
    let deadline = shared.settings.deadlines.handshake;
    // Before the handshake, so that no change between it and the watch goes unseen.
    let clients = shared.tls.clients();
    let (server_name, stream) =
        timeout(deadline, shake_hands(shared, stream)).await.map_err(|_| ConnectionFault::HandshakeTimedOut(deadline))??;
    let (_, session) = stream.get_ref();
    let chain: Vec<_> = session.peer_certificates().unwrap_or_default().iter().map(|one| one.clone().into_owned()).collect();
    let tls = TlsFacts {
        server_name,
        version: match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(_) | None => "unknown",
        },
        cipher: session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or("unknown"),
        client_certificate: chain.first().and_then(tls::describe).map(Arc::new),
    };
    // A client that offered no protocol speaks HTTP/1.1; one that offered others only was refused in the handshake.
    let protocol = if session.alpn_protocol() == Some(tls::HTTP2) { Protocol::Http2 } else { Protocol::Http1 };
    let facts = ConnectionFacts {
        listener: Arc::clone(&shared.settings.name),
        peer: ClientAddress::new(client.ip()),
        peer_port: client.port(),
        local_port: shared.local.port(),
        tls,
        protocol,
    };
    // On the heap, because every level that it passes through on its way would have room for it otherwise.
    let stream = Box::new(stream);
    let (stream, watched) = if chain.is_empty() {
        (Cuttable::whole(stream), None)
    } else {
        let (cut, closed) = (CancellationToken::new(), CancellationToken::new());
        watch(shared, cut::watch_chain(chain, clients, cut.clone(), closed.clone()), client);
        (Cuttable::until(stream, cut), Some(closed.drop_guard()))
    };
    Ok((facts, Timed::new(stream, shared.settings.deadlines.write, (place, address_place, watched))))
}

/// Sees to it that a connection ends with its client's certificate.
fn watch<H>(shared: &Shared<H>, watching: impl Future<Output = Outcome> + Send + 'static, client: SocketAddr) {
    let refusals = Arc::clone(&shared.refusals);
    let shutdown = shared.shutdown.clone();
    shared.tasks.spawn(async move {
        // When the listener stops, connections end in the order that stopping has.
        if shutdown.run_until_cancelled(watching).await == Some(Outcome::Cut) {
            refusals.count(kernel::event::ConnectionFault::ClientCertificate, client.ip());
            tracing::info!(client.address = %client.ip(), "a connection was cut: its client certificate is accepted no more");
        }
    });
}

/// The client's part is read first; keys are computed only for a hello that can be answered, and for so many at a time.
/// The caller sets the deadline.
async fn shake_hands<H>(shared: &Shared<H>, stream: TcpStream) -> Result<(Host, TlsStream<Ahead<TcpStream>>), ConnectionFault> {
    let mut start = LazyConfigAcceptor::new(Acceptor::default(), Ahead::new(stream)).await.map_err(ConnectionFault::Handshake)?;
    let challenge = shared.tls.challenge_for(&start.client_hello());
    if let Some(config) = challenge {
        let _permit = shared.shares.handshakes().acquire().await.map_err(|_| ConnectionFault::ShuttingDown)?;
        let mut stream = start.into_stream(config).await.map_err(ConnectionFault::Handshake)?;
        // The authority has seen what it came for; whether it hears the end is nobody's concern.
        let _ = stream.shutdown().await;
        return Err(ConnectionFault::Challenge);
    }
    let name = start.client_hello().server_name().and_then(|name| Host::parse(name).ok());
    let chosen = name.and_then(|name| shared.tls.config_for(name.as_str()).map(|config| (name, config)));
    let Some((name, config)) = chosen else {
        // The client need not hear it; it is told as a courtesy.
        let _ = start.io.write_all(tls::UNRECOGNIZED_NAME).await;
        let _ = start.io.shutdown().await;
        return Err(ConnectionFault::UnknownServerName);
    };
    if !shared.shares.has_room_for(&name) {
        return Err(ConnectionFault::NearlyFull);
    }
    let _permit = shared.shares.handshakes().acquire().await.map_err(|_| ConnectionFault::ShuttingDown)?;
    let stream = start.into_stream(config).await.map_err(handshake_fault)?;
    Ok((name, stream))
}

/// Tells a certificate that was not accepted from other ways to fail.
fn handshake_fault(error: io::Error) -> ConnectionFault {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match cause {
        Some(
            rustls::Error::InvalidCertificate(_) | rustls::Error::InvalidCertRevocationList(_) | rustls::Error::NoCertificatesPresented,
        ) => ConnectionFault::ClientCertificate(error),
        Some(_) | None => ConnectionFault::Handshake(error),
    }
}

/// An error with its causes, which hyper's own text leaves out.
fn chain(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
