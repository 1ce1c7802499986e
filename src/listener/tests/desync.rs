//! What ends where: bodies that their client takes back, answers that break off, and requests cut anywhere by a rest.

use kernel::request::framing::HeadBounds;

use super::*;

/// A frame (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The head of a POST whose body is still to come.
fn post(stream: u32, path: &str, kind: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let fields = [(":method", "POST"), (":scheme", "https"), (":authority", "app.test"), (":path", path), ("content-type", kind)];
    frame(1, 0x4, stream, &fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect::<Vec<_>>())
}

/// What the handler read of a body after these frames.
async fn read_of(frames: Vec<u8>) -> Result<usize, String> {
    let mut stand = start();
    let mut client = hello(&stand).await;
    client.write_all(&[post(1, "/body", "text/plain"), frames].concat()).await.unwrap();
    stand.next().await.body
}

/// A client over HTTP/2 that said hello.
async fn hello(stand: &Stand) -> TlsStream<TcpStream> {
    let mut client = stand.shake(TcpStream::connect(stand.address).await.unwrap(), Offer { alpn: &[b"h2"], ..HTTP1 }).await.unwrap();
    client.write_all(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, &[])].concat()).await.unwrap();
    client
}

#[tokio::test]
async fn a_body_that_stops_is_not_waited_for_over_http_2_either() {
    let deadlines = Deadlines { body_part: Duration::from_millis(50), ..Deadlines::default() };
    let mut stand = start_with(Settings { deadlines, ..settings() }, Profile::Modern);
    let mut client = hello(&stand).await;
    let parts = [post(1, "/call", "application/grpc"), frame(0, 0, 1, b"part"), post(3, "/body", "text/plain"), frame(0, 0, 3, b"part")];
    client.write_all(&parts.concat()).await.unwrap();
    let met = stand.next().await;
    assert!(met.target.ends_with("/body") && met.body.is_err(), "{met:?}");
    // A call of gRPC has its pauses, and this one began before.
    client.write_all(&frame(0, 1, 1, b"more")).await.unwrap();
    let met = stand.next().await;
    assert!(met.target.ends_with("/call") && met.body == Ok(8), "{met:?}");
}

#[tokio::test]
async fn a_body_that_its_client_takes_back_is_not_whole() {
    // NO_ERROR, INTERNAL_ERROR, CANCEL, and a code that nobody knows.
    for code in [0_u32, 2, 8, 99] {
        let reset = || frame(3, 0, 1, &code.to_be_bytes());
        for (what, frames) in [
            ("before its first byte", reset()),
            ("after a part", [frame(0, 0, 1, b"part"), reset()].concat()),
            ("after two parts", [frame(0, 0, 1, b"part"), frame(0, 0, 1, b"more"), reset()].concat()),
        ] {
            assert!(read_of(frames).await.is_err(), "reset with {code} {what}");
        }
    }
    assert_eq!(read_of([frame(0, 0, 1, b"part"), frame(0, 1, 1, b"")].concat()).await, Ok(4));
    assert_eq!(read_of([frame(0, 0, 1, b"part"), frame(1, 0x5, 1, &[])].concat()).await, Ok(4));
    assert_eq!(read_of(frame(0, 1, 1, b"")).await, Ok(0));
}

