//! Before HTTP: TLS, PROXY headers, shares.

use rustls::version::{TLS12, TLS13};

use super::*;

const REQUEST: &str = "GET /a HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n";

async fn shake(stand: &Stand, offer: Offer<'_>) -> std::io::Result<TlsStream<TcpStream>> {
    stand.shake(TcpStream::connect(stand.address).await.unwrap(), offer).await
}

fn loopback() -> TrustedProxies {
    TrustedProxies::new(vec!["127.0.0.0/8".parse().unwrap()])
}

fn proxied(trusted: TrustedProxies) -> Stand {
    start_with(Settings { trusted_proxies: trusted, proxy_header: ProxyHeader::Require, ..settings() }, Profile::Modern)
}

/// Sends a header and then a request over TLS; the client that the handler saw, if one came.
async fn client_of(mut stand: Stand, header: &[u8]) -> Option<(String, u16)> {
    let mut stream = TcpStream::connect(stand.address).await.unwrap();
    stream.write_all(header).await.unwrap();
    let mut client = stand.shake(stream, HTTP1).await.ok()?;
    client.write_all(REQUEST.as_bytes()).await.unwrap();
    read_to_end(&mut client).await;
    let met = stand.next().await;
    Some((met.facts.connection.peer.to_string(), met.facts.connection.peer_port))
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([0x20 | command, family]);
    header.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
    header.extend_from_slice(rest);
    header
}

const V4: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0x1f, 0x90, 0x01, 0xbb];

#[tokio::test]
async fn a_trusted_proxy_states_the_client() {
    let client = |address: &str, port| Some((address.to_owned(), port));
    assert_eq!(client_of(proxied(loopback()), b"PROXY TCP4 192.0.2.7 10.0.0.1 8080 443\r\n").await, client("192.0.2.7", 8080));
    assert_eq!(client_of(proxied(loopback()), b"PROXY TCP6 2001:db8::7 ::1 8080 443\r\n").await, client("2001:db8::7", 8080));
    assert_eq!(client_of(proxied(loopback()), &v2(1, 0x11, &V4)).await, client("192.0.2.7", 8080));
    let with_tlv = [&V4[..], &[0x04, 0, 1, 0]].concat();
    assert_eq!(client_of(proxied(loopback()), &v2(1, 0x11, &with_tlv)).await, client("192.0.2.7", 8080));
}

#[tokio::test]
async fn a_proxy_that_speaks_for_itself_is_the_client() {
    for header in [b"PROXY UNKNOWN\r\n".to_vec(), v2(0, 0, &[])] {
        let (address, _) = client_of(proxied(loopback()), &header).await.unwrap();
        assert_eq!(address, "127.0.0.1");
    }
}

#[tokio::test]
async fn a_connection_without_a_readable_proxy_header_is_closed() {
    let tlv_beyond = [&V4[..], &[0x04, 0, 9, 0]].concat();
    for header in [
        Vec::new(),
        b"GET / HTTP/1.1\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.700 10.0.0.1 1 2\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 10.0.0.1 +8080 443\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 10.0.0.1 8080 0443\r\n".to_vec(),
        b"PROXX TCP4 192.0.2.7 10.0.0.1 1 2\r\n".to_vec(),
        format!("PROXY {}\r\n", "a".repeat(200)).into_bytes(),
        v2(1, 0x11, &V4[..11]),
        v2(1, 0x12, &V4),
        v2(1, 0x11, &tlv_beyond),
        v2(1, 0x11, &[&V4[..], &[0; 65_000]].concat()),
        b"\r\n\r\n\0\r\nQUIX\n\x21\x11\0\0".to_vec(),
    ] {
        assert_eq!(client_of(proxied(loopback()), &header).await, None, "{}", header.escape_ascii());
    }
}

#[tokio::test]
async fn only_a_trusted_proxy_may_connect_where_a_header_is_required() {
    let header = b"PROXY TCP4 192.0.2.7 10.0.0.1 8080 443\r\n";
    assert_eq!(client_of(proxied(TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()])), header).await, None);
    assert_eq!(client_of(proxied(TrustedProxies::default()), header).await, None);
}

#[tokio::test]
async fn a_proxy_header_is_not_read_where_none_is_required() {
    assert_eq!(client_of(start(), b"PROXY TCP4 192.0.2.7 10.0.0.1 8080 443\r\n").await, None);
    assert_eq!(client_of(start(), &v2(1, 0x11, &V4)).await, None);
}

