//! What every store promises, as one suite that is run against each of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kernel::factor::lockout::Allowance;
use kernel::identity::assurance::{Assurance, FactorKind, FactorProof};
use kernel::identity::{Email, Group, Identity, Subject};
use kernel::request::client::ClientAddress;
use kernel::request::host::Host;
use kernel::session::{EndReason, Session, SessionId, SessionState, TokenHash};
use kernel::time::Timestamp;
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::memory::MemoryStore;
use super::sealing::{KeyRing, MasterKey};
use super::sqlite::{Settings, SqliteStore, open};
use super::{
    AcmeAttempt, Attempts, COOKIES_PER_HOST, Erased, IssuedCertificate, NewSession, PersonKey, SessionFilter, Sight, Store, StoreFault,
    TotpFactor,
};

type Shared = Arc<dyn Store>;

pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(1_700_000_000 + seconds)
}

pub(super) fn hash(seed: u8) -> TokenHash {
    TokenHash::from_bytes([seed; 32])
}

pub(super) fn key(seed: u8) -> MasterKey {
    Zeroizing::new([seed; 32])
}

pub(super) fn ring(current: u8, previous: &[u8]) -> KeyRing {
    KeyRing::new(&key(current), &previous.iter().map(|seed| key(*seed)).collect::<Vec<_>>()).unwrap()
}

pub(super) fn sqlite_in(folder: &TempDir) -> SqliteStore {
    open(&folder.path().join("portcullis.db"), ring(1, &[]), Settings::default()).unwrap()
}

pub(super) fn subject(name: &str) -> Subject {
    Subject { issuer: "https://idp.test".into(), sub: name.into() }
}

pub(super) fn identity(name: &str) -> Identity {
    Identity {
        subject: subject(name),
        email: Email::parse(&format!("{name}@example.com")).ok(),
        name: Some(name.to_uppercase()),
        groups: vec![Group::new("dev"), Group::new("sre")],
    }
}

pub(super) fn session(seed: u8, name: &str) -> Session {
    Session {
        id: SessionId::new([seed; 16]),
        idp: "corp".into(),
        identity: identity(name),
        assurance: Assurance::default(),
        state: SessionState::begin(at(u64::from(seed))),
        idp_session: Some(format!("sid-{seed}")),
        lineage: hash(seed),
        address: Some(ClientAddress::new("2001:db8::1".parse().unwrap())),
        user_agent: Some("Firefox".into()),
    }
}

pub(super) fn new_session(seed: u8, name: &str) -> NewSession {
    NewSession {
        session: session(seed, name),
        cookie: hash(seed),
        host: host("gate.test"),
        id_token: Some(Zeroizing::new(format!("id-token-{seed}"))),
    }
}

pub(super) fn totp(secret: u8, last_step: u64) -> TotpFactor {
    TotpFactor { secret: Zeroizing::new(vec![secret; 20]), enrolled: at(0), last_step }
}

fn host(name: &str) -> Host {
    Host::parse(name).unwrap()
}

fn id(seed: u8) -> SessionId {
    SessionId::new([seed; 16])
}

fn proof(kind: FactorKind, seconds: u64) -> FactorProof {
    FactorProof { kind, at: at(seconds) }
}

fn person_key(seed: u8) -> PersonKey {
    PersonKey { pseudonym: format!("{seed:032x}"), key: Zeroizing::new(vec![seed; 32]) }
}

/// How many of a hundred callers at once are told yes.
async fn winners<F: Future<Output = Result<bool, StoreFault>> + Send + 'static>(store: &Shared, call: impl Fn(Shared, u8) -> F) -> usize {
    let calls: Vec<_> = (0..100).map(|caller| tokio::spawn(call(Arc::clone(store), caller))).collect();
    let mut winners = 0;
    for call in calls {
        winners += usize::from(call.await.unwrap().unwrap());
    }
    winners
}

async fn end(store: &Shared, filter: SessionFilter) -> Vec<SessionId> {
    let mut ended = store.end_sessions(filter, EndReason::Revoke, at(1_000)).await.unwrap();
    ended.sort();
    ended
}

async fn begin(store: &Shared, sessions: &[(u8, &str)]) {
    for (seed, name) in sessions {
        store.begin_session(new_session(*seed, name)).await.unwrap();
    }
}

