//! Brings a database to the present form, step by step. Steps that were once released never change: their checksums are kept
//! in the database and compared.

use aws_lc_rs::digest::{SHA256, digest};
use rusqlite::{Connection, TransactionBehavior};

use super::open::OpenFault;

/// Applies the steps that the database has not seen, all of them or none.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), OpenFault> {
    apply(connection, STEPS)
}

fn apply(connection: &mut Connection, steps: &[&str]) -> Result<(), OpenFault> {
    // The write lock comes first: of two processes that start at once, one migrates and the other finds it done.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS schema_step (number INTEGER PRIMARY KEY, checksum BLOB NOT NULL CHECK (length(checksum) = 32)) STRICT",
    )?;
    let known: Vec<(u32, Vec<u8>)> = transaction
        .prepare("SELECT number, checksum FROM schema_step ORDER BY number")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    if known.len() > steps.len() {
        return Err(OpenFault::Newer { found: known.len(), known: steps.len() });
    }
    for (number, (index, step)) in (1..).zip(steps.iter().enumerate()) {
        let checksum = digest(&SHA256, step.as_bytes()).as_ref().to_vec();
        match known.get(index) {
            Some((applied, kept)) if *applied == number && *kept == checksum => {}
            Some(_) => return Err(OpenFault::Altered { step: number }),
            None => {
                transaction.execute_batch(step)?;
                transaction.execute("INSERT INTO schema_step (number, checksum) VALUES (?1, ?2)", (number, checksum))?;
            }
        }
    }
    Ok(transaction.commit()?)
}

/// How many steps there are: the number of the present form.
pub const SCHEMA_STEPS: usize = STEPS.len();

const STEPS: &[&str] = &[
    include_str!("0001_first.sql"),
    include_str!("0002_person_key.sql"),
    include_str!("0003_certificate.sql"),
    include_str!("0004_acme_attempt.sql"),
];

#[cfg(test)]
#[path = "migrate_tests.rs"]
mod tests;
