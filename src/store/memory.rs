//! The store in memory, for tests and the demo: the same promises, but for outliving the process.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use kernel::factor::lockout::{self, Allowance};
use kernel::identity::assurance::FactorProof;
use kernel::identity::{Identity, Subject};
use kernel::request::host::Host;
use kernel::session::{EndReason, Session, SessionId, TokenHash};
use kernel::time::Timestamp;
use zeroize::Zeroizing;

use super::{
    AcmeAttempt, Answer, Attempts, COOKIES_PER_HOST, ENDED_KEPT, Erased, Factors, IssuedCertificate, NewSession, PersonKey, SessionFilter,
    Sight, Store, StoreFault, SubjectRecord, TotpFactor,
};

mod certificates;
mod choosing;
mod people;

use choosing::order;

/// A store that is empty at every start.
#[derive(Default)]
pub struct MemoryStore(Mutex<State>);

#[derive(Default)]
struct State {
    subjects: HashMap<Subject, SubjectRecord>,
    sessions: HashMap<SessionId, Kept>,
    /// In the order in which they were made.
    cookies: Vec<Cookie>,
    totp: HashMap<Subject, TotpFactor>,
    recovery_codes: HashMap<Subject, BTreeSet<TokenHash>>,
    attempts: HashMap<Subject, Attempts>,
    invites: HashMap<TokenHash, (String, Timestamp)>,
    seen_once: HashMap<TokenHash, Timestamp>,
    secrets: HashMap<&'static str, Zeroizing<Vec<u8>>>,
    person_keys: HashMap<Subject, PersonKey>,
    acme_accounts: HashMap<String, Zeroizing<Vec<u8>>>,
    issued_certificates: BTreeMap<String, IssuedCertificate>,
    acme_attempts: BTreeMap<String, AcmeAttempt>,
}

struct Kept {
    session: Session,
    id_token: Option<Zeroizing<String>>,
}

struct Cookie {
    hash: TokenHash,
    session: SessionId,
    host: Host,
}

impl MemoryStore {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs one operation under the lock. No operation leaves the state half-changed when it fails, so a lock that another
    /// thread's panic has poisoned still guards a whole state.
    fn run<'a, T: Send + 'a>(&'a self, work: impl FnOnce(&mut State) -> Result<T, StoreFault> + Send + 'a) -> Answer<'a, T> {
        Box::pin(async move { work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner)) })
    }
}

impl State {
    fn live(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.get_mut(&id).map(|kept| &mut kept.session).filter(|session| session.state.is_live())
    }

    fn add_cookie(&mut self, hash: TokenHash, session: SessionId, host: Host) -> Result<(), StoreFault> {
        if self.cookies.iter().any(|cookie| cookie.hash == hash) {
            return Err(StoreFault::Refused("the cookie is in use".into()));
        }
        self.cookies.push(Cookie { hash, session, host: host.clone() });
        let is_sibling = |cookie: &Cookie| cookie.session == session && cookie.host == host;
        let mut surplus = self.cookies.iter().filter(|cookie| is_sibling(cookie)).count().saturating_sub(COOKIES_PER_HOST);
        self.cookies.retain(|cookie| {
            let drop_it = surplus > 0 && is_sibling(cookie);
            surplus -= usize::from(drop_it);
            !drop_it
        });
        Ok(())
    }

    fn begin_session(&mut self, new: NewSession) -> Result<(), StoreFault> {
        let id = new.session.id;
        if self.sessions.contains_key(&id) {
            return Err(StoreFault::Refused("the session id is in use".into()));
        }
        self.add_cookie(new.cookie, id, new.host)?;
        self.sessions.insert(id, Kept { session: new.session, id_token: new.id_token });
        Ok(())
    }

    fn see_subject(&mut self, identity: Identity, now: Timestamp) -> (SubjectRecord, Sight) {
        let sight = if self.subjects.contains_key(&identity.subject) { Sight::Again } else { Sight::First };
        let record = self
            .subjects
            .entry(identity.subject.clone())
            .and_modify(|record| {
                record.identity = identity.clone();
                record.last_seen = record.last_seen.max(now);
            })
            .or_insert_with(|| SubjectRecord { identity, first_seen: now, last_seen: now, locked: false });
        (record.clone(), sight)
    }

