//! What nginx, Apache, HAProxy and Node say they understood equals what was authorised, whatever the target, in HTTP/1.1 and in
//! HTTP/2 (PN, pass rule).

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tempfile::TempDir;

use crate::support::{APP, Answer, World, free_port};

/// Targets that a back end may see, and targets that none may. Where one passes, both sides must read it alike.
const TARGETS: [&str; 34] = [
    "/app/x",
    "/app/",
    "/app",
    "/app/%61%2d%7E",
    "/app/%40x",
    "/app/@x",
    "/app/a%20b",
    "/app/a+b",
    "/app/a%2Bb",
    "/app/gr%c3%b6%C3%9Fe",
    "/app/100%25",
    "/app/100%25-x",
    "/app/%3Fx",
    "/app/%23x",
    "/app/.hidden/...",
    "/app/a:b,c=d!$&'()*",
    "/app/%5Bx%5D",
    "/app/[x]^|",
    "/app/x?y=/../../admin",
    "/app/x?a;b//c",
    "/app/../admin",
    "/app/%2e%2e/admin",
    "/app/x%2fy",
    "/app/x%5cy",
    "/app//x",
    "/app/./x",
    "/app/x;y=z",
    "/app/x%3by",
    "/app/%252e%252e/admin",
    "/app/%00",
    "/app/%c0%ae%c0%ae/admin",
    "/app/x%25%32%66y",
    "/app/\\x",
    "/app/x#/../admin",
];

