//! What of a record can be asked for. Borrowed from the line, so that a scan reads no more than it must.
//!
//! A line that is not a record has no view: it is counted and told, never passed over in silence.

use std::borrow::Cow;

use serde::Deserialize;

/// What a record can be found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    RequestId,
    /// Subject, e-mail address or pseudonym.
    Person,
    Route,
    Decision,
    Reason,
    Event,
}

/// A record, as far as it can be asked for.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct View<'a> {
    pub class_uid: u64,
    /// Milliseconds since 1970.
    pub time: u64,
    #[serde(borrow)]
    pub(super) user: Option<User<'a>>,
    #[serde(borrow)]
    pub(super) actor: Option<Actor<'a>>,
    #[serde(borrow)]
    pub(super) unmapped: Option<Unmapped<'a>>,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct User<'a> {
    #[serde(borrow)]
    pub(super) uid: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) email_addr: Option<Text<'a>>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Actor<'a> {
    #[serde(borrow)]
    pub(super) user: Option<User<'a>>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Unmapped<'a> {
    #[serde(borrow)]
    pub(super) portcullis: Option<Own<'a>>,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Own<'a> {
    #[serde(borrow)]
    pub(super) event: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) request_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) decision: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) reason: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) route: Option<Text<'a>>,
}

/// Borrowed where the line holds it without escapes.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl<'a> View<'a> {
    /// Reads a line. None when it is not a record.
    #[must_use]
    pub fn read(line: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    /// Every value that can be asked for.
    pub fn all(&self) -> impl Iterator<Item = (Field, &str)> {
        let own = self.unmapped.as_ref().and_then(|unmapped| unmapped.portcullis.as_ref());
        let own = own.map(|own| {
            [
                (Field::RequestId, &own.request_id),
                (Field::Route, &own.route),
                (Field::Decision, &own.decision),
                (Field::Reason, &own.reason),
                (Field::Event, &own.event),
            ]
        });
        let users = [self.user.as_ref(), self.actor.as_ref().and_then(|actor| actor.user.as_ref())];
        let people = users.into_iter().flatten().flat_map(User::names).map(|name| (Field::Person, &*name.0));
        let single = own.into_iter().flatten().filter_map(|(field, value)| value.as_ref().map(|value| (field, &*value.0)));
        single.chain(people)
    }

    /// Every value of a field.
    pub fn values(&self, field: Field) -> impl Iterator<Item = &str> {
        self.all().filter(move |(known, _)| *known == field).map(|(_, value)| value)
    }

    /// The first value of a field.
    #[must_use]
    pub fn one(&self, field: Field) -> Option<&str> {
        self.values(field).next()
    }
}

impl<'a> User<'a> {
    fn names(&self) -> impl Iterator<Item = &Text<'a>> {
        [&self.uid, &self.name, &self.email_addr].into_iter().flatten()
    }
}

pub const FIELDS: [Field; 6] = [Field::RequestId, Field::Person, Field::Route, Field::Decision, Field::Reason, Field::Event];
