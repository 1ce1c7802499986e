//! Small values: durations, sizes, rates, networks, addresses, hosts.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use kernel::quota::Rate;
use kernel::request::host::{Authority, HostFault};
use kernel::route::{Endpoint, Upstream};
use url::{Host, Url};

use super::keys;
use super::reader::{Fault, Value};

/// `"15m"`: a number and `ms`, `s`, `m`, `h` or `d`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (digits, unit) = split_unit(text)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    digits.checked_mul(milliseconds).map(Duration::from_millis)
}

/// `"12h"`, as short as it can be said.
#[must_use]
pub fn write_duration(span: Duration) -> String {
    let milliseconds = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    // A day is said in hours, as everybody says `24h`; two days and more in days.
    let fits = |(size, unit): &&(u64, &str)| milliseconds > 0 && milliseconds % size == 0 && (*unit != "d" || milliseconds > *size);
    match units.iter().find(fits) {
        Some((size, unit)) => format!("{}{unit}", milliseconds / size),
        None if milliseconds == 0 => "0s".to_owned(),
        None => format!("{milliseconds}ms"),
    }
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let at = text.find(|character: char| !character.is_ascii_digit())?;
    let (digits, unit) = text.split_at_checked(at)?;
    Some((digits.parse().ok()?, unit))
}

fn parse_size(text: &str) -> Option<u64> {
    let (digits, unit) = split_unit(text)?;
    let size = match unit {
        "B" => 1,
        "KiB" => 1_024,
        "MiB" => 1_048_576,
        "GiB" => 1_073_741_824,
        _ => return None,
    };
    digits.checked_mul(size)
}

pub(super) fn duration(value: &Value<'_>, least: Duration, most: Duration) -> Option<Duration> {
    value.parsed(|text| {
        let form = || {
            Fault::new(format!("`{text}` is not a duration"), "write a number and a unit: \"500ms\", \"30s\", \"15m\", \"12h\" or \"7d\"")
        };
        let span = parse_duration(text).ok_or_else(form)?;
        if (least..=most).contains(&span) {
            return Ok(span);
        }
        let bounds = format!("write a duration from \"{}\" to \"{}\"", write_duration(least), write_duration(most));
        Err(Fault::new(format!("`{text}` is out of range"), bounds))
    })
}

pub(super) fn size(value: &Value<'_>, least: u64, most: u64) -> Option<usize> {
    value.parsed(|text| {
        let size = parse_size(text)
            .ok_or_else(|| Fault::new(format!("`{text}` is not a size"), "write a number and a unit: \"512B\", \"32KiB\" or \"1MiB\""))?;
        let fits = (least..=most).contains(&size).then(|| usize::try_from(size).ok()).flatten();
        fits.ok_or_else(|| Fault::new(format!("`{text}` is out of range"), format!("write a size from {least}B to {most}B")))
    })
}

/// `"10/m"`, or `{ rate = "10/m", burst = 20 }`.
pub(super) fn rate(value: &Value<'_>) -> Option<Rate> {
    if !value.is_table() {
        return plain_rate(value);
    }
    let table = value.table(keys::RATE)?;
    let rate = table.need("rate", plain_rate);
    let burst = table.value("burst").map(|burst| burst.count(1..=1_000_000));
    let mut rate = rate?;
    if let Some(burst) = burst {
        rate.burst = std::num::NonZeroU32::new(burst?)?;
    }
    Some(rate)
}

fn plain_rate(value: &Value<'_>) -> Option<Rate> {
    value.parsed(|text| {
        Rate::parse(text).map_err(|fault| {
            Fault::new(format!("`{text}` is not a rate: {fault}"), "write a count and a unit: \"20/s\", \"10/m\" or \"100/h\"")
        })
    })
}

pub(super) fn network(value: &Value<'_>) -> Option<IpNet> {
    value.parsed(|text| {
        if let Ok(address) = text.parse::<std::net::IpAddr>() {
            return Ok(IpNet::from(address));
        }
        let form = || {
            Fault::new(format!("`{text}` is not a network"), "write an address and a prefix length: \"10.0.0.0/8\" or \"2001:db8::/32\"")
        };
        let network: IpNet = text.parse().map_err(|_| form())?;
        if network.addr() == network.network() {
            return Ok(network);
        }
        let mend = format!("did you mean `{}`? For the one address write `{}`", network.trunc(), network.addr());
        Err(Fault::new(format!("`{text}` has bits set behind its prefix"), mend))
    })
}

