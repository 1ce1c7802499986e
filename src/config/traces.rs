//! `[traces]`: keys, section, reader.

use serde_json::{Value as Json, json};
use url::Url;

use super::keys::{Form, Key, Need, key};
use super::read_files;
use super::read_sink::{header_name, tls, whole};
use super::reader::Value;
use super::secret::Secret;
use super::sink::Tls;
use super::values;

/// `[traces]`
#[derive(Clone, Debug, Default)]
pub enum Traces {
    /// Default.
    #[default]
    Off,
    To(Box<TraceReceiver>),
}

/// Where spans are sent, and of which requests.
#[derive(Clone, Debug)]
pub struct TraceReceiver {
    /// https, or http on loopback; `/v1/traces` is added. Required.
    pub endpoint: Url,
    pub tls: Tls,
    pub token: Option<Secret>,
    /// The header that carries the token bare. Default: authorization, as a bearer token.
    pub token_header: Option<Box<str>>,
    /// Of so many requests whose trace begins here, one is traced. Default 100.
    pub one_in: u32,
    /// Requests that are traced in a second, at most. Default 100.
    pub per_second: u32,
}

pub(super) fn read(value: &Value<'_>) -> Option<Traces> {
    let table = value.table(TRACES)?;
    let endpoint = table.need("endpoint", |value| value.parsed(values::endpoint));
    let host = endpoint.as_ref().and_then(|url| url.host().map(|host| values::name_of(&host)));
    let tls = tls(&table, host.as_deref());
    let token = table.value("token").map(|value| read_files::secret(&value));
    let token_header = table.value("token_header").map(|value| value.parsed(header_name));
    if let Some(value) = table.value("token_header").filter(|_| token.is_none()) {
        value.error("there is no `token` for this header", "add `token = { file = \"…\" }`, or remove `token_header`");
    }
    let one_in = table.or("one_in", 100, |value| value.count(1..=1_000_000));
    let per_second = table.or("per_second", 100, |value| value.count(1..=100_000));
    let (token, token_header) = (whole(token)?, whole(token_header)?);
    Some(Traces::To(Box::new(TraceReceiver { endpoint: endpoint?, tls: tls?, token, token_header, one_in, per_second })))
}

/// As `config show` prints it.
pub(super) fn show(traces: &Traces) -> Json {
    let Traces::To(receiver) = traces else { return Json::Null };
    json!({
        "endpoint": receiver.endpoint.as_str(),
        "server_name": receiver.tls.server_name,
        "token": receiver.token,
        "token_header": receiver.token_header,
        "one_in": receiver.one_in,
        "per_second": receiver.per_second,
    })
}

/// `[traces]`
pub const TRACES: &[Key] = &[
    key(
        "endpoint",
        Form::Text,
        Need::Required("\"https://otel.example.com:4318\""),
        "Receiver of OTLP over HTTP, in JSON: an https URL, or http on loopback. `/v1/traces` is added.",
    ),
    key("token", Form::Secret, Need::Optional("no credential is sent"), "Sent as a bearer token."),
    key("token_header", Form::Text, Need::Optional("authorization, as a bearer token"), "Header that carries the token as it is."),
    key("server_name", Form::Text, Need::Optional("the host of `endpoint`"), "Name that the receiver's certificate must have."),
    key("ca", Form::Text, Need::Optional("the system's roots"), "PEM file with the only authorities that may vouch for the receiver."),
    key(
        "cert",
        Form::Text,
        Need::Optional("no client certificate"),
        "PEM file with the certificate that the gateway shows to the receiver; `key` belongs to it.",
    ),
    key("key", Form::Text, Need::Optional("no client certificate"), "PEM file with the private key of `cert`."),
    key(
        "one_in",
        Form::Count,
        Need::Default("100"),
        "Of so many requests one is traced, of those whose trace begins here or comes from somebody who is not signed in.",
    ),
    key("per_second", Form::Count, Need::Default("100"), "Requests that are traced in a second, at most, whoever asks for it."),
];
