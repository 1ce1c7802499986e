//! Every key there is: name, form, need and meaning. The readers refuse what is not listed here, the JSON schema is made
//! of it, and the annotated reference file is tested against it.

/// A key of a table.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    pub name: &'static str,
    pub form: Form,
    pub need: Need,
    /// Unit and effect, in one or two sentences.
    pub meaning: &'static str,
}

/// What a value looks like.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `"15m"`, in `ms`, `s`, `m`, `h` or `d`.
    Duration,
    /// `"32KiB"`, in `B`, `KiB`, `MiB` or `GiB`.
    Size,
    Count,
    Flag,
    /// `"10/m"` or `{ rate = "10/m", burst = 20 }`.
    Rate,
    Texts,
    /// A list of these words.
    Choices(&'static [&'static str]),
    /// `{ file = "…" }` or `{ env = "…" }`.
    Secret,
    Table(&'static [Key]),
    /// `[[name]]`, any number.
    Tables(&'static [Key]),
    /// `[name.ANY]`: tables by a name of one's own.
    Named(&'static [Key]),
}

/// Whether a key must be there.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// With an example, as TOML.
    Required(&'static str),
    /// With the value that counts when the key is left out, as TOML.
    Default(&'static str),
    /// With what holds when the key is left out.
    Optional(&'static str),
}

pub(super) const fn key(name: &'static str, form: Form, need: Need, meaning: &'static str) -> Key {
    Key { name, form, need, meaning }
}

pub use super::keys_acme::ACME;
pub use super::keys_facing::{CLIENT_CERTIFICATES, HSTS, REDIRECT};
pub use super::keys_sink::{FILTER as SINK_FILTER, SINK};
pub use super::keys_upstream::{HEALTH, ROUTE_UPSTREAM, UPSTREAM};
pub use super::sandbox::SANDBOX;
pub use super::traces::TRACES;

/// The table of `keys` in which a name would be known, as one writes it: `[gateway]`.
#[must_use]
pub fn home(keys: &[Key], name: &str) -> Option<String> {
    let holds = |inner: &[Key]| inner.iter().any(|key| key.name == name);
    keys.iter().find_map(|key| match key.form {
        Form::Table(inner) if holds(inner) => Some(format!("[{}]", key.name)),
        Form::Tables(inner) if holds(inner) => Some(format!("[[{}]]", key.name)),
        _ => None,
    })
}

use Form::{Choice, Choices, Count, Duration, Flag, Named, Rate, Secret, Size, Table, Tables, Text, Texts};
use Need::{Default, Optional, Required};

use super::detection::{DETECTION, NOTIFY};
use super::keys_facing::TLS_PROFILES;

/// `portcullis.toml`
pub const MAIN: &[Key] = &[
    key("gateway", Table(GATEWAY), Required("[gateway]"), "The gateway itself."),
    key("listener", Tables(LISTENER), Required("[[listener]]"), "Where the gateway listens; one or more."),
    key("operations", Table(OPERATIONS), Optional("the defaults of its keys hold"), "Health and metrics."),
    key("redirect", Table(REDIRECT), Optional("plain HTTP is not listened for"), "Where plain HTTP is sent on to https."),
    key("tls", Table(TLS), Required("[tls]"), "TLS towards clients."),
    key("idp", Tables(IDP), Required("[[idp]]"), "An OpenID Connect provider; one or more."),
    key("second_factor", Table(SECOND_FACTOR), Optional("the defaults of its keys hold"), "The second factor."),
    key("session", Table(SESSION), Optional("the defaults of its keys hold"), "How long a session lives."),
    key("rate_limit", Table(RATE_LIMIT), Optional("the defaults of its keys hold"), "How often somebody may ask."),
    key("audit", Table(AUDIT), Required("[audit]"), "The audit log."),
    key("detection", Table(DETECTION), Optional("the defaults of its keys hold"), "What counts as a finding."),
    key("notify", Table(NOTIFY), Optional("nobody is told"), "Who is told of findings."),
    key("traces", Table(TRACES), Optional("nothing is traced"), "Where spans of requests are sent."),
    key("store", Table(STORE), Optional("the defaults of its keys hold"), "Where sessions and factors are kept."),
    key("class", Named(CLASS), Optional("internal and restricted are built in"), "How sensitive a route is."),
    key("admin", Table(ADMIN), Optional("nobody is an admin"), "Who may administer."),
    key("upstream", Table(UPSTREAM), Optional("the defaults of its keys hold"), "Connections to upstreams."),
    key("sandbox", Table(SANDBOX), Optional("the defaults of its keys hold"), "What the process may reach of its machine."),
    key("limits", Table(LIMITS), Optional("the defaults of its keys hold"), "Bounds on what clients may use."),
];

pub const GATEWAY: &[Key] = &[
    key("url", Text, Required("\"https://gate.example.com\""), "The gateway's own host, as an https URL without a path."),
    key("state_dir", Text, Required("\"/var/lib/portcullis\""), "Folder for the database and the control socket."),
    key(
        "master_key",
        Secret,
        Required("{ file = \"master.key\" }"),
        "Key file that seals secrets at rest. Several lines are a ring: the first seals, all open.",
    ),
];

pub const LISTENER: &[Key] = &[
    key("name", Text, Required("\"https\""), "Name for logs and metrics."),
    key("bind", Text, Required("\"[::]:443\""), "Address and port to listen on."),
    key("public_port", Count, Optional("the port of `bind`"), "The port that clients see, where a port mapping stands before the gateway."),
    key("protocols", Choices(&["h1", "h2"]), Default("[\"h1\", \"h2\"]"), "HTTP versions offered by ALPN."),
    key("trusted_proxies", Texts, Default("[]"), "Networks whose X-Forwarded-For and PROXY headers are believed; empty means nobody's."),
    key("proxy_protocol", Flag, Default("false"), "Whether every connection must begin with a PROXY header."),
    key("tls_profile", Choice(TLS_PROFILES), Optional("`tls.profile`"), "The TLS that this listener speaks."),
    key("client_certificates", Table(CLIENT_CERTIFICATES), Optional("clients are not asked for one"), "Certificates that clients show."),
];

pub const OPERATIONS: &[Key] = &[key(
    "bind",
    Text,
    Default("\"127.0.0.1:9464\""),
    "Address and port of /livez, /readyz and /metrics, without TLS; never the public one.",
)];

pub const TLS: &[Key] = &[
    key(
        "profile",
        Choice(TLS_PROFILES),
        Default("\"modern\""),
        "modern: TLS 1.3 only. intermediate: TLS 1.2 with AEAD and ECDHE, and 1.3. bsi and pci: of that, AES-GCM and the curves that BSI TR-02102-2 and NIST name.",
    ),
    key("hsts", Table(HSTS), Optional("the defaults of its keys hold"), "What browsers are told of https, on every answer."),
    key(
        "certificate",
        Tables(CERTIFICATE),
        Optional("certificates are obtained as [tls.acme] says"),
        "Certificates, chosen by server name; reloaded when the files change.",
    ),
    key("acme", Table(ACME), Optional("certificates come from files alone"), "Certificates that the gateway obtains itself."),
];

pub const CERTIFICATE: &[Key] = &[
    key("cert", Text, Required("\"certs/gate.pem\""), "PEM file with the certificate and its intermediates."),
    key("key", Text, Required("\"certs/gate.key\""), "PEM file with the private key."),
];

pub const IDP: &[Key] = &[
    key("id", Text, Required("\"corp\""), "Names the provider in sessions and records."),
    key("label", Text, Optional("the id"), "What the sign-in chooser shows."),
    key(
        "issuer",
        Text,
        Required("\"https://idp.example.com\""),
        "The issuer identifier, byte by byte as the provider writes it; https, or http on loopback.",
    ),
    key("client_id", Text, Required("\"portcullis\""), "The client that is registered at the provider."),
    key("client_secret", Secret, Required("{ file = \"oidc.secret\" }"), "The client's secret."),
    key("scopes", Texts, Default("[\"openid\", \"profile\", \"email\", \"groups\"]"), "Scopes to ask for; openid is always one of them."),
    key("groups_claim", Text, Default("\"groups\""), "Claim that holds the groups."),
    key("ca", Text, Optional("the system's roots"), "PEM file with further roots for a private provider."),
    key("email_domains", Texts, Optional("any domain"), "Domains for whose e-mail addresses this provider may vouch."),
    key("trust_unverified_email", Flag, Default("false"), "Whether an e-mail address counts that the provider does not call verified."),
];

pub const SECOND_FACTOR: &[Key] = &[
    key(
        "methods",
        Choices(&["webauthn", "totp"]),
        Default("[\"totp\"]"),
        "Second factors that may be enrolled; recovery codes come with either.",
    ),
    key(
        "enrolment",
        Choice(&["invite", "first-login"]),
        Default("\"invite\""),
        "invite: with an admin's one-time code. first-login: within enrolment_window of the first sight.",
    ),
    key(
        "enrolment_window",
        Duration,
        Default("\"24h\""),
        "With first-login: time after the first sight in which a first factor may be enrolled.",
    ),
    key("trust_idp", Texts, Default("[]"), "Ids of providers whose verified amr or acr may count as a second factor."),
];

pub const SESSION: &[Key] = &[
    key("idle_timeout", Duration, Default("\"30m\""), "Time without a request after which a session ends."),
    key("absolute_timeout", Duration, Default("\"12h\""), "Time after sign-in after which a session ends in any case."),
];

pub const RATE_LIMIT: &[Key] = &[
    key("per_address", Rate, Default("{ rate = \"100/s\", burst = 200 }"), "Requests of one client address (IPv6: one /64)."),
    key("per_subject", Rate, Default("{ rate = \"100/s\", burst = 200 }"), "Requests of one subject."),
    key("sign_in", Rate, Default("{ rate = \"10/m\", burst = 10 }"), "Steps of a sign-in, by client address."),
    key("second_factor", Rate, Default("{ rate = \"5/m\", burst = 5 }"), "Second-factor attempts, by subject."),
];

pub const RATE: &[Key] = &[
    key("rate", Text, Required("\"20/s\""), "How many in a second (s), minute (m) or hour (h)."),
    key("burst", Count, Optional("the count of `rate`"), "How many at once."),
];

pub const SECRET: &[Key] = &[
    key("file", Text, Optional("`env` is read"), "File that holds the secret, relative to the configuration's folder."),
    key("env", Text, Optional("`file` is read"), "Environment variable that holds the secret."),
];

pub const AUDIT: &[Key] = &[
    key("dir", Text, Required("\"/var/log/portcullis\""), "Folder of the log."),
    key(
        "durability",
        Choice(&["queued", "written", "synced"]),
        Default("\"written\""),
        "What a record must have survived before its request is answered: queued nothing, written a crash of the gateway, synced loss of power.",
    ),
    key("signing_key", Secret, Required("{ file = \"audit.key\" }"), "Key file that signs the checkpoints (the seed of an Ed25519 key)."),
    key(
        "personal",
        Choice(&["plain", "sealed"]),
        Default("\"plain\""),
        "How records name people. plain: as they are. sealed: by pseudonym, the names sealed under a key that `user erase` destroys.",
    ),
    key(
        "client_address",
        Choice(&["full", "network"]),
        Default("\"full\""),
        "How much of client addresses records keep. network: their /24, or /48 with IPv6.",
    ),
    key("retention", Table(RETENTION), Optional("the defaults of its keys hold"), "How long records are kept, by class of event."),
    key("sink", Tables(SINK), Optional("records are not shipped"), "Where records are shipped; any number."),
];

/// A segment of the log is dropped when the time of every class in it is over.
pub const RETENTION: &[Key] = &[
    key("default", Duration, Default("\"365d\""), "Every class that is not named here."),
    key("http_activity", Duration, Optional("`default`"), "Requests and their ends."),
    key("network_activity", Duration, Optional("`default`"), "WebSockets, tunnels, connections."),
    key("authentication", Duration, Optional("`default`"), "Sign-in, second factor, sign-out."),
    key("authorize_session", Duration, Optional("`default`"), "What sessions were given."),
    key("account_change", Duration, Optional("`default`"), "Enrolment, invitations, locks, erasures."),
    key("entity_management", Duration, Optional("`default`"), "Configuration, revocations, readings of the log."),
    key("detection_finding", Duration, Optional("`default`"), "What the rules of detection found."),
    key("application_lifecycle", Duration, Optional("`default`"), "Starts, stops, faults of the log."),
];

pub const STORE: &[Key] = &[
    key("url", Text, Default("\"sqlite:portcullis.db\""), "Database: `sqlite:` and a path, relative to state_dir."),
    key(
        "shared",
        Text,
        Optional("one node by itself"),
        "Rate limits and replay memory shared by several nodes. Not in this build: refused.",
    ),
];

pub const CLASS: &[Key] = &[
    key(
        "second_factor",
        Table(FACTOR),
        Optional("strength any, max_age 12h"),
        "What every rule of the class asks of the second factor, at least.",
    ),
    key(
        "idle_timeout",
        Duration,
        Optional("the session's idle_timeout"),
        "Idle time after which a session counts as ended on routes of the class.",
    ),
];

pub const FACTOR: &[Key] = &[
    key(
        "strength",
        Choice(&["any", "phishing-resistant"]),
        Optional("the class's, or any"),
        "any: TOTP will do. phishing-resistant: WebAuthn.",
    ),
    key("max_age", Duration, Optional("the class's, or 12h"), "Greatest age of the factor proof."),
];

pub const ADMIN: &[Key] =
    &[key("groups", Texts, Default("[]"), "Groups that may open the admin pages, always with a fresh second factor; empty means nobody.")];

pub const LIMITS: &[Key] = &[
    key("connections", Count, Default("10000"), "Open connections, all listeners together."),
    key("connections_per_address", Count, Default("256"), "Open connections of one client address (IPv6: one /64)."),
    key("handshakes", Count, Default("256"), "TLS handshakes computed at once, all listeners together; others wait."),
    key(
        "requests",
        Count,
        Default("10000"),
        "Requests that upstreams are busy with; more are refused with 503. Sign-in and the gateway's own pages go on.",
    ),
    key("header_bytes", Size, Default("\"32KiB\""), "Bytes of a request head."),
    key("header_count", Count, Default("100"), "Fields of a request head."),
    key("streams", Count, Default("100"), "Streams open at once in one HTTP/2 connection."),
    key("handshake_timeout", Duration, Default("\"10s\""), "Time for a TLS handshake."),
    key("header_timeout", Duration, Default("\"10s\""), "Time for a request head."),
    key("keep_alive_timeout", Duration, Default("\"60s\""), "Time without a request after which a connection is closed."),
    key("body_timeout", Duration, Default("\"60s\""), "Time between two parts of a request body that is waited for."),
    key("stalled_timeout", Duration, Default("\"60s\""), "Time in which a client must take something of an answer that is ready."),
    key("drain_timeout", Duration, Default("\"30s\""), "Time that open requests get when the gateway stops."),
];

/// `routes/NAME.toml`
pub const ROUTE: &[Key] = &[
    key("name", Text, Required("\"grafana\""), "Names the route: small letters, digits and hyphens."),
    key("from", Text, Required("\"https://grafana.example.com\""), "Host and port that clients ask for, as an https URL without a path."),
    key(
        "to",
        Texts,
        Required("[\"http://10.0.0.5:3000\"]"),
        "Upstreams: http or https URLs without a path, or `unix:` and the path of a socket; https is verified, always.",
    ),
    key("class", Text, Default("\"internal\""), "How sensitive the system is; names a class."),
    key("owner", Text, Optional("nobody is named"), "Who answers for the system."),
    key("data", Texts, Default("[]"), "Kinds of data behind it, for the inventory."),
    key("allow", Tables(ALLOW), Optional("nobody gets in"), "An allow rule. Access is granted if one matches whole."),
    key(
        "test",
        Tables(TEST),
        Optional("nothing is tested"),
        "A request and what is expected of it; a failing test refuses the configuration.",
    ),
    key("recorded_parameters", Texts, Default("[]"), "Names of query parameters that may stand in the audit record."),
    key(
        "underscore_headers",
        Choice(&["refuse", "allow"]),
        Default("\"refuse\""),
        "What happens to a request with a field name that holds `_`, `.` or another mark that some programs read as `-`.",
    ),
    key("upstream", Table(ROUTE_UPSTREAM), Optional("[upstream] of portcullis.toml"), "How the upstreams are reached."),
];

pub const ALLOW: &[Key] = &[
    key("id", Text, Required("\"read\""), "Names the rule in records; once per route."),
    key("who", Table(WHO), Optional("`public = true` must stand instead"), "Whom the rule lets in."),
    key("public", Flag, Default("false"), "Opens the paths to everybody, signed in or not; stands instead of `who`."),
    key("methods", Texts, Default("[\"GET\", \"HEAD\"]"), "Methods; `[\"*\"]` means all."),
    key("paths", Texts, Required("[\"/\", \"/app/**\"]"), "Path patterns: `*` within a segment, `**` any number of segments."),
    key("except", Texts, Default("[]"), "Path patterns carved out of this rule."),
    key("factor", Table(FACTOR), Optional("the class's"), "What the rule asks of the second factor; never weaker than the class."),
    key("from", Texts, Optional("any network"), "Client networks."),
    key("hours", Table(HOURS), Optional("always"), "Days and hours."),
    key("rate", Rate, Optional("the gateway's rates alone"), "Requests of one subject under this rule."),
];

pub const WHO: &[Key] = &[
    key("groups", Texts, Optional("no group"), "Members of one of these groups, as the provider names them."),
    key("users", Texts, Optional("no single person"), "E-mail addresses, or subjects (`sub`)."),
    key("anyone_signed_in", Flag, Optional("only those named"), "Everybody who signed in with a second factor."),
];

pub const HOURS: &[Key] = &[
    key("days", Text, Default("\"mon-sun\""), "Days: `mon-fri`, `sat,sun`, `mon`."),
    key("from", Text, Required("\"06:00\""), "First minute inside."),
    key("to", Text, Required("\"20:00\""), "First minute outside; before `from` it is the next day's."),
    key("zone", Text, Required("\"Europe/Berlin\""), "Time zone, by its IANA name."),
];

pub const TEST: &[Key] = &[
    key("as", Table(PERSON), Optional("nobody is signed in"), "Who asks."),
    key("request", Text, Required("\"GET /\""), "Method and path."),
    key("expect", Choice(&["allow", "challenge", "deny"]), Required("\"deny\""), "The decision."),
    key("reason", Text, Optional("any reason will do"), "The reason code."),
    key("from", Text, Optional("an address in no listed network"), "The client's address."),
    key(
        "at",
        Text,
        Default("\"2025-01-01T12:00:00Z\""),
        "Time of the request, RFC 3339. The default is a Wednesday at noon: the same at every check.",
    ),
    key("factor", Choice(&["totp", "webauthn", "none"]), Default("\"totp\""), "The second factor that was shown."),
    key("factor_age", Duration, Default("\"0s\""), "How long ago it was shown."),
];

pub const PERSON: &[Key] = &[
    key("user", Text, Optional("no e-mail address"), "E-mail address, or a subject (`sub`)."),
    key("sub", Text, Optional("the user"), "Subject, beside an e-mail address."),
    key("groups", Texts, Default("[]"), "Groups."),
];
