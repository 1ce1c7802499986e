//! HTTP Activity (4002): requests that were judged, and exchanges that ended.

use kernel::event::{DecisionFacts, ExchangeFacts, ExchangeOutcome, Verdict};
use kernel::identity::assurance::FactorProof;
use kernel::policy::Reason;
use kernel::policy::rule::RuleId;
use kernel::route::RouteId;
use kernel::time::Timestamp;

use super::{HTTP_ACTIVITY, OTHER, Severity, client, head, own, person};
use crate::audit::text::{Flag, Json};

pub(super) fn decision(json: &mut Json, facts: &DecisionFacts, now: Timestamp) {
    let severity = match facts.verdict {
        Verdict::Allow | Verdict::Challenge => Severity::Informational,
        Verdict::Deny => Severity::Low,
        Verdict::Fail => Severity::Medium,
    };
    let refused = if facts.verdict == Verdict::Allow { Flag::No } else { Flag::Yes };
    head(json, HTTP_ACTIVITY, http_activity(&facts.method), severity, refused);
    // Action 1 and disposition 1: allowed. Action 2: denied; disposition 2: blocked.
    let action = if facts.verdict == Verdict::Allow { 1 } else { 2 };
    json.number("action_id", action);
    json.number("disposition_id", action);
    json.maybe("status_code", facts.reason.map(Reason::code));
    json.object("http_request", |json| {
        json.text("uid", &facts.request_id.to_string());
        json.text("http_method", &facts.method);
        json.text("version", facts.version);
        json.object("url", |json| {
            json.text("hostname", &facts.authority);
            json.text("path", without_query(facts.target.as_deref().unwrap_or(&facts.raw_target)));
            json.text("scheme", "https");
        });
        json.maybe("user_agent", facts.user_agent.as_deref());
    });
    if let Some(status) = facts.status {
        json.object("http_response", |json| json.number("code", status.into()));
    }
    client(json, Some(&facts.client));
    json.object("dst_endpoint", |json| {
        json.text("hostname", facts.server_name.as_deref().unwrap_or(&facts.authority));
        json.maybe("svc_name", facts.route.as_ref().map(RouteId::as_str));
    });
    json.object("actor", |json| person(json, facts.actor.as_ref()));
    own(json, |json| decision_fields(json, facts, now));
}

fn decision_fields(json: &mut Json, facts: &DecisionFacts, now: Timestamp) {
    json.text("event", "decision");
    json.text("request_id", &facts.request_id.to_string());
    json.text(
        "decision",
        match facts.verdict {
            Verdict::Allow => "allow",
            Verdict::Challenge => "challenge",
            Verdict::Deny => "deny",
            Verdict::Fail => "fail",
        },
    );
    json.maybe("reason", facts.reason.map(Reason::code));
    json.maybe("route", facts.route.as_ref().map(RouteId::as_str));
    json.maybe("class", facts.class.as_deref());
    json.maybe("rule", facts.rule.as_ref().map(RuleId::as_str));
    factor(json, facts.factor, now);
    json.text("config", &facts.config);
    json.text("listener", &facts.listener);
    json.maybe("server_name", facts.server_name.as_deref());
    json.text("authority", &facts.authority);
    json.text("raw_target", without_query(&facts.raw_target));
    json.maybe("target", facts.target.as_deref().map(without_query));
    if !facts.parameters.is_empty() {
        json.pairs("parameters", facts.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    }
    if let Some(peer) = facts.peer {
        json.text("peer", &peer.to_string());
    }
    json.maybe("session", facts.actor.as_ref().and_then(|actor| actor.session).map(|id| id.to_string()).as_deref());
}

/// The last line of defence: whoever filled the field in should have cut the query off already.
fn without_query(target: &str) -> &str {
    target.split(['?', '#']).next().unwrap_or_default()
}

fn factor(json: &mut Json, proof: Option<FactorProof>, now: Timestamp) {
    if let Some(proof) = proof {
        json.text("factor", proof.kind.as_str());
        json.number("factor_age_s", now.since(proof.at).as_secs());
    }
}

pub(super) fn exchange(json: &mut Json, facts: &ExchangeFacts) {
    let complete = if facts.outcome == ExchangeOutcome::Complete { Flag::No } else { Flag::Yes };
    head(json, HTTP_ACTIVITY, (OTHER, "Exchange End"), Severity::Informational, complete);
    json.object("http_request", |json| json.text("uid", &facts.request_id.to_string()));
    if let Some(status) = facts.status {
        json.object("http_response", |json| json.number("code", status.into()));
    }
    json.number("duration", u64::try_from(facts.duration.as_millis()).unwrap_or(u64::MAX));
    json.object("traffic", |json| {
        json.number("bytes_in", facts.bytes_in);
        json.number("bytes_out", facts.bytes_out);
    });
    json.object("dst_endpoint", |json| json.text("svc_name", facts.route.as_str()));
    own(json, |json| {
        json.text("event", "exchange_end");
        json.text("request_id", &facts.request_id.to_string());
        json.text("route", facts.route.as_str());
        json.text(
            "outcome",
            match facts.outcome {
                ExchangeOutcome::Complete => "complete",
                ExchangeOutcome::ClientLeft => "client_left",
                ExchangeOutcome::UpstreamFailed => "upstream_failed",
                ExchangeOutcome::Cut => "cut",
            },
        );
        json.maybe("upstream", facts.upstream.as_deref());
    });
}

fn http_activity(method: &str) -> (u64, &str) {
    match method {
        "CONNECT" => (1, "Connect"),
        "DELETE" => (2, "Delete"),
        "GET" => (3, "Get"),
        "HEAD" => (4, "Head"),
        "OPTIONS" => (5, "Options"),
        "POST" => (6, "Post"),
        "PUT" => (7, "Put"),
        "TRACE" => (8, "Trace"),
        other => (OTHER, other),
    }
}
