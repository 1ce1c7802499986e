//! Sockets, TLS and HTTP: bytes in, requests out.
//!
//! A listener does not judge requests. It bounds what strangers can make it hold, ends what takes too long, and hands on
//! only requests with one reading; bytes that have none reach the handler as a fault to be refused.

mod accept;
mod ahead;
mod answer;
mod bed;
mod caps;
mod challenges;
mod connection;
mod cut;
mod deadline;
mod facts;
mod flow;
mod front;
mod gate;
mod handler;
mod http;
mod junction;
mod received;
mod redirect;
mod refusals;
mod settings;
mod streams;
mod tls;

// Open for what checks them from outside the crate: the properties in `fuzz/`.
#[doc(hidden)]
pub mod frames;
#[doc(hidden)]
pub mod proxy_protocol;

#[cfg(test)]
mod tests;

pub use accept::{BindFault, Bound, adopt, bind};
pub use caps::Shares;

pub use challenges::{ChallengeFault, Challenges, OpenChallenge};
pub use junction::StaysOpen;

pub use facts::{BodyFault, ConnectionFacts, Protocol, RequestFacts, TlsFacts};
pub use handler::{Handler, HandlerAbort, Meeting};
pub use received::Received;
pub use redirect::{NAME as REDIRECT, RedirectSettings, Redirecting, Told, Ways, adopt as adopt_redirect, bind as bind_redirect};
pub use refusals::{Refusals, Refused};
pub use settings::{Bounds, Deadlines, Protocols, ProxyHeader, Settings};
pub use tls::{Certificate, CertificateFault, ClientAuthority, Demand, Profile, Revocation, ServerTls, TlsFault};
