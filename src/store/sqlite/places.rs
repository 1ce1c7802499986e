//! Where sealed values are kept. Every place is named once, for sealing, opening and sealing anew.

use crate::store::sealing::Place;

pub(super) const fn canary() -> Place<'static> {
    Place { table: "meta", row: &[b"canary"] }
}

pub(super) const fn totp<'a>(subject: &'a [&'a [u8]]) -> Place<'a> {
    Place { table: "totp", row: subject }
}

pub(super) const fn id_token<'a>(session: &'a [&'a [u8]]) -> Place<'a> {
    Place { table: "session", row: session }
}

pub(super) const fn person_key<'a>(person: &'a [&'a [u8]]) -> Place<'a> {
    Place { table: "person_key", row: person }
}

pub(super) const fn acme_account<'a>(directory: &'a [&'a [u8]]) -> Place<'a> {
    Place { table: "acme_account", row: directory }
}

pub(super) const fn issued_certificate<'a>(host: &'a [&'a [u8]]) -> Place<'a> {
    Place { table: "issued_certificate", row: host }
}

pub(super) const fn secret<'a>(name: &'a [&'a [u8]]) -> Place<'a> {
    Place { table: "secret", row: name }
}
