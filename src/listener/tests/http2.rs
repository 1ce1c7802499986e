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
async fn an_answer_to_head_has_the_length_and_no_content() {
    for (method, path) in [("HEAD", "/four"), ("HEAD", "/endless"), ("GET", "/none")] {
        let stand = start();
        let mut client = stand.shake(TcpStream::connect(stand.address).await.unwrap(), HTTP2).await.unwrap();
        let head = [(":method", method), (":scheme", "https"), (":authority", "app.test"), (":path", path)];
        client
            .write_all(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, &[]), raw_request(1, &head)].concat())
            .await
            .unwrap();
        loop {
            let mut start = [0; 9];
            client.read_exact(&mut start).await.unwrap();
            let mut payload = vec![0; usize::from(start[0]) << 16 | usize::from(start[1]) << 8 | usize::from(start[2])];
            client.read_exact(&mut payload).await.unwrap();
            assert_ne!(start[3], 0, "{path}: DATA");
            if start[3] == HEADERS {
                assert_eq!(start[4] & 0x1, 0x1, "{path}: the stream does not end with its head");
                break;
            }
        }
    }
    let stand = start();
    let (mut client, _connection) = connect(&stand).await;
    let mut request = get("/four");
    *request.method_mut() = ::http::Method::HEAD;
    assert_eq!(client.send_request(request).await.unwrap().headers()["content-length"], "5");
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
async fn a_client_that_takes_nothing_of_an_answer_is_not_waited_for() {
    let short = Duration::from_millis(50);
    let deadlines = Deadlines { write: short, drain: short, ..Deadlines::default() };
    let stand = start_with(Settings { deadlines, ..settings() }, Profile::Modern);
    let (mut client, connection) = connect(&stand).await;
    let held = client.send_request(get("/endless")).await.unwrap();
    let _ = tokio::time::timeout(PATIENCE, connection).await.expect("the connection stayed open");
    drop(held);
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

/// A frame (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A whole request without a body, its fields as literals (RFC 7541 §6.2.2), so that anything can be written.
fn raw_request(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let block: Vec<u8> = fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect();
    frame(1, 0x5, stream, &block)
}

/// The targets that reach the handler of `fields` and then of a plain request; without the plain one, when the
/// connection was ended.
async fn reaching(fields: &[(&str, &str)]) -> Vec<String> {
    let mut stand = start();
    let mut client = stand.shake(TcpStream::connect(stand.address).await.unwrap(), HTTP2).await.unwrap();
    let good = [(":method", "GET"), (":scheme", "https"), (":authority", "app.test"), (":path", "/good")];
    let bytes = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, &[]), raw_request(1, fields), raw_request(3, &good)];
    client.write_all(&bytes.concat()).await.unwrap();
    let mut targets = Vec::new();
    let mut answers = Vec::new();
    loop {
        let mut part = [0; 4096];
        tokio::select! {
            met = stand.next() => {
                let done = met.target.ends_with("/good");
                targets.push(met.target);
                if done { return targets }
            }
            read = client.read(&mut part) => match read {
                Ok(0) | Err(_) => return targets,
                Ok(length) => answers.extend_from_slice(&part[..length]),
            },
        }
    }
}

#[tokio::test]
async fn malformed_requests_reach_nobody() {
    let plain = |path| vec![(":method", "GET"), (":scheme", "https"), (":authority", "app.test"), (":path", path)];
    let with = |name, value| [plain("/a"), vec![(name, value)]].concat();
    for fields in [
        plain(""),
        plain("/app admin"),
        plain("/app\r\nX: y"),
        plain("/\0"),
        with("x", "a\r\nb"),
        with("x", "a\nb"),
        with("x", "a\0b"),
        with("X", "a"),
        with("x y", "a"),
        with("x:", "a"),
        with("", "a"),
        with("transfer-encoding", "chunked"),
        with("connection", "close"),
        with("keep-alive", "1"),
        with("upgrade", "websocket"),
        with("proxy-connection", "close"),
        with("te", "gzip"),
        with("content-length", "5"),
        with(":path", "/b"),
        with(":method", "GET"),
        with(":unknown", "a"),
        vec![(":method", "GET / HTTP/1.1\r\nX: y"), (":scheme", "https"), (":authority", "app.test"), (":path", "/a")],
        vec![(":method", "GET"), (":scheme", "https"), (":path", "/a"), ("x", "a"), (":authority", "app.test")],
        vec![(":scheme", "https"), (":authority", "app.test"), (":path", "/a")],
        vec![(":method", "GET"), (":scheme", "https"), (":authority", "app.test")],
    ] {
        let targets = reaching(&fields).await;
        assert!(targets.iter().all(|target| target.ends_with("/good")), "{fields:?}: {targets:?}");
    }
}

