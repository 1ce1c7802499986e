//! Puts names back where a reader holds the keys. For show: the record in the log stays as it is.

use std::collections::HashMap;
use std::fmt;

use kernel::identity::Subject;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::PersonKey;

/// A person, with the key that opens their values.
#[derive(Debug)]
pub struct Person {
    pub subject: Subject,
    pub email: Option<String>,
    pub key: PersonKey,
}

/// The keys that a reader holds. Empty: everybody stays a pseudonym.
#[derive(Default)]
pub struct KeyBook(HashMap<String, Person>);

#[derive(Deserialize)]
struct SealedValue {
    pseudonym: String,
    value: String,
}

/// What was taken out of a record.
#[derive(Deserialize)]
struct Opened {
    subject: Option<String>,
    email: Option<String>,
    #[serde(default)]
    groups: Vec<String>,
    address: Option<String>,
    user_agent: Option<String>,
}

impl KeyBook {
    pub fn new(people: impl IntoIterator<Item = Person>) -> Self {
        Self(people.into_iter().map(|person| (person.key.pseudonym().to_owned(), person)).collect())
    }

    /// Every pseudonym of whoever is called this: by e-mail address, subject, or the IdP's own id.
    #[must_use]
    pub fn pseudonyms(&self, name: &str) -> Vec<String> {
        let is =
            |person: &&Person| person.email.as_deref() == Some(name) || person.subject.to_string() == name || person.subject.sub == name;
        self.0.values().filter(is).map(|person| person.key.pseudonym().to_owned()).collect()
    }

    /// A record with names, for show. One that holds nothing sealed, or nothing that can be opened, comes back as it was.
    #[must_use]
    pub fn reveal(&self, line: &str) -> Option<Value> {
        if self.0.is_empty() || !line.contains(SIGN) {
            return None;
        }
        let mut record: Value = serde_json::from_str(line).ok()?;
        let sealed = record.pointer("/unmapped/portcullis/sealed").cloned()?;
        let mut revealed = Vec::new();
        for SealedValue { pseudonym, value } in serde_json::from_value::<Vec<SealedValue>>(sealed).ok()? {
            let plain = self.0.get(&pseudonym).and_then(|person| person.key.open(&value));
            let Some(opened) = plain.and_then(|plain| serde_json::from_slice::<Opened>(&plain).ok()) else { continue };
            put_back(&mut record, &pseudonym, &opened);
            revealed.push(Value::String(pseudonym));
        }
        if revealed.is_empty() {
            return None;
        }
        let own = record.pointer_mut("/unmapped/portcullis").and_then(Value::as_object_mut)?;
        // Says that this is not the line of the log any more.
        own.insert("revealed".to_owned(), Value::Array(revealed));
        own.remove("sealed");
        Some(record)
    }
}

fn put_back(record: &mut Value, pseudonym: &str, opened: &Opened) {
    for place in ["/user", "/actor/user", "/evidences/0/actor/user", "/entity"] {
        let Some(user) = record.pointer_mut(place).and_then(Value::as_object_mut) else { continue };
        if user.get("uid").and_then(Value::as_str) == Some(pseudonym) {
            name(user, opened);
        }
    }
    for place in ["/src_endpoint", "/evidences/0/src_endpoint"] {
        put(record, place, "ip", opened.address.as_ref());
    }
    if let Some(agent) = &opened.user_agent
        && let Some(record) = record.as_object_mut()
        && let Some(request) = record.entry("http_request").or_insert_with(|| json!({})).as_object_mut()
    {
        request.insert("user_agent".to_owned(), Value::String(agent.clone()));
    }
}

fn name(user: &mut Map<String, Value>, opened: &Opened) {
    match &opened.subject {
        Some(subject) => drop(user.insert("uid".to_owned(), Value::String(subject.clone()))),
        None => drop(user.remove("uid")),
    }
    if let Some(email) = &opened.email {
        user.insert("email_addr".to_owned(), Value::String(email.clone()));
    }
    if !opened.groups.is_empty() {
        user.insert("groups".to_owned(), opened.groups.iter().map(|group| json!({ "name": group })).collect());
    }
}

fn put(record: &mut Value, place: &str, key: &str, value: Option<&String>) {
    if let Some(value) = value
        && let Some(object) = record.pointer_mut(place).and_then(Value::as_object_mut)
    {
        object.insert(key.to_owned(), Value::String(value.clone()));
    }
}

impl fmt::Debug for KeyBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyBook({} people)", self.0.len())
    }
}

/// Stands in every record that holds something sealed.
const SIGN: &str = "\"sealed\":[";
