//! Whose connection it is: the peer's, or that of the client whom a trusted proxy names.

use std::net::SocketAddr;
use std::time::Duration;

use kernel::request::client::{ClientAddress, TrustedProxies};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::caps::{AddressPlace, Shares};
use super::connection::ConnectionFault;
use super::proxy_protocol::{self, Stated};
use super::settings::ProxyHeader;

/// What is believed of those who stand in front of a listener, and what their clients may have.
pub(super) struct Front<'a> {
    pub trusted_proxies: &'a TrustedProxies,
    pub proxy_header: ProxyHeader,
    pub deadline: Duration,
    pub shares: &'a Shares,
}

impl Front<'_> {
    /// Finds out who the client is, and whether its address may have one more connection. A trusted proxy has no share of
    /// its own: its clients do.
    pub async fn meet(&self, stream: &mut TcpStream, peer: SocketAddr) -> Result<(SocketAddr, Option<AddressPlace>), ConnectionFault> {
        let is_trusted = self.trusted_proxies.contains(ClientAddress::new(peer.ip()));
        let client = match self.proxy_header {
            ProxyHeader::Refuse if is_trusted => return Ok((peer, None)),
            ProxyHeader::Refuse => peer,
            ProxyHeader::Require if !is_trusted => return Err(ConnectionFault::NotAProxy),
            ProxyHeader::Require => {
                let header = timeout(self.deadline, proxy_protocol::read(stream)).await;
                match header.map_err(|_| ConnectionFault::ProxyHeaderTimedOut(self.deadline))?? {
                    Stated::Client(client) => client,
                    Stated::Proxy => return Ok((peer, None)),
                }
            }
        };
        let key = ClientAddress::new(client.ip()).key();
        let place = self.shares.take_for(key).ok_or(ConnectionFault::AddressFull)?;
        Ok((client, Some(place)))
    }
}
