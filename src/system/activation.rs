//! Sockets from the service manager (`sd_listen_fds(3)`): `LISTEN_PID`, `LISTEN_FDS`, `LISTEN_FDNAMES`.
//!
//! What is meant for another process is not touched. Everything else that is not a listening TCP socket is refused, because a
//! start on half of what was given would look like a whole one.

use std::env;

use listenfd::ListenFd;
use thiserror::Error;

use super::sockets::Sockets;

#[derive(Debug, Error)]
pub enum ActivationFault {
    #[error("LISTEN_FDS={0:?} is not the number of sockets that were given")]
    Count(String),
    #[error("LISTEN_FDNAMES has {names} names for {sockets} sockets")]
    Names { names: usize, sockets: usize },
    #[error("socket {number} of the service manager, {name:?}, is no listening TCP socket: {cause}")]
    Kind { number: usize, name: String, cause: String },
}

/// Takes what the service manager gives, each closed for programs that are started later. Call it once, before there is a
/// second thread: the variables are removed, so that no child takes them for its own.
pub fn take() -> Result<Sockets, ActivationFault> {
    let mut sockets = Sockets::default();
    let Some(count) = env::var("LISTEN_FDS").ok() else { return Ok(sockets) };
    if env::var("LISTEN_PID").ok().and_then(|pid| pid.parse().ok()) != Some(std::process::id()) {
        return Ok(sockets);
    }
    let wanted: usize = count.parse().ok().filter(|count| *count <= SOCKETS_MAX).ok_or(ActivationFault::Count(count))?;
    let names: Vec<String> = match env::var("LISTEN_FDNAMES") {
        Ok(names) if !names.is_empty() => names.split(':').map(str::to_owned).collect(),
        _ => vec![String::new(); wanted],
    };
    if names.len() != wanted {
        return Err(ActivationFault::Names { names: names.len(), sockets: wanted });
    }
    let mut given = ListenFd::from_env();
    for (number, name) in names.into_iter().enumerate() {
        let fault = |cause: String| ActivationFault::Kind { number, name: name.clone(), cause };
        let socket = given.take_tcp_listener(number).map_err(|error| fault(error.to_string()))?;
        let socket = socket.ok_or_else(|| fault("there is none".to_owned()))?;
        if !socket2::SockRef::from(&socket).is_listener().unwrap_or(false) {
            return Err(fault("it does not listen (Accept=no is needed)".to_owned()));
        }
        sockets.add_tcp(name, socket);
    }
    Ok(sockets)
}

const SOCKETS_MAX: usize = 200;
