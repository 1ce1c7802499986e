//! `[detection]` and `[notify]`: keys, sections, reader.

use std::ops::RangeInclusive;
use std::time::Duration;

use kernel::detection::{DetectionRule, Rules, THRESHOLD_MAX};
use kernel::identity::Email;
use serde_json::{Value as Json, json};

use super::keys::{Form, Key, Need};
use super::read_files;
use super::reader::{Fault, Value};
use super::secret::Secret;
use super::sections::RootFile;
use super::values::{self, write_duration};

/// `[notify]`
#[derive(Clone, Debug, Default)]
pub struct Notify {
    pub webhook: Option<WebhookTarget>,
    pub mail: Option<MailTarget>,
}

/// `notify.mail`
#[derive(Clone, Debug)]
pub struct MailTarget {
    /// Required.
    pub host: Box<str>,
    /// Default 465, or 587 with `starttls`.
    pub port: u16,
    /// Default `tls`.
    pub security: MailSecurity,
    /// Required.
    pub from: Email,
    /// Name and password. Default none.
    pub login: Option<(Box<str>, Secret)>,
    /// Extra roots. Default: the machine's alone.
    pub ca: Option<RootFile>,
}

/// Where TLS begins; without it there is no mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailSecurity {
    Tls,
    StartTls,
}

/// `notify.webhook`
#[derive(Clone, Debug)]
pub struct WebhookTarget {
    /// `https://`. Required.
    pub url: Box<str>,
    /// Bearer token. Default none.
    pub token: Option<Secret>,
    /// Extra roots. Default: the machine's alone.
    pub ca: Option<RootFile>,
}

pub(super) fn detection(value: &Value<'_>) -> Option<Rules> {
    let table = value.table(DETECTION)?;
    let default = Rules::default();
    let names = DetectionRule::ALL.map(|rule| (rule.name(), rule));
    let span = |name, default: Duration, most| table.or(name, default, |value| values::duration(value, SECOND, most));
    let count = |name: &str, default: usize, range: RangeInclusive<u32>| {
        let read = |value: &Value<'_>| value.count(range).and_then(|count| usize::try_from(count).ok());
        table.or(name, default, read)
    };
    let threshold = || 2..=u32::try_from(THRESHOLD_MAX).unwrap_or(u32::MAX);
    Some(Rules {
        off: table.or("off", default.off, |value| value.each(|item| item.choice(&names))),
        repeat_after: span("repeat_after", default.repeat_after, 30 * DAY),
        spray_people: count("spray_people", default.spray_people, threshold()),
        spray_failures: count("spray_failures", default.spray_failures, threshold()),
        spray_within: span("spray_within", default.spray_within, DAY),
        brute_force_codes: count("brute_force_codes", default.brute_force_codes, threshold()),
        brute_force_within: span("brute_force_within", default.brute_force_within, DAY),
        two_networks_within: span("two_networks_within", default.two_networks_within, DAY),
        scan_person: count("scan_person", default.scan_person, threshold()),
        scan_address: count("scan_address", default.scan_address, threshold()),
        scan_within: span("scan_within", default.scan_within, DAY),
        new_factor_within: span("new_factor_within", default.new_factor_within, 30 * DAY),
        restricted_classes: table.or("restricted_classes", default.restricted_classes, |value| value.each(Value::owned)),
    })
}

pub(super) fn notify(value: &Value<'_>) -> Option<Notify> {
    let table = value.table(NOTIFY)?;
    let webhook = table.value("webhook").map(|value| webhook(&value));
    let mail = table.value("mail").map(|value| mail(&value));
    Some(Notify { webhook: whole(webhook)?, mail: whole(mail)? })
}

fn mail(value: &Value<'_>) -> Option<MailTarget> {
    let table = value.table(MAIL)?;
    let words = [("tls", MailSecurity::Tls), ("starttls", MailSecurity::StartTls)];
    let security = table.or("security", MailSecurity::Tls, |value| value.choice(&words));
    let default_port = if security == MailSecurity::Tls { 465 } else { 587 };
    let server = table.need("server", |value| value.parsed(|text| values::host_and_port(text, default_port, "smtp.example.com:465")));
    let from = table.need("from", |value| {
        let fault = |text: &str| Fault::new(format!("`{text}` is not an address"), "write \"portcullis@example.com\"");
        value.parsed(|text| Email::parse(text).map_err(|_| fault(text)))
    });
    let user = table.value("user").map(|value| value.owned());
    let password = table.value("password").map(|value| read_files::secret(&value));
    let ca = table.value("ca").map(|value| read_files::roots(&value));
    let login = match (user, password) {
        (None, None) => None,
        (Some(user), Some(password)) => Some((user?, password?)),
        (Some(_), None) => {
            table.error("`user` without a password", "add `password = { file = \"…\" }`, or remove `user`");
            return None;
        }
        (None, Some(_)) => {
            table.error("`password` without a user", "add `user = \"…\"`, or remove `password`");
            return None;
        }
    };
    let (host, port) = server?;
    Some(MailTarget { host, port, security, from: from?, login, ca: whole(ca)? })
}

fn webhook(value: &Value<'_>) -> Option<WebhookTarget> {
    let table = value.table(WEBHOOK)?;
    let url = table.need("url", |value| {
        value.parsed(|text| {
            let is_https =
                url::Url::parse(text).is_ok_and(|url| url.scheme() == "https" && url.username().is_empty() && url.password().is_none());
            let fault = || Fault::new(format!("`{text}` is not an https address"), "write \"https://hooks.example.com/portcullis\"");
            if is_https { Ok(text.into()) } else { Err(fault()) }
        })
    });
    let token = table.value("token").map(|value| read_files::secret(&value));
    let ca = table.value("ca").map(|value| read_files::roots(&value));
    Some(WebhookTarget { url: url?, token: whole(token)?, ca: whole(ca)? })
}

