//! `[tls.acme]`: certificates that the gateway obtains itself.

use std::path::PathBuf;

use kernel::request::host::Host;
use rustls_pki_types::CertificateDer;
use url::Url;

use super::keys;
use super::lint::certifies;
use super::read_files;
use super::read_main::Main;
use super::read_route::Draft;
use super::reader::{Fault, Findings, Value};
use super::report::{Problem, Severity};
use super::sections::{Certificate, Config};
use super::source::Place;
use super::values;

/// `[tls.acme]`
#[derive(Clone)]
pub struct Acme {
    /// Directory of the authority; https. Required.
    pub directory: Url,
    /// `mailto:` addresses. Default none.
    pub contact: Vec<String>,
    /// Hosts that were listed, with their places. Default: none, which means those that no certificate file is for.
    pub hosts: Option<Vec<Host>>,
    /// Default `tls-alpn-01`.
    pub challenge: AcmeChallenge,
    /// Roots for the authority's own address, beside the system's. Default none.
    pub roots: Vec<CertificateDer<'static>>,
    pub ca: Option<PathBuf>,
    place: Place,
    host_places: Vec<Place>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcmeChallenge {
    TlsAlpn,
    Http,
}

impl AcmeChallenge {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TlsAlpn => "tls-alpn-01",
            Self::Http => "http-01",
        }
    }
}

impl std::fmt::Debug for Acme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acme").field("directory", &self.directory.as_str()).field("challenge", &self.challenge).finish_non_exhaustive()
    }
}

pub(super) fn read(value: &Value<'_>) -> Option<Acme> {
    let table = value.table(keys::ACME)?;
    let directory = table.need("directory", |value| value.parsed(directory));
    let accepted = table.need("terms_accepted", |value| {
        let accepted = value.flag()?;
        if !accepted {
            value
                .error("an authority issues nothing to who does not accept its terms", "read the terms, and write `terms_accepted = true`");
        }
        accepted.then_some(())
    });
    let contact = table.value("contact").map_or_else(|| Some(Vec::new()), |value| value.each(|value| value.parsed(contact)));
    let hosts = table.value("hosts").map(|value| value.each_filled(|value| Some((value.parsed(host)?, value.place()))));
    let challenges = [("tls-alpn-01", AcmeChallenge::TlsAlpn), ("http-01", AcmeChallenge::Http)];
    let challenge = table.value("challenge").map_or(Some(AcmeChallenge::TlsAlpn), |value| value.choice(&challenges));
    let ca = table.value("ca").map_or(Some(None), |value| read_files::roots(&value).map(Some));
    let (hosts, host_places) = match hosts {
        None => (None, Vec::new()),
        Some(hosts) => {
            let (hosts, places) = hosts?.into_iter().unzip();
            (Some(hosts), places)
        }
    };
    let (ca, ()) = (ca?, accepted?);
    Some(Acme {
        directory: directory?,
        contact: contact?,
        hosts,
        challenge: challenge?,
        roots: ca.as_ref().map(|ca| ca.certificates.clone()).unwrap_or_default(),
        ca: ca.map(|ca| ca.path),
        place: value.place(),
        host_places,
    })
}

fn directory(text: &str) -> Result<Url, Fault> {
    let mend = "write the address of the directory: \"https://acme-v02.api.letsencrypt.org/directory\"";
    let url = Url::parse(text).map_err(|_| Fault::new(format!("`{text}` is not a URL"), mend))?;
    if url.scheme() != "https" || url.host_str().is_none_or(str::is_empty) {
        return Err(Fault::new("an authority is asked by https alone", mend));
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(Fault::new("the address of a directory has no user and no fragment", mend));
    }
    Ok(url)
}

fn contact(text: &str) -> Result<String, Fault> {
    let address = text.strip_prefix("mailto:").unwrap_or(text);
    let is_plain = address.split_once('@').is_some_and(|(name, domain)| !name.is_empty() && domain.contains('.'));
    if !is_plain || address.chars().any(|letter| letter.is_whitespace() || matches!(letter, '?' | ',' | '<' | '>')) {
        return Err(Fault::new(format!("`{text}` is not an e-mail address"), "write one address: \"admin@example.com\""));
    }
    Ok(format!("mailto:{address}"))
}

