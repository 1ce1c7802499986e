//! The control socket: how an operator on the machine speaks to the running gateway. One JSON request and one JSON answer a
//! connection, on a Unix socket in `state_dir` that only its owner may open.
//!
//! Every order is put on record before it is carried out; when records cannot be kept, nothing is changed.

mod connections;
mod lines;
mod privacy;
mod readings;
mod socket;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kernel::event::{AccountChange, AccountFacts, Body, ChangedBy, Consulted, EntityChange, EntityFacts, Event};
use kernel::identity::{Email, Subject};
use kernel::session::token::Purpose;
use kernel::session::{EndReason, SessionId};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

pub use self::connections::ConnectionLine;
pub use self::privacy::ErasedPage;
pub(super) use self::socket::serve;
pub use self::socket::{adopt, listen};

use self::lines::{session_line, user_line};
use crate::audit::sinks::SinkReport;
use crate::entropy;
use crate::gateway::Gateway;
use crate::store::{SessionFilter, SubjectRecord};

/// An order of the operator.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "order", deny_unknown_fields)]
pub enum Order {
    UserList {},
    UserShow { user: String },
    UserInvite { email: String },
    UserResetFactor { user: String },
    UserLock { user: String },
    UserUnlock { user: String },
    SessionList { user: Option<String> },
    SessionRevoke { which: Revoked },
    UserErase { user: String },
    AuditRead { command: String, filters: String, records: u64 },
    SinkList {},
    ConnectionList { route: Option<String>, user: Option<String> },
}

/// Which sessions are to end.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revoked {
    User(String),
    Session(String),
    All,
}

/// What came of an order.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Users(Vec<UserLine>),
    User(Box<UserPage>),
    Invite {
        email: String,
        code: String,
        expires: String,
        enrol_at: String,
        note: Option<String>,
    },
    Changed {
        user: String,
        sessions_ended: usize,
    },
    Sessions(Vec<SessionLine>),
    Revoked {
        sessions: Vec<SessionId>,
    },
    Erased(Box<ErasedPage>),
    /// The log may be read: that it is, is on record.
    Recorded {},
    Sinks(Vec<SinkReport>),
    Connections(Vec<ConnectionLine>),
    /// The order could not be carried out; nothing was changed.
    Refused {
        why: String,
    },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UserLine {
    pub email: Option<String>,
    pub name: Option<String>,
    pub subject: String,
    pub locked: bool,
    pub first_seen: String,
    pub last_seen: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UserPage {
    pub user: UserLine,
    pub groups: Vec<String>,
    pub totp: Option<String>,
    pub recovery_codes_left: u32,
    pub wrong_codes_in_a_row: u32,
    pub sessions: Vec<SessionLine>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SessionLine {
    pub id: SessionId,
    pub user: String,
    pub factor: Option<String>,
    pub begun: String,
    pub last_seen: String,
    pub address: Option<String>,
    pub user_agent: Option<String>,
}

#[derive(Debug, Error)]
pub enum ControlFault {
    #[error("no gateway answers at {}: is `portcullis serve` running with this configuration?", .path.display())]
    NoGateway { path: PathBuf },
    #[error("the control socket at {}: {cause}", .path.display())]
    Socket { path: PathBuf, cause: std::io::Error },
    #[error("the gateway's answer cannot be read: {0}")]
    Answer(String),
    #[error("the gateway did not answer within {0:?}")]
    TimedOut(Duration),
}

/// Where the socket of a gateway with this state directory is.
#[must_use]
pub fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("control.sock")
}

async fn attend(stream: UnixStream, gateway: Arc<Gateway>) -> std::io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    let own = rustix::process::geteuid().as_raw();
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    BufReader::new(reader.take(ORDER_BYTES_MAX)).read_line(&mut line).await?;
    let attendant = Attendant { gateway: &gateway, uid };
    let outcome = match serde_json::from_str::<Order>(&line) {
        // What stands in the line is not repeated: it may be anything, a secret among it.
        Err(error) => attendant.refuse(format!("this is not an order: {error}"), "what came is not an order").await,
        Ok(_) if uid != own && uid != 0 => attendant.refuse(NOT_YOURS.to_owned(), NOT_YOURS).await,
        Ok(order) => attendant.carry_out(order).await.unwrap_or_else(|why| Outcome::Refused { why }),
    };
    let mut answer = serde_json::to_vec(&outcome)?;
    answer.push(b'\n');
    writer.write_all(&answer).await?;
    writer.shutdown().await
}

