//! `[[audit.sink]]`: every key checked against the kind that it is for, so that none is taken and then ignored.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest;

use super::keys;
use super::read_files;
use super::reader::{Fault, Table, Value};
use super::sink::{
    Authorities, Backlog, Begin, Bom, Carrier, Compression, Endpoint, HttpApi, IndexerAck, Message, RecordFilter, RecordFormat, Server,
    Sink, Tls,
};
use super::values;

/// All sinks; `dir` is the folder of the log.
pub(super) fn sinks(value: &Value<'_>, dir: Option<&Path>) -> Option<Vec<Sink>> {
    let mut names: Vec<Box<str>> = Vec::new();
    let mut all = Some(Vec::new());
    for value in value.list()? {
        let read = sink(&value, dir);
        if let Some(sink) = &read {
            if names.contains(&sink.name) {
                value.error(
                    format!("two sinks are named `{}`", sink.name),
                    "give each sink its own `name`: it is where its position is kept",
                );
            }
            names.push(sink.name.clone());
        }
        all = all.zip(read).map(|(mut all, sink)| {
            all.push(sink);
            all
        });
    }
    all
}

fn sink(value: &Value<'_>, dir: Option<&Path>) -> Option<Sink> {
    let table = value.table(keys::SINK)?;
    let kinds = [
        ("syslog", Kind::Syslog),
        ("relp", Kind::Relp),
        ("http", Kind::Http),
        ("otlp", Kind::Otlp),
        ("file", Kind::File),
        ("stdout", Kind::Stdout),
    ];
    let kind = table.need("kind", |value| value.choice(&kinds));
    let batch = |name, default, least, most| table.or(name, default, |value| values::size(value, least, most));
    let batch_bytes = batch("batch_bytes", 1_048_576, 4_096, 16_777_216);
    let batch_records = table.or("batch_records", 500, |value| value.count(1..=10_000).and_then(|count| usize::try_from(count).ok()));
    let span = |name, default: Duration| table.or(name, default, |value| values::duration(value, SPAN_MIN, SPAN_MAX));
    let (flush_interval, timeout) = (span("flush_interval", Duration::from_secs(1)), span("timeout", Duration::from_secs(10)));
    let begin = table.or("begin", Begin::Oldest, |value| value.choice(&[("oldest", Begin::Oldest), ("newest", Begin::Newest)]));
    let backlog = backlog(&table);
    let filter = table.or("filter", RecordFilter::default(), filter);
    let kind = kind?;
    misplaced(&table, kind);
    let format = format(&table, kind);
    let carrier = carrier(&table, kind, dir);
    let name = name(&table, carrier.as_ref());
    let mut sink = Sink {
        name: name?,
        carrier: carrier?,
        format,
        filter,
        begin,
        backlog: backlog?,
        batch_records,
        batch_bytes,
        flush_interval,
        timeout,
        fingerprint: [0; 32],
    };
    sink.fingerprint = fingerprint(&sink);
    Some(sink)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Syslog,
    Relp,
    Http,
    Otlp,
    File,
    Stdout,
}

/// Keys that mean something with some kinds alone.
const BELONGS: &[(&str, &[Kind], &str)] = &[
    ("address", &[Kind::Syslog, Kind::Relp, Kind::Http, Kind::Otlp], "syslog, relp, http and otlp"),
    ("path", &[Kind::File], "file"),
    ("api", &[Kind::Http], "http"),
    ("server_name", &[Kind::Syslog, Kind::Relp, Kind::Http, Kind::Otlp], "syslog, relp, http and otlp"),
    ("ca", &[Kind::Syslog, Kind::Relp, Kind::Http, Kind::Otlp], "syslog, relp, http and otlp"),
    ("cert", &[Kind::Syslog, Kind::Relp, Kind::Http, Kind::Otlp], "syslog, relp, http and otlp"),
    ("key", &[Kind::Syslog, Kind::Relp, Kind::Http, Kind::Otlp], "syslog, relp, http and otlp"),
    ("token", &[Kind::Http, Kind::Otlp], "http and otlp"),
    ("token_header", &[Kind::Http, Kind::Otlp], "http and otlp"),
    ("compression", &[Kind::Http, Kind::Otlp], "http and otlp"),
    ("index", &[Kind::Http], "http"),
    ("indexer_ack", &[Kind::Http], "http"),
    ("bom", &[Kind::Syslog, Kind::Relp], "syslog and relp"),
    ("message_bytes_max", &[Kind::Syslog, Kind::Relp], "syslog and relp"),
    ("replay_window", &[Kind::Syslog], "syslog"),
];

fn misplaced(table: &Table<'_>, kind: Kind) {
    for (name, kinds, words) in BELONGS {
        if let Some(value) = table.value(name).filter(|_| !kinds.contains(&kind)) {
            value.error(
                format!("`{name}` has no meaning with this kind: it belongs to {words}"),
                format!("remove `{name}`, or change `kind`"),
            );
        }
    }
}