async fn the_first_key_of_a_person_is_everybodys(store: Shared) {
    let first = store.person_key(subject("ana"), person_key(1)).await.unwrap();
    let again = store.person_key(subject("ana"), person_key(2)).await.unwrap();
    assert_eq!((first.pseudonym.clone(), first.key.clone()), (person_key(1).pseudonym, person_key(1).key));
    assert_eq!((again.pseudonym, again.key), (first.pseudonym, first.key));
    assert_eq!(store.person_key(subject("ben"), person_key(3)).await.unwrap().pseudonym, person_key(3).pseudonym);
}

async fn an_erased_person_leaves_nothing_and_the_others_everything(store: Shared) {
    for (seed, name) in [(1, "ana"), (2, "ben")] {
        store.see_subject(identity(name), at(1)).await.unwrap();
        store.begin_session(new_session(seed, name)).await.unwrap();
        store.enrol_totp(subject(name), totp(seed, 5), vec![hash(seed), hash(seed + 10)]).await.unwrap();
        store.count_failure(subject(name), at(2)).await.unwrap();
        store.put_invite(hash(seed + 20), format!("{name}@example.com"), at(9_000)).await.unwrap();
        store.person_key(subject(name), person_key(seed)).await.unwrap();
        let invited = Subject { issuer: String::new(), sub: format!("{name}@example.com") };
        store.person_key(invited, person_key(seed + 30)).await.unwrap();
    }
    let email = Some("ana@example.com".to_owned());
    let erased = store.erase(Some(subject("ana")), email.clone()).await.unwrap();
    assert_eq!(erased, Erased { subjects: 1, sessions: 1, factors: 1, recovery_codes: 2, invitations: 1, keys: 2 });
    assert_eq!(store.subject(subject("ana")).await.unwrap(), None);
    assert_eq!(store.session(id(1)).await.unwrap(), None);
    assert_eq!(store.session_by_cookie(hash(1)).await.unwrap(), None);
    assert!(store.factors(subject("ana")).await.unwrap().totp.is_none());
    assert_eq!(store.attempts(subject("ana")).await.unwrap(), Attempts::default());
    assert!(!store.invite_is_good(hash(21), "ana@example.com".into(), at(5)).await.unwrap());
    // Whoever comes back is somebody new.
    assert_eq!(store.person_key(subject("ana"), person_key(9)).await.unwrap().pseudonym, person_key(9).pseudonym);
    assert_eq!(store.erase(Some(subject("ana")), email.clone()).await.unwrap(), Erased { keys: 1, ..Erased::default() });
    assert_eq!(store.erase(Some(subject("ana")), email).await.unwrap(), Erased::default());
    assert!(store.subject(subject("ben")).await.unwrap().is_some() && store.session(id(2)).await.unwrap().is_some());
    assert_eq!(store.factors(subject("ben")).await.unwrap().recovery_codes_left, 2);
    assert!(store.invite_is_good(hash(22), "ben@example.com".into(), at(5)).await.unwrap());
    assert_eq!(store.person_key(subject("ben"), person_key(8)).await.unwrap().pseudonym, person_key(2).pseudonym);
}

async fn a_subject_is_first_seen_once_and_then_updated(store: Shared) {
    let (first, sight) = store.see_subject(identity("ana"), at(10)).await.unwrap();
    assert_eq!((first.first_seen, first.last_seen, first.locked, sight), (at(10), at(10), false, Sight::First));
    assert!(store.set_locked(subject("ana"), true).await.unwrap());
    let changed = Identity { groups: vec![], ..identity("ana") };
    let (again, sight) = store.see_subject(changed.clone(), at(20)).await.unwrap();
    assert_eq!((again.first_seen, again.last_seen, again.locked, sight), (at(10), at(20), true, Sight::Again));
    assert_eq!(again.identity, changed);
    assert_eq!(store.subject(subject("ana")).await.unwrap(), Some(again));
}

async fn a_clock_set_back_moves_no_sight_back(store: Shared) {
    store.see_subject(identity("ana"), at(20)).await.unwrap();
    let (record, _) = store.see_subject(identity("ana"), at(5)).await.unwrap();
    assert_eq!((record.first_seen, record.last_seen), (at(20), at(20)));
}

async fn subjects_are_told_apart_by_issuer(store: Shared) {
    store.see_subject(identity("ana"), at(1)).await.unwrap();
    let other = Subject { issuer: "https://other.test".into(), sub: "ana".into() };
    assert_eq!(store.subject(other.clone()).await.unwrap(), None);
    assert!(!store.set_locked(other, true).await.unwrap());
    assert!(!store.subject(subject("ana")).await.unwrap().unwrap().locked);
}

