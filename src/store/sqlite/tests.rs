//! What only a store on disk can get wrong: restarts, keys, damage, locks, full disks and file rights.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use kernel::session::SessionState;
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::*;
use crate::store::StoreFault;
use crate::store::contract_suite::{at, hash, identity, issued, new_session, ring, session, sqlite_in, subject, totp};

const IMPATIENT: Settings = Settings { deadline: Duration::from_millis(100) };

fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("portcullis.db")
}

fn by_hand(folder: &TempDir) -> Connection {
    Connection::open(file(folder)).unwrap()
}

fn impatient(folder: &TempDir) -> SqliteStore {
    open(&file(folder), ring(1, &[]), IMPATIENT).unwrap()
}

async fn fill(store: &SqliteStore) {
    store.see_subject(identity("ana"), at(1)).await.unwrap();
    store.begin_session(new_session(1, "ana")).await.unwrap();
    store.enrol_totp(subject("ana"), totp(7, 100), vec![hash(1)]).await.unwrap();
    store.accept_totp_step(subject("ana"), 105).await.unwrap();
    store.count_failure(subject("ana"), at(3)).await.unwrap();
    store.put_invite(hash(5), "ben@example.com".into(), at(100)).await.unwrap();
    store.remember_once(hash(6), at(100), at(1)).await.unwrap();
    store.secret("name", Zeroizing::new(vec![42; 32])).await.unwrap();
    store.put_acme_account("https://ca.test/dir".into(), Zeroizing::new(vec![43; 30])).await.unwrap();
    store.put_issued_certificate(issued("a.test", 44, at(100))).await.unwrap();
}

async fn assert_filled(store: &SqliteStore) {
    assert_eq!(store.session_by_cookie(hash(1)).await.unwrap(), Some(session(1, "ana")));
    assert_eq!(store.id_token(SessionId::new([1; 16])).await.unwrap().unwrap().as_str(), "id-token-1");
    let factors = store.factors(subject("ana")).await.unwrap();
    let totp = factors.totp.unwrap();
    assert_eq!((&**totp.secret, totp.last_step, factors.recovery_codes_left), (&[7; 20][..], 105, 1));
    assert!(!store.accept_totp_step(subject("ana"), 105).await.unwrap());
    assert_eq!(store.attempts(subject("ana")).await.unwrap().failures, 1);
    assert!(store.invite_is_good(hash(5), "ben@example.com".into(), at(1)).await.unwrap());
    assert!(!store.remember_once(hash(6), at(200), at(2)).await.unwrap());
    assert_eq!(&**store.secret("name", Zeroizing::new(vec![1])).await.unwrap(), &[42; 32][..]);
    assert_eq!(store.acme_account("https://ca.test/dir".into()).await.unwrap().unwrap().as_slice(), [43; 30]);
    assert_eq!(store.issued_certificates().await.unwrap(), [issued("a.test", 44, at(100))]);
}

/// Keeps the worker busy until the sender is used or dropped.
fn occupy(store: &Arc<SqliteStore>) -> (mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
    let (release, wait) = mpsc::channel::<()>();
    let store = Arc::clone(store);
    let busy = tokio::spawn(async move {
        // Whether the blocking operation itself is given up on is of no interest.
        drop(store.worker.run(Access::Read, move |_| Ok(wait.recv().is_ok())).await);
    });
    (release, busy)
}

#[tokio::test]
async fn everything_survives_a_restart() {
    let folder = TempDir::new().unwrap();
    fill(&sqlite_in(&folder)).await;
    assert_filled(&sqlite_in(&folder)).await;
}

#[tokio::test]
async fn what_was_answered_survives_a_crash() {
    let folder = TempDir::new().unwrap();
    let store = sqlite_in(&folder);
    fill(&store).await;
    // The files as a killed process would leave them: nothing closed, the write-ahead log not merged.
    let after = TempDir::new().unwrap();
    for name in ["portcullis.db", "portcullis.db-wal"] {
        fs::copy(folder.path().join(name), after.path().join(name)).unwrap();
    }
    assert_filled(&sqlite_in(&after)).await;
    drop(store);
}

#[tokio::test]
async fn no_secret_stands_readable_in_the_file() {
    let folder = TempDir::new().unwrap();
    let store = sqlite_in(&folder);
    fill(&store).await;
    let mut bytes = Vec::new();
    for entry in fs::read_dir(folder.path()).unwrap() {
        bytes.extend(fs::read(entry.unwrap().path()).unwrap());
    }
    let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    assert!(holds(b"https://idp.test"), "the search finds what is there");
    for secret in [&[7; 20][..], b"id-token-1", &[42; 32], &[43; 30], &[44; 40]] {
        assert!(!holds(secret));
    }
}

