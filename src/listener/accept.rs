//! Binding and accepting.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use kernel::request::client::ClientAddress;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::caps::Shares;
use super::connection::{self, Shared};
use super::handler::{Handler, Meeting};
use super::refusals::Refusals;
use super::settings::Settings;
use super::tls::ServerTls;

/// A listener that has its socket and does not serve yet.
#[derive(Debug)]
pub struct Bound {
    socket: TcpListener,
    local: SocketAddr,
    settings: Settings,
    tls: Arc<ServerTls>,
    shares: Shares,
    refusals: Arc<Refusals>,
}

/// The address cannot be listened on.
#[derive(Debug, Error)]
#[error("listener {name}: {address} cannot be listened on: {cause}{}", mend(.cause))]
pub struct BindFault {
    pub name: Arc<str>,
    pub address: SocketAddr,
    pub cause: io::Error,
}

/// Takes the address of a listener. Call it within the runtime. The protocols of `tls` and `settings` are to be the same.
pub fn bind(settings: Settings, tls: Arc<ServerTls>) -> Result<Bound, BindFault> {
    let fault = |cause| BindFault { name: Arc::clone(&settings.name), address: settings.bind, cause };
    let socket = listen(settings.bind).map_err(fault)?;
    let local = socket.local_addr().map_err(fault)?;
    let shares = Shares::new(&settings.bounds, None);
    Ok(Bound { socket, local, settings, tls, shares, refusals: Arc::default() })
}

/// Puts a listener on a socket that somebody else opened: the service manager, or the process before this one. Call it
/// within the runtime.
pub fn adopt(settings: Settings, tls: Arc<ServerTls>, socket: std::net::TcpListener) -> Result<Bound, BindFault> {
    let fault = |cause| BindFault { name: Arc::clone(&settings.name), address: settings.bind, cause };
    socket.set_nonblocking(true).map_err(fault)?;
    prepare(SockRef::from(&socket)).map_err(fault)?;
    let socket = TcpListener::from_std(socket).map_err(fault)?;
    let local = socket.local_addr().map_err(fault)?;
    let shares = Shares::new(&settings.bounds, None);
    Ok(Bound { socket, local, settings, tls, shares, refusals: Arc::default() })
}

/// What to do about a socket that cannot be had.
fn mend(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::AddrInUse => {
            ": another program listens there (`ss -ltnp` says which); end it, or change `bind` of this [[listener]] (`--port` of the demo)"
        }
        io::ErrorKind::PermissionDenied => {
            ": ports below 1024 take CAP_NET_BIND_SERVICE, or a socket from systemd (config/systemd/portcullis.socket)"
        }
        io::ErrorKind::AddrNotAvailable => ": this machine has no such address; change `bind` of this [[listener]]",
        _ => "",
    }
}

pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // A restart need not wait for the connections of the process before it.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    prepare(SockRef::from(&socket))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

impl Bound {
    /// The address, with the port that the system chose where the settings name port 0.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    #[must_use]
    pub fn name(&self) -> Arc<str> {
        Arc::clone(&self.settings.name)
    }

    /// The socket once more, to be handed to another process. Connections are accepted for as long as one of both is open.
    pub fn share(&self) -> io::Result<OwnedFd> {
        self.socket.as_fd().try_clone_to_owned()
    }

    /// Counts its connections and handshakes together with those of the other listeners that have these shares.
    #[must_use]
    pub fn sharing(mut self, shares: &Shares) -> Self {
        self.shares = shares.clone();
        self
    }

    /// What came to nothing, for whoever puts it on record.
    #[must_use]
    pub fn refusals(&self) -> Arc<Refusals> {
        Arc::clone(&self.refusals)
    }

    /// Accepts until `shutdown`; connections are served on `tasks` and end within the drain deadline after it. The future
    /// ends when no more connections are accepted: wait for `tasks` too.
    pub async fn serve<H: Handler>(self, handler: H, shutdown: CancellationToken, tasks: TaskTracker) {
        let (settings, tls, shares, local, refusals) = (self.settings, self.tls, self.shares, self.local, self.refusals);
        let shared = Arc::new(Shared { settings, tls, shares, local, refusals, handler, shutdown, tasks });
        let mut back_off = BACK_OFF_MIN;
        loop {
            tokio::select! {
                // The listener shuts down.
                () = shared.shutdown.cancelled() => break,
                // A connection came, or could not come.
                accepted = self.socket.accept() => match accepted {
                    Ok((stream, peer)) => {
                        back_off = BACK_OFF_MIN;
                        meet(&shared, stream, peer);
                    }
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(error) => {
                        // Most often the process is out of descriptors: connections that end will give some back.
                        warn!(listener.name = %shared.settings.name, error = %error, "no connection can be accepted");
                        tokio::time::sleep(back_off).await;
                        back_off = (back_off * 2).min(BACK_OFF_MAX);
                    }
                },
            }
        }
    }
}

/// Gives a new connection its place, or drops it before any work was done for it.
fn meet<H: Handler>(shared: &Arc<Shared<H>>, stream: TcpStream, peer: SocketAddr) {
    let Some(place) = shared.shares.take() else {
        shared.refusals.count(kernel::event::ConnectionFault::ListenerFull, peer.ip());
        shared.handler.met(&shared.settings.name, Meeting::ListenerFull);
        debug!(listener.name = %shared.settings.name, "the listener is full; a connection was dropped");
        return;
    };
    let shared = Arc::clone(shared);
    let tasks = shared.tasks.clone();
    tasks.spawn(async move {
        let address = ClientAddress::new(peer.ip());
        let refusals = Arc::clone(&shared.refusals);
        if let Err(fault) = connection::run(shared, stream, peer, place).await {
            refusals.note(&fault, address.ip());
            debug!(client.address = %address, error = %fault, "a connection ended");
        }
    });
}

/// Sets what every connection inherits from the socket that it is accepted on, so that it costs none of them a call.
fn prepare(socket: SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(TCP_KEEPALIVE).with_interval(TCP_KEEPALIVE_INTERVAL))
}

/// Whether only the connection that was to be accepted is lost (accept(2), "Error handling").
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted, NetworkUnreachable, TimedOut,
    };
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | HostUnreachable | Interrupted | NetworkUnreachable | TimedOut
    )
}

/// Connections that the system completes while none is accepted.
const BACKLOG: i32 = 4_096;
const BACK_OFF_MIN: Duration = Duration::from_millis(5);
const BACK_OFF_MAX: Duration = Duration::from_secs(1);

/// Finds peers that vanished under an open WebSocket.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);
const TCP_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    async fn check(listener: TcpListener) {
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let options = SockRef::from(&accepted);
        assert!(options.tcp_nodelay().unwrap() && options.keepalive().unwrap());
        assert_eq!(
            (options.tcp_keepalive_time().unwrap(), options.tcp_keepalive_interval().unwrap()),
            (TCP_KEEPALIVE, TCP_KEEPALIVE_INTERVAL)
        );
    }

    #[tokio::test]
    async fn a_connection_inherits_what_finds_a_peer_that_vanished() {
        check(listen("127.0.0.1:0".parse().unwrap()).unwrap()).await;
        check(listen("[::1]:0".parse().unwrap()).unwrap()).await;
        let given = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        prepare(SockRef::from(&given)).unwrap();
        given.set_nonblocking(true).unwrap();
        check(TcpListener::from_std(given).unwrap()).await;
    }
}
