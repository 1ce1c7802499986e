//! Takes personal values out of an event, and seals them.
//!
//! Personal are: subject, e-mail address, groups and user agent of a known person, a client's certificate, and the part of their address that tells one
//! client of a network from another. What they opened is not: it is what the log is for.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use kernel::Failure;
use kernel::event::{
    AccountFacts, Actor, AuthenticationFacts, Body, ChangedBy, Client, Consulted, DecisionFacts, EntityChange, EntityFacts, Event,
};
use kernel::identity::Subject;

use super::{Addresses, Keys, PersonKey, Personal, Privacy, by_email, network};
use crate::audit::text::{Json, Sealed};

/// An event as it is written, and what was taken out of it.
pub type Taken<'a> = (Cow<'a, Event>, Vec<Sealed>);

/// Makes an event ready to be written. Waits for keys that are not at hand.
pub async fn prepare<'a>(event: &'a Event, privacy: &Privacy) -> Result<Taken<'a>, Failure> {
    match &privacy.personal {
        Personal::Plain => Ok(shorten(Cow::Borrowed(event), privacy.addresses)),
        Personal::Sealed(keys) => {
            let mut held = Vec::new();
            for person in people(&event.body) {
                held.push((person.clone(), keys.of(person).await?));
            }
            veil(event, privacy.addresses, &|person| held.iter().find(|(known, _)| known == person).map(|(_, key)| Arc::clone(key)))
        }
    }
}

/// As [`prepare`], for whoever cannot wait. A person whose key is not at hand goes unnamed.
pub fn prepare_now<'a>(event: &'a Event, privacy: &Privacy) -> Result<Taken<'a>, Failure> {
    match &privacy.personal {
        Personal::Plain => Ok(shorten(Cow::Borrowed(event), privacy.addresses)),
        Personal::Sealed(keys) => {
            let keys: &dyn Keys = keys.as_ref();
            veil(event, privacy.addresses, &|person| keys.at_hand(person))
        }
    }
}

/// Everybody whom an event names.
fn people(body: &Body) -> Vec<Subject> {
    let mut people = match body {
        Body::Decision(facts) => subject_of(facts.actor.as_ref()),
        Body::Authentication(facts) => subject_of(facts.actor.as_ref()),
        Body::Account(facts) => account_person(facts).into_iter().chain(changer(&facts.by)).collect(),
        Body::Entity(facts) => consulted(facts).into_iter().chain(changer(&facts.by)).collect(),
        Body::StreamOpen(facts) => subject_of(facts.actor.as_ref()),
        Body::Authorization(facts) => subject_of(Some(&facts.actor)),
        Body::Finding(facts) => subject_of(facts.actor.as_ref()),
        Body::Exchange(_) | Body::Connections(_) | Body::Lifecycle(_) => Vec::new(),
    };
    people.dedup();
    people
}

fn subject_of(actor: Option<&Actor>) -> Vec<Subject> {
    actor.map(|actor| actor.subject.clone()).into_iter().collect()
}

fn account_person(facts: &AccountFacts) -> Option<Subject> {
    // An erasure names nobody but the pseudonym.
    let named = facts.subject.clone().filter(|subject| subject.issuer != super::ISSUER);
    match (&facts.subject, &facts.email) {
        (Some(_), _) => named,
        (None, Some(email)) => Some(by_email(email)),
        (None, None) => None,
    }
}

/// Whom an operator looked up.
fn consulted(facts: &EntityFacts) -> Option<Subject> {
    match &facts.change {
        EntityChange::Consult { what: Consulted::User(subject) } => Some(subject.clone()),
        EntityChange::Consult { what: Consulted::Users | Consulted::Sessions }
        | EntityChange::Configuration { .. }
        | EntityChange::RevokeSessions { .. }
        | EntityChange::RefuseOrder
        | EntityChange::ReadLog { .. }
        | EntityChange::SinkGap { .. }
        | EntityChange::SinkRewind { .. }
        | EntityChange::DropRecords { .. } => None,
    }
}

fn changer(by: &ChangedBy) -> Option<Subject> {
    match by {
        ChangedBy::Person(subject) => Some(subject.clone()),
        ChangedBy::Operator { .. } | ChangedBy::Gateway => None,
    }
}

fn shows_certificate(body: &Body) -> bool {
    matches!(body, Body::Decision(facts) if facts.client_certificate.is_some())
}

type KeyOf<'a> = &'a dyn Fn(&Subject) -> Option<Arc<PersonKey>>;

fn veil<'a>(event: &'a Event, addresses: Addresses, key_of: KeyOf<'_>) -> Result<Taken<'a>, Failure> {
    if people(&event.body).is_empty() && !shows_certificate(&event.body) {
        return Ok(shorten(Cow::Borrowed(event), addresses));
    }
    let mut event = event.clone();
    let sealed = match &mut event.body {
        Body::Decision(facts) => {
            let DecisionFacts { actor, client, user_agent, client_certificate, .. } = &mut **facts;
            let mut sealed = Vec::new();
            // It names a person or their device, and no key of a person's covers it: whom, is not kept at all.
            *client_certificate = None;
            if let Some(actor) = actor {
                let address = take_address(Some(client));
                sealed.extend(veil_actor(actor, address, user_agent.take(), key_of)?);
            }
            sealed
        }
        Body::Authentication(facts) => {
            let AuthenticationFacts { actor, client, user_agent, .. } = &mut **facts;
            match actor {
                Some(actor) => veil_actor(actor, take_address(client.as_mut()), user_agent.take(), key_of)?.into_iter().collect(),
                None => Vec::new(),
            }
        }
        Body::Account(facts) => veil_account(facts, key_of)?,
        Body::Entity(facts) => veil_entity(facts, key_of)?,
        Body::StreamOpen(facts) => match &mut facts.actor {
            Some(actor) => veil_actor(actor, take_address(Some(&mut facts.client)), None, key_of)?.into_iter().collect(),
            None => Vec::new(),
        },
        Body::Authorization(facts) => {
            let address = take_address(Some(&mut facts.client));
            veil_actor(&mut facts.actor, address, None, key_of)?.into_iter().collect()
        }
        Body::Finding(facts) => {
            let address = facts.address;
            (facts.address, facts.other_address) = (facts.address.map(network), facts.other_address.map(network));
            match &mut facts.actor {
                Some(actor) => veil_actor(actor, address, None, key_of)?.into_iter().collect(),
                None => Vec::new(),
            }
        }
        Body::Exchange(_) | Body::Connections(_) | Body::Lifecycle(_) => Vec::new(),
    };
    let (event, _) = shorten(Cow::Owned(event), addresses);
    Ok((event, sealed))
}