async fn a_locked_subject_can_be_unlocked(store: Shared) {
    store.see_subject(identity("ana"), at(1)).await.unwrap();
    for locked in [true, false] {
        assert!(store.set_locked(subject("ana"), locked).await.unwrap());
        assert_eq!(store.subject(subject("ana")).await.unwrap().unwrap().locked, locked);
    }
}

async fn subjects_are_listed_by_email_and_those_without_last(store: Shared) {
    let nameless = Identity { email: None, ..identity("aaa") };
    for who in [identity("eva"), nameless, identity("ana"), identity("ben")] {
        store.see_subject(who, at(1)).await.unwrap();
    }
    let listed: Vec<_> = store.subjects().await.unwrap().into_iter().map(|record| record.identity.subject.sub).collect();
    assert_eq!(listed, ["ana", "ben", "eva", "aaa"]);
}

async fn a_session_comes_back_as_it_was_begun(store: Shared) {
    begin(&store, &[(1, "ana")]).await;
    let expected = Some(session(1, "ana"));
    assert_eq!(store.session(id(1)).await.unwrap(), expected);
    assert_eq!(store.session_by_cookie(hash(1)).await.unwrap(), expected);
    assert_eq!(store.id_token(id(1)).await.unwrap().as_deref().map(String::as_str), Some("id-token-1"));
    assert_eq!(store.session(id(2)).await.unwrap(), None);
    assert_eq!(store.session_by_cookie(hash(2)).await.unwrap(), None);
    assert_eq!(store.id_token(id(2)).await.unwrap(), None);
}

async fn a_session_without_optional_facts_comes_back(store: Shared) {
    let bare = Session { idp_session: None, address: None, user_agent: None, ..session(1, "ana") };
    store.begin_session(NewSession { session: bare.clone(), id_token: None, ..new_session(1, "ana") }).await.unwrap();
    assert_eq!(store.session(id(1)).await.unwrap(), Some(bare));
    assert_eq!(store.id_token(id(1)).await.unwrap(), None);
}

async fn neither_a_session_nor_a_cookie_is_begun_twice(store: Shared) {
    begin(&store, &[(1, "ana")]).await;
    let same_id = NewSession { cookie: hash(9), ..new_session(1, "ben") };
    assert!(matches!(store.begin_session(same_id).await, Err(StoreFault::Refused(_))));
    let same_cookie = NewSession { cookie: hash(1), ..new_session(2, "ben") };
    assert!(matches!(store.begin_session(same_cookie).await, Err(StoreFault::Refused(_))));
    assert_eq!(store.session(id(2)).await.unwrap(), None, "a refused session leaves nothing behind");
    assert_eq!(store.session_by_cookie(hash(9)).await.unwrap(), None);
    assert_eq!(store.session_by_cookie(hash(1)).await.unwrap(), Some(session(1, "ana")));
}

async fn cookies_of_several_hosts_lead_to_one_session(store: Shared) {
    begin(&store, &[(1, "ana")]).await;
    assert!(store.bind_cookie(id(1), hash(11), host("a.test")).await.unwrap());
    assert!(store.bind_cookie(id(1), hash(12), host("b.test")).await.unwrap());
    for cookie in [1, 11, 12] {
        assert_eq!(store.session_by_cookie(hash(cookie)).await.unwrap().unwrap().id, id(1));
    }
    assert!(!store.bind_cookie(id(7), hash(13), host("a.test")).await.unwrap());
    end(&store, SessionFilter::One(id(1))).await;
    assert!(!store.bind_cookie(id(1), hash(14), host("a.test")).await.unwrap(), "an ended session gets no cookie");
    assert_eq!(store.session_by_cookie(hash(14)).await.unwrap(), None);
}

async fn the_cookies_of_one_host_are_bounded(store: Shared) {
    begin(&store, &[(1, "ana")]).await;
    let last = 20 + u8::try_from(COOKIES_PER_HOST).unwrap();
    for cookie in 20..=last {
        assert!(store.bind_cookie(id(1), hash(cookie), host("a.test")).await.unwrap());
    }
    assert_eq!(store.session_by_cookie(hash(20)).await.unwrap(), None, "the oldest leads nowhere");
    for cookie in (21..=last).chain([1]) {
        assert!(store.session_by_cookie(hash(cookie)).await.unwrap().is_some(), "cookie {cookie}");
    }
}

