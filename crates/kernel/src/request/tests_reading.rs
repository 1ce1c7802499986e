//! Tests of what a reading holds beside its path: whether there is one at all, for whom it is, who asks, and what is put
//! on record of it (PN-13, PN-14, PN-20, SNI-01, HD-02).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::net::IpAddr;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Version};

use super::client::{ClientAddress, TrustedProxies};
use super::framing::FramingFault;
use super::headers::HeaderFault;
use super::host::{Host, HostFault};
use super::path::PathFault;
use super::{Caller, CanonicalRequest, Connection, ReadFault, RequestFault, RequestId, raw_target, read_caller};
use crate::time::Timestamp;

fn head(method: &str, target: &str, version: Version, list: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(target).version(version).body(()).unwrap();
    *request.headers_mut() = fields(list);
    request.into_parts().0
}

fn fields(list: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in list {
        map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    map
}

fn connection() -> Connection<'static> {
    Connection { peer: address("10.0.0.9"), port: 443, server_name: None, raw_target: None, fault: None }
}

fn address(text: &str) -> ClientAddress {
    ClientAddress::new(text.parse().unwrap())
}

fn read_on(head: &Parts, connection: &Connection<'_>) -> Result<CanonicalRequest, ReadFault> {
    CanonicalRequest::read(head, connection, &TrustedProxies::default(), RequestId::new([0xab; 16]), Timestamp::from_seconds(7))
}

fn read(target: &str) -> Result<CanonicalRequest, ReadFault> {
    read_on(&head("GET", target, Version::HTTP_11, &[("host", "app.test")]), &connection())
}

#[test]
fn what_was_no_request_on_the_wire_is_none_however_well_it_looks_now() {
    let broken = Connection { fault: Some(FramingFault::BareLineFeed), ..connection() };
    let fault = read_on(&head("GET", "/", Version::HTTP_11, &[("host", "app.test")]), &broken).unwrap_err();
    assert_eq!(fault, ReadFault::Malformed(RequestFault::Framing(FramingFault::BareLineFeed)));
}

#[test]
fn every_kind_of_fault_is_told_by_its_name() {
    let with_host = |host: &str| read_on(&head("GET", "/", Version::HTTP_11, &[("host", host)]), &connection()).unwrap_err();
    let as_method = |method: &str| read_on(&head(method, "/", Version::HTTP_11, &[("host", "app.test")]), &connection()).unwrap_err();
    let as_version = |version| read_on(&head("GET", "/", version, &[("host", "app.test")]), &connection()).unwrap_err();
    for (fault, expected) in [
        (read("/a/../b").unwrap_err(), RequestFault::Path(PathFault::DotSegment)),
        (with_host("app..test"), RequestFault::Host(HostFault::EmptyLabel)),
        (read("https://evil.test/").unwrap_err(), RequestFault::Header(HeaderFault::HostDiffers)),
        (read("http://app.test/").unwrap_err(), RequestFault::TargetForm),
        (read("app.test").unwrap_err(), RequestFault::TargetForm),
        (as_method("get"), RequestFault::Method),
        (as_version(Version::HTTP_09), RequestFault::Version),
        (as_version(Version::HTTP_3), RequestFault::Version),
    ] {
        assert_eq!(fault, ReadFault::Malformed(expected));
        assert!(!expected.to_string().is_empty());
    }
    assert!(RequestFault::SecondSpelling.to_string().contains("field name"));
}

#[test]
fn a_request_for_another_host_than_the_handshake_named_is_misdirected() {
    let named = |name: &str, target: &str| {
        let name = Host::parse(name).unwrap();
        read_on(&head("GET", target, Version::HTTP_11, &[("host", "app.test")]), &Connection { server_name: Some(&name), ..connection() })
    };
    assert!(named("app.test", "/").is_ok());
    assert!(named("APP.test.", "https://app.test:443/").is_ok());
    for other in ["pub.test", "test", "x.app.test", "app.test.evil.test"] {
        assert_eq!(named(other, "/").unwrap_err(), ReadFault::Misdirected, "{other}");
    }
    // What is malformed is told as that: nobody learns by the difference which hosts there are.
    assert_eq!(named("pub.test", "/..").unwrap_err(), ReadFault::Malformed(PathFault::DotSegment.into()));
}

#[test]
fn without_a_server_name_the_authority_alone_counts() {
    assert_eq!(read("/").unwrap().authority.to_string(), "app.test");
}

#[test]
fn over_http_2_the_host_field_stands_for_an_authority_that_is_not_there() {
    let asked = head("GET", "/a", Version::HTTP_2, &[("host", "app.test")]);
    assert_eq!(read_on(&asked, &connection()).unwrap().authority.to_string(), "app.test");
    let pseudo = head("GET", "https://app.test/a", Version::HTTP_2, &[]);
    assert_eq!(read_on(&pseudo, &connection()).unwrap().authority.to_string(), "app.test");
    let nobody = head("GET", "/a", Version::HTTP_2, &[]);
    assert_eq!(read_on(&nobody, &connection()).unwrap_err(), ReadFault::Malformed(HeaderFault::HostCount.into()));
}

