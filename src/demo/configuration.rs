//! Writes the demo's configuration, as an operator and an admin would have written it, into a folder that only its owner can read.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::demo::certificates::Certificates;
use crate::demo::{Error, Hosts};
use crate::entropy;

/// What stands in the configuration and is only known once the sites listen.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub hosts: &'a Hosts,
    /// Port of the health and metrics listener.
    pub operations_port: u16,
    pub issuer: &'a str,
    pub client_id: &'a str,
    pub client_secret: &'a str,
    pub page: SocketAddr,
    pub echo: SocketAddr,
}

/// Writes `config/` with keys, certificates and routes below `dir`, and gives its path.
pub fn write(dir: &Path, facts: &Facts<'_>, certificates: &Certificates) -> Result<PathBuf, Error> {
    let config = dir.join("config");
    let state = dir.join("state");
    let audit = dir.join("audit");
    for folder in [&config, &config.join("routes"), &config.join("certs"), &config.join("keys"), &state, &audit] {
        folder_for_owner(folder)?;
    }
    file_for_owner(&config.join("certs/ca.pem"), &certificates.authority)?;
    file_for_owner(&config.join("certs/demo.pem"), &certificates.server)?;
    file_for_owner(&config.join("certs/demo.key"), &certificates.server_key)?;
    file_for_owner(&config.join("keys/master.key"), &key_text()?)?;
    file_for_owner(&config.join("keys/audit.key"), &key_text()?)?;
    file_for_owner(&config.join("keys/oidc.secret"), facts.client_secret)?;
    file_for_owner(&config.join("portcullis.toml"), &gateway_text(&config, &state, &audit, facts))?;
    file_for_owner(&config.join("routes/app.toml"), &app_text(facts))?;
    file_for_owner(&config.join("routes/echo.toml"), &echo_text(facts))?;
    Ok(config)
}

/// Makes a folder that did not exist, mode 0700.
pub(super) fn folder_for_owner(path: &Path) -> Result<(), Error> {
    DirBuilder::new().mode(0o700).create(path).map_err(|source| Error::Write { path: path.to_owned(), source })
}

/// Writes a file that did not exist, mode 0600.
fn file_for_owner(path: &Path, content: &str) -> Result<(), Error> {
    let fault = |source| Error::Write { path: path.to_owned(), source };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(fault)?;
    file.write_all(content.as_bytes()).map_err(fault)
}

fn key_text() -> Result<Zeroizing<String>, Error> {
    let key = Zeroizing::new(entropy::bytes::<32>().map_err(|_| Error::Entropy)?);
    Ok(Zeroizing::new(STANDARD.encode(*key)))
}

/// A path as a TOML string.
fn quoted(path: &Path) -> String {
    toml::Value::String(path.display().to_string()).to_string()
}

fn gateway_text(config: &Path, state: &Path, audit: &Path, facts: &Facts<'_>) -> String {
    let Facts { hosts, operations_port, issuer, client_id, .. } = facts;
    let port = hosts.port;
    let url = hosts.gate();
    let (cert, key) = (quoted(&config.join("certs/demo.pem")), quoted(&config.join("certs/demo.key")));
    let (master, signing, secret) =
        (quoted(&config.join("keys/master.key")), quoted(&config.join("keys/audit.key")), quoted(&config.join("keys/oidc.secret")));
    let (state, audit) = (quoted(state), quoted(audit));
    format!(
        r#"# Written by `portcullis demo` for this run.
[gateway]
url = "{url}"
state_dir = {state}
master_key = {{ file = {master} }}

[[listener]]
name = "https"
bind = "127.0.0.1:{port}"
protocols = ["h1", "h2"]

[operations]
bind = "127.0.0.1:{operations_port}"

[tls]
profile = "modern"

[[tls.certificate]]
cert = {cert}
key = {key}

[[idp]]
id = "demo"
issuer = "{issuer}"
client_id = "{client_id}"
client_secret = {{ file = {secret} }}
scopes = ["openid", "profile", "email", "groups"]
groups_claim = "groups"

[second_factor]
methods = ["totp"]
# Nobody is here to hand out invites: whoever signs in first enrols.
enrolment = "first-login"

[rate_limit]
# Everybody in the demo comes from one address, and several people try it at once.
sign_in = {{ rate = "120/m" }}

[audit]
dir = {audit}
signing_key = {{ file = {signing} }}

[admin]
groups = ["portcullis-admins"]
"#
    )
}

fn app_text(facts: &Facts<'_>) -> String {
    let (from, to) = (facts.hosts.app(), facts.page);
    format!(
        r#"name = "app"
from = "{from}"
to = ["http://{to}"]
class = "internal"
owner = "team-demo@example.com"
data = ["samples"]

[[allow]]
id = "read"
who = {{ groups = ["staff"] }}
methods = ["GET", "HEAD"]
paths = ["/", "/reports/**", "/events", "/slow", "/echo"]

[[allow]]
id = "write"
who = {{ groups = ["on-call"] }}
methods = ["POST"]
paths = ["/", "/upload"]

[[allow]]
id = "administer"
who = {{ groups = ["admin"] }}
paths = ["/admin/**"]
factor = {{ max_age = "5m" }}

[[allow]]
id = "public"
public = true
methods = ["GET", "HEAD"]
paths = ["/public/**"]

[[test]]
as = {{ user = "ana@example.com", groups = ["staff"] }}
request = "GET /reports"
expect = "allow"

[[test]]
as = {{ user = "ana@example.com", groups = ["staff"] }}
request = "GET /admin"
expect = "deny"
reason = "no_rule"

[[test]]
as = {{ user = "ana@example.com", groups = ["staff"] }}
request = "POST /upload"
expect = "deny"
reason = "no_rule"

[[test]]
as = {{ user = "ben@example.com", groups = ["staff", "on-call"] }}
request = "POST /upload"
expect = "allow"
"#
    )
}

fn echo_text(facts: &Facts<'_>) -> String {
    let (from, to) = (facts.hosts.echo(), facts.echo);
    format!(
        r#"name = "echo"
from = "{from}"
to = ["http://{to}"]
class = "internal"
owner = "team-demo@example.com"
data = ["samples"]

[[allow]]
id = "talk"
who = {{ anyone_signed_in = true }}
methods = ["GET", "HEAD"]
paths = ["/**"]
"#
    )
}

/// A folder that goes when its owner does.
#[derive(Debug)]
pub struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    /// Makes a folder with an unguessable name, mode 0700, in the system's place for temporary files.
    pub fn make() -> Result<Self, Error> {
        let name = entropy::bytes::<8>().map_err(|_| Error::Entropy)?;
        let path = std::env::temp_dir().join(format!("portcullis-demo-{:016x}", u64::from_be_bytes(name)));
        folder_for_owner(&path)?;
        Ok(Self(path))
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // Nothing can be done about a folder that stays: it is the owner's alone, and in the place for such things.
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::debug!(%error, "the demo's folder could not be removed");
        }
    }
}
