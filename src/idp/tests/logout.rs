//! Attack OI-22: logout tokens that do not count; and where a browser is sent to sign out.

use std::time::Duration;

use kernel::session::Token;
use serde_json::{Value, json};

use super::draft::{Draft, Forge};
use super::op::{Canned, JWKS, Op, Signer, rsa_pem};
use super::{NOW, clock, idp, parameter, settings};
use crate::idp::fault::TokenFault as Fault;
use crate::idp::{Idp, LogoutFault, LogoutToken, issuer_hint};

async fn judge(idp: &Idp, op: &Op, forge: impl FnOnce(&mut Draft)) -> Result<LogoutToken, LogoutFault> {
    let mut draft = Draft::logout(&op.issuer);
    forge(&mut draft);
    idp.verify_logout_token(&draft.compact()).await
}

#[tokio::test]
async fn a_good_logout_token_names_what_ends() {
    let op = Op::start().await;
    let idp = idp(&op);
    let token = judge(&idp, &op, |_| {}).await.unwrap();
    assert_eq!((token.issuer.as_str(), token.sub.as_deref(), token.sid.as_deref()), (op.issuer.as_str(), Some("ana"), Some("s1")));
    // Remembered for as long as it could be shown again.
    assert_eq!(token.until.as_seconds(), NOW + 120 + 60);
    assert_eq!(judge(&idp, &op, |_| {}).await.unwrap().jti_hash, token.jti_hash);
    assert_ne!(judge(&idp, &op, |d| d.claim("jti", json!("j2"))).await.unwrap().jti_hash, token.jti_hash);
    let accepted: &[(&str, Forge)] = &[
        ("sub only", |d| d.without("sid")),
        ("sid only", |d| d.without("sub")),
        ("typ absent", |d| d.without_header("typ")),
        ("typ in capitals", |d| d.header("typ", json!("LOGOUT+JWT"))),
        ("aud a list", |d| d.claim("aud", json!(["portcullis"]))),
        ("EdDSA", |d| d.sign("EdDSA", "ed", Signer::Ed)),
        ("sent 5 min ago", |d| d.claim("iat", json!(NOW - 300))),
    ];
    for (name, forge) in accepted {
        assert_eq!(judge(&idp, &op, forge).await.err(), None, "{name}");
    }
}

#[tokio::test]
async fn a_logout_token_is_remembered_no_longer_than_it_can_be_used() {
    let (op, clock) = (Op::start().await, clock());
    let idp = Idp::new(settings(&op.issuer), clock.clone()).unwrap();
    let long = |d: &mut Draft| d.claim("exp", json!(NOW + 1_000_000));
    let until = judge(&idp, &op, long).await.unwrap().until;
    assert_eq!(until.as_seconds(), NOW + 360);
    clock.advance(Duration::from_secs(359));
    assert!(judge(&idp, &op, long).await.is_ok());
    clock.advance(Duration::from_secs(1));
    assert_eq!(judge(&idp, &op, long).await.err(), Some(LogoutFault::Invalid(Fault::Stale)));
}

