//! Plain HTTP: the way to https, and nothing else.

use std::sync::Mutex;

use bytes::Bytes;
use kernel::request::host::{Authority as Named, Host};

use super::*;

#[derive(Default)]
struct Map(Mutex<Vec<Told>>);

impl Ways for Map {
    fn secure(&self, host: &Host) -> Option<Named> {
        match host.as_str() {
            "app.test" => Some(Named { host: host.clone(), port: 443 }),
            "far.test" => Some(Named { host: host.clone(), port: 8443 }),
            _ => None,
        }
    }
    fn challenge(&self, host: &Host, path: &str) -> Option<Bytes> {
        (host.as_str() == "app.test" && path == "/.well-known/acme-challenge/token").then(|| Bytes::from_static(b"token.thumb"))
    }
    fn told(&self, told: Told) {
        self.0.lock().unwrap().push(told);
    }
}

struct Plain {
    address: SocketAddr,
    map: Arc<Map>,
    _shutdown: tokio_util::sync::DropGuard,
}

fn start_plain(bounds: Bounds) -> Plain {
    start_behind(bounds, TrustedProxies::default(), ProxyHeader::Refuse)
}

fn start_behind(bounds: Bounds, trusted_proxies: TrustedProxies, proxy_header: ProxyHeader) -> Plain {
    let shares = Shares::new(&bounds, None);
    let bind = "127.0.0.1:0".parse().unwrap();
    let bound =
        bind_redirect(RedirectSettings { bind, bounds, deadlines: Deadlines::default(), trusted_proxies, proxy_header }, &shares).unwrap();
    let (address, map, shutdown, tasks) = (bound.local_addr(), Arc::<Map>::default(), CancellationToken::new(), TaskTracker::new());
    tasks.spawn(bound.serve(Arc::<Map>::clone(&map), shutdown.clone(), tasks.clone()));
    Plain { address, map, _shutdown: shutdown.drop_guard() }
}

