//! An upstream that keeps every byte it received, per connection, and answers as it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// How the recorder answers.
#[derive(Clone, Debug)]
pub enum Manner {
    /// 200 with a short body, after every whole request.
    Plain,
    /// These bytes, after every whole request.
    Bytes(Vec<u8>),
    /// A head and the first part of a body that never ends.
    Stream,
    /// 101, then every byte back.
    WebSocket,
    /// Nothing.
    Silence,
}

/// The upstream.
pub struct Recorder {
    pub address: SocketAddr,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

struct State {
    connections: Mutex<Vec<Vec<u8>>>,
    /// Of all connections, in the order of their arrival.
    heads: Mutex<Vec<String>>,
    manner: Mutex<Manner>,
    changed: Notify,
}

impl Recorder {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            connections: Mutex::default(),
            heads: Mutex::default(),
            manner: Mutex::new(Manner::Plain),
            changed: Notify::new(),
        });
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = {
                    let mut connections = shared.connections.lock().unwrap();
                    connections.push(Vec::new());
                    connections.len() - 1
                };
                tokio::spawn(converse(stream, number, Arc::clone(&shared)));
            }
        });
        Self { address, state, task }
    }

    pub fn answer_with(&self, manner: Manner) {
        *self.state.manner.lock().unwrap() = manner;
    }

    /// All bytes received so far, by connection.
    pub fn connections(&self) -> Vec<Vec<u8>> {
        self.state.connections.lock().unwrap().clone()
    }

    /// All bytes of all connections, as text.
    pub fn text(&self) -> String {
        self.connections().iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect::<Vec<_>>().join("\n---\n")
    }

    /// How many request heads arrived.
    pub fn requests(&self) -> usize {
        self.text().matches(" HTTP/1.1\r\n").count()
    }

    /// The heads of the requests that arrived since this was last asked, in the order of their arrival.
    pub fn received(&self) -> Vec<String> {
        std::mem::take(&mut *self.state.heads.lock().unwrap())
    }

    /// Forgets everything received so far. Connections stay open and are recorded further.
    pub fn forget(&self) {
        self.state.connections.lock().unwrap().iter_mut().for_each(Vec::clear);
    }

    /// Waits until what was received satisfies `enough`, at most ten seconds.
    pub async fn until(&self, enough: impl Fn(&str) -> bool) {
        let waiting = async {
            loop {
                let changed = self.state.changed.notified();
                if enough(&self.text()) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), waiting).await.expect("the upstream did not get what was expected");
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn converse(mut stream: TcpStream, number: usize, state: Arc<State>) {
    let mut unanswered: Vec<u8> = Vec::new();
    let (mut echoing, mut head_is_kept) = (false, false);
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        state.connections.lock().unwrap()[number].extend_from_slice(&buffer[..count]);
        state.changed.notify_waiters();
        if echoing {
            if stream.write_all(&buffer[..count]).await.is_err() {
                return;
            }
            continue;
        }
        unanswered.extend_from_slice(&buffer[..count]);
        while let Some(head) = first_head(&unanswered) {
            if !std::mem::replace(&mut head_is_kept, true) {
                state.heads.lock().unwrap().push(head.clone());
            }
            let Some(length) = whole_request(&unanswered) else { break };
            unanswered.drain(..length);
            head_is_kept = false;
            let manner = state.manner.lock().unwrap().clone();
            let answer: &[u8] = match &manner {
                Manner::Plain if head.starts_with("HEAD ") => b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n\r\n",
                Manner::Plain => b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n\r\nupstream",
                Manner::Bytes(bytes) => bytes,
                Manner::Stream => {
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nd\r\ndata: first\n\n\r\n"
                }
                Manner::WebSocket => {
                    echoing = true;
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
                }
                Manner::Silence => b"",
            };
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    }
}

fn first_head(bytes: &[u8]) -> Option<String> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
}

/// The length of the first whole request, framed by Content-Length or by chunks.
fn whole_request(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    if text.contains("transfer-encoding: chunked") {
        let end = bytes[head..].windows(5).position(|window| window == b"0\r\n\r\n")?;
        return Some(head + end + 5);
    }
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")).map_or(0, |value| value.trim().parse().unwrap());
    (bytes.len() >= head + length).then_some(head + length)
}
