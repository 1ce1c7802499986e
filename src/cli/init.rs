//! `portcullis init`: asks six questions and writes a configuration that passes `check`. Nothing is overwritten.

use std::fmt;
use std::fs;
use std::io::{self, BufRead, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use kernel::request::host::Authority;
use rustix::termios::{self, LocalModes, OptionalActions, Termios};
use zeroize::Zeroizing;

use super::exit;
use crate::config::{self, Colour, key_file};

/// Asks six questions and writes a configuration that passes `check`.
///
/// The answers may come from a file or a pipe, one a line; an empty line takes what is suggested.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {}

/// What the questions gave.
struct Answers {
    gateway: Authority,
    issuer: String,
    client_id: String,
    secret: Zeroizing<String>,
    upstream: String,
    route: String,
    groups: Vec<String>,
}

/// The random bytes of the two keys that are made.
#[derive(Debug)]
pub struct Randomness {
    pub master: Zeroizing<[u8; 32]>,
    pub audit: Zeroizing<[u8; 32]>,
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answerer {
    /// Somebody at a terminal: asked again after a slip, and the secret is not shown.
    Person,
    /// A file or a pipe: a slip ends it, because the line that follows answers another question.
    Script,
}

/// Where questions go and answers come from.
pub struct Talk<'a> {
    pub input: &'a mut dyn BufRead,
    pub ask: &'a mut dyn Write,
    pub answerer: Answerer,
}

impl fmt::Debug for Talk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Talk").field("answerer", &self.answerer).finish_non_exhaustive()
    }
}

/// Asks, reads, says what was written. Exit code 0, or 1 when nothing was written.
pub fn run(dir: &Path, randomness: &Randomness, mut talk: Talk<'_>, colour: Colour) -> io::Result<u8> {
    if !is_free(dir, talk.ask)? {
        return Ok(exit::NO);
    }
    let Some(answers) = questions(&mut talk)? else {
        writeln!(talk.ask, "\nwithout six good answers nothing was written")?;
        return Ok(exit::NO);
    };
    let ask = talk.ask;
    write_all(dir, randomness, &answers)?;
    match config::load(dir) {
        Ok(_) => {
            writeln!(ask, "\nwritten to {}; `portcullis check` finds no mistake in it.", dir.display())?;
            writeln!(
                ask,
                "certs/gate.pem is SELF-SIGNED, a placeholder: browsers warn of it until you put a real certificate in its place."
            )?;
            writeln!(ask, "at the IdP, register the redirect address {}/.portcullis/callback", answers.gateway.origin())?;
            writeln!(ask, "next: portcullis --config {} serve", dir.display())?;
            Ok(exit::DONE)
        }
        Err(report) => super::check::refuse(&report, colour, ask),
    }
}

/// Whether nothing of ours is in the folder yet; says what is.
fn is_free(dir: &Path, ask: &mut dyn Write) -> io::Result<bool> {
    for name in ["portcullis.toml", "routes", "keys", "certs", "state", "audit"] {
        if dir.join(name).symlink_metadata().is_ok() {
            writeln!(ask, "{} is there already, and init overwrites nothing: name another folder with --config", dir.join(name).display())?;
            return Ok(false);
        }
    }
    Ok(true)
}

fn questions(talk: &mut Talk<'_>) -> io::Result<Option<Answers>> {
    let mut question = |text: &str, default: &str, fault: &dyn Fn(&str) -> Option<String>| prompt(talk, text, default, fault);
    let parse_gateway = |text: &str| config::values::read_https(text);
    let Some(gateway) = question("1/6 Address of the gateway's own host", "https://gate.example.com", &|text| parse_gateway(text).err())?
    else {
        return Ok(None);
    };
    let Some(issuer) =
        question("2/6 Issuer of the identity provider", "https://idp.example.com", &|text| config::values::read_issuer(text).err())?
    else {
        return Ok(None);
    };
    let Some(client_id) = question("3/6 Client id at the provider", "portcullis", &|text| plain(text))? else { return Ok(None) };
    let Some(secret) = question("4/6 Client secret (kept in keys/oidc.secret)", "", &|text| plain(text))? else { return Ok(None) };
    let Some(first) =
        question("5/6 First system to protect: name and address", "app http://127.0.0.1:3000", &|text| read_system(text).err())?
    else {
        return Ok(None);
    };
    let Some(groups) = question("6/6 Groups that may open it, the first one being admins", "portcullis-admins", &|text| plain(text))?
    else {
        return Ok(None);
    };
    let (Ok(gateway), Ok((route, upstream))) = (parse_gateway(&gateway), read_system(&first)) else { return Ok(None) };
    let groups = groups.split(',').map(|group| group.trim().to_owned()).filter(|group| !group.is_empty()).collect();
    Ok(Some(Answers { gateway, issuer, client_id, secret: Zeroizing::new(secret), upstream, route, groups }))
}

/// Asks until the answer is good; `None` at the end of the input, or where nobody is there to be asked again. An answer
/// without a default is a secret.
fn prompt(talk: &mut Talk<'_>, text: &str, default: &str, fault: &dyn Fn(&str) -> Option<String>) -> io::Result<Option<String>> {
    let Talk { input, ask, answerer } = talk;
    loop {
        if default.is_empty() {
            write!(ask, "{text}: ")?;
        } else {
            write!(ask, "{text} [{default}]: ")?;
        }
        ask.flush()?;
        let hidden = if default.is_empty() && *answerer == Answerer::Person { Hidden::begin() } else { None };
        let mut line = Zeroizing::new(String::new());
        let count = input.read_line(&mut line)?;
        if hidden.is_some() {
            // The line's end was hidden as well.
            writeln!(ask)?;
        }
        if count == 0 {
            return Ok(None);
        }
        let answer = if line.trim().is_empty() { default } else { line.trim() };
        match fault(answer) {
            None => return Ok(Some(answer.to_owned())),
            Some(fault) => writeln!(ask, "  {fault}")?,
        }
        if *answerer == Answerer::Script {
            return Ok(None);
        }
    }
}

