//! Opening a database: its file, its form and its keys, before anything is asked of it.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};
use rustix::fs::OFlags;
use thiserror::Error;
use tracing::{info, warn};

use super::migrate::migrate;
use super::worker::Open;
use super::{SqliteStore, places};
use crate::store::sealing::{KeyRing, SealFault};

/// How the store behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long one operation may take. A locked database is waited for a little shorter.
    pub deadline: Duration,
}

/// Why a database was not opened. It was left as it was.
#[derive(Debug, Error)]
pub enum OpenFault {
    #[error("cannot prepare the database file {path}: {error}")]
    File { path: PathBuf, error: io::Error },
    #[error("the folder {0} can be written by other users: take that right away (chmod go-w)")]
    Exposed(PathBuf),
    #[error("the database was written by a newer version: it has {found} steps, this version knows {known}")]
    Newer { found: usize, known: usize },
    #[error("step {step} of the database differs from this version's: it was written by an altered program")]
    Altered { step: u32 },
    #[error("the master key does not open this database: give back the key that it was sealed with, as one of the ring")]
    WrongKey,
    #[error("the proof that the master key fits is damaged: restore the database from a backup")]
    Damaged,
    #[error("cannot open the database: {0}")]
    Sql(#[from] rusqlite::Error),
    #[error("cannot seal: {0}")]
    Seal(SealFault),
}

impl Default for Settings {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(5) }
    }
}

/// Opens the database, or makes it, with a folder and a file that only this user can read. Values sealed under a previous
/// key of the ring are sealed anew under the current one, so that the previous one may go after one start.
pub fn open(path: &Path, ring: KeyRing, settings: Settings) -> Result<SqliteStore, OpenFault> {
    let path = prepare_file(path)?;
    let mut connection = Connection::open_with_flags(
        &path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW,
    )?;
    configure(&connection, settings.deadline)?;
    migrate(&mut connection)?;
    check_keys(&mut connection, &ring)?;
    let opened = Open::new(connection, path.clone()).and_then(|open| SqliteStore::start(open, ring, settings.deadline));
    opened.map_err(|error| OpenFault::File { path, error })
}

/// Makes the folder and the file where they are missing. SQLite gives its side files the rights of the database's.
fn prepare_file(path: &Path) -> Result<PathBuf, OpenFault> {
    let fault = |error| OpenFault::File { path: path.to_owned(), error };
    let name = path.file_name().ok_or_else(|| fault(io::Error::from(io::ErrorKind::IsADirectory)))?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(fault)?;
    let folder = folder.canonicalize().map_err(fault)?;
    if fs::metadata(&folder).map_err(fault)?.permissions().mode() & 0o022 != 0 {
        return Err(OpenFault::Exposed(folder));
    }
    let file = folder.join(name);
    // A link is not followed: it could make another file of this user's into the database.
    let no_follow = OFlags::NOFOLLOW.bits().cast_signed();
    let handle = OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(no_follow).open(&file).map_err(fault)?;
    handle.set_permissions(Permissions::from_mode(0o600)).map_err(fault)?;
    Ok(file)
}

fn configure(connection: &Connection, deadline: Duration) -> Result<(), rusqlite::Error> {
    // Shorter than the caller's deadline, so that a locked database is reported as such and the queue moves on.
    connection.busy_timeout(deadline.mul_f32(0.8))?;
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    // FULL syncs the log at every commit: what was answered survives a power loss.
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", "on")?;
    // What is sorted goes to no file in a folder of everybody's.
    connection.pragma_update(None, "temp_store", "memory")?;
    // A damaged or prepared database file must not run functions or write to its own schema.
    connection.pragma_update(None, "trusted_schema", "off")?;
    connection.pragma_update(None, "secure_delete", "on")
}

/// Proves that the ring fits by a value sealed at the first opening, and moves everything to the current key.
fn check_keys(connection: &mut Connection, ring: &KeyRing) -> Result<(), OpenFault> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let canary: Option<Vec<u8>> = transaction.query_row("SELECT value FROM meta WHERE name = 'canary'", [], |row| row.get(0)).optional()?;
    match &canary {
        None => keep_canary(&transaction, ring)?,
        Some(sealed) => match ring.open(places::canary(), sealed) {
            Ok(_) if ring.is_current(sealed) => {}
            Ok(_) => {
                keep_canary(&transaction, ring)?;
                reseal(&transaction, ring)?;
            }
            Err(SealFault::UnknownKey) => return Err(OpenFault::WrongKey),
            Err(SealFault::Malformed | SealFault::Altered) => return Err(OpenFault::Damaged),
            Err(fault @ SealFault::Cipher) => return Err(OpenFault::Seal(fault)),
        },
    }
    Ok(transaction.commit()?)
}

