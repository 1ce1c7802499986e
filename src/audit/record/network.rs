//! Network Activity (4001): streams that left HTTP, and connections that never got there.

use kernel::event::{ConnectionFault, ConnectionsFacts, StreamFacts};

use super::{NETWORK_ACTIVITY, Severity, client, head, own, person, session_field};
use crate::audit::text::{Flag, Json};

pub(super) fn stream_open(json: &mut Json, facts: &StreamFacts) {
    head(json, NETWORK_ACTIVITY, (1, "Open"), Severity::Informational, Flag::No);
    json.text("app_name", WEBSOCKET);
    client(json, Some(&facts.client));
    json.object("dst_endpoint", |json| json.text("svc_name", facts.route.as_str()));
    json.object("actor", |json| person(json, facts.actor.as_ref()));
    own(json, |json| {
        json.text("event", "stream_open");
        json.id("request_id", facts.request_id.as_bytes());
        json.text("route", facts.route.as_str());
        session_field(json, facts.actor.as_ref());
    });
}

/// The head of a stream's end; the rest is as with any exchange.
pub(super) fn close(json: &mut Json, broken: Flag) {
    head(json, NETWORK_ACTIVITY, (2, "Close"), Severity::Informational, broken);
    json.text("app_name", WEBSOCKET);
}

pub(super) fn connections(json: &mut Json, facts: &ConnectionsFacts) {
    let (activity, fault) = match facts.fault {
        ConnectionFault::ListenerFull => ((5, "Refuse"), "listener_full"),
        ConnectionFault::AddressFull => ((5, "Refuse"), "address_full"),
        ConnectionFault::ProxyHeader => ((5, "Refuse"), "proxy_header"),
        ConnectionFault::Handshake => ((4, "Fail"), "handshake"),
        ConnectionFault::ClientCertificate => ((5, "Refuse"), "client_certificate"),
        ConnectionFault::ServerName => ((5, "Refuse"), "server_name"),
    };
    head(json, NETWORK_ACTIVITY, activity, Severity::Low, Flag::Yes);
    json.text("status_code", fault);
    json.number("count", facts.count);
    json.number("start_time", facts.since.as_millis());
    if let Some(last) = facts.last {
        json.object("src_endpoint", |json| json.address("ip", last));
    }
    json.object("dst_endpoint", |json| json.text("svc_name", &facts.listener));
    own(json, |json| {
        json.text("event", "connections_refused");
        json.text("fault", fault);
        json.text("listener", &facts.listener);
    });
}

const WEBSOCKET: &str = "websocket";
