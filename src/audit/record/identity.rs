//! People: Authentication (3002), Authorize Session (3003) and Account Change (3001).

use kernel::event::{AccountChange, AccountFacts, AuthenticationFacts, AuthenticationStep, AuthorizationFacts};
use kernel::identity::assurance::FactorKind;
use kernel::policy::Reason;
use kernel::session::EndReason;

use super::{
    ACCOUNT_CHANGE, AUTHENTICATION, AUTHORIZE_SESSION, NOBODY, OTHER, Severity, by_field, changed_by, client, head, is_email, outcome, own,
    request_field, session, session_field, user,
};
use crate::audit::text::{Flag, Json};

pub(super) fn authentication(json: &mut Json, facts: &AuthenticationFacts) {
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
        request_field(json, facts.request_id);
        json.maybe("reason", facts.failure.map(Reason::code));
        json.maybe("factor", kind.map(FactorKind::as_str));
        json.maybe("idp", facts.idp.as_deref());
        if let AuthenticationStep::Expire(reason) = facts.step {
            json.text("end", end_reason(reason));
        }
    });
}

pub(super) fn authorization(json: &mut Json, facts: &AuthorizationFacts) {
    head(json, AUTHORIZE_SESSION, (1, "Assign Privileges"), Severity::Informational, Flag::No);
    // OCSF wants one of privileges and one group; a session without groups has the right that everybody signed in has.
    let groups = facts.actor.groups.iter().map(String::as_str);
    json.list("privileges", groups.chain(facts.actor.groups.is_empty().then_some("anyone_signed_in")));
    user(json, Some(&facts.actor));
    session(json, Some(&facts.actor));
    client(json, Some(&facts.client));
    own(json, |json| {
        json.text("event", "authorize_session");
        json.id("request_id", facts.request_id.as_bytes());
        json.text("factor", facts.factor.as_str());
        session_field(json, Some(&facts.actor));
    });
}

pub(super) fn account(json: &mut Json, facts: &AccountFacts) {
    let (activity, change) = match facts.change {
        AccountChange::FirstSeen => ((1, "Create"), "first_seen"),
        AccountChange::EnrolFactor(_) => ((10, "MFA Factor Enable"), "enrol_factor"),
        AccountChange::IssueRecoveryCodes => ((10, "MFA Factor Enable"), "issue_recovery_codes"),
        AccountChange::ResetFactors => ((11, "MFA Factor Disable"), "reset_factors"),
        AccountChange::Invite => ((OTHER, "Invite"), "invite"),
        AccountChange::Lock => ((9, "Lock"), "lock"),
        AccountChange::Unlock => ((12, "Unlock"), "unlock"),
        AccountChange::Erase => ((6, "Delete"), "erase"),
    };
    let (failed, severity) = outcome(facts.failure.is_some());
    head(json, ACCOUNT_CHANGE, activity, severity, failed);
    json.maybe("status_code", facts.failure.map(Reason::code));
    json.object("user", |json| {
        match &facts.subject {
            Some(subject) => json.joined("uid", &subject.issuer, b'#', &subject.sub),
            None => json.text("name", facts.email.as_deref().unwrap_or(NOBODY)),
        }
        json.maybe("email_addr", facts.email.as_deref().filter(|email| is_email(email)));
    });
    json.object("actor", |json| changed_by(json, &facts.by));
    client(json, facts.client.as_ref());
    own(json, |json| {
        json.text("event", change);
        request_field(json, facts.request_id);
        json.maybe("reason", facts.failure.map(Reason::code));
        if let AccountChange::EnrolFactor(kind) = facts.change {
            json.text("factor", kind.as_str());
        }
        by_field(json, &facts.by);
    });
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

const AUTH_PROTOCOL_OPENID: u64 = 4;
