//! The three people of the demo.

/// Somebody who can sign in. The password is the name.
#[derive(Clone, Copy, Debug)]
pub struct Person {
    pub login: &'static str,
    pub name: &'static str,
    pub email: &'static str,
    pub role: &'static str,
    pub groups: &'static [&'static str],
}

/// The person who signs in under `login`.
#[must_use]
pub fn find(login: &str) -> Option<&'static Person> {
    PEOPLE.iter().find(|person| person.login == login)
}

pub const ANA: Person = Person { login: "ana", name: "Ana Amsel", email: "ana@example.com", role: "staff: may read", groups: &["staff"] };
pub const BEN: Person = Person {
    login: "ben",
    name: "Ben Buchfink",
    email: "ben@example.com",
    role: "on call: may read and write",
    groups: &["staff", "on-call"],
};
pub const EVA: Person = Person {
    login: "eva",
    name: "Eva Elster",
    email: "eva@example.com",
    role: "admin: may read, and administer",
    groups: &["staff", "admin", "portcullis-admins"],
};

pub const PEOPLE: [Person; 3] = [ANA, BEN, EVA];