/// While it lives, the terminal does not show what is typed.
struct Hidden(Termios);

impl Hidden {
    /// None where there is no terminal.
    fn begin() -> Option<Self> {
        let usual = termios::tcgetattr(io::stdin()).ok()?;
        let mut hiding = usual.clone();
        hiding.local_modes.remove(LocalModes::ECHO);
        termios::tcsetattr(io::stdin(), OptionalActions::Now, &hiding).ok()?;
        Some(Self(usual))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _left_hidden = termios::tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

fn plain(text: &str) -> Option<String> {
    let blank = text.split(',').all(|part| part.trim().is_empty());
    let odd = text.chars().any(char::is_control);
    (blank || odd).then(|| "an answer is needed".to_owned())
}

fn read_system(text: &str) -> Result<(String, String), String> {
    let (name, address) = text.split_once(' ').ok_or("write a name and an address: app http://127.0.0.1:3000")?;
    let good = name.len() <= 63
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !name.starts_with('-')
        && !name.ends_with('-');
    if !good || name.is_empty() {
        return Err("a name is small letters, digits and hyphens".to_owned());
    }
    config::values::read_upstream(address.trim()).map(|upstream| (name.to_owned(), upstream.to_string()))
}

fn write_all(dir: &Path, randomness: &Randomness, answers: &Answers) -> io::Result<()> {
    for folder in ["routes", "certs"] {
        fs::create_dir_all(dir.join(folder))?;
    }
    // Keys, sessions and records are the gateway's alone; nobody else can reach the control socket either.
    for folder in ["keys", "state", "audit"] {
        fs::DirBuilder::new().mode(0o700).create(dir.join(folder))?;
    }
    key_file::generate(&dir.join("keys/master.key"), &randomness.master)?;
    key_file::generate(&dir.join("keys/audit.key"), &randomness.audit)?;
    let system_host = system_host(answers);
    let (cert, key) = self_signed(&[answers.gateway.host.as_str().to_owned(), system_host.clone()])?;
    create(&dir.join("keys/oidc.secret"), &answers.secret, 0o600)?;
    create(&dir.join("certs/gate.key"), &key, 0o600)?;
    create(&dir.join("certs/gate.pem"), &cert, 0o644)?;
    create(&dir.join("routes").join(format!("{}.toml", answers.route)), &route_text(answers, &system_host), 0o644)?;
    create(&dir.join("portcullis.toml"), &main_text(answers), 0o644)
}

fn create(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())
}

/// A sibling of the gateway's host: `app.example.com` beside `gate.example.com`.
fn system_host(answers: &Answers) -> String {
    let gateway = answers.gateway.host.as_str();
    match gateway.split_once('.') {
        Some((first, parent)) if first != answers.route && gateway.parse::<std::net::Ipv4Addr>().is_err() => {
            format!("{}.{parent}", answers.route)
        }
        _ => format!("{}.localhost", answers.route),
    }
}

fn self_signed(hosts: &[String]) -> io::Result<(String, Zeroizing<String>)> {
    let made = rcgen::generate_simple_self_signed(hosts.to_vec()).map_err(io::Error::other)?;
    Ok((made.cert.pem(), Zeroizing::new(made.signing_key.serialize_pem())))
}

/// A TOML string. JSON writes the same escapes.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn main_text(answers: &Answers) -> String {
    let admins = answers.groups.first().map(|group| quoted(group)).unwrap_or_default();
    format!(
        r#"# How the gateway runs. Relative paths are relative to this folder. Every other key has a default: `portcullis config show`.

[gateway]
url        = {url}
state_dir  = "state"
master_key = {{ file = "keys/master.key" }}

[[listener]]
name = "https"
bind = "[::]:{port}"

[tls]
[[tls.certificate]]
# A self-signed placeholder: put a real certificate in its place.
cert = "certs/gate.pem"
key  = "certs/gate.key"

[[idp]]
id            = "main"
issuer        = {issuer}
client_id     = {client_id}
client_secret = {{ file = "keys/oidc.secret" }}

[audit]
dir         = "audit"
signing_key = {{ file = "keys/audit.key" }}

[admin]
groups = [{admins}]
"#,
        url = quoted(&answers.gateway.origin()),
        port = answers.gateway.port,
        issuer = quoted(&answers.issuer),
        client_id = quoted(&answers.client_id),
    )
}

fn route_text(answers: &Answers, host: &str) -> String {
    let groups: Vec<String> = answers.groups.iter().map(|group| quoted(group)).collect();
    let from = Authority { port: answers.gateway.port, ..answers.gateway.clone() };
    let from = from.origin().replacen(answers.gateway.host.as_str(), host, 1);
    format!(
        r#"# A protected system: who may do what there. Whatever no rule allows is denied.
name  = "{name}"
from  = {from}
to    = [{to}]
class = "internal"

[[allow]]
id      = "use"
who     = {{ groups = [{groups}] }}
methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
paths   = ["/**"]

[[test]]
as      = {{ user = "stranger@example.com", groups = [] }}
request = "GET /"
expect  = "deny"
reason  = "no_rule"
"#,
        name = answers.route,
        from = quoted(&from),
        to = quoted(&answers.upstream),
        groups = groups.join(", "),
    )
}
