//! What is good once or kept by name: invitations, replay memory, the gateway's own secrets.

use kernel::session::TokenHash;
use kernel::time::Timestamp;
use zeroize::Zeroizing;

use super::fault::Trouble;
use super::places;
use super::values::time;
use super::worker::Work;

pub(super) fn put_invite(work: &Work<'_>, invite: TokenHash, email: &str, expires: Timestamp) -> Result<(), Trouble> {
    work.sql.prepare_cached("INSERT OR REPLACE INTO invite (hash, email, expires) VALUES (?1, ?2, ?3)")?.execute((
        invite.as_bytes(),
        email,
        time(expires),
    ))?;
    Ok(())
}

pub(super) fn invite_is_good(work: &Work<'_>, invite: TokenHash, email: &str, now: Timestamp) -> Result<bool, Trouble> {
    let mut statement = work.sql.prepare_cached("SELECT 1 FROM invite WHERE hash = ?1 AND email = ?2 AND expires > ?3")?;
    Ok(statement.exists((invite.as_bytes(), email, time(now)))?)
}

pub(super) fn use_invite(work: &Work<'_>, invite: TokenHash, email: &str, now: Timestamp) -> Result<bool, Trouble> {
    let mut statement = work.sql.prepare_cached("DELETE FROM invite WHERE hash = ?1 AND email = ?2 AND expires > ?3")?;
    Ok(statement.execute((invite.as_bytes(), email, time(now)))? == 1)
}

pub(super) fn remember_once(work: &Work<'_>, id: TokenHash, until: Timestamp, now: Timestamp) -> Result<bool, Trouble> {
    let mut statement = work.sql.prepare_cached(
        "INSERT INTO seen_once (id, until) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET until = excluded.until WHERE until <= ?3",
    )?;
    Ok(statement.execute((id.as_bytes(), time(until), time(now)))? == 1)
}

pub(super) fn secret(work: &Work<'_>, name: &str, fresh: &[u8]) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    let place = [name.as_bytes()];
    let sealed = work.ring.seal(places::secret(&place), fresh)?;
    work.sql.prepare_cached("INSERT OR IGNORE INTO secret (name, sealed_value) VALUES (?1, ?2)")?.execute((name, sealed))?;
    let kept: Vec<u8> = work.sql.prepare_cached("SELECT sealed_value FROM secret WHERE name = ?1")?.query_row([name], |row| row.get(0))?;
    Ok(work.ring.open(places::secret(&place), &kept)?)
}

/// Drops invitations and replay memory whose time is over.
pub(super) fn drop_expired(work: &Work<'_>, now: Timestamp) -> Result<(), Trouble> {
    work.sql.prepare_cached("DELETE FROM invite WHERE expires <= ?1")?.execute([time(now)])?;
    work.sql.prepare_cached("DELETE FROM seen_once WHERE until <= ?1")?.execute([time(now)])?;
    Ok(())
}
