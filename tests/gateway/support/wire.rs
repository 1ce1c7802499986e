//! A client that writes exactly the bytes it is given, over TLS with the name a test wants, and reads HTTP/1.1 answers.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection.
pub struct Wire {
    stream: Box<dyn Stream>,
    unread: Vec<u8>,
}

/// An answer, as it was on the wire.
#[derive(Clone)]
pub struct Answer {
    pub status: u16,
    /// In order, names as they were sent.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{} {:#?}\n{}", self.status, self.fields, self.text())
    }
}

impl Answer {
    /// The first field of a name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
    }

    pub fn location(&self) -> &str {
        self.field("location").unwrap_or_else(|| panic!("no Location in {} {}", self.status, self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {} {}", self.status, self.text()))
    }

    /// Names of the fields in lower case, sorted.
    pub fn field_names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.fields.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        names.sort();
        names
    }

    /// The value of the gateway's cookie that this answer sets.
    pub fn cookie(&self) -> Option<String> {
        let set = self.all("set-cookie").into_iter().find_map(|set| set.strip_prefix("__Host-portcullis="))?;
        Some(set.split(';').next().unwrap().to_owned())
    }
}

impl Wire {
    /// Opens a TLS connection to `address` from `source` and asks for `name` by SNI.
    pub async fn open(source: Ipv4Addr, address: SocketAddr, name: &str, authority: &CertificateDer<'static>) -> Self {
        let stream = tls(source, address, name, authority, b"http/1.1").await;
        Self { stream: Box::new(stream), unread: Vec::new() }
    }

    pub async fn plain(port: u16) -> Self {
        Self { stream: Box::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap()), unread: Vec::new() }
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        timeout(WAIT, self.stream.write_all(bytes)).await.expect("written in time").expect("written");
        timeout(WAIT, self.stream.flush()).await.expect("flushed in time").expect("flushed");
    }

    /// Writes what may be cut off by an answer that comes before its end.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _closed = timeout(WAIT, self.stream.write_all(bytes.as_ref())).await.expect("written in time");
        let _closed = timeout(WAIT, self.stream.flush()).await.expect("flushed in time");
    }

    /// Sends a request without a body, with the fields in `more`, each with its CR LF; none when the connection ends instead
    /// of an answer.
    pub async fn ask(&mut self, method: &str, target: &str, host: &str, more: &str) -> Option<Answer> {
        self.send(format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n")).await;
        self.answer(method == "HEAD").await
    }

    /// The same, and reads no more than the head of the answer.
    pub async fn ask_head(&mut self, method: &str, target: &str, host: &str, more: &str) -> Option<Answer> {
        self.send(format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n")).await;
        self.head().await
    }

    /// Writes a request and reads its answer.
    pub async fn exchange(&mut self, request: &[u8]) -> Answer {
        self.write(request).await;
        self.read(request.starts_with(b"HEAD ")).await
    }

    /// Reads the next final answer.
    pub async fn read(&mut self, to_head: bool) -> Answer {
        self.answer(to_head).await.expect("the connection ended before an answer")
    }

    /// The next final answer; none when the connection ends instead.
    pub async fn answer(&mut self, to_head: bool) -> Option<Answer> {
        loop {
            let head = self.head().await?;
            if head.status != 100 && head.status != 103 {
                return Some(self.with_body(head, to_head).await);
            }
        }
    }

    /// The next head, without its body; none when the connection ended.
    pub async fn head(&mut self) -> Option<Answer> {
        let end = loop {
            if let Some(at) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.fill().await {
                return None;
            }
        };
        let head: Vec<u8> = self.unread.drain(..end).collect();
        let text = String::from_utf8_lossy(&head).into_owned();
        let mut lines = text.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let field = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned())).unwrap();
        Some(Answer { status, fields: lines.map(field).collect(), body: Vec::new() })
    }

    async fn with_body(&mut self, mut answer: Answer, to_head: bool) -> Answer {
        if to_head || matches!(answer.status, 101 | 204 | 304) {
            return answer;
        }
        if answer.field("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            loop {
                let line = self.line().await;
                let length = usize::from_str_radix(line.split(';').next().unwrap().trim(), 16).unwrap();
                let chunk = self.exactly(length + 2).await;
                answer.body.extend_from_slice(&chunk[..length]);
                if length == 0 {
                    return answer;
                }
            }
        }
        match answer.field("content-length").map(|value| value.parse().unwrap()) {
            Some(length) => answer.body = self.exactly(length).await,
            None => {
                while self.fill().await {}
                answer.body = std::mem::take(&mut self.unread);
            }
        }
        answer
    }

    /// Reads until the text stands in what arrived; gives everything up to its end.
    pub async fn until(&mut self, text: &str) -> Vec<u8> {
        loop {
            if let Some(at) = self.unread.windows(text.len()).position(|window| window == text.as_bytes()) {
                return self.unread.drain(..at + text.len()).collect();
            }
            assert!(self.fill().await, "the connection ended before {text:?}: {:?}", String::from_utf8_lossy(&self.unread));
        }
    }

    /// Waits until the other side ends the connection; gives what came before.
    pub async fn ended(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.unread)
    }

    async fn line(&mut self) -> String {
        String::from_utf8(self.until("\r\n").await).unwrap()
    }

    async fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.unread.len() < length {
            assert!(self.fill().await, "the connection ended inside a body");
        }
        self.unread.drain(..length).collect()
    }

    /// Reads more; false at the end, however rude.
    async fn fill(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match timeout(WAIT, self.stream.read(&mut buffer)).await.expect("nothing came in time") {
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.unread.extend_from_slice(&buffer[..count]);
                true
            }
        }
    }
}

/// A TLS stream with one ALPN protocol.
pub async fn tls(
    source: Ipv4Addr,
    address: SocketAddr,
    name: &str,
    authority: &CertificateDer<'static>,
    alpn: &[u8],
) -> tokio_rustls::client::TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((source, 0))).unwrap();
    let stream = socket.connect(address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let connecting = connector.connect(ServerName::try_from(name.to_owned()).unwrap(), stream);
    timeout(WAIT, connecting).await.expect("TLS in time").expect("TLS")
}

/// The leaf that is shown for a name and that `root` vouches for; none when there is no handshake.
pub async fn shown_leaf(address: SocketAddr, name: &str, root: &CertificateDer<'static>) -> Option<CertificateDer<'static>> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let connecting = connector.connect(ServerName::try_from(name.to_owned()).unwrap(), stream);
    let stream = timeout(WAIT, connecting).await.expect("a handshake or its end in time").ok()?;
    Some(stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned())
}

/// One request over plain TCP on loopback.
pub async fn exchange_plain(port: u16, request: &[u8]) -> Answer {
    Wire::plain(port).await.exchange(request).await
}

const WAIT: Duration = Duration::from_secs(20);
