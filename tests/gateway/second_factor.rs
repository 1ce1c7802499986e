//! The second factor: codes, counting, enrolment, recovery, and that nothing else answers before it.

use std::time::Duration;

use portcullis::portal::{GATEWAY_PAGES, ROUTE_PAGES};

use crate::support::{APP, Browser, GATE, Phone, Setup, Visit, World};

const HOME: &str = "https://app.test/";

/// Somebody who has enrolled, in a world of their own.
async fn enrolled() -> (std::sync::Arc<World>, Phone, Vec<String>) {
    let world = World::start().await;
    let (phone, codes, _) = Browser::new(&world, "ana").sign_up(HOME).await;
    world.next_code();
    (world, phone, codes)
}

/// A new browser at the page that asks for the second factor.
async fn at_the_page(world: &std::sync::Arc<World>, login: &str) -> (Browser, Visit) {
    let mut browser = Browser::new(world, login);
    let page = browser.first_factor(HOME).await;
    (browser, page)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_code_opens_one_session_however_many_try_at_once() {
    let (world, phone, _) = enrolled().await;
    let code = phone.code(world.clock.now());
    let mut tries = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (mut browser, page) = at_the_page(&world, "ana").await;
        let code = code.clone();
        tries.spawn(async move { browser.submit_code(&page, &code).await.status });
    }
    let statuses = tries.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 303).count(), 1, "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_code_is_not_taken_again_in_any_spelling() {
    let (world, phone, _) = enrolled().await;
    let code = phone.code(world.clock.now());
    let (mut browser, page) = at_the_page(&world, "ana").await;
    assert_eq!(browser.submit_code(&page, &code).await.status, 303);
    let wide: String = code.chars().map(|digit| char::from_u32(u32::from(digit) - 0x30 + 0xff10).unwrap()).collect();
    let spellings = [
        code.clone(),
        format!("{} {}", &code[..3], &code[3..]),
        format!(" {code}"),
        format!("{code}\n"),
        format!("+{code}"),
        format!("0{code}"),
        wide,
    ];
    for spelling in spellings {
        let (mut other, page) = at_the_page(&world, "ana").await;
        let answer = other.submit_code(&page, &spelling).await;
        assert!((400..500).contains(&answer.status), "{spelling:?}: {answer:?}");
        assert_eq!(other.fetch(&format!("https://{GATE}/.portcullis/session")).await.status, 401, "{spelling:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_of_the_steps_beside_now_are_taken_and_no_others() {
    for (offset, expected) in [(-3_i64, 403), (-2, 403), (0, 303), (1, 303), (2, 403), (3, 403)] {
        let (world, phone, _) = enrolled().await;
        world.clock.advance(Duration::from_secs(300));
        let step = (world.clock.now().as_seconds() / 30).checked_add_signed(offset).unwrap();
        let (mut browser, page) = at_the_page(&world, "ana").await;
        let answer = browser.submit_code(&page, &phone.code_of_step(step)).await;
        assert_eq!(answer.status, expected, "{offset}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_is_told_to_be_early_is_used_up_by_that() {
    let (world, phone, _) = enrolled().await;
    let early = phone.code_of_step(world.clock.now().as_seconds() / 30 + 4);
    let (mut browser, page) = at_the_page(&world, "ana").await;
    let told = browser.submit_code(&page, &early).await;
    assert_eq!(told.status, 403);
    assert!(world.recorded(&["factor_clock_skewed"]) == 1, "{told:?}");
    world.clock.advance(Duration::from_secs(120));
    let answer = browser.submit_code(&page, &early).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(world.recorded(&["factor_code_reused"]) == 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_codes_are_counted_over_sessions_and_kinds_and_success_clears_the_count() {
    let (world, phone, codes) = enrolled().await;
    let wrong = phone.wrong_code(world.clock.now());
    let mut refused = Vec::new();
    for (at, code) in [wrong.as_str(), "zzzz-zzzz", &wrong, &wrong, &wrong].into_iter().enumerate() {
        let (mut browser, page) = at_the_page(&world, "ana").await;
        refused.push((at, browser.submit_code(&page, code).await.status));
    }
    let (mut browser, page) = at_the_page(&world, "ana").await;
    let right = phone.code(world.clock.now());
    let answer = browser.submit_code(&page, &right).await;
    assert_eq!(answer.status, 429, "{refused:?} {answer:?}");
    assert!(answer.field("retry-after").is_some());
    assert_eq!(browser.submit_code(&page, &codes[0]).await.status, 429, "a recovery code goes round the count");
    // Nobody else is kept out.
    Browser::new(&world, "ben").sign_up(HOME).await;
    world.clock.advance(Duration::from_secs(60));
    let answer = browser.submit_code(&page, &phone.code(world.clock.now())).await;
    assert_eq!(answer.status, 303, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_cannot_make_a_person_wait() {
    let (world, phone, _) = enrolled().await;
    for _ in 0..20 {
        let mut stranger = Browser::new(&world, "nobody");
        let answer = stranger.post(&format!("https://{GATE}/.portcullis/second-factor"), &[("code", "000000"), ("login", "ana")]).await;
        assert_ne!(answer.status, 303);
        assert_ne!(answer.status, 200);
    }
    let (mut browser, page) = at_the_page(&world, "ana").await;
    assert_eq!(browser.submit_code(&page, &phone.code(world.clock.now())).await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_code_opens_once() {
    let (world, _, codes) = enrolled().await;
    let (mut browser, page) = at_the_page(&world, "ana").await;
    assert_eq!(browser.submit_code(&page, &codes[3]).await.status, 303);
    let (mut other, page) = at_the_page(&world, "ana").await;
    assert_eq!(other.submit_code(&page, &codes[3]).await.status, 403);
    assert_eq!(other.submit_code(&page, &codes[4]).await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_first_factor_nothing_but_its_pages_answers() {
    let (world, _, _) = enrolled().await;
    let (browser, _) = at_the_page(&world, "ana").await;
    world.upstream.forget();
    let pages = [&GATEWAY_PAGES[..], &ROUTE_PAGES[..]].concat();
    // For everybody, or a step of signing in or out; each is looked at below or in the tests of signing in.
    let open = [
        "/.portcullis/sign-in",
        "/.portcullis/callback",
        "/.portcullis/second-factor",
        "/.portcullis/enrol",
        "/.portcullis/onward",
        "/.portcullis/sign-out",
        "/.portcullis/signed-out",
        "/.portcullis/backchannel-logout",
        "/.portcullis/jwks.json",
        "/.portcullis/finish",
    ];
    for (page, methods) in pages.into_iter().filter(|(page, _)| !open.contains(page)) {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE"] {
            let mut browser = browser.clone();
            let fields = [("Origin", "https://gate.test"), ("Content-Type", "application/x-www-form-urlencoded"), ("Content-Length", "0")];
            let fields = if method == "POST" { &fields[..] } else { &fields[..1] };
            let answer = browser.send(method, &format!("https://{GATE}{page}"), fields, &[], "").await;
            // HEAD of a page that has only GET is a method like any other.
            let expected = if methods.split(", ").any(|own| own == method) { 401 } else { 405 };
            assert_eq!(answer.status, expected, "{method} {page}: {answer:?}");
        }
    }
    // Enrolling again is not a way round, and the page between two steps leads back to the step.
    let mut other = browser.clone();
    assert_eq!(other.get(&format!("https://{GATE}/.portcullis/enrol")).await.location(), "/");
    assert_eq!(other.post(&format!("https://{GATE}/.portcullis/enrol"), &[("code", "123456")]).await.location(), "/");
    assert!(other.get(&format!("https://{GATE}/.portcullis/onward")).await.location().starts_with("/.portcullis/second-factor"));
    // The gateway's cookie shown at a route's host opens nothing there.
    let cookie = browser.cookie(GATE).unwrap().to_owned();
    let mut thief = browser.clone();
    thief.set_cookie(APP, &cookie);
    for target in ["/", "/x", "/fresh/x", "/.portcullis/session"] {
        assert_eq!(thief.fetch(&format!("https://{APP}{target}")).await.status, 401, "{target}");
    }
    assert_eq!(world.upstream.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_wants_a_fresh_factor_asks_again_and_comes_back() {
    let world = World::start().await;
    let mut browser = Browser::new(&world, "ana");
    let (phone, _, _) = browser.sign_up(HOME).await;
    assert_eq!(browser.get("https://app.test/fresh/x").await.status, 200);
    world.clock.advance(Duration::from_secs(301));
    assert_eq!(browser.get("https://app.test/x").await.status, 200);
    let program = browser.fetch("https://app.test/fresh/x").await;
    assert_eq!((program.status, program.json()["reason"].as_str()), (403, Some("factor_too_old")));
    let page = browser.go("https://app.test/fresh/x?y=1").await;
    assert!(page.url.contains("/.portcullis/second-factor"), "{page:?}");
    let answer = browser.submit_code(&page, &phone.code(world.clock.now())).await;
    let after = browser.follow(&page.url, answer, None).await;
    assert_eq!((after.answer.status, after.url.as_str()), (200, "https://app.test/fresh/x?y=1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_sessions_factors_and_used_codes() {
    let (world, phone, _) = enrolled().await;
    let mut browser = Browser::new(&world, "ana");
    browser.sign_in(HOME, &phone).await;
    let used = phone.code(world.clock.now());
    world.restart().await;
    assert_eq!(browser.fetch("https://app.test/x").await.status, 200);
    let (mut other, page) = at_the_page(&world, "ana").await;
    assert_eq!(other.submit_code(&page, &used).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_enrolments_at_once_one_wins() {
    let world = World::start().await;
    let mut pages = Vec::new();
    for _ in 0..2 {
        pages.push(at_the_page(&world, "ana").await);
    }
    let now = world.clock.now();
    let mut tries = tokio::task::JoinSet::new();
    for (mut browser, page) in pages {
        tries.spawn(async move {
            let code = Phone::scan(&page.answer.text()).code(now);
            browser.post(&format!("https://{GATE}/.portcullis/enrol"), &[("code", &code)]).await.status
        });
    }
    let statuses = tries.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_invitation_nobody_enrols_where_one_is_asked_for() {
    let second_factor = "methods = [\"totp\"]\nenrolment = \"invite\"\n".to_owned();
    let world = World::with(Setup { second_factor, ..Setup::default() }).await;
    let order = |email: &str| portcullis::server::control::Order::UserInvite { email: email.to_owned() };
    let invite = |outcome| match outcome {
        portcullis::server::control::Outcome::Invite { code, .. } => code,
        other => panic!("{other:?}"),
    };
    let for_ana = invite(world.order(order("ana@example.com")).await);
    let for_ben = invite(world.order(order("ben@example.com")).await);
    let enrol = format!("https://{GATE}/.portcullis/enrol");
    let (mut browser, page) = at_the_page(&world, "ana").await;
    let code = Phone::scan(&page.answer.text()).code(world.clock.now());
    for bad in ["", "x", for_ben.as_str()] {
        let answer = browser.post(&enrol, &[("invite", bad), ("code", &code)]).await;
        assert!((400..500).contains(&answer.status), "{bad}: {answer:?}");
    }
    let answer = browser.post(&enrol, &[("invite", &for_ana), ("code", &code)]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(browser.go(HOME).await.answer.status, 200);
    // Used up: after a reset the same invitation opens nothing.
    world.order(portcullis::server::control::Order::UserResetFactor { user: "ana@example.com".to_owned() }).await;
    let (mut browser, page) = at_the_page(&world, "ana").await;
    let code = Phone::scan(&page.answer.text()).code(world.clock.now());
    let answer = browser.post(&enrol, &[("invite", &for_ana), ("code", &code)]).await;
    assert!((400..500).contains(&answer.status), "{answer:?}");
}
