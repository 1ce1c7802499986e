//! What a record keeps of people, who can read it, and for how long.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use kernel::Failure;
use kernel::event::{AccountChange, AccountFacts, Body, ChangedBy, Client, EntityChange, EntityFacts, Event};
use kernel::identity::Subject;
use serde_json::Value;
use tempfile::tempdir;

use super::{Addresses, KeyAnswer, KeyBook, Keys, Person, PersonKey, Personal, Privacy, network};
use crate::audit::fixtures::{check_log, decision, event, records, runtime, start};
use crate::audit::tail::Follower;

/// Keys in memory, which can be destroyed.
#[derive(Debug, Default)]
struct Drawer(Mutex<HashMap<Subject, Arc<PersonKey>>>);

impl Drawer {
    fn number(subject: &Subject) -> u8 {
        subject.to_string().bytes().fold(0, u8::wrapping_add)
    }
    fn key(subject: &Subject) -> PersonKey {
        PersonKey::new(&format!("{:032x}", Self::number(subject)), &[Self::number(subject); 32]).unwrap()
    }
    fn book(&self) -> KeyBook {
        let people = self.0.lock().unwrap().keys().cloned().collect::<Vec<_>>();
        KeyBook::new(people.into_iter().map(|subject| {
            let email = (subject.sub == "ana").then(|| "ana@example.com".to_owned());
            Person { email, key: Self::key(&subject), subject }
        }))
    }
}

impl Keys for Drawer {
    fn of(&self, person: Subject) -> KeyAnswer<'_> {
        let key = self.0.lock().unwrap().entry(person).or_insert_with_key(|person| Arc::new(Self::key(person))).clone();
        Box::pin(async move { Ok(key) })
    }
    fn at_hand(&self, person: &Subject) -> Option<Arc<PersonKey>> {
        self.0.lock().unwrap().get(person).cloned()
    }
}

#[derive(Debug)]
struct NoKeys;

impl Keys for NoKeys {
    fn of(&self, _: Subject) -> KeyAnswer<'_> {
        Box::pin(async { Err(Failure::Store("down".to_owned())) })
    }
    fn at_hand(&self, _: &Subject) -> Option<Arc<PersonKey>> {
        None
    }
}

fn person(name: &str) -> Subject {
    Subject { issuer: "https://idp.test".to_owned(), sub: name.to_owned() }
}

fn client() -> Client {
    Client { address: [203, 0, 113, 77].into(), port: 1 }
}

fn account(subject: Option<Subject>, email: Option<&str>, by: ChangedBy) -> Event {
    event(Body::Account(Box::new(AccountFacts {
        request_id: None,
        change: AccountChange::Lock,
        failure: None,
        subject,
        email: email.map(str::to_owned),
        by,
        client: Some(client()),
    })))
}

/// Every kind of event that names somebody.
fn events() -> Vec<Event> {
    let mut facts = decision(1);
    facts.client = client();
    facts.user_agent = Some("ana's own browser".to_owned());
    facts.actor.as_mut().unwrap().groups = vec!["board-of-directors".to_owned()];
    let authentication = kernel::event::AuthenticationFacts {
        request_id: None,
        step: kernel::event::AuthenticationStep::SignIn,
        failure: None,
        detail: None,
        idp: Some("corp".to_owned()),
        actor: facts.actor.clone(),
        client: Some(client()),
        user_agent: facts.user_agent.clone(),
    };
    let entity =
        EntityFacts { change: EntityChange::RevokeSessions { sessions: Vec::new() }, by: ChangedBy::Person(person("ana")), failure: None };
    vec![
        event(Body::Decision(Box::new(facts))),
        event(Body::Authentication(Box::new(authentication))),
        account(Some(person("ana")), Some("ana@example.com"), ChangedBy::Person(person("ana"))),
        account(Some(person("ana")), Some("ana@example.com"), ChangedBy::Person(person("eva"))),
        account(None, Some("ana@example.com"), ChangedBy::Operator { uid: 0 }),
        event(Body::Entity(Box::new(entity))),
    ]
}

fn write(privacy: Privacy) -> (tempfile::TempDir, Vec<String>) {
    let folder = tempdir().unwrap();
    let recorder = start(folder.path()).with_privacy(privacy);
    for event in events() {
        runtime().block_on(recorder.keep(event)).unwrap();
    }
    recorder.shutdown();
    let (_, lines) = Follower::begin(folder.path(), 100).unwrap();
    (folder, lines)
}

const PERSONAL: [&str; 6] = ["ana@example.com", "idp.test#ana", "idp.test#eva", "203.0.113.77", "own browser", "board-of-directors"];

fn sealed(keys: &Arc<Drawer>) -> Privacy {
    Privacy { personal: Personal::Sealed(Arc::<Drawer>::clone(keys)), addresses: Addresses::Full }
}

/// What others are told of an event, a webhook say, is what its record shows.
#[test]
fn what_is_told_of_an_event_names_nobody_that_its_record_does_not() {
    let folder = tempdir().unwrap();
    let plain = start(folder.path());
    let sealed = plain.clone().with_privacy(sealed(&Arc::default()));
    let nobody = plain.clone().with_privacy(Privacy { personal: Personal::Sealed(Arc::new(NoKeys)), addresses: Addresses::Full });
    let runtime = runtime();
    let mut shown = Vec::new();
    for event in events() {
        assert_eq!(format!("{:?}", runtime.block_on(plain.shown(&event)).unwrap()), format!("{event:?}"));
        shown.push(format!("{:?}", runtime.block_on(sealed.shown(&event)).unwrap()));
        assert!(runtime.block_on(nobody.shown(&event)).is_err(), "no key is no reason to name anybody");
    }
    assert!(shown.iter().all(|text| text.contains("pseudonym") && PERSONAL.iter().all(|word| !text.contains(word))), "{shown:?}");
}

