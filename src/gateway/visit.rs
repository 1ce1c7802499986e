//! What is known of one request while it is handled: filled step by step, read when it is answered and recorded.

use std::net::IpAddr;
use std::sync::Arc;

use http::request::Parts;
use http::{Method, Version};
use kernel::event::Client;
use kernel::request::client::AddressKey;
use kernel::request::{Caller, CanonicalRequest, Connection, ReadFault, RequestId};
use kernel::route::Route;
use kernel::time::Timestamp;

use crate::gateway::ListenerTrust;
use crate::gateway::sessions::Live;
use crate::listener::{ConnectionFacts, RequestFacts};
use crate::telemetry::traces;
use crate::web::language::Language;

/// One request on its way through the gateway.
#[derive(Debug)]
pub struct Visit {
    pub connection: Arc<ConnectionFacts>,
    pub request_id: RequestId,
    pub received: Timestamp,
    pub method: Method,
    pub version: Version,
    pub raw_target: Box<str>,
    /// The authority as the client wrote it, for the record of a request that could not be read.
    pub authority_shown: String,
    pub user_agent: Option<String>,
    pub caller: Caller,
    pub language: Language,
    /// Hash of the configuration that judges.
    pub config: Arc<str>,
    /// Set once the request was read.
    pub request: Option<Arc<CanonicalRequest>>,
    /// Set once the route was found.
    pub route: Option<Arc<Route>>,
    /// Set once a live session was found.
    pub person: Option<Arc<Live>>,
    pub decision: DecisionRecord,
    /// None where nothing is traced.
    pub trace: Option<Arc<traces::Request>>,
}

/// Whether the decision on a request stands in the log. There is one record of it, and one of the exchange's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecisionRecord {
    None,
    /// The request was allowed and forwarded: what becomes of it later is told by the record of the exchange's end.
    Kept,
}

impl Visit {
    #[must_use]
    pub fn new(facts: &RequestFacts, head: &Parts, request_id: RequestId, received: Timestamp, config: Arc<str>) -> Self {
        let text = |name: http::HeaderName| head.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let authority_shown = head.uri.authority().map(ToString::to_string).or_else(|| text(http::header::HOST)).unwrap_or_default();
        let connection = facts.connection_view();
        Self {
            request_id,
            received,
            method: head.method.clone(),
            version: head.version,
            raw_target: kernel::request::raw_target(head, &connection),
            authority_shown: if facts.fault.is_some() { String::new() } else { authority_shown },
            user_agent: text(http::header::USER_AGENT),
            // The head that comes with a fault is a stand-in that nobody sent.
            caller: if facts.fault.is_some() { Caller::Program } else { kernel::request::read_caller(&head.headers) },
            language: Language::negotiate(&head.headers),
            config,
            request: None,
            route: None,
            person: None,
            decision: DecisionRecord::None,
            trace: None,
            connection: Arc::clone(&facts.connection),
        }
    }

    /// Reads the request, once.
    pub fn read(&mut self, facts: &RequestFacts, head: &Parts, listener: &ListenerTrust) -> Result<Arc<CanonicalRequest>, ReadFault> {
        let connection = Connection { port: listener.public_port, ..facts.connection_view() };
        let request = Arc::new(CanonicalRequest::read(head, &connection, &listener.trusted, self.request_id, self.received)?);
        // A WebSocket over HTTP/2 comes as CONNECT, and is judged and recorded as the GET that it stands for.
        self.method = request.method.clone();
        self.request = Some(Arc::clone(&request));
        Ok(request)
    }

    /// What rate limits before sign-in count by. Where a trusted proxy named nobody, the proxy itself is counted.
    #[must_use]
    pub fn address_key(&self) -> AddressKey {
        self.request.as_ref().and_then(|request| request.client).unwrap_or(self.connection.peer).key()
    }

    #[must_use]
    pub fn client(&self) -> Client {
        let client = self.request.as_ref().and_then(|request| request.client).unwrap_or(self.connection.peer);
        // The port is the socket's; behind a proxy it is the proxy's.
        Client { address: client.ip(), port: self.connection.peer_port }
    }

    /// The proxy's address, where one stands between.
    #[must_use]
    pub fn proxied_by(&self) -> Option<IpAddr> {
        let client = self.request.as_ref().and_then(|request| request.client)?;
        (client != self.connection.peer).then(|| self.connection.peer.ip())
    }

    /// Whether a person's browser is going to an address.
    #[must_use]
    pub fn is_navigation(&self) -> bool {
        self.caller == Caller::Navigation
    }

    /// The query parameters that the route lists for the record.
    #[must_use]
    pub fn recorded_parameters(&self) -> Vec<(String, String)> {
        let (Some(route), Some(query)) = (&self.route, self.request.as_ref().and_then(|request| request.query.as_deref())) else {
            return Vec::new();
        };
        if route.recorded_parameters.is_empty() {
            return Vec::new();
        }
        let listed = |name: &str| route.recorded_parameters.iter().any(|listed| **listed == *name);
        url::form_urlencoded::parse(query.as_bytes())
            .filter(|(name, _)| listed(name))
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect()
    }
}
