//! WebSockets, through a real server connection (SM-16, WS-03, WS-04).

use super::*;
use std::convert::Infallible;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A client's end of a connection to a server that forwards.
pub fn client(bench: &Arc<Bench>) -> DuplexStream {
    let (client, server) = tokio::io::duplex(65_536);
    let bench = Arc::clone(bench);
    let service = service_fn(move |mut request: Request<hyper::body::Incoming>| {
        let bench = Arc::clone(&bench);
        async move {
            let on_upgrade = Some(hyper::upgrade::on(&mut request));
            let recorded = bench.recorded(&request);
            let (head, body) = request.into_parts();
            let answered = bench.send(recorded, Incoming { headers: &head.headers, body, on_upgrade }).await;
            Ok::<_, Infallible>(answered.unwrap_or_else(|refusal| {
                let mut response = Response::new(body::empty());
                *response.status_mut() = refusal.status();
                response
            }))
        }
    });
    tokio::spawn(async move {
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service).with_upgrades().await;
    });
    client
}

pub fn handshake(more: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {KEY}\r\n{more}\r\n"
    )
}

/// An upstream that answers the handshake with `answer`, then echoes in capitals, and says what it received before that.
async fn echoing(answer: String) -> (SocketAddr, Arc<Mutex<String>>) {
    let seen = Arc::new(Mutex::new(String::new()));
    let known = Arc::clone(&seen);
    let serve = move |mut stream: TcpStream, _| {
        let (answer, known) = (answer.clone(), Arc::clone(&known));
        async move {
            let Some(head) = read_head(&mut stream).await else { return };
            known.lock().unwrap().push_str(&head);
            stream.write_all(answer.as_bytes()).await.unwrap();
            let mut buffer = [0; 1_024];
            while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                known.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..read]));
                stream.write_all(&buffer[..read].to_ascii_uppercase()).await.unwrap();
            }
        }
    };
    (upstream(serve).await.0, seen)
}

fn accepted(more: &str) -> String {
    format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {ACCEPT}\r\n{more}\r\n")
}

async fn until_reported(bench: &Bench) -> ExchangeEnd {
    while bench.outcomes().is_empty() {
        tokio::task::yield_now().await;
    }
    bench.end()
}

#[tokio::test]
async fn bytes_pass_both_ways_once_the_handshake_is_agreed() {
    let (address, seen) = echoing(accepted("Sec-WebSocket-Protocol: chat\r\n")).await;
    let bench = Arc::new(Bench::new(&[address]));
    let mut client = client(&bench);
    client.write_all(handshake("Sec-WebSocket-Protocol: chat, other\r\n").as_bytes()).await.unwrap();
    let head = read_head(&mut client).await.unwrap().to_ascii_lowercase();
    assert!(
        head.starts_with("http/1.1 101") && head.contains("upgrade: websocket\r\n") && head.contains("sec-websocket-protocol: chat"),
        "{head}"
    );
    client.write_all(b"hello").await.unwrap();
    let mut echo = [0; 5];
    client.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"HELLO");
    drop(client);
    let end = until_reported(&bench).await;
    assert_eq!((end.status, end.bytes_in, end.bytes_out, end.outcome), (Some(101), 5, 5, ExchangeOutcome::Complete));
    assert_eq!(bench.idle(), 0, "an upgraded connection is never pooled");
    assert!(seen.lock().unwrap().contains("x-portcullis-subject: https://idp.test#ana"));
}

async fn refused(answer: String) {
    let (address, seen) = echoing(answer.clone()).await;
    let bench = Arc::new(Bench::new(&[address]));
    let mut client = client(&bench);
    client.write_all(handshake("Sec-WebSocket-Protocol: chat\r\n").as_bytes()).await.unwrap();
    client.write_all(b"GET /public/admin HTTP/1.1\r\nHost: app.test\r\n\r\n").await.unwrap();
    let head = read_head(&mut client).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 502"), "{answer}: {head}");
    let first = bench.outcomes()[0];
    assert_eq!(first, ExchangeOutcome::UpstreamFailed, "{answer}");
    assert_eq!(bench.idle(), 0);
    assert!(!seen.lock().unwrap().lines().any(|line| line.starts_with("GET /public/admin") && !line.contains("HTTP/1.1")));
}

