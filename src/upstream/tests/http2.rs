//! HTTP/2 to upstreams: shared connections, streams that fail alone, gRPC and its trailers.

use super::*;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Version};
use http_body::Frame;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use kernel::Failure;
use kernel::policy::Reason;
use tokio::sync::mpsc;

use crate::web::body::BodyError;

/// A body whose frames the test sends.
struct Frames(mpsc::Receiver<Frame<Bytes>>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = BodyError;
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

fn frames() -> (mpsc::Sender<Frame<Bytes>>, Body) {
    let (sender, receiver) = mpsc::channel(16);
    (sender, Frames(receiver).boxed_unsync())
}

fn data(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

fn trailers(pairs: &[(&'static str, &'static str)]) -> Frame<Bytes> {
    Frame::trailers(pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect())
}

/// An upstream that speaks HTTP/2 alone and answers by `answer`.
async fn speaking<F, S>(answer: S) -> (SocketAddr, Arc<AtomicUsize>)
where
    S: Fn(Request<hyper::body::Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    upstream(move |stream, _| {
        let answer = answer.clone();
        async move {
            let service = service_fn(move |request| {
                let answered = answer(request);
                async move { Ok::<_, Infallible>(answered.await) }
            });
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        }
    })
    .await
}

fn bench(address: SocketAddr) -> Bench {
    Bench::with(vec![at(Scheme::Http, &address.ip().to_string(), address.port())], |way| way.protocol = Protocol::Http2)
}

fn grpc(path: &str, body: Body) -> Request<Body> {
    let mut asked = request(Method::POST, path, body);
    asked.headers_mut().insert("content-type", "application/grpc+proto".parse().unwrap());
    asked.headers_mut().insert("te", "trailers".parse().unwrap());
    asked
}

#[tokio::test]
async fn an_upstream_sees_the_judged_request_in_http_2() {
    let (address, _) = speaking(|asked| async move {
        assert_eq!(asked.version(), Version::HTTP_2);
        assert_eq!(asked.uri().authority().unwrap(), "app.test");
        for name in ["host", "connection", "te", "transfer-encoding", "upgrade", "keep-alive"] {
            assert!(!asked.headers().contains_key(name), "{name}");
        }
        assert_eq!(asked.headers()["x-portcullis-subject"], "https://idp.test#ana");
        Response::new(body::full(asked.uri().path_and_query().unwrap().to_string()))
    })
    .await;
    let bench = bench(address);
    let mut asked = get("/x?a=b");
    for (name, value) in [("te", "trailers"), ("keep-alive", "5"), ("x-portcullis-subject", "root"), ("connection", "keep-alive")] {
        asked.headers_mut().insert(name, value.parse().unwrap());
    }
    let response = bench.forward(asked).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "/x?a=b");
    assert_eq!(bench.end().outcome, ExchangeOutcome::Complete);
}

#[tokio::test]
async fn exchanges_at_one_time_share_one_connection() {
    let (release, _) = tokio::sync::broadcast::channel::<()>(1);
    let gate = release.clone();
    let arrived = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&arrived);
    let (address, accepted) = speaking(move |_| {
        let mut gate = gate.subscribe();
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            gate.recv().await.unwrap();
            Response::new(body::full("hi"))
        }
    })
    .await;
    let bench = Arc::new(bench(address));
    let asking: Vec<_> = (0..50)
        .map(|_| {
            let bench = Arc::clone(&bench);
            tokio::spawn(async move { bench.get("/x").await.unwrap() })
        })
        .collect();
    while arrived.load(Ordering::SeqCst) < 50 {
        tokio::task::yield_now().await;
    }
    release.send(()).unwrap();
    for asked in asking {
        assert_eq!(asked.await.unwrap(), (200, "hi".into()));
    }
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_client_that_leaves_costs_its_stream_alone() {
    let (address, accepted) = speaking(|asked| async move {
        if asked.uri().path() == "/never" {
            std::future::pending::<()>().await;
        }
        Response::new(body::full("hi"))
    })
    .await;
    let bench = bench(address);
    {
        let mut left = std::pin::pin!(bench.get("/never"));
        assert!(tokio::time::timeout(Duration::from_millis(50), &mut left).await.is_err());
    }
    assert_eq!(bench.get("/x").await.unwrap(), (200, "hi".into()));
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
    assert_eq!(bench.outcomes(), [ExchangeOutcome::ClientLeft, ExchangeOutcome::Complete]);
}

