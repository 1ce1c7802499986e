//! Sections 6 and 7: each kind of frame, and the codes of errors.

use super::*;

#[tokio::test]
async fn data_and_headers_are_what_sections_6_1_and_6_2_say() {
    judge(vec![
        ("6.1", "one frame", vec![([post(1), data(1, END_STREAM, b"body")].concat(), Serve(1))]),
        ("6.1", "several", vec![([post(1), data(1, 0, b"bo"), data(1, 0, b"d"), data(1, END_STREAM, b"y")].concat(), Serve(1))]),
        ("6.1", "an empty one at the end", vec![([post(1), data(1, 0, b"body"), data(1, END_STREAM, b"")].concat(), Serve(1))]),
        ("6.1", "padded", vec![([post(1), data(1, END_STREAM | PADDED, b"\x05body\0\0\0\0\0")].concat(), Serve(1))]),
        ("6.1", "all padding", vec![([post(1), data(1, END_STREAM | PADDED, b"\x04\0\0\0\0")].concat(), Serve(1))]),
        ("6.1", "on the connection", vec![(data(0, END_STREAM, b"x"), End(&[PROTOCOL_ERROR]))]),
        ("6.1", "more padding than payload", vec![([post(1), data(1, END_STREAM | PADDED, b"\x06body")].concat(), End(&[PROTOCOL_ERROR]))]),
        (
            "6.1",
            "padding as long as the payload",
            vec![([post(1), data(1, END_STREAM | PADDED, b"\x05body")].concat(), End(&[PROTOCOL_ERROR]))],
        ),
        ("6.2", "padded", vec![(padded(6, 6), Serve(1))]),
        ("6.2", "with a priority", vec![(prioritized(), Serve(1))]),
        ("6.2", "on the connection", vec![(get(0), End(&[PROTOCOL_ERROR]))]),
        ("6.2", "more padding than payload", vec![(padded(255, 0), End(&[PROTOCOL_ERROR]))]),
        ("6.2", "another stream's within a block", vec![([begun(1), get(3)].concat(), End(&[PROTOCOL_ERROR]))]),
        ("6.2", "PRIORITY within a block", vec![([begun(1), priority(1, 0, 255)].concat(), End(&[PROTOCOL_ERROR]))]),
        ("6.2", "too short for its priority", vec![(frame(HEADERS, 0x25, 1, b"\0\0\0\0"), End(SIZE))]),
        ("6.2", "too short for its padding", vec![(frame(HEADERS, 0xd, 1, b""), End(SIZE))]),
    ])
    .await;
}

fn begun(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM, stream, &block(&GET))
}

fn padded(said: u8, really: usize) -> Vec<u8> {
    let payload = [vec![said], block(&GET), vec![0; really]].concat();
    frame(HEADERS, END_STREAM | END_HEADERS | PADDED, 1, &payload)
}

fn prioritized() -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS | PRIORITIZED, 1, &[&[0x80, 0, 0, 0, 255][..], &block(&GET)].concat())
}

