//! Reads what faces clients beside a listener's address.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject;

use super::client_facing::{ClientAuthority, ClientCertificates, ClientDemand, Hsts, HstsScope, Redirect, RevocationFile};
use super::reader::{Table, Value};
use super::sections::{ProxyProtocol, TlsProfile};
use super::{keys, read_files, values};

/// The names of the presets.
pub(super) const PROFILES: [(&str, TlsProfile); 4] =
    [("modern", TlsProfile::Modern), ("intermediate", TlsProfile::Intermediate), ("bsi", TlsProfile::Bsi), ("pci", TlsProfile::Pci)];

/// `None` when there is a mistake in it: a listener must not open with less than was meant.
pub(super) fn client_certificates(listener: &Table<'_>) -> Option<ClientCertificates> {
    let Some(value) = listener.value("client_certificates") else { return Some(ClientCertificates::NotAsked) };
    let table = value.table(keys::CLIENT_CERTIFICATES)?;
    let ca = table.need("ca", read_files::roots);
    let crl = table.value("crl").map_or(Some(Vec::new()), |value| value.each(revocation_file));
    let demands = [("required", ClientDemand::Required), ("optional", ClientDemand::Optional)];
    let demand = table.value("demand").map_or(Some(ClientDemand::Required), |value| value.choice(&demands));
    let authority = ClientAuthority { ca: ca?, crl: crl?, demand: demand? };
    check(&table, &authority)?;
    Some(ClientCertificates::Asked(authority))
}

fn revocation_file(value: &Value<'_>) -> Option<RevocationFile> {
    let (path, bytes) = read_files::file(value)?;
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&bytes).collect();
    match lists {
        Ok(lists) if !lists.is_empty() => Some(RevocationFile { path, lists }),
        Ok(_) => {
            value.error(format!("{} holds no revocation list", path.display()), "name a file that holds -----BEGIN X509 CRL-----");
            None
        }
        Err(_) => {
            value.error(format!("{} cannot be read", path.display()), "write the whole PEM text again: it may be cut off");
            None
        }
    }
}

/// Whether a listener could be opened with it.
fn check(table: &Table<'_>, authority: &ClientAuthority) -> Option<()> {
    let mut roots = RootCertStore::empty();
    for root in &authority.ca.certificates {
        if let Err(fault) = roots.add(root.clone()) {
            table.error(format!("{} holds what cannot issue: {fault}", authority.ca.path.display()), "name the issuers' certificates");
            return None;
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let lists = authority.crl.iter().flat_map(|file| file.lists.iter().cloned());
    match WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).with_crls(lists).build() {
        Ok(_) => Some(()),
        Err(fault) => {
            table.error(format!("a revocation list cannot be used: {fault}"), "write the list again, with a time of the next one in it");
            None
        }
    }
}

pub(super) fn hsts(value: &Value<'_>) -> Option<Hsts> {
    let table = value.table(keys::HSTS)?;
    let max_age =
        table.or("max_age", HSTS_DEFAULT.max_age, |value| values::duration(value, Duration::ZERO, Duration::from_secs(3_650 * DAY)));
    let below = table.or("include_subdomains", false, Value::flag);
    let preload = table.or("preload", false, Value::flag);
    if preload && (!below || max_age < YEAR) {
        table.error("the browsers' list takes no such policy", "add include_subdomains = true and a max_age of a year or more");
    }
    let scope = match (below, preload) {
        (_, true) => HstsScope::Preload,
        (true, false) => HstsScope::Subdomains,
        (false, false) => HstsScope::Host,
    };
    Some(Hsts { max_age, scope })
}

pub(super) fn redirect(value: &Value<'_>) -> Option<Redirect> {
    let table = value.table(keys::REDIRECT)?;
    let bind = table.value("bind").and_then(|value| values::socket_address(&value));
    let (trusted_proxies, proxy_protocol) = proxies(&table);
    Some(Redirect { bind, trusted_proxies, proxy_protocol: proxy_protocol? })
}

/// Who stands in front of a listener.
pub(super) fn proxies(listener: &Table<'_>) -> (Vec<IpNet>, Option<ProxyProtocol>) {
    let trusted_proxies = listener.or("trusted_proxies", Vec::new(), |value| value.each(values::network));
    let proxy_protocol = listener.value("proxy_protocol").map_or(Some(ProxyProtocol::Refused), |value| {
        let required = value.flag()?;
        if required && trusted_proxies.is_empty() {
            value.error(
                "with proxy_protocol and nobody trusted no connection would be taken",
                "add `trusted_proxies = [\"…\"]` with the proxy's network",
            );
        }
        Some(if required { ProxyProtocol::Required } else { ProxyProtocol::Refused })
    });
    (trusted_proxies, proxy_protocol)
}

const DAY: u64 = 86_400;
const YEAR: Duration = Duration::from_secs(365 * DAY);
pub(super) const HSTS_DEFAULT: Hsts = Hsts { max_age: Duration::from_secs(730 * DAY), scope: HstsScope::Host };