fn format(table: &Table<'_>, kind: Kind) -> RecordFormat {
    let words = [("ocsf", RecordFormat::Ocsf), ("ecs", RecordFormat::Ecs), ("cef", RecordFormat::Cef)];
    table.or("format", RecordFormat::Ocsf, |value| {
        let format = value.choice(&words)?;
        if format == RecordFormat::Cef && matches!(kind, Kind::Http | Kind::Otlp) {
            value.error("cef is a line of text, and this kind carries JSON", "write \"ocsf\" or \"ecs\", or ship by syslog or relp");
        }
        Some(format)
    })
}

fn backlog(table: &Table<'_>) -> Option<Backlog> {
    let blocks = table.or("overflow", true, |value| value.choice(&[("block", true), ("drop", false)]));
    match (table.value("backlog_max"), table.value("overflow")) {
        (Some(most), _) => {
            let most = u64::from(most.count(1_000..=u32::MAX)?);
            Some(if blocks { Backlog::Block(most) } else { Backlog::Drop(most) })
        }
        (None, Some(overflow)) => {
            overflow.error("without `backlog_max` nothing ever overflows", "add `backlog_max = 1000000`, or remove `overflow`");
            None
        }
        (None, None) => Some(Backlog::Unlimited),
    }
}

fn filter(value: &Value<'_>) -> Option<RecordFilter> {
    let table = value.table(keys::SINK_FILTER)?;
    let classes = table.value("classes").map(|value| value.each_filled(|class| class.choice(CLASSES)));
    let min_severity = table.value("min_severity").map(|value| value.choice(SEVERITIES));
    let decision = |value: &Value<'_>| {
        let words = ["allow", "challenge", "deny", "fail"].map(|word| (word, word));
        value.choice(&words).map(Box::from)
    };
    let decisions = table.value("decisions").map(|value| value.each_filled(decision));
    Some(RecordFilter { classes: whole(classes)?, min_severity: whole(min_severity)?, decisions: whole(decisions)? })
}

/// A key that was left out is fine, one that was not read is not.
#[expect(clippy::option_option, reason = "left out, and not read, are two things")]
pub(super) fn whole<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(None) => None,
        Some(value) => Some(value),
    }
}

fn carrier(table: &Table<'_>, kind: Kind, dir: Option<&Path>) -> Option<Carrier> {
    match kind {
        Kind::Syslog => {
            let replay_window = table.or("replay_window", Duration::from_secs(30), |value| values::duration(value, SPAN_MIN, SPAN_MAX));
            let (server, message) = (server(table, 6_514), message(table));
            Some(Carrier::Syslog { server: server?, message, replay_window })
        }
        Kind::Relp => {
            let (server, message) = (server(table, 2_514), message(table));
            Some(Carrier::Relp { server: server?, message })
        }
        Kind::Http => {
            let (endpoint, api) = (endpoint(table), api(table));
            Some(Carrier::Http { api: api?, endpoint: endpoint? })
        }
        Kind::Otlp => Some(Carrier::Otlp { endpoint: endpoint(table)? }),
        Kind::File => Some(Carrier::File { path: table.need("path", |value| outside(value, dir))? }),
        Kind::Stdout => Some(Carrier::Stdout),
    }
}

/// A file among those of the log would be taken for a part of it.
fn outside(value: &Value<'_>, dir: Option<&Path>) -> Option<PathBuf> {
    let path = read_files::path(value)?;
    if dir.is_some_and(|dir| path.starts_with(dir)) {
        value.error("this is inside the folder of the log itself", "name a file outside audit.dir");
        return None;
    }
    Some(path)
}

fn message(table: &Table<'_>) -> Message {
    let bom = table.or("bom", false, |value| value.flag());
    // RFC 5425 asks every receiver to take 2048 bytes; less would leave no room for the short form.
    let bytes_max = table.or("message_bytes_max", 8_192, |value| values::size(value, 2_048, 1_048_576));
    Message { bom: if bom { Bom::Write } else { Bom::Omit }, bytes_max }
}

fn server(table: &Table<'_>, default_port: u16) -> Option<Server> {
    let address = table.need("address", |value| value.parsed(|text| values::host_and_port(text, default_port, "siem.example.com:6514")));
    let tls = tls(table, address.as_ref().map(|(host, _)| &**host));
    let (host, port) = address?;
    Some(Server { host, port, tls: tls? })
}

