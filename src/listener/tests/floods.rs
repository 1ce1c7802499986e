//! HTTP/2 clients that send what costs work and moves nothing, frame by frame over the wire (H2D-01 to H2D-06).

use super::*;

const HTTP2: Offer<'static> = Offer { alpn: &[b"h2"], ..HTTP1 };
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A field without indexing.
fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let length = |text: &[u8]| u8::try_from(text.len()).unwrap();
    [&[0x00, length(name)], name, &[length(value)], value].concat()
}

/// GET of a path at app.test.
fn get(path: &str) -> Vec<u8> {
    [&[0x82, 0x87][..], &literal(b":path", path.as_bytes()), &literal(b":authority", b"app.test")].concat()
}

fn headers(stream: u32, path: &str, flags: u8) -> Vec<u8> {
    frame(HEADERS, flags, stream, &get(path))
}

/// A connection that has said hello, with a stand that answers whatever comes.
async fn open(settings_payload: &[u8]) -> (Stand, TlsStream<TcpStream>) {
    open_with(settings(), settings_payload).await
}

async fn open_with(settings: Settings, settings_payload: &[u8]) -> (Stand, TlsStream<TcpStream>) {
    let mut stand = start_with(settings, Profile::Modern);
    let (_, nothing) = channel(1);
    let mut met = std::mem::replace(&mut stand.met, nothing);
    tokio::spawn(async move { while met.recv().await.is_some() {} });
    let mut client = stand.shake(TcpStream::connect(stand.address).await.unwrap(), HTTP2).await.unwrap();
    client.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, settings_payload)].concat()).await.unwrap();
    (stand, client)
}

/// Sends what `make` makes, again and again, until the listener ends the connection; far fewer frames than are offered are taken.
async fn flooded(what: &str, make: impl Fn(u32) -> Vec<u8>) {
    let (stand, client) = open(&[]).await;
    let (mut reader, mut writer) = tokio::io::split(client);
    let reading = tokio::spawn(async move {
        let mut sink = [0; 16_384];
        while let Ok(1..) = reader.read(&mut sink).await {}
    });
    let flood = async {
        for round in 0..ROUNDS {
            if writer.write_all(&make(round)).await.is_err() {
                return round;
            }
        }
        ROUNDS
    };
    let rounds = tokio::time::timeout(PATIENCE, flood).await.unwrap_or_else(|_| panic!("{what}: neither taken nor ended"));
    assert!(rounds < ROUNDS, "{what}: all of it was taken");
    drop(writer);
    tokio::time::timeout(PATIENCE, reading).await.expect("the connection stayed open").unwrap();
    // Others are served.
    let mut other = stand.connect().await;
    other.write_all(b"GET /a HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n").await.unwrap();
    assert_eq!(statuses(&read_to_end(&mut other).await), ["200"], "{what}");
}

const ROUNDS: u32 = 100_000;

/// The odd number of a client's stream.
const fn stream(round: u32) -> u32 {
    round * 2 + 1
}

#[tokio::test]
async fn requests_that_are_reset_at_once_end_the_connection() {
    flooded("rapid reset", |round| {
        [headers(stream(round), "/a", END_STREAM | END_HEADERS), frame(RST_STREAM, 0, stream(round), &8_u32.to_be_bytes())].concat()
    })
    .await;
    flooded("rapid reset of requests with bodies", |round| {
        [headers(stream(round), "/held", END_HEADERS), frame(RST_STREAM, 0, stream(round), &8_u32.to_be_bytes())].concat()
    })
    .await;
}

#[tokio::test]
async fn requests_that_the_listener_is_made_to_reset_end_the_connection() {
    let opened = |round| headers(stream(round), "/held", END_HEADERS);
    flooded("a window that grows by nothing", |round| {
        [opened(round), frame(WINDOW_UPDATE, 0, stream(round), &0_u32.to_be_bytes())].concat()
    })
    .await;
    flooded("a window that grows too far", |round| {
        [opened(round), frame(WINDOW_UPDATE, 0, stream(round), &0x7fff_ffff_u32.to_be_bytes())].concat()
    })
    .await;
    flooded("data on a stream that was ended", |round| {
        [headers(stream(round), "/held", END_STREAM | END_HEADERS), frame(DATA, 0, stream(round), b"x")].concat()
    })
    .await;
    flooded("a body longer than it was said to be", |round| {
        let block = [get("/held"), literal(b"content-length", b"1")].concat();
        [frame(HEADERS, END_HEADERS, stream(round), &block), frame(DATA, END_STREAM, stream(round), b"xx")].concat()
    })
    .await;
    flooded("more streams than there may be", |round| headers(stream(round), "/held", END_STREAM | END_HEADERS)).await;
    flooded("a stream that depends on itself", |round| {
        let own = stream(round);
        [opened(round), frame(PRIORITY, 0, own, &[&own.to_be_bytes()[..], &[1]].concat())].concat()
    })
    .await;
}

