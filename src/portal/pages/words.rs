//! Values in words: the parts of a sentence that are computed.

use ipnet::IpNet;
use jiff::civil::Weekday;
use kernel::identity::assurance::{Requirement, Strength};
use kernel::policy::hours::{Days, Hours};

use crate::portal::pages::messages::Messages;
use crate::portal::pages::view::CodeFault;

/// Why a code was not taken, and what to do.
pub fn code_fault(t: &Messages, fault: CodeFault) -> String {
    match fault {
        CodeFault::Unreadable => t.code_unreadable.to_owned(),
        CodeFault::Wrong => t.code_wrong.to_owned(),
        CodeFault::Reused => t.code_reused.to_owned(),
        CodeFault::ClockBehind(drift) => (t.clock_behind)(drift),
        CodeFault::ClockAhead(drift) => (t.clock_ahead)(drift),
        CodeFault::Wait(span) => (t.wait)(span),
        CodeFault::Stopped => t.code_stopped.to_owned(),
    }
}

pub const fn strength(t: &Messages, strength: Strength) -> &'static str {
    match strength {
        Strength::Any => t.strength_any,
        Strength::PhishingResistant => t.strength_phishing_resistant,
    }
}

pub fn requirement(t: &Messages, requirement: Requirement) -> String {
    (t.factor_asked)(strength(t, requirement.strength), requirement.max_age)
}

/// `Mon–Fri, 06:00–20:00 (Europe/Berlin)`.
pub fn hours(t: &Messages, hours: &Hours) -> String {
    let clock = |time: jiff::civil::Time| format!("{:02}:{:02}", time.hour(), time.minute());
    let zone = hours.zone.iana_name().unwrap_or("UTC");
    format!("{}, {}–{} ({zone})", days(t, hours.days), clock(hours.from), clock(hours.until))
}

/// Days in runs: `Mon–Wed, Fri`.
fn days(t: &Messages, days: Days) -> String {
    let week: Vec<(bool, &str)> = WEEK.into_iter().map(|day| days.contains(day)).zip(t.days).collect();
    if week.iter().all(|(open, _)| *open) {
        return t.every_day.to_owned();
    }
    let runs = week.chunk_by(|a, b| a.0 == b.0).filter_map(|run| match run {
        [(true, day)] => Some((*day).to_owned()),
        [(true, first), (_, second)] => Some(format!("{first}, {second}")),
        [(true, first), .., (_, last)] => Some(format!("{first}–{last}")),
        _ => None,
    });
    runs.collect::<Vec<_>>().join(", ")
}

pub fn networks(networks: &[IpNet]) -> Option<String> {
    let listed: Vec<_> = networks.iter().map(ToString::to_string).collect();
    (!listed.is_empty()).then(|| listed.join(", "))
}

/// A browser by its own words, roughly: enough for a person to know her own again.
pub fn browser(t: &Messages, user_agent: Option<&str>) -> String {
    let agent = user_agent.unwrap_or_default();
    let find = |table: &[(&str, &'static str)]| table.iter().find(|(sign, _)| agent.contains(sign)).map(|(_, name)| *name);
    match (find(&BROWSERS), find(&SYSTEMS)) {
        (Some(browser), Some(system)) => (t.browser_on)(browser, system),
        (Some(name), None) | (None, Some(name)) => name.to_owned(),
        (None, None) => t.unknown_browser.to_owned(),
    }
}

const WEEK: [Weekday; 7] =
    [Weekday::Monday, Weekday::Tuesday, Weekday::Wednesday, Weekday::Thursday, Weekday::Friday, Weekday::Saturday, Weekday::Sunday];

/// Browsers claim to be each other, so the order counts.
const BROWSERS: [(&str, &str); 7] = [
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
];
const SYSTEMS: [(&str, &str); 6] =
    [("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows"), ("Mac OS X", "macOS"), ("Linux", "Linux")];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use jiff::civil::time;
    use jiff::tz::TimeZone;

    use super::*;
    use crate::web::language::Language;

    #[test]
    fn hours_are_told_in_runs_of_days() {
        use Weekday::{Friday, Monday, Saturday, Sunday, Thursday, Tuesday, Wednesday};
        let table = [
            (vec![Monday, Tuesday, Wednesday, Thursday, Friday], "Mon–Fri", "Mo–Fr"),
            (vec![Saturday, Sunday], "Sat, Sun", "Sa, So"),
            (vec![Monday, Wednesday, Thursday, Friday], "Mon, Wed–Fri", "Mo, Mi–Fr"),
            (WEEK.to_vec(), "every day", "täglich"),
            (vec![], "", ""),
        ];
        for (set, english, german) in table {
            let value = Hours { days: Days::new(set), from: time(6, 0, 0, 0), until: time(20, 30, 0, 0), zone: TimeZone::UTC };
            assert_eq!(hours(Messages::of(Language::English), &value), format!("{english}, 06:00–20:30 (UTC)"));
            assert_eq!(hours(Messages::of(Language::German), &value), format!("{german}, 06:00–20:30 (UTC)"));
        }
    }

    #[test]
    fn browsers_are_known_by_their_words() {
        let t = Messages::of(Language::English);
        let table = [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36 Edg/130",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Mobile Safari/537.36",
                "Chrome on Android",
            ),
            ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Version/17.0 Mobile/15E148 Safari/604.1", "Safari on iPhone"),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0", "Firefox on Linux"),
            ("curl/8.5.0", "curl"),
            ("<script>", "Unknown browser"),
        ];
        for (agent, expected) in table {
            assert_eq!(browser(t, Some(agent)), expected);
        }
        assert_eq!(browser(t, None), "Unknown browser");
    }
}
