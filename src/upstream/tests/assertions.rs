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
