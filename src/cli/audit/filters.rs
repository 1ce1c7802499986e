//! The conditions of `audit search|tail|export`, the same for all of them.

use std::time::Duration;

use clap::Args;
use kernel::policy::Reason;
use kernel::time::Timestamp;

use crate::audit::pseudonym::{KeyBook, is_pseudonym};
use crate::audit::search::filter::{Filter, ID_LETTERS};
use crate::config::values::parse_duration;

/// Different conditions must all hold; of one that is given several times, one must.
#[derive(Clone, Debug, Default, Args)]
pub struct FilterArgs {
    /// Records of a person: e-mail address, subject or pseudonym.
    #[arg(long, value_name = "EMAIL")]
    pub user: Vec<String>,
    /// Records of a route.
    #[arg(long, value_name = "ROUTE")]
    pub route: Vec<String>,
    #[arg(long, value_name = "DECISION", value_parser = ["allow", "challenge", "deny", "fail"])]
    pub decision: Vec<String>,
    /// Records with a reason code.
    #[arg(long, value_name = "CODE", value_parser = reason)]
    pub reason: Vec<String>,
    /// Records of an event: decision, exchange_end, sign_in, …
    #[arg(long, value_name = "EVENT")]
    pub event: Vec<String>,
    /// Records of a request: its id, or the first 8 letters of it.
    #[arg(long, value_name = "ID", value_parser = request_id)]
    pub request_id: Vec<String>,
    /// From this time on: 2026-11-25T08:00:00Z, 2026-11-25 (UTC), or a time ago: 90m, 24h, 7d.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<Moment>,
    /// Before this time.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<Moment>,
}

/// A point in time as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    At(Timestamp),
    Ago(Duration),
}

/// Whether the record of a reading may name people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    Plain,
    Sealed,
}

impl FilterArgs {
    /// The filter, at this moment. A person is looked for by every name that records may have for them.
    pub fn filter(&self, now: Timestamp, keys: &KeyBook) -> Filter {
        let at = |moment: &Moment| match moment {
            Moment::At(time) => time.as_millis(),
            Moment::Ago(span) => now.minus(*span).as_millis(),
        };
        let people = self.user.iter().flat_map(|user| std::iter::once(user.clone()).chain(keys.pseudonyms(user))).collect();
        Filter {
            people,
            routes: self.route.clone(),
            decisions: self.decision.clone(),
            reasons: self.reason.clone(),
            events: self.event.clone(),
            request_ids: self.request_id.clone(),
            from: self.since.as_ref().map(at),
            until: self.until.as_ref().map(at),
        }
    }

    /// The conditions in words, for the record of the reading. Where records seal people, nobody is named here either: not
    /// even somebody of whom nothing is known, who is a person all the same.
    pub fn said(&self, now: Timestamp, keys: &KeyBook, names: Names) -> String {
        let mut words = Vec::new();
        for user in &self.user {
            let mut pseudonyms = keys.pseudonyms(user);
            pseudonyms.sort();
            let named = match names {
                _ if !pseudonyms.is_empty() => pseudonyms,
                Names::Sealed if !is_pseudonym(user) => vec!["(somebody unknown)".to_owned()],
                Names::Sealed | Names::Plain => vec![user.clone()],
            };
            words.extend(named.into_iter().map(|name| format!("--user {name}")));
        }
        let lists = [
            ("route", &self.route),
            ("decision", &self.decision),
            ("reason", &self.reason),
            ("event", &self.event),
            ("request-id", &self.request_id),
        ];
        for (name, values) in lists {
            words.extend(values.iter().map(|value| format!("--{name} {value}")));
        }
        let filter = self.filter(now, keys);
        for (name, time) in [("since", filter.from), ("until", filter.until)] {
            words.extend(time.map(|time| format!("--{name} {}", Timestamp::from_micros(time.saturating_mul(1_000)))));
        }
        words.join(" ")
    }
}

fn reason(text: &str) -> Result<String, String> {
    match Reason::parse(text) {
        Some(reason) => Ok(reason.code().to_owned()),
        None => Err("this is not a reason code; docs/siem.md lists them".to_owned()),
    }
}

fn request_id(text: &str) -> Result<String, String> {
    let is_id = text.len() >= ID_LETTERS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id { Ok(text.to_ascii_lowercase()) } else { Err(format!("a request id is hex, at least its first {ID_LETTERS} letters")) }
}

fn moment(text: &str) -> Result<Moment, String> {
    if let Some(span) = parse_duration(text) {
        return Ok(Moment::Ago(span));
    }
    let at = |time: jiff::Timestamp| u64::try_from(time.as_microsecond()).ok().map(|micros| Moment::At(Timestamp::from_micros(micros)));
    let day = || {
        // A date and a time without a zone would be read as a date.
        let date: jiff::civil::Date = (text.len() == 10).then(|| text.parse().ok())??;
        jiff::tz::TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()
    };
    let time = text.parse::<jiff::Timestamp>().ok().or_else(day);
    time.and_then(at).ok_or_else(|| "write 2026-11-25T08:00:00Z, 2026-11-25, or a time ago as in 90m, 24h or 7d".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn the_record_of_a_reading_names_nobody_where_records_are_sealed() {
        let filters = FilterArgs { user: vec!["ana@example.com".to_owned(), "pseudonym#00ff".to_owned()], ..FilterArgs::default() };
        let said = |names| filters.said(Timestamp::from_seconds(0), &KeyBook::default(), names);
        assert_eq!(said(Names::Plain), "--user ana@example.com --user pseudonym#00ff");
        assert_eq!(said(Names::Sealed), "--user (somebody unknown) --user pseudonym#00ff");
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        let at = |text: &str| match moment(text).unwrap() {
            Moment::At(time) => time.to_string(),
            Moment::Ago(span) => format!("{span:?} ago"),
        };
        assert_eq!(at("2026-11-25T08:00:00Z"), "2026-11-25T08:00:00.000000Z");
        assert_eq!(at("2026-11-25T08:00:00+01:00"), "2026-11-25T07:00:00.000000Z");
        assert_eq!(at("2026-11-25"), "2026-11-25T00:00:00.000000Z");
        assert_eq!(at("90m"), "5400s ago");
        for text in ["", "yesterday", "25.11.2026", "1969-01-01", "2026-11-25T08:00:00"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_misspelt_code_and_a_short_id_are_told() {
        assert_eq!(reason("no_rule").unwrap(), "no_rule");
        assert!(reason("no-rule").is_err());
        assert_eq!(request_id("4FA0A904").unwrap(), "4fa0a904");
        assert!(request_id("4fa0a90").is_err() && request_id("not hex at all").is_err());
    }
}
