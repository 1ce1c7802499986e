//! The transition function of a session. An ended session never comes back.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The life of a session so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionState {
    pub created: Timestamp,
    /// When the IdP last vouched for the person.
    pub authenticated: Timestamp,
    pub last_seen: Timestamp,
    pub ended: Option<(EndReason, Timestamp)>,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    ExpireIdle,
    ExpireAbsolute,
    LogOut,
    /// The IdP said so (back-channel logout).
    IdpLogOut,
    Revoke,
    /// Another person signed in with the same browser.
    Replace,
    /// The subject was locked or its factors were reset.
    Lock,
}

/// Bounds of a session's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRules {
    /// Time without a request after which a session ends.
    pub idle_timeout: Duration,
    /// Time after sign-in after which a session ends in any case.
    pub absolute_timeout: Duration,
}

/// What happens to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    Seen,
    /// The IdP vouched again for the same person.
    Reauthenticated,
    End(EndReason),
}

impl SessionState {
    #[must_use]
    pub const fn begin(now: Timestamp) -> Self {
        Self { created: now, authenticated: now, last_seen: now, ended: None }
    }

    #[must_use]
    pub const fn is_live(&self) -> bool {
        self.ended.is_none()
    }

    /// When the session will end if nothing more is seen of it.
    #[must_use]
    pub fn expires(&self, rules: &SessionRules) -> Timestamp {
        self.last_seen.plus(rules.idle_timeout).min(self.authenticated.plus(rules.absolute_timeout))
    }
}

/// The state after an event. Expiry is judged first, so that the event that comes too late does not keep a session alive.
#[must_use]
pub fn advance(state: SessionState, event: SessionEvent, rules: &SessionRules, now: Timestamp) -> SessionState {
    if state.ended.is_some() {
        return state;
    }
    let end = |reason| SessionState { ended: Some((reason, now)), ..state };
    if now.since(state.authenticated) >= rules.absolute_timeout {
        return end(EndReason::ExpireAbsolute);
    }
    if now.since(state.last_seen) >= rules.idle_timeout {
        return end(EndReason::ExpireIdle);
    }
    // A clock set back moves neither time back.
    let seen = state.last_seen.max(now);
    match event {
        SessionEvent::Seen => SessionState { last_seen: seen, ..state },
        SessionEvent::Reauthenticated => SessionState { last_seen: seen, authenticated: state.authenticated.max(now), ..state },
        SessionEvent::End(reason) => end(reason),
    }
}

#[cfg(test)]
#[path = "advance_tests.rs"]
mod tests;
