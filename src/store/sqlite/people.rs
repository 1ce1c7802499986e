//! Keys of people, and the removal of a person.

use std::path::Path;

use kernel::identity::Subject;
use rusqlite::{Connection, OpenFlags};

use super::fault::Trouble;
use super::places;
use super::worker::Work;
use crate::store::sealing::KeyRing;
use crate::store::{Erased, KnownPerson, PersonKey, StoreFault};

pub(super) fn key(work: &Work<'_>, person: &Subject, fresh: &PersonKey) -> Result<PersonKey, Trouble> {
    let (issuer, sub) = (&person.issuer, &person.sub);
    let place = [issuer.as_bytes(), sub.as_bytes()];
    let sealed = work.ring.seal(places::person_key(&place), &fresh.key)?;
    work.sql.prepare_cached("INSERT OR IGNORE INTO person_key (issuer, sub, pseudonym, sealed_key) VALUES (?1, ?2, ?3, ?4)")?.execute((
        issuer,
        sub,
        &fresh.pseudonym,
        sealed,
    ))?;
    let mut statement = work.sql.prepare_cached("SELECT pseudonym, sealed_key FROM person_key WHERE issuer = ?1 AND sub = ?2")?;
    let (pseudonym, kept): (String, Vec<u8>) = statement.query_row((issuer, sub), |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(PersonKey { pseudonym, key: work.ring.open(places::person_key(&place), &kept)? })
}

/// Removes every row about a person, and their key.
pub(super) fn erase(work: &Work<'_>, subject: Option<&Subject>, email: Option<&str>) -> Result<Erased, Trouble> {
    let mut erased = Erased::default();
    if let Some(Subject { issuer, sub }) = subject {
        let delete = |sql: &str| work.sql.prepare_cached(sql)?.execute((issuer, sub));
        // Cookies go with their sessions.
        erased.sessions = delete("DELETE FROM session WHERE issuer = ?1 AND sub = ?2")?;
        erased.factors = delete("DELETE FROM totp WHERE issuer = ?1 AND sub = ?2")?;
        erased.recovery_codes = delete("DELETE FROM recovery_code WHERE issuer = ?1 AND sub = ?2")?;
        delete("DELETE FROM attempt WHERE issuer = ?1 AND sub = ?2")?;
        erased.keys = delete("DELETE FROM person_key WHERE issuer = ?1 AND sub = ?2")?;
        erased.subjects = delete("DELETE FROM subject WHERE issuer = ?1 AND sub = ?2")?;
    }
    if let Some(email) = email {
        erased.invitations = work.sql.prepare_cached("DELETE FROM invite WHERE email = ?1")?.execute([email])?;
        erased.keys += work.sql.prepare_cached("DELETE FROM person_key WHERE issuer = '' AND sub = ?1")?.execute([email])?;
    }
    Ok(erased)
}

/// Drops the keys of people who are not known any more: one may have been made for a request that was under way while its person
/// was erased.
pub(super) fn drop_strays(work: &Work<'_>) -> Result<(), Trouble> {
    let sql = "DELETE FROM person_key WHERE issuer <> '' AND NOT EXISTS
               (SELECT 1 FROM subject WHERE subject.issuer = person_key.issuer AND subject.sub = person_key.sub)";
    work.sql.prepare_cached(sql)?.execute([])?;
    Ok(())
}

/// Everybody whose key is in the database, read beside a gateway that may be running. A database that was never opened by this
/// version has no keys.
pub fn known_people(path: &Path, ring: &KeyRing) -> Result<Vec<KnownPerson>, StoreFault> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    read_people(path, ring).map_err(|trouble| trouble.into_fault(std::time::Duration::ZERO))
}

fn read_people(path: &Path, ring: &KeyRing) -> Result<Vec<KnownPerson>, Trouble> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    if !connection.table_exists(None, "person_key")? {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare(
        "SELECT person_key.issuer, person_key.sub, pseudonym, sealed_key, email FROM person_key LEFT JOIN subject USING (issuer, sub)",
    )?;
    let mut rows = statement.query([])?;
    let mut people = Vec::new();
    while let Some(row) = rows.next()? {
        let subject = Subject { issuer: row.get(0)?, sub: row.get(1)? };
        let sealed: Vec<u8> = row.get(3)?;
        let key = ring.open(places::person_key(&[subject.issuer.as_bytes(), subject.sub.as_bytes()]), &sealed)?;
        let email: Option<String> = row.get(4)?;
        let email = email.or_else(|| subject.issuer.is_empty().then(|| subject.sub.clone()));
        people.push(KnownPerson { email, key: PersonKey { pseudonym: row.get(2)?, key }, subject });
    }
    Ok(people)
}
