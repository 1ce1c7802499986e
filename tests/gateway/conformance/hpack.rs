//! RFC 7541: how fields are packed.

use super::*;

/// A request whose block ends, or begins, with these bytes.
fn packed(before: &[u8], after: &[u8], expect: Expect) -> Vec<Step> {
    let whole = [before, &block(&GET), after].concat();
    vec![(frame(HEADERS, END_STREAM | END_HEADERS, 1, &whole), expect)]
}

/// A field named `x`, whose value is these bytes of Huffman's code.
fn coded(bytes: &[u8]) -> Vec<u8> {
    [&[0x00, 0x01, b'x', 0x80 | u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

const BROKEN: Expect = End(PACKING);

#[tokio::test]
async fn every_representation_is_read() {
    judge(vec![
        ("7541 6.1", "indexed", vec![(indexed(), Serve(1))]),
        ("7541 6.1", "from the dynamic table", packed(&[], b"\x40\x01a\x01b\xbe", Serve(1))),
        ("7541 6.2.1", "incremental, name from the table", packed(&[], b"\x7a\x01b", Serve(1))),
        ("7541 6.2.1", "incremental, new name", packed(&[], b"\x40\x01a\x01b", Serve(1))),
        ("7541 6.2.2", "not indexed, name from the table", packed(&[], b"\x0f\x2b\x01b", Serve(1))),
        ("7541 6.2.3", "never indexed", packed(&[], b"\x10\x01a\x01b", Serve(1))),
        ("7541 5.2", "Huffman's code", packed(&[], &coded(&[0x1f]), Serve(1))),
        ("7541 5.2", "an empty string of it", packed(&[], &coded(&[]), Serve(1))),
        ("7541 6.3", "a change of the table's size", packed(b"\x20", &[], Serve(1))),
        ("7541 6.3", "two of them", packed(b"\x20\x3f\xe1\x1f", &[], Serve(1))),
        (
            "7541 4.2",
            "a table of no size, by SETTINGS",
            vec![([settings(&[(HEADER_TABLE_SIZE, 0)]), get(1)].concat(), Serve(1)), (get(3), Serve(3))],
        ),
        (
            "7541 4.4",
            "a field larger than the table empties it",
            packed(&[], &[&b"\x40\x01a\x7f\x82\x1f"[..], &[b'x'; 4_097]].concat(), Serve(1)),
        ),
    ])
    .await;
}

/// GET by the static table; the rest as literals.
fn indexed() -> Vec<u8> {
    let whole = [&[0x82, 0x87][..], &block(&GET[2..])].concat();
    frame(HEADERS, END_STREAM | END_HEADERS, 1, &whole)
}

#[tokio::test]
async fn what_cannot_be_unpacked_ends_the_connection() {
    judge(vec![
        ("7541 2.3.3", "an index beyond the tables", packed(&[], &[0xc6], BROKEN)),
        ("7541 2.3.3", "a name's index beyond the tables", packed(&[], b"\x7f\x07\x01a", BROKEN)),
        ("7541 4.2", "a change of the table's size after fields", packed(&[], b"\x20", BROKEN)),
        ("7541 5.1", "a number that does not end", packed(&[], b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", BROKEN)),
        ("7541 5.1", "a number that is cut off", packed(&[], b"\xff\x80", BROKEN)),
        ("7541 5.2", "a string longer than its block", packed(&[], b"\x00\x01a\x7e", BROKEN)),
        ("7541 5.2", "padding longer than seven bits", packed(&[], &coded(&[0x1f, 0xff]), BROKEN)),
        ("7541 5.2", "padding of zeros", packed(&[], &coded(&[0x18]), BROKEN)),
        ("7541 5.2", "the end-of-string symbol", packed(&[], &coded(&[0x1f, 0xff, 0xff, 0xff, 0xff]), BROKEN)),
        ("7541 6.1", "the index 0", packed(&[], &[0x80], BROKEN)),
        ("7541 6.3", "a size beyond what was allowed", packed(b"\x3f\xe2\x1f", &[], BROKEN)),
        // A block that is broken breaks the connection also where its stream was refused: the tables are shared (§2.2).
        (
            "7541 2.2",
            "a broken block on a stream that is closed",
            vec![(get(1), Serve(1)), (frame(HEADERS, 5, 1, &[0x80]), End(&[COMPRESSION_ERROR, STREAM_CLOSED, PROTOCOL_ERROR]))],
        ),
        (
            "7541 2.2",
            "the table is kept past a refused request",
            vec![
                (frame(HEADERS, 5, 1, &[block(&GET), literal("connection", "close"), b"\x40\x01c\x01d".to_vec()].concat()), Refuse),
                (frame(HEADERS, 5, 3, &[block(&GET), vec![0xbe]].concat()), Serve(3)),
            ],
        ),
    ])
    .await;
}
