//! The keys of `[[audit.sink]]`. What is shared with the other tables stands in [`super::keys`].

use super::keys::Form::{Choice, Choices, Count, Duration, Flag, Secret, Size, Table, Text};
use super::keys::Key;
use super::keys::Need::{Default, Optional, Required};
use super::keys::key;

/// `[[audit.sink]]`
pub const SINK: &[Key] = &[
    key(
        "kind",
        Choice(&["syslog", "relp", "http", "otlp", "file", "stdout"]),
        Required("\"syslog\""),
        "syslog: RFC 5424 over TLS. relp: syslog with acknowledgement, over TLS. http: JSON in batches. otlp: OTLP/HTTP logs. file and stdout: for an agent on this machine.",
    ),
    key("name", Text, Optional("kind and address"), "Names the sink in metrics and of its position on disk; another name is another sink."),
    key(
        "address",
        Text,
        Optional("kinds `file` and `stdout` have none; the others must have one"),
        "syslog and relp: host and port (6514 and 2514 if none). http and otlp: an https URL, or http on loopback.",
    ),
    key("path", Text, Optional("only kind `file` has one, and must"), "File that records are appended to; opened anew when it is renamed."),
    key(
        "api",
        Choice(&["json-lines", "splunk-hec", "elasticsearch"]),
        Default("\"json-lines\""),
        "With kind http, what is spoken: lines of JSON, Splunk's HTTP Event Collector, or Elasticsearch's _bulk.",
    ),
    key("format", Choice(&["ocsf", "ecs", "cef"]), Default("\"ocsf\""), "How a record is written; cef with syslog, relp, file and stdout."),
    key("filter", Table(FILTER), Optional("every record is shipped"), "Which records are shipped; checkpoints always are."),
    key(
        "server_name",
        Text,
        Optional("the host of `address`"),
        "Name that the server's certificate must have. It is verified always; there is no way around it.",
    ),
    key("ca", Text, Optional("the system's roots"), "PEM file with the only authorities that may vouch for the server."),
    key(
        "cert",
        Text,
        Optional("no client certificate"),
        "PEM file with the certificate that the gateway shows to the server; `key` belongs to it.",
    ),
    key("key", Text, Optional("no client certificate"), "PEM file with the private key of `cert`."),
    key(
        "token",
        Secret,
        Optional("no credential is sent"),
        "Credential of kinds http and otlp: a HEC token, an Elasticsearch API key, a bearer token.",
    ),
    key("token_header", Text, Optional("authorization, with the scheme of the api"), "Header that carries the token as it is."),
    key(
        "compression",
        Choice(&["none", "gzip"]),
        Default("\"none\""),
        "With http and otlp, how batches are packed; gzip where the receiver takes `Content-Encoding: gzip`.",
    ),
    key(
        "index",
        Text,
        Optional("logs-portcullis.audit-default with elasticsearch, the token's own with splunk-hec"),
        "Index or data stream that records go to.",
    ),
    key(
        "indexer_ack",
        Flag,
        Default("true"),
        "With splunk-hec, whether a record counts as shipped only when an indexer has acknowledged it; the token must allow it.",
    ),
    key("bom", Flag, Default("false"), "With syslog and relp, whether a byte order mark stands before the message."),
    key(
        "message_bytes_max",
        Size,
        Default("\"8KiB\""),
        "With syslog and relp, the largest message; a larger record goes in short form with its hash. The receiver must take as much.",
    ),
    key(
        "replay_window",
        Duration,
        Default("\"30s\""),
        "With syslog, which has no acknowledgement: what was sent within this time is sent again after a connection broke.",
    ),
    key(
        "begin",
        Choice(&["oldest", "newest"]),
        Default("\"oldest\""),
        "Where a new sink begins: with the oldest record there is, or with those to come.",
    ),
    key(
        "backlog_max",
        Count,
        Optional("unlimited: what is not shipped yet costs disk alone"),
        "Records that may wait for the sink before `overflow` holds.",
    ),
    key(
        "overflow",
        Choice(&["block", "drop"]),
        Default("\"block\""),
        "With backlog_max. block: grants are refused (audit_unavailable) until the sink has caught up. drop: the sink skips the oldest, and a record says which.",
    ),
    key("batch_records", Count, Default("500"), "Records shipped at once, at most."),
    key("batch_bytes", Size, Default("\"1MiB\""), "Bytes shipped at once, at most; a single record may be larger."),
    key("flush_interval", Duration, Default("\"1s\""), "How often new records are looked for; the log is signed once a second."),
    key("timeout", Duration, Default("\"10s\""), "Time for a connection, and for the receiver to take a batch."),
];

/// `filter` of a sink.
pub const FILTER: &[Key] = &[
    key("classes", Choices(CLASS_WORDS), Optional("all classes"), "Classes of event that are shipped."),
    key("min_severity", Choice(SEVERITY_WORDS), Optional("any"), "Least severity that is shipped."),
    key(
        "decisions",
        Choices(&["allow", "challenge", "deny", "fail"]),
        Optional("all decisions"),
        "Decisions that are shipped; records that are no decision pass.",
    ),
];

const CLASS_WORDS: &[&str] = &[
    "detection_finding",
    "account_change",
    "authentication",
    "authorize_session",
    "entity_management",
    "network_activity",
    "http_activity",
    "tunnel_activity",
    "application_lifecycle",
];

const SEVERITY_WORDS: &[&str] = &["informational", "low", "medium", "high", "critical"];
