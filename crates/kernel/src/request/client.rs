//! Who is at the other end of the connection, by address.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

/// Address of a client, with IPv4-mapped IPv6 addresses written as IPv4, so that one client has one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientAddress(IpAddr);

/// What rate limits count by: the IPv4 address, or the IPv6 /64, which one client commonly holds whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressKey(IpAddr);

/// The networks whose word on the client's address is taken. Empty means nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl ClientAddress {
    #[must_use]
    pub fn new(address: IpAddr) -> Self {
        Self(address.to_canonical())
    }

    #[must_use]
    pub const fn ip(self) -> IpAddr {
        self.0
    }

    #[must_use]
    pub fn key(self) -> AddressKey {
        match self.0 {
            IpAddr::V4(_) => AddressKey(self.0),
            IpAddr::V6(address) => {
                let network = address.to_bits() & !u128::from(u64::MAX);
                AddressKey(IpAddr::V6(Ipv6Addr::from_bits(network)))
            }
        }
    }

    #[must_use]
    pub fn is_in(self, networks: &[IpNet]) -> bool {
        networks.iter().any(|network| network.contains(&self.0))
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TrustedProxies {
    #[must_use]
    pub const fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    #[must_use]
    pub fn contains(&self, address: ClientAddress) -> bool {
        address.is_in(&self.0)
    }

    /// The client behind a chain of proxies: the right-most address of `X-Forwarded-For` that is not a trusted proxy.
    /// `None` when the peer is trusted but the field cannot be read: an unknown address satisfies no network.
    pub fn client<'a>(&self, peer: ClientAddress, forwarded_for: impl DoubleEndedIterator<Item = &'a [u8]>) -> Option<ClientAddress> {
        if !self.contains(peer) {
            return Some(peer);
        }
        let mut client = peer;
        for field in forwarded_for.rev() {
            let text = std::str::from_utf8(field).ok()?;
            for hop in text.split(',').rev() {
                client = ClientAddress::new(hop.trim().parse().ok()?);
                if !self.contains(client) {
                    return Some(client);
                }
            }
        }
        Some(client)
    }
}
