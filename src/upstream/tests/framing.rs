//! Answers that are no HTTP, or that two programs could delimit in two ways (SM-18), and what is left over behind them.

use super::*;
use kernel::Failure;

async fn refused(answer: &'static [u8]) {
    let (address, _) = answering(answer).await;
    let bench = Bench::new(&[address]);
    let text = String::from_utf8_lossy(answer).into_owned();
    let refusal = bench.get("/x").await.map(|_| ()).expect_err(&text);
    assert!(matches!(refusal, Refusal::Failure(Failure::UpstreamAnswer(_))), "{text}: {refusal:?}");
    assert_eq!(refusal.status(), 502);
    assert_eq!(bench.idle(), 0, "{text}: the connection is not kept");
    assert_eq!(bench.end().outcome, ExchangeOutcome::UpstreamFailed, "{text}");
}

#[tokio::test]
async fn answers_with_two_readings_are_refused() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi!",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nhi",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        refused(answer).await;
    }
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    for answer in [
        &b"SSH-2.0-OpenSSH_9.9\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nX-A: b\r\n folded\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX A: b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A : b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: b\rc\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: empty\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 99 Low\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
    ] {
        refused(answer).await;
    }
}

#[tokio::test]
async fn a_flood_of_interim_answers_is_ended() {
    let (address, _) = upstream(|mut stream, _| async move {
        read_head(&mut stream).await;
        while stream.write_all(&b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(100)).await.is_ok() {}
    })
    .await;
    assert_flooded(&Bench::new(&[address]).get("/x").await.expect_err("a flood"));
}

#[track_caller]
pub fn assert_flooded(refusal: &Refusal) {
    assert_eq!(refusal.status(), 502);
    let Refusal::Failure(Failure::UpstreamAnswer(why)) = refusal else { panic!("{refusal:?}") };
    assert!(why.contains("more than 32 interim answers"), "{why}");
}

#[tokio::test]
async fn thirty_two_interim_answers_are_none_too_many_on_any_exchange_of_a_connection() {
    let interim = b"HTTP/1.1 102 Processing\r\n\r\n";
    let (address, _) = upstream(move |mut stream, _| async move {
        for count in [32, 32, 33] {
            read_head(&mut stream).await;
            let answer = [&interim.repeat(count)[..], b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"].concat();
            stream.write_all(&answer).await.unwrap();
        }
    })
    .await;
    let bench = Bench::new(&[address]);
    for _ in 0..2 {
        assert_eq!(bench.get("/x").await.unwrap(), (200, "hi".into()));
    }
    assert_flooded(&bench.get("/x").await.expect_err("one too many"));
    assert_eq!(bench.idle(), 0, "the connection is not kept");
}

#[tokio::test]
async fn interim_answers_are_not_the_answer() {
    let (address, _) =
        answering(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
    assert_eq!(Bench::new(&[address]).get("/x").await.unwrap(), (200, "hi".into()));
}

async fn leftovers_reach_nobody(answer: &'static [u8], method: Method) {
    let (address, accepted) = answering(answer).await;
    let bench = Bench::new(&[address]);
    for _ in 0..3 {
        let response = bench.forward(request(method.clone(), "/x", body::empty())).await.unwrap();
        assert_ne!(response.status(), 299, "an answer that was nobody's");
        let _ = response.into_body().collect().await;
        settle().await;
        assert_eq!(bench.idle_alive(), 0, "the connection is not used again");
    }
    assert_eq!(accepted.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn bytes_behind_an_answer_reach_no_other_client() {
    let smuggled = Method::GET;
    leftovers_reach_nobody(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 299 Next\r\nContent-Length: 0\r\n\r\n",
        smuggled.clone(),
    )
    .await;
    leftovers_reach_nobody(b"HTTP/1.1 304 Not Modified\r\n\r\nHTTP/1.1 299 Next\r\nContent-Length: 0\r\n\r\n", smuggled.clone()).await;
    leftovers_reach_nobody(b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", smuggled).await;
    leftovers_reach_nobody(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", Method::HEAD).await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_ends_with_an_error() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nhi\r\n",
    ] {
        let (address, _) = upstream(move |mut stream, _| async move {
            read_head(&mut stream).await;
            stream.write_all(answer).await.unwrap();
        })
        .await;
        let bench = Bench::new(&[address]);
        assert_eq!(bench.get("/x").await.unwrap().1, "broken");
        assert_eq!(bench.end().outcome, ExchangeOutcome::UpstreamFailed);
        assert_eq!(bench.idle(), 0);
    }
}

#[tokio::test]
async fn trailers_of_an_answer_end_at_the_gateway() {
    let (address, _) =
        answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-a\r\n\r\n2\r\nhi\r\n0\r\nx-a: b\r\n\r\n").await;
    let bench = Bench::new(&[address]);
    let response = bench.forward(get("/x")).await.unwrap();
    assert!(!response.headers().contains_key("trailer") && !response.headers().contains_key("transfer-encoding"));
    let whole = response.into_body().collect().await.unwrap();
    assert!(whole.trailers().is_none());
    assert_eq!(bench.idle(), 1, "a clean end is reused");
}
