//! Sections 3 to 5: the beginning, frames as such, the states of streams.

use super::*;

#[tokio::test]
async fn a_connection_begins_with_its_preface_or_ends() {
    let world = World::with(Setup { provider: Kind::Absent, ..Setup::default() }).await;
    for preface in
        [&b"INVALID CONNECTION PREFACE\r\n\r\n"[..], b"GET / HTTP/1.1\r\nHost: pub.test\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX"]
    {
        let mut client = Client::open(&world, preface).await;
        loop {
            match client.next().await.unwrap_or_else(|_| panic!("neither answered nor ended: {preface:?}")) {
                Some(one) if one.kind == GOAWAY => assert_eq!(code(&one), PROTOCOL_ERROR),
                Some(one) => assert_eq!(one.kind, SETTINGS, "an answer to what is no HTTP/2"),
                None => break,
            }
        }
    }
    // The first frame of a client is SETTINGS; GOAWAY may be left out for who speaks no HTTP/2 (§3.4).
    for first in [get(1), frame(SETTINGS, ACK, 0, &[]), frame(PING, 0, 0, &[0; 8]), frame(0x16, 0, 0, &[])] {
        let mut client = Client::open(&world, &[PREFACE, &first, &get(3)].concat()).await;
        while let Some(one) = client.next().await.expect("neither answered nor ended") {
            assert!(matches!(one.kind, SETTINGS | GOAWAY), "a frame of kind {}", one.kind);
        }
    }
}

