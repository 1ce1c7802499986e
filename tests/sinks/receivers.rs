//! A syslog server over TLS that reads frames strictly, and ends, hangs or breaks as a test wants.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// What a server does with a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Read,
    /// Ends in the middle of the frame that follows this many.
    CutAfter(usize),
    /// Takes the connection, and then nothing.
    Hang,
}

pub struct SyslogServer {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
    task: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

struct Shared {
    messages: Mutex<Vec<String>>,
    /// The first bytes of every connection that never came to TLS.
    raw: Mutex<Vec<Vec<u8>>>,
    connections: AtomicUsize,
}

impl SyslogServer {
    pub async fn start(tls: Arc<ServerConfig>, manner: Manner) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), tls, manner).await
    }

    /// A server where another one was.
    pub async fn start_at(address: SocketAddr, tls: Arc<ServerConfig>, manner: Manner) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(64).unwrap();
        let shared = Arc::new(Shared { messages: Mutex::default(), raw: Mutex::default(), connections: AtomicUsize::new(0) });
        let (stop, address) = (CancellationToken::new(), listener.local_addr().unwrap());
        let task = tokio::spawn(serve(listener, TlsAcceptor::from(tls), manner, Arc::clone(&shared), stop.clone()));
        Self { address, shared, stop, task: Mutex::new(Some(task)) }
    }

    /// Whole messages, in the order of arrival.
    pub fn messages(&self) -> Vec<String> {
        self.shared.messages.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// What came in on connections that did not get through the handshake.
    pub fn raw(&self) -> Vec<Vec<u8>> {
        self.shared.raw.lock().unwrap().clone()
    }

    /// Ends every connection, and gives the address back.
    pub async fn stop(&self) {
        self.stop.cancel();
        let task = self.task.lock().unwrap().take();
        if let Some(task) = task {
            task.await.unwrap();
        }
    }
}

impl Drop for SyslogServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, manner: Manner, shared: Arc<Shared>, stop: CancellationToken) {
    while let Some(Ok((stream, _))) = stop.run_until_cancelled(listener.accept()).await {
        shared.connections.fetch_add(1, Ordering::Relaxed);
        let (acceptor, shared, stop) = (acceptor.clone(), Arc::clone(&shared), stop.clone());
        tokio::spawn(async move {
            let talk = async {
                if manner == Manner::Hang {
                    let mut first = vec![0; 5];
                    let mut stream = stream;
                    let read = stream.peek(&mut first).await.unwrap_or(0);
                    shared.raw.lock().unwrap().push(first[..read].to_vec());
                    std::future::pending::<()>().await;
                    drop(stream.read_u8().await);
                    return;
                }
                let mut first = vec![0; 5];
                let peeked = stream.peek(&mut first).await.unwrap_or(0);
                match acceptor.accept(stream).await {
                    Ok(stream) => read_frames(stream, manner, &shared).await,
                    Err(_) => shared.raw.lock().unwrap().push(first[..peeked].to_vec()),
                }
            };
            stop.run_until_cancelled(talk).await;
        });
    }
}

/// RFC 5425: `MSG-LEN SP MSG`, nothing between.
async fn read_frames<S: tokio::io::AsyncRead + Unpin>(stream: S, manner: Manner, shared: &Shared) {
    let mut stream = tokio::io::BufReader::new(stream);
    let mut count = 0;
    loop {
        let mut length = 0_usize;
        loop {
            match stream.read_u8().await {
                Ok(b' ') => break,
                Ok(digit) => {
                    assert!(digit.is_ascii_digit(), "a frame begins with its length, not with {digit}");
                    length = length * 10 + usize::from(digit - b'0');
                }
                Err(_) => return,
            }
        }
        let mut message = vec![0; length];
        if manner == Manner::CutAfter(count) {
            drop(stream.read_exact(&mut message[..length / 2]).await);
            return;
        }
        if stream.read_exact(&mut message).await.is_err() {
            return;
        }
        shared.messages.lock().unwrap().push(String::from_utf8(message).unwrap());
        count += 1;
    }
}

/// A message of RFC 5424, taken apart strictly.
pub struct Parsed {
    pub priority: u32,
    pub host: String,
    pub id: String,
    pub data: Vec<(String, String)>,
    pub text: String,
}

pub fn parse(message: &str) -> Parsed {
    assert!(!message.chars().any(char::is_control), "a control character in {message:?}");
    let rest = message.strip_prefix('<').unwrap();
    let (priority, rest) = rest.split_once('>').unwrap();
    let mut fields = rest.splitn(7, ' ');
    assert_eq!(fields.next(), Some("1"));
    let time = fields.next().unwrap();
    assert!(time.ends_with('Z') && time.len() == "2026-11-25T08:00:00.000Z".len(), "{time}");
    let host = fields.next().unwrap().to_owned();
    assert_eq!(fields.next(), Some("portcullis"));
    assert_eq!(fields.next(), Some("-"));
    let id = fields.next().unwrap().to_owned();
    let rest = fields.next().unwrap().strip_prefix("[portcullis@32473").unwrap();
    let (mut data, mut letters) = (Vec::new(), rest.char_indices());
    loop {
        match letters.next().unwrap() {
            (at, ']') => {
                let text = rest[at + 1..].strip_prefix(' ').unwrap().to_owned();
                return Parsed { priority: priority.parse().unwrap(), host, id, data, text };
            }
            (_, ' ') => {
                let name: String = letters.by_ref().map(|(_, letter)| letter).take_while(|letter| *letter != '=').collect();
                assert_eq!(letters.next().unwrap().1, '"');
                let mut value = String::new();
                loop {
                    match letters.next().unwrap().1 {
                        '"' => break,
                        '\\' => value.push(letters.next().unwrap().1),
                        letter => value.push(letter),
                    }
                }
                data.push((name, value));
            }
            (_, odd) => panic!("{odd:?} in structured data: {message}"),
        }
    }
}
