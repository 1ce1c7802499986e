//! The store in one SQLite file: what a single node needs, and nothing to run beside it.
//!
//! One thread holds the connection and works operations off one by one, each in a transaction of its own. A value that
//! cannot be read is `Corrupt`, never a default. TOTP secrets, ID tokens, keys of certificates and the
//! gateway's own secrets are sealed.

mod certificates;
mod factors;
mod fault;
mod migrate;
mod open;
mod people;
mod places;
mod sessions;
mod subjects;
mod tickets;
mod values;
mod worker;

use std::io;
use std::time::Duration;

use kernel::factor::lockout::Allowance;
use kernel::identity::assurance::FactorProof;
use kernel::identity::{Identity, Subject};
use kernel::request::host::Host;
use kernel::session::{EndReason, Session, SessionId, TokenHash};
use kernel::time::Timestamp;
use zeroize::Zeroizing;

pub use migrate::SCHEMA_STEPS;
pub use open::{OpenFault, Settings, open};
pub use people::known_people;

use self::worker::{Access, Open, Worker};
use super::sealing::KeyRing;
use super::{
    AcmeAttempt, Answer, Attempts, ENDED_KEPT, Erased, Factors, IssuedCertificate, NewSession, PersonKey, SessionFilter, Sight, Store,
    SubjectRecord, TotpFactor,
};

/// A store in a SQLite file. Dropped, it finishes what was asked of it and closes the file.
#[derive(Debug)]
pub struct SqliteStore {
    worker: Worker,
}

impl SqliteStore {
    fn start(open: Open, ring: KeyRing, deadline: Duration) -> io::Result<Self> {
        Worker::start(open, ring, deadline).map(|worker| Self { worker })
    }
}