#[tokio::test]
async fn frames_that_move_nothing_end_the_connection() {
    flooded("PING", |_| frame(PING, 0, 0, &[0; 8])).await;
    flooded("SETTINGS", |_| frame(SETTINGS, 0, 0, &[])).await;
    flooded("SETTINGS with many entries", |_| frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff].repeat(2_000))).await;
    flooded("acknowledgements of no SETTINGS", |_| frame(SETTINGS, 1, 0, &[])).await;
    flooded("PRIORITY", |_| frame(PRIORITY, 0, 1_001, &[0, 0, 0, 0, 1])).await;
    flooded("WINDOW_UPDATE by one", |_| frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes())).await;
    flooded("RST_STREAM of streams that are not there", |_| frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes())).await;
    flooded("frames nobody knows", |_| frame(0xfa, 0, 0, &[0; 16])).await;
    flooded("PUSH_PROMISE", |_| frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])).await;
    flooded("empty DATA", |round| match round {
        0 => headers(1, "/held", END_HEADERS),
        _ => frame(DATA, 0, 1, &[]),
    })
    .await;
    flooded("GOAWAY and more", |_| frame(GOAWAY, 0, 0, &[0; 8])).await;
}

#[tokio::test]
async fn a_head_that_does_not_end_ends_the_connection() {
    for (what, part) in [("empty", Vec::new()), ("one byte", vec![0x82]), ("fields", literal(b"a", b"b").repeat(100))] {
        flooded(&format!("CONTINUATION, {what}"), |round| match round {
            0 => headers(1, "/a", 0),
            _ => frame(CONTINUATION, 0, 1, &part),
        })
        .await;
    }
}

/// A frame as it came: kind, flags, stream, payload.
async fn next(client: &mut TlsStream<TcpStream>) -> Option<(u8, u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    tokio::time::timeout(PATIENCE, client.read_exact(&mut head)).await.expect("no frame came").ok()?;
    let mut payload = vec![0; usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])];
    client.read_exact(&mut payload).await.ok()?;
    Some((head[3], head[4], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload))
}

#[tokio::test]
async fn a_head_that_grows_when_it_is_unpacked_is_refused() {
    // One field of 4,000 bytes goes into the table and is then named again and again, one byte each.
    let value = vec![b'x'; 3_900];
    let into_table = [&[0x40, 0x01, b'a', 0x7f][..], &[0xbd, 0x1d], &value].concat();
    for (what, block) in [
        ("by reference", [get("/a"), into_table.clone(), vec![0xbe; 10_000]].concat()),
        ("crumbs of a cookie", [get("/a"), vec![0xa0; 10_000]].concat()),
    ] {
        let (_stand, mut client) = open(&[]).await;
        let mut bytes = frame(HEADERS, END_STREAM, 1, &block[..10_000.min(block.len())]);
        bytes.extend(frame(CONTINUATION, END_HEADERS, 1, &block[10_000.min(block.len())..]));
        client.write_all(&bytes).await.unwrap();
        loop {
            match next(&mut client).await {
                // The stream, or the whole connection, is refused; it is not answered as if it were good.
                None | Some((RST_STREAM | GOAWAY, ..)) => break,
                Some((HEADERS, _, 1, head)) => {
                    assert_ne!(head.first(), Some(&0x88), "{what}");
                    break;
                }
                Some(_) => {}
            }
        }
    }
}