impl Plain {
    async fn send(&self, bytes: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let _ = stream.write_all(bytes.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the connection stayed open");
        String::from_utf8(answer).unwrap()
    }

    async fn get(&self, target: &str, host: &str) -> String {
        self.send(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await
    }
}

fn location(answer: &str) -> Option<&str> {
    answer.lines().find_map(|line| line.strip_prefix("location: "))
}

#[tokio::test]
async fn a_listed_host_is_sent_to_its_https_address() {
    let plain = start_plain(Bounds::default());
    let port = plain.address.port();
    for (target, host, expected) in [
        ("/", "app.test".to_owned(), "https://app.test/"),
        ("/a/b?c=d&e=//x", "APP.test".to_owned(), "https://app.test/a/b?c=d&e=//x"),
        ("/", format!("app.test:{port}"), "https://app.test/"),
        ("/a", "app.test.".to_owned(), "https://app.test/a"),
        ("/a", "far.test".to_owned(), "https://far.test:8443/a"),
    ] {
        let answer = plain.get(target, &host).await;
        assert_eq!((statuses(&answer), location(&answer)), (vec!["308"], Some(expected)), "{host} {target} {answer}");
        assert!(answer.contains("connection: close") && !answer.contains("set-cookie"), "{answer}");
    }
    let head = plain.send("HEAD / HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
    assert_eq!((statuses(&head), location(&head)), (vec!["308"], Some("https://app.test/")));
}

#[tokio::test]
async fn nothing_leads_anywhere_else() {
    let plain = start_plain(Bounds::default());
    let request = |line: &str, rest: &str| format!("{line}\r\n{rest}\r\n");
    for (bytes, status) in [
        // hosts that are not listed, or not at this port
        (request("GET / HTTP/1.1", "Host: evil.test\r\n"), "404"),
        (request("GET / HTTP/1.1", "Host: app.test.evil.test\r\n"), "404"),
        (request("GET / HTTP/1.1", "Host: app.test:1\r\n"), "404"),
        (request("GET / HTTP/1.1", "Host: app.test:443\r\n"), "404"),
        (request("GET / HTTP/1.1", "Host: 127.0.0.1\r\n"), "404"),
        (request("POST / HTTP/1.1", "Host: evil.test\r\nContent-Length: 0\r\n"), "404"),
        // hosts with two readings
        (request("GET / HTTP/1.1", "Host: app.test@evil.test\r\n"), "400"),
        (request("GET / HTTP/1.1", "Host: evil.test/app.test\r\n"), "400"),
        (request("GET / HTTP/1.1", "Host: app.test\r\nHost: evil.test\r\n"), "400"),
        (request("GET / HTTP/1.1", "Host: app.test, evil.test\r\n"), "400"),
        (request("GET / HTTP/1.1", ""), "400"),
        (request("GET http://evil.test/ HTTP/1.1", "Host: app.test\r\n"), "400"),
        (request("GET https://evil.test/ HTTP/1.1", "Host: app.test\r\n"), "400"),
        // paths with two readings
        (request("GET //evil.test/ HTTP/1.1", "Host: app.test\r\n"), "400"),
        (request("GET /\\evil.test HTTP/1.1", "Host: app.test\r\n"), "400"),
        (request("GET /%2f%2fevil.test HTTP/1.1", "Host: app.test\r\n"), "400"),
        (request("GET /a/../b HTTP/1.1", "Host: app.test\r\n"), "400"),
        (request("GET /%0d%0aSet-Cookie:a HTTP/1.1", "Host: app.test\r\n"), "400"),
        (request("GET .evil.test/ HTTP/1.1", "Host: app.test\r\n"), "400"),
        (request("GET @evil.test/ HTTP/1.1", "Host: app.test\r\n"), "400"),
        // framing with two readings, and what is no HTTP/1.1
        (request("GET / HTTP/1.1", "Host: app.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n"), "400"),
        ("GET / HTTP/1.1\nHost: app.test\n\n".to_owned(), "400"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), "505"),
        // other methods
        (request("POST / HTTP/1.1", "Host: app.test\r\nContent-Length: 0\r\n"), "405"),
        (request("CONNECT app.test:443 HTTP/1.1", "Host: app.test:443\r\n"), "400"),
        (
            request(
                "GET / HTTP/1.1",
                "Host: app.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            ),
            "405",
        ),
    ] {
        let answer = plain.send(&bytes).await;
        assert_eq!((statuses(&answer), location(&answer)), (vec![status], None), "{bytes:?} {answer}");
    }
    assert!(plain.map.0.lock().unwrap().iter().all(|told| *told == Told::Refused));
}

#[tokio::test]
async fn what_follows_a_request_is_not_answered() {
    let plain = start_plain(Bounds::default());
    let answer = plain.get("/a", "app.test\r\n\r\nGET /b HTTP/1.1\r\nHost: app.test").await;
    assert_eq!((statuses(&answer), location(&answer)), (vec!["308"], Some("https://app.test/a")));
}

#[tokio::test]
async fn a_challenge_is_answered_before_all_else_and_only_where_it_is_open() {
    let plain = start_plain(Bounds::default());
    let answer = plain.get("/.well-known/acme-challenge/token", "app.test").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("token.thumb"), "{answer}");
    for (target, host, status) in [
        ("/.well-known/acme-challenge/other", "app.test", "308"),
        ("/.well-known/acme-challenge/token", "far.test", "308"),
        ("/.well-known/acme-challenge/token", "evil.test", "404"),
    ] {
        assert_eq!(statuses(&plain.get(target, host).await), [status], "{host} {target}");
    }
    let post = "POST /.well-known/acme-challenge/token HTTP/1.1\r\nHost: app.test\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(statuses(&plain.send(post).await), ["405"]);
}

#[tokio::test]
async fn an_address_has_its_share_of_plain_connections_too() {
    let plain = start_plain(Bounds { connections_per_address: 1, ..Bounds::default() });
    let _open = TcpStream::connect(plain.address).await.unwrap();
    assert_eq!(plain.get("/", "app.test").await, "");
}

#[tokio::test]
async fn behind_a_proxy_the_client_is_whom_the_proxy_names() {
    let bounds = Bounds { connections_per_address: 1, ..Bounds::default() };
    let loopback = TrustedProxies::new(vec!["127.0.0.0/8".parse().unwrap()]);
    let plain = start_behind(bounds, loopback, ProxyHeader::Require);
    let header = |client: &str| format!("PROXY TCP4 {client} 10.0.0.1 8080 80\r\n");
    let ask = "GET /a HTTP/1.1\r\nHost: app.test\r\n\r\n";
    let mut waits = TcpStream::connect(plain.address).await.unwrap();
    waits.write_all(header("192.0.2.7").as_bytes()).await.unwrap();
    let other = plain.send(&format!("{}{ask}", header("192.0.2.8"))).await;
    assert_eq!((statuses(&other), location(&other)), (vec!["308"], Some("https://app.test/a")));
    // The first one has its place only once its header was read.
    while !plain.send(&format!("{}{ask}", header("192.0.2.7"))).await.is_empty() {}
    for refused in [ask.to_owned(), format!("PROXY TCP4 nonsense\r\n{ask}")] {
        assert_eq!(plain.send(&refused).await, "", "{refused}");
    }
}

#[tokio::test]
async fn a_proxy_header_of_somebody_else_is_not_believed() {
    for (trusted, header) in [(vec!["192.0.2.0/24".parse().unwrap()], ProxyHeader::Require), (vec![], ProxyHeader::Refuse)] {
        let plain = start_behind(Bounds::default(), TrustedProxies::new(trusted), header);
        let answer = plain.send("PROXY TCP4 192.0.2.7 10.0.0.1 8080 80\r\nGET /a HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
        assert!(!answer.contains("308"), "{answer}");
    }
}

#[tokio::test]
async fn a_stopped_listener_is_closed_while_a_connection_is_open() {
    let plain = start_plain(Bounds::default());
    let _open = TcpStream::connect(plain.address).await.unwrap();
    let address = plain.address;
    drop(plain);
    let refused = async { while TcpStream::connect(address).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, refused).await.expect("the socket stayed open");
}
