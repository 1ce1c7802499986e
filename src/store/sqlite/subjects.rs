//! Subjects: who was ever vouched for.

use kernel::identity::{Identity, Subject};
use kernel::time::Timestamp;
use rusqlite::Row;

use super::fault::Trouble;
use super::values::{json, read_json, read_time, time};
use super::worker::Work;
use crate::store::{Sight, SubjectRecord};

pub(super) fn see(work: &Work<'_>, identity: &Identity, now: Timestamp) -> Result<(SubjectRecord, Sight), Trouble> {
    let key = &identity.subject;
    let sight = if find(work, key)?.is_some() { Sight::Again } else { Sight::First };
    work.sql
        .prepare_cached(
            "INSERT INTO subject (issuer, sub, identity, email, first_seen, last_seen, locked) VALUES (?1, ?2, ?3, ?4, ?5, ?5, 0)
             ON CONFLICT (issuer, sub) DO UPDATE SET
                identity = excluded.identity, email = excluded.email, last_seen = max(last_seen, excluded.last_seen)",
        )?
        .execute((&key.issuer, &key.sub, json(identity)?, identity.email.as_ref().map(|email| email.as_str()), time(now)))?;
    let record = find(work, key)?.ok_or_else(|| Trouble::Unreadable("a subject that was just written".into()))?;
    Ok((record, sight))
}

pub(super) fn find(work: &Work<'_>, subject: &Subject) -> Result<Option<SubjectRecord>, Trouble> {
    let mut statement = work.sql.prepare_cached("SELECT * FROM subject WHERE issuer = ?1 AND sub = ?2")?;
    let mut rows = statement.query((&subject.issuer, &subject.sub))?;
    rows.next()?.map(read).transpose()
}

pub(super) fn list(work: &Work<'_>) -> Result<Vec<SubjectRecord>, Trouble> {
    let mut statement = work.sql.prepare_cached("SELECT * FROM subject ORDER BY email IS NULL, email, issuer, sub")?;
    let mut rows = statement.query([])?;
    let mut subjects = Vec::new();
    while let Some(row) = rows.next()? {
        subjects.push(read(row)?);
    }
    Ok(subjects)
}

pub(super) fn set_locked(work: &Work<'_>, subject: &Subject, locked: bool) -> Result<bool, Trouble> {
    let mut statement = work.sql.prepare_cached("UPDATE subject SET locked = ?3 WHERE issuer = ?1 AND sub = ?2")?;
    Ok(statement.execute((&subject.issuer, &subject.sub, locked))? == 1)
}

fn read(row: &Row<'_>) -> Result<SubjectRecord, Trouble> {
    let identity: Identity = read_json(row, "identity")?;
    // The key columns found the row; an identity of somebody else in it is not to be believed.
    if identity.subject.issuer != row.get::<_, String>("issuer")? || identity.subject.sub != row.get::<_, String>("sub")? {
        return Err(Trouble::column("identity"));
    }
    Ok(SubjectRecord {
        identity,
        first_seen: read_time(row, "first_seen")?,
        last_seen: read_time(row, "last_seen")?,
        locked: row.get("locked")?,
    })
}
