//! WebSockets over HTTP/2, gRPC, and requests that go in circles, through the whole gateway (WS, SM-16, A-19).

use std::convert::Infallible;
use std::net::SocketAddr;

use base64::Engine;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{field, start};
use crate::support::{APP, Answer, Wire};

fn asking(method: &str, path: &str, fields: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let uri = format!("https://{APP}{path}");
    let request = Request::builder().method(method).uri(uri);
    fields.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(Full::default()).unwrap()
}

/// An upstream that agrees to every WebSocket and echoes in capitals.
async fn echoing() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = Vec::new();
                while !bytes.ends_with(b"\r\n\r\n") {
                    bytes.push(stream.read_u8().await.unwrap());
                }
                let head = String::from_utf8_lossy(&bytes).into_owned();
                let text = format!("{}258EAFA5-E914-47DA-95CA-C5AB0DC85B11", field(&head, "sec-websocket-key").unwrap());
                let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
                let accept = base64::engine::general_purpose::STANDARD.encode(hash);
                let answer = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
                let mut buffer = [0; 1_024];
                while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                    stream.write_all(&buffer[..count].to_ascii_uppercase()).await.unwrap();
                }
            });
        }
    });
    address
}

fn handshake(path: &str, fields: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut request = asking("CONNECT", path, fields);
    request.extensions_mut().insert(hyper::ext::Protocol::from_static("websocket"));
    request.headers_mut().insert("sec-websocket-version", "13".parse().unwrap());
    request
}

const STAFF: &str = "[[allow]]\nid = \"staff\"\nwho = { groups = [\"staff\"] }\npaths = [\"/app/**\"]\n";

#[tokio::test]
async fn a_websocket_over_http_2_is_judged_like_any_and_ends_with_its_session() {
    let world = start().await;
    world.write_route("app", echoing().await, STAFF);
    world.server().reload().await.unwrap();
    let cookie = format!("__Host-portcullis={}", world.seat(APP, &["staff"]).await);
    let origin = format!("https://{APP}");
    let mut sender = world.h2(APP).await;
    // The setting that allows it comes with the first answer.
    sender.send_request(asking("GET", "/elsewhere", &[])).await.unwrap();
    for (fields, status) in [
        (vec![("origin", origin.as_str())], 401),
        (vec![("cookie", cookie.as_str())], 403),
        (vec![("cookie", cookie.as_str()), ("origin", "https://evil.test")], 403),
        (vec![("cookie", cookie.as_str()), ("origin", "null")], 403),
    ] {
        let answer = sender.send_request(handshake("/app/ws", &fields)).await.unwrap();
        assert_eq!(answer.status(), status, "{fields:?}");
    }
    let known = [("cookie", cookie.as_str()), ("origin", origin.as_str())];
    assert_eq!(sender.send_request(handshake("/elsewhere", &known)).await.unwrap().status(), 403);
    // The gateway's own pages are no WebSockets.
    for path in ["/.portcullis/session", "/.portcullis/finish"] {
        let answer = sender.send_request(handshake(path, &known)).await.unwrap();
        assert_eq!(answer.status(), 401, "{path}");
    }
    let answer = sender.send_request(handshake("/app/ws", &known)).await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut stream = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    stream.write_all(b"hello").await.unwrap();
    let mut echo = [0; 5];
    stream.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"HELLO");
    let decision = world.decisions().pop().unwrap();
    assert_eq!((decision["decision"].as_str(), decision["rule"].as_str()), (Some("allow"), Some("staff")));
    // when policy no longer allows it, then it ends
    world.write_route("app", echoing().await, &STAFF.replace("\"staff\"]", "\"nobody\"]"));
    world.server().reload().await.unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty() || rest == [0x88, 0x02, 0x03, 0xf0], "{rest:?}");
}

