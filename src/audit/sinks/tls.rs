//! Our side of TLS towards a receiver. Verified always, by the name that the configuration gives; when it fails there is no
//! connection, and nothing is ever sent without it.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::{SinkServer, SinkTls};

use super::fault::SinkFault;

/// TLS settings of one receiver.
pub fn client_config(tls: &SinkTls) -> Result<ClientConfig, SinkFault> {
    tls.client().map_err(|fault| SinkFault::Tls(fault.to_string()))
}

/// A name that was found good when the configuration was read.
pub fn server_name(tls: &SinkTls) -> Result<ServerName<'static>, SinkFault> {
    ServerName::try_from(tls.server_name.to_string()).map_err(|fault| SinkFault::Tls(fault.to_string()))
}

/// Makes connections to one server.
pub struct Dialer {
    server: SinkServer,
    connector: TlsConnector,
    name: ServerName<'static>,
    timeout: Duration,
}

impl Dialer {
    pub fn new(server: &SinkServer, timeout: Duration) -> Result<Self, SinkFault> {
        let connector = TlsConnector::from(Arc::new(client_config(&server.tls)?));
        Ok(Self { server: server.clone(), connector, name: server_name(&server.tls)?, timeout })
    }

    /// Connects, name resolution and handshake included, within the timeout.
    pub async fn connect(&self) -> Result<TlsStream<TcpStream>, SinkFault> {
        let connect = async {
            let address = (&*self.server.host, self.server.port);
            let stream = TcpStream::connect(address).await.map_err(|fault| SinkFault::Connect(fault.to_string()))?;
            stream.set_nodelay(true).map_err(|fault| SinkFault::Connect(fault.to_string()))?;
            self.connector.connect(self.name.clone(), stream).await.map_err(|fault| SinkFault::Tls(fault.to_string()))
        };
        timeout(self.timeout, connect).await.map_err(|_| SinkFault::TimedOut("the receiver", self.timeout))?
    }

    pub const fn timeout(&self) -> Duration {
        self.timeout
    }
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer").field("server", &self.server).finish_non_exhaustive()
    }
}
