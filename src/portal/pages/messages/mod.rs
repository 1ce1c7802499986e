//! Every text that a person reads, once per language. A text that is missing in one language does not compile.

mod de;
mod de_reasons;
mod en;
mod en_reasons;

use std::time::Duration;

use kernel::policy::Reason;

use crate::web::language::Language;

/// The texts of one language.
pub struct Messages {
    pub skip: &'static str,
    pub error_prefix: &'static str,
    pub signed_in_as: &'static str,
    pub sign_out: &'static str,
    pub portal: &'static str,

    pub chooser: Heading,
    pub hop: Heading,
    pub hop_continue: &'static str,

    pub factor: Heading,
    pub factor_too_old: &'static str,
    pub factor_too_weak: &'static str,
    pub code_label: &'static str,
    pub code_hint: &'static str,
    pub confirm: &'static str,
    pub recovery_summary: &'static str,
    pub recovery_label: &'static str,
    pub recovery_hint: &'static str,
    pub recovery_use: &'static str,
    pub no_phone: &'static str,
    pub on_the_way: &'static str,

    pub enrolment: Heading,
    pub enrolment_app: &'static str,
    pub enrolment_scan: &'static str,
    pub enrolment_enter: &'static str,
    pub qr_alternative: &'static str,
    pub on_this_phone: &'static str,
    pub open_app: &'static str,
    pub by_hand: &'static str,
    pub secret_label: &'static str,
    pub secret_hint: &'static str,

    pub invite: Heading,
    pub invite_label: &'static str,
    pub invite_how: &'static str,
    pub invite_continue: &'static str,
    pub invite_wrong: &'static str,

    pub codes: Heading,
    pub codes_once: &'static str,
    pub codes_where: &'static str,
    pub codes_stored: &'static str,
    pub copy: &'static str,
    pub copied: &'static str,
    pub download: &'static str,
    pub print: &'static str,

    pub portal_page: Heading,
    pub systems: &'static str,
    pub systems_none: &'static str,
    pub class: &'static str,
    pub owner: &'static str,
    pub data: &'static str,
    pub sessions: &'static str,
    pub sessions_hint: &'static str,
    pub this_browser: &'static str,
    pub unknown_browser: &'static str,
    pub began: &'static str,
    pub last_seen: &'static str,
    pub from_address: &'static str,
    pub end_session: &'static str,
    pub end_others: &'static str,
    pub end_everywhere: &'static str,
    pub factors: &'static str,
    pub totp: &'static str,
    pub totp_enrolled: &'static str,
    pub recovery_codes: &'static str,
    pub recovery_few: &'static str,
    pub new_codes: &'static str,
    pub new_codes_hint: &'static str,
    pub session_ended: &'static str,
    pub others_ended: &'static str,

    pub sign_out_page: Heading,
    pub signed_out: Heading,
    pub signed_out_kept: &'static str,
    pub sign_in_again: &'static str,

    pub what_helps: &'static str,
    pub details: &'static str,
    pub system: &'static str,
    pub address: &'static str,
    pub ask: &'static str,
    pub admission: &'static str,
    pub open_hours: &'static str,
    pub networks: &'static str,
    pub reason: &'static str,
    pub request_id: &'static str,
    pub request_id_hint: &'static str,
    pub next_sign_in: &'static str,
    pub next_factor: &'static str,
    pub try_again: &'static str,

    pub node_you: &'static str,
    pub node_system: &'static str,
    pub node_idp: &'static str,
    pub picture_system: &'static str,
    pub picture_gateway: &'static str,
    pub picture_idp: &'static str,

    pub days: [&'static str; 7],
    pub every_day: &'static str,
    pub strength_any: &'static str,
    pub strength_phishing_resistant: &'static str,

    pub code_unreadable: &'static str,
    pub code_wrong: &'static str,
    pub code_reused: &'static str,
    pub clock_behind: fn(Duration) -> String,
    pub clock_ahead: fn(Duration) -> String,
    pub wait: fn(Duration) -> String,
    pub code_stopped: &'static str,
    pub ago: fn(Duration) -> String,
    /// A factor of this strength, at most this old.
    pub factor_asked: fn(&'static str, Duration) -> String,
    pub step_up: fn(&'static str) -> String,
    pub codes_left: fn(u32) -> String,
    pub browser_on: fn(&'static str, &'static str) -> String,
    pub reasons: fn(Reason) -> ReasonWords,
}

/// Title and opening sentence of a page.
#[derive(Clone, Copy, Debug)]
pub struct Heading {
    pub title: &'static str,
    pub lead: &'static str,
}

/// A reason for a person: what happened, why, and what helps.
#[derive(Clone, Copy, Debug)]
pub struct ReasonWords {
    pub title: &'static str,
    pub why: &'static str,
    pub mend: &'static str,
}

impl std::fmt::Debug for Messages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Messages").finish_non_exhaustive()
    }
}

impl Messages {
    #[must_use]
    pub const fn of(language: Language) -> &'static Self {
        match language {
            Language::English => &en::MESSAGES,
            Language::German => &de::MESSAGES,
        }
    }
}

/// The words of a unit of time.
#[derive(Clone, Copy)]
struct Units {
    second: [&'static str; 2],
    minute: [&'static str; 2],
    hour: [&'static str; 2],
    day: [&'static str; 2],
}

impl Units {
    /// A span in the largest unit that tells it well, rounded up, so that who waits as told has waited long enough.
    fn span(self, span: Duration) -> String {
        let seconds = span.as_secs().saturating_add(u64::from(span.subsec_nanos() > 0)).max(1);
        let (unit, words) = [(86_400, self.day), (3_600, self.hour), (60, self.minute)]
            .into_iter()
            .find(|(unit, _)| seconds >= 2 * unit || seconds == *unit)
            .unwrap_or((1, self.second));
        count(seconds.div_ceil(unit), words)
    }
}

fn count(number: u64, [one, many]: [&'static str; 2]) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_the_unit_that_fits() {
        let table = [
            (0, "1 second", "1 Sekunde"),
            (1_500, "2 seconds", "2 Sekunden"),
            (60_000, "1 minute", "1 Minute"),
            (90_000, "90 seconds", "90 Sekunden"),
            (180_000, "3 minutes", "3 Minuten"),
            (181_000, "4 minutes", "4 Minuten"),
            (3_600_000, "1 hour", "1 Stunde"),
            (5_400_000, "90 minutes", "90 Minuten"),
            (43_200_000, "12 hours", "12 Stunden"),
            (172_800_000, "2 days", "2 Tage"),
        ];
        for (millis, english, german) in table {
            let span = Duration::from_millis(millis);
            assert!((Messages::of(Language::English).wait)(span).contains(english), "{millis}");
            assert!((Messages::of(Language::German).wait)(span).contains(german), "{millis}");
        }
    }

    #[test]
    fn every_reason_has_words_of_its_own_in_both_languages() {
        for reason in Reason::ALL {
            let words = Language::ALL.map(|language| (Messages::of(language).reasons)(*reason));
            for texts in words {
                assert!([texts.title, texts.why, texts.mend].iter().all(|text| text.len() > 8), "{reason}");
                assert!(texts.why.ends_with('.') && texts.mend.ends_with('.'), "{reason}");
            }
            let [english, german] = words;
            assert!(english.title != german.title && english.why != german.why && english.mend != german.mend, "{reason}");
        }
    }
}
