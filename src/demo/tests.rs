//! The demo's world without the gateway.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

use super::*;

/// A whole answer.
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Sends one request to `http://ADDRESS` over a connection of its own.
pub(super) async fn ask(origin: &str, mut request: Request<String>) -> Answer {
    let address = origin.strip_prefix("http://").unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    request.headers_mut().insert(HOST, address.parse().unwrap());
    let (head, body) = sender.send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    connection.abort();
    Answer { status: head.status, headers: head.headers, body }
}

async fn world() -> World {
    World::start(Ports { gateway: 0, operations: 0 }, Clock::system()).await.unwrap()
}

#[tokio::test]
async fn everything_written_is_the_owners_alone() {
    let world = world().await;
    let mut folders = vec![world.dir().to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700, "{}", folder.display());
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files += 1;
                assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
            }
        }
    }
    assert_eq!(files, 9);
}

#[tokio::test]
async fn nothing_stays_after_the_end() {
    let world = world().await;
    let (dir, issuer) = (world.dir().to_owned(), world.issuer().to_owned());
    world.stop().await;
    assert!(!dir.exists());
    assert!(TcpStream::connect(issuer.strip_prefix("http://").unwrap()).await.is_err());
}

#[tokio::test]
async fn the_configuration_is_toml_and_names_what_runs() {
    let world = world().await;
    let read = |name: &str| fs::read_to_string(world.config_dir().join(name)).unwrap().parse::<toml::Table>().unwrap();
    let gateway = read("portcullis.toml");
    assert_eq!(gateway["idp"][0]["issuer"].as_str(), Some(world.issuer()));
    assert_eq!(gateway["gateway"]["url"].as_str(), Some(world.hosts().gate().as_str()));
    assert_eq!(read("routes/app.toml")["to"][0].as_str(), Some(format!("http://{}", world.samples().page).as_str()));
    assert_eq!(read("routes/echo.toml")["to"][0].as_str(), Some(format!("http://{}", world.samples().echo).as_str()));
}

#[tokio::test]
async fn the_banner_names_what_a_person_needs() {
    let world = world().await;
    let banner = world.banner();
    for word in [
        world.hosts().gate(),
        world.hosts().app(),
        world.hosts().echo(),
        "ana".into(),
        "ben".into(),
        "eva".into(),
        "/admin as ana".into(),
        format!("audit tail --follow --config {}", world.config_dir().display()),
        world.config_dir().join("certs/ca.pem").display().to_string(),
    ] {
        assert!(banner.contains(&word), "{word} is not in {banner}");
    }
}

#[test]
fn the_default_port_is_not_written() {
    assert_eq!(Hosts { port: 443 }.gate(), "https://gate.localhost");
    assert_eq!(Hosts { port: 8443 }.gate(), "https://gate.localhost:8443");
}