#[tokio::test]
async fn one_stream_that_takes_nothing_is_given_up_and_the_others_go_on() {
    let deadlines = Deadlines { write: Duration::from_millis(200), ..Deadlines::default() };
    // INITIAL_WINDOW_SIZE 0: nothing of an answer may be sent until a stream's window is opened.
    let (_stand, mut client) = open_with(Settings { deadlines, ..settings() }, &[0, 4, 0, 0, 0, 0]).await;
    let asked = [headers(1, "/endless", END_STREAM | END_HEADERS), headers(3, "/endless", END_STREAM | END_HEADERS)].concat();
    client.write_all(&asked).await.unwrap();
    client.write_all(&frame(WINDOW_UPDATE, 0, 3, &16_384_u32.to_be_bytes())).await.unwrap();
    let mut given_up = false;
    loop {
        let (kind, _, stream, payload) = next(&mut client).await.expect("the connection ended");
        match (kind, stream) {
            (DATA, 3) if given_up => break,
            (DATA, 3) => {
                let taken = u32::try_from(payload.len()).unwrap().to_be_bytes();
                let windows = [frame(WINDOW_UPDATE, 0, 3, &taken), frame(WINDOW_UPDATE, 0, 0, &taken)].concat();
                client.write_all(&windows).await.unwrap();
            }
            (DATA, 1) => panic!("more was sent than the window lets"),
            (RST_STREAM, 1) => {
                given_up = true;
                // The one that takes what it asked for goes on.
                client.write_all(&frame(WINDOW_UPDATE, 0, 3, &16_384_u32.to_be_bytes())).await.unwrap();
                client.write_all(&frame(WINDOW_UPDATE, 0, 0, &16_384_u32.to_be_bytes())).await.unwrap();
            }
            (GOAWAY | RST_STREAM, _) => panic!("frame {kind} for stream {stream}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn of_many_streams_that_take_nothing_some_are_given_up_soon() {
    let deadlines = Deadlines { write: 2 * PATIENCE, ..Deadlines::default() };
    let bounds = Bounds { streams: 400, ..Bounds::default() };
    let (_stand, mut client) = open_with(Settings { deadlines, bounds, ..settings() }, &[0, 4, 0, 0, 0, 0]).await;
    let asked: Vec<u8> = (0..400).flat_map(|number| headers(stream(number), "/endless", END_STREAM | END_HEADERS)).collect();
    client.write_all(&asked).await.unwrap();
    loop {
        match next(&mut client).await.expect("the connection ended") {
            (RST_STREAM, ..) => break,
            (GOAWAY | DATA, ..) => panic!("more than single streams were given up"),
            _ => {}
        }
    }
}

#[test]
fn patience_is_whole_for_a_few_and_short_for_a_crowd() {
    let flow = Arc::new(super::super::flow::Flow::new());
    let mut waiting = Vec::new();
    let mut patience = |count: usize| {
        while waiting.len() < count {
            let mut one = super::super::flow::Watched::new(Arc::clone(&flow));
            one.handed_on(1);
            waiting.push(one);
        }
        flow.patience(Duration::from_secs(60))
    };
    assert_eq!(patience(1), Duration::from_secs(60));
    assert_eq!(patience(16), Duration::from_secs(60));
    assert_eq!(patience(32), Duration::from_secs(30));
    assert_eq!(patience(100), Duration::from_millis(9_600));
    waiting.clear();
    assert_eq!(flow.patience(Duration::from_secs(60)), Duration::from_secs(60));
}

#[tokio::test]
async fn a_client_that_opens_windows_as_it_reads_is_no_flood() {
    let (_stand, mut client) = open(&[]).await;
    client.write_all(&headers(1, "/endless", END_STREAM | END_HEADERS)).await.unwrap();
    let mut taken = 0;
    // Two windows and a ping for each frame that came: five times what a flood is given.
    for _ in 0..5_000 {
        let (kind, _, _, payload) = next(&mut client).await.expect("the connection ended");
        if kind == DATA {
            taken += payload.len();
            let by = u32::try_from(payload.len()).unwrap().to_be_bytes();
            let frames = [frame(WINDOW_UPDATE, 0, 1, &by), frame(WINDOW_UPDATE, 0, 0, &by), frame(PING, 0, 0, &[0; 8])].concat();
            client.write_all(&frames).await.unwrap();
        }
    }
    assert!(taken > 1_000_000, "{taken}");
}