/// Answers with what it reads, piece by piece, and trailers at the end.
async fn echoing() -> SocketAddr {
    let answer = |asked: Request<hyper::body::Incoming>| async move {
        assert_eq!(asked.headers()["te"], "trailers");
        let (sender, body) = frames();
        let mut incoming = asked.into_body();
        tokio::spawn(async move {
            while let Some(Ok(frame)) = incoming.frame().await {
                let Ok(piece) = frame.into_data() else { continue };
                if sender.send(Frame::data(piece)).await.is_err() {
                    return;
                }
            }
            let _ = sender.send(trailers(&[("grpc-status", "0"), ("x-portcullis-subject", "root")])).await;
        });
        Response::builder().header("content-type", "application/grpc").body(body).unwrap()
    };
    speaking(answer).await.0
}

#[tokio::test]
async fn grpc_streams_both_ways_at_once_and_its_trailers_arrive() {
    let bench = bench(echoing().await);
    let (sender, body) = frames();
    let mut answer = bench.forward(grpc("/pkg.Svc/Chat", body)).await.unwrap().into_body();
    for text in ["one", "two", "three"] {
        sender.send(data(text)).await.unwrap();
        assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), text);
    }
    drop(sender);
    let last = answer.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(last["grpc-status"], "0");
    assert_eq!(last.len(), 1, "what a gateway states and what ends at a hop does not pass: {last:?}");
    drop(answer);
    assert_eq!((bench.end().outcome, bench.end().bytes_in, bench.end().bytes_out), (ExchangeOutcome::Complete, 11, 11));
}

#[tokio::test]
async fn an_answer_without_a_body_is_whole_with_its_head() {
    let (address, _) = speaking(|_| async {
        Response::builder().header("content-type", "application/grpc").header("grpc-status", "5").body(body::empty()).unwrap()
    })
    .await;
    let bench = bench(address);
    let answer = bench.forward(grpc("/pkg.Svc/Get", body::full("ask"))).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "5");
    assert!(http_body::Body::is_end_stream(answer.body()));
    drop(answer);
    assert_eq!(bench.end().outcome, ExchangeOutcome::Complete);
}

#[tokio::test]
async fn trailers_pass_for_grpc_alone_and_never_towards_the_upstream() {
    let (address, _) = speaking(|asked: Request<hyper::body::Incoming>| async move {
        let whole = asked.into_body().collect().await.unwrap();
        assert!(whole.trailers().is_none(), "{:?}", whole.trailers());
        let (sender, body) = frames();
        sender.send(data("hi")).await.unwrap();
        sender.send(trailers(&[("x-more", "1")])).await.unwrap();
        Response::new(body)
    })
    .await;
    let bench = bench(address);
    for kind in ["application/grpc-web", "application/grpcx", "text/plain", "application/json"] {
        let (sender, body) = frames();
        sender.send(data("ask")).await.unwrap();
        sender.send(trailers(&[("x-portcullis-subject", "root")])).await.unwrap();
        let mut asked = grpc("/pkg.Svc/Get", body);
        asked.headers_mut().insert("content-type", kind.parse().unwrap());
        let whole = bench.forward(asked).await.unwrap().into_body().collect().await.unwrap();
        assert!(whole.trailers().is_none(), "{kind}");
        assert_eq!(whole.to_bytes(), "hi");
    }
}

