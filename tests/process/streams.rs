//! WebSockets that are open while one process takes another one's place: they go on where they are, and end with their session,
//! whichever process hears of it.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kernel::identity::assurance::{Assurance, FactorKind, FactorProof};
use kernel::identity::{Email, Group, Identity, Subject};
use kernel::request::host::Host;
use kernel::session::token::Purpose;
use kernel::session::{Session, SessionId, SessionState, Token, TokenHash};
use portcullis::clock::Clock;
use portcullis::store::sealing::KeyRing;
use portcullis::store::{NewSession, Store, sqlite};
use rustix::process::{Pid, Signal, kill_process};

use super::support::{Client, World, wait};

/// An upstream that agrees to the one handshake there is, and says everything back in capitals.
fn echoing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || echo(stream));
        }
    });
    url
}

fn echo(mut stream: TcpStream) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    let answer = format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{accept}\r\n\r\n");
    stream.write_all(answer.as_bytes()).ok()?;
    let mut piece = [0; 64];
    loop {
        let length = stream.read(&mut piece).ok().filter(|length| *length > 0)?;
        stream.write_all(&piece[..length].to_ascii_uppercase()).ok()?;
    }
}

/// A cookie of somebody in `admins` who has shown a second factor, as a sign-in leaves it. Call it before there is a gateway.
fn sign_in(world: &World) -> String {
    let text = fs::read_to_string(world.config().join("keys/master.key")).unwrap();
    let master: [u8; 32] = STANDARD.decode(text.trim()).unwrap().try_into().unwrap();
    let ring = KeyRing::new(&zeroize::Zeroizing::new(master), &[]).unwrap();
    let state = world.config().join("state");
    fs::DirBuilder::new().recursive(true).create(&state).unwrap();
    let store: Arc<dyn Store> = Arc::new(sqlite::open(&state.join("portcullis.db"), ring, sqlite::Settings::default()).unwrap());
    let now = Clock::system().now();
    let random = || portcullis::entropy::bytes::<32>().unwrap();
    let (token, id, host) = (Token::new(random()), SessionId::new([7; 16]), Host::parse("app.localhost").unwrap());
    let session = Session {
        id,
        idp: "main".into(),
        identity: Identity {
            subject: Subject { issuer: "http://127.0.0.1:9".into(), sub: "ana".into() },
            email: Some(Email::parse("ana@example.com").unwrap()),
            name: None,
            groups: vec![Group::new("admins")],
        },
        assurance: Assurance::default().with(FactorProof { kind: FactorKind::Totp, at: now }),
        state: SessionState { created: now, authenticated: now, last_seen: now, ended: None },
        idp_session: None,
        lineage: TokenHash::from_bytes(random()),
        address: None,
        user_agent: None,
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        store.see_subject(session.identity.clone(), now).await.unwrap();
        let cookie = TokenHash::from_bytes(random());
        let gate = Host::parse("gate.localhost").unwrap();
        store.begin_session(NewSession { session, cookie, host: gate, id_token: None }).await.unwrap();
        store.bind_cookie(id, token.hash(Purpose::Cookie(&host)), host).await.unwrap();
    });
    format!("__Host-portcullis={}", token.text())
}

fn open(world: &World, cookie: &str) -> Client {
    let mut client = world.connect().unwrap();
    let host = client.host.clone();
    let head = format!(
        "GET /socket HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://{host}\r\nCookie: {cookie}\r\n\r\n"
    );
    client.stream.get_mut().write_all(head.as_bytes()).unwrap();
    client.stream.get_mut().flush().unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}\n{}", String::from_utf8_lossy(&head), world.errors());
    client
}

fn converse(client: &mut Client, text: &str) {
    client.stream.get_mut().write_all(text.as_bytes()).unwrap();
    client.stream.get_mut().flush().unwrap();
    let mut said = vec![0; text.len()];
    client.stream.read_exact(&mut said).unwrap();
    assert_eq!(said, text.to_ascii_uppercase().as_bytes());
}

/// The process that took the place of the first one.
fn successor(world: &World) -> Option<Pid> {
    let errors = world.errors();
    let line = errors.lines().find(|line| line.contains("the new process serves"))?;
    Pid::from_raw(line.split("process.id=").nth(1)?.split_whitespace().next()?.parse().ok()?)
}

/// The outcome of each stream that is over. A client here ends its connection without a word.
fn closed(world: &World) -> Vec<String> {
    let records = world.records();
    let own = records.iter().map(|record| &record["unmapped"]["portcullis"]).filter(|own| own["event"] == "stream_close");
    own.map(|own| own["outcome"].as_str().unwrap().to_owned()).collect()
}

/// A WebSocket is open, and another process takes the place of the one that holds it. Then `end` happens.
fn check(end: impl FnOnce(&World, Client), outcomes: &[&str]) {
    let world = World::with_upstream(&echoing());
    let cookie = sign_in(&world);
    let mut gateway = world.serve();
    let mut socket = open(&world, &cookie);
    converse(&mut socket, "before");
    gateway.signal(Signal::USR2);
    wait("another process serves", || successor(&world).is_some());
    converse(&mut socket, "after");
    // The new one knows the session too.
    let mut another = open(&world, &cookie);
    converse(&mut another, "beside");
    drop(another);
    end(&world, socket);
    wait("the process before ends", || gateway.has_ended());
    wait("ends are on record", || closed(&world).len() == outcomes.len());
    kill_process(successor(&world).unwrap(), Signal::TERM).unwrap();
    wait("the last gateway has gone", || !world.config().join("state/control.sock").exists());
    let mut found = closed(&world);
    found.sort();
    assert_eq!(found, outcomes, "{}", world.errors());
    world.check(&["audit", "verify"], 0);
}

#[test]
fn a_websocket_goes_on_over_an_upgrade_and_its_end_is_recorded_by_the_next_process() {
    check(
        |_, mut socket| {
            converse(&mut socket, "and still");
            drop(socket);
        },
        &["client_left", "client_left"],
    );
}

#[test]
fn a_session_that_is_revoked_takes_its_websocket_in_the_process_before_with_it() {
    check(
        |world, mut socket| {
            world.check(&["session", "revoke", "--user", "ana@example.com"], 0);
            let mut last = Vec::new();
            let _the_connection_may_break = socket.stream.read_to_end(&mut last);
            assert_eq!(last, [0x88, 0x02, 0x03, 0xf0], "the close frame of a policy");
        },
        &["client_left", "cut"],
    );
}
