//! WebSockets of clients that speak HTTP/2 (RFC 8441), to upstreams that speak HTTP/1.1.

use super::*;
use std::convert::Infallible;

use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};

/// A client of a server that forwards.
pub async fn client(bench: &Arc<Bench>) -> SendRequest<Body> {
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
    let mut server_side = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    server_side.enable_connect_protocol();
    tokio::spawn(server_side.serve_connection(TokioIo::new(server), service));
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(client)).await.unwrap();
    tokio::spawn(connection);
    // The setting that allows extended CONNECT comes with the first answer at the latest.
    let first = Request::builder().uri("https://app.test/public/first").body(body::empty()).unwrap();
    sender.send_request(first).await.unwrap();
    sender
}

pub fn handshake() -> Request<Body> {
    let mut request = Request::builder().method("CONNECT").uri("https://app.test/ws?room=1").body(body::empty()).unwrap();
    request.extensions_mut().insert(hyper::ext::Protocol::from_static("websocket"));
    for (name, value) in [
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "chat, other"),
        // A key has no meaning here, and is not believed.
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("x-portcullis-subject", "root"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    request
}

/// The accept value for the key of a handshake, as a server computes it.
pub fn accept(head: &str) -> String {
    use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
    use base64::Engine;
    let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap();
    assert!(!key.starts_with("dGhl"), "the client's key went out: {head}");
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    base64::engine::general_purpose::STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

/// An upstream that answers a handshake by `answer` (with `ACCEPT` filled in), and then echoes in capitals.
async fn echoing(answer: &'static str) -> SocketAddr {
    let serve = move |mut stream: TcpStream, _| async move {
        while let Some(head) = read_head(&mut stream).await {
            if !head.starts_with("GET /ws?room=1 HTTP/1.1\r\n") {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await.unwrap();
                continue;
            }
            assert!(head.contains("connection: upgrade\r\n") && head.contains("upgrade: websocket\r\n"), "{head}");
            assert!(head.contains("x-portcullis-subject: https://idp.test#ana\r\n"), "{head}");
            stream.write_all(answer.replace("ACCEPT", &accept(&head)).as_bytes()).await.unwrap();
            let mut buffer = [0; 1_024];
            while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                stream.write_all(&buffer[..read].to_ascii_uppercase()).await.unwrap();
            }
        }
    };
    upstream(serve).await.0
}

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\
    Sec-WebSocket-Protocol: chat\r\n\r\n";

async fn until_reported(bench: &Bench, count: usize) -> ExchangeOutcome {
    while bench.outcomes().len() < count {
        tokio::task::yield_now().await;
    }
    bench.outcomes()[count - 1]
}

#[tokio::test]
async fn bytes_pass_both_ways_on_a_stream_beside_others() {
    let bench = Arc::new(Bench::new(&[echoing(SWITCH).await]));
    let mut sender = client(&bench).await;
    let answer = sender.send_request(handshake()).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["sec-websocket-protocol"], "chat");
    for name in ["sec-websocket-accept", "upgrade", "connection"] {
        assert!(!answer.headers().contains_key(name), "{name}");
    }
    let mut stream = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    for text in ["hello", "again"] {
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut echo = [0; 5];
        stream.read_exact(&mut echo).await.unwrap();
        assert_eq!(echo, text.to_ascii_uppercase().as_bytes());
        let beside = Request::builder().uri("https://app.test/public/x").body(body::empty()).unwrap();
        assert_eq!(sender.send_request(beside).await.unwrap().status(), 200);
    }
    stream.shutdown().await.unwrap();
    let _ = stream.read_to_end(&mut Vec::new()).await;
    until_reported(&bench, 4).await;
    assert!(bench.outcomes().iter().all(|outcome| *outcome == ExchangeOutcome::Complete), "{:?}", bench.outcomes());
}

#[tokio::test]
async fn the_end_of_a_session_closes_the_stream() {
    let bench = Arc::new(Bench::new(&[echoing(SWITCH).await]));
    let mut sender = client(&bench).await;
    let answer = sender.send_request(handshake()).await.unwrap();
    let mut stream = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    settle().await;
    bench.cut.cancel();
    let mut last = Vec::new();
    let _ = stream.read_to_end(&mut last).await;
    assert!(last.is_empty() || last == crate::upstream::websocket::CLOSE_FRAME, "{last:?}");
    assert_eq!(until_reported(&bench, 2).await, ExchangeOutcome::Cut);
}

#[tokio::test]
async fn an_answer_that_is_no_agreed_101_opens_nothing() {
    for (answer, status) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 502),
        ("HTTP/1.1 204 No Content\r\n\r\n", 502),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: other\r\n\r\n", 502),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n", 502),
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", 403),
        ("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n", 426),
    ] {
        let bench = Arc::new(Bench::new(&[echoing(answer).await]));
        let mut sender = client(&bench).await;
        let answered = sender.send_request(handshake()).await.unwrap();
        assert_eq!(answered.status(), status, "{answer}");
        // The stream is over, and the connection serves on.
        let _ = answered.into_body().collect().await;
        let beside = Request::builder().uri("https://app.test/public/x").body(body::empty()).unwrap();
        assert_eq!(sender.send_request(beside).await.unwrap().status(), 200);
        assert!(bench.idle() <= 1, "the connection of the handshake is never pooled");
    }
}
