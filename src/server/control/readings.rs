//! What is on record of orders that change nothing: who read about people, and who was refused.

use kernel::event::{Body, ChangedBy, Consulted, EntityChange, EntityFacts};

use super::{Attendant, Outcome, Refused};

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
}