    fn count_failure(&mut self, subject: Subject, now: Timestamp) -> Attempts {
        let attempts = self.attempts.entry(subject).or_default();
        attempts.failures = attempts.failures.saturating_add(1);
        attempts.last_failure = attempts.last_failure.max(Some(now));
        *attempts
    }

    fn invite_is_good(&self, invite: TokenHash, email: &str, now: Timestamp) -> bool {
        self.invites.get(&invite).is_some_and(|(kept, expires)| kept == email && *expires > now)
    }

    fn sweep(&mut self, now: Timestamp) -> Result<(), StoreFault> {
        let before = now.minus(ENDED_KEPT);
        self.sessions.retain(|_, kept| kept.session.state.ended.is_none_or(|(_, at)| at >= before));
        self.cookies.retain(|cookie| self.sessions.contains_key(&cookie.session));
        self.invites.retain(|_, (_, expires)| *expires > now);
        self.seen_once.retain(|_, until| *until > now);
        self.person_keys.retain(|person, _| person.issuer.is_empty() || self.subjects.contains_key(person));
        self.issued_certificates.retain(|_, certificate| certificate.not_after > now);
        Ok(())
    }
}

impl Store for MemoryStore {
    fn see_subject(&self, identity: Identity, now: Timestamp) -> Answer<'_, (SubjectRecord, Sight)> {
        self.run(move |state| Ok(state.see_subject(identity, now)))
    }

    fn subject(&self, subject: Subject) -> Answer<'_, Option<SubjectRecord>> {
        self.run(move |state| Ok(state.subjects.get(&subject).cloned()))
    }

    fn subjects(&self) -> Answer<'_, Vec<SubjectRecord>> {
        self.run(|state| {
            let mut subjects: Vec<_> = state.subjects.values().cloned().collect();
            subjects.sort_by(|one, other| order(one).cmp(&order(other)));
            Ok(subjects)
        })
    }

    fn set_locked(&self, subject: Subject, locked: bool) -> Answer<'_, bool> {
        self.run(move |state| Ok(state.subjects.get_mut(&subject).map(|record| record.locked = locked).is_some()))
    }

    fn begin_session(&self, new: NewSession) -> Answer<'_, ()> {
        self.run(move |state| state.begin_session(new))
    }

    fn bind_cookie(&self, session: SessionId, cookie: TokenHash, host: Host) -> Answer<'_, bool> {
        self.run(move |state| match state.live(session) {
            None => Ok(false),
            Some(_) => state.add_cookie(cookie, session, host).map(|()| true),
        })
    }

    fn replace_cookie(&self, old: TokenHash, new: TokenHash) -> Answer<'_, bool> {
        self.run(move |state| {
            if state.cookies.iter().any(|cookie| cookie.hash == new) {
                return Err(StoreFault::Refused("the cookie is in use".into()));
            }
            let live: BTreeSet<_> =
                state.sessions.values().filter(|kept| kept.session.state.is_live()).map(|kept| kept.session.id).collect();
            let found = state.cookies.iter_mut().find(|cookie| cookie.hash == old && live.contains(&cookie.session));
            Ok(found.map(|cookie| cookie.hash = new).is_some())
        })
    }

    fn session_by_cookie(&self, cookie: TokenHash) -> Answer<'_, Option<Session>> {
        self.run(move |state| {
            let found = state.cookies.iter().find(|known| known.hash == cookie);
            Ok(found.and_then(|known| state.sessions.get(&known.session)).map(|kept| kept.session.clone()))
        })
    }

    fn session(&self, id: SessionId) -> Answer<'_, Option<Session>> {
        self.run(move |state| Ok(state.sessions.get(&id).map(|kept| kept.session.clone())))
    }

    fn sessions(&self, subject: Option<Subject>) -> Answer<'_, Vec<Session>> {
        self.run(move |state| {
            let wanted =
                |session: &&Session| session.state.is_live() && subject.as_ref().is_none_or(|subject| session.identity.subject == *subject);
            let mut sessions: Vec<_> = state.sessions.values().map(|kept| &kept.session).filter(wanted).cloned().collect();
            sessions.sort_by_key(|session| (std::cmp::Reverse(session.state.created), session.id));
            Ok(sessions)
        })
    }

    fn id_token(&self, id: SessionId) -> Answer<'_, Option<Zeroizing<String>>> {
        self.run(move |state| Ok(state.sessions.get(&id).and_then(|kept| kept.id_token.clone())))
    }

    fn touch_sessions(&self, seen: Vec<(SessionId, Timestamp)>) -> Answer<'_, ()> {
        self.run(move |state| {
            for (id, at) in seen {
                if let Some(session) = state.live(id) {
                    session.state.last_seen = session.state.last_seen.max(at);
                }
            }
            Ok(())
        })
    }

    fn reauthenticate_session(&self, id: SessionId, identity: Identity, idp_session: Option<String>, now: Timestamp) -> Answer<'_, bool> {
        self.run(move |state| {
            let Some(session) = state.live(id).filter(|session| session.identity.subject == identity.subject) else { return Ok(false) };
            session.identity = identity;
            session.idp_session = idp_session.or(session.idp_session.take());
            session.state.authenticated = session.state.authenticated.max(now);
            session.state.last_seen = session.state.last_seen.max(now);
            Ok(true)
        })
    }

    fn prove_factor(&self, id: SessionId, proof: FactorProof) -> Answer<'_, bool> {
        self.run(move |state| {
            let session = state.live(id);
            Ok(session.map(|session| session.assurance = session.assurance.with(proof)).is_some())
        })
    }

    fn end_sessions(&self, filter: SessionFilter, reason: EndReason, now: Timestamp) -> Answer<'_, Vec<SessionId>> {
        self.run(move |state| {
            let sessions = state.sessions.values_mut().map(|kept| &mut kept.session);
            let selected = sessions.filter(|session| session.state.is_live() && filter.selects(session));
            Ok(selected
                .map(|session| {
                    session.state.ended = Some((reason, now));
                    session.id
                })
                .collect())
        })
    }

    fn factors(&self, subject: Subject) -> Answer<'_, Factors> {
        self.run(move |state| {
            let codes = state.recovery_codes.get(&subject).map_or(0, BTreeSet::len);
            Ok(Factors { totp: state.totp.get(&subject).cloned(), recovery_codes_left: u32::try_from(codes).unwrap_or(u32::MAX) })
        })
    }

    fn enrol_totp(&self, subject: Subject, factor: TotpFactor, recovery_codes: Vec<TokenHash>) -> Answer<'_, bool> {
        self.run(move |state| {
            if state.totp.contains_key(&subject) {
                return Ok(false);
            }
            state.totp.insert(subject.clone(), factor);
            state.recovery_codes.insert(subject, recovery_codes.into_iter().collect());
            Ok(true)
        })
    }

    fn accept_totp_step(&self, subject: Subject, step: u64) -> Answer<'_, bool> {
        self.run(move |state| {
            let factor = state.totp.get_mut(&subject).filter(|factor| factor.last_step < step);
            Ok(factor.map(|factor| factor.last_step = step).is_some())
        })
    }

    fn put_recovery_codes(&self, subject: Subject, codes: Vec<TokenHash>) -> Answer<'_, ()> {
        self.run(move |state| {
            state.recovery_codes.insert(subject, codes.into_iter().collect());
            Ok(())
        })
    }

    fn use_recovery_code(&self, subject: Subject, code: TokenHash) -> Answer<'_, bool> {
        self.run(move |state| Ok(state.recovery_codes.get_mut(&subject).is_some_and(|codes| codes.remove(&code))))
    }

    fn reset_factors(&self, subject: Subject) -> Answer<'_, bool> {
        self.run(move |state| {
            let had_totp = state.totp.remove(&subject).is_some();
            let had_codes = state.recovery_codes.remove(&subject).is_some_and(|codes| !codes.is_empty());
            let had_attempts = state.attempts.remove(&subject).is_some();
            Ok(had_totp || had_codes || had_attempts)
        })
    }

    fn attempts(&self, subject: Subject) -> Answer<'_, Attempts> {
        self.run(move |state| Ok(state.attempts.get(&subject).copied().unwrap_or_default()))
    }

    fn begin_attempt(&self, subject: Subject, now: Timestamp) -> Answer<'_, Allowance> {
        self.run(move |state| {
            let so_far = state.attempts.get(&subject).copied().unwrap_or_default();
            let allowance = lockout::state(so_far.failures, so_far.last_failure, now);
            match allowance {
                Allowance::Try => {
                    state.count_failure(subject, now);
                }
                Allowance::Wait(_) | Allowance::Stopped => {}
            }
            Ok(allowance)
        })
    }

    fn count_failure(&self, subject: Subject, now: Timestamp) -> Answer<'_, Attempts> {
        self.run(move |state| Ok(state.count_failure(subject, now)))
    }

    fn clear_failures(&self, subject: Subject) -> Answer<'_, ()> {
        self.run(move |state| {
            state.attempts.remove(&subject);
            Ok(())
        })
    }

    fn put_invite(&self, invite: TokenHash, email: String, expires: Timestamp) -> Answer<'_, ()> {
        self.run(move |state| {
            state.invites.insert(invite, (email, expires));
            Ok(())
        })
    }

    fn invite_is_good(&self, invite: TokenHash, email: String, now: Timestamp) -> Answer<'_, bool> {
        self.run(move |state| Ok(state.invite_is_good(invite, &email, now)))
    }

    fn use_invite(&self, invite: TokenHash, email: String, now: Timestamp) -> Answer<'_, bool> {
        self.run(move |state| Ok(state.invite_is_good(invite, &email, now) && state.invites.remove(&invite).is_some()))
    }

    fn remember_once(&self, id: TokenHash, until: Timestamp, now: Timestamp) -> Answer<'_, bool> {
        self.run(move |state| {
            if state.seen_once.get(&id).is_some_and(|kept| *kept > now) {
                return Ok(false);
            }
            state.seen_once.insert(id, until);
            Ok(true)
        })
    }

    fn secret(&self, name: &'static str, fresh: Zeroizing<Vec<u8>>) -> Answer<'_, Zeroizing<Vec<u8>>> {
        self.run(move |state| Ok(state.secrets.entry(name).or_insert(fresh).clone()))
    }

    fn person_key(&self, person: Subject, fresh: PersonKey) -> Answer<'_, PersonKey> {
        self.run(move |state| Ok(state.person_key(person, fresh)))
    }

    fn erase(&self, subject: Option<Subject>, email: Option<String>) -> Answer<'_, Erased> {
        self.run(move |state| Ok(state.erase(subject.as_ref(), email.as_deref())))
    }

    fn acme_account(&self, directory: String) -> Answer<'_, Option<Zeroizing<Vec<u8>>>> {
        self.run(move |state| Ok(state.acme_accounts.get(&directory).cloned()))
    }

    fn put_acme_account(&self, directory: String, account: Zeroizing<Vec<u8>>) -> Answer<'_, ()> {
        self.run(move |state| state.put_acme_account(directory, account))
    }

    fn drop_acme_account(&self, directory: String) -> Answer<'_, ()> {
        self.run(move |state| state.drop_acme_account(&directory))
    }

    fn issued_certificates(&self) -> Answer<'_, Vec<IssuedCertificate>> {
        self.run(|state| Ok(state.issued_certificates.values().cloned().collect()))
    }

    fn put_issued_certificate(&self, certificate: IssuedCertificate) -> Answer<'_, ()> {
        self.run(move |state| state.put_issued_certificate(certificate))
    }

    fn acme_attempts(&self) -> Answer<'_, Vec<AcmeAttempt>> {
        self.run(|state| Ok(state.acme_attempts.values().cloned().collect()))
    }

    fn put_acme_attempt(&self, attempt: AcmeAttempt) -> Answer<'_, ()> {
        self.run(move |state| state.put_acme_attempt(attempt))
    }

    fn sweep(&self, now: Timestamp) -> Answer<'_, ()> {
        self.run(move |state| state.sweep(now))
    }

    fn check(&self) -> Answer<'_, ()> {
        self.run(|_| Ok(()))
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemoryStore")
    }
}
