//! The store: what must outlive a restart. Ports first; memory and SQLite stand behind the same contract suite.
//!
//! Every operation is atomic and whole: it has happened, or it has not, whatever becomes of the caller.

pub mod memory;
pub mod sealing;
pub mod sqlite;

#[cfg(test)]
mod contract_suite;

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;

use kernel::factor::lockout::Allowance;
use kernel::identity::assurance::FactorProof;
use kernel::identity::{Identity, Subject};
use kernel::request::host::Host;
use kernel::session::{EndReason, Session, SessionId, TokenHash};
use kernel::time::Timestamp;
use thiserror::Error;

/// The answer of a store.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreFault>> + Send + 'a>>;

/// Why a store did not do what was asked. Nothing was changed, unless `TimedOut` names a commit that the disk never answered:
/// that one may still happen, whole.
#[derive(Debug, Error)]
pub enum StoreFault {
    #[error("the store did not answer within {0:?}")]
    TimedOut(std::time::Duration),
    #[error("the store refused: {0}")]
    Refused(String),
    #[error("what the store holds cannot be read: {0}")]
    Corrupt(String),
    #[error("the store is closed")]
    Closed,
}

/// A subject, as the gateway knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectRecord {
    /// As the IdP last vouched for it.
    pub identity: Identity,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    pub locked: bool,
}

/// Whether a subject was known before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    First,
    Again,
}

/// The factors of one subject, secrets opened.
#[derive(Clone, Debug, Default)]
pub struct Factors {
    pub totp: Option<TotpFactor>,
    /// How many recovery codes are unused.
    pub recovery_codes_left: u32,
}

/// An enrolled TOTP factor.
#[derive(Clone)]
pub struct TotpFactor {
    pub secret: zeroize::Zeroizing<Vec<u8>>,
    pub enrolled: Timestamp,
    /// The last step that was accepted; it and earlier ones are refused.
    pub last_step: u64,
}

impl Debug for TotpFactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TotpFactor").field("enrolled", &self.enrolled).finish_non_exhaustive()
    }
}

/// Wrong codes so far, over every endpoint and session of a subject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// Wrong codes in a row.
    pub failures: u32,
    pub last_failure: Option<Timestamp>,
}

/// Which sessions an order is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionFilter {
    One(SessionId),
    OfSubject(Subject),
    /// All sessions of a subject but one: "sign out everywhere else".
    OfSubjectExcept(Subject, SessionId),
    /// The IdP's session id, as its logout token names it.
    OfIdpSession {
        issuer: String,
        idp_session: String,
    },
    All,
}

/// A session as it is begun: the record and the cookie that leads to it.
#[derive(Clone, Debug)]
pub struct NewSession {
    pub session: Session,
    pub cookie: TokenHash,
    /// The gateway's host, for which the cookie is.
    pub host: Host,
    /// The ID token, for the IdP's logout; sealed at rest.
    pub id_token: Option<zeroize::Zeroizing<String>>,
}

/// The key that seals a person's values in audit records, and what records call the person.
#[derive(Clone)]
pub struct PersonKey {
    /// Random, so that nothing but this record leads from one to the other.
    pub pseudonym: String,
    pub key: zeroize::Zeroizing<Vec<u8>>,
}

impl Debug for PersonKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PersonKey").field("pseudonym", &self.pseudonym).finish_non_exhaustive()
    }
}

/// A person whose key is kept.
#[derive(Clone, Debug)]
pub struct KnownPerson {
    pub subject: Subject,
    pub email: Option<String>,
    pub key: PersonKey,
}

/// A certificate that an authority issued to the gateway, with its key.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// The one host that it is for.
    pub host: String,
    /// Address of the authority's directory.
    pub directory: String,
    /// The certificate and its intermediates, PEM.
    pub chain: String,
    /// PKCS #8, PEM; sealed at rest.
    pub key: zeroize::Zeroizing<Vec<u8>>,
    pub not_after: Timestamp,
}

