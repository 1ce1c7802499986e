//! Sessions end by themselves, and people end their own.

use std::time::Duration;

use crate::support::{APP, Browser, GATE, Manner, World};

const SESSION: &str = "https://app.test/.portcullis/session";

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_by_idleness_and_by_age() {
    let world = World::start().await;
    let mut browser = Browser::new(&world, "ana");
    let (phone, _, _) = browser.sign_up("https://app.test/").await;
    world.clock.advance(Duration::from_secs(30 * 60 - 1));
    assert_eq!(browser.fetch(SESSION).await.status, 200);
    world.clock.advance(Duration::from_secs(30 * 60));
    assert_eq!(browser.fetch(SESSION).await.status, 401);
    // The machine's time stands: tokens of the provider would be too old hours later, so the age is tested on a fresh world.
    drop(phone);
    let world = World::start().await;
    let mut browser = Browser::new(&world, "ana");
    browser.sign_up("https://app.test/").await;
    for _ in 0..35 {
        world.clock.advance(Duration::from_secs(20 * 60));
        assert_eq!(browser.fetch(SESSION).await.status, 200);
    }
    world.clock.advance(Duration::from_secs(20 * 60));
    assert_eq!(browser.fetch(SESSION).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_ends_their_own_sessions_and_nobody_elses() {
    let world = World::start().await;
    let mut ana = Browser::new(&world, "ana");
    let (phone, _, _) = ana.sign_up("https://app.test/").await;
    let mut ana_elsewhere = Browser::new(&world, "ana");
    ana_elsewhere.sign_in("https://app.test/", &phone).await;
    let mut ben = Browser::new(&world, "ben");
    ben.sign_up("https://app.test/").await;
    let bens = ben.fetch(SESSION).await.json()["session"].as_str().unwrap().to_owned();
    let end = format!("https://{GATE}{}", portcullis::portal::pages::END_SESSION);
    ana.post(&end, &[("session", &bens)]).await;
    assert_eq!(ben.fetch(SESSION).await.status, 200);
    ana.post(&end, &[("session", portcullis::portal::pages::OTHERS)]).await;
    assert_eq!(ana_elsewhere.fetch(SESSION).await.status, 401);
    assert_eq!(ana.fetch(SESSION).await.status, 200);
    ana.post(&end, &[("session", portcullis::portal::pages::EVERYWHERE)]).await;
    assert_eq!(ana.fetch(SESSION).await.status, 401);
    assert_eq!(ben.fetch(SESSION).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_recovery_codes_want_a_fresh_factor_and_void_the_old() {
    let world = World::start().await;
    let mut browser = Browser::new(&world, "ana");
    let (_, old, _) = browser.sign_up("https://app.test/").await;
    let renew = format!("https://{GATE}{}", portcullis::portal::pages::RECOVERY_CODES);
    world.clock.advance(Duration::from_secs(301));
    let answer = browser.post(&renew, &[]).await;
    assert_eq!(answer.status, 302, "{answer:?}");
    assert!(answer.location().contains("/.portcullis/second-factor"));
    let page = browser.go(answer.location()).await;
    let shown = browser.submit_code(&page, &old[0]).await;
    assert_eq!(shown.status, 303, "{shown:?}");
    let answer = browser.post(&renew, &[]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(old.iter().all(|code| !answer.text().contains(code)));
    let mut other = Browser::new(&world, "ana");
    let page = other.first_factor("https://app.test/").await;
    assert_eq!(other.submit_code(&page, &old[1]).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_cuts_an_open_stream() {
    let world = World::start().await;
    let mut browser = Browser::new(&world, "ana");
    browser.sign_up("https://app.test/").await;
    world.upstream.answer_with(Manner::Stream);
    let mut wire = world.wire(APP).await;
    let cookie = browser.cookie(APP).unwrap().to_owned();
    wire.write(format!("GET /events HTTP/1.1\r\nHost: {APP}\r\nCookie: __Host-portcullis={cookie}\r\n\r\n").as_bytes()).await;
    wire.until("data: first").await;
    browser.post("https://app.test/.portcullis/sign-out", &[]).await;
    wire.ended().await;
}
