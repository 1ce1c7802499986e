//! Sessions and the cookies that lead to them.

use kernel::identity::Identity;
use kernel::identity::assurance::{Assurance, FactorProof};
use kernel::request::client::ClientAddress;
use kernel::session::{EndReason, Session, SessionId, SessionState, TokenHash};
use kernel::time::Timestamp;
use rusqlite::{OptionalExtension, Row, ToSql};
use zeroize::Zeroizing;

use super::fault::Trouble;
use super::places;
use super::values::{json, read_hash, read_json, read_reason_if_any, read_session_id, read_time, read_time_if_any, reason, time};
use super::worker::Work;
use crate::store::{COOKIES_PER_HOST, NewSession, SessionFilter};

pub(super) fn begin(work: &Work<'_>, new: &NewSession) -> Result<(), Trouble> {
    let session = &new.session;
    let id = session.id.as_bytes();
    let sealed_id_token = new.id_token.as_ref().map(|token| work.ring.seal(places::id_token(&[id]), token.as_bytes())).transpose()?;
    let ended = session.state.ended.map(|(why, at)| Ok::<_, Trouble>((reason(why)?, time(at)))).transpose()?;
    work.sql
        .prepare_cached(
            "INSERT INTO session (id, issuer, sub, idp, identity, assurance, created, authenticated, last_seen,
                end_reason, ended, idp_session, lineage, address, user_agent, sealed_id_token)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
        )?
        .execute(rusqlite::params![
            id,
            session.identity.subject.issuer,
            session.identity.subject.sub,
            session.idp,
            json(&session.identity)?,
            json(&session.assurance)?,
            time(session.state.created),
            time(session.state.authenticated),
            time(session.state.last_seen),
            ended.as_ref().map(|(why, _)| why),
            ended.as_ref().map(|(_, at)| at),
            session.idp_session,
            session.lineage.as_bytes(),
            session.address.map(|address| address.to_string()),
            session.user_agent,
            sealed_id_token,
        ])?;
    add_cookie(work, session.id, new.cookie, new.host.as_str())
}

pub(super) fn bind_cookie(work: &Work<'_>, id: SessionId, cookie: TokenHash, host: &str) -> Result<bool, Trouble> {
    if !is_live(work, id)? {
        return Ok(false);
    }
    add_cookie(work, id, cookie, host)?;
    Ok(true)
}

fn add_cookie(work: &Work<'_>, id: SessionId, cookie: TokenHash, host: &str) -> Result<(), Trouble> {
    work.sql.prepare_cached("INSERT INTO cookie (hash, session, host) VALUES (?1, ?2, ?3)")?.execute((
        cookie.as_bytes(),
        id.as_bytes(),
        host,
    ))?;
    work.sql
        .prepare_cached(
            "DELETE FROM cookie WHERE session = ?1 AND host = ?2 AND number NOT IN
                (SELECT number FROM cookie WHERE session = ?1 AND host = ?2 ORDER BY number DESC LIMIT ?3)",
        )?
        .execute((id.as_bytes(), host, u32::try_from(COOKIES_PER_HOST).unwrap_or(u32::MAX)))?;
    Ok(())
}

pub(super) fn replace_cookie(work: &Work<'_>, old: TokenHash, new: TokenHash) -> Result<bool, Trouble> {
    let mut statement = work
        .sql
        .prepare_cached("UPDATE cookie SET hash = ?2 WHERE hash = ?1 AND session IN (SELECT id FROM session WHERE ended IS NULL)")?;
    Ok(statement.execute((old.as_bytes(), new.as_bytes()))? == 1)
}

pub(super) fn by_cookie(work: &Work<'_>, cookie: TokenHash) -> Result<Option<Session>, Trouble> {
    let sql = "SELECT session.* FROM cookie JOIN session ON session.id = cookie.session WHERE cookie.hash = ?1";
    Ok(query(work, sql, &[cookie.as_bytes()])?.into_iter().next())
}

pub(super) fn find(work: &Work<'_>, id: SessionId) -> Result<Option<Session>, Trouble> {
    Ok(query(work, "SELECT * FROM session WHERE id = ?1", &[id.as_bytes()])?.into_iter().next())
}

pub(super) fn list(work: &Work<'_>, subject: Option<&kernel::identity::Subject>) -> Result<Vec<Session>, Trouble> {
    match subject {
        None => query(work, "SELECT * FROM session WHERE ended IS NULL ORDER BY created DESC, id", &[]),
        Some(subject) => query(
            work,
            "SELECT * FROM session WHERE ended IS NULL AND issuer = ?1 AND sub = ?2 ORDER BY created DESC, id",
            &[&subject.issuer, &subject.sub],
        ),
    }
}

pub(super) fn id_token(work: &Work<'_>, id: SessionId) -> Result<Option<Zeroizing<String>>, Trouble> {
    let sealed: Option<Option<Vec<u8>>> = work
        .sql
        .prepare_cached("SELECT sealed_id_token FROM session WHERE id = ?1")?
        .query_row([id.as_bytes()], |row| row.get(0))
        .optional()?;
    let Some(sealed) = sealed.flatten() else { return Ok(None) };
    let plain = work.ring.open(places::id_token(&[id.as_bytes()]), &sealed)?;
    let text = std::str::from_utf8(&plain).map_err(|_| Trouble::column("sealed_id_token"))?;
    Ok(Some(Zeroizing::new(text.to_owned())))
}