#[tokio::test]
async fn a_path_is_handed_on_as_it_was_sent_or_not_at_all() {
    let reached = async |path| reaching(&[(":method", "GET"), (":scheme", "https"), (":authority", "app.test"), (":path", path)]).await;
    assert_eq!(reached("app/admin").await, ["https://app.test/good"]);
    assert_eq!(reached("http://app.test/a").await, ["https://app.test/good"]);
    assert_eq!(reached("*").await, ["https://app.test*", "https://app.test/good"]);
    assert_eq!(reached("//app.test/a").await, ["https://app.test//app.test/a", "https://app.test/good"]);
    // The frame parser cuts a fragment off before anybody can see it. What is judged, recorded and forwarded is the rest,
    // so that there is one reading still.
    assert_eq!(reached("/a#b").await, ["https://app.test/a", "https://app.test/good"]);
}

fn extended(path: &str, protocol: &'static str) -> Request<Body> {
    let mut request = Request::builder().method("CONNECT").uri(format!("https://app.test{path}")).body(body::empty()).unwrap();
    request.extensions_mut().insert(hyper::ext::Protocol::from_static(protocol));
    request.headers_mut().insert("sec-websocket-version", "13".parse().unwrap());
    request
}

#[tokio::test]
async fn a_stream_becomes_a_websocket_where_the_answer_says_so() {
    let mut stand = start();
    let (mut client, _connection) = connect(&stand).await;
    // The setting that allows it comes with the first answer at the latest.
    client.send_request(get("/a")).await.unwrap();
    stand.next().await;
    let answer = client.send_request(extended("/upgrade", "websocket")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let mut stream = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    stream.write_all(b"hello").await.unwrap();
    let mut echo = [0; 5];
    stream.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"hello");
    let met = stand.next().await;
    assert!(met.target.ends_with("/upgrade"), "{}", met.target);
}

#[tokio::test]
async fn a_connection_with_a_websocket_on_it_is_not_idle() {
    let idle = Duration::from_millis(50);
    let deadlines = Deadlines { idle, drain: idle, ..Deadlines::default() };
    let stand = start_with(Settings { deadlines, ..settings() }, Profile::Modern);
    let (mut client, _connection) = connect(&stand).await;
    client.send_request(get("/a")).await.unwrap();
    let answer = client.send_request(extended("/upgrade", "websocket")).await.unwrap();
    let mut stream = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    // Spoken on for longer than an idle connection lives, its draining included.
    let end = tokio::time::Instant::now() + 6 * idle;
    while tokio::time::Instant::now() < end {
        stream.write_all(b"x").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'x');
    }
}

#[tokio::test]
async fn an_answer_cannot_open_a_stream_that_is_no_websocket() {
    let stand = start();
    let (mut client, _connection) = connect(&stand).await;
    client.send_request(get("/a")).await.unwrap();
    for request in [extended("/a", "websocket"), extended("/open", "websocket"), extended("/a", "connect-udp")] {
        let answer = client.send_request(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}

#[tokio::test]
async fn shutting_down_says_goaway_and_lets_the_open_stream_end() {
    let mut stand = start();
    let mut client = stand.shake(TcpStream::connect(stand.address).await.unwrap(), HTTP2).await.unwrap();
    let held = [(":method", "GET"), (":scheme", "https"), (":authority", "app.test"), (":path", "/held")];
    let bytes = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, &[]), frame(4, 1, 0, &[]), raw_request(1, &held)];
    client.write_all(&bytes.concat()).await.unwrap();
    assert!(stand.next().await.target.ends_with("/held"));
    stand.shutdown.cancel();
    assert_eq!(next_of(&mut client, &[GOAWAY]).await, GOAWAY, "the stream is open still");
    stand.release.notify_one();
    assert_eq!(next_of(&mut client, &[HEADERS]).await, HEADERS, "it is answered");
}

#[tokio::test]
async fn whoever_was_let_in_as_the_listener_shuts_down_gets_an_answer() {
    let stand = start();
    let mut client = stand.connect().await;
    let (mut client2, _connection) = connect(&stand).await;
    stand.shutdown.cancel();
    client.write_all(b"GET /a HTTP/1.1\r\nHost: app.test\r\n\r\n").await.unwrap();
    let answer = read_to_end(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "{answer}");
    assert_eq!(client2.send_request(get("/a")).await.unwrap().status(), StatusCode::OK);
}

/// Reads frames until one of these kinds comes.
async fn next_of(client: &mut (impl tokio::io::AsyncRead + Unpin), kinds: &[u8]) -> u8 {
    let read = async {
        loop {
            let mut head = [0; 9];
            client.read_exact(&mut head).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            client.read_exact(&mut vec![0; length as usize]).await.unwrap();
            if kinds.contains(&head[3]) {
                return head[3];
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("no such frame came")
}

const HEADERS: u8 = 1;
const GOAWAY: u8 = 7;
