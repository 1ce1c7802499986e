//! `hours` of an allow rule: days, times of day and a time zone.

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use kernel::policy::hours::{Days, Hours};

use super::keys;
use super::nearest::{did_you_mean, nearest};
use super::reader::{Fault, Value};

pub(super) fn hours(value: &Value<'_>) -> Option<Hours> {
    let table = value.table(keys::HOURS)?;
    let days = table.value("days").map_or_else(|| Some(Days::new(WEEK.map(|(_, day)| day))), |value| value.parsed(days));
    let from = table.need("from", |value| value.parsed(time));
    let until = table.need("to", |value| value.parsed(time));
    let zone = table.need("zone", |value| value.parsed(zone));
    let (from, until) = (from?, until?);
    if from == until {
        table.error("`from` and `to` are the same time", "leave `hours` out for the whole day, or write two times");
        return None;
    }
    Some(Hours { days: days?, from, until, zone: zone? })
}

/// `mon-fri`, `sat,sun`, `mon`; a span may go over the week's end.
fn days(text: &str) -> Result<Days, Fault> {
    let mut set = Vec::new();
    for part in text.split(',').map(str::trim) {
        match part.split_once('-') {
            None => set.push(day(part)?),
            Some((first, last)) => {
                let (mut current, last) = (day(first.trim())?, day(last.trim())?);
                set.push(current);
                while current != last {
                    current = current.next();
                    set.push(current);
                }
            }
        }
    }
    Ok(Days::new(set))
}

fn day(word: &str) -> Result<Weekday, Fault> {
    let known = WEEK.iter().find(|(name, _)| *name == word);
    known.map(|(_, day)| *day).ok_or_else(|| {
        let short = word.to_lowercase();
        let short = short.get(..3).filter(|short| WEEK.iter().any(|(name, _)| name == short));
        let mend = short.map_or("write days like \"mon-fri\" or \"sat,sun\"".to_owned(), |short| format!("did you mean `{short}`?"));
        Fault::new(format!("`{word}` is not a day"), mend)
    })
}

/// `06:00`, in 24 hours.
fn time(text: &str) -> Result<Time, Fault> {
    let fault =
        || Fault::new(format!("`{text}` is not a time of day"), "write hours and minutes in 24 hours: \"06:00\"; midnight is \"00:00\"");
    let (hour, minute) = text.split_once(':').ok_or_else(fault)?;
    let two = |digits: &str| if digits.len() == 2 { digits.parse::<i8>().ok() } else { None };
    let (Some(hour), Some(minute)) = (two(hour), two(minute)) else { return Err(fault()) };
    Time::new(hour, minute, 0, 0).map_err(|_| fault())
}

/// A zone by its IANA name, from the database in the binary: two machines read one configuration alike.
fn zone(text: &str) -> Result<TimeZone, Fault> {
    let fault = || {
        let names: Vec<String> = jiff::tz::db().available().map(|name| name.as_str().to_owned()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let same_city = names.iter().find(|name| name.rsplit('/').next() == Some(text)).copied();
        let mend = match same_city.or_else(|| nearest(text, &names)) {
            Some(name) => format!("did you mean `{name}`?"),
            None => did_you_mean(text, &["UTC", "Europe/Berlin", "America/New_York"]),
        };
        Fault::new(format!("`{text}` is not a time zone"), mend)
    };
    // Names are compared without regard to case elsewhere; one spelling is enough here.
    jiff::tz::TimeZoneDatabase::bundled().get(text).map_err(|_| fault())
}

const WEEK: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];