async fn a_replaced_cookie_leads_nowhere(store: Shared) {
    begin(&store, &[(1, "ana"), (2, "ben")]).await;
    assert!(store.replace_cookie(hash(1), hash(11)).await.unwrap());
    assert_eq!(store.session_by_cookie(hash(1)).await.unwrap(), None);
    assert_eq!(store.session_by_cookie(hash(11)).await.unwrap().unwrap().id, id(1));
    assert!(!store.replace_cookie(hash(1), hash(12)).await.unwrap());
    end(&store, SessionFilter::One(id(1))).await;
    assert!(!store.replace_cookie(hash(11), hash(13)).await.unwrap());
    assert_eq!(store.session_by_cookie(hash(11)).await.unwrap().unwrap().id, id(1), "an ended session can still be named");
    assert_eq!(store.session_by_cookie(hash(2)).await.unwrap().unwrap().id, id(2));
}

async fn live_sessions_are_listed_newest_first(store: Shared) {
    begin(&store, &[(1, "ana"), (3, "ana"), (2, "ben"), (4, "ana")]).await;
    end(&store, SessionFilter::One(id(4))).await;
    let ids = |sessions: Vec<Session>| sessions.into_iter().map(|session| session.id).collect::<Vec<_>>();
    assert_eq!(ids(store.sessions(None).await.unwrap()), [id(3), id(2), id(1)]);
    assert_eq!(ids(store.sessions(Some(subject("ana"))).await.unwrap()), [id(3), id(1)]);
    assert_eq!(ids(store.sessions(Some(subject("eva"))).await.unwrap()), []);
}

async fn touching_moves_times_forward_only(store: Shared) {
    begin(&store, &[(1, "ana"), (2, "ben")]).await;
    end(&store, SessionFilter::One(id(2))).await;
    let ended = store.session(id(2)).await.unwrap();
    store.touch_sessions(vec![(id(1), at(50)), (id(2), at(50)), (id(9), at(50))]).await.unwrap();
    store.touch_sessions(vec![(id(1), at(40))]).await.unwrap();
    assert_eq!(store.session(id(1)).await.unwrap().unwrap().state.last_seen, at(50));
    assert_eq!(store.session(id(2)).await.unwrap(), ended, "an ended session stays as it ended");
    assert_eq!(store.session(id(9)).await.unwrap(), None);
}

async fn a_person_is_vouched_for_again_only_as_the_same_person(store: Shared) {
    begin(&store, &[(1, "ana")]).await;
    let renewed = Identity { groups: vec![Group::new("new")], ..identity("ana") };
    assert!(store.reauthenticate_session(id(1), renewed.clone(), Some("sid-new".into()), at(60)).await.unwrap());
    let held = store.session(id(1)).await.unwrap().unwrap();
    assert_eq!((&held.identity, held.idp_session.as_deref()), (&renewed, Some("sid-new")));
    assert_eq!((held.state.created, held.state.authenticated, held.state.last_seen), (at(1), at(60), at(60)));
    assert!(store.reauthenticate_session(id(1), renewed, None, at(30)).await.unwrap());
    let kept = store.session(id(1)).await.unwrap();
    assert_eq!(kept, Some(held), "neither a clock set back nor a missing sid takes anything away");
    assert!(!store.reauthenticate_session(id(1), identity("ben"), None, at(70)).await.unwrap(), "another person");
    assert!(!store.reauthenticate_session(id(9), identity("ana"), None, at(70)).await.unwrap(), "unknown");
    assert_eq!(store.session(id(1)).await.unwrap(), kept);
    end(&store, SessionFilter::One(id(1))).await;
    assert!(!store.reauthenticate_session(id(1), identity("ana"), None, at(70)).await.unwrap(), "ended");
}

async fn factor_proofs_gather_in_a_live_session(store: Shared) {
    begin(&store, &[(1, "ana")]).await;
    let (totp, key) = (proof(FactorKind::Totp, 5), proof(FactorKind::Webauthn, 6));
    assert!(store.prove_factor(id(1), totp).await.unwrap());
    assert!(store.prove_factor(id(1), key).await.unwrap());
    let expected = Assurance::default().with(totp).with(key);
    assert_eq!(store.session(id(1)).await.unwrap().unwrap().assurance, expected);
    assert!(!store.prove_factor(id(9), totp).await.unwrap());
    end(&store, SessionFilter::One(id(1))).await;
    assert!(!store.prove_factor(id(1), proof(FactorKind::Totp, 9)).await.unwrap());
    assert_eq!(store.session(id(1)).await.unwrap().unwrap().assurance, expected);
}