#[tokio::test]
async fn a_rotated_ring_reseals_everything_so_that_the_old_key_can_go() {
    let folder = TempDir::new().unwrap();
    fill(&sqlite_in(&folder)).await;
    assert_filled(&open(&file(&folder), ring(2, &[1]), Settings::default()).unwrap()).await;
    assert_filled(&open(&file(&folder), ring(2, &[]), Settings::default()).unwrap()).await;
    assert!(matches!(open(&file(&folder), ring(1, &[]), Settings::default()), Err(OpenFault::WrongKey)));
}

#[tokio::test]
async fn a_wrong_key_is_refused_and_destroys_nothing() {
    let folder = TempDir::new().unwrap();
    fill(&sqlite_in(&folder)).await;
    assert!(matches!(open(&file(&folder), ring(9, &[8]), Settings::default()), Err(OpenFault::WrongKey)));
    assert_filled(&sqlite_in(&folder)).await;
}

#[tokio::test]
async fn a_damaged_canary_is_told_from_a_wrong_key() {
    let folder = TempDir::new().unwrap();
    fill(&sqlite_in(&folder)).await;
    by_hand(&folder).execute("UPDATE meta SET value = x'00' WHERE name = 'canary'", []).unwrap();
    assert!(matches!(open(&file(&folder), ring(1, &[]), Settings::default()), Err(OpenFault::Damaged)));
}

#[tokio::test]
async fn one_damaged_secret_does_not_keep_the_others_from_a_new_key() {
    let folder = TempDir::new().unwrap();
    fill(&sqlite_in(&folder)).await;
    by_hand(&folder).execute("UPDATE totp SET sealed_secret = x'01'", []).unwrap();
    let store = open(&file(&folder), ring(2, &[1]), Settings::default()).unwrap();
    assert!(matches!(store.factors(subject("ana")).await, Err(StoreFault::Corrupt(_))));
    assert_eq!(store.id_token(SessionId::new([1; 16])).await.unwrap().unwrap().as_str(), "id-token-1");
}

/// Runs a statement on a filled database as an intruder or a failing disk would, and then asks.
async fn after_damage(statement: &str) -> (SqliteStore, TempDir) {
    let folder = TempDir::new().unwrap();
    let store = sqlite_in(&folder);
    fill(&store).await;
    store.enrol_totp(subject("ben"), totp(8, 1), vec![]).await.unwrap();
    let damaged = by_hand(&folder).execute(statement, []).unwrap();
    assert_eq!(damaged, 1, "{statement}");
    (store, folder)
}

#[tokio::test]
async fn a_sealed_secret_of_another_subject_is_refused() {
    let moved = "UPDATE totp SET sealed_secret = (SELECT sealed_secret FROM totp WHERE sub = 'ben') WHERE sub = 'ana'";
    let (store, _folder) = after_damage(moved).await;
    assert!(matches!(store.factors(subject("ana")).await, Err(StoreFault::Corrupt(_))));
    assert!(store.factors(subject("ben")).await.is_ok());
}

#[tokio::test]
async fn an_unreadable_session_is_corrupt_and_never_a_default() {
    for damage in [
        "assurance = '[{'",
        "assurance = '[{\"kind\":\"magic\",\"at\":1}]'",
        "identity = '{}'",
        "identity = replace(identity, 'ana', 'eva')",
        "sub = 'eva'",
        "created = -1",
        "authenticated = -1",
        "last_seen = -1",
        "ended = 5, end_reason = 'tired'",
        "ended = -5, end_reason = 'revoke'",
        "address = 'somewhere'",
    ] {
        let (store, _folder) = after_damage(&format!("UPDATE session SET {damage}")).await;
        let found = store.session_by_cookie(hash(1)).await;
        assert!(matches!(found, Err(StoreFault::Corrupt(_))), "{damage}: {found:?}");
    }
}

#[tokio::test]
async fn other_unreadable_values_are_corrupt_as_well() {
    let (store, _folder) = after_damage("UPDATE session SET sealed_id_token = x'02'").await;
    assert!(matches!(store.id_token(SessionId::new([1; 16])).await, Err(StoreFault::Corrupt(_))));
    let (store, _folder) = after_damage("UPDATE secret SET sealed_value = x''").await;
    assert!(matches!(store.secret("name", Zeroizing::new(vec![1])).await, Err(StoreFault::Corrupt(_))));
    let (store, _folder) = after_damage("UPDATE attempt SET failures = -1").await;
    assert!(matches!(store.begin_attempt(subject("ana"), at(1)).await, Err(StoreFault::Corrupt(_))));
    let (store, _folder) = after_damage("UPDATE totp SET last_step = -1 WHERE sub = 'ana'").await;
    assert!(matches!(store.factors(subject("ana")).await, Err(StoreFault::Corrupt(_))));
    let (store, _folder) = after_damage("UPDATE subject SET identity = ''").await;
    assert!(matches!(store.subject(subject("ana")).await, Err(StoreFault::Corrupt(_))));
    assert!(matches!(store.subjects().await, Err(StoreFault::Corrupt(_))));
}

