//! Events as OCSF 1.5.0 JSON lines (contract.md, section 6): one event, one line, whatever it holds.
//!
//! `metadata` comes last and its `sequence` last of all, so that the writer can add the number when it knows it, and so that
//! no text of a client stands behind it.

mod http;

use kernel::Failure;
use kernel::event::{
    AccountChange, AccountFacts, Actor, AuthenticationFacts, AuthenticationStep, Body, ChangedBy, Client, EntityChange, EntityFacts, Event,
    LifecycleChange, LifecycleFacts,
};
use kernel::identity::assurance::FactorKind;
use kernel::policy::Reason;
use kernel::session::EndReason;

use crate::entropy;

use crate::audit::layout::SEQUENCE_KEY;
use crate::audit::log::Line;
use crate::audit::text::{Flag, Json, Sealed};

/// Writes an event as a line that lacks only its sequence.
pub fn encode(event: &Event, origin: &str) -> Result<Line, Failure> {
    encode_with(event, origin, Vec::new())
}

/// As [`encode`], for an event whose personal values were taken out and sealed.
pub fn encode_with(event: &Event, origin: &str, sealed: Vec<Sealed>) -> Result<Line, Failure> {
    let random = entropy::bytes::<10>()?;
    let uid = uuid::Builder::from_unix_timestamp_millis(event.time.as_millis(), &random).into_uuid();
    let mut json = Json::begin_with(sealed);
    match &event.body {
        Body::Decision(facts) => http::decision(&mut json, facts, event.time),
        Body::Exchange(facts) => http::exchange(&mut json, facts),
        Body::Authentication(facts) => authentication(&mut json, facts),
        Body::Account(facts) => account(&mut json, facts),
        Body::Entity(facts) => entity(&mut json, facts),
        Body::Lifecycle(facts) => lifecycle(&mut json, facts),
    }
    json.number("time", event.time.as_millis());
    json.object("metadata", |json| {
        json.text("version", OCSF_VERSION);
        json.object("product", product);
        json.list("profiles", profiles(&event.body).iter().copied());
        json.text("log_name", "audit");
        json.text("log_provider", origin);
        json.text("uid", uid.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()));
    });
    let mut line = json.into_bytes();
    // Opens `metadata` again, and leaves it and the record open: the writer closes both.
    line.pop();
    line.push(b',');
    line.extend_from_slice(SEQUENCE_KEY);
    Ok(Line(line))
}

const fn profiles(body: &Body) -> &'static [&'static str] {
    match body {
        Body::Decision(_) => &["host", "security_control"],
        Body::Exchange(_) | Body::Authentication(_) | Body::Account(_) | Body::Entity(_) | Body::Lifecycle(_) => &["host"],
    }
}

fn product(json: &mut Json) {
    json.text("name", "Portcullis");
    json.text("vendor_name", "Portcullis");
    json.text("version", PRODUCT_VERSION);
}

/// The head that every event has.
fn head(json: &mut Json, class: u64, activity: (u64, &str), severity: Severity, failed: Flag) {
    json.number("class_uid", class);
    json.number("category_uid", class / 1_000);
    json.number("activity_id", activity.0);
    json.text("activity_name", activity.1);
    json.number("type_uid", class * 100 + activity.0);
    json.number("severity_id", severity as u64);
    json.number(
        "status_id",
        match failed {
            Flag::No => 1,
            Flag::Yes => 2,
        },
    );
}

fn authentication(json: &mut Json, facts: &AuthenticationFacts) {
    let (activity, step) = match facts.step {
        AuthenticationStep::SignIn => ((1, "Logon"), "sign_in"),
        AuthenticationStep::SecondFactor(_) => ((1, "Logon"), "second_factor"),
        AuthenticationStep::Finish => ((OTHER, "Finish"), "finish"),
        AuthenticationStep::SignOut => ((2, "Logoff"), "sign_out"),
        AuthenticationStep::BackchannelLogout => ((2, "Logoff"), "backchannel_logout"),
        AuthenticationStep::Expire(_) => ((2, "Logoff"), "expire"),
    };
    let kind = match facts.step {
        AuthenticationStep::SecondFactor(kind) => Some(kind),
        AuthenticationStep::SignIn
        | AuthenticationStep::Finish
        | AuthenticationStep::SignOut
        | AuthenticationStep::BackchannelLogout
        | AuthenticationStep::Expire(_) => None,
    };
    let (failed, severity) = outcome(facts.failure.is_some());
    head(json, AUTHENTICATION, activity, severity, failed);
    json.maybe("status_code", facts.failure.map(Reason::code));
    json.maybe("status_detail", facts.detail.as_deref());
    if kind.is_none() {
        json.number("auth_protocol_id", AUTH_PROTOCOL_OPENID);
    }
    json.flag("is_mfa", if kind.is_some() { Flag::Yes } else { Flag::No });
    if let Some(kind) = kind {
        json.one("auth_factors", |json| json.number("factor_type_id", factor_type(kind)));
    }
    json.object("service", |json| json.text("name", "portcullis"));
    user(json, facts.actor.as_ref());
    session(json, facts.actor.as_ref());
    client(json, facts.client.as_ref());
    if let Some(agent) = &facts.user_agent {
        json.object("http_request", |json| json.text("user_agent", agent));
    }
    own(json, |json| {
        json.text("event", step);
        json.maybe("request_id", facts.request_id.map(|id| id.to_string()).as_deref());
        json.maybe("reason", facts.failure.map(Reason::code));
        json.maybe("factor", kind.map(FactorKind::as_str));
        json.maybe("idp", facts.idp.as_deref());
        if let AuthenticationStep::Expire(reason) = facts.step {
            json.text("end", end_reason(reason));
        }
    });
}