fn host(text: &str) -> Result<Host, Fault> {
    if text.contains('*') {
        let mend = "name each host, or give a wildcard certificate in [[tls.certificate]]";
        return Err(Fault::new("a wildcard is proven by dns-01 alone, which this build does not do", mend));
    }
    let fault =
        || Fault::new(format!("`{text}` is not a host name"), "write a host name without scheme, port and path: \"app.example.com\"");
    let host = values::read_https(&format!("https://{text}")).map_err(|_| fault())?;
    if host.port != 443 || text.contains([':', '/']) || is_address(&host.host) {
        return Err(fault());
    }
    Ok(host.host)
}

/// Authorities prove names here, not addresses.
fn is_address(host: &Host) -> bool {
    host.as_str().starts_with('[') || host.as_str().parse::<std::net::Ipv4Addr>().is_ok()
}

/// That every listed host is served here, and that the challenge has a listener to be answered on.
pub(super) fn check(main: &Main, drafts: &[Draft], findings: &Findings) {
    let Some(acme) = main.tls.as_ref().and_then(|tls| tls.acme.as_ref()) else { return };
    let note = |place: &Place, key: &str, message: String, mend: String| {
        let (place, key) = (place.clone(), key.to_owned());
        findings.note(Problem { severity: Severity::Error, place, key, message, mend, notes: Vec::new(), other: None });
    };
    // With a mistake in a route it is not known which hosts there are.
    if main.url.is_some() && drafts.iter().all(|draft| draft.from.is_some()) {
        let served: Vec<&Host> =
            main.url.iter().chain(drafts.iter().filter_map(|draft| draft.from.as_ref())).map(|(at, _)| &at.host).collect();
        for (host, place) in acme.hosts.iter().flatten().zip(&acme.host_places) {
            if !served.contains(&host) {
                let mend = format!("add a route with `from = \"https://{host}\"`, or remove the host");
                note(place, "tls.acme.hosts", format!("no route and not the gateway itself has the host {host}"), mend);
            }
        }
    }
    let Some(listeners) = &main.listeners else { return };
    let on_443 = listeners.iter().any(|(listener, _)| matches!(listener.public_port, 0 | 443));
    match acme.challenge {
        AcmeChallenge::TlsAlpn if !on_443 => {
            let mend = "add a [[listener]] whose `public_port` is 443, or write `challenge = \"http-01\"`".to_owned();
            note(&acme.place, "tls.acme.challenge", "no listener has the port 443, at which tls-alpn-01 is looked for".to_owned(), mend);
        }
        AcmeChallenge::Http if !main.hears_plain_http() => {
            let mend = "listen for plain HTTP with [redirect], or write `challenge = \"tls-alpn-01\"`".to_owned();
            note(&acme.place, "tls.acme.challenge", "nothing listens for plain HTTP, by which http-01 is looked for".to_owned(), mend);
        }
        AcmeChallenge::TlsAlpn | AcmeChallenge::Http => {}
    }
}

impl Acme {
    /// As `config show` shows it, with the hosts that it comes to.
    pub(super) fn show(&self, hosts: &[String]) -> serde_json::Value {
        serde_json::json!({
            "directory": self.directory.as_str(),
            "terms_accepted": true,
            "contact": self.contact,
            "hosts": hosts,
            "challenge": self.challenge.as_str(),
            "ca": self.ca,
        })
    }

    /// Whether a certificate is obtained for a host of this configuration.
    pub(super) fn covers(&self, host: &Host) -> bool {
        self.hosts.as_ref().map_or_else(|| !is_address(host), |hosts| hosts.contains(host))
    }
}

impl Config {
    /// The hosts that a certificate is obtained for, in the order of the configuration.
    #[must_use]
    pub fn acme_hosts(&self) -> Vec<String> {
        let Some(acme) = &self.tls.acme else { return Vec::new() };
        let mut hosts: Vec<String> = Vec::new();
        for host in std::iter::once(&self.gateway.url.host).chain(self.routes.iter().map(|route| &route.from.host)) {
            let by_file = acme.hosts.is_none() && is_certified(&self.tls.certificates, host);
            if acme.covers(host) && !by_file && !hosts.iter().any(|known| *known == host.as_str()) {
                hosts.push(host.as_str().to_owned());
            }
        }
        hosts
    }
}

fn is_certified(certificates: &[Certificate], host: &Host) -> bool {
    certificates.iter().any(|certificate| certificate.chain.first().is_some_and(|der| certifies(der, host.as_str())))
}
