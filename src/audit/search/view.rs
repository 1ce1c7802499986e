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
#[derive(Debug, Deserialize)]
pub struct View<'a> {
    pub class_uid: u64,
    /// Milliseconds since 1970.
    pub time: u64,
    #[serde(borrow)]
    user: Option<User<'a>>,
    #[serde(borrow)]
    actor: Option<Actor<'a>>,
    #[serde(borrow)]
    unmapped: Option<Unmapped<'a>>,
}

#[derive(Debug, Deserialize)]
struct User<'a> {
    #[serde(borrow)]
    uid: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    email_addr: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
struct Actor<'a> {
    #[serde(borrow)]
    user: Option<User<'a>>,
}

#[derive(Debug, Deserialize)]
struct Unmapped<'a> {
    #[serde(borrow)]
    portcullis: Option<Own<'a>>,
}

#[derive(Debug, Deserialize)]
struct Own<'a> {
    #[serde(borrow)]
    event: Option<Text<'a>>,
    #[serde(borrow)]
    request_id: Option<Text<'a>>,
    #[serde(borrow)]
    decision: Option<Text<'a>>,
    #[serde(borrow)]
    reason: Option<Text<'a>>,
    #[serde(borrow)]
    route: Option<Text<'a>>,
}

/// Borrowed where the line holds it without escapes.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> View<'a> {
    /// Reads a line. None when it is not a record.
    #[must_use]
    pub fn read(line: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    /// Every value of a field.
    pub fn values(&self, field: Field) -> impl Iterator<Item = &str> {
        let own = self.unmapped.as_ref().and_then(|unmapped| unmapped.portcullis.as_ref());
        let one = |pick: for<'v> fn(&'v Own<'a>) -> &'v Option<Text<'a>>| own.and_then(|own| pick(own).as_ref());
        let (single, people) = match field {
            Field::RequestId => (one(|own| &own.request_id), false),
            Field::Route => (one(|own| &own.route), false),
            Field::Decision => (one(|own| &own.decision), false),
            Field::Reason => (one(|own| &own.reason), false),
            Field::Event => (one(|own| &own.event), false),
            Field::Person => (None, true),
        };
        let users = [self.user.as_ref(), self.actor.as_ref().and_then(|actor| actor.user.as_ref())];
        let people = users.into_iter().filter(move |_| people).flatten().flat_map(User::names);
        single.into_iter().chain(people).map(|text| &*text.0)
    }

    /// Every value that can be asked for.
    pub fn all(&self) -> impl Iterator<Item = (Field, &str)> {
        FIELDS.iter().flat_map(|field| self.values(*field).map(|value| (*field, value)))
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
