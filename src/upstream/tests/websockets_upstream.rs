//! WebSockets to upstreams that take them over HTTP/2 (RFC 8441), from clients of both versions.

use super::*;
use std::convert::Infallible;

use http::HeaderMap;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::{websockets, websockets_http2};

/// What an upstream was asked: method, target, `:protocol` and fields.
#[derive(Clone, Debug)]
struct Asked {
    method: Method,
    target: String,
    protocol: Option<String>,
    fields: HeaderMap,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Offers {
    WebSockets,
    Requests,
}

/// An upstream that speaks HTTP/2 to whoever begins with it, answers a WebSocket as `answer` says and echoes in capitals. Who
/// begins in HTTP/1.1 is accepted by its key there.
async fn upstream_http2(offers: Offers, answer: fn() -> Response<Body>) -> (SocketAddr, Arc<AtomicUsize>, Arc<Mutex<Vec<Asked>>>) {
    let seen: Arc<Mutex<Vec<Asked>>> = Arc::default();
    let known = Arc::clone(&seen);
    let (address, accepted) = upstream(move |stream, _| {
        let known = Arc::clone(&known);
        async move {
            let mut first = [0; 3];
            while stream.peek(&mut first).await.unwrap_or(3) < 3 {}
            if first != *b"PRI" {
                return over_http1(stream).await;
            }
            let service = service_fn(move |mut request: Request<hyper::body::Incoming>| {
                let upgrade = hyper::upgrade::on(&mut request);
                let protocol = request.extensions().get::<hyper::ext::Protocol>().map(|protocol| protocol.as_str().to_owned());
                let target = request.uri().to_string();
                known.lock().unwrap().push(Asked {
                    method: request.method().clone(),
                    target,
                    protocol: protocol.clone(),
                    fields: request.headers().clone(),
                });
                async move {
                    if protocol.is_none() {
                        return Ok::<_, Infallible>(Response::new(body::full("hi")));
                    }
                    tokio::spawn(async move {
                        let Ok(upgraded) = upgrade.await else { return };
                        echo(TokioIo::new(upgraded)).await;
                    });
                    Ok(answer())
                }
            });
            let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            if offers == Offers::WebSockets {
                server.enable_connect_protocol();
            }
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        }
    })
    .await;
    (address, accepted, seen)
}

async fn over_http1(mut stream: TcpStream) {
    let Some(head) = read_head(&mut stream).await else { return };
    let answer = format!("{}Sec-WebSocket-Accept: {}\r\n\r\n", SWITCH, websockets_http2::accept(&head));
    stream.write_all(answer.as_bytes()).await.unwrap();
    echo(stream).await;
}

async fn echo(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin) {
    let mut buffer = [0; 1_024];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..read].to_ascii_uppercase()).await.is_err() {
            return;
        }
    }
    let _ = stream.shutdown().await;
}

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";

fn speaking_http2(address: SocketAddr) -> Arc<Bench> {
    let plain = at(Scheme::Http, &address.ip().to_string(), address.port());
    Arc::new(Bench::with(vec![plain], |way| way.protocol = Protocol::Http2))
}

fn opened() -> Response<Body> {
    Response::builder().header("sec-websocket-protocol", "chat").body(body::empty()).unwrap()
}

async fn until_reported(bench: &Bench, count: usize) -> ExchangeEnd {
    while bench.outcomes().len() < count {
        tokio::task::yield_now().await;
    }
    bench.ends.lock().unwrap()[count - 1].clone()
}

async fn echoes(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin)) {
    for text in ["hello", "again"] {
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut echo = [0; 5];
        stream.read_exact(&mut echo).await.unwrap();
        assert_eq!(echo, text.to_ascii_uppercase().as_bytes());
    }
}

const OFFER: &str = "Sec-WebSocket-Protocol: chat, other\r\nX-Portcullis-Subject: root\r\n";

