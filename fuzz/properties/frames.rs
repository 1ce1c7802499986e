//! Both counters of HTTP/2 frames find the frames where the library's own cutter finds them, however the bytes arrive. Input: four
//! letters that say how the rest is split, `A` for one byte; then what follows a client's preface.

use std::sync::Arc;

use bytes::BytesMut;
use portcullis::listener::frames::{Allowance, Counted};
use portcullis::upstream::heads::Heads;
use tokio_util::codec::{Decoder, LengthDelimitedCodec};

pub fn check(data: &[u8]) {
    let Some((lengths, input)) = data.split_at_checked(4) else { return };
    let lengths: Vec<_> = lengths.iter().map(|length| usize::from(*length % 32)).collect();
    let heads = heads(input);

    let cost = heads.first().is_none_or(|first| first.kind == SETTINGS && first.flags & ACKNOWLEDGED == 0);
    let cost = cost.then(|| heads.iter().map(cost_of).sum());
    assert_eq!(counted(input, &[usize::MAX]), cost, "{heads:?}");
    assert_eq!(counted(input, &lengths), cost, "in pieces of {lengths:?}: {heads:?}");

    let begun = heads.iter().filter(|head| head.kind == HEADERS && head.flags & END_STREAM == 0).count();
    assert_eq!(Heads::default().count(input) as usize, begun, "{heads:?}");
    let mut counter = Heads::default();
    let in_pieces: u32 = pieces(input, &lengths).map(|piece| counter.count(piece)).sum();
    assert_eq!(in_pieces as usize, begun, "in pieces of {lengths:?}: {heads:?}");
}

#[derive(Debug)]
struct Head {
    length: usize,
    kind: u8,
    flags: u8,
}

/// Cut by the library's cutter, with its settings but for the bound on a frame. The last may have its head alone.
fn heads(input: &[u8]) -> Vec<Head> {
    let mut codec = LengthDelimitedCodec::builder();
    codec.big_endian().length_field_length(3).length_adjustment(9).num_skip(0).max_frame_length(1 << 25);
    let (mut codec, mut bytes) = (codec.new_codec(), BytesMut::from(input));
    let read = |frame: &[u8], length: usize| Head { length, kind: frame[3], flags: frame[4] };
    let mut heads = Vec::new();
    loop {
        // The cutter leaves a head in the buffer until its frame is whole.
        let head: Vec<u8> = bytes.get(..9).map(<[u8]>::to_vec).unwrap_or_default();
        match codec.decode(&mut bytes).expect("no frame is too long") {
            Some(frame) => heads.push(read(&frame, frame.len() - 9)),
            None if head.len() == 9 => {
                heads.push(read(&head, usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])));
                return heads;
            }
            None => return heads,
        }
    }
}

/// What the client's frames cost; none where the connection is ended.
fn counted(input: &[u8], lengths: &[usize]) -> Option<i64> {
    let mut counter = Counted::new((), Arc::new(Allowance::full()));
    let preface = counter.read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("the preface is no frame");
    let cost: std::io::Result<i64> = pieces(input, lengths).map(|piece| counter.read(piece)).sum();
    cost.ok().map(|cost| preface + cost)
}

fn pieces<'a>(input: &'a [u8], lengths: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let (mut rest, mut lengths) = (input, lengths.iter().cycle());
    std::iter::from_fn(move || {
        let length = (*lengths.next()?).max(1).min(rest.len());
        let (piece, after) = rest.split_at(length);
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

fn cost_of(head: &Head) -> i64 {
    match (head.kind, head.length) {
        (DATA, 1..) => -1,
        (DATA, 0) if head.flags & END_STREAM != 0 => 0,
        (HEADERS, _) => 0,
        _ => 1,
    }
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const ACKNOWLEDGED: u8 = 1;
const END_STREAM: u8 = 1;
