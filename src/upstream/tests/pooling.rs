//! Which connections are used again, and when a request is sent twice (SM-22, SM-23).

use super::*;
use kernel::Failure;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

async fn connections_for(answer: &'static [u8], requests: usize) -> usize {
    let (address, accepted) = answering(answer).await;
    let bench = Bench::new(&[address]);
    for _ in 0..requests {
        bench.get("/x").await.unwrap();
    }
    accepted.load(Ordering::SeqCst)
}

#[tokio::test]
async fn a_clean_connection_is_used_again() {
    assert_eq!(connections_for(OK, 5).await, 1);
    assert_eq!(connections_for(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 5).await, 1);
    assert_eq!(connections_for(b"HTTP/1.1 204 No Content\r\n\r\n", 5).await, 1);
}

#[tokio::test]
async fn a_connection_that_stands_for_a_person_is_not() {
    for answer in [
        &b"HTTP/1.1 401 Who\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n"[..],
        b"HTTP/1.1 401 Who\r\nWWW-Authenticate: negotiate abc=\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 401 Who\r\nWWW-Authenticate: Basic realm=\"a\", Negotiate\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 401 Who\r\nWWW-Authenticate: Basic realm=\"a\"\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ] {
        assert_eq!(connections_for(answer, 3).await, 3, "{}", String::from_utf8_lossy(answer));
    }
}

#[tokio::test]
async fn a_connection_that_a_person_signed_in_on_is_not() {
    let (address, accepted) = answering(OK).await;
    let bench = Bench::new(&[address]);
    for _ in 0..2 {
        let mut asked = get("/x");
        asked.headers_mut().insert("authorization", "NTLM abc".parse().unwrap());
        bench.forward(asked).await.unwrap().into_body().collect().await.unwrap();
    }
    assert_eq!(accepted.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_connection_whose_answer_was_not_read_is_closed() {
    let (address, _) = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi").await;
    let bench = Bench::new(&[address]);
    let response = bench.forward(get("/x")).await.unwrap();
    drop(response);
    assert_eq!(bench.idle(), 0);
    assert_eq!(bench.end().outcome, ExchangeOutcome::ClientLeft);
}

/// The first connection answers once and closes when the second request comes; every other connection answers.
async fn after_a_stale_connection(method: Method, body: Body) -> (Result<u16, Refusal>, usize, usize) {
    let requests = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&requests);
    let (address, accepted) = upstream(move |mut stream, number| {
        let seen = Arc::clone(&seen);
        async move {
            while let Some(_head) = read_head(&mut stream).await {
                let before = seen.fetch_add(1, Ordering::SeqCst);
                if number == 0 && before == 1 {
                    return;
                }
                stream.write_all(OK).await.unwrap();
            }
        }
    })
    .await;
    let bench = Bench::new(&[address]);
    bench.get("/x").await.unwrap();
    let answered = bench.forward(request(method, "/x", body)).await.map(|response| response.status().as_u16());
    (answered, accepted.load(Ordering::SeqCst), requests.load(Ordering::SeqCst))
}

#[tokio::test]
async fn a_safe_request_is_sent_again_when_a_pooled_connection_was_stale() {
    for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
        assert_eq!(after_a_stale_connection(method, body::empty()).await, (Ok(200), 2, 3));
    }
}

#[tokio::test]
async fn a_request_that_may_have_been_acted_upon_is_never_sent_again() {
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
        let (answered, connections, requests) = after_a_stale_connection(method, body::empty()).await;
        assert!(matches!(answered, Err(Refusal::Failure(Failure::UpstreamAnswer(_)))), "{answered:?}");
        assert_eq!((connections, requests), (1, 2));
    }
    let (answered, connections, _) = after_a_stale_connection(Method::GET, body::full("with a body")).await;
    assert!(answered.is_err());
    assert_eq!(connections, 1);
}

#[tokio::test]
async fn a_fresh_connection_that_breaks_is_not_tried_again() {
    let (address, accepted) = upstream(|mut stream, _| async move {
        read_head(&mut stream).await;
    })
    .await;
    assert_eq!(Bench::new(&[address]).get("/x").await.unwrap_err().status(), 502);
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
}

async fn nobody_listens() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn an_upstream_that_refuses_is_passed_over() {
    let (good, _) = answering(OK).await;
    let bench = Bench::new(&[nobody_listens().await, good]);
    for _ in 0..6 {
        assert_eq!(bench.get("/x").await.unwrap().0, 200);
    }
    let ejected = bench.ways.backends().filter(|backend| backend.condition.is_out()).count();
    assert_eq!(ejected, 1);
}

#[tokio::test]
async fn all_down_is_unreachable_and_is_tried_again_next_time() {
    let bench = Bench::new(&[nobody_listens().await, nobody_listens().await]);
    for _ in 0..2 {
        let refusal = bench.get("/x").await.unwrap_err();
        assert!(matches!(refusal, Refusal::Failure(Failure::UpstreamUnreachable { .. })), "{refusal:?}");
    }
    assert_eq!(bench.outcomes(), [ExchangeOutcome::UpstreamFailed; 2]);
}

#[tokio::test]
async fn the_less_busy_of_two_is_asked() {
    let (first, first_accepted) = upstream(|mut stream, _| async move {
        read_head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let (second, second_accepted) = answering(OK).await;
    let bench = Arc::new(Bench::new(&[first, second]));
    // The choice is random while both are idle, so that it takes a few requests until one is stuck with the first.
    let mut stuck = None;
    while first_accepted.load(Ordering::SeqCst) == 0 {
        let busy = Arc::clone(&bench);
        let asking = tokio::spawn(async move { busy.get("/x").await });
        while first_accepted.load(Ordering::SeqCst) == 0 && !asking.is_finished() {
            tokio::task::yield_now().await;
        }
        stuck = Some(asking);
    }
    for _ in 0..20 {
        assert_eq!(bench.get("/x").await.unwrap().0, 200);
    }
    assert_eq!((first_accepted.load(Ordering::SeqCst), second_accepted.load(Ordering::SeqCst)), (1, 1));
    stuck.unwrap().abort();
}

#[tokio::test]
async fn a_connection_that_waited_too_long_is_not_used() {
    let (address, accepted) = answering(OK).await;
    let bench = Bench::new(&[address]);
    bench.get("/x").await.unwrap();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
    bench.get("/x").await.unwrap();
    assert_eq!(accepted.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_connection_to_an_upstream_of_http_1_0_is_not_used_again() {
    // The library would speak HTTP/1.0 on it from then on, and there a body of unknown length would be left out without a word.
    let (address, accepted) = answering(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi").await;
    let bench = Bench::new(&[address]);
    for count in 1..4 {
        assert_eq!(bench.get("/x").await.unwrap(), (200, "hi".into()));
        assert_eq!((bench.idle(), accepted.load(Ordering::SeqCst)), (0, count));
    }
}
