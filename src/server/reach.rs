//! What a gateway needs to reach of its machine, by its configuration.

use std::path::{Path, PathBuf};

use kernel::route::Upstream;

use crate::config::{Carrier, Config, Seen, Traces};
use crate::system::sandbox::Reach;

/// What this configuration needs. `watched` are the files that it was read from, `program` is the one that runs.
#[must_use]
pub fn reach(config: &Config, folder: &Path, seen: &Seen, program: &Path) -> Reach {
    let mut read = vec![folder.to_owned()];
    for file in seen.files() {
        // The folder, because a new file takes the old one's place; and where a link leads, for the same reason.
        read.extend(file.parent().map(Path::to_owned));
        read.extend(file.canonicalize().ok().as_deref().and_then(Path::parent).map(Path::to_owned));
    }
    let mut write = vec![config.gateway.state_dir.clone(), config.audit.dir.clone(), PathBuf::from("/dev/null")];
    write.extend(config.store.sqlite.parent().map(Path::to_owned));
    let mut ports = vec![HTTPS, DNS];
    ports.extend(&config.sandbox.ports);
    ports.extend(config.routes.iter().flat_map(|route| &route.to).filter_map(|upstream| match upstream {
        Upstream::Http(endpoint) | Upstream::Https(endpoint) => Some(endpoint.port),
        Upstream::Unix(_) => None,
    }));
    ports.extend(config.idps.iter().filter_map(|idp| idp.issuer.port_or_known_default()));
    ports.extend(config.tls.acme.iter().filter_map(|acme| acme.directory.port_or_known_default()));
    ports.extend(config.notify.mail.iter().map(|mail| mail.port));
    ports.extend(config.notify.webhook.iter().filter_map(|webhook| url::Url::parse(&webhook.url).ok()?.port_or_known_default()));
    if let Traces::To(receiver) = &config.traces {
        ports.extend(receiver.endpoint.port_or_known_default());
    }
    for sink in &config.audit.sinks {
        match &sink.carrier {
            Carrier::Syslog { server, .. } | Carrier::Relp { server, .. } => ports.push(server.port),
            Carrier::Http { endpoint, .. } | Carrier::Otlp { endpoint } => ports.extend(endpoint.url.port_or_known_default()),
            Carrier::File { path } => write.extend(path.parent().map(Path::to_owned)),
            Carrier::Stdout => {}
        }
    }
    let mut run: Vec<PathBuf> = LIBRARIES.iter().map(PathBuf::from).collect();
    run.extend(program.parent().map(Path::to_owned));
    ports.sort_unstable();
    ports.dedup();
    let mut read = whole(read);
    // As they are written: where their links lead is the system's, and another process has another `self`.
    read.extend(RESOLVER.iter().chain(CERTIFICATES).chain(MACHINE).map(PathBuf::from));
    Reach { read, write: whole(write), run, ports }
}

/// From the root, so that they can be compared, also what is not there at the moment.
fn whole(mut paths: Vec<PathBuf>) -> Vec<PathBuf> {
    for path in &mut paths {
        let given = if path.as_os_str().is_empty() { Path::new(".") } else { path.as_path() };
        *path = given.canonicalize().or_else(|_| std::path::absolute(given)).unwrap_or_else(|_| given.to_owned());
    }
    paths.sort();
    paths.dedup();
    paths
}

/// Where names are looked up.
const RESOLVER: &[&str] = &[
    "/etc/resolv.conf",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/nsswitch.conf",
    "/etc/services",
    "/etc/ld.so.cache",
];

/// The certificates that the system trusts.
const CERTIFICATES: &[&str] =
    &["/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/usr/lib/ssl"];

/// The clock's zone, and how many processors may be used.
const MACHINE: &[&str] =
    &["/etc/localtime", "/usr/share/zoneinfo", "/proc/self/cgroup", "/proc/self/mountinfo", "/sys/fs/cgroup", "/dev/urandom"];

/// Parts of the resolver are loaded when they are needed, and a process that takes this one's place loads all of its own.
const LIBRARIES: &[&str] = &["/lib", "/lib64", "/usr/lib", "/usr/lib64"];

const HTTPS: u16 = 443;
const DNS: u16 = 53;
