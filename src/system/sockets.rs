//! Sockets that somebody else opened: each has a name, and is taken by the listener that it is meant for.
//!
//! Nothing is listened on but what the configuration says: a socket counts only if it stands where the listener's `bind` does.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;

use thiserror::Error;

/// Sockets that were given and not yet taken.
#[derive(Debug, Default)]
pub struct Sockets {
    tcp: Vec<(String, TcpListener)>,
    unix: Vec<UnixListener>,
}

/// A socket is not what the configuration says.
#[derive(Debug, Error)]
pub enum SocketFault {
    #[error("the socket that was given for {name} listens on {found}, and the configuration says {bind}: make both the same")]
    Elsewhere { name: String, found: SocketAddr, bind: SocketAddr },
    #[error("the socket that was given for {name} takes IPv6 alone, and {bind} is for IPv4 too: set BindIPv6Only=both")]
    SixOnly { name: String, bind: SocketAddr },
    #[error("a socket was given that is for no listener: {name:?}, on {found}; the listeners are {known}")]
    Unclaimed { name: String, found: SocketAddr, known: String },
    #[error("a given socket cannot be used: {0}")]
    Io(#[from] io::Error),
}

impl Sockets {
    pub fn add_tcp(&mut self, name: String, socket: TcpListener) {
        self.tcp.push((name, socket));
    }

    pub fn add_unix(&mut self, socket: UnixListener) {
        self.unix.push(socket);
    }

    /// The socket that bears the name of a listener; else one that has no listener's name and stands at its address.
    /// `known` are the names of all listeners.
    pub fn take(&mut self, name: &str, bind: SocketAddr, known: &[&str]) -> Result<Option<TcpListener>, SocketFault> {
        let named = self.tcp.iter().position(|(given, _)| given == name);
        let nameless = || {
            let stands = |(given, socket): &(String, TcpListener)| {
                !known.contains(&given.as_str()) && socket.local_addr().is_ok_and(|found| is_at(found, bind))
            };
            self.tcp.iter().position(stands)
        };
        let Some(index) = named.or_else(nameless) else { return Ok(None) };
        let (name, socket) = self.tcp.remove(index);
        let found = socket.local_addr()?;
        if !is_at(found, bind) {
            return Err(SocketFault::Elsewhere { name, found, bind });
        }
        if found.is_ipv6() && found.ip().is_unspecified() && socket2::SockRef::from(&socket).only_v6()? {
            return Err(SocketFault::SixOnly { name, bind });
        }
        Ok(Some(socket))
    }

    /// The socket that stands at a path.
    pub fn take_unix(&mut self, path: &Path) -> Option<UnixListener> {
        let stands = |socket: &UnixListener| socket.local_addr().is_ok_and(|found| found.as_pathname() == Some(path));
        let index = self.unix.iter().position(stands)?;
        Some(self.unix.remove(index))
    }

    /// A socket that nobody took would take connections that nobody answers.
    pub fn refuse_rest(&self, known: &[&str]) -> Result<(), SocketFault> {
        match self.tcp.first() {
            None => Ok(()),
            Some((name, socket)) => {
                Err(SocketFault::Unclaimed { name: name.clone(), found: socket.local_addr()?, known: known.join(", ") })
            }
        }
    }
}

/// Port 0 lets the system choose, and it did.
fn is_at(found: SocketAddr, bind: SocketAddr) -> bool {
    found.ip() == bind.ip() && (bind.port() == 0 || found.port() == bind.port())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn given(name: &str) -> (Sockets, SocketAddr) {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = socket.local_addr().unwrap();
        let mut sockets = Sockets::default();
        sockets.add_tcp(name.to_owned(), socket);
        (sockets, at)
    }

    fn any(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn a_socket_is_taken_by_name_and_only_where_the_listener_is_bound() {
        let (mut sockets, at) = given("https");
        assert!(sockets.take("https", at, &["https"]).unwrap().is_some());
        assert!(sockets.take("https", at, &["https"]).unwrap().is_none(), "once");
        let (mut sockets, at) = given("https");
        assert!(sockets.take("https", any(0), &["https"]).unwrap().is_some(), "port 0 is whatever was chosen");
        let (mut sockets, _) = given("https");
        assert!(matches!(sockets.take("https", any(1), &["https"]), Err(SocketFault::Elsewhere { .. })));
        assert_ne!(at.port(), 1);
    }

    #[test]
    fn a_socket_without_a_listeners_name_is_taken_by_address_and_never_by_another_name() {
        let (mut sockets, at) = given("portcullis.socket");
        assert!(sockets.take("https", at, &["https"]).unwrap().is_some());
        let (mut sockets, at) = given("other");
        assert!(sockets.take("https", at, &["https", "other"]).unwrap().is_none());
    }

    #[test]
    fn a_socket_that_nobody_takes_is_refused() {
        let (mut sockets, at) = given("smtp");
        assert!(sockets.take("https", any(1), &["https"]).unwrap().is_none());
        let told = sockets.refuse_rest(&["https", "operations"]).unwrap_err().to_string();
        assert!(told.contains("smtp") && told.contains(&at.to_string()) && told.contains("https, operations"), "{told}");
    }

    #[test]
    fn a_socket_for_ipv6_alone_is_no_socket_for_both() {
        let socket = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None).unwrap();
        socket.set_only_v6(true).unwrap();
        let any: SocketAddr = "[::]:0".parse().unwrap();
        if socket.bind(&any.into()).is_err() {
            return;
        }
        socket.listen(1).unwrap();
        let mut sockets = Sockets::default();
        sockets.add_tcp("https".to_owned(), socket.into());
        assert!(matches!(sockets.take("https", any, &["https"]), Err(SocketFault::SixOnly { .. })));
    }
}