async fn sessions_end_once_and_by_their_filter(store: Shared) {
    begin(&store, &[(1, "ana"), (2, "ana"), (3, "ana"), (4, "ben"), (5, "ben"), (6, "eva")]).await;
    assert_eq!(end(&store, SessionFilter::One(id(1))).await, [id(1)]);
    assert_eq!(end(&store, SessionFilter::One(id(1))).await, []);
    assert_eq!(end(&store, SessionFilter::OfSubjectExcept(subject("ana"), id(2))).await, [id(3)]);
    let wrong_issuer = SessionFilter::OfIdpSession { issuer: "https://other.test".into(), idp_session: "sid-4".into() };
    assert_eq!(end(&store, wrong_issuer).await, []);
    let right = SessionFilter::OfIdpSession { issuer: "https://idp.test".into(), idp_session: "sid-4".into() };
    assert_eq!(end(&store, right).await, [id(4)]);
    assert_eq!(end(&store, SessionFilter::OfSubject(subject("ana"))).await, [id(2)]);
    assert_eq!(end(&store, SessionFilter::All).await, [id(5), id(6)]);
    assert_eq!(store.sessions(None).await.unwrap(), []);
}

async fn an_ended_session_keeps_its_first_reason(store: Shared) {
    begin(&store, &[(1, "ana")]).await;
    store.end_sessions(SessionFilter::All, EndReason::IdpLogOut, at(7)).await.unwrap();
    store.end_sessions(SessionFilter::All, EndReason::Lock, at(8)).await.unwrap();
    let ended = store.session_by_cookie(hash(1)).await.unwrap().unwrap().state.ended;
    assert_eq!(ended, Some((EndReason::IdpLogOut, at(7))));
}

async fn every_end_reason_comes_back(store: Shared) {
    let reasons = [
        EndReason::ExpireIdle,
        EndReason::ExpireAbsolute,
        EndReason::LogOut,
        EndReason::IdpLogOut,
        EndReason::Revoke,
        EndReason::Replace,
        EndReason::Lock,
    ];
    for (seed, reason) in (1..).zip(reasons) {
        begin(&store, &[(seed, "ana")]).await;
        store.end_sessions(SessionFilter::One(id(seed)), reason, at(9)).await.unwrap();
        assert_eq!(store.session(id(seed)).await.unwrap().unwrap().state.ended, Some((reason, at(9))));
    }
}

async fn of_two_enrolments_one_wins_whole(store: Shared) {
    let won = winners(&store, |store, caller| async move {
        store.enrol_totp(subject("ana"), totp(caller, u64::from(caller)), vec![hash(caller), hash(100 + caller)]).await
    });
    assert_eq!(won.await, 1);
    let factors = store.factors(subject("ana")).await.unwrap();
    let (kept, caller) = (factors.totp.as_ref().unwrap(), factors.totp.as_ref().unwrap().secret[0]);
    assert_eq!((&**kept.secret, kept.last_step, kept.enrolled), (&[caller; 20][..], u64::from(caller), at(0)));
    assert_eq!(factors.recovery_codes_left, 2);
    assert!(store.use_recovery_code(subject("ana"), hash(caller)).await.unwrap(), "the winner's codes came with it");
    assert!(store.factors(subject("ben")).await.unwrap().totp.is_none());
}

async fn a_step_is_accepted_exactly_once(store: Shared) {
    store.enrol_totp(subject("ana"), totp(1, 100), vec![]).await.unwrap();
    assert!(!store.accept_totp_step(subject("ana"), 100).await.unwrap(), "the step of the enrolment");
    let won = winners(&store, |store, _| async move { store.accept_totp_step(subject("ana"), 101).await }).await;
    assert_eq!(won, 1);
    assert!(!store.accept_totp_step(subject("ana"), 99).await.unwrap(), "an earlier step");
    assert!(store.accept_totp_step(subject("ana"), 102).await.unwrap());
    assert_eq!(store.factors(subject("ana")).await.unwrap().totp.unwrap().last_step, 102);
    assert!(!store.accept_totp_step(subject("ben"), 101).await.unwrap(), "nobody's step");
}

async fn a_recovery_code_is_used_exactly_once(store: Shared) {
    store.put_recovery_codes(subject("ana"), vec![hash(1), hash(2)]).await.unwrap();
    assert!(!store.use_recovery_code(subject("ben"), hash(1)).await.unwrap(), "another's code");
    let won = winners(&store, |store, _| async move { store.use_recovery_code(subject("ana"), hash(1)).await }).await;
    assert_eq!((won, store.factors(subject("ana")).await.unwrap().recovery_codes_left), (1, 1));
}

