//! Orders of the operator: at once in force, on record, and felt by streams.

use std::sync::Arc;

use portcullis::server::control::{Order, Outcome, Revoked, SessionLine};

use crate::support::{APP, Browser, GATE, Manner, Phone, Wire, World};

const ANA: &str = "ana@example.com";

async fn signed_in() -> (Arc<World>, Browser, Phone) {
    let world = World::start().await;
    let mut browser = Browser::new(&world, "ana");
    let (phone, _, _) = browser.sign_up("https://app.test/").await;
    (world, browser, phone)
}

fn user(email: &str) -> String {
    email.to_owned()
}

async fn sessions(world: &World) -> Vec<SessionLine> {
    match world.order(Order::SessionList { user: None }).await {
        Outcome::Sessions(sessions) => sessions,
        other => panic!("{other:?}"),
    }
}

/// A stream through the gateway whose first part has arrived.
async fn open_stream(world: &World, browser: &Browser) -> Wire {
    world.upstream.answer_with(Manner::Stream);
    let mut wire = world.wire(APP).await;
    let cookie = browser.cookie(APP).unwrap();
    wire.write(format!("GET /events HTTP/1.1\r\nHost: {APP}\r\nCookie: __Host-portcullis={cookie}\r\n\r\n").as_bytes()).await;
    wire.until("data: first").await;
    wire
}

async fn open_websocket(world: &World, browser: &Browser) -> Wire {
    world.upstream.answer_with(Manner::WebSocket);
    let mut wire = world.wire(APP).await;
    let cookie = browser.cookie(APP).unwrap();
    let head = format!(
        "GET /socket HTTP/1.1\r\nHost: {APP}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://{APP}\r\nCookie: __Host-portcullis={cookie}\r\n\r\n"
    );
    wire.write(head.as_bytes()).await;
    assert_eq!(wire.head().await.unwrap().status, 101);
    wire.write(b"\x81\x85\x00\x00\x00\x00hello").await;
    wire.until("hello").await;
    wire
}