#[test]
fn a_pseudonym_is_known_for_one() {
    assert!(super::is_pseudonym("pseudonym#00000000000000000000000000000001"));
    for name in ["", "pseudonym", "pseudonym#", "pseudonym#ana@example.com", "ana@example.com", "https://idp.test#00ff", "pseudonym#äf"] {
        assert!(!super::is_pseudonym(name), "{name}");
    }
}

#[test]
fn plain_records_name_people() {
    let (_folder, lines) = write(Privacy::default());
    let text = lines.concat();
    assert!(PERSONAL.iter().all(|word| text.contains(word)));
    assert!(!text.contains("\"sealed\""));
}

#[test]
fn sealed_records_hold_no_personal_value_in_clear() {
    let (folder, lines) = write(sealed(&Arc::default()));
    for line in &lines {
        assert!(PERSONAL.iter().all(|word| !line.contains(word)), "{line}");
        assert!(line.contains("\"pseudonym\":\"pseudonym#"), "{line}");
    }
    assert!(lines[0].contains("\"ip\":\"203.0.113.0\""), "the network stays: {}", lines[0]);
    assert_eq!(check_log(folder.path()).findings, []);
    let uid = |at: usize, place: &str| records(folder.path())[at].pointer(place).and_then(Value::as_str).unwrap().to_owned();
    assert_eq!(uid(0, "/actor/user/uid"), uid(1, "/user/uid"), "the same pseudonym in all records");
    assert_ne!(uid(3, "/user/uid"), uid(3, "/actor/user/uid"));
}

#[test]
fn whoever_holds_the_keys_reads_names() {
    let keys = Arc::<Drawer>::default();
    let (_folder, lines) = write(sealed(&keys));
    let book = keys.book();
    let shown: Vec<Value> = lines.iter().map(|line| book.reveal(line).unwrap()).collect();
    assert_eq!(shown[0].pointer("/actor/user/email_addr"), Some(&Value::from("ana@example.com")));
    assert_eq!(shown[0].pointer("/actor/user/uid"), Some(&Value::from("https://idp.test#ana")));
    assert_eq!(shown[0].pointer("/src_endpoint/ip"), Some(&Value::from("203.0.113.77")));
    assert_eq!(shown[0].pointer("/http_request/user_agent"), Some(&Value::from("ana's own browser")));
    assert_eq!(shown[3].pointer("/actor/user/uid"), Some(&Value::from("https://idp.test#eva")));
    assert_eq!(shown[4].pointer("/user/email_addr"), Some(&Value::from("ana@example.com")));
    let text: String = shown.iter().map(ToString::to_string).collect();
    assert!(PERSONAL.iter().all(|word| text.contains(word)));
    assert_eq!(book.pseudonyms("ana@example.com").len(), 2, "by subject, and by the address of the invitation");
}

#[test]
fn a_destroyed_key_leaves_the_pseudonym_and_the_proof() {
    let keys = Arc::<Drawer>::default();
    let (folder, lines) = write(sealed(&keys));
    keys.0.lock().unwrap().retain(|subject, _| subject.sub == "eva");
    let book = keys.book();
    for line in &lines {
        let shown = book.reveal(line).map_or_else(|| line.clone(), |value| value.to_string());
        assert!(PERSONAL.iter().filter(|word| !word.contains("eva") && !word.contains("203")).all(|word| !shown.contains(word)), "{shown}");
    }
    assert_eq!(check_log(folder.path()).findings, []);
}

#[test]
fn two_records_of_one_person_share_no_nonce() {
    let key = PersonKey::new("00", &[1; 32]).unwrap();
    let (one, other) = (key.seal(b"the same").unwrap(), key.seal(b"the same").unwrap());
    assert_ne!(one.value[..16], other.value[..16]);
    assert_eq!(key.open(&one.value).unwrap().as_slice(), b"the same");
    assert!(PersonKey::new("01", &[1; 32]).unwrap().open(&one.value).is_none(), "sealed for another pseudonym");
    assert!(PersonKey::new("00", &[2; 32]).unwrap().open(&one.value).is_none());
}

#[test]
fn without_a_key_nothing_is_recorded_in_clear_instead() {
    let folder = tempdir().unwrap();
    let recorder = start(folder.path()).with_privacy(Privacy { personal: Personal::Sealed(Arc::new(NoKeys)), addresses: Addresses::Full });
    for event in events() {
        assert!(runtime().block_on(recorder.keep(event.clone())).is_err());
        recorder.keep_later(event);
    }
    recorder.shutdown();
    let text = records(folder.path()).iter().map(ToString::to_string).collect::<String>();
    assert!(!text.is_empty() && PERSONAL.iter().all(|word| !text.contains(word)), "{text}");
}

#[test]
fn addresses_can_be_cut_to_their_networks() {
    let (_folder, lines) = write(Privacy { personal: Personal::Plain, addresses: Addresses::Network });
    let text = lines.concat();
    assert!(!text.contains("203.0.113.77") && text.contains("203.0.113.0"));
    assert!(text.contains("ana@example.com"));
    let cut = |text: &str| network(text.parse().unwrap()).to_string();
    assert_eq!(cut("2001:db8:1:2:3::4"), "2001:db8:1::");
    assert_eq!(cut("::ffff:192.0.2.9"), "192.0.2.0");
}