#[tokio::test]
async fn a_certificate_whose_key_does_not_open_is_left_out_and_the_others_are_not() {
    let (store, folder) = after_damage("UPDATE issued_certificate SET sealed_key = x'01'").await;
    store.put_issued_certificate(issued("b.test", 45, at(100))).await.unwrap();
    assert_eq!(store.issued_certificates().await.unwrap(), [issued("b.test", 45, at(100))]);
    let moved = "UPDATE issued_certificate SET sealed_key = (SELECT sealed_key FROM issued_certificate WHERE host = 'b.test')";
    by_hand(&folder).execute(moved, []).unwrap();
    assert_eq!(store.issued_certificates().await.unwrap(), [issued("b.test", 45, at(100))], "a key of another host does not open");
    by_hand(&folder).execute("UPDATE acme_account SET sealed_account = x'01'", []).unwrap();
    assert!(matches!(store.acme_account("https://ca.test/dir".into()).await, Err(StoreFault::Corrupt(_))));
}

#[tokio::test]
async fn a_session_that_half_ended_cannot_be_written() {
    let folder = TempDir::new().unwrap();
    fill(&sqlite_in(&folder)).await;
    by_hand(&folder).execute("UPDATE session SET ended = 5", []).unwrap_err();
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let folder = TempDir::new().unwrap();
    fs::write(file(&folder), [b'x'; 4_096]).unwrap();
    assert!(matches!(open(&file(&folder), ring(1, &[]), Settings::default()), Err(OpenFault::Sql(_))));
    assert_eq!(fs::read(file(&folder)).unwrap(), [b'x'; 4_096], "and left as it was");
}

#[tokio::test]
async fn a_locked_database_is_reported_and_used_again_when_free() {
    let folder = TempDir::new().unwrap();
    let store = impatient(&folder);
    let other = by_hand(&folder);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(matches!(store.count_failure(subject("ana"), at(1)).await, Err(StoreFault::TimedOut(_))));
    assert!(matches!(store.check().await, Err(StoreFault::TimedOut(_))));
    assert_eq!(store.attempts(subject("ana")).await.unwrap().failures, 0, "reading goes on");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(store.count_failure(subject("ana"), at(1)).await.unwrap().failures, 1, "nothing was counted before");
}

#[tokio::test]
async fn a_full_disk_refuses_writes_until_there_is_room() {
    let folder = TempDir::new().unwrap();
    let store = sqlite_in(&folder);
    fill(&store).await;
    let room = |pages: &'static str| store.worker.run(Access::Read, move |work| Ok(work.sql.query_row(pages, [], |_| Ok(()))?));
    room("PRAGMA max_page_count = 1").await.unwrap();
    let codes: Vec<_> = (0..200).map(hash).collect();
    let refused = store.put_recovery_codes(subject("eva"), codes.clone()).await;
    assert!(matches!(&refused, Err(StoreFault::Refused(why)) if why.contains("full")), "{refused:?}");
    assert_filled(&store).await;
    assert_eq!(store.factors(subject("eva")).await.unwrap().recovery_codes_left, 0, "half of it is not kept");
    room("PRAGMA max_page_count = 100000").await.unwrap();
    store.put_recovery_codes(subject("eva"), codes).await.unwrap();
    assert_eq!(store.factors(subject("eva")).await.unwrap().recovery_codes_left, 200);
}

#[tokio::test]
async fn an_operation_given_up_on_in_the_queue_does_not_happen() {
    let folder = TempDir::new().unwrap();
    let store = Arc::new(impatient(&folder));
    let (release, busy) = occupy(&store);
    tokio::task::yield_now().await;
    assert!(matches!(store.count_failure(subject("ana"), at(1)).await, Err(StoreFault::TimedOut(_))));
    drop(release);
    busy.await.unwrap();
    assert_eq!(store.attempts(subject("ana")).await.unwrap().failures, 0);
}

#[tokio::test]
async fn an_operation_given_up_on_before_its_commit_does_not_happen() {
    let folder = TempDir::new().unwrap();
    let store = impatient(&folder);
    let (release, wait) = mpsc::channel::<()>();
    let slow = store.worker.run(Access::Write, move |work| {
        factors::count_failure(work, &subject("ana"), at(1))?;
        Ok(wait.recv().is_ok())
    });
    assert!(matches!(slow.await, Err(StoreFault::TimedOut(_))));
    drop(release);
    assert_eq!(store.attempts(subject("ana")).await.unwrap().failures, 0);
}

