//! Ids of sessions have one spelling.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use super::*;

#[test]
fn an_id_is_read_as_it_is_written() {
    let id = SessionId::new([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0xa, 0xb, 0xc, 0xd, 0xe, 0xff]);
    assert_eq!(id.to_string(), "000102030405060708090a0b0c0d0eff");
    assert_eq!(SessionId::parse(&id.to_string()), Some(id));
    assert_eq!(format!("{id:?}"), id.to_string());
    assert_eq!(serde_json::from_str::<SessionId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
    assert_eq!(SessionId::new(*id.as_bytes()), id);
}

#[test]
fn an_id_has_no_second_spelling() {
    for text in [
        "",
        "0",
        "000102030405060708090A0B0C0D0EFF",
        "000102030405060708090a0b0c0d0ef",
        "000102030405060708090a0b0c0d0eff0",
        "+00102030405060708090a0b0c0d0eff",
        " 00102030405060708090a0b0c0d0eff",
        "0x0102030405060708090a0b0c0d0eff",
        "000102030405060708090a0b0c0d0egg",
    ] {
        assert_eq!(SessionId::parse(text), None, "{text:?}");
        assert!(serde_json::from_value::<SessionId>(text.into()).is_err());
    }
}
