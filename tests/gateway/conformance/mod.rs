//! HTTP/2 as RFC 9113 and 7541 demand it of a server, frame by frame against a whole gateway over TLS.
//!
//! Each case is a line of a table: what it sends, and what must come back. The tables hold every requirement that the public conformance
//! program for HTTP/2 servers is known to check, by the same sections, and those that RFC 9113 added. A stream error may be answered
//! with a connection error (§5.4.2), and never with silence.

mod fields;
mod frames;
mod hpack;
mod states;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::{Kind, Setup, World, tls};

/// What must come back.
#[derive(Clone, Copy, Debug)]
enum Expect {
    /// GOAWAY with one of these codes, and the end of the connection.
    End(&'static [u32]),
    /// RST_STREAM of this stream with one of these codes, while the connection goes on; or GOAWAY with one of them.
    Reset(u32, &'static [u32]),
    /// The request is malformed: its stream is reset, or answered 4xx. [`NEVER`] as path shows that it reaches nobody.
    Refuse,
    /// An answer 200 on this stream, to its end.
    Serve(u32),
    /// So many bytes of the answer's body on this stream, and no more.
    Body(u32, usize),
    /// An acknowledgement of settings.
    Settled,
    /// The connection goes on.
    Alive,
    /// The connection goes on, or ends without an error.
    AliveOrEnd,
    /// Nothing is looked at: the next step tells.
    Next,
}

use Expect::{Alive, AliveOrEnd, Body, End, Next, Refuse, Reset, Serve, Settled};

/// What is sent, and what must come back for it.
type Step = (Vec<u8>, Expect);

/// By section of the standard.
type Case = (&'static str, &'static str, Vec<Step>);

/// A connection that said hello and was greeted.
struct Client {
    stream: TlsStream<TcpStream>,
    pings: u8,
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Client {
    async fn open(world: &World, preface: &[u8]) -> Self {
        let stream = tls(Ipv4Addr::LOCALHOST, world.address(), "pub.test", &world.authority, b"h2").await;
        let mut client = Self { stream, pings: 0 };
        client.send(preface).await;
        client
    }

    /// What is cut off by the end of the connection is no fault of the client's.
    async fn send(&mut self, bytes: &[u8]) {
        let _ended = self.stream.write_all(bytes).await;
        let _ended = self.stream.flush().await;
    }

    /// The next frame; none at the end of the connection.
    async fn next(&mut self) -> Result<Option<Frame>, String> {
        let read = async {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.ok()?;
            let mut payload = vec![0; usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])];
            self.stream.read_exact(&mut payload).await.ok()?;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            Some(Frame { kind: head[3], flags: head[4], stream, payload })
        };
        tokio::time::timeout(PATIENCE, read).await.map_err(|_| "nothing came".to_owned())
    }

    /// What came until a ping came back; the connection must be alive.
    async fn settle(&mut self) -> Result<Vec<Frame>, String> {
        self.pings += 1;
        let mark = [self.pings; 8];
        self.send(&frame(PING, 0, 0, &mark)).await;
        let mut came = Vec::new();
        loop {
            match self.next().await? {
                Some(one) if one.kind == PING && one.flags == ACK && one.payload == mark => return Ok(came),
                Some(one) if one.kind == GOAWAY => return Err(format!("GOAWAY with {}", code(&one))),
                Some(one) => came.push(one),
                None => return Err("the connection ended".to_owned()),
            }
        }
    }

    async fn ended(&mut self) -> Result<(), String> {
        while self.next().await.map_err(|_| "the connection stayed open after GOAWAY")?.is_some() {}
        Ok(())
    }

    async fn expect(&mut self, expect: Expect) -> Result<(), String> {
        match expect {
            Next => Ok(()),
            Alive => self.settle().await.map(|_| ()),
            AliveOrEnd => match self.settle().await {
                Err(why) if why != "nothing came" && (!why.starts_with("GOAWAY") || why == "GOAWAY with 0") => Ok(()),
                other => other.map(|_| ()),
            },
            Settled => {
                while let Some(one) = self.next().await? {
                    if one.kind == SETTINGS && one.flags == ACK {
                        return Ok(());
                    }
                }
                Err("the connection ended".to_owned())
            }
            End(codes) => loop {
                match self.next().await? {
                    Some(one) if one.kind == GOAWAY && codes.contains(&code(&one)) => return self.ended().await,
                    Some(one) if one.kind == GOAWAY => return Err(format!("GOAWAY with {}", code(&one))),
                    Some(_) => {}
                    None => return Err("it ended without GOAWAY".to_owned()),
                }
            },
            Reset(stream, codes) => self.reset(stream, codes).await,
            Refuse => self.refused().await,
            Serve(stream) => self.served(stream).await,
            Body(stream, length) => self.body(stream, length).await,
        }
    }

    async fn reset(&mut self, stream: u32, codes: &[u32]) -> Result<(), String> {
        loop {
            match self.next().await? {
                Some(one) if one.kind == RST_STREAM && one.stream == stream => {
                    let fits = codes.contains(&code(&one));
                    return if fits { self.settle().await.map(|_| ()) } else { Err(format!("RST_STREAM with {}", code(&one))) };
                }
                Some(one) if one.kind == GOAWAY && codes.contains(&code(&one)) => return self.ended().await,
                Some(one) if one.kind == GOAWAY => return Err(format!("GOAWAY with {}", code(&one))),
                Some(_) => {}
                None => return Err("it ended without a word".to_owned()),
            }
        }
    }

    async fn refused(&mut self) -> Result<(), String> {
        loop {
            match self.next().await? {
                Some(one) if one.kind == RST_STREAM && code(&one) == PROTOCOL_ERROR => return self.settle().await.map(|_| ()),
                Some(one) if one.kind == GOAWAY && code(&one) == PROTOCOL_ERROR => return self.ended().await,
                // 0x8c and 0x8d are the static 400 and 404; others of 4xx are spelled out.
                Some(one) if one.kind == HEADERS => {
                    let told = status(&one.payload);
                    return if told.starts_with('4') { self.settle().await.map(|_| ()) } else { Err(format!("answered {told}")) };
                }
                Some(one) if matches!(one.kind, RST_STREAM | GOAWAY) => return Err(format!("frame {} with {}", one.kind, code(&one))),
                Some(_) => {}
                None => return Err("it ended without a word".to_owned()),
            }
        }
    }

    async fn served(&mut self, stream: u32) -> Result<(), String> {
        let mut told = String::new();
        loop {
            match self.next().await? {
                Some(one) if one.stream == stream && matches!(one.kind, HEADERS | DATA) => {
                    if one.kind == HEADERS {
                        told = status(&one.payload);
                    }
                    if one.flags & END_STREAM != 0 {
                        return if told == "200" { Ok(()) } else { Err(format!("answered {told}")) };
                    }
                }
                Some(one) if matches!(one.kind, RST_STREAM | GOAWAY) => return Err(format!("frame {} with {}", one.kind, code(&one))),
                Some(_) => {}
                None => return Err("the connection ended".to_owned()),
            }
        }
    }

    async fn body(&mut self, stream: u32, length: usize) -> Result<(), String> {
        let mut taken = 0;
        let counted = |one: &Frame| if one.kind == DATA && one.stream == stream { one.payload.len() } else { 0 };
        while taken < length {
            taken += self.next().await?.as_ref().map(counted).ok_or("the connection ended")?;
        }
        taken += self.settle().await?.iter().map(counted).sum::<usize>();
        if taken == length { Ok(()) } else { Err(format!("{taken} bytes of body")) }
    }
}

/// The status of an answer, as the library writes it: by its place in the static table, or as a literal without Huffman's code.
fn status(block: &[u8]) -> String {
    // A change of the table's size may come first.
    let block = &block[block.iter().take_while(|byte| **byte & 0xe0 == 0x20).count()..];
    let known = ["200", "204", "206", "304", "400", "404", "500"];
    match block.first() {
        Some(index @ 0x88..=0x8e) => known[usize::from(index - 0x88)].to_owned(),
        // A name from the table, and three digits in Huffman's code, in which a 4 is 011010.
        Some(_) if block.get(1).is_some_and(|length| length >> 7 == 1) && block.get(2).is_some_and(|byte| byte >> 2 == 0b01_1010) => {
            "4xx".to_owned()
        }
        _ => format!("with {:02x?}", &block[..block.len().min(6)]),
    }
}

fn code(one: &Frame) -> u32 {
    let at = if one.kind == GOAWAY { 4 } else { 0 };
    u32::from_be_bytes(one.payload[at..at + 4].try_into().unwrap())
}

/// Runs a table, each case on a connection of its own; all that fail are told at once.
async fn judge(cases: Vec<Case>) {
    let world = World::with(Setup { provider: Kind::Absent, ..Setup::default() }).await;
    let mut running = tokio::task::JoinSet::new();
    for (section, what, steps) in cases {
        let world = Arc::clone(&world);
        running.spawn(async move { run(&world, steps).await.err().map(|(step, why)| format!("{section} {what}, step {step}: {why}")) });
    }
    let mut failed: Vec<_> = running.join_all().await.into_iter().flatten().collect();
    failed.sort();
    assert!(failed.is_empty(), "\n{}\n", failed.join("\n"));
    assert!(!world.upstream.text().contains(NEVER), "{}", world.upstream.text());
}

async fn run(world: &World, steps: Vec<Step>) -> Result<(), (usize, String)> {
    let mut client = Client::open(world, &[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await;
    match client.next().await {
        Ok(Some(one)) if one.kind == SETTINGS && one.flags == 0 && one.stream == 0 => {}
        _ => return Err((0, "the first frame is not SETTINGS".to_owned())),
    }
    client.expect(Settled).await.map_err(|why| (0, why))?;
    for (number, (bytes, expect)) in steps.into_iter().enumerate() {
        client.send(&bytes).await;
        client.expect(expect).await.map_err(|why| (number + 1, why))?;
    }
    Ok(())
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A field as a literal without indexing and without Huffman's code, so that anything can be written.
fn literal(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}

fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(name, value)).collect()
}

const GET: [(&str, &str); 4] = [(":method", "GET"), (":scheme", "https"), (":authority", "pub.test"), (":path", "/open/a")];
const POST: [(&str, &str); 4] = [(":method", "POST"), (":scheme", "https"), (":authority", "pub.test"), (":path", "/open/a")];

/// A whole request without a body.
fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(&GET))
}