#[tokio::test]
async fn what_a_caller_asked_for_happens_though_it_has_left() {
    let folder = TempDir::new().unwrap();
    let store = sqlite_in(&folder);
    // With no time at all the operation is asked for and then dropped.
    drop(tokio::time::timeout(Duration::ZERO, store.count_failure(subject("ana"), at(1))).await);
    assert_eq!(store.attempts(subject("ana")).await.unwrap().failures, 1);
}

#[tokio::test]
async fn a_full_queue_refuses_instead_of_growing() {
    let folder = TempDir::new().unwrap();
    let store = Arc::new(sqlite_in(&folder));
    let (release, busy) = occupy(&store);
    let mut calls = JoinSet::new();
    for _ in 0..1_100 {
        let store = Arc::clone(&store);
        calls.spawn(async move { store.attempts(subject("ana")).await });
    }
    let first = calls.join_next().await.unwrap().unwrap();
    assert!(matches!(first, Err(StoreFault::Refused(_))), "{first:?}");
    drop(release);
    busy.await.unwrap();
    let answers = calls.join_all().await;
    assert!(answers.iter().filter(|answer| answer.is_ok()).count() >= 1_000, "those in the queue are answered");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn folder_and_files_are_the_owners_alone() {
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("a/state");
    let path = folder.join("portcullis.db");
    let store = open(&path, ring(1, &[]), Settings::default()).unwrap();
    fill(&store).await;
    assert_eq!(mode(&folder), 0o700);
    for name in ["portcullis.db", "portcullis.db-wal", "portcullis.db-shm"] {
        assert_eq!(mode(&folder.join(name)), 0o600, "{name}");
    }
    drop(store);
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    drop(open(&path, ring(1, &[]), Settings::default()).unwrap());
    assert_eq!(mode(&path), 0o600, "a file with wider rights is narrowed");
}

#[test]
fn a_folder_that_others_can_write_to_is_refused() {
    for mode in [0o770, 0o707, 0o1777] {
        let folder = TempDir::new().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
        assert!(matches!(open(&file(&folder), ring(1, &[]), Settings::default()), Err(OpenFault::Exposed(_))), "{mode:o}");
        assert!(!file(&folder).exists());
    }
}

#[test]
fn a_database_file_that_is_a_link_is_refused() {
    let (folder, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fs::write(elsewhere.path().join("target"), b"").unwrap();
    fs::set_permissions(elsewhere.path().join("target"), Permissions::from_mode(0o644)).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("target"), file(&folder)).unwrap();
    open(&file(&folder), ring(1, &[]), Settings::default()).unwrap_err();
    assert_eq!(fs::read(elsewhere.path().join("target")).unwrap(), b"");
    assert_eq!(mode(&elsewhere.path().join("target")), 0o644, "the link's target is not touched");
}

#[test]
fn a_path_without_a_file_name_is_refused() {
    assert!(matches!(open(Path::new("/"), ring(1, &[]), Settings::default()), Err(OpenFault::File { .. })));
}

#[tokio::test]
async fn the_database_syncs_every_commit_and_checks_references() {
    let folder = TempDir::new().unwrap();
    let store = sqlite_in(&folder);
    let pragma =
        |sql: &'static str| store.worker.run(Access::Read, move |work| Ok(work.sql.query_row(sql, [], |row| row.get::<_, u32>(0))?));
    assert_eq!(pragma("PRAGMA synchronous").await.unwrap(), 2);
    assert_eq!(pragma("PRAGMA foreign_keys").await.unwrap(), 1);
    assert_eq!(pragma("PRAGMA trusted_schema").await.unwrap(), 0);
    assert_eq!(pragma("PRAGMA secure_delete").await.unwrap(), 1);
    assert_eq!(pragma("PRAGMA busy_timeout").await.unwrap(), 4_000);
    let journal =
        store.worker.run(Access::Read, |work| Ok(work.sql.query_row("PRAGMA journal_mode", [], |row| row.get::<_, String>(0))?));
    assert_eq!(journal.await.unwrap(), "wal");
}

#[tokio::test]
async fn a_session_begun_as_ended_stays_ended() {
    let folder = TempDir::new().unwrap();
    let store = sqlite_in(&folder);
    let state = SessionState { ended: Some((EndReason::Replace, at(2))), ..SessionState::begin(at(1)) };
    let ended = Session { state, ..session(1, "ana") };
    store.begin_session(NewSession { session: ended.clone(), ..new_session(1, "ana") }).await.unwrap();
    assert_eq!(store.session(ended.id).await.unwrap(), Some(ended));
}
