//! `[[audit.sink]]` as a type: where records are shipped, in which form, and what happens when the receiver is gone.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use rustls_platform_verifier::Verifier;
use serde_json::{Value, json};
use url::Url;

use super::secret::Secret;
use super::sections::Certificate;
use super::values::write_duration;

/// One sink.
#[derive(Clone, Debug)]
pub struct Sink {
    /// Names the sink and the file with its position. Letters, digits, dots, hyphens, underscores.
    pub name: Box<str>,
    pub carrier: Carrier,
    /// Default `ocsf`.
    pub format: RecordFormat,
    pub filter: RecordFilter,
    /// Default `oldest`.
    pub begin: Begin,
    /// Default unlimited.
    pub backlog: Backlog,
    /// Records in a batch, at most. Default 500.
    pub batch_records: usize,
    /// Bytes in a batch, at most, unless one record is larger. Default 1 MiB.
    pub batch_bytes: usize,
    /// Time between two looks at the log. Default 1s.
    pub flush_interval: Duration,
    /// For a connection, and for a batch. Default 10s.
    pub timeout: Duration,
    /// SHA-256 over everything above, secrets and certificates included: two sinks with one fingerprint are the same.
    pub fingerprint: [u8; 32],
}

/// How records travel.
#[derive(Clone, Debug)]
pub enum Carrier {
    Syslog {
        server: Server,
        message: Message,
        /// What was sent within this time is sent again after a connection broke. Default 30s.
        replay_window: Duration,
    },
    Relp {
        server: Server,
        message: Message,
    },
    Http {
        api: HttpApi,
        endpoint: Endpoint,
    },
    Otlp {
        endpoint: Endpoint,
    },
    File {
        path: PathBuf,
    },
    Stdout,
}

/// A TLS server.
#[derive(Clone, Debug)]
pub struct Server {
    pub host: Box<str>,
    pub port: u16,
    pub tls: Tls,
}

/// A web address, and what is shown to it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// https, or http on loopback.
    pub url: Url,
    pub tls: Tls,
    pub token: Option<Secret>,
    /// The header that carries the token bare. Default: authorization, with the scheme of the api.
    pub token_header: Option<Box<str>>,
    /// Of the records on their way. Default none: not every receiver unpacks.
    pub compression: Compression,
}

/// How the body of a batch is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
}

impl Compression {
    /// The word of the configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
        }
    }
}

/// Our side of TLS. The server is verified always.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Default: the host of the address.
    pub server_name: Box<str>,
    pub authorities: Authorities,
    pub certificate: Option<Certificate>,
}

impl Tls {
    /// Our side of TLS towards a receiver, whatever it receives. Verified always.
    pub fn client(&self) -> Result<ClientConfig, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
        let builder = match &self.authorities {
            // Called dangerous because the verifier can be anything. This one is the platform's.
            Authorities::System => builder.dangerous().with_custom_certificate_verifier(Arc::new(Verifier::new(provider)?)),
            Authorities::Only(roots) => {
                let mut store = RootCertStore::empty();
                roots.iter().try_for_each(|root| store.add(root.clone()))?;
                builder.with_root_certificates(store)
            }
        };
        match &self.certificate {
            None => Ok(builder.with_no_client_auth()),
            Some(pair) => builder.with_client_auth_cert(pair.chain.clone(), pair.private_key.clone_key()),
        }
    }
}

/// Who may vouch for a server.
#[derive(Clone)]
pub enum Authorities {
    System,
    /// These alone. Never empty.
    Only(Vec<CertificateDer<'static>>),
}

/// What is spoken over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpApi {
    JsonLines,
    SplunkHec { acknowledge: IndexerAck, index: Option<Box<str>> },
    Elasticsearch { index: Box<str> },
}

/// Whether an indexer's acknowledgement is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexerAck {
    Wait,
    Skip,
}

/// How a syslog message is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Whether a byte order mark stands before the text. Default no.
    pub bom: Bom,
    /// Largest message, header included. Default 8 KiB, what rsyslog takes unless told otherwise.
    pub bytes_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bom {
    Write,
    Omit,
}

/// How a record is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordFormat {
    Ocsf,
    Ecs,
    Cef,
}

/// Which records are shipped. What is `None` lets everything pass; a list is never empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordFilter {
    /// OCSF class numbers.
    pub classes: Option<Vec<u64>>,
    /// OCSF severity.
    pub min_severity: Option<u64>,
    pub decisions: Option<Vec<Box<str>>>,
}

/// Where a sink without a position begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    Oldest,
    Newest,
}

/// What may wait for a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backlog {
    /// The disk is the limit.
    Unlimited,
    /// More than this many records refuse new grants.
    Block(u64),
    /// Of more than this many records the oldest are skipped, on record.
    Drop(u64),
}

