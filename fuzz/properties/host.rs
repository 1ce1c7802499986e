//! A host is read in one way or not at all, and what is read can be written anywhere an authority stands.

use kernel::request::host::{Authority, Host};

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(authority) = Authority::parse(text) else { return };
    let written = authority.to_string();
    assert_eq!(Authority::parse(&written).as_ref(), Ok(&authority), "reading twice is reading once");
    assert_eq!(Authority::parse(&text.to_ascii_uppercase()).as_ref(), Ok(&authority), "case makes no difference");
    assert_eq!(Host::parse(authority.host.as_str()).as_ref(), Ok(&authority.host));
    assert!(
        authority.host.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.[]:".contains(&byte)),
        "{written}"
    );

    // The library that upstreams' and clients' programs are most like reads the same host and port.
    let uri: http::Uri = format!("{}/", authority.origin()).parse().expect("an origin is a URI");
    assert_eq!(uri.host(), Some(authority.host.as_str()));
    assert_eq!(uri.port_u16().unwrap_or(443), authority.port);
    assert_eq!(uri.path(), "/");
}
