//! What is looked for. Different kinds of condition must all hold; of several values of one kind, one must.

use super::view::{Field, View};

/// Conditions on a record. None at all matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Subjects, e-mail addresses or pseudonyms.
    pub people: Vec<String>,
    pub routes: Vec<String>,
    pub decisions: Vec<String>,
    pub reasons: Vec<String>,
    pub events: Vec<String>,
    /// Whole ids, or their first letters: at least [`ID_LETTERS`], which is what `audit tail` shows.
    pub request_ids: Vec<String>,
    /// From this time on, in milliseconds since 1970.
    pub from: Option<u64>,
    /// Before this time.
    pub until: Option<u64>,
}

impl Filter {
    /// Whether a record meets every condition.
    #[must_use]
    pub fn matches(&self, view: &View<'_>) -> bool {
        self.is_in_time(view.time) && self.conditions().all(|(field, wanted)| view.values(field).any(|value| meets(field, wanted, value)))
    }

    /// Whether a span of time, both ends included, can hold a match.
    #[must_use]
    pub fn may_be_between(&self, earliest: u64, latest: u64) -> bool {
        self.from.is_none_or(|from| latest >= from) && self.until.is_none_or(|until| earliest < until)
    }

    /// Whether everything in a span of time matches, whatever it is.
    #[must_use]
    pub fn is_met_between(&self, earliest: u64, latest: u64) -> bool {
        let in_time = self.from.is_none_or(|from| earliest >= from) && self.until.is_none_or(|until| latest < until);
        in_time && self.conditions().next().is_none()
    }

    /// The conditions on fields, each with the values of which one must be met.
    pub fn conditions(&self) -> impl Iterator<Item = (Field, &[String])> {
        let all = [
            (Field::RequestId, &self.request_ids),
            (Field::Person, &self.people),
            (Field::Route, &self.routes),
            (Field::Decision, &self.decisions),
            (Field::Reason, &self.reasons),
            (Field::Event, &self.events),
        ];
        all.into_iter().filter(|(_, wanted)| !wanted.is_empty()).map(|(field, wanted)| (field, wanted.as_slice()))
    }

    fn is_in_time(&self, time: u64) -> bool {
        self.may_be_between(time, time)
    }
}

fn meets(field: Field, wanted: &[String], value: &str) -> bool {
    wanted.iter().any(|wanted| match field {
        Field::RequestId => value.starts_with(wanted.as_str()),
        Field::Person | Field::Route | Field::Decision | Field::Reason | Field::Event => value == wanted,
    })
}

/// Fewest letters of a request id that can be asked for.
pub const ID_LETTERS: usize = 8;