/// A key that was left out is fine; one that was not read is not.
#[expect(clippy::option_option, reason = "left out, wrong, and there are three things")]
fn whole<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(None) => None,
        Some(value) => Some(value),
    }
}

/// As `config show` prints it.
pub(super) fn show_detection(rules: &Rules) -> Json {
    json!({
        "off": rules.off.iter().map(|rule| rule.name()).collect::<Vec<_>>(),
        "repeat_after": write_duration(rules.repeat_after),
        "spray_people": rules.spray_people,
        "spray_failures": rules.spray_failures,
        "spray_within": write_duration(rules.spray_within),
        "brute_force_codes": rules.brute_force_codes,
        "brute_force_within": write_duration(rules.brute_force_within),
        "two_networks_within": write_duration(rules.two_networks_within),
        "scan_person": rules.scan_person,
        "scan_address": rules.scan_address,
        "scan_within": write_duration(rules.scan_within),
        "new_factor_within": write_duration(rules.new_factor_within),
        "restricted_classes": rules.restricted_classes,
    })
}

pub(super) fn show_notify(notify: &Notify) -> Json {
    json!({
        "webhook": notify.webhook.as_ref().map(|webhook| json!({
            "url": webhook.url,
            "token": webhook.token,
            "ca": webhook.ca.as_ref().map(|roots| &roots.path),
        })),
        "mail": notify.mail.as_ref().map(|mail| json!({
            "server": format!("{}:{}", mail.host, mail.port),
            "security": if mail.security == MailSecurity::Tls { "tls" } else { "starttls" },
            "from": mail.from.as_str(),
            "user": mail.login.as_ref().map(|(user, _)| user),
            "password": mail.login.as_ref().map(|(_, password)| password),
            "ca": mail.ca.as_ref().map(|roots| &roots.path),
        })),
    })
}

/// `[detection]`
pub const DETECTION: &[Key] = &[
    key(
        "off",
        Form::Choices(&[
            "sign_in_spray",
            "factor_brute_force",
            "session_two_networks",
            "path_scan",
            "first_restricted_access",
            "new_factor_restricted_access",
        ]),
        Need::Default("[]"),
        "Rules that are switched off.",
    ),
    key("repeat_after", Form::Duration, Need::Default("\"1h\""), "A rule tells of one person, network or session once in this time."),
    key(
        "spray_people",
        Form::Count,
        Need::Default("5"),
        "Failing sign-ins or factors of so many people from one network (IPv4 /24, IPv6 /48).",
    ),
    key("spray_failures", Form::Count, Need::Default("20"), "So many failures from one network, whoever they are of."),
    key("spray_within", Form::Duration, Need::Default("\"10m\""), "The time in which they are counted."),
    key("brute_force_codes", Form::Count, Need::Default("5"), "Wrong second factors for one person."),
    key("brute_force_within", Form::Duration, Need::Default("\"10m\""), "The time in which they are counted."),
    key(
        "two_networks_within",
        Form::Duration,
        Need::Default("\"10m\""),
        "The time in which one session comes back to a network (IPv4 /16, IPv6 /32) after it was seen in another.",
    ),
    key("scan_person", Form::Count, Need::Default("20"), "Different addresses denied to one person."),
    key("scan_address", Form::Count, Need::Default("100"), "Different addresses denied to one client address without a session."),
    key("scan_within", Form::Duration, Need::Default("\"5m\""), "The time in which they are counted."),
    key("new_factor_within", Form::Duration, Need::Default("\"24h\""), "How long a factor is new."),
    key("restricted_classes", Form::Texts, Need::Default("[\"restricted\"]"), "Classes of routes that are restricted."),
];

/// `[notify]`
pub const NOTIFY: &[Key] = &[
    key(
        "webhook",
        Form::Table(WEBHOOK),
        Need::Optional("nobody is told"),
        "Where findings are posted as JSON, with words for the person concerned.",
    ),
    key("mail", Form::Table(MAIL), Need::Optional("nobody is mailed"), "How the person whom a finding concerns is asked by mail."),
];

const MAIL: &[Key] = &[
    key("server", Form::Text, Need::Required("\"smtp.example.com\""), "Host, and port if it is not 465 (587 with starttls)."),
    key(
        "security",
        Form::Choice(&["tls", "starttls"]),
        Need::Default("\"tls\""),
        "Where TLS begins: with the connection, or after STARTTLS, without which nothing is sent.",
    ),
    key("from", Form::Text, Need::Required("\"portcullis@example.com\""), "Sender's address."),
    key("user", Form::Text, Need::Optional("no login"), "Name to log in with; `password` belongs to it."),
    key("password", Form::Secret, Need::Optional("no login"), "Password of `user`."),
    key("ca", Form::Text, Need::Optional("the system's roots alone"), "PEM file with further roots for the server."),
];

const WEBHOOK: &[Key] = &[
    key("url", Form::Text, Need::Required("\"https://hooks.example.com/portcullis\""), "Address, https."),
    key("token", Form::Secret, Need::Optional("no Authorization header"), "Sent as a bearer token."),
    key("ca", Form::Text, Need::Optional("the system's roots alone"), "PEM file with further roots for the receiver."),
];

const fn key(name: &'static str, form: Form, need: Need, meaning: &'static str) -> Key {
    Key { name, form, need, meaning }
}

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3_600);
