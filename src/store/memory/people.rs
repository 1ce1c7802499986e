//! Keys of people, and the removal of a person.

use kernel::identity::Subject;

use super::State;
use crate::store::{Erased, PersonKey};

impl State {
    pub(super) fn person_key(&mut self, person: Subject, fresh: PersonKey) -> PersonKey {
        self.person_keys.entry(person).or_insert(fresh).clone()
    }

    pub(super) fn erase(&mut self, subject: Option<&Subject>, email: Option<&str>) -> Erased {
        let mut erased = Erased::default();
        if let Some(subject) = subject {
            let before = self.sessions.len();
            self.sessions.retain(|_, kept| kept.session.identity.subject != *subject);
            erased.sessions = before - self.sessions.len();
            self.cookies.retain(|cookie| self.sessions.contains_key(&cookie.session));
            erased.factors = usize::from(self.totp.remove(subject).is_some());
            erased.recovery_codes = self.recovery_codes.remove(subject).map_or(0, |codes| codes.len());
            self.attempts.remove(subject);
            erased.keys = usize::from(self.person_keys.remove(subject).is_some());
            erased.subjects = usize::from(self.subjects.remove(subject).is_some());
        }
        if let Some(email) = email {
            let before = self.invites.len();
            self.invites.retain(|_, (kept, _)| kept != email);
            erased.invitations = before - self.invites.len();
            let invited = Subject { issuer: String::new(), sub: email.to_owned() };
            erased.keys += usize::from(self.person_keys.remove(&invited).is_some());
        }
        erased
    }
}
