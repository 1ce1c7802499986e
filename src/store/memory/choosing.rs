//! Which sessions an order is about, and the order in which people are listed.

use kernel::identity::Subject;
use kernel::session::Session;

use crate::store::{SessionFilter, SubjectRecord};

impl SessionFilter {
    pub(super) fn selects(&self, session: &Session) -> bool {
        let subject = &session.identity.subject;
        match self {
            Self::One(id) => session.id == *id,
            Self::OfSubject(wanted) => subject == wanted,
            Self::OfSubjectExcept(wanted, id) => subject == wanted && session.id != *id,
            Self::OfIdpSession { issuer, idp_session } => subject.issuer == *issuer && session.idp_session.as_ref() == Some(idp_session),
            Self::All => true,
        }
    }
}

/// By e-mail address, those without one last.
pub(super) fn order(record: &SubjectRecord) -> (bool, Option<&str>, &Subject) {
    let email = record.identity.email.as_ref().map(|email| email.as_str());
    (email.is_none(), email, &record.identity.subject)
}
