//! A table of records, for people and their spreadsheets.
//!
//! What begins with a character that a spreadsheet takes for a formula gets an apostrophe before it, and text that could act on
//! a terminal is escaped, so that every record is one line. The last column is the line of the log as it is: it begins with a
//! brace, which is no formula, and is what the proof is about.

use std::io::{self, Write};

use serde_json::Value;

use crate::audit::text::printable;

/// Column and where its value stands.
const COLUMNS: [(&str, &[&str]); 17] = [
    ("time", &["/time"]),
    ("class", &["/class_uid"]),
    ("event", &["/unmapped/portcullis/event"]),
    ("decision", &["/unmapped/portcullis/decision"]),
    ("reason", &["/unmapped/portcullis/reason"]),
    ("user", &["/actor/user/email_addr", "/user/email_addr", "/user/name"]),
    ("subject", &["/actor/user/uid", "/user/uid"]),
    ("address", &["/src_endpoint/ip"]),
    ("method", &["/http_request/http_method"]),
    ("authority", &["/unmapped/portcullis/authority", "/http_request/url/hostname"]),
    ("target", &["/unmapped/portcullis/target", "/unmapped/portcullis/raw_target"]),
    ("status", &["/http_response/code"]),
    ("route", &["/unmapped/portcullis/route"]),
    ("rule", &["/unmapped/portcullis/rule"]),
    ("factor", &["/unmapped/portcullis/factor"]),
    ("request_id", &["/unmapped/portcullis/request_id"]),
    ("user_agent", &["/http_request/user_agent"]),
];

pub fn header(out: &mut dyn Write) -> io::Result<()> {
    write!(out, "sequence")?;
    COLUMNS.iter().try_for_each(|(name, _)| write!(out, ",{name}"))?;
    out.write_all(b",record\r\n")
}

/// One record. `revealed` is the record with names, where they could be put back.
pub fn row(out: &mut dyn Write, sequence: u64, line: &str, revealed: Option<&Value>) -> io::Result<()> {
    let parsed;
    let record = match revealed {
        Some(record) => record,
        None => {
            parsed = serde_json::from_str(line).unwrap_or_default();
            &parsed
        }
    };
    write!(out, "{sequence}")?;
    for (name, places) in COLUMNS {
        let value = places.iter().find_map(|place| record.pointer(place));
        let text = match value {
            Some(Value::Number(time)) if name == "time" => {
                kernel::time::Timestamp::from_micros(time.as_u64().unwrap_or_default().saturating_mul(1_000)).to_string()
            }
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        };
        write!(out, ",{}", quoted(&harmless(&printable(&text))))?;
    }
    write!(out, ",{}\r\n", quoted(line))
}

/// With an apostrophe before what a spreadsheet would calculate (OWASP, CSV Injection).
fn harmless(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠']) { format!("'{text}") } else { text.to_owned() }
}

fn quoted(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r', '\'', ';']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}