impl Carrier {
    /// The word of the configuration.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Syslog { .. } => "syslog",
            Self::Relp { .. } => "relp",
            Self::Http { .. } => "http",
            Self::Otlp { .. } => "otlp",
            Self::File { .. } => "file",
            Self::Stdout => "stdout",
        }
    }

    /// Where records go, for people.
    #[must_use]
    pub fn target(&self) -> String {
        match self {
            Self::Syslog { server, .. } | Self::Relp { server, .. } => format!("{}:{}", server.host, server.port),
            Self::Http { endpoint, .. } | Self::Otlp { endpoint } => endpoint.url.to_string(),
            Self::File { path } => path.display().to_string(),
            Self::Stdout => "stdout".to_owned(),
        }
    }

    /// What of it is secret, or read from a file: the rest is in its `Debug`.
    pub(super) fn hidden(&self) -> Vec<&[u8]> {
        let (tls, token) = match self {
            Self::Syslog { server, .. } | Self::Relp { server, .. } => (Some(&server.tls), None),
            Self::Http { endpoint, .. } | Self::Otlp { endpoint } => (Some(&endpoint.tls), endpoint.token.as_ref()),
            Self::File { .. } | Self::Stdout => (None, None),
        };
        let mut parts: Vec<&[u8]> = token.map(|token| token.expose().as_bytes()).into_iter().collect();
        let Some(tls) = tls else { return parts };
        if let Authorities::Only(roots) = &tls.authorities {
            parts.extend(roots.iter().map(|root| root.as_ref()));
        }
        if let Some(Certificate { chain, private_key, .. }) = &tls.certificate {
            parts.extend(chain.iter().map(|certificate| certificate.as_ref()));
            parts.push(PrivateKeyDer::secret_der(private_key));
        }
        parts
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("System"),
            Self::Only(roots) => f.debug_tuple("Only").field(&roots.len()).finish(),
        }
    }
}

/// A sink with the names of the file's keys, secrets hidden.
pub(super) fn shown(sink: &Sink) -> Value {
    let (backlog_max, overflow) = match sink.backlog {
        Backlog::Unlimited => (None, "block"),
        Backlog::Block(records) => (Some(records), "block"),
        Backlog::Drop(records) => (Some(records), "drop"),
    };
    let mut value = json!({
        "name": sink.name,
        "kind": sink.carrier.kind(),
        "format": match sink.format { RecordFormat::Ocsf => "ocsf", RecordFormat::Ecs => "ecs", RecordFormat::Cef => "cef" },
        "filter": { "classes": sink.filter.classes, "min_severity": sink.filter.min_severity, "decisions": sink.filter.decisions },
        "begin": match sink.begin { Begin::Oldest => "oldest", Begin::Newest => "newest" },
        "backlog_max": backlog_max,
        "overflow": overflow,
        "batch_records": sink.batch_records,
        "batch_bytes": format!("{}B", sink.batch_bytes),
        "flush_interval": write_duration(sink.flush_interval),
        "timeout": write_duration(sink.timeout),
    });
    if let (Some(fields), Value::Object(more)) = (value.as_object_mut(), carrier_shown(&sink.carrier)) {
        fields.extend(more);
    }
    value
}

fn carrier_shown(carrier: &Carrier) -> Value {
    let tls = |tls: &Tls| {
        let authorities = match &tls.authorities {
            Authorities::System => None,
            Authorities::Only(roots) => Some(roots.len()),
        };
        json!({ "server_name": tls.server_name, "authorities": authorities, "cert": tls.certificate.as_ref().map(|pair| &pair.cert) })
    };
    let message = |message: &Message| json!({ "bom": message.bom == Bom::Write, "bytes_max": format!("{}B", message.bytes_max) });
    match carrier {
        Carrier::Syslog { server, message: form, replay_window } => json!({ "address": carrier.target(), "tls": tls(&server.tls),
            "message": message(form), "replay_window": write_duration(*replay_window) }),
        Carrier::Relp { server, message: form } => {
            json!({ "address": carrier.target(), "tls": tls(&server.tls), "message": message(form) })
        }
        Carrier::Http { api, endpoint } => {
            let (word, index, acknowledge) = match api {
                HttpApi::JsonLines => ("json-lines", None, None),
                HttpApi::SplunkHec { acknowledge, index } => ("splunk-hec", index.as_deref(), Some(*acknowledge == IndexerAck::Wait)),
                HttpApi::Elasticsearch { index } => ("elasticsearch", Some(&**index), None),
            };
            json!({ "address": carrier.target(), "api": word, "index": index, "indexer_ack": acknowledge,
                "tls": tls(&endpoint.tls), "token": endpoint.token, "token_header": endpoint.token_header,
                "compression": endpoint.compression.word() })
        }
        Carrier::Otlp { endpoint } => json!({ "address": carrier.target(), "tls": tls(&endpoint.tls), "token": endpoint.token,
            "token_header": endpoint.token_header, "compression": endpoint.compression.word() }),
        Carrier::File { path } => json!({ "path": path }),
        Carrier::Stdout => json!({}),
    }
}
