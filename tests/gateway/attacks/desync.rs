//! Upstreams that read other bounds of a message than the gateway does, behind the whole gateway (SM-04, SM-05).

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::start;
use crate::support::{APP, Manner};

/// An upstream that looks for no bodies at all, and answers each request with its target; and the targets that it acted upon.
async fn overlooking() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let targets = Arc::<Mutex<Vec<String>>>::default();
    let shared = Arc::clone(&targets);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let targets = Arc::clone(&shared);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while let Ok(byte) = stream.read_u8().await {
                    head.push(byte);
                    if !head.ends_with(b"\r\n\r\n") {
                        continue;
                    }
                    let text = String::from_utf8_lossy(&std::mem::take(&mut head)).into_owned();
                    let target = text.split(' ').nth(1).unwrap_or("none").to_owned();
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{target}", target.len());
                    targets.lock().unwrap().push(target);
                    if stream.write_all(answer.as_bytes()).await.is_err() || text.contains("connection: close\r\n") {
                        return;
                    }
                }
            });
        }
    });
    (address, targets)
}

const OPEN: &str = "[[allow]]\nid = \"open\"\npublic = true\nmethods = [\"GET\", \"OPTIONS\", \"DELETE\"]\npaths = [\"/public/**\"]\n";

#[tokio::test]
async fn a_request_inside_a_body_that_an_upstream_overlooks_is_never_acted_upon() {
    let inside = "GET /app/admin HTTP/1.1\r\nHost: app.test\r\nX-Portcullis-Subject: root\r\n\r\n";
    for method in ["GET", "OPTIONS", "DELETE"] {
        let world = start().await;
        let (address, targets) = overlooking().await;
        world.write_route("app", address, OPEN);
        world.server().reload().await.unwrap();
        let mut other = world.wire(APP).await;
        let mut asked = Vec::new();
        for number in 0..4 {
            if number % 2 == 0 {
                let head = format!("{method} /public/{number} HTTP/1.1\r\nHost: {APP}\r\nContent-Length: {}\r\n\r\n", inside.len());
                world.wire(APP).await.exchange(format!("{head}{inside}").as_bytes()).await;
            } else {
                let request = Request::builder().method(method).uri(format!("https://{APP}/public/{number}"));
                let request = request.body(Full::new(Bytes::from(inside))).unwrap();
                let _whole = world.h2(APP).await.send_request(request).await.unwrap().into_body().collect().await;
            }
            asked.push(format!("/public/{number}"));
            // Somebody else gets the answer to what was asked for.
            let next = format!("/public/next/{number}");
            assert_eq!(other.ask("GET", &next, APP, "").await.unwrap().text(), next, "{method}");
            asked.push(next);
        }
        assert_eq!(*targets.lock().unwrap(), asked, "{method}");
    }
}

#[tokio::test]
async fn bodies_that_nobody_reads_take_no_room_from_others() {
    let world = start().await;
    let mut sender = world.h2(APP).await;
    let post = |path: &str, bytes: usize| {
        let request = Request::builder().method("POST").uri(format!("https://{APP}{path}"));
        request.body(Full::new(Bytes::from(vec![b'x'; bytes]))).unwrap()
    };
    // Four times what a client may send ahead on a connection, to where nobody takes any of it.
    for _ in 0..40 {
        let answer = sender.send_request(post("/app/x", 100_000)).await.unwrap();
        assert_eq!(answer.status(), 401);
        let _whole = answer.into_body().collect().await;
    }
    let answer = sender.send_request(post("/public/x", 1_000_000)).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(world.upstream.received().len(), 1);
}

#[tokio::test]
async fn streams_that_are_reset_leave_nothing_behind() {
    let world = start().await;
    world.upstream.answer_with(Manner::Stream);
    let mut sender = world.h2(APP).await;
    for round in 0..200 {
        let request = Request::builder().method("POST").uri(format!("https://{APP}/public/{round}"));
        let asking = sender.send_request(request.body(Full::new(Bytes::from_static(b"part"))).unwrap());
        if round % 2 == 0 {
            // Dropped before the answer, or within it.
            drop(asking);
        } else {
            assert_eq!(asking.await.unwrap().status(), 200);
        }
        sender.ready().await.unwrap();
    }
    world.until(|world| (world.server().gateway().exchanges.count() == 0).then_some(())).await;
    world.upstream.answer_with(Manner::Plain);
    assert_eq!(world.wire(APP).await.ask("GET", "/public/x", APP, "").await.unwrap().text(), "upstream");
}
