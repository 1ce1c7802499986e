//! The samples as the gateway sees them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};

use super::*;
use crate::demo::tests::{Answer, ask};

async fn check(request: Request<String>) -> Answer {
    let tasks = Tasks::default();
    let samples = start(&tasks).await.unwrap();
    let answer = ask(&format!("http://{}", samples.page), request).await;
    tasks.finish().await;
    answer
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.to_vec()).unwrap()
}

#[tokio::test]
async fn the_page_shows_what_the_gateway_vouches_for() {
    let request =
        Request::get("/reports?q=1").header("X-Portcullis-Subject", "ana").header("X-Portcullis-Assertion", "e30.eyJhdWQiOiJhcHAifQ.x");
    let page = text(&check(request.body(String::new()).unwrap()).await);
    assert!(page.contains("GET /reports?q=1"), "{page}");
    assert!(page.contains(r#"<tr class="stated"><th scope="row">x-portcullis-subject</th><td>ana</td>"#), "{page}");
    assert!(page.contains("&#34;aud&#34;: &#34;app&#34;"), "{page}");
}

#[tokio::test]
async fn the_page_escapes_headers() {
    let page = text(&check(Request::get("/").header("x-test", "<script>").body(String::new()).unwrap()).await);
    assert!(!page.contains("<script>"), "{page}");
}

#[tokio::test]
async fn an_assertion_that_is_none_is_shown_as_a_header_only() {
    let page = text(&check(Request::get("/").header("X-Portcullis-Assertion", "nonsense").body(String::new()).unwrap()).await);
    assert!(!page.contains(r#"id="assertion""#) && page.contains("nonsense"), "{page}");
}

#[tokio::test]
async fn an_upload_is_counted() {
    let answer = check(Request::post("/upload").body("x".repeat(200_000)).unwrap()).await;
    assert_eq!(text(&answer), "Received 200000 bytes.\n");
}

#[tokio::test]
async fn a_whole_handshake_is_accepted_and_half_of_one_is_not() {
    let handshake = |version: &str| {
        let request = Request::get("/echo").header(CONNECTION, "Upgrade").header(UPGRADE, "websocket");
        request.header(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==").header(SEC_WEBSOCKET_VERSION, version).body(String::new()).unwrap()
    };
    assert_eq!(check(handshake("8")).await.status, StatusCode::BAD_REQUEST);
    let answer = check(handshake("13")).await;
    assert_eq!(answer.status, StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(answer.headers[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[tokio::test]
async fn the_echo_page_has_its_script_in_a_file_of_its_own() {
    let page = text(&check(Request::get("/echo").body(String::new()).unwrap()).await);
    assert!(page.contains(r#"src="/public/echo.js""#) && !page.contains("<script>"), "{page}");
}

#[tokio::test(start_paused = true)]
async fn ticks_come_at_their_pace() {
    let mut body = ticks::body(SECOND, 3, |count| format!("{count};"));
    let began = tokio::time::Instant::now();
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        all.extend(frame.unwrap().into_data().unwrap());
    }
    assert_eq!((all.as_slice(), began.elapsed()), (b"1;2;3;".as_slice(), SECOND * 2));
}
