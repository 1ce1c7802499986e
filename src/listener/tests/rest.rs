//! Connections whose parser was put away while nothing was asked on them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use kernel::request::framing::HeadBounds;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::bed::Bed;
use super::super::gate::{Gate, Woken};
use super::super::junction::Junction;
use super::*;

fn quick(deadlines: Deadlines) -> Stand {
    let deadlines = Deadlines { look: Duration::from_millis(5), ..deadlines };
    start_with(Settings { deadlines, ..settings() }, Profile::Modern)
}

/// A connection that has asked once and rests.
async fn at_rest(stand: &mut Stand) -> TlsStream<TcpStream> {
    let mut client = stand.connect().await;
    ask(stand, &mut client, "/first").await;
    stand.until_rested(1).await;
    client
}

async fn ask(stand: &mut Stand, client: &mut TlsStream<TcpStream>, path: &str) {
    client.write_all(format!("GET {path} HTTP/1.1\r\nHost: app.test\r\n\r\n").as_bytes()).await.unwrap();
    assert_eq!(statuses(&read_until(client, path).await), ["200"]);
    assert_eq!(stand.next().await.target, path);
}

#[tokio::test]
async fn a_connection_that_rests_answers_the_next_request_and_rests_again() {
    let mut stand = quick(Deadlines::default());
    let mut client = at_rest(&mut stand).await;
    for time in 2..10 {
        ask(&mut stand, &mut client, "/again").await;
        stand.until_rested(time).await;
    }
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_wakes_a_connection() {
    let mut stand = quick(Deadlines::default());
    let mut client = at_rest(&mut stand).await;
    for byte in b"POST /bytes HTTP/1.1\r\nHost: app.test\r\nContent-Length: 3\r\n\r\nabc" {
        client.write_all(&[*byte]).await.unwrap();
        client.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(statuses(&read_until(&mut client, "/bytes").await), ["200"]);
    let met = stand.next().await;
    assert_eq!((met.target.as_str(), met.body), ("/bytes", Ok(3)));
}

#[tokio::test]
async fn a_connection_does_not_rest_while_an_answer_is_awaited() {
    let mut stand = quick(Deadlines::default());
    let mut other = stand.connect().await;
    let mut client = stand.connect().await;
    client.write_all(b"GET /held HTTP/1.1\r\nHost: app.test\r\n\r\n").await.unwrap();
    assert_eq!(stand.next().await.target, "/held");
    // The other one is looked at as often meanwhile.
    for time in 1..5 {
        ask(&mut stand, &mut other, "/other").await;
        stand.until_rested(time).await;
    }
    assert_eq!(*stand.rested.borrow(), 4);
    stand.release.notify_one();
    assert_eq!(statuses(&read_until(&mut client, "/held").await), ["200"]);
    stand.until_rested(5).await;
}

#[tokio::test]
async fn a_body_that_is_awaited_keeps_a_connection_from_rest() {
    let mut stand = quick(Deadlines::default());
    let mut client = at_rest(&mut stand).await;
    let mut other = stand.connect().await;
    client.write_all(b"POST /body HTTP/1.1\r\nHost: app.test\r\nContent-Length: 4\r\n\r\nab").await.unwrap();
    for time in 2..5 {
        ask(&mut stand, &mut other, "/other").await;
        stand.until_rested(time).await;
    }
    client.write_all(b"cd").await.unwrap();
    assert_eq!(stand.next().await.body, Ok(4));
    assert_eq!(statuses(&read_until(&mut client, "/body").await), ["200"]);
}

#[tokio::test]
async fn a_head_that_was_begun_keeps_a_connection_from_rest() {
    let mut stand = quick(Deadlines::default());
    let mut client = at_rest(&mut stand).await;
    client.write_all(b"GET /two HTTP/1.1\r\nHo").await.unwrap();
    let mut other = stand.connect().await;
    for time in 2..5 {
        ask(&mut stand, &mut other, "/other").await;
        stand.until_rested(time).await;
    }
    client.write_all(b"st: app.test\r\n\r\n").await.unwrap();
    assert_eq!(statuses(&read_until(&mut client, "/two").await), ["200"]);
}

#[tokio::test]
async fn an_answer_that_its_client_has_not_taken_keeps_a_connection_from_rest() {
    let mut stand = quick(Deadlines::default());
    let mut client = stand.connect().await;
    client.write_all(b"GET /large HTTP/1.1\r\nHost: app.test\r\n\r\n").await.unwrap();
    assert_eq!(stand.next().await.target, "/large");
    let mut other = stand.connect().await;
    for time in 1..4 {
        ask(&mut stand, &mut other, "/other").await;
        stand.until_rested(time).await;
    }
    assert_eq!(statuses(&read_until(&mut client, "\r\n\r\n").await), ["200"]);
    let mut body = vec![0; LARGE_BYTES];
    tokio::time::timeout(PATIENCE, client.read_exact(&mut body)).await.expect("the answer stopped").unwrap();
    assert!(body.iter().all(|byte| *byte == b'x'));
}

#[tokio::test]
async fn a_fault_after_a_rest_is_answered_like_any_other() {
    let mut stand = quick(Deadlines::default());
    let mut client = at_rest(&mut stand).await;
    client.write_all(b"GET /a HTTP/1.1\nHost: app.test\r\n\r\n").await.unwrap();
    assert_eq!(statuses(&read_to_end(&mut client).await), ["400"]);
    assert_eq!(stand.next().await.facts.fault, Some(kernel::request::framing::FramingFault::BareLineFeed));
}

#[tokio::test]
async fn an_upgrade_after_a_rest_opens_the_connection() {
    let mut stand = quick(Deadlines::default());
    let mut client = at_rest(&mut stand).await;
    let asked = b"GET /upgrade HTTP/1.1\r\nHost: app.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    client.write_all(asked).await.unwrap();
    assert_eq!(statuses(&read_until(&mut client, "\r\n\r\n").await), ["101"]);
    client.write_all(b"GET / HTTP/1.1\n").await.unwrap();
    assert_eq!(read_until(&mut client, "\n").await, "GET / HTTP/1.1\n");
}

#[tokio::test]
async fn a_connection_at_rest_ends_when_its_client_leaves_or_its_time_is_up() {
    let mut stand = quick(Deadlines::default());
    let mut client = at_rest(&mut stand).await;
    client.shutdown().await.unwrap();
    assert_eq!(read_to_end(&mut client).await, "");
    stand.assert_nothing_more().await;

    let mut stand = quick(Deadlines { idle: Duration::from_millis(50), ..Deadlines::default() });
    let mut client = at_rest(&mut stand).await;
    assert_eq!(read_to_end(&mut client).await, "");
}

#[tokio::test]
async fn a_connection_at_rest_that_asks_while_the_listener_shuts_down_is_answered() {
    let mut stand = quick(Deadlines::default());
    let mut client = at_rest(&mut stand).await;
    stand.shutdown.cancel();
    client.write_all(b"GET /last HTTP/1.1\r\nHost: app.test\r\n\r\n").await.unwrap();
    let answer = read_to_end(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "{answer}");
    assert_eq!(stand.next().await.target, "/last");
    stand.assert_nothing_more().await;
}

/// Takes what is written, and passes it on when it may.
#[derive(Default)]
struct Stuck {
    may_flush: bool,
}

impl AsyncRead for Stuck {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Stuck {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.may_flush { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn what_tls_still_holds_of_an_answer_keeps_a_connection_from_rest() {
    for may_flush in [false, true] {
        let junction = Arc::new(Junction::default());
        let tasks = TaskTracker::new();
        let mut gate =
            Gate::new(Stuck { may_flush }, HeadBounds::default(), Deadlines::default(), Arc::clone(&junction), Bed::new(), tasks);
        let (cx, mut space) = (&mut Context::from_waker(Waker::noop()), [0; 64]);
        assert!(Pin::new(&mut gate).poll_write(cx, b"an answer").is_ready());
        assert_eq!(Pin::new(&mut gate).poll_flush(cx).is_ready(), may_flush);
        assert!(Pin::new(&mut gate).poll_read(cx, &mut ReadBuf::new(&mut space)).is_pending());
        assert_eq!(junction.has_rested(), may_flush);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_has_asked_may_rest_longer_than_a_head_may_take() {
    for asked in [false, true] {
        let junction = Arc::new(Junction::default());
        if asked {
            drop(junction.open_request());
        }
        let (_client, server) = tokio::io::duplex(64);
        let deadlines = Deadlines::default();
        let mut gate = Gate::new(server, HeadBounds::default(), deadlines, junction, Bed::new(), TaskTracker::new());
        let woken = tokio::time::timeout(2 * deadlines.head, gate.woken()).await.ok();
        assert_eq!(woken, if asked { None } else { Some(Woken::ByTheEnd) });
    }
}
