//! Host and authority, read once: lower case, one trailing dot removed, the default port left out.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use thiserror::Error;

/// The host of an authority in canonical form: a lower-case DNS name, an IPv4 address, or an IPv6 address in brackets.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(Box<str>);

/// Host and port. The port is always known: what was not written is the default of the scheme, 443.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Authority {
    pub host: Host,
    pub port: u16,
}

/// Why a host or authority was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HostFault {
    #[error("the host is empty")]
    Empty,
    #[error("the host is longer than 253 bytes or a label of it longer than 63")]
    TooLong,
    #[error("the host holds a character that a host name must not hold")]
    Character,
    #[error("the host holds an empty label")]
    EmptyLabel,
    #[error("a label of the host begins or ends with a hyphen")]
    Hyphen,
    #[error("the port is not a number from 1 to 65535")]
    Port,
}

impl Host {
    /// Reads a host without port.
    pub fn parse(text: &str) -> Result<Self, HostFault> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(HostFault::Character)?;
            let address: Ipv6Addr = inner.parse().map_err(|_| HostFault::Character)?;
            return Ok(Self(format!("[{address}]").into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.is_empty() {
            return Err(HostFault::Empty);
        }
        if name.len() > 253 {
            return Err(HostFault::TooLong);
        }
        name.split('.').try_for_each(check_label)?;
        // A name whose last label is a number is an IPv4 address to many programs (WHATWG URL, "ends in a number"), in
        // notations that differ; only the plain dotted form has one reading.
        let last = name.rsplit('.').next().unwrap_or(name);
        let numeric = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x") || last.starts_with("0X");
        if numeric && name.parse::<Ipv4Addr>().is_err() {
            return Err(HostFault::Character);
        }
        Ok(Self(name.to_ascii_lowercase().into()))
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check_label(label: &str) -> Result<(), HostFault> {
    if label.is_empty() {
        return Err(HostFault::EmptyLabel);
    }
    if label.len() > 63 {
        return Err(HostFault::TooLong);
    }
    if !label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
        return Err(HostFault::Character);
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(HostFault::Hyphen);
    }
    Ok(())
}

impl Authority {
    /// Reads `host` or `host:port`, as in a `Host` field (RFC 9110 §7.2). User information is refused.
    pub fn parse(text: &str) -> Result<Self, HostFault> {
        let (host, port) = match text.rsplit_once(':') {
            // A colon inside the brackets of an IPv6 address is not the port's.
            Some((_, after)) if after.contains(']') => (text, None),
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        let port = match port {
            None => DEFAULT_PORT,
            Some(digits) => parse_port(digits)?,
        };
        Ok(Self { host: Host::parse(host)?, port })
    }

    /// The origin of this authority, as a browser writes it.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("https://{self}")
    }
}

fn parse_port(digits: &str) -> Result<u16, HostFault> {
    let plain = (1..=5).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    if !plain {
        return Err(HostFault::Port);
    }
    digits.parse().map_err(|_| HostFault::Port)
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            DEFAULT_PORT => write!(f, "{}", self.host),
            port => write!(f, "{}:{port}", self.host),
        }
    }
}

/// The port of `https` when none is written.
pub const DEFAULT_PORT: u16 = 443;