struct Program(Child, #[expect(dead_code, reason = "goes when the program has ended")] TempDir);

impl Drop for Program {
    fn drop(&mut self) {
        // A signal that it may handle: Apache's and nginx's first process end their workers, which SIGKILL would leave behind.
        if let Some(first) = rustix::process::Pid::from_raw(i32::try_from(self.0.id()).unwrap()) {
            let _ended_already = rustix::process::kill_process(first, rustix::process::Signal::TERM);
        }
        let _reaped = self.0.wait();
    }
}

/// Starts a program of `tests/env`; `command` is given the folder of its own and the port.
async fn start(command: impl FnOnce(&Path, u16) -> Command) -> (Program, SocketAddr) {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    std::fs::create_dir(folder.path().join("tree")).unwrap();
    let child = command(folder.path(), port).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("tests/run installs the program");
    let (program, address) = (Program(child, folder), SocketAddr::from(([127, 0, 0, 1], port)));
    for _ in 0..1_000 {
        if tokio::net::TcpStream::connect(address).await.is_ok() {
            return (program, address);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{address} does not answer");
}

/// A program on its template; `change` is what it is to do otherwise.
fn configured(program: &str, template: &str, folder: &Path, port: u16, change: impl FnOnce(String) -> String) -> Command {
    let text = change(std::fs::read_to_string(environment().join(template)).unwrap());
    let file = folder.join("server.conf");
    std::fs::write(&file, text.replace("@PORT@", &port.to_string()).replace("@DIR@", folder.to_str().unwrap())).unwrap();
    let mut command = Command::new(program);
    command.arg(if program.ends_with("nginx") { "-c" } else { "-f" }).arg(file);
    command
}

fn environment() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/env"))
}

/// Sends every target; where the back end answers, `understood` is what it says, decoded.
async fn check(upstream: SocketAddr, protocol: &str, understood: impl Fn(&Answer) -> Option<String>) {
    let world = super::start().await;
    let rules = format!("[[allow]]\nid = \"app\"\npublic = true\npaths = [\"/app/**\"]\n[upstream]\nprotocol = \"{protocol}\"\n");
    world.write_route("app", upstream, &rules);
    world.server().reload().await.unwrap();
    let mut passed = 0;
    for target in TARGETS {
        let reply = world.wire(APP).await.ask("GET", target, APP, "Connection: close\r\n").await.unwrap();
        let decision = world.decisions().pop().unwrap();
        match understood(&reply) {
            Some(path) => {
                passed += 1;
                assert_eq!(decision["decision"], "allow", "{target}");
                let authorised = percent_decode_str(decision["target"].as_str().unwrap()).decode_utf8().unwrap().into_owned();
                assert_eq!(path, authorised, "{target}");
            }
            None => {
                assert_eq!(reply.status, 400, "{target}: {reply:?}");
                assert_eq!(decision["decision"], "deny", "{target}");
            }
        }
    }
    assert_eq!(passed, 20, "the harmless targets pass");
}

fn json_field(reply: &Answer, server: &str, name: &str) -> Option<String> {
    let text = reply.text();
    let json = text.get(text.find('{')?..=text.rfind('}')?)?;
    let told: serde_json::Value = serde_json::from_str(json).ok()?;
    let is_back_end = reply.field("x-upstream") == Some(server) || told["server"] == server;
    is_back_end.then(|| told[name].as_str().unwrap().to_owned())
}

/// The path of a target as it stood on the wire.
fn decoded(target: String) -> String {
    percent_decode_str(target.split('?').next().unwrap()).decode_utf8().unwrap().into_owned()
}

async fn nginx(change: impl FnOnce(String) -> String) -> (Program, SocketAddr) {
    start(|folder, port| {
        let mut command = configured("/usr/sbin/nginx", "nginx.conf.template", folder, port, change);
        command.arg("-e").arg(folder.join("error.log"));
        command
    })
    .await
}

async fn apache(change: impl FnOnce(String) -> String) -> (Program, SocketAddr) {
    start(|folder, port| {
        let mut command = configured("/usr/sbin/apache2", "apache.conf.template", folder, port, change);
        command.arg("-DFOREGROUND");
        command
    })
    .await
}

async fn node(http2: &str) -> (Program, SocketAddr) {
    start(|_, port| node_command(port, http2)).await
}

fn node_command(port: u16, http2: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(environment().join("upstream.mjs")).env("PORT", port.to_string()).env("HTTP2", http2);
    command
}

#[tokio::test]
async fn nginx_understands_what_was_authorised() {
    let (_program, address) = nginx(|text| text).await;
    check(address, "h1", |reply| json_field(reply, "nginx", "uri")).await;
}

#[tokio::test]
async fn nginx_understands_what_was_authorised_in_http_2() {
    let (_program, address) = nginx(|text| text.replace("listen 127.0.0.1:@PORT@;", "listen 127.0.0.1:@PORT@ http2;")).await;
    check(address, "h2", |reply| json_field(reply, "nginx", "uri")).await;
}

#[tokio::test]
async fn apache_understands_what_was_authorised() {
    let (_program, address) = apache(|text| text).await;
    check(address, "h1", |reply| reply.field("x-understood-uri").map(str::to_owned)).await;
}

#[tokio::test]
async fn apache_understands_what_was_authorised_in_http_2() {
    let http2 = "LoadModule http2_module /usr/lib/apache2/modules/mod_http2.so\nProtocols h2c http/1.1\n";
    let (_program, address) = apache(|text| text + http2).await;
    check(address, "h2", |reply| reply.field("x-understood-uri").map(str::to_owned)).await;
}

#[tokio::test]
async fn haproxy_understands_what_was_authorised_in_both_versions() {
    let (_program, address) = start(|folder, port| {
        let mut command = configured("/usr/sbin/haproxy", "haproxy.conf.template", folder, port, |text| text);
        command.arg("-db");
        command
    })
    .await;
    for protocol in ["h1", "h2"] {
        check(address, protocol, |reply| json_field(reply, "haproxy", "uri").map(decoded)).await;
    }
}

#[tokio::test]
async fn node_understands_what_was_authorised() {
    let (_program, address) = node("").await;
    check(address, "h1", |reply| json_field(reply, "node", "url").map(decoded)).await;
}

#[tokio::test]
async fn node_understands_what_was_authorised_in_http_2() {
    let (_program, address) = node("yes").await;
    check(address, "h2", |reply| json_field(reply, "node", "url").map(decoded)).await;
}

/// Opens a WebSocket through the gateway, has two messages said back, and closes it as a browser does.
async fn converse(world: &World) {
    let mut wire = world.wire(APP).await;
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let cookie = world.seat(APP, &["staff"]).await;
    let head = format!(
        "GET /app/chat?room=1 HTTP/1.1\r\nHost: {APP}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n{key}\r\n\
         Origin: https://{APP}\r\nCookie: __Host-portcullis={cookie}\r\n\r\n"
    );
    wire.write(head.as_bytes()).await;
    let answer = wire.head().await.unwrap();
    assert_eq!((answer.status, answer.field("sec-websocket-accept")), (101, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")), "{answer:?}");
    wire.write(b"\x81\x85\x00\x00\x00\x00hello").await;
    wire.until("\u{5}hello").await;
    wire.write(b"\x81\x86\x00\x00\x00\x00ByeBye").await;
    wire.until("\u{6}ByeBye").await;
    wire.write(b"\x88\x82\x00\x00\x00\x00\x03\xe8").await;
    assert_eq!(wire.ended().await, b"\x88\x02\x03\xe8");
    drop(wire);
    let close = world.until(|world| world.events("stream_close").pop()).await;
    // Its connection ends without a word of TLS.
    assert_eq!(close["outcome"], "client_left", "{close}");
}

const STAFF: &str = "[[allow]]\nid = \"staff\"\nwho = { groups = [\"staff\"] }\npaths = [\"/app/**\"]\n[upstream]\nprotocol = \"h2\"\n";

#[tokio::test]
async fn node_takes_websockets_over_http_2_alone() {
    let (_program, address) = node("yes").await;
    let world = super::start().await;
    world.write_route("app", address, STAFF);
    world.server().reload().await.unwrap();
    converse(&world).await;
}

#[tokio::test]
async fn node_takes_websockets_over_http_2_and_tls_alone() {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let world = super::start().await;
    let folder = world.config_dir();
    for (file, text) in [("node.pem", certificate.pem()), ("node.key", key.serialize_pem())] {
        std::fs::write(folder.join(file), text).unwrap();
    }
    let (_program, address) = start(|_, port| {
        let mut command = node_command(port, "yes");
        command.env("TLS_CERT", folder.join("node.pem")).env("TLS_KEY", folder.join("node.key"));
        command
    })
    .await;
    world.write_route("app", address, &format!("{STAFF}ca = \"node.pem\"\ntls_name = \"localhost\"\n"));
    let route = folder.join("routes/app.toml");
    std::fs::write(&route, std::fs::read_to_string(&route).unwrap().replace("http://127.0.0.1", "https://127.0.0.1")).unwrap();
    world.server().reload().await.unwrap();
    converse(&world).await;
}
