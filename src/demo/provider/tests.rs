//! The provider as a client and a browser see it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::collections::HashMap;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use http::{Request, StatusCode};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use kernel::time::Timestamp;
use serde_json::Value;
use url::Url;

use super::*;
use crate::demo::certificates;
use crate::demo::tests::{Answer, ask};

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CALLBACK: &str = "https://gate.localhost:8443/.portcullis/callback";
const SIGNED_OUT: &str = "https://gate.localhost:8443/";
const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

struct Fixture {
    issuer: String,
    clock: Clock,
    _tasks: Tasks,
}

impl Fixture {
    async fn start() -> Self {
        let clock = Clock::manual(NOW);
        let tasks = Tasks::default();
        let (listener, _) = serve::bind(0).await.unwrap();
        let authority = certificates::make(&["gate.localhost".to_owned()], NOW).unwrap().authority_der;
        let client = Client {
            id: "portcullis".into(),
            secret: Zeroizing::new("s3cret:+%".into()),
            redirect_uri: CALLBACK.into(),
            post_logout_redirect_uris: vec![SIGNED_OUT.into()],
            // Port 9 is the discard service: nobody is there.
            logout: Caller::new("gate.localhost", 9, authority).unwrap(),
        };
        let issuer = start(listener, client, clock.clone(), &tasks).unwrap();
        Self { issuer, clock, _tasks: tasks }
    }

    async fn get(&self, path: &str, cookie: &str) -> Answer {
        ask(&self.issuer, Request::get(path).header(COOKIE, cookie).body(String::new()).unwrap()).await
    }

    async fn post(&self, path: &str, form: &str, authorization: Option<&str>) -> Answer {
        let mut request = Request::post(path).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        ask(&self.issuer, request.body(form.to_owned()).unwrap()).await
    }

