//! Nothing that a stranger writes into an address takes a person off the gateway's hosts.

use crate::support::{Answer, Browser, GATE, World, navigation};

/// Addresses that some parser somewhere reads as another host.
const ELSEWHERE: [&str; 33] = [
    "//evil.test",
    "///evil.test",
    "////evil.test/%2f..",
    "/\\evil.test",
    "\\/evil.test",
    "/\\/evil.test",
    "/%09/evil.test",
    "/\t/evil.test",
    "\t//evil.test",
    "/%0d%0aSet-Cookie:x=y",
    "/%5cevil.test",
    "https:evil.test",
    "https:/evil.test",
    "https://evil.test",
    "https:///evil.test",
    "http:\\\\evil.test",
    "https://app.test.evil.test",
    "https://evil-app.test",
    "https://app.test@evil.test",
    "https://app.test:pass@evil.test/",
    "https://evil.test#@app.test",
    "https://evil.test?@app.test",
    "https://evil.test\\@app.test",
    "javascript:alert(1)",
    "data:text/html,x",
    "https://app.test:8443",
    "https://xn--pp-7tb.test",
    "https://\u{430}pp.test",
    "https://app.test%00.evil.test",
    "https://[::1]",
    "%2f%2fevil.test",
    "%252f%252fevil.test",
    "/.portcullis/sign-out?rd=//evil.test",
];

const PARAMETERS: [&str; 12] =
    ["return", "rd", "next", "url", "redirect_uri", "post_logout_redirect_uri", "return_to", "fragment", "code", "state", "iss", "idp"];

const PAGES: [&str; 9] = [
    "/",
    "/.portcullis/sign-in",
    "/.portcullis/callback",
    "/.portcullis/second-factor",
    "/.portcullis/enrol",
    "/.portcullis/onward",
    "/.portcullis/sign-out",
    "/.portcullis/signed-out",
    "/.portcullis/finish",
];

/// A redirect stays on the gateway's hosts, or leads to the provider's own authorization endpoint.
fn assert_stays(world: &World, base: &str, answer: &Answer, tried: &str) {
    for field in ["location", "refresh"] {
        for value in answer.all(field) {
            let target = url::Url::parse(base).unwrap().join(value).unwrap();
            let host = target.host_str().unwrap_or_default().to_owned();
            let own =
                target.scheme() == "https" && target.port().is_none() && ["gate.test", "app.test", "pub.test"].contains(&host.as_str());
            let provider = target.as_str().starts_with(&format!("{}/", world.provider.url));
            assert!(own || provider, "{tried}: {answer:?}");
            if provider {
                assert!(!value.contains("evil"), "{tried}: {answer:?}");
            }
        }
    }
    assert_eq!(answer.field("x"), None);
    assert!(answer.all("set-cookie").iter().all(|set| set.starts_with("__Host-portcullis=")), "{tried}: {answer:?}");
    assert!(!answer.text().contains("href=\"//evil") && !answer.text().contains("href=\"https://evil"), "{tried}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_parameter_of_any_page_leads_elsewhere() {
    let world = World::start().await;
    let mut wire = world.wire(GATE).await;
    for page in PAGES {
        for parameter in PARAMETERS {
            for elsewhere in ELSEWHERE {
                let encoded = url::form_urlencoded::byte_serialize(elsewhere.as_bytes()).collect::<String>();
                let target = format!("{page}?{parameter}={encoded}");
                let answer = wire.exchange(&navigation(GATE, &target)).await;
                assert!(answer.status < 500, "{target}: {answer:?}");
                assert_stays(&world, &format!("https://{GATE}{page}"), &answer, &target);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_parameter_leads_a_signed_in_person_elsewhere() {
    let world = World::start().await;
    let mut browser = Browser::new(&world, "ana");
    browser.sign_up("https://app.test/").await;
    for page in PAGES.iter().filter(|page| !page.contains("sign-out")) {
        for elsewhere in ELSEWHERE {
            let encoded = url::form_urlencoded::byte_serialize(elsewhere.as_bytes()).collect::<String>();
            let target = format!("{page}?return={encoded}&rd={encoded}");
            for host in [GATE, "app.test"] {
                let url = format!("https://{host}{target}");
                let answer = browser.get(&url).await;
                assert_stays(&world, &url, &answer, &url);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_reads_as_another_host_comes_back_as_itself_or_not_at_all() {
    let world = World::start().await;
    let mut browser = Browser::new(&world, "ana");
    browser.sign_up("https://app.test/").await;
    browser.cookies.remove("app.test");
    for path in [
        "//evil.test/",
        "///evil.test",
        "/\\evil.test",
        "/%5cevil.test",
        "/%2fevil.test",
        "/.//evil.test",
        "/%09/evil.test",
        "/x//evil.test",
    ] {
        let answer = world.wire("app.test").await.exchange(&navigation("app.test", path)).await;
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
    }
    let visit = browser.go("https://app.test/x?next=//evil.test").await;
    assert_eq!((visit.answer.status, visit.url.as_str()), (200, "https://app.test/x?next=//evil.test"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_the_gateway_never_gave_out_leads_to_the_portal_and_is_on_record() {
    let world = World::start().await;
    let (phone, _, _) = Browser::new(&world, "ana").sign_up("https://app.test/").await;
    let long = format!("https://evil.test/{}", "a".repeat(10_240));
    for elsewhere in ELSEWHERE.into_iter().chain([long.as_str()]) {
        let before = world.recorded(&["redirect_rejected"]);
        let encoded = url::form_urlencoded::byte_serialize(elsewhere.as_bytes()).collect::<String>();
        world.wire(GATE).await.exchange(&navigation(GATE, &format!("/.portcullis/sign-in?return={encoded}"))).await;
        assert_eq!(world.recorded(&["redirect_rejected"]), before + 1, "{elsewhere}");
    }
    let before = world.recorded(&["redirect_rejected"]);
    let mut browser = Browser::new(&world, "ana");
    let after = browser.sign_in(&format!("https://{GATE}/.portcullis/sign-in?return=//evil.test"), &phone).await;
    assert_eq!((after.answer.status, after.url.as_str()), (200, "https://gate.test/"));
    assert_eq!(world.recorded(&["redirect_rejected"]), before + 1);
    // Two are none, and a name that was given out once and is forgotten is nothing to tell of.
    let twice = format!("/.portcullis/sign-in?return={0}&return={0}", "A".repeat(43));
    world.wire(GATE).await.exchange(&navigation(GATE, &twice)).await;
    assert_eq!(world.recorded(&["redirect_rejected"]), before + 2);
    world.wire(GATE).await.exchange(&navigation(GATE, &format!("/.portcullis/sign-in?return={}", "A".repeat(43)))).await;
    assert_eq!(world.recorded(&["redirect_rejected"]), before + 2);
}