/// An upstream that answers every call with its path, and says in trailers that all is well.
async fn grpc() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|asked: Request<hyper::body::Incoming>| async move {
                let trailers: HeaderMap = [("grpc-status".parse().unwrap(), "0".parse().unwrap())].into_iter().collect();
                let body = Full::new(Bytes::from(asked.uri().path().to_owned())).with_trailers(async { Some(Ok(trailers)) });
                Ok::<_, Infallible>(Response::builder().header("content-type", "application/grpc").body(body).unwrap())
            });
            tokio::spawn(hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

#[tokio::test]
async fn grpc_methods_are_allowed_one_by_one_and_a_refusal_is_told_in_its_words() {
    let world = start().await;
    let rules = "[[allow]]\nid = \"get\"\nwho = { groups = [\"staff\"] }\nmethods = [\"POST\"]\npaths = [\"/pkg.Svc/Get\"]\n\
                 [upstream]\nprotocol = \"h2\"\n";
    world.write_route("app", grpc().await, rules);
    world.server().reload().await.unwrap();
    let cookie = format!("__Host-portcullis={}", world.seat(APP, &["staff"]).await);
    let mut sender = world.h2(APP).await;
    let mut call = async |path: &str, cookie: Option<&str>| {
        let mut fields = vec![("content-type", "application/grpc"), ("te", "trailers")];
        fields.extend(cookie.map(|cookie| ("cookie", cookie)));
        sender.send_request(asking("POST", path, &fields)).await.unwrap()
    };
    let answer = call("/pkg.Svc/Get", Some(&cookie)).await;
    assert_eq!(answer.status(), 200);
    assert!(answer.headers()["via"].to_str().unwrap().starts_with("2 portcullis-"));
    let whole = answer.into_body().collect().await.unwrap();
    assert_eq!(whole.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(whole.to_bytes(), "/pkg.Svc/Get");
    for (path, cookie, status, code) in [
        ("/pkg.Svc/Get", None, 401, "16"),
        ("/pkg.Svc/Delete", Some(cookie.as_str()), 403, "7"),
        ("/pkg.Svc/get", Some(cookie.as_str()), 403, "7"),
        ("/pkg.Svc/Get/", Some(cookie.as_str()), 403, "7"),
        ("/pkg.svc/Get", Some(cookie.as_str()), 403, "7"),
    ] {
        let answer = call(path, cookie).await;
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.headers()["grpc-status"], code, "{path}");
        assert_eq!(answer.headers()["content-type"], "application/grpc", "{path}");
        assert!(answer.headers().contains_key("grpc-message"));
        assert!(answer.into_body().collect().await.unwrap().to_bytes().is_empty(), "{path}");
    }
}

#[tokio::test]
async fn a_request_that_comes_round_again_is_stopped() {
    let world = start().await;
    let mut client = world.wire(APP).await;
    let reply = client.ask("GET", "/public/x", APP, "").await.unwrap();
    let via = reply.field("via").unwrap().to_owned();
    world.upstream.received();
    for field in [format!("Via: {via}\r\n"), format!("Via: 1.0 other, {via}\r\n"), format!("Via: 1.0 other\r\nVia: {via} (x)\r\n")] {
        let reply = client.ask("GET", "/public/x", APP, &field).await.unwrap();
        assert_eq!(reply.status, 508, "{field}");
        let name = via.split(' ').nth(1).unwrap();
        assert_eq!(reply.field("proxy-status").unwrap(), format!("{name}; error=proxy_loop_detected; details=\"loop_detected\""));
        assert_eq!(world.decisions().pop().unwrap()["reason"], "loop_detected");
    }
    assert!(world.upstream.received().is_empty());
    assert_eq!(client.ask("GET", "/public/x", APP, "Via: 1.1 other\r\n").await.unwrap().status, 200);
}

async fn posting(client: &mut Wire, path: &str, more: &str) -> Answer {
    client.ask_head("POST", path, APP, more).await.unwrap()
}

#[tokio::test]
async fn an_expectation_that_is_not_served_is_told_so_and_a_body_waits_for_the_decision() {
    let world = start().await;
    for expectation in ["y 100-continue", "202-accepted", "100-continue, 100-continue"] {
        let more = format!("Expect: {expectation}\r\nContent-Length: 5\r\nConnection: close\r\n");
        assert_eq!(posting(&mut world.wire(APP).await, "/public/x", &more).await.status, 417, "{expectation}");
    }
    // A refusal comes in place of `100 Continue`, and nothing reached the upstream.
    let more = "Expect: 100-continue\r\nContent-Length: 5\r\n";
    assert_eq!(posting(&mut world.wire(APP).await, "/app/x", more).await.status, 401);
    assert!(world.upstream.received().is_empty());
    let mut client = world.wire(APP).await;
    assert_eq!(posting(&mut client, "/public/x", more).await.status, 100);
    client.send("hello").await;
    assert_eq!(client.read(false).await.status, 200);
    assert!(!world.upstream.received().concat().to_ascii_lowercase().contains("expect:"));
}
