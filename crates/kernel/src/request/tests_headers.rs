//! Tests of header fields, client addresses and the one reading of a request (HD-01..HD-07, PN-14, PN-17, PN-18, WS-01).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use http::{HeaderMap, HeaderName, HeaderValue, Request, Version};
use proptest::prelude::*;

use super::client::{ClientAddress, TrustedProxies};
use super::framing::FramingFault;
use super::headers::{self, HeaderFault};
use super::host::Authority;
use super::{CanonicalRequest, Connection, ExtendedConnect, ReadFault, RequestFault, RequestId, Upgrade};
use crate::time::Timestamp;

fn fields(list: &[(&str, &[u8])]) -> HeaderMap {
    let name = |name: &str| name.parse::<HeaderName>().unwrap();
    list.iter().map(|(field, value)| (name(field), HeaderValue::from_bytes(value).unwrap())).collect::<Vec<_>>().into_iter().fold(
        HeaderMap::new(),
        |mut map, (name, value)| {
            map.append(name, value);
            map
        },
    )
}

fn read_as(method: &str, target: &str, version: Version, list: &[(&str, &[u8])], trusted: &[&str]) -> Result<CanonicalRequest, ReadFault> {
    let mut request = Request::builder().method(method).uri(target).version(version).body(()).unwrap();
    *request.headers_mut() = fields(list);
    let connection = Connection { peer: address("10.0.0.9"), port: 443, server_name: None, raw_target: None, fault: None };
    let trusted = TrustedProxies::new(trusted.iter().map(|network| network.parse().unwrap()).collect());
    CanonicalRequest::read(&request.into_parts().0, &connection, &trusted, RequestId::new([0; 16]), Timestamp::EPOCH)
}

fn read(method: &str, target: &str, list: &[(&str, &[u8])]) -> Result<CanonicalRequest, ReadFault> {
    read_as(method, target, Version::HTTP_11, list, &[])
}

fn address(text: &str) -> ClientAddress {
    ClientAddress::new(text.parse().unwrap())
}

#[track_caller]
fn fault(list: &[(&str, &[u8])], expected: HeaderFault) {
    assert_eq!(read("GET", "/", list).unwrap_err(), ReadFault::Malformed(RequestFault::Header(expected)), "{list:?}");
}

#[test]
fn a_name_that_reads_like_a_length_is_refused_in_every_version() {
    for name in ["content_length", "content.length", "transfer_encoding", "transfer~encoding", "Transfer_Encoding"] {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let refused = read_as("POST", "/", version, &[("host", b"app.test"), (name, b"5")], &[]).unwrap_err();
            assert_eq!(refused, ReadFault::Malformed(RequestFault::Framing(FramingFault::LengthLookAlike)), "{name}");
        }
    }
    assert!(read("POST", "/", &[("host", b"app.test"), ("content-length", b"5"), ("content_type", b"a")]).unwrap().has_second_spellings);
}

#[test]
fn a_target_and_a_name_have_the_same_bounds_in_every_version() {
    let refused = |target: &str, name: &str, fault: FramingFault| {
        let read = read_as("GET", target, Version::HTTP_2, &[("host", b"app.test"), (name, b"a")], &[]);
        assert_eq!(read.unwrap_err(), ReadFault::Malformed(RequestFault::Framing(fault)));
    };
    let target = |bytes: usize| format!("/a?{}", "x".repeat(bytes - 3));
    assert!(read_as("GET", &target(16 * 1024), Version::HTTP_2, &[("host", b"app.test"), (&"x".repeat(256), b"a")], &[]).is_ok());
    refused(&target(16 * 1024 + 1), "x", FramingFault::TargetTooLong);
    refused("/", &"x".repeat(257), FramingFault::NameTooLong);
}

#[test]
fn there_is_exactly_one_host() {
    fault(&[], HeaderFault::HostCount);
    fault(&[("host", b"app.test"), ("host", b"app.test")], HeaderFault::HostCount);
    fault(&[("host", b"app.test"), ("host", b"evil.test")], HeaderFault::HostCount);
    fault(&[("host", b"app.t\xffst")], HeaderFault::HostInvalid);
}

#[test]
fn spellings_of_one_host_read_alike_and_others_are_refused() {
    for spelling in ["app.test", "APP.TEST", "app.test.", "app.test:443", "App.Test.:443"] {
        assert_eq!(read("GET", "/", &[("host", spelling.as_bytes())]).unwrap().authority.to_string(), "app.test", "{spelling}");
    }
    for spelling in [
        "",
        " app.test",
        "app.test,pub.test",
        "app.test/",
        "app.test#",
        "u@app.test",
        "app..test",
        "app.test:",
        "app.test:0",
        "app.test:99999",
        "[::1",
        "0x7f.1",
        "127.1",
    ] {
        assert!(read("GET", "/", &[("host", spelling.as_bytes())]).is_err(), "{spelling:?}");
    }
}

