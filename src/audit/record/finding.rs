//! Detection Finding (2004): what a rule of detection saw.

use kernel::detection::{DetectionRule, FindingFacts};
use kernel::route::RouteId;
use uuid::Uuid;

use super::{DETECTION_FINDING, Severity, head, own, session, session_field, user};
use crate::audit::text::{Flag, Json};

/// How a rule is described to a SIEM: severity, title, what it means, MITRE ATT&CK technique.
struct About {
    severity: Severity,
    title: &'static str,
    description: &'static str,
    technique: (&'static str, &'static str),
}

pub(super) fn finding(json: &mut Json, facts: &FindingFacts, uid: &Uuid) {
    let about = about(facts.rule);
    head(json, DETECTION_FINDING, (1, "Create"), about.severity, Flag::No);
    json.flag("is_alert", Flag::Yes);
    json.text("message", about.title);
    json.object("finding_info", |json| {
        json.uuid("uid", uid);
        json.text("title", about.title);
        json.text("desc", about.description);
        json.object("analytic", |json| {
            json.text("name", facts.rule.name());
            json.text("uid", facts.rule.name());
            json.number("type_id", 1);
        });
        json.one("attacks", |json| {
            json.object("technique", |json| {
                json.text("uid", about.technique.0);
                json.text("name", about.technique.1);
            });
        });
        json.number("first_seen_time", facts.first.as_millis());
        json.number("last_seen_time", facts.last.as_millis());
        json.number("related_events_count", facts.events);
    });
    if facts.actor.is_some() || facts.address.is_some() {
        json.one("evidences", |json| {
            if facts.actor.is_some() {
                json.object("actor", |json| {
                    user(json, facts.actor.as_ref());
                    session(json, facts.actor.as_ref());
                });
            }
            if let Some(address) = facts.address {
                json.object("src_endpoint", |json| json.address("ip", address));
            }
        });
    }
    own(json, |json| {
        json.text("event", "finding");
        json.text("detection", facts.rule.name());
        json.maybe("route", facts.route.as_ref().map(RouteId::as_str));
        if let Some(address) = facts.other_address {
            json.address("other_address", address);
        }
        session_field(json, facts.actor.as_ref());
        if !facts.requests.is_empty() {
            let ids: Vec<String> = facts.requests.iter().map(ToString::to_string).collect();
            json.list("requests", ids.iter().map(String::as_str));
        }
    });
}

const fn about(rule: DetectionRule) -> About {
    match rule {
        DetectionRule::SignInSpray => About {
            severity: Severity::High,
            title: "Sign-ins of many people fail from one network",
            description: "Failed sign-ins or second factors, of several people or very often, came from one network within a short time.",
            technique: ("T1110.003", "Password Spraying"),
        },
        DetectionRule::FactorBruteForce => About {
            severity: Severity::High,
            title: "Wrong second factors for one person",
            description: "Somebody who passes the first factor of this person shows wrong second factors: the password is known to somebody.",
            technique: ("T1110.001", "Password Guessing"),
        },
        DetectionRule::SessionTwoNetworks => About {
            severity: Severity::High,
            title: "One session is used from two networks by turns",
            description: "The same session came from one network, then from a distant one, and again from the first: its cookie may be stolen.",
            technique: ("T1539", "Steal Web Session Cookie"),
        },
        DetectionRule::PathScan => About {
            severity: Severity::Medium,
            title: "Many different addresses are denied to one person or address",
            description: "One person, or one address without a session, asked for many different things that no rule allows.",
            technique: ("T1595.003", "Wordlist Scanning"),
        },
        DetectionRule::FirstRestrictedAccess => About {
            severity: Severity::Low,
            title: "First access to a restricted system",
            description: "A person was let through to a restricted route for the first time within a year.",
            technique: ("T1078", "Valid Accounts"),
        },
        DetectionRule::NewFactorRestrictedAccess => About {
            severity: Severity::Medium,
            title: "A restricted system was opened soon after a factor was enrolled",
            description: "A person was let through to a restricted route within hours after a new second factor was enrolled for them.",
            technique: ("T1098.005", "Device Registration"),
        },
    }
}
