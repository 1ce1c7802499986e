//! A whole world on loopback: provider, upstreams, certificates and a configuration for the gateway, in one process and one temporary
//! folder. It listens on 127.0.0.1 only and is gone when it ends. Nothing here is used by `serve`.

mod banner;
mod certificates;
mod configuration;
mod provider;
mod samples;
mod serve;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use self::configuration::{Facts, TemporaryFolder};
use self::provider::{Caller, Client};
pub use self::samples::Samples;
use self::serve::Tasks;
use crate::clock::Clock;
use crate::entropy;

/// Which ports the gateway shall have. 0 is any free one; everything else always gets a free one.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    pub gateway: u16,
    pub operations: u16,
}

impl Default for Ports {
    /// 8443 for the gateway, so that its addresses can be told in a sentence.
    fn default() -> Self {
        Self { gateway: 8443, operations: 0 }
    }
}

/// The names of the demo. Browsers and curl know without asking that names under `localhost` are this machine (RFC 6761 §6.3).
#[derive(Clone, Copy, Debug)]
pub struct Hosts {
    port: u16,
}

impl Hosts {
    #[must_use]
    pub fn gate(&self) -> String {
        self.address(GATE)
    }

    #[must_use]
    pub fn app(&self) -> String {
        self.address(APP)
    }

    #[must_use]
    pub fn echo(&self) -> String {
        self.address(ECHO)
    }

    /// A default port is not written: addresses are compared as text.
    fn address(&self, host: &str) -> String {
        if self.port == 443 { format!("https://{host}") } else { format!("https://{host}:{}", self.port) }
    }
}

/// Everything but the gateway: provider, samples, certificates and the configuration that joins them.
#[derive(Debug)]
pub struct World {
    // Declared first: the sites stop before their folder goes.
    tasks: Tasks,
    folder: TemporaryFolder,
    config_dir: PathBuf,
    hosts: Hosts,
    issuer: String,
    samples: Samples,
}

impl World {
    /// Starts the sites and writes the configuration. The gateway is started by the caller, on [`World::config_dir`].
    pub async fn start(ports: Ports, clock: Clock) -> Result<Self, Error> {
        let gateway_port = free_unless_named(ports.gateway).await?;
        let operations_port = free_unless_named(ports.operations).await?;
        let hosts = Hosts { port: gateway_port };
        let folder = TemporaryFolder::make()?;
        let names = [GATE, APP, ECHO].map(str::to_owned);
        let certificates = certificates::make(&names, clock.now())?;
        let tasks = Tasks::default();
        let client = Client {
            id: CLIENT_ID.to_owned(),
            secret: secret_text()?,
            redirect_uri: format!("{}/.portcullis/callback", hosts.gate()),
            post_logout_redirect_uris: ["", "/", "/.portcullis/signed-out", "/.portcullis/sign-out"]
                .map(|path| format!("{}{path}", hosts.gate()))
                .to_vec(),
            logout: Caller::new(GATE, gateway_port, certificates.authority_der.clone())?,
        };
        let secret = client.secret.clone();
        let (listener, _) = serve::bind(0).await?;
        let issuer = provider::start(listener, client, clock, &tasks)?;
        let samples = samples::start(&tasks).await?;
        let facts = Facts {
            hosts: &hosts,
            operations_port,
            issuer: &issuer,
            client_id: CLIENT_ID,
            client_secret: &secret,
            page: samples.page,
            echo: samples.echo,
        };
        let config_dir = configuration::write(folder.path(), &facts, &certificates)?;
        Ok(Self { tasks, folder, config_dir, hosts, issuer, samples })
    }

    /// The folder for `--config`.
    #[must_use]
    pub fn config_dir(&self) -> &Path {
        &self.config_dir
    }

    /// The temporary folder that holds everything.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    #[must_use]
    pub const fn hosts(&self) -> Hosts {
        self.hosts
    }

    /// Where the provider is.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    #[must_use]
    pub const fn samples(&self) -> Samples {
        self.samples
    }

    /// What to print once the gateway listens.
    #[must_use]
    pub fn banner(&self) -> String {
        banner::text(&self.hosts, &self.issuer, &self.config_dir)
    }

    /// Stops the sites and removes the folder. Stop the gateway first: it still writes there.
    pub async fn stop(self) {
        self.tasks.finish().await;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.tasks.stop.cancel();
    }
}

/// A port that was free a moment ago. Somebody else may take it before the gateway does; then the gateway says so and ends.
async fn free_unless_named(port: u16) -> Result<u16, Error> {
    if port != 0 {
        return Ok(port);
    }
    let (_, address): (_, SocketAddr) = serve::bind(0).await?;
    Ok(address.port())
}

/// Why the demo could not begin, or one of its sites could not answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot listen on {address}: {source}")]
    Bind { address: std::net::SocketAddr, source: std::io::Error },
    #[error("a socket gave no address: {0}")]
    Socket(std::io::Error),
    #[error("cannot write {path}: {source}")]
    Write { path: std::path::PathBuf, source: std::io::Error },
    #[error("the machine gave no randomness")]
    Entropy,
    #[error("the clock shows a time that no certificate can state")]
    Clock,
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("cannot sign a token: {0}")]
    Token(#[from] jsonwebtoken::errors::Error),
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("cannot render a page: {0}")]
    Page(#[from] askama::Error),
    #[error("cannot write a header: {0}")]
    Header(#[from] http::header::InvalidHeaderValue),
    #[error("an address of the demo is malformed: {0}")]
    Address(#[from] url::ParseError),
}

/// 256 random bits as text.
fn secret_text() -> Result<Zeroizing<String>, Error> {
    let bytes = Zeroizing::new(entropy::bytes::<32>().map_err(|_| Error::Entropy)?);
    Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes)))
}

const GATE: &str = "gate.localhost";
const APP: &str = "app.localhost";
const ECHO: &str = "echo.localhost";
const CLIENT_ID: &str = "portcullis";
