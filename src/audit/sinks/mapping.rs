//! How records read in other schemas: the tables of ECS and CEF, as data. `docs/siem.md` shows them, and a test compares the two.
//!
//! A record that a row finds nothing in has no field for that row. What no row takes is not lost: ECS carries the product's own
//! fields under `portcullis`, and every form names the sequence, by which the whole record is found in the log.

/// One field of another schema.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The field there.
    pub to: &'static str,
    /// Where it stands in the OCSF record: JSON pointers, the first that is there.
    pub from: &'static [&'static str],
    pub make: Make,
}

/// What becomes of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    /// Taken as it is.
    Copy,
    /// Milliseconds since 1970 become RFC 3339.
    Time,
    /// Milliseconds become nanoseconds.
    Nanoseconds,
    /// `status_id` becomes `success` or `failure`.
    Outcome,
    /// A list of objects with a name becomes a list of the names.
    Names,
}

/// How a class of event is called elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Class {
    pub uid: u64,
    pub name: &'static str,
    pub ecs_kind: &'static str,
    pub ecs_category: &'static [&'static str],
    pub ecs_type: &'static [&'static str],
}

const fn row(to: &'static str, from: &'static [&'static str]) -> Row {
    Row { to, from, make: Make::Copy }
}

const fn made(to: &'static str, from: &'static [&'static str], make: Make) -> Row {
    Row { to, from, make }
}

/// Every class that OCSF has for what a gateway sees.
pub const CLASSES: &[Class] = &[
    Class { uid: 2_004, name: "Detection Finding", ecs_kind: "alert", ecs_category: &["intrusion_detection"], ecs_type: &["info"] },
    Class { uid: 3_001, name: "Account Change", ecs_kind: "event", ecs_category: &["iam"], ecs_type: &["user", "change"] },
    Class { uid: 3_002, name: "Authentication", ecs_kind: "event", ecs_category: &["authentication"], ecs_type: &["start"] },
    Class { uid: 3_003, name: "Authorize Session", ecs_kind: "event", ecs_category: &["session", "iam"], ecs_type: &["start"] },
    Class { uid: 3_004, name: "Entity Management", ecs_kind: "event", ecs_category: &["configuration"], ecs_type: &["change"] },
    Class { uid: 4_001, name: "Network Activity", ecs_kind: "event", ecs_category: &["network"], ecs_type: &["connection"] },
    Class { uid: 4_002, name: "HTTP Activity", ecs_kind: "event", ecs_category: &["web", "network"], ecs_type: &["access"] },
    Class { uid: 4_014, name: "Tunnel Activity", ecs_kind: "event", ecs_category: &["network", "session"], ecs_type: &["connection"] },
    Class { uid: 6_002, name: "Application Lifecycle", ecs_kind: "event", ecs_category: &["process"], ecs_type: &["info"] },
];

/// What stands for a class that is not in the table.
pub const OTHER: Class = Class { uid: 0, name: "Other", ecs_kind: "event", ecs_category: &["process"], ecs_type: &["info"] };

#[must_use]
pub fn class(uid: u64) -> &'static Class {
    CLASSES.iter().find(|class| class.uid == uid).unwrap_or(&OTHER)
}

/// OCSF to ECS 8.17.
pub const ECS: &[Row] = &[
    made("@timestamp", &["/time"], Make::Time),
    row("message", &["/message", "/finding_info/title"]),
    row("event.action", &["/unmapped/portcullis/event"]),
    row("event.id", &["/metadata/uid"]),
    row("event.sequence", &["/metadata/sequence"]),
    row("event.severity", &["/severity_id"]),
    made("event.outcome", &["/status_id"], Make::Outcome),
    row("event.reason", &["/status_code", "/status_detail"]),
    made("event.duration", &["/duration"], Make::Nanoseconds),
    row("event.code", &["/type_uid"]),
    row("http.request.id", &["/http_request/uid", "/unmapped/portcullis/request_id"]),
    row("http.request.method", &["/http_request/http_method"]),
    row("http.version", &["/http_request/version"]),
    row("http.response.status_code", &["/http_response/code"]),
    row("url.domain", &["/http_request/url/hostname"]),
    row("url.path", &["/http_request/url/path"]),
    row("url.scheme", &["/http_request/url/scheme"]),
    row("user_agent.original", &["/http_request/user_agent"]),
    row("source.ip", &["/src_endpoint/ip"]),
    row("source.port", &["/src_endpoint/port"]),
    row("source.bytes", &["/traffic/bytes_in"]),
    row("destination.bytes", &["/traffic/bytes_out"]),
    row("destination.domain", &["/dst_endpoint/hostname"]),
    row("service.name", &["/dst_endpoint/svc_name"]),
    row("user.id", &["/actor/user/uid", "/user/uid"]),
    row("user.name", &["/user/name"]),
    row("user.email", &["/actor/user/email_addr", "/user/email_addr"]),
    made("user.group.name", &["/actor/user/groups", "/user/groups"], Make::Names),
    row("user.target.id", &["/user/uid"]),
    row("user.target.email", &["/user/email_addr"]),
    row("rule.name", &["/unmapped/portcullis/rule", "/finding_info/analytic/name"]),
    row("tls.client.server_name", &["/unmapped/portcullis/server_name", "/dst_endpoint/hostname"]),
    row("observer.vendor", &["/metadata/product/vendor_name"]),
    row("observer.product", &["/metadata/product/name"]),
    row("observer.version", &["/metadata/product/version"]),
    row("observer.name", &["/metadata/log_provider"]),
];

/// OCSF to the extension of CEF. `cs1` to `cs6` and `cn1` have labels of their own.
pub const CEF: &[Row] = &[
    row("rt", &["/time"]),
    row("externalId", &["/metadata/uid"]),
    row("act", &["/unmapped/portcullis/decision", "/unmapped/portcullis/event"]),
    made("outcome", &["/status_id"], Make::Outcome),
    row("reason", &["/status_code"]),
    row("msg", &["/message", "/status_detail", "/finding_info/title"]),
    row("src", &["/src_endpoint/ip"]),
    row("spt", &["/src_endpoint/port"]),
    row("suid", &["/actor/user/uid", "/user/uid"]),
    row("suser", &["/actor/user/email_addr", "/user/email_addr", "/user/name"]),
    row("duid", &["/user/uid"]),
    row("duser", &["/user/email_addr"]),
    row("dhost", &["/dst_endpoint/hostname"]),
    row("destinationServiceName", &["/dst_endpoint/svc_name"]),
    row("dvchost", &["/metadata/log_provider"]),
    row("requestMethod", &["/http_request/http_method"]),
    row("request", &["/http_request/url/path"]),
    row("requestClientApplication", &["/http_request/user_agent"]),
    row("in", &["/traffic/bytes_in"]),
    row("out", &["/traffic/bytes_out"]),
    row("cn1", &["/metadata/sequence"]),
    row("cn2", &["/http_response/code"]),
    row("cs1", &["/unmapped/portcullis/route"]),
    row("cs2", &["/unmapped/portcullis/rule"]),
    row("cs3", &["/unmapped/portcullis/factor"]),
    row("cs4", &["/actor/session/uid", "/session/uid"]),
    row("cs5", &["/http_request/uid", "/unmapped/portcullis/request_id"]),
    row("cs6", &["/unmapped/portcullis/config"]),
];

/// What the custom fields of CEF hold.
pub const CEF_LABELS: &[(&str, &str)] = &[
    ("cn1", "sequence"),
    ("cn2", "status"),
    ("cs1", "route"),
    ("cs2", "rule"),
    ("cs3", "factor"),
    ("cs4", "session"),
    ("cs5", "requestId"),
    ("cs6", "config"),
];

/// The version of ECS that its rows follow.
pub const ECS_VERSION: &str = "8.17.0";