#[tokio::test]
async fn a_proxy_header_that_does_not_come_is_not_waited_for() {
    let deadlines = Deadlines { proxy_header: Duration::from_millis(50), ..Deadlines::default() };
    let stand =
        start_with(Settings { deadlines, trusted_proxies: loopback(), proxy_header: ProxyHeader::Require, ..settings() }, Profile::Modern);
    let mut stream = TcpStream::connect(stand.address).await.unwrap();
    stream.write_all(b"PROXY TCP4 ").await.unwrap();
    let _ = tokio::time::timeout(PATIENCE, stream.read(&mut [0; 1])).await.expect("the connection stayed open");
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_not_waited_for() {
    let deadlines = Deadlines { handshake: Duration::from_millis(50), ..Deadlines::default() };
    let stand = start_with(Settings { deadlines, ..settings() }, Profile::Modern);
    for beginning in [&b""[..], b"\x16\x03\x01\x02"] {
        let mut stream = TcpStream::connect(stand.address).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        let _ = tokio::time::timeout(PATIENCE, stream.read(&mut [0; 1])).await.expect("the connection stayed open");
    }
}

#[tokio::test]
async fn certificates_are_chosen_by_server_name() {
    let stand = start();
    for name in ["app.test", "APP.test", "a.w.test", "other.test"] {
        shake(&stand, Offer { name, ..HTTP1 }).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[tokio::test]
async fn an_unknown_server_name_or_none_fails_the_handshake() {
    let stand = start();
    for name in ["unknown.test", "w.test", "a.b.w.test", "xapp.test", "127.0.0.1"] {
        let error = shake(&stand, Offer { name, ..HTTP1 }).await.expect_err(name).to_string();
        assert!(error.contains("UnrecognisedName"), "{name}: {error}");
    }
}

#[tokio::test]
async fn protocols_are_agreed_on_or_refused() {
    let stand = start();
    let agreed = |stream: &TlsStream<TcpStream>| stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    let both = shake(&stand, Offer { alpn: &[b"http/1.1", b"h2"], ..HTTP1 }).await.unwrap();
    assert_eq!(agreed(&both), Some(b"h2".to_vec()));
    let mut none = shake(&stand, Offer { alpn: &[], ..HTTP1 }).await.unwrap();
    assert_eq!(agreed(&none), None);
    none.write_all(REQUEST.as_bytes()).await.unwrap();
    assert_eq!(statuses(&read_to_end(&mut none).await), ["200"]);
    assert!(shake(&stand, Offer { alpn: &[b"acme-tls/1"], ..HTTP1 }).await.is_err());
    let only1 = start_with(Settings { protocols: Protocols::Http1, ..settings() }, Profile::Modern);
    assert!(shake(&only1, Offer { alpn: &[b"h2"], ..HTTP1 }).await.is_err());
}

#[tokio::test]
async fn the_profiles_speak_their_versions_and_no_others() {
    let old = Offer { versions: &[&TLS12], ..HTTP1 };
    let new = Offer { versions: &[&TLS13], ..HTTP1 };
    let modern = start();
    assert!(shake(&modern, new).await.is_ok());
    assert!(shake(&modern, old).await.is_err());
    let intermediate = start_with(settings(), Profile::Intermediate);
    assert!(shake(&intermediate, new).await.is_ok());
    let stream = shake(&intermediate, old).await.unwrap();
    let suite = stream.get_ref().1.negotiated_cipher_suite().unwrap().suite();
    assert!(suite.as_str().unwrap().starts_with("TLS_ECDHE_"));
}

#[tokio::test]
async fn the_hybrid_key_agreement_is_taken_when_offered() {
    let stream = start().connect().await;
    let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
}

#[tokio::test]
async fn certificates_are_replaced_while_connections_stay() {
    let mut stand = start();
    let mut before = stand.connect().await;
    stand.tls.replace(vec![stand.authority.certificate(&["new.test"])]).unwrap();
    shake(&stand, Offer { name: "new.test", ..HTTP1 }).await.unwrap();
    assert!(shake(&stand, HTTP1).await.is_err());
    stand.tls.replace(Vec::new()).unwrap();
    assert!(shake(&stand, Offer { name: "new.test", ..HTTP1 }).await.is_err());
    before.write_all(REQUEST.as_bytes()).await.unwrap();
    assert_eq!(statuses(&read_to_end(&mut before).await), ["200"]);
    assert_eq!(stand.next().await.target, "/a");
}

#[tokio::test]
async fn an_address_has_its_share_of_connections_and_gets_it_back() {
    let bounds = Bounds { connections_per_address: 2, ..Bounds::default() };
    let stand = start_with(Settings { bounds, ..settings() }, Profile::Modern);
    let (first, second) = (stand.connect().await, stand.connect().await);
    assert!(shake(&stand, HTTP1).await.is_err());
    drop((first, second));
    let again = async { while shake(&stand, HTTP1).await.is_err() {} };
    tokio::time::timeout(PATIENCE, again).await.expect("the share was not given back");
}

#[tokio::test]
async fn a_trusted_proxy_carries_more_than_one_share() {
    let bounds = Bounds { connections_per_address: 1, ..Bounds::default() };
    let stand = start_with(Settings { bounds, trusted_proxies: loopback(), ..settings() }, Profile::Modern);
    let (_first, _second) = (stand.connect().await, stand.connect().await);
}

#[tokio::test]
async fn a_client_behind_a_proxy_has_its_own_share() {
    let bounds = Bounds { connections_per_address: 1, ..Bounds::default() };
    let proxy = Settings { bounds, trusted_proxies: loopback(), proxy_header: ProxyHeader::Require, ..settings() };
    let stand = start_with(proxy, Profile::Modern);
    let connect = async |client: &str| {
        let mut stream = TcpStream::connect(stand.address).await.unwrap();
        stream.write_all(format!("PROXY TCP4 {client} 10.0.0.1 8080 443\r\n").as_bytes()).await.unwrap();
        stand.shake(stream, HTTP1).await
    };
    let _first = connect("192.0.2.7").await.unwrap();
    assert!(connect("192.0.2.7").await.is_err());
    assert!(connect("192.0.2.8").await.is_ok());
}

#[tokio::test]
async fn a_full_listener_drops_what_comes_and_recovers() {
    let bounds = Bounds { connections: 1, ..Bounds::default() };
    let stand = start_with(Settings { bounds, ..settings() }, Profile::Modern);
    let only = asked(&stand).await;
    assert!(shake(&stand, HTTP1).await.is_err());
    drop(only);
    let again = async { while shake(&stand, HTTP1).await.is_err() {} };
    tokio::time::timeout(PATIENCE, again).await.expect("the place was not given back");
}

/// A connection that was answered once and stays open.
async fn asked(stand: &Stand) -> tokio_rustls::client::TlsStream<TcpStream> {
    let mut stream = stand.connect().await;
    stream.write_all(b"GET /a HTTP/1.1\r\nHost: app.test\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    stream
}

#[tokio::test]
async fn who_asks_for_nothing_makes_room_the_oldest_first() {
    let bounds = Bounds { connections: 3, ..Bounds::default() };
    let stand = start_with(Settings { bounds, ..settings() }, Profile::Modern);
    let mut good = asked(&stand).await;
    let mut silent = TcpStream::connect(stand.address).await.unwrap();
    let mut shaken = stand.connect().await;
    // The silent one goes, then the one that shook hands, then the one that came for the first.
    let second = asked(&stand).await;
    assert!(matches!(silent.read(&mut [0; 8]).await, Ok(0) | Err(_)));
    let third = asked(&stand).await;
    assert!(matches!(shaken.read(&mut [0; 8]).await, Ok(0) | Err(_)));
    // All that are left have asked: nobody makes room, and nobody gets any.
    assert!(shake(&stand, HTTP1).await.is_err());
    good.write_all(REQUEST.as_bytes()).await.unwrap();
    assert!(read_to_end(&mut good).await.contains("HTTP/1.1 200"), "who asked stays");
    drop((second, third, good));
    // Places that were lost are given back once.
    let three = async {
        loop {
            let tried = [shake(&stand, HTTP1).await, shake(&stand, HTTP1).await, shake(&stand, HTTP1).await];
            if tried.iter().all(Result::is_ok) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, three).await.expect("places were lost for good");
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let stand = start();
    let again = Settings { bind: stand.address, ..settings() };
    let fault = bind(again, Arc::clone(&stand.tls)).unwrap_err().to_string();
    assert!(fault.starts_with(&format!("listener test: {} cannot be listened on: ", stand.address)), "{fault}");
}

#[tokio::test]
async fn listeners_that_share_count_together() {
    let bounds = Bounds { connections: 1, ..Bounds::default() };
    let shares = Shares::new(&bounds, None);
    let (first, second) = (start_sharing(&shares), start_sharing(&shares));
    let only = asked(&first).await;
    assert!(shake(&second, HTTP1).await.is_err());
    drop(only);
    let again = async { while shake(&second, HTTP1).await.is_err() {} };
    tokio::time::timeout(PATIENCE, again).await.expect("the place was not given back");
}

#[tokio::test]
async fn the_last_places_are_for_the_gateways_own_host() {
    let bounds = Bounds { connections: 32, ..Bounds::default() };
    let stand = start_sharing(&Shares::new(&bounds, Some(kernel::request::host::Host::parse("other.test").unwrap())));
    let mut open = Vec::new();
    for _ in 0..30 {
        open.push(asked(&stand).await);
    }
    assert!(shake(&stand, HTTP1).await.is_err());
    open.push(shake(&stand, Offer { name: "other.test", ..HTTP1 }).await.unwrap());
}