#[tokio::test]
async fn an_answer_that_breaks_off_does_not_end_as_if_it_were_whole() {
    let stand = start();
    for version in ["1.0", "1.1"] {
        let mut client = stand.connect().await;
        client.write_all(format!("GET /broken HTTP/{version}\r\nHost: app.test\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, client.read_to_end(&mut answer)).await.expect("the connection stayed open");
        let text = String::from_utf8(answer).unwrap();
        assert!(text.contains("half"), "{text}");
        // Without a length TLS alone says whether the end was meant (RFC 9112 §9.8); chunks say it themselves.
        let told = ended.is_err() || (text.contains("transfer-encoding: chunked") && !text.ends_with("0\r\n\r\n"));
        assert!(told, "HTTP/{version}: {ended:?} after {text}");
    }
}

/// Requests of all kinds behind each other, and what the handler is to meet of each.
const REQUESTS: [(&str, &str, usize); 5] = [
    ("GET /one HTTP/1.1\r\nHost: app.test\r\n\r\n", "/one", 0),
    ("POST /two HTTP/1.1\r\nHost: app.test\r\nContent-Length: 20\r\n\r\nGET /in HTTP/1.1\r\n\r\n", "/two", 20),
    (
        "POST /three HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nGET\r\n1\r\n \r\n0\r\nX: y\r\n\r\n",
        "/three",
        4,
    ),
    ("\r\nGET /four HTTP/1.1\r\nHost: app.test\r\nUpgrade: h2c\r\n\r\n", "/four", 0),
    ("GET /last HTTP/1.1\r\nHost: app.test\r\n\r\n", "/last", 0),
];

#[tokio::test]
async fn requests_are_the_same_wherever_they_are_cut_and_rested_between() {
    let bytes: String = REQUESTS.iter().map(|(bytes, ..)| *bytes).collect();
    let deadlines = Deadlines { look: Duration::from_millis(2), ..Deadlines::default() };
    let mut stand = start_with(Settings { deadlines, ..settings() }, Profile::Modern);
    for cut in 0..=bytes.len() {
        let mut client = stand.connect().await;
        client.write_all(&bytes.as_bytes()[..cut]).await.unwrap();
        client.flush().await.unwrap();
        let ends: Vec<usize> = REQUESTS
            .iter()
            .scan(0, |at, (bytes, ..)| {
                *at += bytes.len();
                Some(*at)
            })
            .collect();
        let whole = ends.iter().filter(|end| **end <= cut).count();
        let mut met = Vec::new();
        for _ in 0..whole {
            met.push(stand.next().await);
        }
        // Where nothing is begun, the parser is put away between the two parts.
        if cut == 0 || ends.contains(&cut) {
            let times = *stand.rested.borrow() + 1;
            stand.until_rested(times).await;
        }
        client.write_all(&bytes.as_bytes()[cut..]).await.unwrap();
        while met.len() < REQUESTS.len() {
            met.push(stand.next().await);
        }
        for (met, (_, path, length)) in met.iter().zip(REQUESTS) {
            assert_eq!((met.target.as_str(), &met.body, met.facts.raw_target.as_deref()), (path, &Ok(length), Some(path)), "cut at {cut}");
        }
        let answers = read_until(&mut client, "/last").await;
        assert_eq!(statuses(&answers), ["200"; 5], "cut at {cut}");
    }
}

/// Pieces from which connections are put together: whole requests, parts of them, and what breaks them.
const PIECES: [&str; 24] = [
    "GET /a HTTP/1.1\r\nHost: app.test\r\n\r\n",
    "GET /b HTTP/1.1\r\nHost: app.test\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\nConnection: upgrade, http2-settings\r\n\r\n",
    "GET /c HTTP/1.1\r\nHost: app.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "HEAD /d HTTP/1.1\r\nHost: app.test\r\nExpect: 100-continue\r\n\r\n",
    "POST /e HTTP/1.1\r\nHost: app.test\r\nContent-Length: 9\r\n\r\nGET /x HT",
    "POST /f HTTP/1.1\r\nHost: app.test\r\nContent-Length: 0\r\n\r\n",
    "POST /g HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n",
    "PUT /h HTTP/1.1\r\nHost: app.test\r\nExpect: 100-continue\r\nTransfer-Encoding: Chunked\r\n\r\n1;a=b\r\nG\r\n",
    "POST /i HTTP/1.1\r\nHost: app.test\r\nUpgrade: foo\r\nContent-Length: 4\r\n\r\nbody",
    "OPTIONS * HTTP/1.1\r\nHost: app.test\r\n\r\n",
    "GET https://app.test/j HTTP/1.1\r\nHost: app.test\r\n\r\n",
    "M!#$%&'*+-.^_`|~X /k?\"{}|\\^`<> HTTP/1.1\r\n!#$%&'*+-.^_`|~: \t\u{e9}\t \r\nHost:app.test\r\nX:\r\n\r\n",
    "GET /l HTTP/1.0\r\n\r\n",
    "CONNECT app.test:443 HTTP/1.1\r\nHost: app.test\r\n\r\n",
    "0\r\n\r\n",
    "0\r\nContent-Length: 5\r\nX: y\r\n\r\n",
    "a\r\n0123456789\r\n",
    "5\r\nGET /\r\n",
    "\r\n",
    "\n",
    "Content-Length: 5\r\n",
    "GET /m HTTP/1.1\r\n",
    "DELETE /n HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n",
    "G",
];

/// What the gatekeeper alone finds: the targets of the requests that end, and whether one is begun or broken behind them.
fn found(bytes: &[u8]) -> (Vec<String>, Vec<String>) {
    use kernel::request::framing::{Gatekeeper, Place, Step};
    let mut keeper = Gatekeeper::new(HeadBounds::default());
    let (mut rest, mut whole, mut begun) = (bytes, Vec::new(), None);
    loop {
        match keeper.advance(rest) {
            Step::Head { bytes, .. } => {
                let head = String::from_utf8_lossy(&rest[..bytes]).into_owned();
                let closes = head.contains("Connection: close");
                let target = head.trim_start().split(' ').nth(1).unwrap().to_owned();
                rest = &rest[bytes..];
                if keeper.place() == Place::Body {
                    begun = Some(target)
                } else {
                    whole.push(target)
                }
                if closes {
                    return (whole, begun.into_iter().collect());
                }
            }
            Step::Body { bytes } => {
                rest = &rest[bytes..];
                if keeper.place() != Place::Body {
                    whole.extend(begun.take());
                }
            }
            Step::Paused => keeper.resume_http(),
            Step::Fault(_) => {
                if begun.is_none() {
                    begun = Some("fault".to_owned());
                }
                return (whole, begun.into_iter().collect());
            }
            Step::NeedMore | Step::Ended | Step::Tunnel => return (whole, begun.into_iter().collect()),
        }
    }
}

#[tokio::test]
async fn the_parser_finds_what_the_gate_let_pass_and_nothing_else() {
    let deadlines = Deadlines { look: Duration::from_millis(1), ..Deadlines::default() };
    let mut stand = start_with(Settings { deadlines, ..settings() }, Profile::Modern);
    let mut state = 7_u64;
    let mut draw = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    for round in 0..ROUNDS {
        let text: String = (0..=draw(7)).map(|_| PIECES[draw(PIECES.len())]).collect();
        let bytes = text.as_bytes();
        let (whole, begun) = found(bytes);
        let mut client = stand.connect().await;
        let mut at = 0;
        while at < bytes.len() {
            let next = if round % 2 == 0 { bytes.len() } else { (at + 1 + draw(40)).min(bytes.len()) };
            if client.write_all(&bytes[at..next]).await.is_err() {
                break;
            }
            let _ = client.flush().await;
            tokio::task::yield_now().await;
            at = next;
        }
        let mut met = Vec::new();
        for _ in 0..whole.len() {
            let one = tokio::time::timeout(PATIENCE, stand.met.recv()).await;
            met.push(one.unwrap_or_else(|_| panic!("round {round}: {text:?}: {whole:?} of which came {met:?}")).unwrap());
        }
        for (one, target) in met.iter().zip(&whole) {
            assert_eq!(one.facts.raw_target.as_deref().unwrap().replace("\\", ""), target.replace("\\", ""), "round {round}: {text:?}");
            assert!(one.facts.fault.is_none() && one.body.is_ok(), "round {round}: {text:?} {one:?}");
        }
        let _ = client.shutdown().await;
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, client.read_to_end(&mut rest)).await.unwrap_or_else(|_| panic!("open: {text:?}"));
        drop(client);
        let mut more = Vec::new();
        while let Ok(one) = stand.met.try_recv() {
            more.push(one)
        }
        assert!(more.len() <= begun.len(), "round {round}: {text:?}: {begun:?} but {more:?}");
        for one in more {
            assert!(one.facts.fault.is_some() || one.body.is_err(), "round {round}: {text:?}: {one:?}");
        }
    }
}
/// Some two seconds.
const ROUNDS: usize = 300;
