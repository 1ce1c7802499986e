//! The configuration: file text becomes typed sections, with every mistake found in one run.
//!
//! Nothing here is repaired or guessed: a file that is missing, a key that is unknown, a secret that is empty or a test that
//! fails is an error, and with one error there is no configuration at all.

mod acme;
mod agree;
mod client_facing;
mod compile;
mod detection;
mod files;
pub mod key_file;
pub mod keys;
mod keys_acme;
mod keys_facing;
mod keys_sink;
mod keys_upstream;
mod lint;
mod load;
mod nearest;
mod read_facing;
mod read_files;
mod read_hours;
mod read_idp;
mod read_main;
mod read_route;
mod read_sink;
mod read_upstream;
mod reader;
pub mod report;
pub mod route_file;
mod sandbox;
pub mod schema;
pub mod secret;
pub mod sections;
pub mod seen;
pub mod show;
pub mod sink;
pub mod source;
mod syntax;
mod traces;
pub mod trial;
pub mod values;

pub use acme::{Acme, AcmeChallenge};
pub use client_facing::{ClientAuthority, ClientCertificates, ClientDemand, Hsts, HstsScope, Redirect, RevocationFile};
pub use compile::compile;
pub use detection::{MailSecurity, MailTarget, Notify, WebhookTarget};
pub use load::{Loaded, ROUTES_DIR, RoutesFolder, load};
pub use report::{Colour, Problem, Report, Severity};
pub use route_file::{AllowRule, Expectation, RouteFile, RouteTest, ShownFactor, TestPerson};
pub use secret::{Key, KeyRing, Secret};
pub use sections::*;
pub use seen::Seen;
pub use sink::{
    Authorities, Backlog, Begin, Bom, Carrier, Compression, Endpoint, HttpApi, IndexerAck, Message, RecordFilter, RecordFormat,
    Server as SinkServer, Sink, Tls as SinkTls,
};
pub use traces::{TraceReceiver, Traces};

/// A time as RFC 3339 writes it.
#[must_use]
pub fn read_time(text: &str) -> Option<kernel::time::Timestamp> {
    read_route::read_time(text).ok()
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_broken;