pub(super) fn socket_address(value: &Value<'_>) -> Option<SocketAddr> {
    value.parsed(|text| {
        text.parse().map_err(|_| {
            let mend = match text.strip_prefix(':').or(Some(text)).and_then(|port| port.parse::<u16>().ok()) {
                Some(port) => format!("did you mean `[::]:{port}`?"),
                None => "write an address and a port: \"[::]:443\", \"0.0.0.0:443\" or \"127.0.0.1:8443\"".to_owned(),
            };
            Fault::new(format!("`{text}` is not an address to listen on"), mend)
        })
    })
}

/// An `https://` URL that is only host and port.
pub(super) fn https_authority(text: &str) -> Result<Authority, Fault> {
    let rest = match text.split_once("://") {
        Some(("https", rest)) => rest,
        Some(("http", rest)) => {
            return Err(Fault::new("clients reach the gateway by TLS alone", format!("did you mean `https://{rest}`?")));
        }
        Some(("tcp", _)) => {
            return Err(Fault::new(
                "this build has no tunnels, so `tcp://` cannot be served",
                "remove the route, or write an https:// address",
            ));
        }
        Some((scheme, _)) => return Err(Fault::new(format!("`{scheme}://` cannot be served"), "write `https://` and a host")),
        None => return Err(Fault::new(format!("`{text}` has no scheme"), format!("did you mean `https://{text}`?"))),
    };
    let authority = bare_authority(rest, "https")?;
    Authority::parse(authority).map_err(|fault| host_fault(authority, fault))
}

/// What stands between the scheme and the path, if there is no path.
fn bare_authority<'a>(rest: &'a str, scheme: &str) -> Result<&'a str, Fault> {
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains('@') {
        return Err(Fault::new("an address here has no user or password", "remove everything up to the `@`"));
    }
    if authority.contains('*') {
        return Err(Fault::new("a host is named in full: there are no wildcards", "write one route for each host"));
    }
    match authority.find(['/', '?', '#']) {
        None => Ok(authority),
        Some(at) => {
            let host = authority.get(..at).unwrap_or_default();
            Err(Fault::new(
                "only host and port can stand here, no path",
                format!("did you mean `{scheme}://{host}`? Paths stand in the allow rules"),
            ))
        }
    }
}

fn host_fault(authority: &str, fault: HostFault) -> Fault {
    let mend = match fault {
        HostFault::Empty => "write a host: \"https://app.example.com\"".to_owned(),
        HostFault::Port => "write a port from 1 to 65535, or none for 443".to_owned(),
        HostFault::Character if !authority.is_ascii() => "write an international name in its ASCII form (xn--…)".to_owned(),
        HostFault::Character | HostFault::TooLong | HostFault::EmptyLabel | HostFault::Hyphen => {
            "write a host name of letters, digits, hyphens and dots, or an address (IPv6 in brackets)".to_owned()
        }
    };
    Fault::new(format!("`{authority}` is not a host: {fault}"), mend)
}

/// An upstream address: `http://` or `https://`, host and port, or `unix:` and an absolute path.
pub(super) fn upstream(text: &str) -> Result<Upstream, Fault> {
    if let Some(path) = text.strip_prefix("unix:") {
        return socket_path(path);
    }
    let (make, word, rest, default_port): (fn(Endpoint) -> Upstream, _, _, _) = match text.split_once("://") {
        Some(("http", rest)) => (Upstream::Http, "http", rest, 80),
        Some(("https", rest)) => (Upstream::Https, "https", rest, 443),
        Some(("tcp", _)) => {
            return Err(Fault::new("this build has no tunnels, so `tcp://` cannot be reached", "write an http:// or https:// address"));
        }
        Some(("h2c" | "grpc", rest)) => {
            let mend = format!("write `http://{rest}`, and `protocol = \"h2\"` in the route's [upstream]");
            return Err(Fault::new("an upstream's address does not say which HTTP version it speaks", mend));
        }
        Some((scheme, _)) => return Err(Fault::new(format!("`{scheme}://` cannot be reached"), "write an http:// or https:// address")),
        None => return Err(Fault::new(format!("`{text}` has no scheme"), format!("did you mean `http://{text}`?"))),
    };
    let written = bare_authority(rest, word)?;
    let authority = Authority::parse(written).map_err(|fault| host_fault(written, fault))?;
    let port = if names_port(written) { authority.port } else { default_port };
    let host = authority.host.as_str();
    let host = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host);
    Ok(make(Endpoint { host: host.into(), port }))
}

