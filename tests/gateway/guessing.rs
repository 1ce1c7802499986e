//! Guessing, and time that does not run as it should: one count over sessions and addresses, an end to it, a clock that is
//! set back, an invitation that runs out under an open page (attacks MF-02, MF-03, MF-05).

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use portcullis::server::control::{Order, Outcome};

use crate::support::{Browser, GATE, Phone, Setup, Visit, World};

const HOME: &str = "https://app.test/";
const HOUR: Duration = Duration::from_secs(3_600);

/// A world in which sessions live longer than the delays of guessing.
async fn patient(second_factor: &str) -> Arc<World> {
    let usual = Setup::default();
    let second_factor = if second_factor.is_empty() { usual.second_factor.clone() } else { second_factor.to_owned() };
    let session = "idle_timeout = \"30d\"\nabsolute_timeout = \"30d\"\n".to_owned();
    World::with(Setup { second_factor, session, ..usual }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_brings_no_old_code_to_life() {
    let world = patient("").await;
    let (phone, _, _) = Browser::new(&world, "ana").sign_up(HOME).await;
    let early = world.clock.now();
    let mut pages: Vec<(Browser, Visit)> = Vec::new();
    for _ in 0..4 {
        let mut browser = Browser::new(&world, "ana");
        let page = browser.first_factor(HOME).await;
        pages.push((browser, page));
    }
    let [first, old_used, old_unused, right] = <[_; 4]>::try_from(pages).ok().unwrap();
    // A code of an hour later is used; then the clock is set back.
    let late = early.plus(HOUR);
    world.clock.set(late);
    let (mut browser, page) = first;
    assert_eq!(browser.submit_code(&page, &phone.code(late)).await.status, 303);
    world.clock.set(early.plus(Duration::from_secs(30)));
    for ((mut browser, page), code) in [(old_used, phone.code(early)), (old_unused, phone.code(world.clock.now()))] {
        let answer = browser.submit_code(&page, &code).await;
        assert_eq!(answer.status, 403, "{answer:?}");
        assert_eq!(browser.fetch(&format!("https://{GATE}/.portcullis/session")).await.status, 401);
    }
    assert_eq!(world.recorded(&["factor_code_reused"]), 2);
    // When the clock has caught up, the next code is taken.
    world.clock.set(late.plus(Duration::from_secs(60)));
    let (mut browser, page) = right;
    let answer = browser.submit_code(&page, &phone.code(world.clock.now())).await;
    assert_eq!(answer.status, 303, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_from_ten_addresses_and_sessions_at_pages_of_both_kinds_share_one_count() {
    let world = World::start().await;
    let (phone, codes, _) = Browser::new(&world, "ana").sign_up(HOME).await;
    world.next_code();
    let wrong = phone.wrong_code(world.clock.now());
    let mut statuses = Vec::new();
    for number in 1..=10_u8 {
        let mut browser = Browser::new(&world, "ana");
        browser.source = Ipv4Addr::new(127, 0, 0, 10 + number);
        let page = browser.first_factor(HOME).await;
        let guess = if number % 2 == 0 { "zzzz-zzzz" } else { wrong.as_str() };
        statuses.push(browser.submit_code(&page, guess).await.status);
    }
    // Four and the one that begins the wait are looked at; the rest is not.
    assert_eq!(statuses, [403, 403, 403, 403, 403, 429, 429, 429, 429, 429]);
    // Neither a fresh sign-in from a fresh address nor the other kind of code begins anew.
    let mut browser = Browser::new(&world, "ana");
    browser.source = Ipv4Addr::new(127, 0, 0, 99);
    let page = browser.first_factor(HOME).await;
    for code in [phone.code(world.clock.now()), codes[0].clone()] {
        assert_eq!(browser.submit_code(&page, &code).await.status, 429);
    }
    // The addresses stand on record, for whoever looks into it.
    assert!(world.recorded(&["factor_code_wrong", "127.0.0.11"]) == 1 && world.recorded(&["factor_delayed", "127.0.0.20"]) == 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_hundred_wrong_codes_only_an_operator_helps() {
    let world = patient("").await;
    let begun = world.clock.now();
    let (phone, codes, _) = Browser::new(&world, "ana").sign_up(HOME).await;
    let mut browser = Browser::new(&world, "ana");
    let page = browser.first_factor(HOME).await;
    for number in 1..=100 {
        // Longer than any delay.
        world.clock.advance(2 * HOUR);
        let answer = browser.submit_code(&page, &phone.wrong_code(world.clock.now())).await;
        assert_eq!(answer.status, 403, "{number}: {answer:?}");
    }
    // A day later the right code is not looked at, and neither is a recovery code.
    world.clock.advance(24 * HOUR);
    for code in [phone.code(world.clock.now()), codes[0].clone()] {
        let answer = browser.submit_code(&page, &code).await;
        assert!(matches!(answer.status, 403 | 429), "{answer:?}");
    }
    assert_eq!(browser.fetch(&format!("https://{GATE}/.portcullis/session")).await.status, 401);
    world.clock.set(begun.plus(Duration::from_secs(90)));
    let outcome = world.order(Order::UserResetFactor { user: "ana@example.com".to_owned() }).await;
    assert!(!matches!(outcome, Outcome::Refused { .. }), "{outcome:?}");
    let (_, _, after) = Browser::new(&world, "ana").sign_up(HOME).await;
    assert_eq!(after.answer.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_that_runs_out_under_an_open_page_enrols_nobody() {
    let world = patient("methods = [\"totp\"]\nenrolment = \"invite\"\n").await;
    let invite = async || match world.order(Order::UserInvite { email: "ana@example.com".to_owned() }).await {
        Outcome::Invite { code, .. } => code,
        other => panic!("{other:?}"),
    };
    let enrol = format!("https://{GATE}/.portcullis/enrol");
    let mut browser = Browser::new(&world, "ana");
    let page = browser.first_factor(HOME).await;
    let phone = Phone::scan(&page.answer.text());
    // Typed after its day, and accepted within it with the code typed after.
    let late = invite().await;
    world.clock.advance(24 * HOUR);
    let refused = browser.post(&enrol, &[("invite", &late), ("code", &phone.code(world.clock.now()))]).await;
    assert!((400..500).contains(&refused.status), "{refused:?}");
    let accepted = invite().await;
    world.clock.advance(HOUR);
    assert_eq!(browser.post(&enrol, &[("invite", &accepted)]).await.status, 200);
    world.clock.advance(24 * HOUR);
    let refused = browser.post(&enrol, &[("code", &phone.code(world.clock.now()))]).await;
    assert!((400..500).contains(&refused.status), "{refused:?}");
    assert!(refused.text().contains("name=\"invite\""), "the page asks for another: {refused:?}");
    assert_eq!(world.recorded(&["enrol_factor", "invite_invalid"]), 2);
    assert_eq!(browser.fetch(&format!("https://{GATE}/.portcullis/session")).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_device_is_not_enrolled_and_the_last_factor_not_removed_by_its_owner() {
    let world = World::start().await;
    let mut browser = Browser::new(&world, "ana");
    let (phone, _, _) = browser.sign_up(HOME).await;
    let enrol = format!("https://{GATE}/.portcullis/enrol");
    // Signed in with both factors, freshly.
    assert_eq!(browser.get(&enrol).await.location(), "/");
    let other = browser.post(&enrol, &[("code", &phone.code(world.clock.now()))]).await;
    assert_eq!((other.status, other.location()), (303, "/"));
    for method in ["DELETE", "PUT", "PATCH"] {
        let answer = browser.send(method, &enrol, &[("Origin", "https://gate.test")], &[], "").await;
        assert_eq!((answer.status, answer.field("allow")), (405, Some("GET, POST")), "{method}");
    }
    let portal = browser.get(&format!("https://{GATE}/")).await.text();
    let forms: Vec<_> = portal.split("action=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect();
    let known = [portcullis::portal::pages::END_SESSION, portcullis::portal::pages::RECOVERY_CODES, portcullis::portal::pages::SIGN_OUT];
    assert!(!forms.is_empty() && forms.iter().all(|form| known.iter().any(|page| form.ends_with(page))), "{forms:?}");
    world.next_code();
    assert_eq!(Browser::new(&world, "ana").sign_in(HOME, &phone).await.answer.status, 200, "the old phone is good as before");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_shown_to_its_own_session_alone_and_never_again() {
    let world = World::start().await;
    let enrol = format!("https://{GATE}/.portcullis/enrol");
    let secret = |text: &str| text.split("secret=").nth(1).map(|rest| rest.split(['&', '"']).next().unwrap().to_owned());
    let mut browser = Browser::new(&world, "ana");
    let page = browser.first_factor(HOME).await;
    assert!(page.answer.field("cache-control").is_some_and(|value| value.contains("no-store")), "{page:?}");
    let shown = secret(&page.answer.text()).unwrap();
    let mut elsewhere = Browser::new(&world, "ana");
    let other = elsewhere.first_factor(HOME).await;
    assert_ne!(secret(&other.answer.text()).unwrap(), shown, "each session is shown its own");
    let (_, codes, _) = browser.enrol(&page).await;
    for url in [enrol.clone(), format!("https://{GATE}/"), format!("https://{GATE}/.portcullis/session"), format!("{enrol}?secret={shown}")]
    {
        let text = browser.get(&url).await.text();
        assert!(!text.contains(&shown) && codes.iter().all(|code| !text.contains(code)), "{url}");
    }
    // Neither on record nor at rest in the clear; nor any recovery code.
    let log: String = world.records().iter().map(ToString::to_string).collect();
    let mut files = String::new();
    for entry in std::fs::read_dir(world.state_dir()).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        files.push_str(&String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()));
    }
    for hidden in codes.iter().chain([&shown]) {
        assert!(!log.contains(hidden.as_str()) && !files.contains(hidden.as_str()), "{hidden}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_lets_nobody_skip_the_second_factor() {
    let world = World::start().await;
    let (phone, codes, _) = Browser::new(&world, "ana").sign_up(HOME).await;
    world.next_code();
    let mut browser = Browser::new(&world, "ana");
    let page = browser.first_factor(HOME).await;
    // Another process holds the database: reading and writing wait and then fail.
    let database = std::fs::read_dir(world.state_dir())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|kind| kind == "db"));
    let lock = rusqlite::Connection::open(database.unwrap()).unwrap();
    lock.execute_batch("BEGIN EXCLUSIVE").unwrap();
    for code in [phone.code(world.clock.now()), codes[0].clone()] {
        let answer = browser.submit_code(&page, &code).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert_eq!(answer.cookie(), None);
        assert_ne!(browser.fetch("https://app.test/x").await.status, 200);
    }
    lock.execute_batch("ROLLBACK").unwrap();
    let answer = browser.submit_code(&page, &codes[0]).await;
    assert_eq!(answer.status, 303, "what was not judged was not used up: {answer:?}");
}