#[test]
fn target_and_host_name_the_same_host() {
    let host: &[(&str, &[u8])] = &[("host", b"app.test")];
    assert_eq!(read("GET", "https://app.test:443/x", host).unwrap().authority.to_string(), "app.test");
    let differs = ReadFault::Malformed(RequestFault::Header(HeaderFault::HostDiffers));
    assert_eq!(read("GET", "https://evil.test/x", host).unwrap_err(), differs);
    assert_eq!(read_as("GET", "https://evil.test/x", Version::HTTP_2, host, &[]).unwrap_err(), differs);
}

#[test]
fn only_origin_form_and_absolute_https_are_served() {
    let host: &[(&str, &[u8])] = &[("host", b"app.test")];
    for (method, target) in [
        ("GET", "http://app.test/x"),
        ("GET", "ftp://app.test/x"),
        ("GET", "app.test:443"),
        ("OPTIONS", "*"),
        ("CONNECT", "app.test:443"),
        ("CONNECT", "/x"),
        ("GET", "//app.test/x"),
        ("GET", "https://u:p@app.test/x"),
    ] {
        assert!(read(method, target, host).is_err(), "{method} {target}");
    }
}

#[test]
fn methods_are_capital_tokens() {
    let host: &[(&str, &[u8])] = &[("host", b"app.test")];
    for method in ["get", "Get", "GE_T", "G3T", "GET!", "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG"] {
        assert_eq!(read(method, "/", host).unwrap_err(), ReadFault::Malformed(RequestFault::Method), "{method}");
    }
    for version in [Version::HTTP_09, Version::HTTP_3] {
        assert_eq!(read_as("GET", "/", version, host, &[]).unwrap_err(), ReadFault::Malformed(RequestFault::Version));
    }
}

#[test]
fn connection_names_hop_by_hop_fields_alone() {
    for named in [
        "x-portcullis-subject",
        "X_Portcullis_Subject",
        "x-forwarded-for",
        "host",
        "content-length",
        "transfer-encoding",
        "cookie",
        "close, authorization",
    ] {
        fault(&[("host", b"app.test"), ("connection", named.as_bytes())], HeaderFault::ConnectionNamesEndToEnd);
    }
    fault(&[("host", b"app.test"), ("connection", b"close"), ("connection", b"cookie")], HeaderFault::ConnectionNamesEndToEnd);
    fault(&[("host", b"app.test"), ("connection", b"\xff")], HeaderFault::ConnectionNotTokens);
    assert!(read("GET", "/", &[("host", b"app.test"), ("connection", b"Keep-Alive, ,TE")]).is_ok());
}

#[test]
fn the_only_expectation_is_to_go_on() {
    for value in [&b"y 100-continue"[..], b"100-continue, x", b"", b"200-ok"] {
        fault(&[("host", b"app.test"), ("expect", value)], HeaderFault::Expectation);
    }
    fault(&[("host", b"app.test"), ("expect", b"100-continue"), ("expect", b"100-continue")], HeaderFault::Expectation);
    assert!(read("GET", "/", &[("host", b"app.test"), ("expect", b"100-Continue")]).is_ok());
}

