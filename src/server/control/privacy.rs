//! Orders about what is known of people: that the log was read, and the erasure of a person.

use kernel::event::{AccountChange, AccountFacts, Body, ChangedBy, EntityChange, EntityFacts};
use kernel::identity::{Email, Subject};
use kernel::session::EndReason;
use serde::{Deserialize, Serialize};

use super::{Attendant, Outcome, Refused, words};
use crate::audit::pseudonym::{Keys, by_email};
use crate::store::{Erased, SessionFilter, SubjectRecord};

/// What an erasure removed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErasedPage {
    /// As the operator named the person.
    pub user: String,
    /// What records call them from now on; none where nothing was known.
    pub pseudonym: Option<String>,
    pub subjects: usize,
    pub sessions_ended: usize,
    pub factors: usize,
    pub recovery_codes: usize,
    pub invitations: usize,
    pub keys: usize,
    /// What is kept, and why; what else is to be done.
    pub kept: Vec<String>,
}

impl Attendant<'_> {
    /// Somebody is about to see records. On record when this returns.
    pub(super) async fn read_log(&self, command: String, filters: String, records: u64) -> Result<Outcome, Refused> {
        let change = EntityChange::ReadLog { command, filters, records };
        let facts = EntityFacts { change, by: ChangedBy::Operator { uid: self.uid }, failure: None };
        self.record(Body::Entity(Box::new(facts))).await?;
        Ok(Outcome::Recorded {})
    }

    /// Removes a person. Done again it finds nothing, and says so.
    pub(super) async fn erase(&self, user: &str) -> Result<Outcome, Refused> {
        let known = self.find_if_any(user).await?;
        let email = match &known {
            Some(record) => record.identity.email.clone(),
            None => Email::parse(user).ok(),
        };
        if known.is_none() && email.is_none() {
            return Err(format!("nobody known is called {user:?}; `portcullis user list` shows everybody who has signed in"));
        }
        let subject = known.as_ref().map(|record| record.identity.subject.clone());
        let email = email.map(|email| email.to_string());
        let invited = email.as_deref().map(by_email);
        let pseudonym = match &subject {
            Some(subject) => Some(self.record_erasure(subject).await?),
            None => None,
        };
        let sessions_ended = match &subject {
            Some(subject) => {
                let ended = self.gateway.sessions.end(SessionFilter::OfSubject(subject.clone()), EndReason::Revoke).await.map_err(words)?;
                ended.len()
            }
            None => 0,
        };
        let erased = self.gateway.store.erase(subject.clone(), email).await.map_err(words)?;
        subject.iter().chain(&invited).for_each(|person| self.gateway.people.forget(person));
        Ok(Outcome::Erased(Box::new(page(user, pseudonym, sessions_ended, erased, known.as_ref()))))
    }

    /// By the pseudonym alone: a record that named the person would undo what it records.
    async fn record_erasure(&self, subject: &Subject) -> Result<String, Refused> {
        let key = self.gateway.people.of(subject.clone()).await.map_err(|failure| format!("nothing was changed: {failure}"))?;
        let facts = AccountFacts {
            request_id: None,
            change: AccountChange::Erase,
            failure: None,
            subject: Some(key.subject()),
            email: None,
            by: ChangedBy::Operator { uid: self.uid },
            client: None,
        };
        self.record(Body::Account(Box::new(facts))).await?;
        Ok(key.pseudonym().to_owned())
    }
}

fn page(user: &str, pseudonym: Option<String>, sessions_ended: usize, erased: Erased, known: Option<&SubjectRecord>) -> ErasedPage {
    let mut kept = Vec::new();
    if pseudonym.is_some() {
        kept.push(
            "audit records stay, because they are evidence: sealed ones name the pseudonym alone from now on; those written while \
             `audit.personal` was \"plain\" keep the name until their retention is over"
                .to_owned(),
        );
        kept.push("backups of the database hold the person and the key until they are overwritten: let them run out".to_owned());
        kept.push("what was shipped to a SIEM is the SIEM's to erase".to_owned());
    }
    if known.is_some_and(|record| record.locked) {
        kept.push("the person was locked, and that is gone too: take their account away at the IdP, or they can sign in again".to_owned());
    }
    kept.push("the name may stand in rules of `routes/`: `portcullis routes` and a search there show where".to_owned());
    ErasedPage {
        user: user.to_owned(),
        pseudonym,
        subjects: erased.subjects,
        sessions_ended,
        factors: erased.factors,
        recovery_codes: erased.recovery_codes,
        invitations: erased.invitations,
        keys: erased.keys,
        kept,
    }
}