pub(super) fn touch(work: &Work<'_>, seen: &[(SessionId, Timestamp)]) -> Result<(), Trouble> {
    let mut statement = work.sql.prepare_cached("UPDATE session SET last_seen = ?2 WHERE id = ?1 AND ended IS NULL AND last_seen < ?2")?;
    for (id, at) in seen {
        statement.execute((id.as_bytes(), time(*at)))?;
    }
    Ok(())
}

pub(super) fn reauthenticate(
    work: &Work<'_>,
    id: SessionId,
    identity: &Identity,
    idp_session: Option<&str>,
    now: Timestamp,
) -> Result<bool, Trouble> {
    let mut statement = work.sql.prepare_cached(
        "UPDATE session SET identity = ?4, idp_session = coalesce(?5, idp_session),
            authenticated = max(authenticated, ?6), last_seen = max(last_seen, ?6)
         WHERE id = ?1 AND issuer = ?2 AND sub = ?3 AND ended IS NULL",
    )?;
    let subject = &identity.subject;
    Ok(statement.execute((id.as_bytes(), &subject.issuer, &subject.sub, json(identity)?, idp_session, time(now)))? == 1)
}

pub(super) fn prove_factor(work: &Work<'_>, id: SessionId, proof: FactorProof) -> Result<bool, Trouble> {
    let mut statement = work.sql.prepare_cached("SELECT assurance FROM session WHERE id = ?1 AND ended IS NULL")?;
    let mut rows = statement.query([id.as_bytes()])?;
    let Some(row) = rows.next()? else { return Ok(false) };
    let assurance: Assurance = read_json(row, "assurance")?;
    work.sql.prepare_cached("UPDATE session SET assurance = ?2 WHERE id = ?1")?.execute((id.as_bytes(), json(&assurance.with(proof))?))?;
    Ok(true)
}

pub(super) fn end(work: &Work<'_>, filter: &SessionFilter, why: EndReason, now: Timestamp) -> Result<Vec<SessionId>, Trouble> {
    let (why, now) = (reason(why)?, time(now));
    match filter {
        SessionFilter::One(id) => end_where(work, "id = ?3", &[&why, &now, id.as_bytes()]),
        SessionFilter::OfSubject(subject) => end_where(work, "issuer = ?3 AND sub = ?4", &[&why, &now, &subject.issuer, &subject.sub]),
        SessionFilter::OfSubjectExcept(subject, id) => {
            let values: [&dyn ToSql; 5] = [&why, &now, &subject.issuer, &subject.sub, id.as_bytes()];
            end_where(work, "issuer = ?3 AND sub = ?4 AND id <> ?5", &values)
        }
        SessionFilter::OfIdpSession { issuer, idp_session } => {
            end_where(work, "issuer = ?3 AND idp_session = ?4", &[&why, &now, issuer, idp_session])
        }
        SessionFilter::All => end_where(work, "true", &[&why, &now]),
    }
}

/// Ends the live sessions that a condition of ours selects.
fn end_where(work: &Work<'_>, condition: &'static str, values: &[&dyn ToSql]) -> Result<Vec<SessionId>, Trouble> {
    let sql = format!("UPDATE session SET end_reason = ?1, ended = ?2 WHERE ended IS NULL AND {condition} RETURNING id");
    let mut statement = work.sql.prepare_cached(&sql)?;
    let mut rows = statement.query(values)?;
    let mut ended = Vec::new();
    while let Some(row) = rows.next()? {
        ended.push(read_session_id(row, "id")?);
    }
    Ok(ended)
}

/// Drops sessions that ended before a time, and with them their cookies.
pub(super) fn drop_ended_before(work: &Work<'_>, before: Timestamp) -> Result<(), Trouble> {
    work.sql.prepare_cached("DELETE FROM session WHERE ended < ?1")?.execute([time(before)])?;
    Ok(())
}

fn is_live(work: &Work<'_>, id: SessionId) -> Result<bool, Trouble> {
    Ok(work.sql.prepare_cached("SELECT 1 FROM session WHERE id = ?1 AND ended IS NULL")?.exists([id.as_bytes()])?)
}

fn query(work: &Work<'_>, sql: &str, values: &[&dyn ToSql]) -> Result<Vec<Session>, Trouble> {
    let mut statement = work.sql.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    let mut sessions = Vec::new();
    while let Some(row) = rows.next()? {
        sessions.push(read(row)?);
    }
    Ok(sessions)
}

fn read(row: &Row<'_>) -> Result<Session, Trouble> {
    let identity: Identity = read_json(row, "identity")?;
    if identity.subject.issuer != row.get::<_, String>("issuer")? || identity.subject.sub != row.get::<_, String>("sub")? {
        return Err(Trouble::column("identity"));
    }
    let ended = match (read_reason_if_any(row, "end_reason")?, read_time_if_any(row, "ended")?) {
        (Some(why), Some(at)) => Some((why, at)),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => return Err(Trouble::column("ended")),
    };
    let address = match row.get::<_, Option<String>>("address")? {
        None => None,
        Some(text) => Some(ClientAddress::new(text.parse().map_err(|_| Trouble::column("address"))?)),
    };
    Ok(Session {
        id: read_session_id(row, "id")?,
        idp: row.get("idp")?,
        identity,
        assurance: read_json(row, "assurance")?,
        state: SessionState {
            created: read_time(row, "created")?,
            authenticated: read_time(row, "authenticated")?,
            last_seen: read_time(row, "last_seen")?,
            ended,
        },
        idp_session: row.get("idp_session")?,
        lineage: read_hash(row, "lineage")?,
        address,
        user_agent: row.get("user_agent")?,
    })
}
