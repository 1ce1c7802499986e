//! Factors, recovery codes and attempts.

use kernel::factor::lockout::{self, Allowance};
use kernel::identity::Subject;
use kernel::session::TokenHash;
use kernel::time::Timestamp;

use super::fault::Trouble;
use super::places;
use super::values::{count, read_count, read_time, time};
use super::worker::Work;
use crate::store::{Attempts, Factors, TotpFactor};

pub(super) fn of(work: &Work<'_>, subject: &Subject) -> Result<Factors, Trouble> {
    let recovery_codes_left = work
        .sql
        .prepare_cached("SELECT count(*) FROM recovery_code WHERE issuer = ?1 AND sub = ?2")?
        .query_row((&subject.issuer, &subject.sub), |row| row.get(0))?;
    Ok(Factors { totp: totp(work, subject)?, recovery_codes_left })
}

fn totp(work: &Work<'_>, subject: &Subject) -> Result<Option<TotpFactor>, Trouble> {
    let mut statement = work.sql.prepare_cached("SELECT * FROM totp WHERE issuer = ?1 AND sub = ?2")?;
    let mut rows = statement.query((&subject.issuer, &subject.sub))?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let sealed: Vec<u8> = row.get("sealed_secret")?;
    let secret = work.ring.open(places::totp(&[subject.issuer.as_bytes(), subject.sub.as_bytes()]), &sealed)?;
    Ok(Some(TotpFactor { secret, enrolled: read_time(row, "enrolled")?, last_step: read_count(row, "last_step")? }))
}

pub(super) fn enrol_totp(work: &Work<'_>, subject: &Subject, factor: &TotpFactor, codes: &[TokenHash]) -> Result<bool, Trouble> {
    let sealed = work.ring.seal(places::totp(&[subject.issuer.as_bytes(), subject.sub.as_bytes()]), &factor.secret)?;
    let mut statement = work.sql.prepare_cached(
        "INSERT INTO totp (issuer, sub, sealed_secret, enrolled, last_step) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (issuer, sub) DO NOTHING",
    )?;
    if statement.execute((&subject.issuer, &subject.sub, sealed, time(factor.enrolled), count(factor.last_step)))? == 0 {
        return Ok(false);
    }
    put_recovery_codes(work, subject, codes)?;
    Ok(true)
}

pub(super) fn accept_totp_step(work: &Work<'_>, subject: &Subject, step: u64) -> Result<bool, Trouble> {
    let mut statement = work.sql.prepare_cached("UPDATE totp SET last_step = ?3 WHERE issuer = ?1 AND sub = ?2 AND last_step < ?3")?;
    Ok(statement.execute((&subject.issuer, &subject.sub, count(step)))? == 1)
}

pub(super) fn put_recovery_codes(work: &Work<'_>, subject: &Subject, codes: &[TokenHash]) -> Result<(), Trouble> {
    work.sql.prepare_cached("DELETE FROM recovery_code WHERE issuer = ?1 AND sub = ?2")?.execute((&subject.issuer, &subject.sub))?;
    let mut statement = work.sql.prepare_cached("INSERT OR IGNORE INTO recovery_code (issuer, sub, hash) VALUES (?1, ?2, ?3)")?;
    for code in codes {
        statement.execute((&subject.issuer, &subject.sub, code.as_bytes()))?;
    }
    Ok(())
}

pub(super) fn use_recovery_code(work: &Work<'_>, subject: &Subject, code: TokenHash) -> Result<bool, Trouble> {
    let mut statement = work.sql.prepare_cached("DELETE FROM recovery_code WHERE issuer = ?1 AND sub = ?2 AND hash = ?3")?;
    Ok(statement.execute((&subject.issuer, &subject.sub, code.as_bytes()))? == 1)
}

pub(super) fn reset(work: &Work<'_>, subject: &Subject) -> Result<bool, Trouble> {
    let mut removed = 0;
    for sql in [
        "DELETE FROM totp WHERE issuer = ?1 AND sub = ?2",
        "DELETE FROM recovery_code WHERE issuer = ?1 AND sub = ?2",
        "DELETE FROM attempt WHERE issuer = ?1 AND sub = ?2",
    ] {
        removed += work.sql.prepare_cached(sql)?.execute((&subject.issuer, &subject.sub))?;
    }
    Ok(removed > 0)
}

pub(super) fn attempts(work: &Work<'_>, subject: &Subject) -> Result<Attempts, Trouble> {
    let mut statement = work.sql.prepare_cached("SELECT * FROM attempt WHERE issuer = ?1 AND sub = ?2")?;
    let mut rows = statement.query((&subject.issuer, &subject.sub))?;
    let Some(row) = rows.next()? else { return Ok(Attempts::default()) };
    Ok(Attempts { failures: row.get("failures")?, last_failure: Some(read_time(row, "last_failure")?) })
}

pub(super) fn begin_attempt(work: &Work<'_>, subject: &Subject, now: Timestamp) -> Result<Allowance, Trouble> {
    let so_far = attempts(work, subject)?;
    let allowance = lockout::state(so_far.failures, so_far.last_failure, now);
    match allowance {
        Allowance::Try => count_failure(work, subject, now).map(|_| allowance),
        Allowance::Wait(_) | Allowance::Stopped => Ok(allowance),
    }
}

pub(super) fn count_failure(work: &Work<'_>, subject: &Subject, now: Timestamp) -> Result<Attempts, Trouble> {
    work.sql
        .prepare_cached(
            "INSERT INTO attempt (issuer, sub, failures, last_failure) VALUES (?1, ?2, 1, ?3)
             ON CONFLICT (issuer, sub) DO UPDATE SET
                failures = min(failures + 1, 4294967295), last_failure = max(last_failure, excluded.last_failure)",
        )?
        .execute((&subject.issuer, &subject.sub, time(now)))?;
    attempts(work, subject)
}

pub(super) fn clear_failures(work: &Work<'_>, subject: &Subject) -> Result<(), Trouble> {
    work.sql.prepare_cached("DELETE FROM attempt WHERE issuer = ?1 AND sub = ?2")?.execute((&subject.issuer, &subject.sub))?;
    Ok(())
}
