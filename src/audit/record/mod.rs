//! Events as OCSF 1.6.0 JSON lines (contract.md, section 6): one event, one line, whatever it holds.
//!
//! `metadata` comes last and its `sequence` last of all, so that the writer can add the number when it knows it, and so that
//! no text of a client stands behind it.

#[cfg(test)]
mod checks;
#[cfg(test)]
mod document;
mod finding;
#[cfg(test)]
pub(crate) mod hostile;
mod http;
mod identity;
mod network;
mod operation;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod schema;
mod uid;
#[cfg(test)]
mod words;

use std::cell::Cell;

use kernel::Failure;
use kernel::event::{Actor, Body, ChangedBy, Client, Event};
use kernel::request::RequestId;

use crate::audit::layout::SEQUENCE_KEY;
use crate::audit::log::Line;
use crate::audit::text::{Flag, Json, Sealed};

/// Writes an event as a line that lacks only its sequence.
pub fn encode(event: &Event, origin: &str) -> Result<Line, Failure> {
    let mut json = Json::default();
    write(&mut json, event, origin, Vec::new())?;
    Ok(Line(json.into_bytes()))
}

/// As [`encode`], for an event whose personal values were taken out and sealed, in memory that the thread keeps for this: the
/// line is lent.
pub fn lend<T>(event: &Event, origin: &str, sealed: Vec<Sealed>, take: impl FnOnce(&[u8]) -> T) -> Result<T, Failure> {
    let lend = |json: &mut Json| {
        write(json, event, origin, sealed)?;
        Ok(take(json.bytes()))
    };
    // A thread that ends has given its memory back already.
    match KEPT.try_with(Cell::take) {
        Ok(mut json) => {
            let taken = lend(&mut json);
            let _memory_alone = KEPT.try_with(|kept| kept.set(json));
            taken
        }
        Err(_) => lend(&mut Json::default()),
    }
}

fn write(json: &mut Json, event: &Event, origin: &str, sealed: Vec<Sealed>) -> Result<(), Failure> {
    let uid = uid::next(event.time)?;
    json.begin_again(sealed);
    match &event.body {
        Body::Decision(facts) => http::decision(json, facts, event.time),
        Body::Exchange(facts) => http::exchange(json, facts),
        Body::StreamOpen(facts) => network::stream_open(json, facts),
        Body::Connections(facts) => network::connections(json, facts),
        Body::Authentication(facts) => identity::authentication(json, facts),
        Body::Authorization(facts) => identity::authorization(json, facts),
        Body::Account(facts) => identity::account(json, facts),
        Body::Entity(facts) => operation::entity(json, facts),
        Body::Lifecycle(facts) => operation::lifecycle(json, facts),
        Body::Finding(facts) => finding::finding(json, facts, &uid),
    }
    json.number("time", event.time.as_millis());
    json.key("metadata");
    let line = json.bytes();
    line.extend_from_slice(METADATA.as_bytes());
    line.extend_from_slice(profiles(&event.body).as_bytes());
    json.text("log_provider", origin);
    json.uuid("uid", &uid);
    // Leaves `metadata` and the record open: the writer closes both.
    let line = json.bytes();
    line.push(b',');
    line.extend_from_slice(SEQUENCE_KEY);
    Ok(())
}

/// Those whose attributes a record has: `actor` is of `host` in the network classes, `action_id` of `security_control`.
const fn profiles(body: &Body) -> &'static str {
    match body {
        Body::Decision(_) => ",\"profiles\":[\"host\",\"security_control\"]",
        Body::StreamOpen(_) => ",\"profiles\":[\"host\"]",
        Body::Exchange(_)
        | Body::Connections(_)
        | Body::Authentication(_)
        | Body::Authorization(_)
        | Body::Account(_)
        | Body::Entity(_)
        | Body::Lifecycle(_)
        | Body::Finding(_) => "",
    }
}

fn product(json: &mut Json) {
    json.text("name", "Portcullis");
    json.text("vendor_name", "Portcullis");
    json.text("version", PRODUCT_VERSION);
}

/// The head that every event has.
fn head(json: &mut Json, class: u64, activity: (u64, &str), severity: Severity, failed: Flag) {
    json.number("class_uid", class);
    json.number("category_uid", class / 1_000);
    json.number("activity_id", activity.0);
    json.text("activity_name", activity.1);
    json.number("type_uid", class * 100 + activity.0);
    json.number("severity_id", severity as u64);
    json.number(
        "status_id",
        match failed {
            Flag::No => 1,
            Flag::Yes => 2,
        },
    );
}

