//! HTTP/2.

use ::http::Version;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::TokioExecutor;
use kernel::request::framing::FramingFault;

use super::*;

const HTTP2: Offer<'static> = Offer { alpn: &[b"h2"], ..HTTP1 };

async fn connect(stand: &Stand) -> (SendRequest<Body>, tokio::task::JoinHandle<hyper::Result<()>>) {
    let stream = stand.shake(TcpStream::connect(stand.address).await.unwrap(), HTTP2).await.unwrap();
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    (sender, tokio::spawn(connection))
}

fn get(path: &str) -> Request<Body> {
    Request::get(format!("https://app.test{path}")).body(body::empty()).unwrap()
}

#[tokio::test]
async fn http_2_is_served_where_it_was_agreed_on() {
    let mut stand = start();
    let (mut client, _connection) = connect(&stand).await;
    let answer = client.send_request(get("/a?b")).await.unwrap();
    assert_eq!((answer.status(), answer.version()), (StatusCode::OK, Version::HTTP_2));
    let met = stand.next().await;
    assert_eq!((met.facts.connection.protocol, met.facts.raw_target, met.facts.fault), (Protocol::Http2, None, None));
}

#[tokio::test]
async fn each_field_counts_and_each_crumb_of_a_cookie() {
    let mut stand = start();
    let (mut client, _connection) = connect(&stand).await;
    let mut request = get("/a");
    for number in 0..101 {
        request.headers_mut().append("cookie", format!("a{number}=b").parse().unwrap());
    }
    assert_eq!(client.send_request(request).await.unwrap().status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert_eq!(stand.next().await.facts.fault, Some(FramingFault::TooManyFields));
}

#[tokio::test]
async fn a_panic_is_500_for_that_stream_alone() {
    let stand = start();
    let (mut client, _connection) = connect(&stand).await;
    assert_eq!(client.send_request(get("/panic")).await.unwrap().status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(client.send_request(get("/a")).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn streams_that_no_request_was_sent_on_end_the_connection() {
    let deadlines = Deadlines { head: Duration::from_millis(50), drain: Duration::from_millis(50), ..Deadlines::default() };
    let stand = start_with(Settings { deadlines, ..settings() }, Profile::Modern);
    let (_client, connection) = connect(&stand).await;
    let _ = tokio::time::timeout(PATIENCE, connection).await.expect("the connection stayed open");
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let deadlines = Deadlines { idle: Duration::from_millis(50), drain: Duration::from_millis(50), ..Deadlines::default() };
    let stand = start_with(Settings { deadlines, ..settings() }, Profile::Modern);
    let (mut client, connection) = connect(&stand).await;
    let answer = client.send_request(get("/a")).await.unwrap();
    drop(answer);
    let _ = tokio::time::timeout(PATIENCE, connection).await.expect("the connection stayed open");
}

#[tokio::test]
async fn shutting_down_answers_open_streams() {
    let mut stand = start();
    let (mut client, connection) = connect(&stand).await;
    let answer = tokio::spawn(client.send_request(get("/held")));
    assert!(stand.next().await.target.ends_with("/held"));
    stand.shutdown.cancel();
    stand.release.notify_one();
    assert_eq!(answer.await.unwrap().unwrap().status(), StatusCode::OK);
    let _ = tokio::time::timeout(PATIENCE, connection).await.expect("the connection stayed open");
    stand.assert_nothing_more().await;
}

#[tokio::test]
async fn what_is_left_at_the_end_of_draining_is_cut() {
    let deadlines = Deadlines { drain: Duration::from_millis(50), ..Deadlines::default() };
    let mut stand = start_with(Settings { deadlines, ..settings() }, Profile::Modern);
    let (mut client, _connection) = connect(&stand).await;
    let answer = tokio::spawn(client.send_request(get("/held")));
    assert!(stand.next().await.target.ends_with("/held"));
    stand.shutdown.cancel();
    assert!(tokio::time::timeout(PATIENCE, answer).await.expect("the stream stayed open").unwrap().is_err());
    stand.assert_nothing_more().await;
}