#[tokio::test]
async fn frames_are_what_section_4_says() {
    judge(vec![
        ("4.1", "a frame of a kind nobody knows", vec![(frame(0x16, 0, 0, &[0; 8]), Alive), (get(1), Serve(1))]),
        ("4.1", "flags nobody knows", vec![(frame(PING, 0x16, 0, &[7; 8]), Alive)]),
        ("4.1", "the reserved bit", vec![(frame(PING, 0, 0x8000_0000, &[7; 8]), Alive)]),
        ("4.2", "DATA of the greatest length", vec![([post(1), data(1, END_STREAM, &[b'x'; 16_384])].concat(), Serve(1))]),
        ("4.2", "DATA that is too long", vec![([post(1), data(1, END_STREAM, &[b'x'; 16_385])].concat(), Reset(1, SIZE))]),
        ("4.2", "HEADERS that are too long", vec![(too_long(1), End(SIZE))]),
        ("4.2", "SETTINGS that are too long", vec![(settings(&[(0x77, 0); 2_731]), End(SIZE))]),
        ("4.3", "a block that is none", vec![(frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\x40"), End(PACKING))]),
        ("4.3", "PRIORITY within a block", vec![([open_block(1), priority(1, 0, 255)].concat(), End(&[PROTOCOL_ERROR]))]),
        ("4.3", "HEADERS of another stream within a block", vec![([open_block(1), get(3)].concat(), End(&[PROTOCOL_ERROR]))]),
        ("5.4.1", "a connection error says GOAWAY and ends it", vec![(frame(PING, 0, 0, &[0; 7]), End(SIZE))]),
        ("5.5", "an extension within a block", vec![([open_block(1), frame(0x16, 0, 0, &[0; 8])].concat(), End(&[PROTOCOL_ERROR]))]),
        ("5.5", "an extension on a stream", vec![([post(1), frame(0x16, 0, 1, &[0; 8]), data(1, END_STREAM, b"x")].concat(), Serve(1))]),
    ])
    .await;
}

/// The beginning of a block that does not end with its frame.
fn open_block(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM, stream, &block(&GET))
}

fn too_long(stream: u32) -> Vec<u8> {
    let more = literal("x", &"y".repeat(120)).repeat(140);
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &[block(&GET), more].concat())
}

#[tokio::test]
async fn streams_go_through_their_states() {
    let rest = || frame(CONTINUATION, END_HEADERS, 1, &literal("x", "y"));
    judge(vec![
        ("5.1", "idle: DATA", vec![(data(1, END_STREAM, b"x"), End(&[PROTOCOL_ERROR]))]),
        ("5.1", "idle: RST_STREAM", vec![(reset(1, CANCEL), End(&[PROTOCOL_ERROR]))]),
        ("5.1", "idle: WINDOW_UPDATE", vec![(window(1, 100), End(&[PROTOCOL_ERROR]))]),
        ("5.1", "idle: CONTINUATION", vec![(rest(), End(&[PROTOCOL_ERROR]))]),
        ("5.1", "idle: PRIORITY", vec![([priority(1, 0, 9), get(1)].concat(), Serve(1))]),
        ("5.1", "half-closed (remote): DATA", vec![([get(1), data(1, END_STREAM, b"x")].concat(), Reset(1, CLOSED))]),
        ("5.1", "half-closed (remote): HEADERS", vec![([get(1), get(1)].concat(), Reset(1, CLOSED))]),
        ("5.1", "half-closed (remote): CONTINUATION", vec![([get(1), rest()].concat(), Reset(1, &[STREAM_CLOSED, PROTOCOL_ERROR]))]),
        ("5.1", "half-closed (remote): WINDOW_UPDATE", vec![([get(1), window(1, 9)].concat(), Serve(1))]),
        ("5.1", "half-closed (remote): PRIORITY", vec![([get(1), priority(1, 0, 9)].concat(), Serve(1))]),
        ("5.1", "half-closed (remote): RST_STREAM", vec![([get(1), reset(1, CANCEL)].concat(), Alive)]),
        // A reset stream may have been reset before the other side knew: silence would do for DATA, which counts for the connection's window.
        (
            "5.1",
            "closed by RST_STREAM: DATA",
            vec![([post(1), reset(1, CANCEL), data(1, END_STREAM, b"x")].concat(), Reset(1, &[STREAM_CLOSED]))],
        ),
        ("5.1", "closed by RST_STREAM: HEADERS", vec![([post(1), reset(1, CANCEL), get(1)].concat(), Reset(1, CLOSED))]),
        (
            "5.1",
            "closed by RST_STREAM: CONTINUATION",
            vec![([post(1), reset(1, CANCEL), rest()].concat(), Reset(1, &[STREAM_CLOSED, PROTOCOL_ERROR]))],
        ),
        ("5.1", "closed: DATA", vec![(get(1), Serve(1)), (data(1, END_STREAM, b"x"), Reset(1, &[STREAM_CLOSED]))]),
        ("5.1", "closed: HEADERS", vec![(get(1), Serve(1)), (get(1), Reset(1, &[STREAM_CLOSED, PROTOCOL_ERROR]))]),
        ("5.1", "closed: CONTINUATION", vec![(get(1), Serve(1)), (rest(), End(&[STREAM_CLOSED, PROTOCOL_ERROR]))]),
        ("5.1", "closed: PRIORITY", vec![(get(1), Serve(1)), (priority(1, 0, 9), Alive), (get(3), Serve(3))]),
        ("5.1", "closed: WINDOW_UPDATE", vec![(get(1), Serve(1)), (window(1, 9), Alive), (get(3), Serve(3))]),
        ("5.1", "closed: RST_STREAM", vec![(get(1), Serve(1)), (reset(1, CANCEL), Alive), (get(3), Serve(3))]),
        ("5.1.1", "an even stream", vec![(get(2), End(&[PROTOCOL_ERROR]))]),
        ("5.1.1", "a smaller number than before", vec![(get(5), Serve(5)), (get(3), End(&[PROTOCOL_ERROR]))]),
        ("5.1.2", "more streams than are allowed", vec![(too_many(), Reset(201, &[PROTOCOL_ERROR, REFUSED_STREAM]))]),
        // RFC 9113 took priorities away (§5.3); what they said may still be refused, or not be looked at.
        ("5.3.1", "PRIORITY on itself", vec![([post(1), priority(1, 1, 9)].concat(), Reset(1, &[PROTOCOL_ERROR]))]),
        ("5.3.1", "HEADERS that depend on themselves", vec![(depending(1, 1), Reset(1, &[PROTOCOL_ERROR]))]),
        ("5.3.1", "a dependency on a stream that is not there, exclusively", vec![(depending(1, 0x8000_0063), Serve(1))]),
    ])
    .await;
}

fn too_many() -> Vec<u8> {
    (0..=100).flat_map(|number| post(number * 2 + 1)).collect()
}

fn depending(stream: u32, on: u32) -> Vec<u8> {
    let head = [&on.to_be_bytes()[..], &[9], &block(&GET)].concat();
    frame(HEADERS, END_STREAM | END_HEADERS | PRIORITIZED, stream, &head)
}