async fn new_recovery_codes_void_the_old(store: Shared) {
    store.put_recovery_codes(subject("ana"), vec![hash(1), hash(2)]).await.unwrap();
    store.put_recovery_codes(subject("ana"), vec![hash(3)]).await.unwrap();
    assert!(!store.use_recovery_code(subject("ana"), hash(1)).await.unwrap());
    assert!(store.use_recovery_code(subject("ana"), hash(3)).await.unwrap());
}

async fn a_reset_removes_every_factor_and_attempt_of_one_subject(store: Shared) {
    for name in ["ana", "ben"] {
        store.enrol_totp(subject(name), totp(1, 1), vec![hash(1)]).await.unwrap();
        store.count_failure(subject(name), at(1)).await.unwrap();
    }
    assert!(store.reset_factors(subject("ana")).await.unwrap());
    assert!(!store.reset_factors(subject("ana")).await.unwrap());
    let factors = store.factors(subject("ana")).await.unwrap();
    assert!(factors.totp.is_none());
    assert_eq!(factors.recovery_codes_left, 0);
    assert_eq!(store.attempts(subject("ana")).await.unwrap(), Attempts::default());
    assert!(store.factors(subject("ben")).await.unwrap().totp.is_some());
    assert!(store.enrol_totp(subject("ana"), totp(2, 2), vec![]).await.unwrap(), "and enrolment is open again");
    store.count_failure(subject("eva"), at(1)).await.unwrap();
    assert!(store.reset_factors(subject("eva")).await.unwrap(), "attempts alone are something to reset");
}

async fn failures_are_counted_per_subject_and_cleared(store: Shared) {
    assert_eq!(store.attempts(subject("ana")).await.unwrap(), Attempts::default());
    assert_eq!(store.count_failure(subject("ana"), at(5)).await.unwrap(), Attempts { failures: 1, last_failure: Some(at(5)) });
    let set_back = store.count_failure(subject("ana"), at(3)).await.unwrap();
    assert_eq!(set_back, Attempts { failures: 2, last_failure: Some(at(5)) }, "a clock set back shortens no wait");
    assert_eq!(store.attempts(subject("ana")).await.unwrap(), set_back);
    assert_eq!(store.attempts(subject("ben")).await.unwrap(), Attempts::default());
    store.clear_failures(subject("ana")).await.unwrap();
    assert_eq!(store.attempts(subject("ana")).await.unwrap(), Attempts::default());
}

async fn no_failure_is_lost_when_many_fail_at_once(store: Shared) {
    winners(&store, |store, _| async move { store.count_failure(subject("ana"), at(1)).await.map(|_| true) }).await;
    assert_eq!(store.attempts(subject("ana")).await.unwrap().failures, 100);
}

async fn of_many_attempts_at_once_no_more_pass_than_one_after_another(store: Shared) {
    let begin = |store: Shared, _| async move { store.begin_attempt(subject("ana"), at(1)).await.map(|allowed| allowed == Allowance::Try) };
    assert_eq!(winners(&store, begin).await, 5);
    assert_eq!(store.attempts(subject("ana")).await.unwrap(), Attempts { failures: 5, last_failure: Some(at(1)) });
    let refused = store.begin_attempt(subject("ana"), at(11)).await.unwrap();
    assert_eq!(refused, Allowance::Wait(Duration::from_secs(20)), "and a refused attempt is not counted");
    assert_eq!(store.begin_attempt(subject("ana"), at(31)).await.unwrap(), Allowance::Try);
    assert_eq!(store.begin_attempt(subject("ben"), at(1)).await.unwrap(), Allowance::Try);
    store.clear_failures(subject("ana")).await.unwrap();
    assert_eq!(store.begin_attempt(subject("ana"), at(31)).await.unwrap(), Allowance::Try);
}

async fn a_hundred_failures_in_a_row_stop_the_subject(store: Shared) {
    for _ in 0..100 {
        store.count_failure(subject("ana"), at(1)).await.unwrap();
    }
    assert_eq!(store.begin_attempt(subject("ana"), at(10_000_000)).await.unwrap(), Allowance::Stopped);
}

