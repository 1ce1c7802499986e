//! `[[idp]]` and `[second_factor]`: who vouches for people, and what they show besides.

use std::time::Duration;

use kernel::identity::assurance::FactorKind;

use super::keys;
use super::read_files;
use super::read_main::{DAY, MINUTE, identifier};
use super::reader::{Fault, Table, Value, collect};
use super::sections::{EmailDomains, EmailTrust, Enrolment, Idp, SecondFactor};
use super::values;

pub(super) fn idps(value: &Value<'_>) -> Option<Vec<Idp>> {
    let read = value.filled_list()?;
    let mut ids: Vec<Box<str>> = Vec::new();
    let one = |value: &Value<'_>| {
        let table = value.table(keys::IDP)?;
        let id = table.need("id", identifier);
        if let Some(id) = &id {
            if ids.contains(id) {
                value.error(format!("two identity providers have the id `{id}`"), "give each provider its own id");
            }
            ids.push(id.clone());
        }
        idp(&table, id)
    };
    collect(read.iter().map(one))
}

fn idp(table: &Table<'_>, id: Option<Box<str>>) -> Option<Idp> {
    let label = table.value("label").map(|value| value.owned());
    let issuer = table.need("issuer", |value| Some((value.parsed(values::issuer)?, value.owned()?)));
    let client_id = table.need("client_id", Value::owned);
    let client_secret = table.need("client_secret", read_files::secret);
    let scopes = table.or("scopes", texts(&SCOPES), |value| value.each_filled(scope));
    let groups_claim = table.or("groups_claim", "groups".into(), Value::owned);
    let ca = table.value("ca").map(|value| read_files::roots(&value));
    let email_domains = table.or("email_domains", EmailDomains::Any, |value| value.each_filled(domain).map(EmailDomains::Listed));
    let trust = table.or("trust_unverified_email", EmailTrust::VerifiedOnly, |value| {
        Some(if value.flag()? { EmailTrust::UnverifiedToo } else { EmailTrust::VerifiedOnly })
    });
    let id = id?;
    let (issuer, issuer_text) = issuer?;
    Some(Idp {
        label: label.unwrap_or_else(|| Some(id.clone()))?,
        id,
        issuer,
        issuer_text,
        client_id: client_id?,
        client_secret: client_secret?,
        scopes,
        groups_claim,
        ca: ca.map_or(Some(None), |ca| ca.map(Some))?,
        email_domains,
        trust_unverified_email: trust,
    })
}

fn scope(value: &Value<'_>) -> Option<Box<str>> {
    value.parsed(|text| {
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'));
        plain
            .then(|| text.into())
            .ok_or_else(|| Fault::new(format!("`{text}` is not a scope"), "write each scope as a string of its own, without spaces"))
    })
}

fn domain(value: &Value<'_>) -> Option<Box<str>> {
    value.parsed(|text| {
        let host = text.strip_prefix('@').unwrap_or(text);
        match kernel::request::host::Host::parse(host) {
            Ok(host) if text.starts_with('@') => Err(Fault::new("a domain is written without `@`", format!("did you mean `{host}`?"))),
            Ok(host) => Ok(host.as_str().into()),
            Err(fault) => Err(Fault::new(format!("`{text}` is not a domain: {fault}"), "write a domain like \"example.com\"")),
        }
    })
}

pub(super) fn second_factor(value: &Value<'_>, idps: Option<&[Idp]>) -> Option<SecondFactor> {
    let table = value.table(keys::SECOND_FACTOR)?;
    let methods = table.or("methods", vec![FactorKind::Totp], |value| {
        value.each_filled(|method| {
            let kind = method.choice(&[("totp", FactorKind::Totp), ("webauthn", FactorKind::Webauthn)])?;
            if kind == FactorKind::Webauthn {
                method.warn(
                    "this version does not offer webauthn yet: only totp can be enrolled",
                    "keep it for a later version, or remove it",
                );
            }
            Some(kind)
        })
    });
    let window = table.or("enrolment_window", ENROLMENT_WINDOW, |value| values::duration(value, MINUTE, 30 * DAY));
    let enrolment = table.or("enrolment", Enrolment::Invite, |value| {
        value.choice(&[("invite", Enrolment::Invite), ("first-login", Enrolment::FirstLogin { window })])
    });
    let trust_idp = table.or("trust_idp", Vec::new(), |value| value.each(|id| known_idp(id, idps)));
    Some(SecondFactor { methods, enrolment, trust_idp })
}

fn known_idp(value: &Value<'_>, idps: Option<&[Idp]>) -> Option<Box<str>> {
    let text = value.owned()?;
    // With a mistake in the providers it is not known which ids there are.
    let Some(idps) = idps else { return Some(text) };
    if idps.iter().any(|idp| idp.id == text) {
        value.warn(
            "this version trusts no provider's second factor yet: everybody shows the gateway's own",
            "keep it for a later version, or remove it",
        );
        return Some(text);
    }
    let ids: Vec<&str> = idps.iter().map(|idp| &*idp.id).collect();
    value.error(format!("no [[idp]] has the id `{text}`"), super::nearest::did_you_mean(&text, &ids));
    None
}

fn texts(words: &[&str]) -> Vec<Box<str>> {
    words.iter().map(|word| (*word).into()).collect()
}

pub(super) fn second_factor_default() -> SecondFactor {
    SecondFactor { methods: vec![FactorKind::Totp], enrolment: Enrolment::Invite, trust_idp: Vec::new() }
}

const SCOPES: [&str; 4] = ["openid", "profile", "email", "groups"];
const ENROLMENT_WINDOW: Duration = DAY;
