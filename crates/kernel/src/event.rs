//! What is put on record. Plain facts; how a record is written (OCSF) is the audit room's matter.
//!
//! No field here may hold a cookie, a code, a token, a secret or a query string.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::detection::FindingFacts;
use crate::identity::assurance::{FactorKind, FactorProof};
use crate::identity::{Email, Subject};
use crate::policy::Reason;
use crate::policy::rule::RuleId;
use crate::request::RequestId;
use crate::route::RouteId;
use crate::session::{EndReason, SessionId};
use crate::time::Timestamp;

/// One record.
#[derive(Clone, Debug)]
pub struct Event {
    pub time: Timestamp,
    pub body: Body,
}

#[derive(Clone, Debug)]
pub enum Body {
    /// A request was judged (OCSF HTTP Activity 4002).
    Decision(Box<DecisionFacts>),
    /// An exchange that was let through has ended (HTTP Activity 4002; a WebSocket's end is Network Activity 4001).
    Exchange(Box<ExchangeFacts>),
    /// An exchange left HTTP: both sides agreed on a WebSocket (Network Activity 4001).
    StreamOpen(Box<StreamFacts>),
    /// Connections that ended before their first request, summed up (Network Activity 4001).
    Connections(Box<ConnectionsFacts>),
    /// A step of sign-in, second factor or sign-out (Authentication 3002).
    Authentication(Box<AuthenticationFacts>),
    /// A session was given what its person may use (Authorize Session 3003).
    Authorization(Box<AuthorizationFacts>),
    /// An account was changed (Account Change 3001).
    Account(Box<AccountFacts>),
    /// Configuration or sessions were changed (Entity Management 3004).
    Entity(Box<EntityFacts>),
    /// The gateway started, stopped or found something about itself (Application Lifecycle 6002).
    Lifecycle(Box<LifecycleFacts>),
    /// A rule of detection was met (Detection Finding 2004).
    Finding(Box<FindingFacts>),
}

/// Whether a record must be on disk before anybody is answered, whatever the durability of requests is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// As `audit.durability` says.
    Configured,
    /// Always `synced`.
    Synced,
}

impl Body {
    #[must_use]
    pub const fn weight(&self) -> Weight {
        match self {
            Self::Decision(_) | Self::Exchange(_) | Self::StreamOpen(_) | Self::Connections(_) => Weight::Configured,
            Self::Authentication(_)
            | Self::Authorization(_)
            | Self::Account(_)
            | Self::Entity(_)
            | Self::Lifecycle(_)
            | Self::Finding(_) => Weight::Synced,
        }
    }
}

/// The person of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    pub subject: Subject,
    pub email: Option<Email>,
    pub groups: Vec<String>,
    pub session: Option<SessionId>,
}

/// The other end of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    pub address: IpAddr,
    pub port: u16,
}

/// A certificate that a client showed and a listener accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Distinguished names as text, cut to a bound.
    pub subject: Box<str>,
    pub issuer: Box<str>,
    /// In hex.
    pub serial: Box<str>,
    /// SHA-256 of the certificate, in hex.
    pub sha256: Box<str>,
    pub not_after: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allow,
    Challenge,
    Deny,
    /// The gateway could not do its part.
    Fail,
}

#[derive(Clone, Debug)]
pub struct DecisionFacts {
    pub request_id: RequestId,
    pub verdict: Verdict,
    /// None for an allow, except `redirect_rejected`.
    pub reason: Option<Reason>,
    /// What was answered; none for an allow, whose status the upstream gives.
    pub status: Option<u16>,
    pub method: String,
    pub version: &'static str,
    /// As the client wrote it; empty where there was none that can be read.
    pub authority: String,
    /// The target on the wire, without query.
    pub raw_target: String,
    /// The canonical path that was judged and forwarded; none where there was no reading.
    pub target: Option<String>,
    /// Recorded query parameters, where the route lists some.
    pub parameters: Vec<(String, String)>,
    pub listener: Arc<str>,
    pub server_name: Option<String>,
    pub client: Client,
    /// The socket's other end, where a trusted proxy named another client.
    pub peer: Option<IpAddr>,
    /// What the client showed in the handshake, where the listener asks for certificates.
    pub client_certificate: Option<Arc<ClientCertificate>>,
    pub user_agent: Option<String>,
    pub actor: Option<Actor>,
    pub factor: Option<FactorProof>,
    pub route: Option<RouteId>,
    pub class: Option<Arc<str>>,
    pub rule: Option<RuleId>,
    /// Hash of the configuration that decided.
    pub config: Arc<str>,
}

#[derive(Clone, Debug)]
pub struct ExchangeFacts {
    pub request_id: RequestId,
    pub kind: ExchangeKind,
    pub route: RouteId,
    /// None when no answer came.
    pub status: Option<u16>,
    pub outcome: ExchangeOutcome,
    /// The reason code of an upstream that failed.
    pub reason: Option<Reason>,
    /// Bytes of body from the client.
    pub bytes_in: u64,
    /// Bytes of body to the client.
    pub bytes_out: u64,
    pub duration: Duration,
    pub upstream: Option<String>,
}

/// What was exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeKind {
    /// A request and its answer.
    Http,
    /// A WebSocket, from its handshake to its end.
    WebSocket,
}