/// How it went for a host for which no certificate could be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeAttempt {
    pub host: String,
    /// In a row.
    pub failures: u32,
    /// Of the last one.
    pub reason: String,
    pub next_try: Timestamp,
}

impl Debug for IssuedCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedCertificate").field("host", &self.host).field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// How much of a person was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    pub subjects: usize,
    pub sessions: usize,
    pub factors: usize,
    pub recovery_codes: usize,
    pub invitations: usize,
    pub keys: usize,
}

/// What must outlive a restart.
pub trait Store: Send + Sync + Debug {
    /// Notes that the IdP vouched for a subject: creates or updates its record.
    fn see_subject(&self, identity: Identity, now: Timestamp) -> Answer<'_, (SubjectRecord, Sight)>;
    fn subject(&self, subject: Subject) -> Answer<'_, Option<SubjectRecord>>;
    /// Every subject, in the order of the e-mail addresses.
    fn subjects(&self) -> Answer<'_, Vec<SubjectRecord>>;
    /// False when there is no such subject.
    fn set_locked(&self, subject: Subject, locked: bool) -> Answer<'_, bool>;

    fn begin_session(&self, new: NewSession) -> Answer<'_, ()>;
    /// Adds the cookie of another host to a live session. False when the session is unknown or has ended.
    fn bind_cookie(&self, session: SessionId, cookie: TokenHash, host: Host) -> Answer<'_, bool>;
    /// Replaces the gateway-host cookie of a session: the old one leads nowhere afterwards.
    fn replace_cookie(&self, old: TokenHash, new: TokenHash) -> Answer<'_, bool>;
    /// The session that a cookie leads to, live or ended, with the cookies that lead to it.
    fn session_by_cookie(&self, cookie: TokenHash) -> Answer<'_, Option<Session>>;
    fn session(&self, id: SessionId) -> Answer<'_, Option<Session>>;
    /// Live sessions, newest first; all of them, or one subject's.
    fn sessions(&self, subject: Option<Subject>) -> Answer<'_, Vec<Session>>;
    fn id_token(&self, id: SessionId) -> Answer<'_, Option<zeroize::Zeroizing<String>>>;
    /// Notes when sessions were last seen. Never moves a time back, never revives an ended session.
    fn touch_sessions(&self, seen: Vec<(SessionId, Timestamp)>) -> Answer<'_, ()>;
    /// The IdP vouched again for the person of a live session. False when it has ended.
    fn reauthenticate_session(&self, id: SessionId, identity: Identity, idp_session: Option<String>, now: Timestamp) -> Answer<'_, bool>;
    /// Adds a factor proof to a live session. False when it has ended.
    fn prove_factor(&self, id: SessionId, proof: FactorProof) -> Answer<'_, bool>;
    /// Ends live sessions and returns which. Ended ones stay as they ended.
    fn end_sessions(&self, filter: SessionFilter, reason: EndReason, now: Timestamp) -> Answer<'_, Vec<SessionId>>;

    fn factors(&self, subject: Subject) -> Answer<'_, Factors>;
    /// Enrols a TOTP factor whose first code, at `step`, was just checked, and stores the hashes of the recovery codes with
    /// it. False when the subject has a TOTP factor already: of two enrolments at once one wins.
    fn enrol_totp(&self, subject: Subject, factor: TotpFactor, recovery_codes: Vec<TokenHash>) -> Answer<'_, bool>;
    /// Compare-and-set: true for the first caller with a step later than every accepted one.
    fn accept_totp_step(&self, subject: Subject, step: u64) -> Answer<'_, bool>;
    /// Replaces all recovery codes.
    fn put_recovery_codes(&self, subject: Subject, codes: Vec<TokenHash>) -> Answer<'_, ()>;
    /// True for the first caller with an unused code; the code is used up.
    fn use_recovery_code(&self, subject: Subject, code: TokenHash) -> Answer<'_, bool>;
    /// Removes every factor, recovery code and attempt. False when there was none.
    fn reset_factors(&self, subject: Subject) -> Answer<'_, bool>;
    fn attempts(&self, subject: Subject) -> Answer<'_, Attempts>;
    /// Judges by the kernel's lockout rule whether a code may be tried now and, if so, counts the attempt, in one step. The
    /// count comes before the code is looked at: of a hundred requests at once no more pass than would pass one after another.
    /// A right code is followed by `clear_failures`.
    fn begin_attempt(&self, subject: Subject, now: Timestamp) -> Answer<'_, Allowance>;
    /// Counts one more wrong code, whatever the lockout rule says, and returns the new count.
    fn count_failure(&self, subject: Subject, now: Timestamp) -> Answer<'_, Attempts>;
    fn clear_failures(&self, subject: Subject) -> Answer<'_, ()>;