#[test]
fn a_websocket_handshake_is_whole_or_refused() {
    let whole: Vec<(&str, &[u8])> = vec![
        ("host", b"app.test"),
        ("connection", b"keep-alive, Upgrade"),
        ("upgrade", b"WebSocket"),
        ("sec-websocket-version", b"13"),
        ("sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    assert_eq!(read("GET", "/", &whole).unwrap().upgrade, Upgrade::WebSocket);
    for missing in [1, 3, 4] {
        let mut list = whole.clone();
        list.remove(missing);
        fault(&list, HeaderFault::UpgradeNotWhole);
    }
    for more in [("upgrade", &b"h2c"[..]), ("sec-websocket-key", b"x"), ("content-length", b"0"), ("transfer-encoding", b"chunked")] {
        let mut list = whole.clone();
        list.push(more);
        fault(&list, HeaderFault::UpgradeNotWhole);
    }
    assert!(read("POST", "/", &whole).is_err());
    for other in [&b"h2c"[..], b"TLS/1.0", b"foo"] {
        let list: Vec<(&str, &[u8])> = vec![("host", b"app.test"), ("connection", b"upgrade"), ("upgrade", other)];
        assert_eq!(read("GET", "/", &list).unwrap().upgrade, Upgrade::None);
    }
    assert_eq!(read_as("GET", "/", Version::HTTP_10, &whole, &[]).unwrap().upgrade, Upgrade::None);
}

fn connect(protocol: Option<&str>, version: Version, list: &[(&str, &[u8])]) -> Result<CanonicalRequest, ReadFault> {
    let mut request = Request::builder().method("CONNECT").uri("https://app.test/ws?a=b").version(version).body(()).unwrap();
    *request.headers_mut() = fields(list);
    if let Some(protocol) = protocol {
        request.extensions_mut().insert(ExtendedConnect(protocol.into()));
    }
    let connection = Connection { peer: address("10.0.0.9"), port: 443, server_name: None, raw_target: None, fault: None };
    CanonicalRequest::read(&request.into_parts().0, &connection, &TrustedProxies::default(), RequestId::new([0; 16]), Timestamp::EPOCH)
}

#[test]
fn a_websocket_over_http_2_is_judged_as_the_get_that_it_stands_for() {
    let read = connect(Some("websocket"), Version::HTTP_2, &[("sec-websocket-version", b"13")]).unwrap();
    assert_eq!((read.method.as_str(), read.upgrade, read.target().as_str()), ("GET", Upgrade::WebSocket, "/ws?a=b"));
    assert_eq!(read.authority, Authority::parse("app.test").unwrap());
}

#[test]
fn any_other_connect_is_refused() {
    let version: (&str, &[u8]) = ("sec-websocket-version", b"13");
    for (protocol, http, list) in [
        (None, Version::HTTP_2, vec![version]),
        (Some("connect-udp"), Version::HTTP_2, vec![version]),
        (Some("connect-tcp"), Version::HTTP_2, vec![version]),
        (Some("WebSocket"), Version::HTTP_2, vec![version]),
        (Some(""), Version::HTTP_2, vec![version]),
        (Some("websocket"), Version::HTTP_11, vec![version, ("host", b"app.test")]),
        (Some("websocket"), Version::HTTP_2, vec![]),
        (Some("websocket"), Version::HTTP_2, vec![version, version]),
        (Some("websocket"), Version::HTTP_2, vec![version, ("content-length", b"5")]),
    ] {
        let read = connect(protocol, http, &list);
        assert!(matches!(read, Err(ReadFault::Malformed(_))), "{protocol:?} {http:?} {list:?}: {read:?}");
    }
}

#[test]
fn only_a_plain_expectation_is_served_and_another_is_417() {
    for (value, served) in
        [(&b"100-continue"[..], true), (b"100-Continue", true), (b"y 100-continue", false), (b"202-accepted", false), (b"", false)]
    {
        let read = read("PUT", "/", &[("host", b"app.test"), ("expect", value)]);
        assert_eq!(read.is_ok(), served, "{value:?}");
        if let Err(ReadFault::Malformed(fault)) = read {
            assert_eq!(crate::Rejection::Malformed(fault).status(), 417);
        }
    }
}

#[test]
fn a_websocket_is_opened_by_the_routes_own_pages() {
    let check = |port: &str, origins: &[&[u8]]| {
        let list: Vec<_> = origins.iter().map(|origin| ("origin", *origin)).collect();
        headers::websocket_origin(&fields(&list), &Authority::parse(&format!("app.test{port}")).unwrap()).is_ok()
    };
    assert!(check("", &[b"https://app.test"]) && check(":8443", &[b"https://app.test:8443"]));
    for origin in [
        &b""[..],
        b"null",
        b"https://evil",
        b"https://app.test.evil",
        b"http://app.test",
        b"https://APP.TEST",
        b"https://app.test:8443",
        b"https://app.test/",
        b"https://app.test, https://app.test",
        b"\xff",
    ] {
        assert!(!check("", &[origin]), "{origin:?}");
    }
    assert!(!check("", &[]) && !check("", &[b"https://app.test", b"https://app.test"]) && !check(":8443", &[b"https://app.test"]));
}

#[track_caller]
fn client(trusted: &[&str], list: &[&[u8]], expected: Option<&str>) {
    let mut all: Vec<(&str, &[u8])> = vec![("host", b"app.test")];
    all.extend(list.iter().map(|value| ("x-forwarded-for", *value)));
    let request = read_as("GET", "/", Version::HTTP_11, &all, trusted).unwrap();
    assert_eq!(request.client, expected.map(address), "{list:?}");
    assert_eq!(request.peer, address("10.0.0.9"));
}

#[test]
fn nobody_is_believed_who_is_not_trusted() {
    for value in [&b"127.0.0.1"[..], b"a", b"127.0.0.1, ::1", b"", b"\xff"] {
        client(&[], &[value], Some("10.0.0.9"));
        client(&["10.1.0.0/16"], &[value], Some("10.0.0.9"));
    }
    client(&[], &["1.1.1.1, ".repeat(10_000).as_bytes()], Some("10.0.0.9"));
}

#[test]
fn of_a_trusted_chain_the_right_most_stranger_is_the_client() {
    let trusted = &["10.0.0.0/8"];
    client(trusted, &[], Some("10.0.0.9"));
    client(trusted, &[b"192.0.2.1"], Some("192.0.2.1"));
    client(trusted, &[b"127.0.0.1, 192.0.2.1"], Some("192.0.2.1"));
    client(trusted, &[b"127.0.0.1", b"192.0.2.1, 10.0.0.3"], Some("192.0.2.1"));
    client(trusted, &[b"x, 192.0.2.1"], Some("192.0.2.1"));
    client(trusted, &[b"::ffff:192.0.2.1"], Some("192.0.2.1"));
    client(trusted, &[b"10.0.0.1,10.0.0.2"], Some("10.0.0.1"));
    for unreadable in [&b"a"[..], b"", b"unknown", b"192.0.2.1:80", b"192.0.2.1, x", b"192.0.2.1,", b"\xff", b"0x7f000001", b"127.1"] {
        client(trusted, &[unreadable], None);
    }
}

/// Every way to write a name that a program behind may read as `name`: some CGI servers take whatever is neither letter nor
/// digit for `_`.
fn respelled(name: &str, choices: &[u8]) -> String {
    const MARKS: &[u8] = b"-_.!#$%&'*+^`|~";
    let spell = |(at, character): (usize, char)| match (character, usize::from(choices[at % choices.len()])) {
        ('-', choice) => char::from(MARKS[choice % MARKS.len()]),
        (other, choice) if choice % 2 == 1 => other.to_ascii_uppercase(),
        (other, _) => other,
    };
    name.chars().enumerate().map(spell).collect()
}

const MANAGED: [&str; 44] = [
    "x-portcullis-subject",
    "x-portcullis-email",
    "x-portcullis-groups",
    "x-portcullis-request-id",
    "x-portcullis-assertion",
    "x-portcullis-anything",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-uri",
    "x-forwarded-method",
    "forwarded",
    "x-real-ip",
    "remote-user",
    "x-remote-user",
    "x-auth-request-user",
    "x-original-url",
    "x-rewrite-url",
    "x-http-method-override",
    "x-method-override",
    "x-forwarded",
    "client-cert",
    "client-cert-chain",
    "x-webauth-user",
    "x-authentik-username",
    "x-authenticated-user",
    "oidc-claim-sub",
    "x-goog-authenticated-user-email",
    "x-ms-client-principal-name",
    "x-pomerium-claim-email",
    "cf-access-authenticated-user-email",
    "tailscale-user-login",
    "x-consumer-username",
    "wl-proxy-client-ip",
    "x-arr-clientcert",
    "x-scheme",
    "front-end-https",
    "x-original-host",
    "x-rewrite-uri",
    "x-accel-mapping",
    "x-sendfile-type",
    "x-middleware-subrequest",
];

proptest! {
    #[test]
    fn no_managed_name_in_any_spelling_is_forwarded(index in 0..MANAGED.len(), choices in prop::collection::vec(any::<u8>(), 1..40), value in "[ -~]{0,20}") {
        let name = respelled(MANAGED[index], &choices);
        let kept = headers::forwardable(&fields(&[(&name, value.trim().as_bytes()), ("x-kept", b"1")]));
        prop_assert_eq!(kept.keys().map(HeaderName::as_str).collect::<Vec<_>>(), vec!["x-kept"], "{}", name);
    }

    #[test]
    fn no_added_field_changes_what_is_judged(index in 0..MANAGED.len(), choices in prop::collection::vec(any::<u8>(), 1..40), value in "[!-~]{0,40}") {
        let plain = read("GET", "/a/b?c", &[("host", b"app.test")]).unwrap();
        let name = respelled(MANAGED[index], &choices);
        let more = read("GET", "/a/b?c", &[("host", b"app.test"), (&name, value.as_bytes())]).unwrap();
        prop_assert_eq!((plain.method, plain.authority, plain.path, plain.query, plain.client), (more.method, more.authority, more.path, more.query, more.client));
    }

    #[test]
    fn the_gateways_cookie_is_never_forwarded(before in "[a-z]=[a-z]{0,4}", case in any::<bool>(), padding in "[ \t]{0,3}") {
        let own = if case { "__host-PORTCULLIS" } else { headers::COOKIE };
        let text = format!("{before};{padding}{own}=secret; z=1");
        let kept = headers::forwardable(&fields(&[("cookie", text.as_bytes())]));
        let kept = kept.get("cookie").unwrap().to_str().unwrap();
        prop_assert_eq!(kept, format!("{before}; z=1"));
    }
}

#[test]
fn hop_by_hop_fields_end_in_both_directions() {
    for name in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
        "proxy-authorization",
        "proxy-authenticate",
    ] {
        assert!(headers::forwardable(&fields(&[(name, b"x")])).is_empty(), "{name}");
        assert!(headers::returnable(fields(&[(name, b"x")])).is_empty(), "{name}");
    }
    assert!(headers::forwardable(&fields(&[("expect", b"100-continue"), ("host", b"x")])).is_empty());
}

#[test]
fn what_an_upstream_answers_travels_but_for_the_gateways_own_fields() {
    let answered = fields(&[
        ("content-type", b"text/plain"),
        ("set-cookie", b"a=1"),
        ("set-cookie", b"__Host-portcullis=planted; Path=/; Secure"),
        ("set-cookie", b" __HOST-portcullis = planted"),
        ("set-cookie", b"__Host-portcullis"),
        ("set-cookie", b"=__Host-portcullis=planted"),
        ("set-cookie", b" = = __host-Portcullis=planted"),
        ("set-cookie", b"b=__Host-portcullis=1"),
        ("x-portcullis-subject", b"ana"),
        ("x_portcullis.subject", b"ana"),
        ("x-portcullis", b"1"),
        ("x-forwarded-for", b"kept: only the client's own is removed"),
    ]);
    let kept = fields(&[
        ("content-type", b"text/plain"),
        ("set-cookie", b"a=1"),
        ("set-cookie", b"b=__Host-portcullis=1"),
        ("x-forwarded-for", b"kept: only the client's own is removed"),
    ]);
    assert_eq!(headers::returnable(answered), kept);
}

#[test]
fn fields_of_the_client_travel_as_they_came() {
    let came = [("accept", &b"*/*"[..]), ("x-app", b"1"), ("x-app", b"2"), ("authorization", b"Bearer x"), ("cookie", b"a=1;b=2")];
    assert_eq!(headers::forwardable(&fields(&came)), fields(&came));
    assert!(headers::forwardable(&fields(&[("cookie", b" __Host-portcullis = x ")])).is_empty());
}

#[test]
fn a_name_that_only_begins_like_a_stated_one_or_goes_on_after_it_travels() {
    for name in ["x", "x-real", "x-forward", "remote", "cf", "x-real-ip2", "proxying", "remote-users", "x-hosts", "x-http-methods"] {
        let sent = fields(&[(name, b"kept")]);
        assert_eq!(headers::forwardable(&sent), sent, "{name}");
    }
    let answered = fields(&[("x", b"kept"), ("x-port", b"kept")]);
    assert_eq!(headers::returnable(answered.clone()), answered);
}

#[test]
fn the_crumbs_of_a_cookie_are_one_field_again() {
    let crumbs = |list: &[&'static str]| {
        let list: Vec<_> = list.iter().map(|crumb| ("cookie", crumb.as_bytes())).collect();
        let kept = headers::forwardable(&fields(&list));
        kept.get_all("cookie").iter().map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(crumbs(&["a=1", "b=2", "c=3"]), ["a=1; b=2; c=3"]);
    assert_eq!(crumbs(&["a=1", "__Host-portcullis=x", "b=2"]), ["a=1; b=2"]);
    assert_eq!(crumbs(&["a=1; __host-Portcullis=x;", " b=2 ;", ""]), ["a=1; b=2"]);
    assert_eq!(crumbs(&["a=\"x;y\""]), ["a=\"x;y\""]);
    assert!(crumbs(&["__Host-portcullis=x", ""]).is_empty());
}

#[test]
fn two_cookies_of_the_gateways_name_are_none() {
    assert_eq!(headers::own_cookie(&fields(&[("cookie", b"a=1; __Host-portcullis=x")])), Some("x"));
    for planted in [
        &b"__Host-portcullis=x; __Host-portcullis=x"[..],
        b"__Host-portcullis=x; __host-portcullis=y",
        b"__Host-portcullis",
        b"__HOST-PORTCULLIS=x",
        b"",
    ] {
        assert_eq!(headers::own_cookie(&fields(&[("cookie", planted)])), None);
    }
    assert_eq!(headers::own_cookie(&fields(&[("cookie", b"__Host-portcullis=x"), ("cookie", b"__Host-portcullis=x")])), None);
}