#[tokio::test(flavor = "multi_thread")]
async fn every_order_that_ends_sessions_cuts_streams_and_sockets_and_is_recorded() {
    let orders: [fn(&SessionLine) -> Order; 5] = [
        |_| Order::SessionRevoke { which: Revoked::All },
        |_| Order::SessionRevoke { which: Revoked::User(user(ANA)) },
        |line| Order::SessionRevoke { which: Revoked::Session(line.id.to_string()) },
        |_| Order::UserLock { user: user(ANA) },
        |_| Order::UserResetFactor { user: user(ANA) },
    ];
    for make in orders {
        let (world, mut browser, _) = signed_in().await;
        let mut stream = open_stream(&world, &browser).await;
        let mut socket = open_websocket(&world, &browser).await;
        let all = sessions(&world).await;
        assert_eq!(all.len(), 1);
        let order = make(&all[0]);
        let before = world.records().len();
        let outcome = world.order(order.clone()).await;
        assert!(!matches!(outcome, Outcome::Refused { .. }), "{order:?}: {outcome:?}");
        // At once: the very next request finds nobody, and what is open ends without another byte asked for.
        assert_eq!(browser.fetch("https://app.test/x").await.status, 401, "{order:?}");
        assert_eq!(browser.fetch(&format!("https://{GATE}/.portcullis/session")).await.status, 401, "{order:?}");
        stream.ended().await;
        socket.ended().await;
        assert!(sessions(&world).await.is_empty(), "{order:?}");
        let new: Vec<_> = world.records()[before..].iter().map(ToString::to_string).collect();
        let uid = format!("\"{}\"", rustix::process::geteuid().as_raw());
        assert!(new.iter().any(|record| record.contains("operator") || record.contains(&uid)), "{order:?}: {new:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_one_person_leaves_the_others() {
    let (world, mut ana, _) = signed_in().await;
    let mut ben = Browser::new(&world, "ben");
    ben.sign_up("https://app.test/").await;
    let outcome = world.order(Order::SessionRevoke { which: Revoked::User(user(ANA)) }).await;
    assert!(matches!(&outcome, Outcome::Revoked { sessions } if sessions.len() == 1), "{outcome:?}");
    assert_eq!(ana.fetch("https://app.test/x").await.status, 401);
    assert_eq!(ben.fetch("https://app.test/x").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_person_cannot_sign_in_until_unlocked() {
    let (world, _, phone) = signed_in().await;
    world.order(Order::UserLock { user: user(ANA) }).await;
    let mut browser = Browser::new(&world, "ana");
    let refused = browser.go("https://app.test/").await;
    assert_eq!(refused.answer.status, 403, "{refused:?}");
    assert!(world.recorded(&["locked_out"]) >= 1);
    assert!(sessions(&world).await.is_empty());
    world.order(Order::UserUnlock { user: user(ANA) }).await;
    let mut browser = Browser::new(&world, "ana");
    assert_eq!(browser.sign_in("https://app.test/", &phone).await.answer.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_reset_the_old_phone_and_codes_are_worth_nothing() {
    let (world, _, old) = signed_in().await;
    world.order(Order::UserResetFactor { user: user(ANA) }).await;
    let mut browser = Browser::new(&world, "ana");
    let page = browser.first_factor("https://app.test/").await;
    assert!(page.url.contains("/.portcullis/enrol"), "{page:?}");
    world.next_code();
    let code = old.code(world.clock.now());
    let answer = browser.post(&format!("https://{GATE}/.portcullis/enrol"), &[("code", &code)]).await;
    assert_eq!(answer.status, 403, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_listed_and_shown_without_their_secrets() {
    let (world, browser, _) = signed_in().await;
    let Outcome::Users(users) = world.order(Order::UserList {}).await else { panic!() };
    assert_eq!(users.len(), 1);
    assert_eq!(users[0].email.as_deref(), Some(ANA));
    let Outcome::User(page) = world.order(Order::UserShow { user: user(ANA) }).await else { panic!() };
    assert_eq!((page.recovery_codes_left, page.sessions.len(), page.groups.as_slice()), (10, 1, &["staff".to_owned()][..]));
    assert!(page.totp.is_some());
    let text = serde_json::to_string(&page).unwrap();
    assert!(!text.contains(browser.cookie(APP).unwrap()) && !text.contains(browser.cookie(GATE).unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_for_nobody_known_is_refused_and_changes_nothing() {
    let (world, mut browser, _) = signed_in().await;
    let nobody = || user("nobody@example.com");
    let orders = [
        Order::UserShow { user: nobody() },
        Order::UserLock { user: nobody() },
        Order::UserUnlock { user: nobody() },
        Order::UserResetFactor { user: nobody() },
        Order::SessionList { user: Some(nobody()) },
        Order::SessionRevoke { which: Revoked::User(nobody()) },
        Order::SessionRevoke { which: Revoked::Session("xyz".to_owned()) },
        Order::UserInvite { email: "no address".to_owned() },
    ];
    for order in orders {
        let outcome = world.order(order.clone()).await;
        assert!(matches!(outcome, Outcome::Refused { .. }), "{order:?}: {outcome:?}");
    }
    assert_eq!(browser.fetch("https://app.test/x").await.status, 200);
}

/// AU-10: reading is on record before anybody reads, and so is an order that is not taken.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_about_people_is_on_record() {
    let (world, _, _) = signed_in().await;
    world.order(Order::UserList {}).await;
    world.order(Order::UserShow { user: user(ANA) }).await;
    world.order(Order::SessionList { user: None }).await;
    world.order(Order::SessionList { user: Some(user(ANA)) }).await;
    let consulted: Vec<_> = world.records().into_iter().filter(|record| record["unmapped"]["portcullis"]["event"] == "consult").collect();
    let named: Vec<_> =
        consulted.iter().map(|record| (record["entity"]["name"].as_str().unwrap(), record["entity"]["uid"].as_str())).collect();
    let ana = world.records().iter().find_map(|record| record["user"]["uid"].as_str().map(str::to_owned)).unwrap();
    assert_eq!(named, [("users", None), ("user", Some(&*ana)), ("sessions", None), ("user", Some(&*ana))]);
    assert!(consulted.iter().all(|record| record["unmapped"]["portcullis"]["by"] == "operator" && record["activity_id"] == 2));
}