    /// Keeps an invitation for whoever the IdP vouches for with this e-mail address.
    fn put_invite(&self, invite: TokenHash, email: String, expires: Timestamp) -> Answer<'_, ()>;
    /// Whether an invitation is good for this e-mail address, without using it.
    fn invite_is_good(&self, invite: TokenHash, email: String, now: Timestamp) -> Answer<'_, bool>;
    /// True for the first caller with a good invitation; it is used up.
    fn use_invite(&self, invite: TokenHash, email: String, now: Timestamp) -> Answer<'_, bool>;

    /// True the first time an id is seen before `until`; a logout token's `jti` counts once.
    fn remember_once(&self, id: TokenHash, until: Timestamp, now: Timestamp) -> Answer<'_, bool>;

    /// A secret of the gateway's own, by name; sealed at rest. The first caller's value wins, and every caller gets it.
    fn secret(&self, name: &'static str, fresh: zeroize::Zeroizing<Vec<u8>>) -> Answer<'_, zeroize::Zeroizing<Vec<u8>>>;

    /// The key of a person; sealed at rest. The first caller's value wins, and every caller gets it.
    fn person_key(&self, person: Subject, fresh: PersonKey) -> Answer<'_, PersonKey>;
    /// Removes all there is about a person: by subject, and what is kept for an e-mail address alone. Done again, it finds nothing.
    fn erase(&self, subject: Option<Subject>, email: Option<String>) -> Answer<'_, Erased>;

    /// The gateway's account at a certificate authority, by the address of the authority's directory; sealed at rest.
    fn acme_account(&self, directory: String) -> Answer<'_, Option<zeroize::Zeroizing<Vec<u8>>>>;
    /// Keeps an account in the place of the one before.
    fn put_acme_account(&self, directory: String, account: zeroize::Zeroizing<Vec<u8>>) -> Answer<'_, ()>;
    /// Drops an account that the authority does not know any more.
    fn drop_acme_account(&self, directory: String) -> Answer<'_, ()>;
    /// Every certificate that was issued and that still opens, in the order of the hosts. One that does not open is told in the
    /// log and left out: another can be issued.
    fn issued_certificates(&self) -> Answer<'_, Vec<IssuedCertificate>>;
    /// Keeps a certificate in the place of its host's before.
    fn put_issued_certificate(&self, certificate: IssuedCertificate) -> Answer<'_, ()>;
    /// Hosts for which the last order failed, in the order of their names.
    fn acme_attempts(&self) -> Answer<'_, Vec<AcmeAttempt>>;
    /// Keeps how it went in the place of what was known of the host; without a failure nothing is kept.
    fn put_acme_attempt(&self, attempt: AcmeAttempt) -> Answer<'_, ()>;

    /// Drops what nobody can use any more: ended sessions after a day, expired invitations and replay memory, keys of people who
    /// were erased, expired certificates.
    fn sweep(&self, now: Timestamp) -> Answer<'_, ()>;
    /// Whether the store answers and can write.
    fn check(&self) -> Answer<'_, ()>;
}

/// How long an ended session is kept: its cookie can still be told that it has ended, and why.
const ENDED_KEPT: std::time::Duration = std::time::Duration::from_secs(24 * 3_600);

/// Cookies of one host that lead to one session, newest first; older ones lead nowhere. More than one, because tabs that
/// finish sign-in at the same time may reach the browser in the other order; few, because each is a way in.
const COOKIES_PER_HOST: usize = 4;
