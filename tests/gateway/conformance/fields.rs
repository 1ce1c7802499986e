//! Section 8: requests and their fields.

use super::*;

/// A request that must reach nobody, with its fields as they are.
fn bad(fields: &[(&str, &str)]) -> Vec<Step> {
    vec![(frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(fields)), Refuse)]
}

const HEAD: [(&str, &str); 4] = [(":method", "GET"), (":scheme", "https"), (":authority", "pub.test"), (":path", NEVER)];

/// The same with one more field.
fn with(name: &str, value: &str) -> Vec<Step> {
    bad(&[&HEAD[..], &[(name, value)]].concat())
}

/// The same without one.
fn without(name: &str) -> Vec<Step> {
    bad(&HEAD.into_iter().filter(|(known, _)| *known != name).collect::<Vec<_>>())
}

/// The same with another value of one.
fn instead(name: &str, value: &str) -> Vec<Step> {
    bad(&HEAD.map(|(known, old)| (known, if known == name { value } else { old })))
}

/// A request with a body and something after it.
fn trailing(trailer_flags: u8, fields: &[(&str, &str)], expect: Expect) -> Vec<Step> {
    let trailers = frame(HEADERS, trailer_flags, 1, &block(fields));
    vec![([post(1), data(1, 0, b"body"), trailers].concat(), expect)]
}

/// A body of other length than the head says.
fn length(said: &str, parts: &[&[u8]]) -> Vec<Step> {
    let mut bytes = frame(HEADERS, END_HEADERS, 1, &block(&[&POST[..], &[("content-length", said)]].concat()));
    for (number, part) in parts.iter().enumerate() {
        bytes.extend(data(1, if number + 1 == parts.len() { END_STREAM } else { 0 }, part));
    }
    vec![(bytes, Refuse)]
}

#[tokio::test]
async fn requests_are_framed_as_section_8_1_says() {
    let head = [(":method", "HEAD"), (":scheme", "https"), (":authority", "pub.test"), (":path", "/open/a")];
    judge(vec![
        ("8.1", "GET", vec![(get(1), Serve(1))]),
        ("8.1", "HEAD", vec![(frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&head)), Serve(1))]),
        ("8.1", "POST", vec![([post(1), data(1, END_STREAM, b"body")].concat(), Serve(1))]),
        ("8.1", "POST with trailers", trailing(END_STREAM | END_HEADERS, &[("x-checksum", "1")], Serve(1))),
        ("8.1", "a second head that does not end the stream", trailing(END_HEADERS, &[("x-test", "ok")], Reset(1, &[PROTOCOL_ERROR]))),
        // Malformed by §8.1. The library throws such fields away unseen, and the gateway forwards no trailers of a request: nobody reads two things.
        ("8.1", "pseudo-fields in trailers", trailing(END_STREAM | END_HEADERS, &[(":method", "GET")], Serve(1))),
        ("8.1.1", "a body longer than it was said to be", length("3", &[b"body"])),
        ("8.1.1", "a body in parts, longer", length("7", &[b"body", b"body"])),
        ("8.1.1", "a shorter one", length("9", &[b"body"])),
        ("8.1.1", "none, where one was said to be", with("content-length", "4")),
        ("8.1.1", "two lengths", bad(&[&HEAD[..], &[("content-length", "0"), ("content-length", "1")]].concat())),
        ("8.1.1", "a length that is no number", with("content-length", "+1")),
    ])
    .await;
}

#[tokio::test]
async fn fields_are_what_section_8_2_says() {
    let mut cases = vec![
        ("8.2", "a name in capitals", with("X-Test", "a")),
        ("8.2.1", "an empty name", with("", "a")),
        ("8.2.1", "a space in a name", with("x test", "a")),
        ("8.2.1", "a colon in a name", with("x:test", "a")),
        ("8.2.1", "a name with DEL", with("x\x7f", "a")),
        ("8.2.1", "a name that is not ASCII", with("x\u{e9}", "a")),
        ("8.2.1", "NUL in a value", with("x", "a\0b")),
        ("8.2.1", "CR in a value", with("x", "a\rb")),
        ("8.2.1", "LF in a value", with("x", "a\nb")),
        ("8.2.2", "connection", with("connection", "keep-alive")),
        ("8.2.2", "proxy-connection", with("proxy-connection", "keep-alive")),
        ("8.2.2", "keep-alive", with("keep-alive", "timeout=5")),
        ("8.2.2", "transfer-encoding", with("transfer-encoding", "chunked")),
        ("8.2.2", "upgrade", with("upgrade", "websocket")),
        ("8.2.2", "te that is not trailers", with("te", "trailers, deflate;q=0.5")),
    ];
    let te = frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&[&GET[..], &[("te", "trailers")]].concat()));
    cases.push(("8.2.2", "te: trailers", vec![(te, Serve(1))]));
    let crumbs = frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&[&GET[..], &[("cookie", "a=b"), ("cookie", "c=d")]].concat()));
    cases.push(("8.2.3", "a cookie in crumbs", vec![(crumbs, Serve(1))]));
    // White space around a value is malformed (§8.2.1) where HTTP/1.1 does not see it: either way nobody reads two things.
    judge(cases).await;
}

#[tokio::test]
async fn pseudo_fields_are_what_section_8_3_says() {
    let connect = [(":method", "CONNECT"), (":authority", "pub.test:443")];
    let extended = [&HEAD[..], &[(":protocol", "websocket")]].concat();
    judge(vec![
        ("8.3", "one nobody knows", with(":test", "a")),
        ("8.3", "one of answers", with(":status", "200")),
        ("8.3", "one after a plain field", bad(&[&HEAD[..3], &[("x", "a"), (":path", NEVER)]].concat())),
        ("8.3.1", "no :method", without(":method")),
        ("8.3.1", "no :scheme", without(":scheme")),
        ("8.3.1", "no :path", without(":path")),
        ("8.3.1", "no :authority and no host", without(":authority")),
        ("8.3.1", "an empty :path", instead(":path", "")),
        ("8.3.1", "a :path that does not begin with a slash", instead(":path", "open/never")),
        ("8.3.1", "an asterisk for GET", instead(":path", "*")),
        ("8.3.1", "two :method", with(":method", "GET")),
        ("8.3.1", "two :scheme", with(":scheme", "https")),
        ("8.3.1", "two :path", with(":path", NEVER)),
        ("8.3.1", "two :authority", with(":authority", "pub.test")),
        ("8.3.1", "user information in :authority", instead(":authority", "user@pub.test")),
        ("8.3.1", "a host that differs", with("host", "app.test")),
        ("8.3.1", "another scheme", instead(":scheme", "http")),
        ("8.3.1", "a scheme that is none", instead(":scheme", "https\r\nx: y")),
        ("8.3.1", "a method that is none", instead(":method", "GET /open/never HTTP/1.1\r\nx:")),
        ("8.5", "CONNECT", bad(&connect)),
        ("8.5", "CONNECT with a path", instead(":method", "CONNECT")),
        ("8441 4", ":protocol without CONNECT", bad(&extended)),
    ])
    .await;
}