#[tokio::test]
async fn small_frames_are_what_sections_6_3_to_6_8_say() {
    judge(vec![
        (
            "6.3",
            "PRIORITY of the least and the greatest weight",
            vec![([priority(1, 0, 0), priority(1, 0, 255), get(1)].concat(), Serve(1))],
        ),
        ("6.3", "PRIORITY on the connection", vec![(priority(0, 0, 9), End(&[PROTOCOL_ERROR]))]),
        ("6.3", "PRIORITY of four bytes", vec![([post(1), frame(PRIORITY, 0, 1, &[0; 4])].concat(), Reset(1, SIZE))]),
        ("6.4", "RST_STREAM", vec![([post(1), reset(1, CANCEL)].concat(), Alive), (get(3), Serve(3))]),
        ("6.4", "RST_STREAM on the connection", vec![(reset(0, CANCEL), End(&[PROTOCOL_ERROR]))]),
        ("6.4", "RST_STREAM of an idle stream", vec![(reset(1, CANCEL), End(&[PROTOCOL_ERROR]))]),
        ("6.4", "RST_STREAM of three bytes", vec![([post(1), frame(RST_STREAM, 0, 1, &[0; 3])].concat(), End(SIZE))]),
        ("6.5", "SETTINGS are acknowledged", vec![(settings(&[(3, 100)]), Settled)]),
        ("6.5", "an acknowledgement with a payload", vec![(frame(SETTINGS, ACK, 0, &setting(3, 1)), End(SIZE))]),
        ("6.5", "SETTINGS on a stream", vec![(frame(SETTINGS, 0, 1, &setting(3, 1)), End(&[PROTOCOL_ERROR]))]),
        ("6.5", "SETTINGS of three bytes", vec![(frame(SETTINGS, 0, 0, &[0, 3, 0]), End(SIZE))]),
        ("6.5.2", "ENABLE_PUSH is 0 or 1", vec![(settings(&[(ENABLE_PUSH, 2)]), End(&[PROTOCOL_ERROR]))]),
        ("6.5.2", "INITIAL_WINDOW_SIZE of 2^31", vec![(settings(&[(INITIAL_WINDOW_SIZE, 1 << 31)]), End(WINDOW))]),
        ("6.5.2", "MAX_FRAME_SIZE of 2^14 - 1", vec![(settings(&[(MAX_FRAME_SIZE, 16_383)]), End(&[PROTOCOL_ERROR]))]),
        ("6.5.2", "MAX_FRAME_SIZE of 2^24", vec![(settings(&[(MAX_FRAME_SIZE, 1 << 24)]), End(&[PROTOCOL_ERROR]))]),
        ("6.5.2", "a setting nobody knows", vec![(settings(&[(0xff, 1)]), Alive)]),
        ("8441 3", "ENABLE_CONNECT_PROTOCOL is 0 or 1", vec![(settings(&[(ENABLE_CONNECT, 2)]), End(&[PROTOCOL_ERROR]))]),
        ("6.5.3", "the last of several values counts", vec![([settings(&[(4, 100), (4, 1)]), get(1)].concat(), Body(1, 1))]),
        ("6.7", "PING on a stream", vec![(frame(PING, 0, 1, &[0; 8]), End(&[PROTOCOL_ERROR]))]),
        ("6.7", "PING of seven bytes", vec![(frame(PING, 0, 0, &[0; 7]), End(SIZE))]),
        ("6.7", "an acknowledgement of no PING is not answered", vec![(frame(PING, ACK, 0, &[1; 8]), Alive)]),
        ("6.8", "GOAWAY", vec![(frame(GOAWAY, 0, 0, &[0; 8]), AliveOrEnd)]),
        ("6.8", "GOAWAY lets what was asked be answered", vec![([get(1), frame(GOAWAY, 0, 0, &[0; 8])].concat(), Serve(1))]),
        ("6.8", "GOAWAY on a stream", vec![(frame(GOAWAY, 0, 1, &[0; 8]), End(&[PROTOCOL_ERROR]))]),
        ("7", "GOAWAY with a code nobody knows", vec![(frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0xff]), AliveOrEnd)]),
        ("7", "RST_STREAM with a code nobody knows", vec![([post(1), reset(1, 0xff)].concat(), Alive), (get(3), Serve(3))]),
        ("8.4", "PUSH_PROMISE of a client", vec![(frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]), End(&[PROTOCOL_ERROR]))]),
    ])
    .await;
}

