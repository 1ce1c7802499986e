//! Migrations: steps are applied once and in order, and a database that differs is left alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use super::*;

const ONE: &str = "CREATE TABLE one (a INTEGER) STRICT;";
const TWO: &str = "CREATE TABLE two (a INTEGER) STRICT; INSERT INTO two VALUES (2);";

fn tables(connection: &Connection) -> Vec<String> {
    let mut statement = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn steps_are_applied_once_and_in_order() {
    let mut connection = Connection::open_in_memory().unwrap();
    apply(&mut connection, &[ONE]).unwrap();
    for _ in 0..2 {
        apply(&mut connection, &[ONE, TWO]).unwrap();
        assert_eq!(tables(&connection), ["one", "schema_step", "two"]);
    }
    let rows: u32 = connection.query_row("SELECT count(*) FROM two", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 1);
}

#[test]
fn a_database_of_a_newer_version_is_refused() {
    let mut connection = Connection::open_in_memory().unwrap();
    apply(&mut connection, &[ONE, TWO]).unwrap();
    assert!(matches!(apply(&mut connection, &[ONE]), Err(OpenFault::Newer { found: 2, known: 1 })));
}

#[test]
fn an_altered_step_is_refused() {
    let mut connection = Connection::open_in_memory().unwrap();
    apply(&mut connection, &[ONE, TWO]).unwrap();
    let altered = "CREATE TABLE two (b INTEGER) STRICT;";
    assert!(matches!(apply(&mut connection, &[ONE, altered]), Err(OpenFault::Altered { step: 2 })));
}

#[test]
fn a_gap_in_the_steps_is_refused() {
    let mut connection = Connection::open_in_memory().unwrap();
    apply(&mut connection, &[ONE, TWO]).unwrap();
    connection.execute("DELETE FROM schema_step WHERE number = 1", []).unwrap();
    assert!(matches!(apply(&mut connection, &[ONE, TWO]), Err(OpenFault::Altered { step: 1 })));
}

#[test]
fn a_failing_step_leaves_nothing_behind() {
    let mut connection = Connection::open_in_memory().unwrap();
    apply(&mut connection, &[ONE, "CREATE TABLE one (a INTEGER) STRICT;"]).unwrap_err();
    assert!(tables(&connection).is_empty());
}