fn veil_actor(actor: &mut Actor, address: Option<IpAddr>, agent: Option<String>, key_of: KeyOf<'_>) -> Result<Option<Sealed>, Failure> {
    let email = actor.email.take();
    let groups = std::mem::take(&mut actor.groups);
    let email = email.as_ref().map(kernel::identity::Email::as_str);
    let values = Values { email, groups: &groups, address, user_agent: agent.as_deref() };
    seal(&mut actor.subject, &values, key_of)
}

fn veil_account(facts: &mut AccountFacts, key_of: KeyOf<'_>) -> Result<Vec<Sealed>, Failure> {
    let Some(mut person) = account_person(facts) else { return Ok(Vec::new()) };
    let address = take_address(facts.client.as_mut());
    let email = facts.email.take();
    let by_another = changer(&facts.by).is_some_and(|by| by != person);
    // The address is that of whoever acted.
    let (of_person, of_changer) = if by_another { (None, address) } else { (address, None) };
    let values = Values { email: email.as_deref(), address: of_person, ..Values::default() };
    let mut sealed: Vec<Sealed> = seal(&mut person, &values, key_of)?.into_iter().collect();
    facts.subject = Some(person);
    let of_changer = veil_changer(&mut facts.by, of_changer, key_of)?;
    sealed.extend(of_changer.filter(|_| by_another));
    Ok(sealed)
}

fn veil_entity(facts: &mut EntityFacts, key_of: KeyOf<'_>) -> Result<Vec<Sealed>, Failure> {
    let mut sealed = Vec::new();
    if let EntityChange::Consult { what: Consulted::User(subject) } = &mut facts.change {
        sealed.extend(seal(subject, &Values::default(), key_of)?);
    }
    sealed.extend(veil_changer(&mut facts.by, None, key_of)?);
    Ok(sealed)
}

fn veil_changer(by: &mut ChangedBy, address: Option<IpAddr>, key_of: KeyOf<'_>) -> Result<Option<Sealed>, Failure> {
    match by {
        ChangedBy::Person(subject) => seal(subject, &Values { address, ..Values::default() }, key_of),
        ChangedBy::Operator { .. } | ChangedBy::Gateway => Ok(None),
    }
}

fn take_address(client: Option<&mut Client>) -> Option<IpAddr> {
    client.map(|client| {
        let kept = network(client.address);
        std::mem::replace(&mut client.address, kept)
    })
}

/// What is sealed beside the subject.
#[derive(Default)]
struct Values<'a> {
    email: Option<&'a str>,
    groups: &'a [String],
    address: Option<IpAddr>,
    user_agent: Option<&'a str>,
}

/// Puts the pseudonym in the place of the subject.
fn seal(subject: &mut Subject, values: &Values<'_>, key_of: KeyOf<'_>) -> Result<Option<Sealed>, Failure> {
    let Some(key) = key_of(subject) else {
        *subject = Subject { issuer: super::ISSUER.to_owned(), sub: UNNAMED.to_owned() };
        return Ok(None);
    };
    let mut json = Json::begin();
    if !subject.issuer.is_empty() {
        json.text("subject", &subject.to_string());
    }
    json.maybe("email", values.email);
    if !values.groups.is_empty() {
        json.list("groups", values.groups.iter().map(String::as_str));
    }
    json.maybe("address", values.address.map(|address| address.to_string()).as_deref());
    json.maybe("user_agent", values.user_agent);
    json.state_cuts();
    let mut plain = json.into_bytes();
    plain.push(b'}');
    let sealed = key.seal(&plain)?;
    *subject = key.subject();
    Ok(Some(sealed))
}

/// Cuts addresses down to their networks, where that is asked for.
fn shorten(mut event: Cow<'_, Event>, addresses: Addresses) -> Taken<'_> {
    if addresses == Addresses::Network {
        let event = event.to_mut();
        match &mut event.body {
            Body::Decision(facts) => {
                facts.client.address = network(facts.client.address);
                facts.peer = facts.peer.map(network);
            }
            Body::Authentication(facts) => cut(facts.client.as_mut()),
            Body::Account(facts) => cut(facts.client.as_mut()),
            Body::StreamOpen(facts) => cut(Some(&mut facts.client)),
            Body::Authorization(facts) => cut(Some(&mut facts.client)),
            Body::Connections(facts) => facts.last = facts.last.map(network),
            Body::Finding(facts) => {
                (facts.address, facts.other_address) = (facts.address.map(network), facts.other_address.map(network));
            }
            Body::Exchange(_) | Body::Entity(_) | Body::Lifecycle(_) => {}
        }
    }
    (event, Vec::new())
}

fn cut(client: Option<&mut Client>) {
    if let Some(client) = client {
        client.address = network(client.address);
    }
}

/// Stands for a person whose key was not at hand.
const UNNAMED: &str = "unnamed";