    /// Signs `login` in and gives the code and the cookie.
    async fn code(&self, login: &str) -> (String, String) {
        let answer = self.post(&wish(&[]), &format!("login={login}"), None).await;
        let cookie = answer.headers[SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
        (sent_back(&answer)["code"].clone(), cookie)
    }

    async fn exchange(&self, code: &str, changes: &[(&str, &str)]) -> Answer {
        let mut form: HashMap<&str, &str> = HashMap::from([
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
            ("client_id", "portcullis"),
            ("client_secret", "s3cret:+%"),
        ]);
        form.extend(changes.iter().copied());
        form.retain(|_, value| !value.is_empty());
        self.post("/token", &encoded(form), None).await
    }
}

fn encoded<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// An authorization request that is right but for `changes`; an empty value leaves a parameter out.
fn wish(changes: &[(&str, &str)]) -> String {
    let challenge = tokens::challenge_of(VERIFIER);
    let mut query: HashMap<&str, &str> = HashMap::from([
        ("client_id", "portcullis"),
        ("redirect_uri", CALLBACK),
        ("response_type", "code"),
        ("scope", "openid profile email groups"),
        ("state", "st&te"),
        ("nonce", "n0nce"),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ]);
    query.extend(changes.iter().copied());
    query.retain(|_, value| !value.is_empty());
    format!("/authorize?{}", encoded(query))
}

/// The parameters in the redirect of an answer.
fn sent_back(answer: &Answer) -> HashMap<String, String> {
    let location = answer.headers[LOCATION].to_str().unwrap();
    assert!(location.starts_with(&format!("{CALLBACK}?")), "{location}");
    Url::parse(location).unwrap().query_pairs().into_owned().collect()
}

#[tokio::test]
async fn the_code_flow_ends_in_an_id_token_that_verifies_by_the_published_keys() {
    let provider = Fixture::start().await;
    let (code, _) = provider.code("ben").await;
    let answer: Value = provider.exchange(&code, &[]).await.json();
    let keys: JwkSet = serde_json::from_value(provider.get("/jwks", "").await.json()).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.validate_exp = false;
    validation.set_audience(&["portcullis"]);
    validation.set_issuer(&[&provider.issuer]);
    let key = DecodingKey::from_jwk(&keys.keys[0]).unwrap();
    let claims = jsonwebtoken::decode::<Value>(answer["id_token"].as_str().unwrap(), &key, &validation).unwrap().claims;
    assert_eq!(claims["sub"], "ben");
    assert_eq!(claims["nonce"], "n0nce");
    assert_eq!(claims["groups"], serde_json::json!(["staff", "on-call"]));
    assert_eq!(claims["auth_time"], NOW.as_seconds());
    let bearer = format!("Bearer {}", answer["access_token"].as_str().unwrap());
    assert_eq!(provider.post("/userinfo", "", Some(&bearer)).await.json::<Value>()["email"], "ben@example.com");
}

#[tokio::test]
async fn the_answer_carries_state_and_issuer() {
    let provider = Fixture::start().await;
    let answer = provider.post(&wish(&[]), "login=ana", None).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    let sent = sent_back(&answer);
    assert_eq!(sent["state"], "st&te");
    assert_eq!(sent["iss"], provider.issuer);
}

#[tokio::test]
async fn a_stranger_is_never_redirected() {
    let provider = Fixture::start().await;
    for change in [
        ("client_id", "other"),
        ("redirect_uri", "https://evil.example/"),
        ("redirect_uri", "https://gate.localhost:8443/.portcullis/callback/x"),
        ("redirect_uri", ""),
    ] {
        let answer = provider.get(&wish(&[change]), "").await;
        assert_eq!((answer.status, answer.headers.get(LOCATION)), (StatusCode::BAD_REQUEST, None), "{change:?}");
    }
}

#[tokio::test]
async fn a_request_that_is_not_whole_is_sent_back_with_the_error() {
    let provider = Fixture::start().await;
    for (change, error) in [
        (("code_challenge_method", "plain"), "invalid_request"),
        (("code_challenge_method", ""), "invalid_request"),
        (("code_challenge", ""), "invalid_request"),
        (("response_type", "token"), "unsupported_response_type"),
        (("scope", "profile"), "invalid_scope"),
        (("request_uri", "https://x.example/"), "request_not_supported"),
        (("prompt", "none"), "login_required"),
    ] {
        let sent = sent_back(&provider.get(&wish(&[change]), "").await);
        assert_eq!((sent["error"].as_str(), sent["state"].as_str()), (error, "st&te"), "{change:?}");
    }
}

#[tokio::test]
async fn a_repeated_parameter_is_refused() {
    let provider = Fixture::start().await;
    assert_eq!(provider.get(&format!("{}&state=other", wish(&[])), "").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_code_is_good_once() {
    let provider = Fixture::start().await;
    let (code, _) = provider.code("ana").await;
    assert_eq!(provider.exchange(&code, &[]).await.status, StatusCode::OK);
    assert_eq!(provider.exchange(&code, &[]).await.json::<Value>()["error"], "invalid_grant");
}

#[tokio::test]
async fn a_code_is_good_for_a_minute() {
    let provider = Fixture::start().await;
    let (code, _) = provider.code("ana").await;
    provider.clock.advance(Duration::from_secs(60));
    assert_eq!(provider.exchange(&code, &[]).await.json::<Value>()["error"], "invalid_grant");
}

#[tokio::test]
async fn a_wrong_exchange_is_refused() {
    let provider = Fixture::start().await;
    for (change, error) in [
        (("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXx"), "invalid_grant"),
        (("code_verifier", ""), "invalid_grant"),
        (("redirect_uri", "https://gate.localhost:8443/"), "invalid_grant"),
        (("client_secret", "other"), "invalid_client"),
        (("client_secret", ""), "invalid_client"),
        (("client_id", "other"), "invalid_client"),
        (("grant_type", "password"), "unsupported_grant_type"),
    ] {
        let (code, _) = provider.code("ana").await;
        assert_eq!(provider.exchange(&code, &[change]).await.json::<Value>()["error"], error, "{change:?}");
    }
}

#[tokio::test]
async fn the_client_may_show_its_secret_in_a_basic_header() {
    let provider = Fixture::start().await;
    let (code, _) = provider.code("ana").await;
    let form = encoded([("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)]);
    // portcullis:s3cret%3A%2B%25
    let answer = provider.post("/token", &form, Some("Basic cG9ydGN1bGxpczpzM2NyZXQlM0ElMkIlMjU=")).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn a_wrong_password_shows_the_page_again() {
    let provider = Fixture::start().await;
    for form in ["login=ana&password=ben", "login=nobody", ""] {
        let answer = provider.post(&wish(&[]), form, None).await;
        assert_eq!((answer.status, answer.headers.get(SET_COOKIE)), (StatusCode::FORBIDDEN, None), "{form}");
    }
}

#[tokio::test]
async fn a_second_visit_needs_no_second_sign_in_unless_it_is_asked_for() {
    let provider = Fixture::start().await;
    let (_, cookie) = provider.code("ana").await;
    assert!(sent_back(&provider.get(&wish(&[]), &cookie).await).contains_key("code"));
    assert_eq!(provider.get(&wish(&[("prompt", "login")]), &cookie).await.status, StatusCode::OK);
}

#[tokio::test]
async fn signing_out_with_a_token_ends_the_session_and_leads_back() {
    let provider = Fixture::start().await;
    let (code, cookie) = provider.code("ana").await;
    let token: Value = provider.exchange(&code, &[]).await.json();
    let form =
        encoded([("id_token_hint", token["id_token"].as_str().unwrap()), ("post_logout_redirect_uri", SIGNED_OUT), ("state", "bye")]);
    let answer = provider.post("/end_session", &form, None).await;
    assert_eq!(answer.headers[LOCATION], format!("{SIGNED_OUT}?state=bye"));
    assert_eq!(provider.get(&wish(&[]), &cookie).await.status, StatusCode::OK, "the page asks who it is");
}

#[tokio::test]
async fn signing_out_without_a_token_or_to_an_unknown_place_ends_nothing() {
    let provider = Fixture::start().await;
    let (code, cookie) = provider.code("ana").await;
    let token: Value = provider.exchange(&code, &[]).await.json();
    let evil = encoded([("id_token_hint", token["id_token"].as_str().unwrap()), ("post_logout_redirect_uri", "https://evil.example/")]);
    for form in ["", evil.as_str()] {
        assert_ne!(
            provider.post("/end_session", form, None).await.headers.get(LOCATION).map(|to| to == "https://evil.example/"),
            Some(true)
        );
        assert_eq!(provider.get(&wish(&[]), &cookie).await.status, StatusCode::SEE_OTHER);
    }
}

#[tokio::test]
async fn the_page_escapes_what_the_request_says() {
    let provider = Fixture::start().await;
    let answer = provider.get(&wish(&[("state", "\"><script>")]), "").await;
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(!text.contains("<script>") && text.contains("name=\"login\""));
}

#[test]
fn memory_forgets_the_oldest_when_it_is_full() {
    let memory = Memory::default();
    for index in 0..2000_u64 {
        memory.insert(index.to_string(), index, NOW.plus(Duration::from_secs(index + 1)), NOW);
    }
    assert_eq!(memory.take_where(|_| true).len(), 1024);
}
