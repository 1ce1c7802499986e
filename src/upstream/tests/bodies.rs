//! Bodies: streamed, framed anew, with idle limits and cuts (SM-19).

use super::*;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use kernel::Failure;
use kernel::policy::Reason;
use tokio::sync::mpsc;

use crate::web::body::BodyError;

/// A body whose pieces the test sends.
struct Piecemeal(mpsc::Receiver<Result<Frame<Bytes>, BodyError>>);

impl http_body::Body for Piecemeal {
    type Data = Bytes;
    type Error = BodyError;
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.poll_recv(cx)
    }
}

fn piecemeal() -> (mpsc::Sender<Result<Frame<Bytes>, BodyError>>, Body) {
    let (pieces, body) = mpsc::channel(1);
    (pieces, Piecemeal(body).boxed_unsync())
}

fn piece(text: &'static str) -> Result<Frame<Bytes>, BodyError> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

/// An upstream that reads until `end` and answers with what it read.
async fn reading_to(end: &'static str) -> SocketAddr {
    let serve = move |mut stream: TcpStream, _| async move {
        let mut read = Vec::new();
        while !read.ends_with(end.as_bytes()) {
            let Ok(byte) = stream.read_u8().await else { return };
            read.push(byte);
        }
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", read.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.write_all(&read).await.unwrap();
    };
    upstream(serve).await.0
}

/// An upstream that reads each request whole, and answers with its head.
async fn mirror_of_whole() -> (SocketAddr, Arc<AtomicUsize>) {
    upstream(|mut stream, _| async move {
        while let Some(head) = read_head(&mut stream).await {
            if head.contains("content-length: 5\r\n") {
                stream.read_exact(&mut [0; 5]).await.unwrap();
            } else if head.contains("transfer-encoding: chunked\r\n") {
                let mut read = Vec::new();
                while !read.ends_with(b"0\r\n\r\n") {
                    read.push(stream.read_u8().await.unwrap());
                }
            }
            let length = if head.starts_with("HEAD ") { 0 } else { head.len() };
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            stream.write_all(&[answer.as_bytes(), &head.as_bytes()[..length]].concat()).await.unwrap();
        }
    })
    .await
}

async fn sent(method: Method, fields: &[(&'static str, &'static str)], body: Body, end: &'static str) -> String {
    let bench = Bench::new(&[reading_to(end).await]);
    let mut asked = request(method, "/x", body);
    for (name, value) in fields {
        asked.headers_mut().insert(*name, value.parse().unwrap());
    }
    let whole = bench.forward(asked).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    String::from_utf8_lossy(&whole).into_owned()
}

#[tokio::test]
async fn a_body_is_framed_by_its_own_length_not_by_the_clients_word() {
    let text = sent(Method::POST, &[("content-length", "999")], body::full("hello"), "hello").await;
    assert!(text.contains("content-length: 5\r\n") && !text.contains("999") && !text.contains("transfer-encoding"), "{text}");
    let text = sent(Method::POST, &[("content-length", "5"), ("transfer-encoding", "chunked")], body::empty(), "\r\n\r\n").await;
    assert!(text.contains("content-length: 0\r\n") && !text.contains("transfer-encoding"), "{text}");
}

#[tokio::test]
async fn a_body_of_unknown_length_is_chunked_for_every_method_and_loses_its_trailers() {
    for method in [Method::GET, Method::POST, Method::DELETE] {
        let (pieces, body) = piecemeal();
        tokio::spawn(async move {
            pieces.send(piece("hello")).await.unwrap();
            let mut trailers = http::HeaderMap::new();
            trailers.insert("x-portcullis-subject", "root".parse().unwrap());
            let _ = pieces.send(Ok(Frame::trailers(trailers))).await;
        });
        let text = sent(method, &[("trailer", "x-portcullis-subject")], body, "0\r\n\r\n").await;
        assert!(text.contains("transfer-encoding: chunked\r\n") && text.ends_with("\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), "{text}");
        assert!(!text.contains("root"), "{text}");
    }
}

#[tokio::test]
async fn a_connection_ends_with_a_body_that_its_upstream_may_not_have_looked_for() {
    let kept = async |method: Method, body: Body| {
        let (address, _) = mirror_of_whole().await;
        let bench = Bench::new(&[address]);
        let head = bench.forward(request(method, "/x", body)).await.unwrap().into_body().collect().await.unwrap().to_bytes();
        (String::from_utf8_lossy(&head).contains("connection: close\r\n"), bench.idle())
    };
    let chunked = || {
        let (pieces, body) = piecemeal();
        tokio::spawn(async move { pieces.send(piece("hello")).await.unwrap() });
        body
    };
    for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::DELETE] {
        assert_eq!(kept(method.clone(), body::empty()).await, (false, 1), "{method}");
        if method != Method::HEAD {
            assert_eq!(kept(method.clone(), body::full("hello")).await, (true, 0), "{method}");
            assert_eq!(kept(method.clone(), chunked()).await, (true, 0), "{method}");
        }
    }
    for method in [Method::POST, Method::PUT, Method::PATCH] {
        assert_eq!(kept(method.clone(), body::full("hello")).await, (false, 1), "{method}");
        assert_eq!(kept(method.clone(), chunked()).await, (false, 1), "{method}");
    }
}

#[tokio::test]
async fn a_body_of_unknown_length_is_sent_whole_whatever_version_the_last_answer_came_in() {
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        let (address, _) = upstream(move |mut stream, _| async move {
            while let Some(head) = read_head(&mut stream).await {
                let mut read = Vec::new();
                while head.starts_with("POST ") && head.contains("chunked") && !read.ends_with(b"0\r\n\r\n") {
                    read.push(stream.read_u8().await.unwrap());
                }
                let answer = format!("{version} 200 OK\r\nConnection: keep-alive\r\nContent-Length: {}\r\n\r\n", read.len());
                stream.write_all(&[answer.as_bytes(), &read].concat()).await.unwrap();
            }
        })
        .await;
        let bench = Bench::new(&[address]);
        assert_eq!(bench.get("/x").await.unwrap(), (200, String::new()));
        let (pieces, body) = piecemeal();
        tokio::spawn(async move { pieces.send(piece("hello")).await.unwrap() });
        let read = bench.forward(request(Method::POST, "/x", body)).await.unwrap().into_body().collect().await.unwrap().to_bytes();
        assert_eq!(read, "5\r\nhello\r\n0\r\n\r\n", "{version}");
    }
}

#[tokio::test]
async fn an_early_answer_passes_on_and_its_connection_is_not_kept() {
    let (address, _) = answering(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno").await;
    let bench = Bench::new(&[address]);
    let (pieces, body) = piecemeal();
    pieces.send(piece("begun")).await.unwrap();
    let response = bench.forward(request(Method::POST, "/x", body)).await.unwrap();
    assert_eq!(response.status(), 413);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "no");
    assert_eq!(bench.idle(), 0);
    settle().await;
    assert!(pieces.is_closed(), "the client's body is let go");
}

#[tokio::test]
async fn a_connection_that_answered_early_is_not_kept_although_both_bodies_end() {
    let (address, _) = upstream(|mut stream, _| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n").await.unwrap();
        let mut read = Vec::new();
        while !read.ends_with(b"0\r\n\r\n") {
            read.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(b"hi").await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let bench = Bench::new(&[address]);
    let (pieces, body) = piecemeal();
    let response = bench.forward(request(Method::POST, "/x", body)).await.unwrap();
    pieces.send(piece("whole")).await.unwrap();
    drop(pieces);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hi");
    assert_eq!((bench.end().outcome, bench.end().bytes_in), (ExchangeOutcome::Complete, 5));
    assert_eq!(bench.idle(), 0);
}

#[tokio::test]
async fn an_early_answer_arrives_although_the_upstream_stops_reading() {
    let (address, _) = upstream(|mut stream, _| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno").await.unwrap();
        stream.shutdown().await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let bench = Bench::new(&[address]);
    let response = bench.forward(request(Method::POST, "/x", body::full(vec![b'x'; 16_777_216]))).await.unwrap();
    assert_eq!(response.status(), 413);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "no");
    assert_eq!(bench.end().outcome, ExchangeOutcome::Complete);
}

#[tokio::test]
async fn a_body_that_the_client_breaks_off_is_the_clients_fault() {
    let bench = Bench::new(&[reading_to("never").await]);
    let (pieces, body) = piecemeal();
    pieces.send(Err("gone".into())).await.unwrap();
    let refusal = bench.forward(request(Method::POST, "/x", body)).await.unwrap_err();
    assert_eq!((refusal.status().as_u16(), refusal.reason()), (400, Reason::MalformedRequest));
    assert_eq!(bench.end().outcome, ExchangeOutcome::ClientLeft);
}

#[tokio::test]
async fn a_client_that_stops_sending_is_not_waited_for() {
    let bench = Bench::new(&[reading_to("never").await]);
    let (pieces, body) = piecemeal();
    pieces.send(piece("begun")).await.unwrap();
    tokio::time::pause();
    let refusal = bench.forward(request(Method::POST, "/x", body)).await.unwrap_err();
    assert_eq!((refusal.status().as_u16(), refusal.reason()), (408, Reason::BodyTooSlow));
    assert_eq!(bench.end().bytes_in, 5);
    assert_eq!(bench.end().outcome, ExchangeOutcome::ClientLeft);
}

/// A route that bounds pauses alone.
fn at_any_rate(address: SocketAddr) -> Bench {
    Bench::with(vec![at(Scheme::Http, &address.ip().to_string(), address.port())], |way| way.limits.body_rate_min = 0)
}

/// Sends `size` bytes every `pause`, `times` times, and returns the status or refusal.
async fn dripping(bench: &Bench, size: usize, pause: Duration, times: u32) -> Result<u16, Reason> {
    let (pieces, body) = piecemeal();
    tokio::spawn(async move {
        for _ in 0..times {
            tokio::time::sleep(pause).await;
            if pieces.send(Ok(Frame::data(vec![b'x'; size].into()))).await.is_err() {
                return;
            }
        }
    });
    let answered = bench.forward(request(Method::POST, "/x", body)).await;
    answered.map(|response| response.status().as_u16()).map_err(|refusal| refusal.reason())
}

#[tokio::test]
async fn a_body_that_trickles_is_given_up_and_a_slow_one_is_not() {
    let address = reading_to("0\r\n\r\n").await;
    tokio::time::pause();
    let ten = Duration::from_secs(10);
    assert_eq!(dripping(&Bench::new(&[address]), 1, ten, 20).await, Err(Reason::BodyTooSlow));
    assert_eq!(dripping(&Bench::new(&[address]), 900, ten, 200).await, Err(Reason::BodyTooSlow), "below the rate");
    assert_eq!(dripping(&Bench::new(&[address]), 1_000, ten, 200).await, Ok(200), "at the rate");
    assert_eq!(dripping(&at_any_rate(address), 1, ten, 20).await, Ok(200), "without a bound");
    // What came fast before does not pay for a trickle after it.
    let (pieces, body) = piecemeal();
    tokio::spawn(async move {
        let _ = pieces.send(Ok(Frame::data(vec![b'x'; 10_000_000].into()))).await;
        while pieces.send(piece("x")).await.is_ok() {
            tokio::time::sleep(ten).await;
        }
    });
    let refusal = Bench::new(&[address]).forward(request(Method::POST, "/x", body)).await.unwrap_err();
    assert_eq!(refusal.reason(), Reason::BodyTooSlow);
}

#[tokio::test]
async fn a_body_over_the_routes_bound_is_refused_announced_or_not() {
    let address = reading_to("0\r\n\r\n").await;
    let at_most = |bytes| {
        Bench::with(vec![at(Scheme::Http, &address.ip().to_string(), address.port())], move |way| way.limits.body_bytes_max = Some(bytes))
    };
    let refusal = at_most(4).forward(request(Method::POST, "/x", body::full("hello"))).await.unwrap_err();
    assert_eq!((refusal.status().as_u16(), refusal.reason()), (413, Reason::BodyTooLarge));
    tokio::time::pause();
    assert_eq!(dripping(&at_most(99), 10, Duration::from_millis(1), 10).await, Err(Reason::BodyTooLarge));
    assert_eq!(dripping(&at_most(100), 10, Duration::from_millis(1), 10).await, Ok(200));
}

async fn silent() -> SocketAddr {
    let serve = |mut stream: TcpStream, _| async move {
        read_head(&mut stream).await;
        std::future::pending::<()>().await;
    };
    upstream(serve).await.0
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_is_not_waited_for() {
    let bench = Bench::new(&[silent().await]);
    tokio::time::pause();
    let refusal = bench.get("/x").await.unwrap_err();
    assert!(matches!(refusal, Refusal::Failure(Failure::UpstreamTimedOut(_))), "{refusal:?}");
    assert_eq!(bench.end().outcome, ExchangeOutcome::UpstreamFailed);
}

#[tokio::test]
async fn a_long_upload_does_not_use_up_the_time_for_the_answer() {
    let bench = at_any_rate(reading_to("0\r\n\r\n").await);
    let (pieces, body) = piecemeal();
    tokio::time::pause();
    tokio::spawn(async move {
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_secs(50)).await;
            pieces.send(piece("more")).await.unwrap();
        }
    });
    let response = bench.forward(request(Method::POST, "/x", body)).await.unwrap();
    assert_eq!(response.status(), 200);
}

async fn half_answer() -> SocketAddr {
    let serve = |mut stream: TcpStream, _| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await.unwrap();
        std::future::pending::<()>().await;
    };
    upstream(serve).await.0
}

#[tokio::test]
async fn an_answer_that_stops_ends_with_an_error() {
    let bench = Bench::new(&[half_answer().await]);
    let response = bench.forward(get("/x")).await.unwrap();
    tokio::time::pause();
    assert!(response.into_body().collect().await.is_err());
    let end = bench.end();
    assert_eq!((end.outcome, end.bytes_out, end.status), (ExchangeOutcome::UpstreamFailed, 4, Some(200)));
}

#[tokio::test]
async fn the_end_of_a_session_cuts_a_body() {
    let bench = Bench::new(&[half_answer().await]);
    let response = bench.forward(get("/x")).await.unwrap();
    let reading = tokio::spawn(response.into_body().collect());
    settle().await;
    bench.cut.cancel();
    assert!(reading.await.unwrap().is_err());
    assert_eq!(bench.end().outcome, ExchangeOutcome::Cut);
    assert_eq!(bench.idle(), 0);
}

#[tokio::test]
async fn the_end_of_a_session_cuts_the_wait_for_an_answer() {
    let bench = Bench::new(&[silent().await]);
    let (refusal, ()) = tokio::join!(bench.get("/x"), async {
        settle().await;
        bench.cut.cancel();
    });
    assert_eq!(refusal.unwrap_err().reason(), Reason::NoSession);
    assert_eq!(bench.end().outcome, ExchangeOutcome::Cut);
}

#[tokio::test]
async fn a_client_that_hangs_up_while_it_waits_is_reported() {
    let bench = Bench::new(&[silent().await]);
    {
        let mut waiting = std::pin::pin!(bench.get("/x"));
        assert!(tokio::time::timeout(Duration::from_millis(50), &mut waiting).await.is_err());
    }
    assert_eq!((bench.end().outcome, bench.end().status), (ExchangeOutcome::ClientLeft, None));
}

#[tokio::test]
async fn a_whole_exchange_is_reported_with_its_bytes() {
    let (address, _) = upstream(|mut stream, _| async move {
        read_head(&mut stream).await;
        let mut sent = [0; 5];
        stream.read_exact(&mut sent).await.unwrap();
        stream.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nyes").await.unwrap();
    })
    .await;
    let bench = Bench::new(&[address]);
    bench.forward(request(Method::PUT, "/x", body::full("hello"))).await.unwrap().into_body().collect().await.unwrap();
    let end = bench.end();
    assert_eq!((end.status, end.bytes_in, end.bytes_out, end.outcome), (Some(201), 5, 3, ExchangeOutcome::Complete));
    assert_eq!(end.upstream, Some(format!("http://{address}")));
}
