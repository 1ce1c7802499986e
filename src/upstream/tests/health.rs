//! Which upstreams are asked: health checks, ejection, slow start, sockets on this machine.

use super::*;
use std::sync::atomic::AtomicBool;

use kernel::Failure;
use tokio::net::UnixListener;

use crate::upstream::HealthCheck;
use crate::upstream::condition::{Condition, FULL};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const BAD: &[u8] = b"HTTP/1.1 503 Sorry\r\nContent-Length: 0\r\n\r\n";

fn check() -> HealthCheck {
    HealthCheck {
        path: "/healthz?deep=1".into(),
        host: Some("app.internal".into()),
        interval: Duration::from_secs(10),
        timeout: Duration::from_secs(2),
        unhealthy_after: 3,
        healthy_after: 2,
    }
}

/// An upstream whose health page says what `well` says, and that counts questions and requests.
async fn moody(well: Arc<AtomicBool>) -> (SocketAddr, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let (checks, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (checked, requested) = (Arc::clone(&checks), Arc::clone(&requests));
    let (address, _) = upstream(move |mut stream, _| {
        let (well, checks, requests) = (Arc::clone(&well), Arc::clone(&checked), Arc::clone(&requested));
        async move {
            while let Some(head) = read_head(&mut stream).await {
                let mut answer = OK;
                if head.starts_with("GET /healthz?deep=1 HTTP/1.1\r\n") {
                    assert!(head.contains("host: app.internal\r\n") && !head.contains("portcullis-subject"), "{head}");
                    checks.fetch_add(1, Ordering::SeqCst);
                    answer = if well.load(Ordering::SeqCst) { OK } else { BAD };
                } else {
                    requests.fetch_add(1, Ordering::SeqCst);
                }
                stream.write_all(answer).await.unwrap();
            }
        }
    })
    .await;
    (address, checks, requests)
}

/// Lets time pass until `count` has grown by `more`.
async fn until_more(count: &AtomicUsize, more: usize) {
    let goal = count.load(Ordering::SeqCst) + more;
    while count.load(Ordering::SeqCst) < goal {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // What the last answer means is noted before the next question.
    tokio::time::sleep(Duration::from_secs(3)).await;
}

#[tokio::test]
async fn an_upstream_that_fails_its_checks_is_passed_over_until_it_passes_them() {
    let well = Arc::new(AtomicBool::new(true));
    let (sick, checks, sick_requests) = moody(Arc::clone(&well)).await;
    let (good, _, _) = moody(Arc::new(AtomicBool::new(true))).await;
    let upstreams = [sick, good].map(|address| at(Scheme::Http, &address.ip().to_string(), address.port()));
    let bench = Bench::with(upstreams.to_vec(), |way| way.health = Some(check()));
    tokio::time::pause();
    until_more(&checks, 1).await;
    well.store(false, Ordering::SeqCst);
    until_more(&checks, 3).await;
    for _ in 0..20 {
        assert_eq!(bench.get("/x").await.unwrap().0, 200);
    }
    assert_eq!(sick_requests.load(Ordering::SeqCst), 0);
    well.store(true, Ordering::SeqCst);
    until_more(&checks, 2).await;
    tokio::time::sleep(Duration::from_secs(31)).await;
    for _ in 0..40 {
        bench.get("/x").await.unwrap();
    }
    assert!(sick_requests.load(Ordering::SeqCst) > 0, "it is asked again");
}

#[tokio::test]
async fn when_all_are_sick_all_are_asked() {
    let well = Arc::new(AtomicBool::new(false));
    let (sick, checks, _) = moody(well).await;
    let bench = Bench::with(vec![at(Scheme::Http, &sick.ip().to_string(), sick.port())], |way| way.health = Some(check()));
    tokio::time::pause();
    until_more(&checks, 3).await;
    assert!(bench.ways.backends().all(|backend| backend.condition.is_out()));
    assert_eq!(bench.get("/x").await.unwrap().0, 200);
}

#[tokio::test]
async fn checks_end_with_the_configuration_that_asked_for_them() {
    let (address, checks, _) = moody(Arc::new(AtomicBool::new(true))).await;
    let mut bench = Bench::with(vec![at(Scheme::Http, &address.ip().to_string(), address.port())], |way| way.health = Some(check()));
    tokio::time::pause();
    until_more(&checks, 2).await;
    bench.ways = bench.upstreams.ways(vec![]);
    tokio::time::sleep(Duration::from_secs(15)).await;
    let before = checks.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(checks.load(Ordering::SeqCst), before);
}

#[tokio::test]
async fn what_a_new_configuration_reaches_in_the_same_way_keeps_its_connections() {
    let (address, accepted) = answering(OK).await;
    let mut bench = Bench::new(&[address]);
    let way = |protocol| crate::upstream::WaySettings {
        route: RouteId::new("app"),
        upstreams: bench.route.upstreams.clone(),
        protocol,
        assertion: crate::upstream::Vouch::EachRequest,
        tls: Tls::default(),
        limits: Limits { first_byte_timeout: Duration::from_secs(7), ..Limits::default() },
        health: None,
    };
    let (same, other) = (way(Protocol::Http1), way(Protocol::Auto));
    bench.get("/x").await.unwrap();
    bench.ways = bench.upstreams.ways(vec![same]);
    bench.get("/x").await.unwrap();
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
    bench.ways = bench.upstreams.ways(vec![other]);
    bench.get("/x").await.unwrap();
    assert_eq!(accepted.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn exchanges_that_fail_in_a_row_take_an_upstream_out_and_success_brings_it_back() {
    let (broken, _) = answering(b"SMTP\r\n\r\n").await;
    let bench = Bench::new(&[broken]);
    for _ in 0..4 {
        bench.get("/x").await.unwrap_err();
    }
    let is_out = || bench.ways.backends().all(|backend| backend.condition.is_out());
    assert!(!is_out());
    bench.get("/x").await.unwrap_err();
    assert!(is_out());
    bench.ways.backends().for_each(|backend| backend.condition.answered());
    assert!(!is_out());
}

#[tokio::test]
async fn an_ejection_grows_and_ends_and_a_share_grows_after_it() {
    tokio::time::pause();
    let condition = Condition::new();
    let (span, ramp) = (Duration::from_secs(5), Duration::from_secs(30));
    assert_eq!(condition.share(ramp), FULL);
    for expected in [5, 10, 20, 40, 60, 60, 60] {
        condition.unreachable(span);
        tokio::time::advance(Duration::from_secs(expected - 1)).await;
        assert!(condition.is_out(), "{expected}");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!condition.is_out(), "{expected}");
    }
    condition.answered();
    assert_eq!(condition.share(ramp), 10);
    tokio::time::advance(Duration::from_secs(15)).await;
    assert_eq!(condition.share(ramp), 50);
    tokio::time::advance(Duration::from_secs(15)).await;
    assert_eq!(condition.share(ramp), FULL);
    condition.unreachable(span);
    tokio::time::advance(Duration::from_secs(5)).await;
    assert!(!condition.is_out(), "after success the span begins anew");
}

#[tokio::test]
async fn a_socket_on_this_machine_is_an_upstream() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                while let Some(head) = read_head(&mut stream).await {
                    assert!(head.contains("host: app.test\r\n"), "{head}");
                    stream.write_all(OK).await.unwrap();
                }
            });
        }
    });
    let bench = Bench::with(vec![Upstream::Unix(path.to_str().unwrap().into())], |_| {});
    for _ in 0..2 {
        assert_eq!(bench.get("/x").await.unwrap(), (200, "hi".into()));
    }
    assert_eq!(bench.idle(), 1);
    let nowhere = Bench::with(vec![Upstream::Unix("/nonexistent/app.sock".into())], |_| {});
    assert!(matches!(nowhere.get("/x").await, Err(Refusal::Failure(Failure::UpstreamUnreachable { .. }))));
}