#[tokio::test]
async fn a_logout_token_that_lies_ends_nothing() {
    let op = Op::start().await;
    let cases: &[(&str, Forge, Fault)] = &[
        (
            "alg none",
            |d| {
                d.header("alg", json!("none"));
                d.signer = Signer::Exactly(vec![])
            },
            Fault::Algorithm,
        ),
        ("alg HS256", |d| d.sign("HS256", "rsa", Signer::Hmac(rsa_pem())), Fault::Algorithm),
        ("alg RS384, which the IdP does not state", |d| d.sign("RS384", "rsa", Signer::Rs384), Fault::Algorithm),
        ("another key", |d| d.signer = Signer::OtherRs256, Fault::Signature),
        ("kid unknown", |d| d.header("kid", json!("x")), Fault::UnknownKey),
        ("kid absent", |d| d.without_header("kid"), Fault::KeyIdAbsent),
        ("crit", |d| d.header("crit", json!(["exp"])), Fault::HeaderParameter("crit")),
        ("iss another", |d| d.claim("iss", json!("https://evil.test")), Fault::Issuer),
        ("iss absent", |d| d.without("iss"), Fault::Claim("iss")),
        ("aud another", |d| d.claim("aud", json!("other")), Fault::Audience),
        ("aud absent", |d| d.without("aud"), Fault::Claim("aud")),
        ("events absent", |d| d.without("events"), Fault::Events),
        ("events another", |d| d.claim("events", json!({ "http://schemas.openid.net/event/other": {} })), Fault::Events),
        ("events in another case", |d| d.claim("events", json!({ EVENT.to_uppercase(): {} })), Fault::Events),
        ("events text", |d| d.claim("events", json!(EVENT)), Fault::Events),
        ("events a list", |d| d.claim("events", json!([EVENT])), Fault::Events),
        ("event null", |d| d.claim("events", json!({ EVENT: null })), Fault::Events),
        ("event true", |d| d.claim("events", json!({ EVENT: true })), Fault::Events),
        ("event a list", |d| d.claim("events", json!({ EVENT: [] })), Fault::Events),
        ("nonce", |d| d.claim("nonce", json!("n")), Fault::NoncePresent),
        ("nonce null", |d| d.claim("nonce", Value::Null), Fault::NoncePresent),
        (
            "neither sub nor sid",
            |d| {
                d.without("sub");
                d.without("sid")
            },
            Fault::NoTarget,
        ),
        (
            "sid empty, no sub",
            |d| {
                d.without("sub");
                d.claim("sid", json!(""))
            },
            Fault::NoTarget,
        ),
        ("sub a number", |d| d.claim("sub", json!(1)), Fault::Claim("sub")),
        ("sub empty", |d| d.claim("sub", json!("")), Fault::Subject),
        ("sid a number", |d| d.claim("sid", json!(1)), Fault::Claim("sid")),
        ("jti absent", |d| d.without("jti"), Fault::Claim("jti")),
        ("jti empty", |d| d.claim("jti", json!("")), Fault::Claim("jti")),
        ("jti a number", |d| d.claim("jti", json!(1)), Fault::Claim("jti")),
        ("jti of 1,025", |d| d.claim("jti", json!("j".repeat(1_025))), Fault::Claim("jti")),
        ("iat absent", |d| d.without("iat"), Fault::Claim("iat")),
        ("iat text", |d| d.claim("iat", json!(NOW.to_string())), Fault::Claim("iat")),
        ("iat old", |d| d.claim("iat", json!(NOW - 360)), Fault::Stale),
        ("iat in the future", |d| d.claim("iat", json!(NOW + 61)), Fault::IssuedInFuture),
        ("exp past", |d| d.claim("exp", json!(NOW - 60)), Fault::Expired),
        ("exp absent", |d| d.without("exp"), Fault::Claim("exp")),
        ("exp text", |d| d.claim("exp", json!("9999999999")), Fault::Claim("exp")),
        ("typ JWT", |d| d.header("typ", json!("JWT")), Fault::Type),
        ("typ at+jwt", |d| d.header("typ", json!("at+jwt")), Fault::Type),
        ("typ a number", |d| d.header("typ", json!(1)), Fault::Type),
        ("events twice", |d| d.append_claims(r#""events":{}"#), Fault::NotJson("payload")),
        ("too large", |d| d.claim("x", json!("x".repeat(700_000))), Fault::TooLarge),
        ("twisted", |d| d.twist = |token| format!("{token}."), Fault::NotCompact),
    ];
    for (name, forge, expected) in cases {
        assert_eq!(judge(&idp(&op), &op, forge).await.err(), Some(LogoutFault::Invalid(*expected)), "{name}");
    }
}

#[tokio::test]
async fn an_id_token_is_no_logout_token_and_the_other_way_round() {
    let op = Op::start().await;
    let id_token = Draft::id_token(&op.issuer, "n").compact();
    assert_eq!(idp(&op).verify_logout_token(&id_token).await.err(), Some(LogoutFault::Invalid(Fault::Events)));
    let found = super::sign_in(&idp(&op), &op, |d| *d = Draft::logout(d.claims["iss"].as_str().unwrap())).await.err();
    assert_eq!(found, Some(Fault::Type.into()));
    let untyped = |d: &mut Draft| {
        *d = Draft::logout(d.claims["iss"].as_str().unwrap());
        d.without_header("typ");
    };
    assert_eq!(super::sign_in(&idp(&op), &op, untyped).await.err(), Some(Fault::Nonce.into()));
}

#[tokio::test]
async fn a_logout_that_cannot_be_judged_is_our_failure() {
    let op = Op::start().await;
    let idp = idp(&op);
    idp.reachable().await.unwrap();
    op.answer(JWKS, Canned::text("").status(500));
    let found = judge(&idp, &op, |d| d.header("kid", json!("new"))).await.err();
    assert!(matches!(found, Some(LogoutFault::Unreachable(_))), "{found:?}");
}

#[test]
fn the_issuer_is_hinted_at_before_anything_is_checked() {
    let token = Draft::logout("https://idp.test").compact();
    assert_eq!(issuer_hint(&token).as_deref(), Some("https://idp.test"));
    for broken in ["", "a.b", "a.b.c", &format!("{token}."), &"x".repeat(100_000)] {
        assert_eq!(issuer_hint(broken), None);
    }
}

#[tokio::test]
async fn a_browser_is_sent_to_sign_out_where_the_idp_has_a_place_for_it() {
    let op = Op::start().await;
    let state = Token::new([1; 32]);
    let url = idp(&op).sign_out_url(Some("e30.e30.AA"), Some(&state)).await.unwrap().unwrap();
    assert!(url.starts_with(&format!("{}/sign-out?", op.issuer)));
    for (name, value) in [
        ("client_id", "portcullis"),
        ("post_logout_redirect_uri", "https://gate.test/"),
        ("id_token_hint", "e30.e30.AA"),
        ("state", &state.text()),
    ] {
        assert_eq!(parameter(&url, name).as_deref(), Some(value), "{name}");
    }
    let long = "x".repeat(5_000);
    let url = idp(&op).sign_out_url(Some(&long), None).await.unwrap().unwrap();
    assert_eq!((parameter(&url, "id_token_hint"), parameter(&url, "state")), (None, None));
    op.state("end_session_endpoint", Value::Null);
    assert_eq!(idp(&op).sign_out_url(None, None).await.unwrap(), None);
}

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
