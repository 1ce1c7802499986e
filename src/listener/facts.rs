//! What a connection and the bytes on it say about a request that the request itself does not.

use std::sync::{Arc, OnceLock};

use kernel::event::ClientCertificate;
use kernel::request::client::ClientAddress;
use kernel::request::framing::FramingFault;
use kernel::request::host::Host;

/// One connection. The same for all its requests.
#[derive(Clone, Debug)]
pub struct ConnectionFacts {
    /// Name of the listener.
    pub listener: Arc<str>,
    /// The socket's other end, or the client that a trusted proxy stated in its PROXY header.
    pub peer: ClientAddress,
    pub peer_port: u16,
    /// Port on which the connection was accepted.
    pub local_port: u16,
    pub tls: TlsFacts,
    pub protocol: Protocol,
}

/// What the TLS handshake agreed on.
#[derive(Clone, Debug)]
pub struct TlsFacts {
    /// Server name of the handshake; a handshake without one fails.
    pub server_name: Host,
    /// As in `TLSv1.3`.
    pub version: &'static str,
    /// As in `TLS13_AES_128_GCM_SHA256`.
    pub cipher: &'static str,
    /// What the client showed, where the listener asks for it; it was accepted.
    pub client_certificate: Option<Arc<ClientCertificate>>,
}

/// The HTTP version that is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    Http1,
    Http2,
}

/// One request.
#[derive(Clone, Debug)]
pub struct RequestFacts {
    pub connection: Arc<ConnectionFacts>,
    /// The request target as it stood on the wire, at most 8 KiB of it, with bytes that are not ASCII escaped as `\xNN`.
    /// `None` for HTTP/2, which shows only the target that was read.
    pub raw_target: Option<Box<str>>,
    /// Why the bytes on the wire are not a request. The head that comes with a fault is a stand-in that nobody sent:
    /// it is to be refused, and the connection ends after the answer.
    pub fault: Option<FramingFault>,
    /// Why the body broke off, once it did.
    pub body_fault: BodyFault,
}

/// Tells, after reading a body failed, whether the client's framing was at fault.
#[derive(Clone, Debug, Default)]
pub struct BodyFault(Arc<OnceLock<FramingFault>>);

impl RequestFacts {
    /// These facts as the kernel takes them.
    #[must_use]
    pub fn connection_view(&self) -> kernel::request::Connection<'_> {
        kernel::request::Connection {
            peer: self.connection.peer,
            port: self.connection.local_port,
            server_name: Some(&self.connection.tls.server_name),
            raw_target: self.raw_target.as_deref(),
            fault: self.fault,
        }
    }
}

impl BodyFault {
    #[must_use]
    pub fn found(&self) -> Option<FramingFault> {
        self.0.get().copied()
    }

    pub(super) fn set(&self, fault: FramingFault) {
        // The first fault ends the connection, so that a second can only repeat it.
        let _ = self.0.set(fault);
    }
}
