//! Takes every address that the configuration names, or the sockets that were given for them.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::{StartFault, compile, operations, upgrade};
use crate::config::Config;
use crate::listener::{self, Bound, Certificate, Challenges, Redirecting, Refusals, ServerTls, Shares};
use crate::system::sockets::Sockets;

/// What is listened on, with what may change while it is.
pub(super) struct Listening {
    pub bound: Vec<Bound>,
    pub tls: Vec<Arc<ServerTls>>,
    pub redirecting: Option<Redirecting>,
    pub operations: tokio::net::TcpListener,
}

/// Takes the sockets that were given, and opens the others.
pub(super) fn bind_listeners(
    config: &Config,
    certificates: &[Certificate],
    challenges: &Arc<Challenges>,
    sockets: &mut Sockets,
) -> Result<Listening, StartFault> {
    let known = names(config);
    let (mut bound, mut all) = (Vec::new(), Vec::new());
    let bounds = compile::bounds(config);
    let shares = Shares::new(&bounds, Some(config.gateway.url.host.clone()));
    for listener in config.active_listeners() {
        let settings = compile::listener_settings(config, listener);
        let tls = ServerTls::new(compile::profile(config, listener), settings.protocols, certificates.to_vec())?;
        let tls = Arc::new(tls.answering(Arc::clone(challenges)));
        if let Some(clients) = compile::clients(listener) {
            tls.ask_clients(clients)?;
        }
        let one = match sockets.take(&listener.name, listener.bind, &known)? {
            Some(socket) => listener::adopt(settings, Arc::clone(&tls), socket)?,
            None => listener::bind(settings, Arc::clone(&tls))?,
        };
        bound.push(one.sharing(&shares));
        all.push(tls);
    }
    let redirecting = match config.redirect.bind {
        None => None,
        Some(address) => Some(match sockets.take(listener::REDIRECT, address, &known)? {
            Some(socket) => listener::adopt_redirect(compile::redirect_settings(config, address), socket, &shares)?,
            None => listener::bind_redirect(compile::redirect_settings(config, address), &shares)?,
        }),
    };
    let address = config.operations.bind;
    let operations = operations::listen(address, sockets.take(OPERATIONS, address, &known)?);
    let operations = operations.map_err(|cause| StartFault::Operations { address, cause })?;
    Ok(Listening { bound, tls: all, redirecting, operations })
}

/// What sockets may be for.
pub(super) fn names(config: &Config) -> Vec<&str> {
    let plain = config.redirect.bind.map(|_| listener::REDIRECT);
    config.active_listeners().map(|listener| &*listener.name).chain(plain).chain([OPERATIONS]).collect()
}

/// The sockets once more, for a process that takes this one's place.
pub(super) fn share(
    bound: &[Bound],
    redirecting: Option<&Redirecting>,
    operations: &impl AsFd,
    control: &impl AsFd,
) -> Result<Vec<(String, OwnedFd)>, StartFault> {
    let shared = || {
        let mut all: Vec<_> = bound.iter().map(|bound| Ok((bound.name().to_string(), bound.share()?))).collect::<std::io::Result<_>>()?;
        if let Some(redirecting) = redirecting {
            all.push((listener::REDIRECT.to_owned(), redirecting.share()?));
        }
        all.push((OPERATIONS.to_owned(), operations.as_fd().try_clone_to_owned()?));
        all.push((upgrade::CONTROL_SOCKET.to_owned(), control.as_fd().try_clone_to_owned()?));
        Ok(all)
    };
    shared().map_err(|cause: std::io::Error| StartFault::Socket(cause.into()))
}

/// What came to nothing at each of them.
pub(super) fn refusals(bound: &[Bound], redirecting: Option<&Redirecting>) -> Vec<(Arc<str>, Arc<Refusals>)> {
    let plain = redirecting.map(|plain| (listener::REDIRECT.into(), plain.refusals()));
    bound.iter().map(|bound| (bound.name(), bound.refusals())).chain(plain).collect()
}

/// The name of the socket for health and metrics.
const OPERATIONS: &str = "operations";