fn account(json: &mut Json, facts: &AccountFacts) {
    let (activity, change) = match facts.change {
        AccountChange::FirstSeen => ((1, "Create"), "first_seen"),
        AccountChange::EnrolFactor(_) => ((10, "MFA Factor Enable"), "enrol_factor"),
        AccountChange::IssueRecoveryCodes => ((10, "MFA Factor Enable"), "issue_recovery_codes"),
        AccountChange::ResetFactors => ((11, "MFA Factor Disable"), "reset_factors"),
        AccountChange::Invite => ((OTHER, "Invite"), "invite"),
        AccountChange::Lock => ((9, "Lock"), "lock"),
        AccountChange::Unlock => ((OTHER, "Unlock"), "unlock"),
        AccountChange::Erase => ((6, "Delete"), "erase"),
    };
    let (failed, severity) = outcome(facts.failure.is_some());
    head(json, ACCOUNT_CHANGE, activity, severity, failed);
    json.maybe("status_code", facts.failure.map(Reason::code));
    json.object("user", |json| {
        match &facts.subject {
            Some(subject) => json.text("uid", &subject.to_string()),
            None => json.text("name", facts.email.as_deref().unwrap_or(NOBODY)),
        }
        json.maybe("email_addr", facts.email.as_deref());
    });
    json.object("actor", |json| changed_by(json, &facts.by));
    client(json, facts.client.as_ref());
    own(json, |json| {
        json.text("event", change);
        json.maybe("request_id", facts.request_id.map(|id| id.to_string()).as_deref());
        json.maybe("reason", facts.failure.map(Reason::code));
        if let AccountChange::EnrolFactor(kind) = facts.change {
            json.text("factor", kind.as_str());
        }
        by_field(json, &facts.by);
    });
}

fn entity(json: &mut Json, facts: &EntityFacts) {
    let (failed, severity) = outcome(facts.failure.is_some());
    let activity = match facts.change {
        EntityChange::Configuration { .. } => (3, "Update"),
        EntityChange::RevokeSessions { .. } | EntityChange::DropRecords { .. } => (4, "Delete"),
        EntityChange::ReadLog { .. } => (2, "Read"),
    };
    head(json, ENTITY_MANAGEMENT, activity, severity, failed);
    json.maybe("status_detail", facts.failure.as_deref());
    json.object("actor", |json| changed_by(json, &facts.by));
    json.object("entity", |json| match &facts.change {
        EntityChange::Configuration { config } => {
            json.text("name", "configuration");
            json.text("type", "configuration");
            json.text("uid", config);
        }
        EntityChange::RevokeSessions { .. } => {
            json.text("name", "sessions");
            json.text("type", "session");
        }
        EntityChange::ReadLog { .. } | EntityChange::DropRecords { .. } => {
            json.text("name", "audit log");
            json.text("type", "audit_log");
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
            EntityChange::ReadLog { command, filters, records } => {
                json.text("event", "read_log");
                json.text("command", command);
                json.text("filters", filters);
                json.number("records", *records);
            }
            EntityChange::DropRecords { first, end, segments } => {
                json.text("event", "drop_records");
                json.number("first", *first);
                json.number("end", *end);
                json.number("segments", *segments);
            }
        }
        by_field(json, &facts.by);
    });
}

