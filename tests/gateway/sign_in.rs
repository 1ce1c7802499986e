//! Signing in, from the first navigation to the exact address, and what others get instead.

use crate::support::{APP, Browser, World};

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