#[tokio::test]
async fn windows_are_what_section_6_9_says() {
    let small = |size| settings(&[(INITIAL_WINDOW_SIZE, size)]);
    judge(vec![
        (
            "6.9",
            "on the connection and on a stream",
            vec![([window(0, 1), post(1), window(1, 1), data(1, END_STREAM, b"x")].concat(), Serve(1))],
        ),
        ("6.9", "by nothing, on the connection", vec![(window(0, 0), End(&[PROTOCOL_ERROR]))]),
        ("6.9", "by nothing, on a stream", vec![([post(1), window(1, 0)].concat(), Reset(1, &[PROTOCOL_ERROR]))]),
        ("6.9", "of three bytes", vec![(frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1]), End(SIZE))]),
        (
            "6.9.1",
            "no more is sent than the window lets",
            vec![([small(1), get(1)].concat(), Body(1, 1)), (window(1, 2), Body(1, 2)), (window(1, 9), Body(1, 5))],
        ),
        (
            "6.9.1",
            "2^31 on the connection",
            vec![([window(0, i32::MAX as u32), window(0, i32::MAX as u32)].concat(), End(&[FLOW_CONTROL_ERROR]))],
        ),
        ("6.9.1", "2^31 on a stream", vec![([post(1), window(1, i32::MAX as u32)].concat(), Reset(1, &[FLOW_CONTROL_ERROR]))]),
        (
            "6.9.2",
            "a window that grows by SETTINGS",
            vec![([small(0), get(1)].concat(), Body(1, 0)), (small(1), Body(1, 1)), (small(99), Body(1, 7))],
        ),
        // Three bytes were sent of a window of three, which then becomes one: two more open nothing, the third does.
        (
            "6.9.2",
            "a window below zero",
            vec![([small(3), get(1)].concat(), Body(1, 3)), (small(1), Next), (window(1, 2), Body(1, 0)), (window(1, 1), Body(1, 1))],
        ),
        (
            "6.9.2",
            "a window made too large by SETTINGS",
            vec![([small(0), get(1), window(1, 9)].concat(), Next), (small(i32::MAX as u32), End(&[FLOW_CONTROL_ERROR]))],
        ),
    ])
    .await;
}

#[tokio::test]
async fn continuations_are_what_section_6_10_says() {
    let whole = block(&GET);
    let cut = |parts: &[usize], last: u8| {
        let mut frames = frame(HEADERS, END_STREAM, 1, &whole[..parts[0]]);
        for (number, pair) in parts.windows(2).enumerate() {
            let flags = if number + 2 == parts.len() { last } else { 0 };
            frames.extend(frame(CONTINUATION, flags, 1, &whole[pair[0]..pair[1]]));
        }
        frames
    };
    let all = whole.len();
    let more = |stream| frame(CONTINUATION, END_HEADERS, stream, &literal("x", "y"));
    judge(vec![
        ("6.10", "one", vec![(cut(&[10, all], END_HEADERS), Serve(1))]),
        ("6.10", "several", vec![(cut(&[1, 2, 9, 9, 30, all], END_HEADERS), Serve(1))]),
        ("6.10", "an empty one at the end", vec![(cut(&[all, all], END_HEADERS), Serve(1))]),
        ("6.10", "DATA instead", vec![([cut(&[10, 20], 0), data(1, END_STREAM, b"x")].concat(), End(&[PROTOCOL_ERROR]))]),
        ("6.10", "on the connection", vec![([cut(&[10], 0), more(0)].concat(), End(&[PROTOCOL_ERROR]))]),
        ("6.10", "of another stream", vec![([cut(&[10], 0), more(3)].concat(), End(&[PROTOCOL_ERROR]))]),
        ("6.10", "after HEADERS that ended the block", vec![([post(1), more(1)].concat(), End(&[PROTOCOL_ERROR]))]),
        ("6.10", "after a CONTINUATION that ended it", vec![([cut(&[10, all], END_HEADERS), more(1)].concat(), End(&[PROTOCOL_ERROR]))]),
        ("6.10", "after DATA", vec![([post(1), data(1, 0, b"x"), more(1)].concat(), End(&[PROTOCOL_ERROR]))]),
    ])
    .await;
}