#[test]
fn a_query_is_printable_and_travels_as_it_stood() {
    for (target, query) in [("/a", None), ("/a?", Some("")), ("/a?b=%2e%2E/../;c", Some("b=%2e%2E/../;c")), ("/a?b?c", Some("b?c"))] {
        let request = read(target).unwrap();
        assert_eq!(request.query.as_deref(), query);
        assert_eq!(request.target(), target);
    }
    // The types in front of us let bytes through that a query must not hold.
    for query in ["b=\u{e9}", "\u{ff1f}"] {
        let mut asked = head("GET", "/", Version::HTTP_2, &[("host", "app.test")]);
        asked.uri = http::Uri::from_maybe_shared(format!("/a?{query}").into_bytes()).unwrap();
        assert_eq!(read_on(&asked, &connection()).unwrap_err(), ReadFault::Malformed(RequestFault::Query), "{query}");
    }
}

#[test]
fn the_record_states_the_target_on_the_wire_where_it_is_known() {
    let asked = head("GET", "https://app.test/%61?b", Version::HTTP_11, &[("host", "app.test")]);
    let wire = Connection { raw_target: Some("https://APP.test/%61?b"), ..connection() };
    assert_eq!(&*read_on(&asked, &wire).unwrap().raw_target, "https://APP.test/%61?b");
    assert_eq!(&*read_on(&asked, &connection()).unwrap().raw_target, "/%61?b");
    let authority = head("CONNECT", "app.test:443", Version::HTTP_11, &[]);
    assert_eq!(&*raw_target(&authority, &connection()), "app.test:443");
}

#[test]
fn a_field_name_that_may_read_as_another_is_noticed() {
    let noticed = |name: &str| {
        let asked = head("GET", "/", Version::HTTP_11, &[("host", "app.test"), ("x-plain-1", "a"), (name, "b")]);
        read_on(&asked, &connection()).unwrap().has_second_spellings
    };
    assert!(!noticed("x-plain") && !noticed("dnt") && !noticed("sec-ch-ua-platform"));
    for mark in "!#$%&'*+.^_`|~".chars() {
        assert!(noticed(&format!("x{mark}plain")) && noticed(&format!("x-plain{mark}")) && noticed(&mark.to_string()), "{mark}");
    }
}

#[test]
fn a_reading_holds_what_it_was_made_of() {
    let request = read("/a").unwrap();
    let text = "ab".repeat(16);
    assert_eq!((request.id.to_string(), format!("{:?}", request.id)), (text.clone(), text));
    assert_eq!((request.received, request.port, request.version), (Timestamp::from_seconds(7), 443, Version::HTTP_11));
    assert_eq!((request.peer, request.client), (address("10.0.0.9"), Some(address("10.0.0.9"))));
}

#[test]
fn a_browser_that_goes_somewhere_is_told_from_a_program() {
    let caller = |list: &[(&str, &str)]| read_caller(&fields(list));
    for list in [
        &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")][..],
        &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")],
        &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "frame")],
        &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "embed")],
        &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "object")],
        &[("sec-fetch-mode", "navigate")],
        &[("sec-fetch-dest", "document"), ("accept", "text/html")],
        &[("accept", "text/html,application/xhtml+xml")],
        &[("accept", "application/xml, text/html;q=0.9")],
    ] {
        assert_eq!(caller(list), Caller::Navigation, "{list:?}");
    }
    for list in [
        &[][..],
        &[("accept", "*/*")],
        &[("accept", "application/json, x/text/html")],
        &[("sec-fetch-mode", "cors"), ("sec-fetch-dest", "document"), ("accept", "text/html")],
        &[("sec-fetch-mode", "cors"), ("accept", "text/html")],
        &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "empty"), ("accept", "text/html")],
        &[("sec-fetch-dest", "image"), ("accept", "text/html")],
        &[("sec-fetch-dest", "document")],
        &[("upgrade", "websocket"), ("accept", "text/html")],
        &[("upgrade", "h2c"), ("sec-fetch-mode", "navigate")],
    ] {
        assert_eq!(caller(list), Caller::Program, "{list:?}");
    }
}

#[test]
fn one_client_has_one_address_and_an_ipv6_network_one_key() {
    assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
    assert_eq!(address("::ffff:192.0.2.1").ip(), IpAddr::from([192, 0, 2, 1]));
    assert_eq!((address("192.0.2.1").to_string(), address("2001:DB8::1").to_string()), ("192.0.2.1".into(), "2001:db8::1".into()));
    let same = |one: &str, other: &str| address(one).key() == address(other).key();
    assert!(same("192.0.2.1", "::ffff:192.0.2.1") && !same("192.0.2.1", "192.0.2.2"));
    assert!(same("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff"));
    assert!(!same("2001:db8:0:1::1", "2001:db8:0:2::1") && !same("2001:db8:0:1::1", "3001:db8:0:1::1"));
    assert_eq!(address("2001:db8:0:1::1").key(), address("2001:db8:0:1::").key());
}