/// A request whose body is still to come.
fn post(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &block(&POST))
}

fn data(stream: u32, flags: u8, bytes: &[u8]) -> Vec<u8> {
    frame(DATA, flags, stream, bytes)
}

fn setting(id: u16, value: u32) -> Vec<u8> {
    [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

fn settings(entries: &[(u16, u32)]) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &entries.iter().flat_map(|(id, value)| setting(*id, *value)).collect::<Vec<_>>())
}

fn window(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

fn priority(stream: u32, on: u32, weight: u8) -> Vec<u8> {
    frame(PRIORITY, 0, stream, &[&on.to_be_bytes()[..], &[weight]].concat())
}

/// The path of requests that must reach nobody.
const NEVER: &str = "/open/never";

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const PATIENCE: Duration = Duration::from_secs(20);

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
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITIZED: u8 = 0x20;

const HEADER_TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;
const ENABLE_CONNECT: u16 = 8;

// Where the standard names a code for what cannot be read at all, the library says PROTOCOL_ERROR for most; and where a stream is used after its
// end, it ends the connection with that. The connection is over either way.
const SIZE: &[u32] = &[FRAME_SIZE_ERROR, PROTOCOL_ERROR];
const PACKING: &[u32] = &[COMPRESSION_ERROR, PROTOCOL_ERROR];
const WINDOW: &[u32] = &[FLOW_CONTROL_ERROR, PROTOCOL_ERROR];
const CLOSED: &[u32] = &[STREAM_CLOSED, PROTOCOL_ERROR];

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const COMPRESSION_ERROR: u32 = 9;