/// A WebSocket that begins.
#[derive(Clone, Debug)]
pub struct StreamFacts {
    pub request_id: RequestId,
    pub route: RouteId,
    pub client: Client,
    pub actor: Option<Actor>,
}

/// Connections of one listener that came to nothing for one reason, within one span of time.
#[derive(Clone, Debug)]
pub struct ConnectionsFacts {
    pub listener: Arc<str>,
    pub fault: ConnectionFault,
    pub count: u64,
    pub since: Timestamp,
    /// Where the last of them came from.
    pub last: Option<IpAddr>,
}

/// Why a connection ended before its first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConnectionFault {
    /// The listener had as many as it may.
    ListenerFull,
    /// The address had as many as it may.
    AddressFull,
    /// No, a bad or a late PROXY header, or one from somebody who is no proxy.
    ProxyHeader,
    /// The TLS handshake failed or took too long.
    Handshake,
    /// The client showed no certificate that the listener accepts, or the one that it showed is accepted no more.
    ClientCertificate,
    /// The client named a server that has no certificate here.
    ServerName,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeOutcome {
    Complete,
    /// The client went away first.
    ClientLeft,
    /// The upstream broke off, or never answered.
    UpstreamFailed,
    /// Cut by the gateway: the session ended or policy changed.
    Cut,
}

/// A step on the way in or out.
#[derive(Clone, Debug)]
pub struct AuthenticationFacts {
    pub request_id: Option<RequestId>,
    pub step: AuthenticationStep,
    /// None when the step succeeded.
    pub failure: Option<Reason>,
    /// More about a failure, for the security team. Never a secret.
    pub detail: Option<String>,
    pub idp: Option<String>,
    pub actor: Option<Actor>,
    pub client: Option<Client>,
    pub user_agent: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthenticationStep {
    /// The IdP's answer to a sign-in.
    SignIn,
    /// A second factor was shown.
    SecondFactor(FactorKind),
    /// A host's cookie was made from the session.
    Finish,
    SignOut,
    /// The IdP ended the session.
    BackchannelLogout,
    /// A session came to its end by time, or because somebody else signed in in its browser.
    Expire(EndReason),
}

/// What a session may use from now on.
#[derive(Clone, Debug)]
pub struct AuthorizationFacts {
    pub request_id: RequestId,
    /// Whose session; its groups are what rules will ask for.
    pub actor: Actor,
    /// The proof that opened it.
    pub factor: FactorKind,
    pub client: Client,
}

/// A change to a person's account.
#[derive(Clone, Debug)]
pub struct AccountFacts {
    pub request_id: Option<RequestId>,
    pub change: AccountChange,
    /// None when the change was made.
    pub failure: Option<Reason>,
    /// Whose account.
    pub subject: Option<Subject>,
    pub email: Option<String>,
    /// Who did it.
    pub by: ChangedBy,
    pub client: Option<Client>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountChange {
    /// A subject was seen for the first time.
    FirstSeen,
    EnrolFactor(FactorKind),
    IssueRecoveryCodes,
    ResetFactors,
    Invite,
    Lock,
    Unlock,
    /// Everything that is known of a person was removed. The subject of the facts is the pseudonym alone.
    Erase,
}

/// Who made a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangedBy {
    Person(Subject),
    /// The control socket, by the user id of its other end.
    Operator {
        uid: u32,
    },
    Gateway,
}

/// A change to configuration or sessions.
#[derive(Clone, Debug)]
pub struct EntityFacts {
    pub change: EntityChange,
    pub by: ChangedBy,
    /// None when the change was made; otherwise why it was refused.
    pub failure: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntityChange {
    /// A configuration was put in force, or refused.
    Configuration { config: String },
    /// Sessions were revoked.
    RevokeSessions { sessions: Vec<SessionId> },
    /// Somebody read the audit log.
    ReadLog {
        /// The command, as `search`.
        command: String,
        /// What was asked for, in the words of the command line; empty is everything.
        filters: String,
        /// How many records were shown.
        records: u64,
    },
    /// Records whose retention is over were dropped: `first` up to, not including, `end`.
    DropRecords { first: u64, end: u64, segments: u64 },
    /// An operator read what the gateway holds about people.
    Consult { what: Consulted },
    /// An order at the control socket was not taken: who gave it may give none, or it could not be read.
    RefuseOrder,
    /// A sink passed over records, `first` to `last`: its backlog overflowed, or they were dropped before it had them.
    SinkGap { sink: String, first: u64, last: u64 },
    /// The position of a sink on disk was not one that this log's gateway wrote: everything from record `first` on is shipped again.
    SinkRewind { sink: String, first: u64 },
}

/// What an operator read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consulted {
    Users,
    /// One person.
    User(Subject),
    Sessions,
}

/// Something about the gateway itself.
#[derive(Clone, Debug)]
pub struct LifecycleFacts {
    pub change: LifecycleChange,
    pub detail: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifecycleChange {
    Start,
    Stop,
    /// A torn or unfinished line was cut off at start.
    LogRepaired,
    /// The disk of the log is full: the last record before requests are refused.
    LogFull,
    /// Records could not be kept for a time, and can be again.
    LogRecovered,
    ClockJump,
    CertificateReload,
    /// A certificate authority issued a certificate to the gateway.
    CertificateIssue,
    /// It did not; what was in service stays there.
    CertificateFailure,
    /// An IdP's signing keys are not those that were last seen.
    IdpKeysChange,
}
