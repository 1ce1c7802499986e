//! What browsers and providers send as text has one reading, which is the one that the library of the URL standard finds: a posted
//! form, the query of a callback, the address of a page that posts; and a trace's parent is what the standard spells out.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderValue};
use kernel::request::headers::TRACEPARENT;
use kernel::request::host::Authority;
use kernel::session::Token;
use portcullis::idp::parse_callback;
use portcullis::telemetry::traces::context::{self, Sampled};
use portcullis::web::csrf;
use portcullis::web::form::Form;

pub fn check(data: &[u8]) {
    check_form(data);
    if let Ok(text) = std::str::from_utf8(data) {
        check_callback(text);
    }
    if let Ok(value) = HeaderValue::from_bytes(data) {
        check_page(&value);
        check_parent(&value);
    }
}

fn check_form(data: &[u8]) {
    let plain = plain_pairs(data, &['\r', '\n', '\t']).filter(|pairs| pairs.len() <= 32);
    match (Form::parse(data), plain) {
        (Ok(form), Some(plain)) => {
            for (name, value) in &plain {
                assert_eq!(form.field(name), (!value.is_empty()).then_some(value.as_str()), "{name}");
            }
            let longer: String = plain.keys().map(String::as_str).chain(["x"]).collect();
            assert_eq!(form.field(&longer), None, "no other field is found");
        }
        (form, plain) => assert_eq!(form.is_ok(), plain.is_some(), "{form:?} {plain:?}"),
    }
}

fn check_callback(text: &str) {
    let named = text.split('&').all(|pair| pair.is_empty() || pair.contains('='));
    let plain = plain_pairs(text.as_bytes(), &[]).filter(|_| named && text.len() <= 16_384);
    let plain = plain.filter(|pairs| match (pairs.get("code"), pairs.get("error")) {
        (Some(code), None) => !code.is_empty(),
        (None, error) => error.is_some(),
        (Some(_), Some(_)) => false,
    });
    let plain = plain.and_then(|pairs| Some((Token::parse(pairs.get("state")?)?, pairs.get("iss").cloned())));
    match (parse_callback(text), plain) {
        (Ok(query), Some((state, issuer))) => {
            assert_eq!(query.state, state);
            assert!(format!("{query:?}").contains(&format!("issuer: {issuer:?}")), "{query:?}");
        }
        (query, plain) => assert_eq!(query.is_ok(), plain.is_some(), "{query:?} {plain:?}"),
    }
}

/// Names and values as the standard reads them; none where there is a doubt about one.
fn plain_pairs(data: &[u8], controls: &[char]) -> Option<BTreeMap<String, String>> {
    let is_escape = |rest: &[u8]| matches!(rest, [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit());
    let whole = data.iter().enumerate().all(|(at, byte)| *byte != b'%' || is_escape(&data[at + 1..]));
    let found: Vec<(String, String)> = url::form_urlencoded::parse(data).into_owned().collect();
    let count = found.len();
    // The library puts the mark where bytes are not UTF-8. One that stands there by itself is in doubt as well, but for us it is none.
    let doubtful = |letter: char| (letter.is_control() && !controls.contains(&letter)) || (letter == '\u{fffd}' && !is_utf8(data));
    let clear = found.iter().all(|(name, value)| !name.contains(doubtful) && !value.contains(doubtful));
    let pairs: BTreeMap<String, String> = found.into_iter().collect();
    (whole && clear && pairs.len() == count).then_some(pairs)
}

fn is_utf8(data: &[u8]) -> bool {
    data.split(|byte| b"&=".contains(byte)).all(|part| percent_encoding::percent_decode(part).decode_utf8().is_ok())
}

/// A page may post here when its address is on this host, to whoever reads addresses by the standard.
fn check_page(value: &HeaderValue) {
    let own = Authority::parse("gate.test:8443").expect("an authority");
    let may = |name| csrf::check(&HeaderMap::from_iter([(name, value.clone())]), &own).is_ok();
    assert_eq!(may(http::header::ORIGIN), value.as_bytes() == own.origin().as_bytes());
    if may(http::header::REFERER) {
        let address = url::Url::parse(value.to_str().expect("text")).expect("an address");
        assert_eq!(address.origin().ascii_serialization(), own.origin());
    }
}

/// W3C Trace Context §3.2.
fn check_parent(value: &HeaderValue) {
    let parent = context::given(&HeaderMap::from_iter([(TRACEPARENT, value.clone())]));
    let text = value.as_bytes();
    let form = |(at, byte): (usize, &u8)| match at {
        2 | 35 | 52 => *byte == b'-',
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    };
    let plain = text.len() >= 55 && text.iter().take(55).enumerate().all(form);
    let plain = plain && text[..2] != *b"ff" && text[3..35] != [b'0'; 32] && text[36..52] != [b'0'; 16];
    let plain = plain && (text.len() == 55 || (text[..2] != *b"00" && text[55] == b'-'));
    assert_eq!(parent.is_some(), plain);
    let Some(parent) = parent else { return };
    let written = context::write(&parent.trace, &parent.span, parent.sampled).expect("it fits into a field");
    assert_eq!(written.as_bytes()[2..53], text[2..53]);
    assert_eq!(parent.sampled == Sampled::Yes, b"13579bdf".contains(&text[54]));
}
