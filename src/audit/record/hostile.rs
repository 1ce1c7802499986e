//! Text that wants out of its field, and where a client, an IdP, a name in a certificate or a configuration can put it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use kernel::event::{Actor, Body, ChangedBy, Consulted, EntityChange};
use kernel::policy::rule::RuleId;
use kernel::route::RouteId;

/// The classes of AU-01; the last is the long one.
pub fn texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "\r\n{\"event\":\"login_ok\"}",
        "\u{2028}\u{2029}\u{85}",
        "\u{1b}[2J\u{1b}]0;pwn\u{7}",
        "\0",
        "\"}}",
        "]\\",
        "%0a%0d",
        "\u{202e}gpj.exe",
        "\u{9b}31m\u{7f}\u{feff}\u{e0041}",
        "\",\"sequence\":9}}",
        "<script>alert(1)</script> ${jndi:ldap://x} =1+1|calc",
        "ana@example.com\r\nBcc: eve@example.com",
    ]
    .map(str::to_owned)
    .to_vec();
    // Bytes that are no UTF-8 become text in one way alone.
    texts.push(String::from_utf8_lossy(b"\xff\xfe\xc0\x80\xed\xa0\x80").into_owned());
    texts.push("\u{1f9e8}\"\\\u{202e}\r\n".repeat(400));
    texts.push("\u{0}ä\"".repeat(300_000));
    assert!(texts.iter().any(|text| text.len() > 1_000_000));
    texts
}

/// Puts a text into every field that holds text, in every kind of event. Fields that are absent stay so.
pub fn fill(body: &mut Body, text: &str) {
    let owned = || text.to_owned();
    let maybe = |field: &mut Option<String>| *field = field.take().map(|_| owned());
    let route = |field: &mut Option<RouteId>| *field = field.take().map(|_| RouteId::new(text));
    match body {
        Body::Decision(facts) => {
            (facts.method, facts.authority, facts.raw_target) = (owned(), owned(), owned());
            maybe(&mut facts.target);
            maybe(&mut facts.server_name);
            maybe(&mut facts.user_agent);
            facts.parameters.iter_mut().for_each(|pair| *pair = (owned(), owned()));
            (facts.listener, facts.config) = (text.into(), text.into());
            if let Some(shown) = &mut facts.client_certificate {
                let shown = std::sync::Arc::make_mut(shown);
                (shown.subject, shown.issuer) = (text.into(), text.into());
            }
            facts.class = facts.class.take().map(|_| text.into());
            facts.rule = facts.rule.take().map(|_| RuleId::new(text));
            route(&mut facts.route);
            facts.actor.iter_mut().for_each(|actor| fill_actor(actor, text));
        }
        Body::Exchange(facts) => {
            facts.route = RouteId::new(text);
            maybe(&mut facts.upstream);
        }
        Body::StreamOpen(facts) => {
            facts.route = RouteId::new(text);
            facts.actor.iter_mut().for_each(|actor| fill_actor(actor, text));
        }
        Body::Connections(facts) => facts.listener = text.into(),
        Body::Authentication(facts) => {
            maybe(&mut facts.detail);
            maybe(&mut facts.idp);
            maybe(&mut facts.user_agent);
            facts.actor.iter_mut().for_each(|actor| fill_actor(actor, text));
        }
        Body::Authorization(facts) => fill_actor(&mut facts.actor, text),
        Body::Account(facts) => {
            maybe(&mut facts.email);
            facts.subject.iter_mut().for_each(|subject| (subject.issuer, subject.sub) = (owned(), owned()));
            fill_by(&mut facts.by, text);
        }
        Body::Entity(facts) => {
            maybe(&mut facts.failure);
            fill_by(&mut facts.by, text);
            match &mut facts.change {
                EntityChange::Configuration { config } => *config = owned(),
                EntityChange::Consult { what: Consulted::User(subject) } => (subject.issuer, subject.sub) = (owned(), owned()),
                EntityChange::ReadLog { command, filters, .. } => (*command, *filters) = (owned(), owned()),
                EntityChange::SinkGap { sink, .. } | EntityChange::SinkRewind { sink, .. } => *sink = owned(),
                EntityChange::RevokeSessions { .. }
                | EntityChange::Consult { .. }
                | EntityChange::RefuseOrder
                | EntityChange::DropRecords { .. } => {}
            }
        }
        Body::Lifecycle(facts) => maybe(&mut facts.detail),
        Body::Finding(facts) => {
            route(&mut facts.route);
            facts.actor.iter_mut().for_each(|actor| fill_actor(actor, text));
        }
    }
}

fn fill_actor(actor: &mut Actor, text: &str) {
    (actor.subject.issuer, actor.subject.sub) = (text.to_owned(), text.to_owned());
    actor.groups = vec![text.to_owned(); 3];
}

fn fill_by(by: &mut ChangedBy, text: &str) {
    if let ChangedBy::Person(subject) = by {
        (subject.issuer, subject.sub) = (text.to_owned(), text.to_owned());
    }
}