/// The product's own fields.
fn own(json: &mut Json, content: impl FnOnce(&mut Json)) {
    json.object("unmapped", |json| {
        json.object("portcullis", |json| {
            content(json);
            json.state_sealed();
            json.state_cuts();
        });
    });
}

fn person(json: &mut Json, actor: Option<&Actor>) {
    match actor {
        Some(_) => {
            user(json, actor);
            session(json, actor);
        }
        // OCSF wants an actor to name something.
        None => json.text("app_name", "anonymous"),
    }
}

fn user(json: &mut Json, actor: Option<&Actor>) {
    json.object("user", |json| match actor {
        Some(actor) => {
            json.joined("uid", &actor.subject.issuer, b'#', &actor.subject.sub);
            json.maybe("email_addr", actor.email.as_ref().map(kernel::identity::Email::as_str).filter(|email| is_email(email)));
            if !actor.groups.is_empty() {
                json.named("groups", "name", actor.groups.iter().map(String::as_str));
            }
        }
        None => json.text("name", NOBODY),
    });
}

/// Whether OCSF takes it for an e-mail address; every one that it does not take is named by the subject.
fn is_email(text: &str) -> bool {
    let local = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+,-./=?^_`{|}~".contains(&byte);
    let label = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let Some((name, domain)) = text.split_once('@') else { return false };
    let Some((first, rest)) = domain.split_once('.') else { return false };
    let filled = [name, first, rest].iter().all(|part| !part.is_empty()) && text.len() <= 254;
    filled && name.bytes().all(local) && first.bytes().all(label) && rest.bytes().all(|byte| label(byte) || byte == b'.')
}

fn session(json: &mut Json, actor: Option<&Actor>) {
    if let Some(id) = actor.and_then(|actor| actor.session) {
        json.object("session", |json| json.id("uid", id.as_bytes()));
    }
}

/// The session among our own fields, where searches look for it.
fn session_field(json: &mut Json, actor: Option<&Actor>) {
    if let Some(id) = actor.and_then(|actor| actor.session) {
        json.id("session", id.as_bytes());
    }
}

fn request_field(json: &mut Json, request: Option<RequestId>) {
    if let Some(id) = request {
        json.id("request_id", id.as_bytes());
    }
}

fn client(json: &mut Json, client: Option<&Client>) {
    if let Some(client) = client {
        json.object("src_endpoint", |json| {
            json.address("ip", client.address);
            json.number("port", client.port.into());
        });
    }
}

fn changed_by(json: &mut Json, by: &ChangedBy) {
    match by {
        ChangedBy::Person(subject) => json.object("user", |json| json.joined("uid", &subject.issuer, b'#', &subject.sub)),
        ChangedBy::Operator { uid } => json.object("user", |json| json.text("uid", &uid.to_string())),
        ChangedBy::Gateway => json.text("app_name", "portcullis"),
    }
}

fn by_field(json: &mut Json, by: &ChangedBy) {
    json.text(
        "by",
        match by {
            ChangedBy::Person(_) => "person",
            ChangedBy::Operator { .. } => "operator",
            ChangedBy::Gateway => "gateway",
        },
    );
}

const fn outcome(failed: bool) -> (Flag, Severity) {
    if failed { (Flag::Yes, Severity::Low) } else { (Flag::No, Severity::Informational) }
}

#[derive(Clone, Copy, Debug)]
enum Severity {
    Informational = 1,
    Low = 2,
    Medium = 3,
    High = 4,
}

thread_local! {
    /// What records are written in.
    static KEPT: Cell<Json> = Cell::default();
}

/// The released version of the schema that records follow.
pub const OCSF_VERSION: &str = "1.6.0";

const PRODUCT_VERSION: &str = env!("CARGO_PKG_VERSION");

/// What `metadata` begins with. A test compares it with the two constants above.
pub(in crate::audit) const METADATA: &str = concat!(
    "{\"version\":\"1.6.0\",\"product\":{\"name\":\"Portcullis\",\"vendor_name\":\"Portcullis\",\"version\":\"",
    env!("CARGO_PKG_VERSION"),
    "\"}"
);
const ACCOUNT_CHANGE: u64 = 3_001;
const AUTHENTICATION: u64 = 3_002;
const AUTHORIZE_SESSION: u64 = 3_003;
const ENTITY_MANAGEMENT: u64 = 3_004;
const DETECTION_FINDING: u64 = 2_004;
const NETWORK_ACTIVITY: u64 = 4_001;
const HTTP_ACTIVITY: u64 = 4_002;
const APPLICATION_LIFECYCLE: u64 = 6_002;
const OTHER: u64 = 99;

/// What stands where OCSF requires a person and nobody is known.
const NOBODY: &str = "unknown";