#[tokio::test]
async fn trailers_say_nothing_that_only_a_head_may_say() {
    let (address, _) = speaking(|_| async {
        let (sender, body) = frames();
        sender.send(data("hi")).await.unwrap();
        let said = [
            ("grpc-status", "0"),
            ("content-length", "9"),
            ("set-cookie", "a=1"),
            ("host", "evil.test"),
            ("cache-control", "public"),
            ("content-type", "text/html"),
            ("location", "https://evil.test"),
            ("strict-transport-security", "max-age=0"),
            ("x-more", "1"),
        ];
        sender.send(trailers(&said)).await.unwrap();
        Response::builder().header("content-type", "application/grpc").body(body).unwrap()
    })
    .await;
    let answer = bench(address).forward(grpc("/pkg.Svc/Get", body::full("ask"))).await.unwrap();
    let whole = answer.into_body().collect().await.unwrap();
    let names: Vec<_> = whole.trailers().unwrap().keys().map(http::HeaderName::as_str).collect();
    assert_eq!(names, ["grpc-status", "x-more"]);
}

#[tokio::test]
async fn an_upstream_that_ends_first_is_not_sent_the_rest() {
    let (address, _) = speaking(|_| async {
        Response::builder().header("content-type", "application/grpc").header("grpc-status", "8").body(body::empty()).unwrap()
    })
    .await;
    let bench = bench(address);
    let (sender, body) = frames();
    let answer = bench.forward(grpc("/pkg.Svc/Put", body)).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "8");
    drop(answer);
    sender.closed().await;
    assert_eq!(bench.get("/public/x").await.unwrap().0, 200);
}

#[tokio::test]
async fn the_end_of_a_session_cuts_a_stream_and_leaves_the_connection() {
    let (address, accepted) = speaking(|asked: Request<hyper::body::Incoming>| async move {
        if asked.uri().path() == "/public/x" {
            return Response::new(body::full("hi"));
        }
        let (sender, body) = frames();
        sender.send(data("begun")).await.unwrap();
        std::mem::forget(sender);
        Response::new(body)
    })
    .await;
    let bench = bench(address);
    let mut answer = bench.forward(get("/x")).await.unwrap().into_body();
    assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "begun");
    bench.cut.cancel();
    assert!(answer.frame().await.unwrap().is_err());
    drop(answer);
    assert_eq!(bench.end().outcome, ExchangeOutcome::Cut);
    let other = Bench { cut: CancellationToken::new(), ..bench };
    assert_eq!(other.get("/public/x").await.unwrap(), (200, "hi".into()));
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
}

/// An upstream on bare HTTP/2 that does with each stream what `act` says; the number counts streams over all connections.
async fn bare<F, S>(act: S) -> (SocketAddr, Arc<AtomicUsize>, Arc<AtomicUsize>)
where
    S: Fn(usize, h2::server::SendResponse<Bytes>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Then> + Send,
{
    let streams = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&streams);
    let (address, accepted) = upstream(move |stream, _| {
        let (act, count) = (act.clone(), Arc::clone(&count));
        async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((_, respond))) = connection.accept().await {
                match act(count.fetch_add(1, Ordering::SeqCst), respond).await {
                    Then::GoOn => {}
                    Then::GoAway => connection.graceful_shutdown(),
                    Then::Hang => return,
                }
            }
        }
    })
    .await;
    (address, accepted, streams)
}

enum Then {
    GoOn,
    GoAway,
    Hang,
}

fn answer_with(mut respond: h2::server::SendResponse<Bytes>) {
    respond.send_response(Response::new(()), true).unwrap();
}

async fn refused_first(method: Method, body: Body) -> (Result<u16, Refusal>, usize) {
    let (address, _, streams) = bare(|number, mut respond| async move {
        if number == 0 {
            respond.send_reset(h2::Reason::REFUSED_STREAM)
        } else {
            answer_with(respond)
        }
        Then::GoOn
    })
    .await;
    let bench = bench(address);
    let answered = bench.forward(request(method, "/x", body)).await.map(|response| response.status().as_u16());
    (answered, streams.load(Ordering::SeqCst))
}