pub(super) fn tls(table: &Table<'_>, host: Option<&str>) -> Option<Tls> {
    let server_name = table.value("server_name").map(|value| {
        value.parsed(|text| {
            let fault = |_| Fault::new(format!("`{text}` is not a name that a certificate can have"), "write a host name or an address");
            rustls_pki_types::ServerName::try_from(text).map(|_| Box::from(text)).map_err(fault)
        })
    });
    let roots = table.value("ca").map(|value| read_files::roots(&value));
    let certificate = match (table.value("cert"), table.value("key")) {
        (None, None) => Some(None),
        _ => read_files::certificate(table).map(Some),
    };
    let authorities = match whole(roots)? {
        Some(roots) => Authorities::Only(roots.certificates),
        None => Authorities::System,
    };
    let server_name = whole(server_name)?.or_else(|| host.map(Box::from))?;
    Some(Tls { server_name, authorities, certificate: certificate? })
}

fn endpoint(table: &Table<'_>) -> Option<Endpoint> {
    let url = table.need("address", |value| value.parsed(values::endpoint));
    let host = url.as_ref().and_then(|url| url.host().map(|host| values::name_of(&host)));
    let tls = tls(table, host.as_deref());
    let token = table.value("token").map(|value| read_files::secret(&value));
    let token_header = table.value("token_header").map(|value| value.parsed(header_name));
    if let Some(value) = table.value("token_header").filter(|_| token.is_none()) {
        value.error("there is no `token` for this header", "add `token = { file = \"…\" }`, or remove `token_header`");
    }
    let words = [Compression::None, Compression::Gzip].map(|compression| (compression.word(), compression));
    let compression = table.or("compression", Compression::None, |value| value.choice(&words));
    Some(Endpoint { url: url?, tls: tls?, token: whole(token)?, token_header: whole(token_header)?, compression })
}

pub(super) fn header_name(text: &str) -> Result<Box<str>, Fault> {
    match http::HeaderName::try_from(text) {
        Ok(name) => Ok(name.as_str().into()),
        Err(_) => Err(Fault::new(format!("`{text}` is not the name of a header"), "write a name like \"x-api-key\"")),
    }
}

fn api(table: &Table<'_>) -> Option<HttpApi> {
    let index = table.value("index").map(|value| value.parsed(index));
    let acknowledge = table.or("indexer_ack", true, |value| value.flag());
    let acknowledge = if acknowledge { IndexerAck::Wait } else { IndexerAck::Skip };
    let index = whole(index)?;
    let apis = [("json-lines", 0), ("splunk-hec", 1), ("elasticsearch", 2)];
    let api = match table.or("api", 0, |value| value.choice(&apis)) {
        1 => HttpApi::SplunkHec { acknowledge, index },
        2 => HttpApi::Elasticsearch { index: index.unwrap_or_else(|| INDEX.into()) },
        _ => {
            for name in ["index", "indexer_ack"] {
                if let Some(value) = table.value(name) {
                    value.error(format!("`{name}` has no meaning with json-lines"), format!("remove `{name}`, or write `api`"));
                }
            }
            HttpApi::JsonLines
        }
    };
    if let (HttpApi::SplunkHec { .. }, None) = (&api, table.value("token")) {
        table.error("splunk-hec needs a token", "add `token = { file = \"…\" }` with the token of the HTTP Event Collector");
        return None;
    }
    Some(api)
}

fn index(text: &str) -> Result<Box<str>, Fault> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
    if text.len() <= 255 && text.bytes().all(plain) && !text.starts_with(['-', '_', '.']) {
        return Ok(text.into());
    }
    Err(Fault::new(format!("`{text}` is not an index"), "write small letters, digits, dots, hyphens and underscores"))
}

/// The name, or kind and address: another address is another sink, which begins at the beginning.
fn name(table: &Table<'_>, carrier: Option<&Carrier>) -> Option<Box<str>> {
    if let Some(value) = table.value("name") {
        return super::read_main::identifier(&value);
    }
    let carrier = carrier?;
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_') { letter } else { '-' };
    let target: String = carrier.target().chars().map(plain).collect();
    let name = format!("{}-{}", carrier.kind(), target.trim_matches('-'));
    Some(name.chars().take(NAME_CHARS).collect::<String>().into())
}

fn fingerprint(sink: &Sink) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(format!("{sink:?}").as_bytes());
    for part in sink.carrier.hidden() {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part);
    }
    context.finish().as_ref().try_into().unwrap_or([0; 32])
}

const CLASSES: &[(&str, u64)] = &[
    ("detection_finding", 2_004),
    ("account_change", 3_001),
    ("authentication", 3_002),
    ("authorize_session", 3_003),
    ("entity_management", 3_004),
    ("network_activity", 4_001),
    ("http_activity", 4_002),
    ("tunnel_activity", 4_014),
    ("application_lifecycle", 6_002),
];
const SEVERITIES: &[(&str, u64)] = &[("informational", 1), ("low", 2), ("medium", 3), ("high", 4), ("critical", 5)];
/// Fits the naming of data streams, so that Elasticsearch's own template for logs takes it.
const INDEX: &str = "logs-portcullis.audit-default";
const NAME_CHARS: usize = 120;
const SPAN_MIN: Duration = Duration::from_millis(10);
const SPAN_MAX: Duration = Duration::from_secs(3_600);