#[tokio::test]
async fn a_client_over_http_1_reaches_an_upstream_that_speaks_http_2_alone() {
    let (address, accepted, seen) = upstream_http2(Offers::WebSockets, opened).await;
    let bench = speaking_http2(address);
    assert_eq!(bench.get("/public/x").await.unwrap(), (200, "hi".into()));
    let mut client = websockets::client(&bench);
    client.write_all(websockets::handshake(OFFER).as_bytes()).await.unwrap();
    let head = read_head(&mut client).await.unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101"), "{head}");
    for field in
        ["upgrade: websocket", "connection: upgrade", "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=", "sec-websocket-protocol: chat"]
    {
        assert!(head.contains(&format!("\r\n{field}\r\n")), "{field}: {head}");
    }
    echoes(&mut client).await;
    drop(client);
    let end = until_reported(&bench, 2).await;
    assert_eq!((end.status, end.bytes_in, end.bytes_out, end.outcome), (Some(101), 10, 10, ExchangeOutcome::Complete));
    assert_eq!(accepted.load(Ordering::SeqCst), 2, "a WebSocket has a connection of its own");
    let asked = seen.lock().unwrap()[1].clone();
    assert_eq!((asked.method, asked.protocol.as_deref()), (Method::CONNECT, Some("websocket")));
    assert_eq!(asked.target, "http://app.test/ws");
    assert_eq!(asked.fields["sec-websocket-version"], "13");
    assert_eq!(asked.fields["x-portcullis-subject"], "https://idp.test#ana");
    for name in ["sec-websocket-key", "connection", "upgrade", "host", "content-length"] {
        assert!(!asked.fields.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn a_client_over_http_2_reaches_it_as_well() {
    let (address, _, seen) = upstream_http2(Offers::WebSockets, opened).await;
    let bench = speaking_http2(address);
    let mut sender = websockets_http2::client(&bench).await;
    let answer = sender.send_request(websockets_http2::handshake()).await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["sec-websocket-protocol"]), (200, &"chat".parse().unwrap()));
    assert!(!answer.headers().contains_key("sec-websocket-accept"));
    let mut stream = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    echoes(&mut stream).await;
    stream.shutdown().await.unwrap();
    let _ = stream.read_to_end(&mut Vec::new()).await;
    assert_eq!(until_reported(&bench, 2).await.outcome, ExchangeOutcome::Complete);
    assert!(!seen.lock().unwrap()[1].fields.contains_key("sec-websocket-key"));
}

#[tokio::test]
async fn an_upstream_that_takes_none_over_http_2_is_asked_in_http_1_and_remembered() {
    let (address, accepted, _) = upstream_http2(Offers::Requests, opened).await;
    let bench = speaking_http2(address);
    for connections in [2, 3] {
        let mut sender = websockets_http2::client(&bench).await;
        let answer = sender.send_request(websockets_http2::handshake()).await.unwrap();
        assert_eq!(answer.status(), 200);
        echoes(&mut TokioIo::new(hyper::upgrade::on(answer).await.unwrap())).await;
        // One more carries the other requests of these clients.
        assert_eq!(accepted.load(Ordering::SeqCst), connections + 1);
    }
}

#[tokio::test]
async fn an_answer_that_opens_no_websocket_is_not_taken_for_one() {
    let check = async |answer: fn() -> Response<Body>, status: u16| {
        let (address, _, _) = upstream_http2(Offers::WebSockets, answer).await;
        let bench = speaking_http2(address);
        let mut client = websockets::client(&bench);
        client.write_all(websockets::handshake(OFFER).as_bytes()).await.unwrap();
        let head = read_head(&mut client).await.unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
        assert!(!head.to_ascii_lowercase().contains("sec-websocket-accept"), "{head}");
        let outcome = until_reported(&bench, 1).await.outcome;
        assert_eq!(outcome == ExchangeOutcome::UpstreamFailed, status == 502, "{outcome:?}");
    };
    check(|| Response::builder().header("sec-websocket-protocol", "secret").body(body::empty()).unwrap(), 502).await;
    check(|| Response::builder().header("sec-websocket-extensions", "permessage-deflate").body(body::empty()).unwrap(), 502).await;
    check(|| Response::builder().status(204).body(body::empty()).unwrap(), 502).await;
    check(|| Response::builder().status(403).body(body::empty()).unwrap(), 403).await;
    check(|| Response::builder().status(302).header("location", "/x").body(body::empty()).unwrap(), 302).await;
}

#[tokio::test]
async fn the_end_of_a_session_ends_stream_and_connection() {
    let (address, _, _) = upstream_http2(Offers::WebSockets, opened).await;
    let bench = speaking_http2(address);
    let mut client = websockets::client(&bench);
    client.write_all(websockets::handshake(OFFER).as_bytes()).await.unwrap();
    assert!(read_head(&mut client).await.unwrap().starts_with("HTTP/1.1 101"));
    echoes(&mut client).await;
    bench.cut.cancel();
    let mut last = Vec::new();
    let _ = client.read_to_end(&mut last).await;
    assert_eq!(last, crate::upstream::websocket::CLOSE_FRAME);
    assert_eq!(until_reported(&bench, 1).await.outcome, ExchangeOutcome::Cut);
    // Every task of the connection ends, and with them the connection.
    bench.upstreams.closing.cancel();
    bench.upstreams.tasks.close();
    bench.upstreams.tasks.wait().await;
}

#[tokio::test]
async fn nothing_is_asked_before_the_upstream_has_said_what_it_takes() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let known = Arc::clone(&asked);
    let (address, _) = upstream(move |mut stream, _| {
        let known = Arc::clone(&known);
        async move {
            let mut buffer = [0; 1_024];
            while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                known.lock().unwrap().extend_from_slice(&buffer[..read]);
            }
        }
    })
    .await;
    let plain = at(Scheme::Http, &address.ip().to_string(), address.port());
    let bench = Arc::new(Bench::with(vec![plain], |way| {
        way.protocol = Protocol::Http2;
        way.limits.connect_timeout = Duration::from_millis(200);
    }));
    let mut client = websockets::client(&bench);
    client.write_all(websockets::handshake("").as_bytes()).await.unwrap();
    assert!(read_head(&mut client).await.unwrap().starts_with("HTTP/1.1 504"));
    let asked = asked.lock().unwrap().clone();
    let mut frames = &asked[24..];
    while let [a, b, c, kind, ..] = *frames {
        assert_ne!(kind, 1, "HEADERS were sent");
        frames = &frames[9 + u32::from_be_bytes([0, a, b, c]) as usize..];
    }
}
