//! The gateway's cookie has one reading: a plain reader finds the same value or none, an upstream sees every cookie but this one, and
//! no answer of an upstream makes a browser send it. Input: lines, each a `Cookie` field, a `Set-Cookie` field and a token.

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use kernel::request::headers;
use kernel::request::host::Host;
use kernel::session::Token;
use kernel::session::token::Purpose;

pub fn check(data: &[u8]) {
    let lines: Vec<HeaderValue> =
        data.split(|byte| *byte == b'\n').take(16).filter_map(|line| HeaderValue::from_bytes(line).ok()).collect();
    check_request(&lines);
    check_answer(&lines);
    lines.iter().filter_map(|line| std::str::from_utf8(line.as_bytes()).ok()).for_each(check_token);
}

fn check_request(lines: &[HeaderValue]) {
    let fields: HeaderMap = lines.iter().map(|line| (COOKIE, line.clone())).collect();
    let pairs = pairs(lines);
    let (own, foreign): (Vec<&[u8]>, Vec<&[u8]>) = pairs.into_iter().partition(|pair| is_own(pair));
    let plain = match own.as_slice() {
        [one] => one.strip_prefix(headers::COOKIE.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")),
        _ => None,
    };
    let shown = headers::own_cookie(&fields);
    assert_eq!(shown, plain.and_then(|value| std::str::from_utf8(value).ok()));
    shown.into_iter().for_each(check_token);

    let forwarded: Vec<HeaderValue> = headers::forwardable(&fields).get_all(COOKIE).iter().cloned().collect();
    assert!(forwarded.len() <= 1, "several fields would be joined by who knows what");
    assert_eq!(self::pairs(&forwarded), foreign);
}

fn check_answer(lines: &[HeaderValue]) {
    let fields: HeaderMap = lines.iter().map(|line| (SET_COOKIE, line.clone())).collect();
    let mut returned = headers::returnable(fields).get_all(SET_COOKIE).iter().cloned().collect::<Vec<_>>().into_iter().peekable();
    for line in lines {
        if returned.next_if_eq(line).is_some() {
            assert!(!is_own(&sent_by_a_browser(line.as_bytes())), "{line:?}");
        } else {
            assert!(line.as_bytes().to_ascii_lowercase().windows(17).any(|part| part == b"__host-portcullis"), "{line:?}");
        }
    }
    assert_eq!(returned.next(), None);
}

fn check_token(text: &str) {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    // The last of 43 letters holds four bits of the 256 and two that are zero.
    let values: Option<Vec<usize>> = text.bytes().map(|byte| LETTERS.iter().position(|letter| *letter == byte)).collect();
    let is_token = values.is_some_and(|values| values.len() == 43 && values[42] % 4 == 0);
    let token = Token::parse(text);
    assert_eq!(token.is_some(), is_token, "{text}");
    let Some(token) = token else { return };
    assert_eq!(token.text(), text);
    let hosts = ["a.test", "b.test"].map(|host| Host::parse(host).expect("a host"));
    let purposes =
        [Purpose::Cookie(&hosts[0]), Purpose::Cookie(&hosts[1]), Purpose::State, Purpose::Return, Purpose::Finish, Purpose::Invite];
    let hashes = purposes.map(|purpose| token.hash(purpose));
    assert!((0..6).all(|at| !hashes[..at].contains(&hashes[at])), "a token is good for one purpose");

    let set = portcullis::web::cookie::set(&token).expect("a token fits into a field");
    let sent = HeaderValue::from_bytes(&sent_by_a_browser(set.as_bytes())).expect("what was set can be sent");
    assert_eq!(headers::own_cookie(&HeaderMap::from_iter([(COOKIE, sent)])), Some(text));
    assert!(headers::returnable(HeaderMap::from_iter([(SET_COOKIE, set)])).is_empty());
}

/// What stands between semicolons, without what is empty.
fn pairs(fields: &[HeaderValue]) -> Vec<&[u8]> {
    let parts = fields.iter().flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
    parts.map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty()).collect()
}

/// Whether the most lenient program takes a pair for the gateway's cookie.
fn is_own(pair: &[u8]) -> bool {
    let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
    name.trim_ascii().eq_ignore_ascii_case(headers::COOKIE.as_bytes())
}

/// RFC 6265bis §5.6 and §5.8.3: a cookie without a name is sent as its value.
fn sent_by_a_browser(set: &[u8]) -> Vec<u8> {
    let pair = set.split(|byte| *byte == b';').next().unwrap_or_default();
    let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
        Some(at) => (pair[..at].trim_ascii(), pair[at + 1..].trim_ascii()),
        None => (&b""[..], pair.trim_ascii()),
    };
    if name.is_empty() { value.to_vec() } else { [name, b"=", value].concat() }
}