fn lifecycle(json: &mut Json, facts: &LifecycleFacts) {
    let (activity, severity, change) = match facts.change {
        LifecycleChange::Start => ((3, "Start"), Severity::Informational, "start"),
        LifecycleChange::Stop => ((4, "Stop"), Severity::Informational, "stop"),
        LifecycleChange::LogRepaired => ((OTHER, "Log Repaired"), Severity::Medium, "log_repaired"),
        LifecycleChange::LogFull => ((OTHER, "Log Full"), Severity::High, "log_full"),
        LifecycleChange::LogRecovered => ((OTHER, "Log Recovered"), Severity::High, "log_recovered"),
        LifecycleChange::ClockJump => ((OTHER, "Clock Jump"), Severity::Medium, "clock_jump"),
        LifecycleChange::CertificateReload => ((8, "Update"), Severity::Informational, "certificate_reload"),
    };
    head(json, APPLICATION_LIFECYCLE, activity, severity, Flag::No);
    json.maybe("message", facts.detail.as_deref());
    json.object("app", product);
    own(json, |json| json.text("event", change));
}

/// The product's own fields.
fn own(json: &mut Json, content: impl FnOnce(&mut Json)) {
    json.object("unmapped", |json| {
        json.object("portcullis", |json| {
            content(json);
            json.state_sealed();
            json.state_cuts();
        });
    });
}

fn person(json: &mut Json, actor: Option<&Actor>) {
    match actor {
        Some(_) => {
            user(json, actor);
            session(json, actor);
        }
        // OCSF wants an actor to name something.
        None => json.text("app_name", "anonymous"),
    }
}

fn user(json: &mut Json, actor: Option<&Actor>) {
    json.object("user", |json| match actor {
        Some(actor) => {
            json.text("uid", &actor.subject.to_string());
            json.maybe("email_addr", actor.email.as_ref().map(kernel::identity::Email::as_str));
            if !actor.groups.is_empty() {
                json.named("groups", "name", actor.groups.iter().map(String::as_str));
            }
        }
        None => json.text("name", NOBODY),
    });
}

fn session(json: &mut Json, actor: Option<&Actor>) {
    if let Some(id) = actor.and_then(|actor| actor.session) {
        json.object("session", |json| json.text("uid", &id.to_string()));
    }
}

fn client(json: &mut Json, client: Option<&Client>) {
    if let Some(client) = client {
        json.object("src_endpoint", |json| {
            json.text("ip", &client.address.to_string());
            json.number("port", client.port.into());
        });
    }
}

fn changed_by(json: &mut Json, by: &ChangedBy) {
    match by {
        ChangedBy::Person(subject) => json.object("user", |json| json.text("uid", &subject.to_string())),
        ChangedBy::Operator { uid } => json.object("user", |json| json.text("uid", &uid.to_string())),
        ChangedBy::Gateway => json.text("app_name", "portcullis"),
    }
}

fn by_field(json: &mut Json, by: &ChangedBy) {
    json.text(
        "by",
        match by {
            ChangedBy::Person(_) => "person",
            ChangedBy::Operator { .. } => "operator",
            ChangedBy::Gateway => "gateway",
        },
    );
}

const fn outcome(failed: bool) -> (Flag, Severity) {
    if failed { (Flag::Yes, Severity::Low) } else { (Flag::No, Severity::Informational) }
}

const fn factor_type(kind: FactorKind) -> u64 {
    match kind {
        FactorKind::Totp => 7,
        FactorKind::Webauthn => 10,
        FactorKind::RecoveryCode => OTHER,
    }
}

const fn end_reason(reason: EndReason) -> &'static str {
    match reason {
        EndReason::ExpireIdle => "expire_idle",
        EndReason::ExpireAbsolute => "expire_absolute",
        EndReason::LogOut => "log_out",
        EndReason::IdpLogOut => "idp_log_out",
        EndReason::Revoke => "revoke",
        EndReason::Replace => "replace",
        EndReason::Lock => "lock",
    }
}

#[derive(Clone, Copy, Debug)]
enum Severity {
    Informational = 1,
    Low = 2,
    Medium = 3,
    High = 4,
}

/// The released version of the schema that records follow.
pub const OCSF_VERSION: &str = "1.5.0";

const PRODUCT_VERSION: &str = env!("CARGO_PKG_VERSION");
const ACCOUNT_CHANGE: u64 = 3_001;
const AUTHENTICATION: u64 = 3_002;
const ENTITY_MANAGEMENT: u64 = 3_004;
const HTTP_ACTIVITY: u64 = 4_002;
const APPLICATION_LIFECYCLE: u64 = 6_002;
const OTHER: u64 = 99;
const AUTH_PROTOCOL_OPENID: u64 = 4;

/// What stands where OCSF requires a person and nobody is known.
const NOBODY: &str = "unknown";
