//! No field of a client states who asks, in any spelling; none of them changes what is judged; and an upstream cannot set
//! what the gateway sets. Input: lines of `name:value`.

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Version};
use kernel::request::client::{ClientAddress, TrustedProxies};
use kernel::request::{CanonicalRequest, Connection, ReadFault, RequestId, headers};
use kernel::time::Timestamp;

pub fn check(data: &[u8]) {
    let mut fields = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(64) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(&line[colon + 1..])) else { continue };
        fields.append(name, value);
    }

    let forwarded = headers::forwardable(&fields);
    for (name, value) in &forwarded {
        let read = as_cgi(name.as_str());
        assert!(!read.starts_with("HTTP_X_PORTCULLIS") && !read.starts_with("HTTP_X_FORWARDED") && read != "HTTP_FORWARDED", "{name}");
        assert!(!matches!(read.as_str(), "HTTP_REMOTE_USER" | "HTTP_X_REAL_IP" | "HTTP_CONNECTION" | "HTTP_HOST"), "{name}");
        if name == http::header::COOKIE {
            let text = value.as_bytes().to_ascii_lowercase();
            let own = headers::COOKIE.to_ascii_lowercase();
            assert!(!text.split(|byte| *byte == b';').any(|pair| pair.trim_ascii().starts_with(format!("{own}=").as_bytes())), "{value:?}");
        }
    }
    assert_eq!(headers::forwardable(&forwarded), forwarded, "cleaning twice is cleaning once");

    let returned = headers::returnable(fields.clone());
    assert!(!returned.keys().any(|name| as_cgi(name.as_str()).starts_with("HTTP_X_PORTCULLIS")));
    assert_eq!(headers::returnable(returned.clone()), returned);

    if let Some(cookie) = headers::own_cookie(&fields) {
        assert!(fields.get_all(http::header::COOKIE).iter().any(|value| contains(value.as_bytes(), cookie.as_bytes())));
    }

    fields.remove(http::header::HOST);
    fields.insert(http::header::HOST, HeaderValue::from_static("app.test"));
    let Ok(request) = read(&fields, "") else { return };
    assert_eq!((request.path.as_str(), request.query.as_deref()), ("/a", Some("b")));
    assert_eq!((request.authority.to_string().as_str(), request.method.as_str()), ("app.test", "GET"));
    assert_eq!(request.client, Some(peer()), "nobody is believed who is not trusted");
    // Where the peer is trusted, the client is one that the field names, or nobody.
    if let Ok(CanonicalRequest { client: Some(client), .. }) = read(&fields, "192.0.2.0/24") {
        let named = fields.get_all(headers::X_FORWARDED_FOR).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        let named = named.filter_map(|text| std::str::from_utf8(text).ok()?.trim().parse::<IpAddr>().ok());
        assert!(client == peer() || named.map(ClientAddress::new).any(|address| address == client));
    }
}

fn read(fields: &HeaderMap, trusted: &str) -> Result<CanonicalRequest, ReadFault> {
    let mut request = Request::builder().uri("/a?b").version(Version::HTTP_11).body(()).expect("a plain request");
    *request.headers_mut() = fields.clone();
    let connection = Connection { peer: peer(), port: 443, server_name: None, raw_target: None, fault: None };
    let networks = trusted.parse().into_iter().collect();
    let id = RequestId::new([0; 16]);
    CanonicalRequest::read(&request.into_parts().0, &connection, &TrustedProxies::new(networks), id, Timestamp::EPOCH)
}

fn peer() -> ClientAddress {
    ClientAddress::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9)))
}

/// As the most lenient CGI servers read a name.
fn as_cgi(name: &str) -> String {
    let letters = name.chars().map(|character| if character.is_ascii_alphanumeric() { character.to_ascii_uppercase() } else { '_' });
    format!("HTTP_{}", letters.collect::<String>())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}