async fn an_invite_is_used_exactly_once_by_its_address(store: Shared) {
    store.put_invite(hash(1), "ana@example.com".into(), at(100)).await.unwrap();
    let good = |invite, email: &str, now| store.invite_is_good(hash(invite), email.into(), at(now));
    assert!(good(1, "ana@example.com", 99).await.unwrap());
    assert!(!good(1, "ana@example.com", 100).await.unwrap(), "its last moment is over");
    assert!(!good(1, "ben@example.com", 1).await.unwrap());
    assert!(!good(2, "ana@example.com", 1).await.unwrap());
    assert!(!store.use_invite(hash(1), "ben@example.com".into(), at(1)).await.unwrap());
    assert!(!store.use_invite(hash(1), "ana@example.com".into(), at(100)).await.unwrap());
    let won = winners(&store, |store, _| async move { store.use_invite(hash(1), "ana@example.com".into(), at(99)).await }).await;
    assert_eq!(won, 1);
    assert!(!good(1, "ana@example.com", 99).await.unwrap());
}

async fn an_id_is_remembered_until_its_time_is_over(store: Shared) {
    let won = winners(&store, |store, _| async move { store.remember_once(hash(1), at(100), at(1)).await }).await;
    assert_eq!(won, 1);
    assert!(store.remember_once(hash(2), at(100), at(1)).await.unwrap());
    assert!(!store.remember_once(hash(1), at(300), at(99)).await.unwrap());
    assert!(store.remember_once(hash(1), at(200), at(100)).await.unwrap());
    assert!(!store.remember_once(hash(1), at(300), at(199)).await.unwrap());
}

async fn the_first_value_of_a_secret_is_everybodys(store: Shared) {
    let first = store.secret("assertion key", Zeroizing::new(vec![1, 2, 3])).await.unwrap();
    let second = store.secret("assertion key", Zeroizing::new(vec![4])).await.unwrap();
    let other = store.secret("browser key", Zeroizing::new(vec![5])).await.unwrap();
    assert_eq!((&**first, &**second, &**other), (&[1, 2, 3][..], &[1, 2, 3][..], &[5][..]));
}

async fn sweeping_drops_what_nobody_can_use(store: Shared) {
    let day = 24 * 3_600;
    begin(&store, &[(1, "ana"), (2, "ana"), (3, "ana")]).await;
    store.end_sessions(SessionFilter::One(id(1)), EndReason::LogOut, at(10)).await.unwrap();
    store.end_sessions(SessionFilter::One(id(2)), EndReason::LogOut, at(11)).await.unwrap();
    store.put_invite(hash(1), "ana@example.com".into(), at(day + 11)).await.unwrap();
    store.put_invite(hash(2), "ana@example.com".into(), at(day + 12)).await.unwrap();
    store.remember_once(hash(1), at(day + 11), at(1)).await.unwrap();
    store.remember_once(hash(2), at(day + 12), at(1)).await.unwrap();
    store.see_subject(identity("ana"), at(1)).await.unwrap();
    store.person_key(subject("ana"), person_key(1)).await.unwrap();
    store.person_key(subject("nobody"), person_key(2)).await.unwrap();
    store.sweep(at(day + 11)).await.unwrap();
    assert_eq!(store.person_key(subject("ana"), person_key(8)).await.unwrap().pseudonym, person_key(1).pseudonym);
    assert_eq!(store.person_key(subject("nobody"), person_key(9)).await.unwrap().pseudonym, person_key(9).pseudonym);
    assert_eq!(store.session(id(1)).await.unwrap(), None);
    assert_eq!(store.session_by_cookie(hash(1)).await.unwrap(), None);
    assert!(store.session(id(2)).await.unwrap().is_some(), "a day is not over yet");
    assert!(store.session_by_cookie(hash(3)).await.unwrap().is_some(), "a live session stays");
    // Asked with an earlier time, what was only expired would still be there; what was swept is not.
    assert!(!store.invite_is_good(hash(1), "ana@example.com".into(), at(1)).await.unwrap());
    assert!(store.invite_is_good(hash(2), "ana@example.com".into(), at(1)).await.unwrap());
    assert!(store.remember_once(hash(1), at(2), at(1)).await.unwrap());
    assert!(!store.remember_once(hash(2), at(2), at(1)).await.unwrap());
}

pub(super) fn issued(host: &str, seed: u8, not_after: Timestamp) -> IssuedCertificate {
    IssuedCertificate {
        host: host.into(),
        directory: "https://ca.test/dir".into(),
        chain: format!("-----BEGIN CERTIFICATE-----{seed}"),
        key: Zeroizing::new(vec![seed; 40]),
        not_after,
    }
}

