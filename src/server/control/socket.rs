//! The socket itself: opened, taken over, and opened again where somebody removed it.

use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Mode, chmod};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::{ControlFault, ORDER_TIME, attend, path};
use crate::server::Server;

/// Opens the socket. One that a dead gateway left behind is replaced; one that answers is not.
pub async fn listen(state_dir: &Path) -> Result<UnixListener, ControlFault> {
    let path = path(state_dir);
    let fault = |cause| ControlFault::Socket { path: path.clone(), cause };
    if UnixStream::connect(&path).await.is_ok() {
        return Err(fault(std::io::Error::new(std::io::ErrorKind::AddrInUse, "another gateway is running with this state_dir")));
    }
    match std::fs::remove_file(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(fault(error)),
    }
    // `state_dir` is the owner's alone, so nobody reaches the socket before its mode is set.
    let listener = UnixListener::bind(&path).map_err(fault)?;
    chmod(&path, Mode::RUSR | Mode::WUSR).map_err(|error| fault(error.into()))?;
    Ok(listener)
}

/// Takes the socket over from the process before this one.
pub fn adopt(socket: std::os::unix::net::UnixListener, state_dir: &Path) -> Result<UnixListener, ControlFault> {
    let taken = socket.set_nonblocking(true).and_then(|()| UnixListener::from_std(socket));
    taken.map_err(|cause| ControlFault::Socket { path: path(state_dir), cause })
}

/// Serves orders until shutdown.
pub(in crate::server) async fn serve(mut listener: UnixListener, server: Arc<Server>, shutdown: CancellationToken) {
    let mut turn = interval(LOOK_EVERY);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let accepted = tokio::select! {
            // The gateway stops.
            () = shutdown.cancelled() => return,
            // Another operator comes.
            accepted = listener.accept() => accepted,
            // Or none can, because there is no socket to come to.
            _ = turn.tick() => {
                if let Some(again) = open_again(&server).await {
                    listener = again;
                }
                continue;
            }
        };
        match accepted {
            Ok((stream, _)) => {
                let gateway = Arc::clone(&server.gateway);
                server.gateway.tasks.spawn(async move {
                    if let Ok(Err(error)) = timeout(ORDER_TIME, attend(stream, gateway)).await {
                        tracing::warn!(error = %error, "an order at the control socket was not answered");
                    }
                });
            }
            Err(error) => {
                tracing::error!(error = %error, "the control socket does not accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Another socket, where the one there was is gone: whoever tidied up must not keep the operator out.
async fn open_again(server: &Server) -> Option<UnixListener> {
    let state_dir = server.config.load().gateway.state_dir.clone();
    let path = path(&state_dir);
    let is_gone = std::fs::symlink_metadata(&path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
    if !is_gone || !state_dir.is_dir() {
        return None;
    }
    let opened = listen(&state_dir).await.and_then(|listener| {
        let shared = listener.as_fd().try_clone_to_owned().map_err(|cause| ControlFault::Socket { path: path.clone(), cause })?;
        server.replace_control_socket(shared);
        Ok(listener)
    });
    match opened {
        Ok(listener) => {
            tracing::warn!(path = %path.display(), "the control socket was removed, and is there again");
            Some(listener)
        }
        Err(fault) => {
            tracing::error!(error = %fault, "the control socket was removed: no order can be given until it can be opened again");
            None
        }
    }
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
const LOOK_EVERY: Duration = Duration::from_secs(5);
