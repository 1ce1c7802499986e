//! What the store holds, as lines for the operator.

use kernel::session::Session;
use kernel::time::Timestamp;

use super::{SessionLine, UserLine};
use crate::store::SubjectRecord;

pub(super) fn user_line(record: &SubjectRecord) -> UserLine {
    UserLine {
        email: record.identity.email.as_ref().map(ToString::to_string),
        name: record.identity.name.clone(),
        subject: record.identity.subject.to_string(),
        locked: record.locked,
        first_seen: whole_seconds(record.first_seen),
        last_seen: whole_seconds(record.last_seen),
    }
}

pub(super) fn session_line(session: &Session) -> SessionLine {
    let identity = &session.identity;
    SessionLine {
        id: session.id,
        user: identity.email.as_ref().map_or_else(|| identity.subject.to_string(), ToString::to_string),
        factor: session.assurance.latest().map(|proof| proof.kind.as_str().to_owned()),
        begun: whole_seconds(session.state.created),
        last_seen: whole_seconds(session.state.last_seen),
        address: session.address.map(|address| address.to_string()),
        user_agent: session.user_agent.clone(),
    }
}

fn whole_seconds(time: Timestamp) -> String {
    let text = Timestamp::from_seconds(time.as_seconds()).to_string();
    text.replace(".000000Z", "Z")
}
