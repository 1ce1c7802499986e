//! The signed assertion, read by another implementation (HD-12).

use super::*;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;

async fn token(bench: &Bench) -> String {
    let (_, head) = bench.get("/x").await.unwrap();
    let line = head.lines().find_map(|line| line.strip_prefix("x-portcullis-assertion: ")).unwrap();
    line.to_owned()
}

fn read(token: &str, key_set: &str, audience: &str) -> Result<Value, jsonwebtoken::errors::Error> {
    let keys: JwkSet = serde_json::from_str(key_set).unwrap();
    let header = decode_header(token)?;
    let key = keys.find(&header.kid.unwrap()).ok_or(jsonwebtoken::errors::ErrorKind::InvalidSignature)?;
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&[audience]);
    validation.set_issuer(&["https://gate.test"]);
    // The bench's clock is not the machine's.
    validation.validate_exp = false;
    decode::<Value>(token, &DecodingKey::from_jwk(key)?, &validation).map(|read| read.claims)
}

#[tokio::test]
async fn an_upstream_can_verify_who_asks_for_what() {
    let bench = Bench::new(&[mirror().await.0]);
    let claims = read(&token(&bench).await, &bench.upstreams.key_set(), "app").unwrap();
    assert_eq!(
        claims,
        serde_json::json!({
            "iss": "https://gate.test", "aud": "app", "sub": "https://idp.test#ana", "email": "ana@example.com",
            "groups": ["dev", "sre"], "iat": 1_800_000_000, "exp": 1_800_000_060, "jti": "07070707070707070707070707070707",
            "request_id": "07070707070707070707070707070707", "amr": ["otp", "mfa"], "factor": "totp", "factor_age_s": 30,
            "route": "app", "rule": "all",
        })
    );
}

#[tokio::test]
async fn an_assertion_is_worth_nothing_elsewhere() {
    let bench = Bench::new(&[mirror().await.0]);
    let token = token(&bench).await;
    let keys = bench.upstreams.key_set();
    assert!(read(&token, &keys, "other").is_err(), "another route");
    let stranger = AssertionKey::from_pkcs8(&AssertionKey::generate().unwrap()).unwrap();
    assert!(read(&token, &stranger.key_set(&[]), "app").is_err(), "another gateway");
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let other = if &parts[1][10..11] == "A" { "B" } else { "A" };
    parts[1].replace_range(10..11, other);
    assert!(read(&parts.join("."), &keys, "app").is_err(), "other claims");
}

#[test]
fn a_key_is_read_as_it_was_made_and_nothing_else_is_a_key() {
    let document = AssertionKey::generate().unwrap();
    let (one, two) = (AssertionKey::from_pkcs8(&document).unwrap(), AssertionKey::from_pkcs8(&document).unwrap());
    assert_eq!(one.key_id(), two.key_id());
    for wrong in [&b""[..], b"not a key", &document[..document.len() - 1]] {
        assert!(AssertionKey::from_pkcs8(wrong).is_err());
    }
}

#[test]
fn the_key_set_holds_no_private_half_and_keeps_former_keys() {
    let keys: Vec<_> = (0..2).map(|_| AssertionKey::from_pkcs8(&AssertionKey::generate().unwrap()).unwrap()).collect();
    let set: Value = serde_json::from_str(&keys[0].key_set(&keys[1..])).unwrap();
    let listed = set["keys"].as_array().unwrap();
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|key| key.get("d").is_none()));
    assert_eq!(format!("{:?}", keys[0]), format!("AssertionKey {{ key_id: {:?}, .. }}", keys[0].key_id()));
}

async fn each_session() -> Bench {
    let address = mirror().await.0;
    Bench::with(vec![at(Scheme::Http, &address.ip().to_string(), address.port())], |way| way.assertion = Vouch::EachSession)
}

#[tokio::test]
async fn one_that_stands_for_a_session_names_no_request_and_serves_several() {
    let bench = each_session().await;
    let first = token(&bench).await;
    assert_eq!(token(&bench).await, first);
    assert_eq!(
        read(&first, &bench.upstreams.key_set(), "app").unwrap(),
        serde_json::json!({
            "iss": "https://gate.test", "aud": "app", "sub": "https://idp.test#ana", "email": "ana@example.com",
            "groups": ["dev", "sre"], "iat": 1_800_000_000, "exp": 1_800_000_060, "amr": ["otp", "mfa"], "factor": "totp",
            "factor_age_s": 30, "route": "app", "rule": "all",
        })
    );
}

#[tokio::test]
async fn it_is_signed_anew_before_a_quarter_of_its_minute_is_over_and_when_the_clock_is_set_back() {
    let mut bench = each_session().await;
    let first = token(&bench).await;
    bench.now = NOW.plus(Duration::from_millis(14_999));
    assert_eq!(token(&bench).await, first);
    for now in [NOW.plus(Duration::from_secs(15)), NOW.minus(Duration::from_secs(1))] {
        bench.now = now;
        let claims = read(&token(&bench).await, &bench.upstreams.key_set(), "app").unwrap();
        assert_eq!((claims["iat"].as_u64(), claims["exp"].as_u64()), (Some(now.as_seconds()), Some(now.as_seconds() + 60)));
    }
}

#[tokio::test]
async fn it_holds_for_its_session_identity_factor_rule_and_route_alone() {
    let mut bench = each_session().await;
    let mut seen = vec![token(&bench).await];
    bench.identity = identity("ana", &["dev"]);
    seen.push(token(&bench).await);
    let claims = read(seen.last().unwrap(), &bench.upstreams.key_set(), "app").unwrap();
    assert_eq!(claims["groups"], serde_json::json!(["dev"]), "the groups of now, for the same session");
    bench.session = SessionId::new([2; 16]);
    bench.identity = identity("ben", &["dev"]);
    seen.push(token(&bench).await);
    let claims = read(seen.last().unwrap(), &bench.upstreams.key_set(), "app").unwrap();
    assert_eq!(claims["sub"], "https://idp.test#ben");
    bench.proof = FactorProof { kind: FactorKind::RecoveryCode, at: NOW.minus(Duration::from_secs(30)) };
    seen.push(token(&bench).await);
    let mut route = Route::clone(&bench.route);
    route.rules = vec![rule("other", "/**", Audience::AnyoneSignedIn)];
    bench.route = Arc::new(route);
    seen.push(token(&bench).await);
    assert_eq!(read(seen.last().unwrap(), &bench.upstreams.key_set(), "app").unwrap()["rule"], "other");
    let different: std::collections::HashSet<_> = seen.iter().collect();
    assert_eq!(different.len(), seen.len());
}

#[tokio::test]
async fn a_route_that_wants_none_gets_none_not_even_the_clients() {
    let address = mirror().await.0;
    let upstreams = vec![at(Scheme::Http, &address.ip().to_string(), address.port())];
    let bench = Bench::with(upstreams, |way| way.assertion = Vouch::Never);
    let mut request = get("/x");
    request.headers_mut().insert("x-portcullis-assertion", http::HeaderValue::from_static("a.b.c"));
    let head = bench.forward(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    assert!(!head.contains("assertion") && head.contains("x-portcullis-subject: "), "{head}");
}
