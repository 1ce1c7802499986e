//! Addresses that no upstream may have, whatever name leads to them.
//!
//! A route names its upstream, but what a name means is decided by whoever answers for it in DNS. What is judged here is the
//! very address that is then connected to: a name is resolved once, and not again in between (WS-05, WS-06).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

/// Why an address is not connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AddressFault {
    #[error("it is no address of one machine")]
    NotUnicast,
    #[error("it is a link-local address")]
    LinkLocal,
    #[error("it is the metadata service of a cloud")]
    Metadata,
    #[error("it is a listener of the gateway itself")]
    OwnListener,
}

/// Checks an address that a name was resolved to, before it is connected to.
pub fn check(address: SocketAddr, own_listeners: &[SocketAddr]) -> Result<(), AddressFault> {
    let ip = embedded(address.ip());
    check_ip(ip)?;
    let own = own_listeners.iter().any(|listener| {
        let bound = embedded(listener.ip());
        listener.port() == address.port() && (bound == ip || (bound.is_unspecified() && ip.is_loopback()))
    });
    if own { Err(AddressFault::OwnListener) } else { Ok(()) }
}

/// Checks a connection that was made. A listener on the unspecified address has every address of the machine, and those are
/// known by this: who connects to its own address connects from it.
pub fn check_connected(local: SocketAddr, remote: SocketAddr, own_listeners: &[SocketAddr]) -> Result<(), AddressFault> {
    let to_itself = embedded(local.ip()) == embedded(remote.ip());
    let own = own_listeners.iter().any(|listener| listener.ip().is_unspecified() && listener.port() == remote.port());
    if to_itself && own { Err(AddressFault::OwnListener) } else { Ok(()) }
}

fn check_ip(ip: IpAddr) -> Result<(), AddressFault> {
    if METADATA.contains(&ip) {
        return Err(AddressFault::Metadata);
    }
    match ip {
        IpAddr::V4(v4) if v4.is_link_local() => Err(AddressFault::LinkLocal),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Err(AddressFault::LinkLocal),
        // All of 0.0.0.0/8 means "this network", and Linux connects 0.0.0.0 to itself.
        IpAddr::V4(v4) if v4.octets().starts_with(&[0]) || v4.is_broadcast() || v4.is_multicast() => Err(AddressFault::NotUnicast),
        IpAddr::V6(v6) if v6.is_unspecified() || v6.is_multicast() => Err(AddressFault::NotUnicast),
        IpAddr::V4(_) | IpAddr::V6(_) => Ok(()),
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped (`::ffff:0:0/96`), compatible (`::/96`, RFC 4291 §2.5.5.1),
/// translated (NAT64, RFC 6052 `64:ff9b::/96` and RFC 8215 `64:ff9b:1::/48` in its usual form, the last 32 bits), or carried by
/// 6to4 (`2002::/16`).
fn embedded(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    let v4 = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 1, _, _, _, high, low] | [0x2002, high, low, ..] => v4(high, low),
        // `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => v4(high, low),
        _ => ip.to_canonical(),
    }
}

/// Metadata services outside the link-local networks (169.254.169.254 lies within): AWS over IPv6, Google over IPv6,
/// Alibaba, Oracle, Azure.
const METADATA: [IpAddr; 5] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
];
