//! Certificates that authorities issued to the gateway, and its accounts there.

use kernel::time::Timestamp;
use rusqlite::OptionalExtension;
use tracing::error;
use zeroize::Zeroizing;

use super::fault::Trouble;
use super::places;
use super::values::{read_time, time};
use super::worker::Work;
use crate::store::{AcmeAttempt, IssuedCertificate};

pub(super) fn account(work: &Work<'_>, directory: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Trouble> {
    let mut statement = work.sql.prepare_cached("SELECT sealed_account FROM acme_account WHERE directory = ?1")?;
    let sealed: Option<Vec<u8>> = statement.query_row([directory], |row| row.get(0)).optional()?;
    let open = |sealed: Vec<u8>| work.ring.open(places::acme_account(&[directory.as_bytes()]), &sealed);
    Ok(sealed.map(open).transpose()?)
}

pub(super) fn put_account(work: &Work<'_>, directory: &str, account: &[u8]) -> Result<(), Trouble> {
    let sealed = work.ring.seal(places::acme_account(&[directory.as_bytes()]), account)?;
    work.sql
        .prepare_cached("INSERT OR REPLACE INTO acme_account (directory, sealed_account) VALUES (?1, ?2)")?
        .execute((directory, sealed))?;
    Ok(())
}

pub(super) fn drop_account(work: &Work<'_>, directory: &str) -> Result<(), Trouble> {
    work.sql.prepare_cached("DELETE FROM acme_account WHERE directory = ?1")?.execute([directory])?;
    Ok(())
}

pub(super) fn issued(work: &Work<'_>) -> Result<Vec<IssuedCertificate>, Trouble> {
    let mut statement = work.sql.prepare_cached("SELECT * FROM issued_certificate ORDER BY host")?;
    let mut rows = statement.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let host: String = row.get("host")?;
        let sealed: Vec<u8> = row.get("sealed_key")?;
        match work.ring.open(places::issued_certificate(&[host.as_bytes()]), &sealed) {
            Ok(key) => all.push(IssuedCertificate {
                directory: row.get("directory")?,
                chain: row.get("chain")?,
                key,
                not_after: read_time(row, "not_after")?,
                host,
            }),
            Err(fault) => error!(tls.host = host, error = %fault, "the key of a certificate does not open; another will be asked for"),
        }
    }
    Ok(all)
}

pub(super) fn put_issued(work: &Work<'_>, certificate: &IssuedCertificate) -> Result<(), Trouble> {
    let IssuedCertificate { host, directory, chain, key, not_after } = certificate;
    let sealed = work.ring.seal(places::issued_certificate(&[host.as_bytes()]), key)?;
    work.sql
        .prepare_cached(
            "INSERT OR REPLACE INTO issued_certificate (host, directory, chain, sealed_key, not_after) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute((host, directory, chain, sealed, time(*not_after)))?;
    Ok(())
}

pub(super) fn attempts(work: &Work<'_>) -> Result<Vec<AcmeAttempt>, Trouble> {
    let mut statement = work.sql.prepare_cached("SELECT * FROM acme_attempt ORDER BY host")?;
    let mut rows = statement.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let next_try = read_time(row, "next_try")?;
        all.push(AcmeAttempt { host: row.get("host")?, failures: row.get("failures")?, reason: row.get("reason")?, next_try });
    }
    Ok(all)
}

pub(super) fn put_attempt(work: &Work<'_>, attempt: &AcmeAttempt) -> Result<(), Trouble> {
    let AcmeAttempt { host, failures, reason, next_try } = attempt;
    if *failures == 0 {
        work.sql.prepare_cached("DELETE FROM acme_attempt WHERE host = ?1")?.execute([host])?;
        return Ok(());
    }
    work.sql
        .prepare_cached("INSERT OR REPLACE INTO acme_attempt (host, failures, reason, next_try) VALUES (?1, ?2, ?3, ?4)")?
        .execute((host, failures, reason, time(*next_try)))?;
    Ok(())
}

pub(super) fn drop_expired(work: &Work<'_>, now: Timestamp) -> Result<(), Trouble> {
    work.sql.prepare_cached("DELETE FROM issued_certificate WHERE not_after <= ?1")?.execute([time(now)])?;
    Ok(())
}