fn socket_path(path: &str) -> Result<Upstream, Fault> {
    if !path.starts_with('/') {
        let mend = format!("write the whole path: \"unix:/run/{}\"", path.trim_start_matches(['.', '/']));
        return Err(Fault::new("a socket's path begins with `/`", mend));
    }
    if path.len() > SOCKET_PATH_BYTES_MAX || path.contains('\0') {
        return Err(Fault::new(
            "the system takes no socket with this path",
            format!("write a path of at most {SOCKET_PATH_BYTES_MAX} bytes"),
        ));
    }
    Ok(Upstream::Unix(path.into()))
}

/// What fits into `sockaddr_un`.
const SOCKET_PATH_BYTES_MAX: usize = 107;

fn names_port(authority: &str) -> bool {
    authority.rsplit_once(':').is_some_and(|(_, after)| !after.contains(']'))
}

/// An issuer: https, or http on loopback.
pub(super) fn issuer(text: &str) -> Result<Url, Fault> {
    let form = |_| Fault::new(format!("`{text}` is not a URL"), "write the issuer as the provider states it: \"https://idp.example.com\"");
    let url = Url::parse(text).map_err(form)?;
    let loopback = is_loopback(&url);
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        "http" => {
            return Err(Fault::new(
                "an issuer is https, or http on loopback only",
                format!("did you mean `{}`?", text.split(['?', '#']).next().unwrap_or(text).replacen("http:", "https:", 1)),
            ));
        }
        _ => return Err(form(url::ParseError::RelativeUrlWithoutBase)),
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err(Fault::new("an issuer has no user, query or fragment", "write scheme, host and path alone"));
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Where a sink sends to: https, or http on loopback, without user, query or fragment.
pub(super) fn endpoint(text: &str) -> Result<Url, Fault> {
    let form = || Fault::new(format!("`{text}` is not a URL"), "write an address like \"https://siem.example.com:8088\"");
    let url = Url::parse(text).map_err(|_| form())?;
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        "http" => {
            let mend = format!("did you mean `{}`?", text.replacen("http:", "https:", 1));
            return Err(Fault::new("records leave this machine by TLS alone: https, or http on loopback", mend));
        }
        _ => return Err(form()),
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Err(Fault::new(
            "this address has a user, query or fragment",
            "write scheme, host and path alone; a credential is a `token`",
        ));
    }
    Ok(url)
}

/// Reads an `https://` address of host and port, for a question to a person.
pub fn read_https(text: &str) -> Result<Authority, String> {
    https_authority(text).map_err(|fault| fault.to_string())
}

/// Reads an upstream's address, for a question to a person.
pub fn read_upstream(text: &str) -> Result<Upstream, String> {
    upstream(text).map_err(|fault| fault.to_string())
}

/// Reads an issuer, for a question to a person.
pub fn read_issuer(text: &str) -> Result<Url, String> {
    issuer(text).map_err(|fault| fault.to_string())
}

/// A host, and a port where it is another than usual. `example` is one, for whoever wrote something else.
pub(super) fn host_and_port(text: &str, default_port: u16, example: &str) -> Result<(Box<str>, u16), Fault> {
    let form = || {
        let mend = text.rsplit_once("//").map_or(text, |(_, rest)| rest);
        Fault::new(format!("`{text}` is not a host and a port"), format!("write \"{mend}\" with a host and a port, like \"{example}\""))
    };
    let url = Url::parse(&format!("tls://{text}")).map_err(|_| form())?;
    let bare = url.path().is_empty() && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    let host = url.host().filter(|_| bare && !text.contains("//")).map(|host| name_of(&host)).ok_or_else(form)?;
    Ok((host, url.port().unwrap_or(default_port)))
}

/// A host as it is connected to and certified.
pub(super) fn name_of<T: AsRef<str>>(host: &Host<T>) -> Box<str> {
    match host {
        Host::Domain(name) => name.as_ref().into(),
        Host::Ipv4(address) => address.to_string().into(),
        Host::Ipv6(address) => address.to_string().into(),
    }
}
