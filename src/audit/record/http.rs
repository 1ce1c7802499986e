//! HTTP Activity (4002): requests that were judged, and exchanges that ended.

use kernel::event::{DecisionFacts, ExchangeFacts, ExchangeKind, ExchangeOutcome, Verdict};
use kernel::identity::assurance::FactorProof;
use kernel::policy::Reason;
use kernel::policy::rule::RuleId;
use kernel::route::RouteId;
use kernel::time::Timestamp;

use super::{HTTP_ACTIVITY, OTHER, Severity, client, head, network, own, person, session_field};
use crate::audit::text::{Flag, Json};

pub(super) fn decision(json: &mut Json, facts: &DecisionFacts, now: Timestamp) {
    let severity = match facts.verdict {
        Verdict::Allow | Verdict::Challenge => Severity::Informational,
        Verdict::Deny => Severity::Low,
        Verdict::Fail => Severity::Medium,
    };
    let (refused, action, disposition, _) = verdict(facts.verdict);
    head(json, HTTP_ACTIVITY, activity(&facts.method), severity, refused);
    json.number("action_id", action);
    json.number("disposition_id", disposition);
    json.maybe("status_code", facts.reason.map(Reason::code));
    let (host, port) = host_and_port(&facts.authority);
    json.object("http_request", |json| {
        json.id("uid", facts.request_id.as_bytes());
        if known_method(&facts.method) {
            json.text("http_method", &facts.method);
        }
        json.text("version", facts.version);
        json.object("url", |json| {
            json.maybe("hostname", host);
            json.text("path", without_query(facts.target.as_deref().unwrap_or(&facts.raw_target)));
            if let Some(port) = port {
                json.number("port", port.into());
            }
            json.text("scheme", "https");
        });
        json.maybe("user_agent", facts.user_agent.as_deref());
    });
    if let Some(status) = facts.status {
        json.object("http_response", |json| json.number("code", status.into()));
    }
    client(json, Some(&facts.client));
    json.object("dst_endpoint", |json| {
        json.maybe("hostname", facts.server_name.as_deref().filter(|name| is_host(name)));
        json.text("svc_name", facts.route.as_ref().map_or(&*facts.listener, RouteId::as_str));
    });
    json.object("actor", |json| person(json, facts.actor.as_ref()));
    let shown = host.map_or(0, |host| host.len() + port.map_or(0, |port| 1 + digits(port)));
    let unshown = (shown != facts.authority.len()).then_some(&*facts.authority);
    own(json, |json| decision_fields(json, facts, unshown, now));
}

/// `unshown` is an authority that the URL does not show as it is.
fn decision_fields(json: &mut Json, facts: &DecisionFacts, unshown: Option<&str>, now: Timestamp) {
    json.text("event", "decision");
    json.id("request_id", facts.request_id.as_bytes());
    json.text("decision", verdict(facts.verdict).3);
    json.maybe("reason", facts.reason.map(Reason::code));
    json.maybe("route", facts.route.as_ref().map(RouteId::as_str));
    json.maybe("class", facts.class.as_deref());
    json.maybe("rule", facts.rule.as_ref().map(RuleId::as_str));
    factor(json, facts.factor, now);
    json.text("config", &facts.config);
    json.text("listener", &facts.listener);
    json.maybe("server_name", facts.server_name.as_deref().filter(|name| !is_host(name)));
    if let Some(shown) = &facts.client_certificate {
        json.object("client_certificate", |json| {
            json.text("subject", &shown.subject);
            json.text("issuer", &shown.issuer);
            json.text("serial", &shown.serial);
            json.text("sha256", &shown.sha256);
            json.number("not_after", shown.not_after.as_millis());
        });
    }
    json.maybe("authority", unshown);
    if !known_method(&facts.method) {
        json.text("method", &facts.method);
    }
    json.text("raw_target", without_query(&facts.raw_target));
    json.maybe("target", facts.target.as_deref().map(without_query));
    if !facts.parameters.is_empty() {
        json.pairs("parameters", facts.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    }
    if let Some(peer) = facts.peer {
        json.address("peer", peer);
    }
    session_field(json, facts.actor.as_ref());
}

/// Whether it was refused, OCSF's action and disposition, and our word.
const fn verdict(verdict: Verdict) -> (Flag, u64, u64, &'static str) {
    match verdict {
        Verdict::Allow => (Flag::No, 1, 1, "allow"),
        Verdict::Challenge => (Flag::Yes, 2, 23, "challenge"),
        Verdict::Deny => (Flag::Yes, 2, 2, "deny"),
        Verdict::Fail => (Flag::Yes, 2, 27, "fail"),
    }
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
    let event = match facts.kind {
        ExchangeKind::Http => {
            head(json, HTTP_ACTIVITY, (OTHER, "Exchange End"), Severity::Informational, complete);
            json.object("http_request", |json| json.id("uid", facts.request_id.as_bytes()));
            if let Some(status) = facts.status {
                json.object("http_response", |json| json.number("code", status.into()));
            }
            "exchange_end"
        }
        ExchangeKind::WebSocket => {
            network::close(json, complete);
            "stream_close"
        }
    };
    json.number("duration", u64::try_from(facts.duration.as_millis()).unwrap_or(u64::MAX));
    json.object("traffic", |json| {
        json.number("bytes_in", facts.bytes_in);
        json.number("bytes_out", facts.bytes_out);
    });
    json.object("dst_endpoint", |json| json.text("svc_name", facts.route.as_str()));
    own(json, |json| {
        json.text("event", event);
        json.id("request_id", facts.request_id.as_bytes());
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
        json.maybe("reason", facts.reason.map(Reason::code));
        json.maybe("upstream", facts.upstream.as_deref());
    });
}

/// OCSF's activities, one for each method that it lists.
fn activity(method: &str) -> (u64, &str) {
    match method {
        "CONNECT" => (1, "Connect"),
        "DELETE" => (2, "Delete"),
        "GET" => (3, "Get"),
        "HEAD" => (4, "Head"),
        "OPTIONS" => (5, "Options"),
        "POST" => (6, "Post"),
        "PUT" => (7, "Put"),
        "TRACE" => (8, "Trace"),
        "PATCH" => (9, "Patch"),
        other => (OTHER, other),
    }
}

/// OCSF closes the list of methods; others stand among our own fields.
fn known_method(method: &str) -> bool {
    activity(method).0 != OTHER
}

/// Host and port of an authority that can be one. What cannot stands among our own fields alone.
fn host_and_port(authority: &str) -> (Option<&str>, Option<u16>) {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse().ok()),
        Some(_) | None => (authority, None),
    };
    (Some(host).filter(|host| is_host(host)), port.filter(|_| is_host(host)))
}

/// How long a port is as text.
const fn digits(port: u16) -> usize {
    match port.checked_ilog10() {
        Some(more) => more as usize + 1,
        None => 1,
    }
}

fn is_host(text: &str) -> bool {
    let name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => (1..=253).contains(&text.len()) && text.bytes().all(name),
    }
}