fn keep_canary(transaction: &Transaction<'_>, ring: &KeyRing) -> Result<(), OpenFault> {
    let sealed = ring.seal(places::canary(), b"the master key fits").map_err(OpenFault::Seal)?;
    transaction.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('canary', ?1)", [sealed])?;
    Ok(())
}

/// Seals under the current key what is sealed under another. A value that does not open stays as it is: it is reported when
/// it is asked for, and one damaged row keeps nobody else out.
fn reseal(transaction: &Transaction<'_>, ring: &KeyRing) -> Result<(), OpenFault> {
    let mut moved = 0_u64;
    moved += reseal_rows(transaction, "SELECT issuer, sub, sealed_secret FROM totp", |row| {
        let (issuer, sub): (String, String) = (row.get(0)?, row.get(1)?);
        let sealed = resealed(ring, places::totp(&[issuer.as_bytes(), sub.as_bytes()]), &row.get::<_, Vec<u8>>(2)?)?;
        Ok((sealed, "UPDATE totp SET sealed_secret = ?1 WHERE issuer = ?2 AND sub = ?3", vec![issuer.into(), sub.into()]))
    })?;
    moved += reseal_rows(transaction, "SELECT id, sealed_id_token FROM session WHERE sealed_id_token IS NOT NULL", |row| {
        let id: Vec<u8> = row.get(0)?;
        let sealed = resealed(ring, places::id_token(&[&id]), &row.get::<_, Vec<u8>>(1)?)?;
        Ok((sealed, "UPDATE session SET sealed_id_token = ?1 WHERE id = ?2", vec![id.into()]))
    })?;
    moved += reseal_rows(transaction, "SELECT name, sealed_value FROM secret", |row| {
        let name: String = row.get(0)?;
        let sealed = resealed(ring, places::secret(&[name.as_bytes()]), &row.get::<_, Vec<u8>>(1)?)?;
        Ok((sealed, "UPDATE secret SET sealed_value = ?1 WHERE name = ?2", vec![name.into()]))
    })?;
    moved += reseal_rows(transaction, "SELECT issuer, sub, sealed_key FROM person_key", |row| {
        let (issuer, sub): (String, String) = (row.get(0)?, row.get(1)?);
        let sealed = resealed(ring, places::person_key(&[issuer.as_bytes(), sub.as_bytes()]), &row.get::<_, Vec<u8>>(2)?)?;
        Ok((sealed, "UPDATE person_key SET sealed_key = ?1 WHERE issuer = ?2 AND sub = ?3", vec![issuer.into(), sub.into()]))
    })?;
    moved += reseal_rows(transaction, "SELECT directory, sealed_account FROM acme_account", |row| {
        let directory: String = row.get(0)?;
        let sealed = resealed(ring, places::acme_account(&[directory.as_bytes()]), &row.get::<_, Vec<u8>>(1)?)?;
        Ok((sealed, "UPDATE acme_account SET sealed_account = ?1 WHERE directory = ?2", vec![directory.into()]))
    })?;
    moved += reseal_rows(transaction, "SELECT host, sealed_key FROM issued_certificate", |row| {
        let host: String = row.get(0)?;
        let sealed = resealed(ring, places::issued_certificate(&[host.as_bytes()]), &row.get::<_, Vec<u8>>(1)?)?;
        Ok((sealed, "UPDATE issued_certificate SET sealed_key = ?1 WHERE host = ?2", vec![host.into()]))
    })?;
    info!(store.values = moved, "sealed the store's secrets under the new master key");
    Ok(())
}

/// A value sealed anew, and the statement that keeps it.
type Resealed = (Vec<u8>, &'static str, Vec<rusqlite::types::Value>);

fn reseal_rows(
    transaction: &Transaction<'_>,
    select: &str,
    reseal_row: impl Fn(&rusqlite::Row<'_>) -> Result<Resealed, super::fault::Trouble>,
) -> Result<u64, OpenFault> {
    let mut updates = Vec::new();
    let mut statement = transaction.prepare(select)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        match reseal_row(row) {
            Ok(update) => updates.push(update),
            Err(error) => warn!(store.error = %error, "a sealed value does not open and stays under its old key"),
        }
    }
    let mut moved = 0;
    for (sealed, update, key) in updates {
        let values = std::iter::once(sealed.into()).chain(key);
        transaction.execute(update, rusqlite::params_from_iter(values))?;
        moved += 1;
    }
    Ok(moved)
}

fn resealed(ring: &KeyRing, place: crate::store::sealing::Place<'_>, sealed: &[u8]) -> Result<Vec<u8>, SealFault> {
    let plain = ring.open(place, sealed)?;
    ring.seal(place, &plain)
}
