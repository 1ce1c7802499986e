//! Sockets, TLS and HTTP: bytes in, requests out.
//!
//! A listener does not judge requests. It bounds what strangers can make it hold, ends what takes too long, and hands on
//! only requests with one reading; bytes that have none reach the handler as a fault to be refused.

mod accept;
mod answer;
mod caps;
mod connection;
mod deadline;
mod facts;
mod flow;
mod gate;
mod handler;
mod http;
mod proxy_protocol;
mod refusals;
mod settings;
mod tls;

#[cfg(test)]
mod tests;

pub use accept::{BindFault, Bound, adopt, bind};

pub use gate::StaysOpen;

pub use facts::{BodyFault, ConnectionFacts, Protocol, RequestFacts, TlsFacts};
pub use handler::{Handler, HandlerAbort, Meeting};
pub use refusals::{Refusals, Refused};
pub use settings::{Bounds, Deadlines, Protocols, ProxyHeader, Settings};
pub use tls::{Certificate, CertificateFault, Profile, ServerTls, TlsFault};
