//! The kernel's types as column values and back. What does not read back is an error, never a default.

use kernel::session::{EndReason, SessionId, TokenHash};
use kernel::time::Timestamp;
use rusqlite::Row;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::fault::Trouble;

/// Microseconds. The last of them lie in the year 294 000.
pub(super) fn time(at: Timestamp) -> i64 {
    count(at.as_micros())
}

pub(super) fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn read_count(row: &Row<'_>, column: &'static str) -> Result<u64, Trouble> {
    u64::try_from(row.get::<_, i64>(column)?).map_err(|_| Trouble::column(column))
}

pub(super) fn read_time(row: &Row<'_>, column: &'static str) -> Result<Timestamp, Trouble> {
    read_count(row, column).map(Timestamp::from_micros)
}

pub(super) fn read_time_if_any(row: &Row<'_>, column: &'static str) -> Result<Option<Timestamp>, Trouble> {
    match row.get::<_, Option<i64>>(column)? {
        None => Ok(None),
        Some(_) => read_time(row, column).map(Some),
    }
}

pub(super) fn read_session_id(row: &Row<'_>, column: &'static str) -> Result<SessionId, Trouble> {
    Ok(SessionId::new(row.get(column)?))
}

pub(super) fn read_hash(row: &Row<'_>, column: &'static str) -> Result<TokenHash, Trouble> {
    Ok(TokenHash::from_bytes(row.get(column)?))
}

pub(super) fn json<T: Serialize>(value: &T) -> Result<String, Trouble> {
    serde_json::to_string(value).map_err(|error| Trouble::Unreadable(error.to_string()))
}

pub(super) fn read_json<T: DeserializeOwned>(row: &Row<'_>, column: &'static str) -> Result<T, Trouble> {
    let text: String = row.get(column)?;
    // The error's own text may quote a person's data; the column's name is enough to find it.
    serde_json::from_str(&text).map_err(|_| Trouble::column(column))
}

/// End reasons stand in the database as in records, without quotes, so that an operator can query them.
pub(super) fn reason(reason: EndReason) -> Result<String, Trouble> {
    json(&reason).map(|text| text.trim_matches('"').to_owned())
}

pub(super) fn read_reason_if_any(row: &Row<'_>, column: &'static str) -> Result<Option<EndReason>, Trouble> {
    let Some(text) = row.get::<_, Option<String>>(column)? else { return Ok(None) };
    serde_json::from_value(serde_json::Value::String(text)).map(Some).map_err(|_| Trouble::column(column))
}
