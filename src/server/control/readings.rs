//! What is on record of orders that change nothing: who read about people, and who was refused.

use kernel::event::{Body, ChangedBy, Consulted, EntityChange, EntityFacts};
use kernel::identity::Subject;

use super::lines::session_line;
use super::{Attendant, Outcome, Refused, words};

impl Attendant<'_> {
    /// Whoever reads what the gateway holds about people is on record before they see it.
    pub(super) async fn record_consulted(&self, what: Consulted) -> Result<(), Refused> {
        let by = ChangedBy::Operator { uid: self.uid };
        let facts = EntityFacts { change: EntityChange::Consult { what }, by, failure: None };
        self.record(Body::Entity(Box::new(facts))).await
    }

    /// Puts an order that is not taken on record. It is refused whether or not that could be done.
    pub(super) async fn refuse(&self, why: Refused, recorded: &str) -> Outcome {
        let by = ChangedBy::Operator { uid: self.uid };
        let facts = EntityFacts { change: EntityChange::RefuseOrder, by, failure: Some(recorded.to_owned()) };
        if let Err(failure) = self.record(Body::Entity(Box::new(facts))).await {
            tracing::error!(error = %failure, "a refused order was not recorded");
        }
        Outcome::Refused { why }
    }

    /// The live sessions, of everybody or of one person.
    pub(super) async fn sessions(&self, user: Option<&str>) -> Result<Outcome, Refused> {
        let subject: Option<Subject> = match user {
            Some(user) => Some(self.find(user).await?.identity.subject),
            None => None,
        };
        self.record_consulted(subject.clone().map_or(Consulted::Sessions, Consulted::User)).await?;
        let sessions = self.gateway.sessions.list(subject).await.map_err(words)?;
        Ok(Outcome::Sessions(sessions.iter().map(session_line).collect()))
    }
}
