//! What faces clients beside listeners' addresses: their certificates, HSTS, and the listener that only redirects.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use rustls_pki_types::CertificateRevocationListDer;

use super::sections::{ProxyProtocol, RootFile};

/// `client_certificates` of a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Default.
    #[default]
    NotAsked,
    Asked(ClientAuthority),
}

/// Whose certificates a listener takes.
#[derive(Clone, Debug)]
pub struct ClientAuthority {
    /// Who issues them. Required.
    pub ca: RootFile,
    /// Lists of revoked ones. Default none: revocation is not looked at.
    pub crl: Vec<RevocationFile>,
    /// Default `required`.
    pub demand: ClientDemand,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientDemand {
    Required,
    Optional,
}

/// A file of revocation lists, as it stood when the configuration was read.
#[derive(Clone)]
pub struct RevocationFile {
    pub path: PathBuf,
    /// Never empty.
    pub lists: Vec<CertificateRevocationListDer<'static>>,
}

/// `tls.hsts`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hsts {
    /// How long browsers remember. Default 730d, as hstspreload.org asks.
    pub max_age: Duration,
    /// Default host: a gateway does not know the hosts beside its own.
    pub scope: HstsScope,
}

/// Which hosts browsers ask by https alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HstsScope {
    Host,
    Subdomains,
    /// And the browsers' built-in list is asked to carry it.
    Preload,
}

/// `[redirect]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redirect {
    /// Where plain HTTP is answered with the way to https. Default nowhere.
    pub bind: Option<SocketAddr>,
    /// Networks whose PROXY headers are believed, and whose connections are not counted by address. Default empty: nobody's.
    pub trusted_proxies: Vec<IpNet>,
    /// Default false. With true every connection must begin with a PROXY header, from a trusted proxy.
    pub proxy_protocol: ProxyProtocol,
}

impl PartialEq for ClientAuthority {
    /// What is written in the configuration: the content of the files is taken by a reload.
    fn eq(&self, other: &Self) -> bool {
        let paths = |authority: &Self| authority.crl.iter().map(|file| file.path.clone()).collect::<Vec<_>>();
        self.ca.path == other.ca.path && self.demand == other.demand && paths(self) == paths(other)
    }
}

impl Eq for ClientAuthority {}

impl fmt::Debug for RevocationFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationFile").field("path", &self.path).field("lists", &self.lists.len()).finish()
    }
}