impl Store for SqliteStore {
    fn see_subject(&self, identity: Identity, now: Timestamp) -> Answer<'_, (SubjectRecord, Sight)> {
        self.worker.run(Access::Write, move |work| subjects::see(work, &identity, now))
    }

    fn subject(&self, subject: Subject) -> Answer<'_, Option<SubjectRecord>> {
        self.worker.run(Access::Read, move |work| subjects::find(work, &subject))
    }

    fn subjects(&self) -> Answer<'_, Vec<SubjectRecord>> {
        self.worker.run(Access::Read, subjects::list)
    }

    fn set_locked(&self, subject: Subject, locked: bool) -> Answer<'_, bool> {
        self.worker.run(Access::Write, move |work| subjects::set_locked(work, &subject, locked))
    }

    fn begin_session(&self, new: NewSession) -> Answer<'_, ()> {
        self.worker.run(Access::Write, move |work| sessions::begin(work, &new))
    }

    fn bind_cookie(&self, session: SessionId, cookie: TokenHash, host: Host) -> Answer<'_, bool> {
        self.worker.run(Access::Write, move |work| sessions::bind_cookie(work, session, cookie, host.as_str()))
    }

    fn replace_cookie(&self, old: TokenHash, new: TokenHash) -> Answer<'_, bool> {
        self.worker.run(Access::Write, move |work| sessions::replace_cookie(work, old, new))
    }

    fn session_by_cookie(&self, cookie: TokenHash) -> Answer<'_, Option<Session>> {
        self.worker.run(Access::Read, move |work| sessions::by_cookie(work, cookie))
    }

    fn session(&self, id: SessionId) -> Answer<'_, Option<Session>> {
        self.worker.run(Access::Read, move |work| sessions::find(work, id))
    }

    fn sessions(&self, subject: Option<Subject>) -> Answer<'_, Vec<Session>> {
        self.worker.run(Access::Read, move |work| sessions::list(work, subject.as_ref()))
    }

    fn id_token(&self, id: SessionId) -> Answer<'_, Option<Zeroizing<String>>> {
        self.worker.run(Access::Read, move |work| sessions::id_token(work, id))
    }

    fn touch_sessions(&self, seen: Vec<(SessionId, Timestamp)>) -> Answer<'_, ()> {
        self.worker.run(Access::Write, move |work| sessions::touch(work, &seen))
    }

    fn reauthenticate_session(&self, id: SessionId, identity: Identity, idp_session: Option<String>, now: Timestamp) -> Answer<'_, bool> {
        self.worker.run(Access::Write, move |work| sessions::reauthenticate(work, id, &identity, idp_session.as_deref(), now))
    }

    fn prove_factor(&self, id: SessionId, proof: FactorProof) -> Answer<'_, bool> {
        self.worker.run(Access::Write, move |work| sessions::prove_factor(work, id, proof))
    }

    fn end_sessions(&self, filter: SessionFilter, reason: EndReason, now: Timestamp) -> Answer<'_, Vec<SessionId>> {
        self.worker.run(Access::Write, move |work| sessions::end(work, &filter, reason, now))
    }

    fn factors(&self, subject: Subject) -> Answer<'_, Factors> {
        self.worker.run(Access::Read, move |work| factors::of(work, &subject))
    }

    fn enrol_totp(&self, subject: Subject, factor: TotpFactor, recovery_codes: Vec<TokenHash>) -> Answer<'_, bool> {
        self.worker.run(Access::Write, move |work| factors::enrol_totp(work, &subject, &factor, &recovery_codes))
    }

    fn accept_totp_step(&self, subject: Subject, step: u64) -> Answer<'_, bool> {
        self.worker.run(Access::Write, move |work| factors::accept_totp_step(work, &subject, step))
    }

    fn put_recovery_codes(&self, subject: Subject, codes: Vec<TokenHash>) -> Answer<'_, ()> {
        self.worker.run(Access::Write, move |work| factors::put_recovery_codes(work, &subject, &codes))
    }

    fn use_recovery_code(&self, subject: Subject, code: TokenHash) -> Answer<'_, bool> {
        self.worker.run(Access::Write, move |work| factors::use_recovery_code(work, &subject, code))
    }

    fn reset_factors(&self, subject: Subject) -> Answer<'_, bool> {
        self.worker.run(Access::Write, move |work| factors::reset(work, &subject))
    }

    fn attempts(&self, subject: Subject) -> Answer<'_, Attempts> {
        self.worker.run(Access::Read, move |work| factors::attempts(work, &subject))
    }

    fn begin_attempt(&self, subject: Subject, now: Timestamp) -> Answer<'_, Allowance> {
        self.worker.run(Access::Write, move |work| factors::begin_attempt(work, &subject, now))
    }

    fn count_failure(&self, subject: Subject, now: Timestamp) -> Answer<'_, Attempts> {
        self.worker.run(Access::Write, move |work| factors::count_failure(work, &subject, now))
    }

    fn clear_failures(&self, subject: Subject) -> Answer<'_, ()> {
        self.worker.run(Access::Write, move |work| factors::clear_failures(work, &subject))
    }

    fn put_invite(&self, invite: TokenHash, email: String, expires: Timestamp) -> Answer<'_, ()> {
        self.worker.run(Access::Write, move |work| tickets::put_invite(work, invite, &email, expires))
    }

    fn invite_is_good(&self, invite: TokenHash, email: String, now: Timestamp) -> Answer<'_, bool> {
        self.worker.run(Access::Read, move |work| tickets::invite_is_good(work, invite, &email, now))
    }

    fn use_invite(&self, invite: TokenHash, email: String, now: Timestamp) -> Answer<'_, bool> {
        self.worker.run(Access::Write, move |work| tickets::use_invite(work, invite, &email, now))
    }

    fn remember_once(&self, id: TokenHash, until: Timestamp, now: Timestamp) -> Answer<'_, bool> {
        self.worker.run(Access::Write, move |work| tickets::remember_once(work, id, until, now))
    }

    fn secret(&self, name: &'static str, fresh: Zeroizing<Vec<u8>>) -> Answer<'_, Zeroizing<Vec<u8>>> {
        self.worker.run(Access::Write, move |work| tickets::secret(work, name, &fresh))
    }

    fn person_key(&self, person: Subject, fresh: PersonKey) -> Answer<'_, PersonKey> {
        self.worker.run(Access::Write, move |work| people::key(work, &person, &fresh))
    }

    fn erase(&self, subject: Option<Subject>, email: Option<String>) -> Answer<'_, Erased> {
        Box::pin(async move {
            let erased = self.worker.run(Access::Write, move |work| people::erase(work, subject.as_ref(), email.as_deref())).await?;
            // The side file may hold the rows as they were; `secure_delete` overwrites the database alone.
            if let Err(fault) = self.worker.fold().await {
                tracing::warn!(error = %fault, "what was erased stands in the database's side file until it is folded in");
            }
            Ok(erased)
        })
    }

    fn acme_account(&self, directory: String) -> Answer<'_, Option<Zeroizing<Vec<u8>>>> {
        self.worker.run(Access::Read, move |work| certificates::account(work, &directory))
    }

    fn put_acme_account(&self, directory: String, account: Zeroizing<Vec<u8>>) -> Answer<'_, ()> {
        self.worker.run(Access::Write, move |work| certificates::put_account(work, &directory, &account))
    }

    fn drop_acme_account(&self, directory: String) -> Answer<'_, ()> {
        self.worker.run(Access::Write, move |work| certificates::drop_account(work, &directory))
    }

    fn issued_certificates(&self) -> Answer<'_, Vec<IssuedCertificate>> {
        self.worker.run(Access::Read, certificates::issued)
    }

    fn put_issued_certificate(&self, certificate: IssuedCertificate) -> Answer<'_, ()> {
        self.worker.run(Access::Write, move |work| certificates::put_issued(work, &certificate))
    }

    fn acme_attempts(&self) -> Answer<'_, Vec<AcmeAttempt>> {
        self.worker.run(Access::Read, certificates::attempts)
    }

    fn put_acme_attempt(&self, attempt: AcmeAttempt) -> Answer<'_, ()> {
        self.worker.run(Access::Write, move |work| certificates::put_attempt(work, &attempt))
    }

    fn sweep(&self, now: Timestamp) -> Answer<'_, ()> {
        self.worker.run(Access::Write, move |work| {
            sessions::drop_ended_before(work, now.minus(ENDED_KEPT))?;
            tickets::drop_expired(work, now)?;
            people::drop_strays(work)?;
            certificates::drop_expired(work, now)
        })
    }

    fn check(&self) -> Answer<'_, ()> {
        // A write, because a full or read-only disk still answers reads.
        self.worker.run(Access::Write, |work| {
            let sql = "INSERT INTO meta (name, value) VALUES ('check', x'01') ON CONFLICT (name) DO UPDATE SET value = x'01'";
            work.sql.prepare_cached(sql)?.execute([])?;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
