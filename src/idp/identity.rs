//! From claims to an identity: who it is, with the e-mail address and groups that the IdP vouches for.

use kernel::identity::{Email, Group, Identity, Subject};
use serde_json::Value;

use super::EmailTrust;
use super::fault::GroupsFault;
use super::json::{Object, text};

/// Most groups taken.
pub const GROUPS_MAX: usize = 1_000;

/// Longest name of a group, in bytes.
pub const GROUP_BYTES_MAX: usize = 256;

/// How claims become an identity.
pub struct Mapping<'a> {
    pub groups_claim: Option<&'a str>,
    pub email_domains: Option<&'a [String]>,
    pub email_trust: EmailTrust,
    pub expects_email: bool,
}

impl Mapping<'_> {
    /// Whether something that is wanted is not in the ID token, so that userinfo is asked.
    pub fn wants_more(&self, id_token: &Object) -> bool {
        (self.expects_email && self.email(id_token).is_none()) || self.groups_claim.is_some_and(|name| find(id_token, name).is_none())
    }

    /// The identity. What stands in the ID token counts before what stands in userinfo.
    pub fn identity(&self, subject: Subject, id_token: &Object, userinfo: Option<&Object>) -> Result<Identity, GroupsFault> {
        let sources = || std::iter::once(id_token).chain(userinfo);
        Ok(Identity {
            subject,
            // Address and vouching must come from one source: each alone says nothing about the other's.
            email: sources().find_map(|claims| self.email(claims)),
            name: sources().find_map(name),
            groups: self.groups(sources())?,
        })
    }

    fn email(&self, claims: &Object) -> Option<Email> {
        let email = Email::parse(text(claims, "email")?).ok()?;
        let vouched = match self.email_trust {
            // The text "true" is not the truth: some IdPs let people write that claim themselves.
            EmailTrust::VerifiedOnly => claims.get("email_verified") == Some(&Value::Bool(true)),
            EmailTrust::AlsoUnverified => true,
        };
        let of_ours = self.email_domains.is_none_or(|domains| domains.iter().any(|domain| domain.eq_ignore_ascii_case(email.domain())));
        (vouched && of_ours).then_some(email)
    }

    fn groups<'o>(&self, mut sources: impl Iterator<Item = &'o Object> + Clone) -> Result<Vec<Group>, GroupsFault> {
        let Some(claim) = self.groups_claim else { return Ok(Vec::new()) };
        if sources.clone().any(|claims| is_left_out(claims, claim)) {
            return Err(GroupsFault::Overage);
        }
        sources.find_map(|claims| find(claims, claim)).map_or(Ok(Vec::new()), read_groups)
    }
}

fn read_groups(value: &Value) -> Result<Vec<Group>, GroupsFault> {
    match value {
        Value::String(name) => group(name).map(|group| vec![group]),
        Value::Array(names) if names.len() > GROUPS_MAX => Err(GroupsFault::TooMany),
        Value::Array(names) => names.iter().map(|name| name.as_str().ok_or(GroupsFault::Shape).and_then(group)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Err(GroupsFault::Shape),
    }
}

fn group(name: &str) -> Result<Group, GroupsFault> {
    let plain = !name.is_empty() && name.len() <= GROUP_BYTES_MAX && !name.chars().any(char::is_control);
    if plain { Ok(Group::new(name)) } else { Err(GroupsFault::Name) }
}

/// A claim by its name or, where no claim has that name, by the path that its dots describe (`realm_access.roles`).
fn find<'o>(claims: &'o Object, name: &str) -> Option<&'o Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let mut parts = name.split('.');
    let first = claims.get(parts.next()?)?;
    parts.try_fold(first, |value, part| value.as_object()?.get(part))
}

/// Whether the groups are said to be elsewhere: a distributed claim (OpenID Connect Core §5.6.2), which is how Entra says that
/// there are too many.
fn is_left_out(claims: &Object, name: &str) -> bool {
    let first = name.split('.').next().unwrap_or(name);
    let elsewhere = claims.get("_claim_names").and_then(Value::as_object);
    let named = elsewhere.is_some_and(|names| names.contains_key(name) || names.contains_key(first));
    named || claims.get("hasgroups") == Some(&Value::Bool(true))
}

/// A name to show; nothing depends on it.
fn name(claims: &Object) -> Option<String> {
    let plain = |name: &&str| !name.trim().is_empty() && name.len() <= 256 && !name.chars().any(char::is_control);
    [text(claims, "name"), text(claims, "preferred_username")].into_iter().flatten().find(plain).map(str::to_owned)
}