async fn an_account_is_kept_for_its_authority_and_replaced(store: Shared) {
    let account = |directory: &str| store.acme_account(directory.to_owned());
    assert_eq!(account("https://ca.test/dir").await.unwrap(), None);
    for (directory, seed) in [("https://ca.test/dir", 1), ("https://other.test/dir", 2), ("https://ca.test/dir", 3)] {
        store.put_acme_account(directory.into(), Zeroizing::new(vec![seed; 9])).await.unwrap();
    }
    assert_eq!(account("https://ca.test/dir").await.unwrap().unwrap().as_slice(), [3; 9]);
    store.drop_acme_account("https://ca.test/dir".into()).await.unwrap();
    assert_eq!(account("https://ca.test/dir").await.unwrap(), None);
    assert_eq!(account("https://other.test/dir").await.unwrap().unwrap().as_slice(), [2; 9]);
}

async fn how_an_order_went_is_kept_until_one_does_not_fail(store: Shared) {
    let attempt = |host: &str, failures| AcmeAttempt {
        host: host.into(),
        failures,
        reason: format!("reason {failures}"),
        next_try: at(failures.into()),
    };
    for known in [attempt("b.test", 1), attempt("a.test", 3), attempt("b.test", 2), attempt("c.test", 0)] {
        store.put_acme_attempt(known).await.unwrap();
    }
    assert_eq!(store.acme_attempts().await.unwrap(), [attempt("a.test", 3), attempt("b.test", 2)]);
    store.put_acme_attempt(attempt("a.test", 0)).await.unwrap();
    assert_eq!(store.acme_attempts().await.unwrap(), [attempt("b.test", 2)]);
}

async fn the_last_certificate_of_a_host_is_kept_until_it_expires(store: Shared) {
    assert_eq!(store.issued_certificates().await.unwrap(), []);
    let (first, other, second) = (issued("b.test", 1, at(50)), issued("a.test", 2, at(60)), issued("b.test", 3, at(70)));
    for certificate in [&first, &other, &second] {
        store.put_issued_certificate(certificate.clone()).await.unwrap();
    }
    assert_eq!(store.issued_certificates().await.unwrap(), [other, second.clone()]);
    store.sweep(at(60)).await.unwrap();
    assert_eq!(store.issued_certificates().await.unwrap(), [second]);
}

async fn a_store_answers_its_check(store: Shared) {
    store.check().await.unwrap();
    store.check().await.unwrap();
}

/// Runs each promise against each store, as a test of its own.
macro_rules! promises {
    ($($promise:ident),+ $(,)?) => {
        mod in_memory {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                super::$promise(Arc::new(MemoryStore::new())).await;
            })+
        }
        mod in_sqlite {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let folder = TempDir::new().unwrap();
                super::$promise(Arc::new(sqlite_in(&folder))).await;
            })+
        }
    };
}

promises!(
    a_subject_is_first_seen_once_and_then_updated,
    a_clock_set_back_moves_no_sight_back,
    subjects_are_told_apart_by_issuer,
    a_locked_subject_can_be_unlocked,
    subjects_are_listed_by_email_and_those_without_last,
    a_session_comes_back_as_it_was_begun,
    a_session_without_optional_facts_comes_back,
    neither_a_session_nor_a_cookie_is_begun_twice,
    cookies_of_several_hosts_lead_to_one_session,
    the_cookies_of_one_host_are_bounded,
    a_replaced_cookie_leads_nowhere,
    live_sessions_are_listed_newest_first,
    touching_moves_times_forward_only,
    a_person_is_vouched_for_again_only_as_the_same_person,
    factor_proofs_gather_in_a_live_session,
    sessions_end_once_and_by_their_filter,
    an_ended_session_keeps_its_first_reason,
    every_end_reason_comes_back,
    of_two_enrolments_one_wins_whole,
    a_step_is_accepted_exactly_once,
    a_recovery_code_is_used_exactly_once,
    new_recovery_codes_void_the_old,
    a_reset_removes_every_factor_and_attempt_of_one_subject,
    failures_are_counted_per_subject_and_cleared,
    no_failure_is_lost_when_many_fail_at_once,
    of_many_attempts_at_once_no_more_pass_than_one_after_another,
    a_hundred_failures_in_a_row_stop_the_subject,
    an_invite_is_used_exactly_once_by_its_address,
    an_id_is_remembered_until_its_time_is_over,
    the_first_value_of_a_secret_is_everybodys,
    sweeping_drops_what_nobody_can_use,
    the_first_key_of_a_person_is_everybodys,
    an_erased_person_leaves_nothing_and_the_others_everything,
    an_account_is_kept_for_its_authority_and_replaced,
    how_an_order_went_is_kept_until_one_does_not_fail,
    the_last_certificate_of_a_host_is_kept_until_it_expires,
    a_store_answers_its_check,
);
