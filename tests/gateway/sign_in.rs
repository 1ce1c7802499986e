//! Signing in, from the first navigation to the exact address, and what others get instead.

use crate::support::{APP, Answer, Browser, GATE, PUB, Recorder, Setup, UNLISTED, World, hidden, navigation};

#[tokio::test(flavor = "multi_thread")]
async fn a_navigation_comes_back_to_its_exact_address_after_both_factors() {
    let world = World::start().await;
    let mut browser = Browser::new(&world, "ana");
    let (_, _, after) = browser.sign_up("https://app.test/reports/7?a=%20b&c=d%2Fe&a=2#part-3").await;
    assert_eq!(after.answer.status, 200, "{after:#?}");
    assert_eq!(after.answer.text(), "upstream");
    assert_eq!(after.url, "https://app.test/reports/7?a=%20b&c=d%2Fe&a=2#part-3");
    assert!(world.upstream.text().starts_with("GET /reports/7?a=%20b&c=d%2Fe&a=2 HTTP/1.1\r\n"), "{}", world.upstream.text());
    assert!(browser.cookie(APP).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_gets_401_with_the_sign_in_address_and_no_redirect() {
    let world = World::start().await;
    let programs = [
        "Accept: */*\r\n",
        "",
        "Accept: application/json\r\n",
        "Accept: text/html\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\nSec-Fetch-Site: same-origin\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://app.test\r\n",
    ];
    for fields in programs {
        let request = format!("GET /x HTTP/1.1\r\nHost: {APP}\r\n{fields}\r\n");
        let answer = world.wire(APP).await.exchange(request.as_bytes()).await;
        assert_eq!(answer.status, 401, "{fields} {answer:?}");
        assert_eq!(answer.field("content-type"), Some("application/problem+json"));
        assert_eq!(answer.json()["reason"], "no_session");
        assert!(answer.text().contains("https://gate.test/.portcullis/sign-in"), "{answer:?}");
        assert_eq!(answer.field("location"), None);
    }
    assert_eq!(world.upstream.requests(), 0);
}

/// Everything a stranger could tell two answers apart by, with the random parts taken out.
fn shape(answer: &Answer) -> (u16, Vec<String>, Vec<String>) {
    let body = if answer.body.is_empty() {
        Vec::new()
    } else {
        answer
            .json()
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| if name == "request_id" || name == "instance" { name.clone() } else { format!("{name}={value}") })
            .collect()
    };
    (answer.status, answer.field_names(), body)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_session_nothing_listed_can_be_told_from_what_is_not() {
    let world = World::start().await;
    let asked = [(APP, "/reports"), (APP, "/unlisted/x"), (APP, "/fresh/x"), (PUB, "/x"), (UNLISTED, "/"), (UNLISTED, "/reports")];
    for kind in ["navigation", "program"] {
        let mut shapes = Vec::new();
        for (host, target) in asked {
            let request = match kind {
                "navigation" => navigation(host, target),
                _ => format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes(),
            };
            shapes.push(shape(&world.wire(host).await.exchange(&request).await));
        }
        assert!(shapes.iter().all(|shape| *shape == shapes[0]), "{kind}: {shapes:#?}");
        assert_eq!(shapes[0].0, if kind == "navigation" { 302 } else { 401 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tabs_begun_without_a_cookie_both_end_where_they_were_going() {
    let world = World::start().await;
    let mut browser = Browser::new(&world, "ana");
    let (phone, _, _) = browser.sign_up("https://app.test/").await;
    let mut browser = Browser::new(&world, "ana");
    // Both tabs ask before either has an answer: each has its own fresh cookie at the route's host, the later one stays.
    let mut other = browser.clone();
    let first = browser.get("https://app.test/one").await;
    let second = other.get("https://app.test/two").await;
    browser.cookies = other.cookies;
    let one = browser.follow("https://app.test/one", first, None).await;
    world.next_code();
    let answer = browser.submit_code(&one, &phone.code(world.clock.now())).await;
    let one = browser.follow(&one.url, answer, None).await;
    assert_eq!((one.answer.status, one.url.as_str()), (200, "https://app.test/one"), "{one:#?}");
    let two = browser.follow("https://app.test/two", second, None).await;
    assert_eq!((two.answer.status, two.url.as_str()), (200, "https://app.test/two"), "{two:#?}");
}

/// Goes to the provider and back, up to the address of the callback, which is not opened.
async fn callback_of(browser: &mut Browser) -> String {
    let mut url = "https://gate.test/.portcullis/sign-in".to_owned();
    loop {
        let mut answer = browser.get(&url).await;
        if answer.text().contains("name=\"login\"") {
            let login = browser.login.clone();
            answer = browser.post(&url, &[("login", &login)]).await;
        }
        url = url::Url::parse(&url).unwrap().join(answer.location()).unwrap().to_string();
        if url.contains("/.portcullis/callback") {
            return url;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_is_good_once_and_for_the_browser_that_began() {
    let world = World::start().await;
    let mut browser = Browser::new(&world, "ana");
    let callback = callback_of(&mut browser).await;
    // Another browser, without any cookie: no session, and the code is not redeemed for it.
    let mut stranger = Browser::new(&world, "eva");
    let refused = stranger.get(&callback).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    assert_eq!(stranger.cookie(GATE), None);
    // The state is used up by the attempt: not even the browser that began may use it again.
    let again = browser.get(&callback).await;
    assert_eq!(again.status, 400, "{again:?}");
    let callback = callback_of(&mut browser).await;
    let good = browser.get(&callback).await;
    assert_eq!(good.status, 303, "{good:?}");
    let before = browser.cookie(GATE).unwrap().to_owned();
    let replayed = browser.get(&callback).await;
    assert_eq!(replayed.status, 400, "{replayed:?}");
    assert_eq!(browser.cookie(GATE), Some(before.as_str()));
    assert!(world.recorded(&["sign_in_not_begun"]) >= 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_sign_in_as_somebody_else_does_not_take_hold() {
    let world = World::start().await;
    let mut attacker = Browser::new(&world, "eva");
    let planted = callback_of(&mut attacker).await;
    let mut victim = Browser::new(&world, "ana");
    // The victim has begun a sign-in of their own, so that a cookie is there.
    victim.get("https://gate.test/.portcullis/sign-in").await;
    let answer = victim.get(&planted).await;
    let page = victim.follow(&planted, answer, None).await;
    let invitee = world.gateway_subjects().await;
    assert!(!invitee.contains(&"eva".to_owned()), "the attacker's code was redeemed: {invitee:?} {page:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_callbacks_are_refused_and_leave_no_session() {
    let world = World::start().await;
    let mut browser = Browser::new(&world, "ana");
    let callback = callback_of(&mut browser).await;
    let code = callback.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let state = callback.split("state=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let damaged = [
        String::new(),
        format!("code={code}"),
        format!("state={state}"),
        format!("code={code}&state="),
        format!("code={code}&code={code}&state={state}x"),
        format!("code={code}&state={}", state.chars().rev().collect::<String>()),
        format!("code={code}&state={}", "A".repeat(20_000)),
        format!("code={code}&state=%00"),
        "error=access_denied&state=unknown".to_owned(),
    ];
    for query in damaged {
        let answer = browser.get(&format!("https://gate.test/.portcullis/callback?{query}")).await;
        assert!((400..500).contains(&answer.status), "{query}: {answer:?}");
        assert_eq!(answer.cookie(), None, "{query}");
    }
    assert!(world.gateway_subjects().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_from_before_a_step_are_worth_nothing_after_it() {
    let world = World::start().await;
    let mut browser = Browser::new(&world, "ana");
    let planted = "A".repeat(43);
    browser.set_cookie(GATE, &planted);
    browser.set_cookie(APP, &planted);
    let page = browser.first_factor("https://app.test/").await;
    let after_first = browser.cookie(GATE).unwrap().to_owned();
    assert_ne!(after_first, planted);
    browser.enrol(&page).await;
    let (gate, app) = (browser.cookie(GATE).unwrap().to_owned(), browser.cookie(APP).unwrap().to_owned());
    assert_ne!(gate, after_first);
    assert_ne!(app, planted);
    for (host, dead) in [(GATE, &planted), (GATE, &after_first), (APP, &planted), (APP, &gate), (GATE, &app), (PUB, &app)] {
        let mut thief = Browser::new(&world, "ana");
        thief.set_cookie(host, dead);
        let answer = thief.fetch(&format!("https://{host}/.portcullis/session")).await;
        assert_eq!(answer.status, 401, "{host} {answer:?}");
    }
    assert_eq!(browser.fetch("https://app.test/.portcullis/session").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_or_doubled_cookie_is_nobody() {
    let world = World::start().await;
    let mut browser = Browser::new(&world, "ana");
    browser.sign_up("https://app.test/").await;
    let good = browser.cookie(APP).unwrap().to_owned();
    let mut values: Vec<String> = (0..good.len())
        .map(|at| {
            let swapped = if good.as_bytes()[at] == b'A' { "B" } else { "A" };
            format!("__Host-portcullis={}{swapped}{}", &good[..at], &good[at + 1..])
        })
        .collect();
    values.extend((0..good.len()).map(|length| format!("__Host-portcullis={}", &good[..length])));
    values.extend([
        format!("__Host-portcullis={good}x"),
        format!("__Host-portcullis=\"{good}\""),
        format!("__Host-portcullis={good}="),
        format!("__Host-portcullis={}", "A".repeat(4_097)),
        format!("__Host-portcullis={good}; __Host-portcullis={good}"),
        format!("__Host-portcullis={}; __Host-portcullis={good}", "A".repeat(43)),
        format!("__Host-portcullis={good}\r\nCookie: __Host-portcullis={good}"),
        format!("__host-portcullis={good}"),
        format!("__Host-portcullis2={good}"),
    ]);
    let mut wire = world.wire(APP).await;
    for cookie in values {
        let request = format!("GET /x HTTP/1.1\r\nHost: {APP}\r\nCookie: {cookie}\r\n\r\n");
        let answer = wire.exchange(request.as_bytes()).await;
        assert_eq!(answer.status, 401, "{cookie}: {answer:?}");
    }
    let request = format!("GET /x HTTP/1.1\r\nHost: {APP}\r\nCookie: __Host-portcullis={good}\r\n\r\n");
    assert_eq!(wire.exchange(request.as_bytes()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_ends_every_hosts_cookie_and_the_providers_session() {
    let world = World::start().await;
    let mut browser = Browser::new(&world, "ana");
    let (phone, _, _) = browser.sign_up("https://app.test/").await;
    browser.go("https://pub.test/").await;
    let saved = browser.clone();
    let answer = browser.post("https://app.test/.portcullis/sign-out", &[]).await;
    assert_eq!(answer.status, 303, "{answer:?}");
    assert!(answer.location().starts_with(&world.provider.url), "{answer:?}");
    assert!(answer.location().contains("id_token_hint="), "{answer:?}");
    for host in [GATE, APP, PUB] {
        let mut replay = saved.clone();
        assert_eq!(replay.fetch(&format!("https://{host}/.portcullis/session")).await.status, 401, "{host}");
        assert_eq!(replay.fetch(&format!("https://{host}/x")).await.status, if host == GATE { 404 } else { 401 }, "{host}");
    }
    assert_eq!(browser.cookie(APP), None);
    drop(phone);
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_out_wants_a_post_from_the_same_host() {
    let world = World::start().await;
    let mut browser = Browser::new(&world, "ana");
    browser.sign_up("https://app.test/").await;
    for (site, origin) in [("cross-site", "https://evil.test"), ("same-site", "https://pub.test"), ("same-site", "https://gate.test")] {
        let fields =
            [("Origin", origin), ("Sec-Fetch-Site", site), ("Content-Type", "application/x-www-form-urlencoded"), ("Content-Length", "0")];
        let answer = browser.send("POST", "https://app.test/.portcullis/sign-out", &fields, &[], "").await;
        assert_eq!(answer.status, 403, "{site} {origin} {answer:?}");
    }
    assert_eq!(browser.get("https://app.test/.portcullis/sign-out").await.status, 405);
    assert_eq!(browser.fetch("https://app.test/.portcullis/session").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_providers_are_offered_and_lead_to_different_people() {
    let world = World::with(Setup { two_idps: true, ..Setup::default() }).await;
    let mut browser = Browser::new(&world, "ana");
    let chooser = browser.get("https://gate.test/.portcullis/sign-in").await;
    assert_eq!(chooser.status, 200);
    assert!(chooser.text().contains("idp=corp") && chooser.text().contains("idp=other"), "{chooser:?}");
    for idp in ["corp", "other"] {
        Browser::new(&world, "ana").sign_up(&format!("https://gate.test/.portcullis/sign-in?idp={idp}")).await;
    }
    assert_eq!(world.gateway_subjects().await.len(), 2);
    assert_eq!(browser.get("https://gate.test/.portcullis/sign-in?idp=nobody").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_down_gets_a_clear_page_and_sign_in_works_when_it_is_back() {
    let world = World::start().await;
    let mut browser = Browser::new(&world, "ana");
    let callback = callback_of(&mut browser).await;
    world.provider.control("down").await;
    let answer = browser.get(&callback).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.text().contains("<html") && answer.text().contains("/.portcullis/sign-in"), "{answer:?}");
    assert!(world.recorded(&["idp_unavailable"]) >= 1);
    world.provider.control("up").await;
    browser.sign_up("https://app.test/").await;
    // Who is signed in does not need the provider.
    world.provider.control("down").await;
    assert_eq!(browser.fetch("https://app.test/x").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_token_of_the_provider_ends_the_session_once_and_a_damaged_one_does_not() {
    let catcher = Recorder::start().await;
    let environment = vec![("BACKCHANNEL_LOGOUT_URI", format!("http://{}/caught", catcher.address))];
    let world = World::with(Setup { environment, ..Setup::default() }).await;
    let mut browser = Browser::new(&world, "ana");
    let (phone, _, _) = browser.sign_up("https://app.test/").await;
    // The person signs out at the provider itself, which tells its clients.
    let page = browser.get(&format!("{}/session/end", world.provider.url)).await;
    let fields = hidden(&page.text());
    let mut form: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    form.push(("logout", "yes"));
    browser.post(&format!("{}/session/end/confirm", world.provider.url), &form).await;
    catcher.until(|text| text.contains("logout_token=")).await;
    let token = catcher.text().split("logout_token=").nth(1).unwrap().split(['&', '\n', '\r']).next().unwrap().to_owned();
    let post = async |token: &str| {
        let body = format!("logout_token={token}");
        let length = body.len();
        let head = format!(
            "POST /.portcullis/backchannel-logout HTTP/1.1\r\nHost: {GATE}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        world.wire(GATE).await.exchange(head.as_bytes()).await
    };
    let parts: Vec<&str> = token.split('.').collect();
    let damaged = [
        String::new(),
        "x".to_owned(),
        format!("{}.{}.", parts[0], parts[1]),
        format!("eyJhbGciOiJub25lIn0.{}.", parts[1]),
        format!("{}.{}.{}", parts[0], parts[1], parts[2].chars().rev().collect::<String>()),
        format!("{}.{}A.{}", parts[0], parts[1], parts[2]),
    ];
    for bad in damaged {
        let answer = post(&bad).await;
        assert_eq!(answer.status, 400, "{bad}: {answer:?}");
        assert_eq!(browser.fetch("https://app.test/x").await.status, 200, "{bad}");
    }
    let answer = post(&token).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.field("cache-control").is_some_and(|value| value.contains("no-store")));
    assert_eq!(browser.fetch("https://app.test/x").await.status, 401);
    let mut again = Browser::new(&world, "ana");
    again.sign_in("https://app.test/", &phone).await;
    assert_eq!(post(&token).await.status, 400, "a token is good once");
    assert_eq!(again.fetch("https://app.test/x").await.status, 200);
}