/// Gives one order to the gateway that runs with this state directory.
pub async fn give(state_dir: &Path, order: &Order) -> Result<Outcome, ControlFault> {
    let path = path(state_dir);
    let unreadable = |error: std::io::Error| ControlFault::Answer(error.to_string());
    let talk = async {
        let mut stream = UnixStream::connect(&path).await.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => ControlFault::NoGateway { path: path.clone() },
            _ => ControlFault::Socket { path: path.clone(), cause: error },
        })?;
        let mut line = serde_json::to_vec(order).map_err(|error| ControlFault::Answer(error.to_string()))?;
        line.push(b'\n');
        stream.write_all(&line).await.map_err(unreadable)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.map_err(unreadable)?;
        serde_json::from_str(&answer).map_err(|error| ControlFault::Answer(error.to_string()))
    };
    timeout(ORDER_TIME, talk).await.map_err(|_| ControlFault::TimedOut(ORDER_TIME))?
}

struct Attendant<'a> {
    gateway: &'a Gateway,
    uid: u32,
}

/// Why an order was refused, in words for the operator.
type Refused = String;

impl Attendant<'_> {
    async fn carry_out(&self, order: Order) -> Result<Outcome, Refused> {
        match order {
            Order::UserList {} => {
                self.record_consulted(Consulted::Users).await?;
                let users = self.gateway.store.subjects().await.map_err(words)?;
                Ok(Outcome::Users(users.iter().map(user_line).collect()))
            }
            Order::UserShow { user } => self.show(&user).await,
            Order::UserInvite { email } => self.invite(&email).await,
            Order::UserResetFactor { user } => self.change(&user, AccountChange::ResetFactors).await,
            Order::UserLock { user } => self.change(&user, AccountChange::Lock).await,
            Order::UserUnlock { user } => self.change(&user, AccountChange::Unlock).await,
            Order::SessionList { user } => self.sessions(user.as_deref()).await,
            Order::SessionRevoke { which } => self.revoke(which).await,
            Order::UserErase { user } => self.erase(&user).await,
            Order::AuditRead { command, filters, records } => self.read_log(command, filters, records).await,
            Order::ConnectionList { route, user } => self.connections(route.as_deref(), user.as_deref()).await,
            Order::SinkList {} => Ok(Outcome::Sinks(self.gateway.sinks.reports())),
        }
    }

    async fn find(&self, user: &str) -> Result<SubjectRecord, Refused> {
        let found = self.find_if_any(user).await?;
        found.ok_or_else(|| format!("nobody known is called {user:?}; `portcullis user list` shows everybody who has signed in"))
    }

    async fn find_if_any(&self, user: &str) -> Result<Option<SubjectRecord>, Refused> {
        let subjects = self.gateway.store.subjects().await.map_err(words)?;
        let is = |record: &&SubjectRecord| {
            let identity = &record.identity;
            identity.email.as_ref().is_some_and(|email| email.as_str() == user)
                || identity.subject.to_string() == user
                || identity.subject.sub == user
        };
        let mut found = subjects.iter().filter(is);
        match (found.next(), found.next()) {
            (Some(record), None) => Ok(Some(record.clone())),
            (None, _) => Ok(None),
            (Some(first), Some(second)) => Err(format!(
                "{user:?} is more than one person: name the subject, as in {:?} or {:?}",
                first.identity.subject.to_string(),
                second.identity.subject.to_string()
            )),
        }
    }

    async fn show(&self, user: &str) -> Result<Outcome, Refused> {
        let record = self.find(user).await?;
        let subject = record.identity.subject.clone();
        self.record_consulted(Consulted::User(subject.clone())).await?;
        let store = &self.gateway.store;
        let factors = store.factors(subject.clone()).await.map_err(words)?;
        let attempts = store.attempts(subject.clone()).await.map_err(words)?;
        let sessions = self.gateway.sessions.list(Some(subject)).await.map_err(words)?;
        Ok(Outcome::User(Box::new(UserPage {
            user: user_line(&record),
            groups: record.identity.groups.iter().map(ToString::to_string).collect(),
            totp: factors.totp.map(|totp| totp.enrolled.to_string()),
            recovery_codes_left: factors.recovery_codes_left,
            wrong_codes_in_a_row: attempts.failures,
            sessions: sessions.iter().map(session_line).collect(),
        })))
    }

    async fn invite(&self, email: &str) -> Result<Outcome, Refused> {
        let email = Email::parse(email).map_err(|fault| format!("{email:?}: {fault}"))?;
        let code = entropy::token().map_err(words)?;
        let now = self.gateway.clock.now();
        let expires = now.plus(INVITE_TIME);
        let known = self.find(email.as_str()).await.ok();
        let subject = known.map(|record| record.identity.subject);
        self.record_account(AccountChange::Invite, subject.clone(), Some(email.to_string())).await?;
        self.gateway.store.put_invite(code.hash(Purpose::Invite), email.to_string(), expires).await.map_err(words)?;
        let enrolled = match subject {
            Some(subject) => self.gateway.store.factors(subject).await.map_err(words)?.totp.is_some(),
            None => false,
        };
        let note = enrolled.then(|| "this person has a factor already; `portcullis user reset-factor` removes it".to_owned());
        let enrol_at = format!("{}/.portcullis/enrol", self.gateway.snapshot.load().authority().origin());
        Ok(Outcome::Invite { email: email.to_string(), code: code.text(), expires: expires.to_string(), enrol_at, note })
    }

    async fn change(&self, user: &str, change: AccountChange) -> Result<Outcome, Refused> {
        let record = self.find(user).await?;
        let subject = record.identity.subject.clone();
        let email = record.identity.email.as_ref().map(ToString::to_string);
        self.record_account(change, Some(subject.clone()), email.clone()).await?;
        let store = &self.gateway.store;
        let ends = match change {
            AccountChange::ResetFactors => store.reset_factors(subject.clone()).await.map(|_| true),
            AccountChange::Lock => store.set_locked(subject.clone(), true).await.map(|_| true),
            AccountChange::Unlock => store.set_locked(subject.clone(), false).await.map(|_| false),
            AccountChange::FirstSeen
            | AccountChange::EnrolFactor(_)
            | AccountChange::IssueRecoveryCodes
            | AccountChange::Invite
            | AccountChange::Erase => Ok(false),
        };
        let mut sessions_ended = 0;
        if ends.map_err(words)? {
            let ended = self.gateway.sessions.end(SessionFilter::OfSubject(subject.clone()), EndReason::Lock).await.map_err(words)?;
            sessions_ended = ended.len();
        }
        Ok(Outcome::Changed { user: email.unwrap_or_else(|| subject.to_string()), sessions_ended })
    }

    async fn revoke(&self, which: Revoked) -> Result<Outcome, Refused> {
        let filter = match which {
            Revoked::All => SessionFilter::All,
            Revoked::User(user) => SessionFilter::OfSubject(self.find(&user).await?.identity.subject),
            Revoked::Session(id) => SessionFilter::One(
                SessionId::parse(&id)
                    .ok_or_else(|| format!("{id:?} is not a session id: 32 hex digits, as `portcullis session list` shows them"))?,
            ),
        };
        let doomed = match &filter {
            SessionFilter::One(id) => vec![*id],
            SessionFilter::OfSubject(subject) | SessionFilter::OfSubjectExcept(subject, _) => self.ids(Some(subject.clone())).await?,
            SessionFilter::OfIdpSession { .. } | SessionFilter::All => self.ids(None).await?,
        };
        let change = EntityChange::RevokeSessions { sessions: doomed };
        let facts = EntityFacts { change, by: ChangedBy::Operator { uid: self.uid }, failure: None };
        self.record(Body::Entity(Box::new(facts))).await?;
        let sessions = self.gateway.sessions.end(filter, EndReason::Revoke).await.map_err(words)?;
        Ok(Outcome::Revoked { sessions })
    }

    async fn ids(&self, subject: Option<Subject>) -> Result<Vec<SessionId>, Refused> {
        let sessions = self.gateway.sessions.list(subject).await.map_err(words)?;
        Ok(sessions.iter().map(|session| session.id).collect())
    }

    async fn record_account(&self, change: AccountChange, subject: Option<Subject>, email: Option<String>) -> Result<(), Refused> {
        let by = ChangedBy::Operator { uid: self.uid };
        let facts = AccountFacts { request_id: None, change, failure: None, subject, email, by, client: None };
        self.record(Body::Account(Box::new(facts))).await
    }

    async fn record(&self, body: Body) -> Result<(), Refused> {
        let event = Event { time: self.gateway.clock.now(), body };
        self.gateway.audit.keep(event).await.map_err(|failure| format!("nothing was changed: {failure}"))
    }
}

fn words(fault: impl std::fmt::Display) -> Refused {
    fault.to_string()
}

const NOT_YOURS: &str = "only the gateway's own user and root may give orders";

/// Time for one order, both sides.
const ORDER_TIME: Duration = Duration::from_secs(10);
const ORDER_BYTES_MAX: u64 = 64 * 1024;
/// How long an invitation is good.
const INVITE_TIME: Duration = Duration::from_secs(24 * 3_600);