#[tokio::test]
async fn a_stream_that_the_upstream_did_not_act_upon_is_sent_again_once_if_that_is_harmless() {
    for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
        assert_eq!(refused_first(method, body::empty()).await, (Ok(200), 2));
    }
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let (answered, streams) = refused_first(method, body::empty()).await;
        assert!(matches!(answered, Err(Refusal::Failure(Failure::UpstreamAnswer(_)))), "{answered:?}");
        assert_eq!(streams, 1);
    }
    assert_eq!(refused_first(Method::GET, body::full("with a body")).await.1, 1);
}

#[tokio::test]
async fn a_request_is_never_sent_three_times() {
    let (address, _, streams) = bare(|_, mut respond| async move {
        respond.send_reset(h2::Reason::REFUSED_STREAM);
        Then::GoOn
    })
    .await;
    assert_eq!(bench(address).get("/x").await.unwrap_err().status(), 502);
    assert_eq!(streams.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn another_reset_is_a_broken_answer_and_is_not_tried_again() {
    for reason in [h2::Reason::INTERNAL_ERROR, h2::Reason::CANCEL, h2::Reason::PROTOCOL_ERROR, h2::Reason::NO_ERROR] {
        let (address, _, streams) = bare(move |_, mut respond| async move {
            respond.send_reset(reason);
            Then::GoOn
        })
        .await;
        let refusal = bench(address).get("/x").await.unwrap_err();
        assert!(matches!(refusal, Refusal::Failure(Failure::UpstreamAnswer(_))), "{refusal:?}");
        assert_eq!(streams.load(Ordering::SeqCst), 1, "{reason}");
    }
}

#[tokio::test]
async fn after_goaway_the_next_request_takes_another_connection() {
    let (address, accepted, _) = bare(|number, respond| async move {
        answer_with(respond);
        if number == 0 { Then::GoAway } else { Then::GoOn }
    })
    .await;
    let bench = bench(address);
    for _ in 0..4 {
        assert_eq!(bench.get("/x").await.unwrap().0, 200);
        settle().await;
    }
    assert_eq!(accepted.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_connection_that_vanishes_is_replaced() {
    let (address, accepted, _) = bare(|number, respond| async move {
        if number == 1 {
            return Then::Hang;
        }
        answer_with(respond);
        Then::GoOn
    })
    .await;
    let bench = bench(address);
    assert_eq!(bench.get("/x").await.unwrap().0, 200);
    assert_eq!(bench.get("/x").await.unwrap_err().status(), 502);
    assert_eq!(bench.get("/x").await.unwrap().0, 200);
    assert_eq!(accepted.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_upstream_that_speaks_http_1_is_no_http_2() {
    let (address, _) = answering(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    let refusal = bench(address).get("/x").await.unwrap_err();
    assert_eq!(refusal.status(), 502);
}

#[tokio::test]
async fn connections_that_nobody_uses_are_closed() {
    let (address, _) = speaking(|_| async { Response::new(body::full("hi")) }).await;
    let bench = bench(address);
    bench.get("/x").await.unwrap();
    let open = || bench.ways.backends().map(|backend| backend.streams.open()).sum::<usize>();
    assert_eq!(open(), 1);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(60)).await;
    bench.ways.backends().for_each(|backend| backend.sweep());
    assert_eq!(open(), 0);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_and_costs_its_stream_alone() {
    let (address, accepted) = speaking(|asked: Request<hyper::body::Incoming>| async move {
        let mut response = Response::new(body::full("hi"));
        if asked.uri().path() == "/large" {
            let mut fields = HeaderMap::new();
            for _ in 0..300 {
                fields.append("x-large", "x".repeat(1_000).parse().unwrap());
            }
            *response.headers_mut() = fields;
        }
        response
    })
    .await;
    let bench = bench(address);
    let refusal = bench.get("/large").await.unwrap_err();
    assert_eq!((refusal.status().as_u16(), refusal.reason()), (502, Reason::UpstreamAnswerInvalid));
    assert_eq!(bench.get("/x").await.unwrap().0, 200);
    assert!(accepted.load(Ordering::SeqCst) <= 2);
}
