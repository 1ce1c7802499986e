//! The gateway itself: Entity Management (3004) and Application Lifecycle (6002).

use kernel::event::{Consulted, EntityChange, EntityFacts, LifecycleChange, LifecycleFacts};

use super::{APPLICATION_LIFECYCLE, ENTITY_MANAGEMENT, OTHER, Severity, by_field, changed_by, head, outcome, own, product};
use crate::audit::text::{Flag, Json};

pub(super) fn entity(json: &mut Json, facts: &EntityFacts) {
    let (failed, severity) = outcome(facts.failure.is_some());
    let activity = match facts.change {
        EntityChange::Configuration { .. } => (3, "Update"),
        EntityChange::RevokeSessions { .. } | EntityChange::DropRecords { .. } => (4, "Delete"),
        EntityChange::Consult { .. } | EntityChange::ReadLog { .. } => (2, "Read"),
        EntityChange::RefuseOrder => (OTHER, "Order"),
        EntityChange::SinkGap { .. } => (OTHER, "Sink Gap"),
        EntityChange::SinkRewind { .. } => (OTHER, "Sink Rewind"),
    };
    // Records that the receiver does not have, or somebody who wanted it so: look now.
    let is_of_sink = matches!(facts.change, EntityChange::SinkGap { .. } | EntityChange::SinkRewind { .. });
    let severity = if is_of_sink { Severity::High } else { severity };
    head(json, ENTITY_MANAGEMENT, activity, severity, failed);
    json.maybe("status_detail", facts.failure.as_deref());
    json.object("actor", |json| changed_by(json, &facts.by));
    json.object("entity", |json| {
        let (name, kind) = match &facts.change {
            EntityChange::Configuration { .. } => ("configuration", "configuration"),
            EntityChange::RevokeSessions { .. } | EntityChange::Consult { what: Consulted::Sessions } => ("sessions", "session"),
            EntityChange::Consult { what: Consulted::Users } => ("users", "user"),
            EntityChange::Consult { what: Consulted::User(_) } => ("user", "user"),
            EntityChange::RefuseOrder => ("control socket", "interface"),
            EntityChange::ReadLog { .. } | EntityChange::DropRecords { .. } => ("audit log", "audit_log"),
            EntityChange::SinkGap { sink, .. } | EntityChange::SinkRewind { sink, .. } => (sink.as_str(), "sink"),
        };
        json.text("name", name);
        json.text("type", kind);
        match &facts.change {
            EntityChange::Configuration { config } => json.text("uid", config),
            EntityChange::Consult { what: Consulted::User(subject) } => json.joined("uid", &subject.issuer, b'#', &subject.sub),
            EntityChange::RevokeSessions { .. }
            | EntityChange::Consult { .. }
            | EntityChange::RefuseOrder
            | EntityChange::ReadLog { .. }
            | EntityChange::SinkGap { .. }
            | EntityChange::SinkRewind { .. }
            | EntityChange::DropRecords { .. } => {}
        }
    });
    own(json, |json| {
        match &facts.change {
            EntityChange::Configuration { config } => {
                json.text("event", "configuration");
                json.text("config", config);
            }
            EntityChange::RevokeSessions { sessions } => {
                json.text("event", "revoke_sessions");
                let ids: Vec<String> = sessions.iter().map(ToString::to_string).collect();
                json.list("sessions", ids.iter().map(String::as_str));
            }
            EntityChange::Consult { .. } => json.text("event", "consult"),
            EntityChange::RefuseOrder => json.text("event", "refuse_order"),
            EntityChange::ReadLog { command, filters, records } => {
                json.text("event", "read_log");
                json.text("command", command);
                json.text("filters", filters);
                json.number("records", *records);
            }
            EntityChange::DropRecords { first, end, segments } => {
                json.text("event", "drop_records");
                json.number("first", *first);
                json.number("next", *end);
                json.number("segments", *segments);
            }
            EntityChange::SinkGap { sink, first, last } => {
                json.text("event", "sink_gap");
                json.text("sink", sink);
                json.number("first", *first);
                json.number("last", *last);
            }
            EntityChange::SinkRewind { sink, first } => {
                json.text("event", "sink_rewind");
                json.text("sink", sink);
                json.number("first", *first);
            }
        }
        by_field(json, &facts.by);
    });
}

pub(super) fn lifecycle(json: &mut Json, facts: &LifecycleFacts) {
    let (activity, severity, change) = match facts.change {
        LifecycleChange::Start => ((3, "Start"), Severity::Informational, "start"),
        LifecycleChange::Stop => ((4, "Stop"), Severity::Informational, "stop"),
        LifecycleChange::LogRepaired => ((OTHER, "Log Repaired"), Severity::Medium, "log_repaired"),
        LifecycleChange::LogFull => ((OTHER, "Log Full"), Severity::High, "log_full"),
        LifecycleChange::LogRecovered => ((OTHER, "Log Recovered"), Severity::High, "log_recovered"),
        LifecycleChange::ClockJump => ((OTHER, "Clock Jump"), Severity::Medium, "clock_jump"),
        LifecycleChange::CertificateReload => ((8, "Update"), Severity::Informational, "certificate_reload"),
        LifecycleChange::CertificateIssue => ((8, "Update"), Severity::Informational, "certificate_issue"),
        LifecycleChange::CertificateFailure => ((OTHER, "Certificate Failure"), Severity::Medium, "certificate_failure"),
        LifecycleChange::IdpKeysChange => ((OTHER, "IdP Keys Change"), Severity::Low, "idp_keys_change"),
    };
    head(json, APPLICATION_LIFECYCLE, activity, severity, Flag::No);
    json.maybe("message", facts.detail.as_deref());
    json.object("app", product);
    own(json, |json| json.text("event", change));
}