#[tokio::test]
async fn a_101_that_does_not_answer_this_handshake_is_refused() {
    for answer in [
        accepted("").replace(ACCEPT, "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        accepted("").replace(&format!("Sec-WebSocket-Accept: {ACCEPT}\r\n"), ""),
        accepted(&format!("Sec-WebSocket-Accept: {ACCEPT}\r\n")),
        accepted("").replace("Upgrade: websocket\r\n", ""),
        accepted("").replace("Upgrade: websocket", "Upgrade: h2c"),
        accepted("").replace("Connection: Upgrade\r\n", ""),
        accepted("Sec-WebSocket-Protocol: other\r\n"),
        accepted("Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat\r\n"),
        accepted("Sec-WebSocket-Extensions: permessage-deflate\r\n"),
    ] {
        refused(answer).await;
    }
}

#[tokio::test]
async fn bytes_behind_a_handshake_wait_for_the_101() {
    let (gate, open) = tokio::sync::watch::channel(());
    let (address, _) = upstream(move |mut stream, _| {
        let mut open = open.clone();
        async move {
            read_head(&mut stream).await;
            open.changed().await.unwrap();
            let early = stream.try_read(&mut [0; 64]).map_err(|error| error.kind());
            assert_eq!(early, Err(std::io::ErrorKind::WouldBlock), "bytes came before the 101");
            stream.write_all(accepted("").as_bytes()).await.unwrap();
            let mut late = [0; 5];
            stream.read_exact(&mut late).await.unwrap();
            stream.write_all(&late).await.unwrap();
        }
    })
    .await;
    let bench = Arc::new(Bench::new(&[address]));
    let mut client = client(&bench);
    client.write_all(handshake("").as_bytes()).await.unwrap();
    client.write_all(b"early").await.unwrap();
    settle().await;
    gate.send(()).unwrap();
    assert!(read_head(&mut client).await.unwrap().starts_with("HTTP/1.1 101"));
    let mut echo = [0; 5];
    client.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"early");
}

#[tokio::test]
async fn another_status_is_an_ordinary_answer_and_its_connection_is_not_kept() {
    let (address, _) = answering(b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\nSec-WebSocket-Version: 13\r\n\r\nno").await;
    let bench = Arc::new(Bench::new(&[address]));
    let mut client = client(&bench);
    client.write_all(handshake("").as_bytes()).await.unwrap();
    let head = read_head(&mut client).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 426"), "{head}");
    assert_eq!(until_reported(&bench).await.outcome, ExchangeOutcome::Complete);
    assert_eq!(bench.idle(), 0);
}

async fn opened(bench: &Arc<Bench>) -> DuplexStream {
    let mut client = client(bench);
    client.write_all(handshake("").as_bytes()).await.unwrap();
    assert!(read_head(&mut client).await.unwrap().starts_with("HTTP/1.1 101"));
    client
}

#[tokio::test]
async fn the_end_of_a_session_closes_a_websocket_with_a_policy_frame() {
    let (address, _) = echoing(accepted("")).await;
    let bench = Arc::new(Bench::new(&[address]));
    let mut client = opened(&bench).await;
    bench.cut.cancel();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, [0x88, 0x02, 0x03, 0xf0]);
    assert_eq!(until_reported(&bench).await.outcome, ExchangeOutcome::Cut);
}

#[tokio::test]
async fn a_websocket_on_which_nothing_moves_is_closed() {
    let (address, _) = echoing(accepted("")).await;
    let bench = Arc::new(Bench::new(&[address]));
    let mut client = opened(&bench).await;
    settle().await;
    tokio::time::pause();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, [0x88, 0x02, 0x03, 0xf0]);
}

#[tokio::test]
async fn what_the_upstream_says_after_the_client_has_ended_still_arrives() {
    let (address, _) = upstream(|mut stream, _| async move {
        read_head(&mut stream).await;
        stream.write_all(accepted("").as_bytes()).await.unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        stream.write_all(&all).await.unwrap();
    })
    .await;
    let bench = Arc::new(Bench::new(&[address]));
    let mut client = opened(&bench).await;
    client.write_all(b"last").await.unwrap();
    client.shutdown().await.unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"last");
}
