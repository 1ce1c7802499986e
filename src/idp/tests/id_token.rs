//! Attacks OI-07 and OI-08: every way in which an ID token is known to lie, one line each.

use std::time::Duration;

use serde_json::{Value, json};

use super::draft::Forge;
use super::op::{Op, Signer, all_keys, b64, keys, modulus, rsa_jwk, rsa_pem};
use super::{ACCESS_TOKEN, NOW, idp, sign_in, sign_in_asking};
use crate::idp::fault::TokenFault as Fault;
use crate::idp::{AnswerFault, Ask, FinishFault};

struct Case(&'static str, Forge, Fault);

async fn check_refused(cases: &[Case]) {
    let op = Op::start().await;
    for Case(name, forge, expected) in cases {
        let found = sign_in(&idp(&op), &op, forge).await.err();
        assert_eq!(found, Some(FinishFault::Invalid(AnswerFault::IdToken(*expected))), "{name}");
    }
}

async fn check_accepted(cases: &[(&'static str, Forge)]) {
    let op = Op::start().await;
    for (name, forge) in cases {
        let found = sign_in(&idp(&op), &op, forge).await;
        assert_eq!(found.as_ref().err(), None, "{name}");
        assert_eq!(found.unwrap().identity.subject.sub, "ana", "{name}");
    }
}

#[tokio::test]
async fn every_pinned_algorithm_is_taken() {
    check_accepted(&[
        ("RS256", |_| {}),
        ("RS512", |d| d.sign("RS512", "rsa", Signer::Rs512)),
        ("PS256", |d| d.sign("PS256", "rsa", Signer::Ps256)),
        ("PS384", |d| d.sign("PS384", "rsa", Signer::Ps384)),
        ("PS512", |d| d.sign("PS512", "rsa", Signer::Ps512)),
        ("ES256", |d| d.sign("ES256", "p256", Signer::Es256)),
        ("ES384", |d| d.sign("ES384", "p384", Signer::Es384)),
        ("EdDSA", |d| d.sign("EdDSA", "ed", Signer::Ed)),
        ("typ JWT", |d| d.header("typ", json!("JWT"))),
        ("typ application/jwt", |d| d.header("typ", json!("application/JWT"))),
    ])
    .await;
}

#[tokio::test]
async fn a_token_that_is_not_signed_by_the_idp_is_refused() {
    check_refused(&[
        Case(
            "alg none",
            |d| {
                d.header("alg", json!("none"));
                d.signer = Signer::Exactly(vec![])
            },
            Fault::Algorithm,
        ),
        Case(
            "alg None",
            |d| {
                d.header("alg", json!("None"));
                d.signer = Signer::Exactly(vec![])
            },
            Fault::Algorithm,
        ),
        Case("alg NONE with a signature", |d| d.header("alg", json!("NONE")), Fault::Algorithm),
        Case("alg empty", |d| d.header("alg", json!("")), Fault::Algorithm),
        Case("alg absent", |d| d.without_header("alg"), Fault::Algorithm),
        Case("alg null", |d| d.header("alg", Value::Null), Fault::Algorithm),
        Case("alg a list", |d| d.header("alg", json!(["RS256"])), Fault::Algorithm),
        Case("alg in lower case", |d| d.header("alg", json!("rs256")), Fault::Algorithm),
        Case("alg with a space", |d| d.header("alg", json!("RS256 ")), Fault::Algorithm),
        Case("HS256 with the public key's PEM", |d| d.sign("HS256", "rsa", Signer::Hmac(rsa_pem())), Fault::Algorithm),
        Case("HS256 with the modulus", |d| d.sign("HS256", "rsa", Signer::Hmac(modulus(&keys().rsa))), Fault::Algorithm),
        Case(
            "HS256 with the modulus as text",
            |d| d.sign("HS256", "rsa", Signer::Hmac(b64(modulus(&keys().rsa)).into())),
            Fault::Algorithm,
        ),
        Case("HS256 with the client secret", |d| d.sign("HS256", "rsa", Signer::Hmac(b"s:cr+t".to_vec())), Fault::Algorithm),
        Case("RS384, which the IdP does not state", |d| d.sign("RS384", "rsa", Signer::Rs384), Fault::Algorithm),
        Case("ES256K", |d| d.sign("ES256K", "p256", Signer::Es256), Fault::Algorithm),
        Case("RS256 for an EC key", |d| d.sign("RS256", "p256", Signer::Rs256), Fault::UnknownKey),
        Case("ES256 for an RSA key", |d| d.sign("ES256", "rsa", Signer::Es256), Fault::UnknownKey),
        Case("ES384 for a P-256 key", |d| d.sign("ES384", "p256", Signer::Es384), Fault::UnknownKey),
        Case("PS256 header over an RS256 signature", |d| d.sign("PS256", "rsa", Signer::Rs256), Fault::Signature),
        Case("another key under the right id", |d| d.signer = Signer::OtherRs256, Fault::Signature),
        Case("psychic signature", |d| d.sign("ES256", "p256", Signer::Exactly(vec![0; 64])), Fault::Signature),
        Case("psychic signature, P-384", |d| d.sign("ES384", "p384", Signer::Exactly(vec![0; 96])), Fault::Signature),
        Case("EdDSA of zeroes", |d| d.sign("EdDSA", "ed", Signer::Exactly(vec![0; 64])), Fault::Signature),
        Case("empty signature", |d| d.signer = Signer::Exactly(vec![]), Fault::Signature),
        Case("short signature", |d| d.signer = Signer::Exactly(vec![1; 255]), Fault::Signature),
        Case(
            "RSA signature of one",
            |d| {
                let mut one = vec![0; 256];
                one[255] = 1;
                d.signer = Signer::Exactly(one)
            },
            Fault::Signature,
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_header_that_brings_its_own_rules_is_refused() {
    check_refused(&[
        Case("crit unknown", |d| d.header("crit", json!(["x"])), Fault::HeaderParameter("crit")),
        Case("crit empty", |d| d.header("crit", json!([])), Fault::HeaderParameter("crit")),
        Case(
            "crit b64",
            |d| {
                d.header("crit", json!(["b64"]));
                d.header("b64", json!(false))
            },
            Fault::HeaderParameter("crit"),
        ),
        Case("b64 false", |d| d.header("b64", json!(false)), Fault::HeaderParameter("b64")),
        Case("zip", |d| d.header("zip", json!("DEF")), Fault::HeaderParameter("zip")),
        Case("enc", |d| d.header("enc", json!("A256GCM")), Fault::HeaderParameter("enc")),
        Case("jku", |d| d.header("jku", json!("https://evil.test/jwks")), Fault::HeaderParameter("jku")),
        Case("x5u", |d| d.header("x5u", json!("https://evil.test/cert")), Fault::HeaderParameter("x5u")),
        Case("x5c", |d| d.header("x5c", json!(["MIIB"])), Fault::HeaderParameter("x5c")),
        Case(
            "jwk with its key",
            |d| {
                d.header("jwk", rsa_jwk("rsa", &keys().other_rsa));
                d.signer = Signer::OtherRs256
            },
            Fault::HeaderParameter("jwk"),
        ),
        Case("kid a path", |d| d.header("kid", json!("../../dev/null")), Fault::UnknownKey),
        Case("kid SQL", |d| d.header("kid", json!("' OR 1=1 --")), Fault::UnknownKey),
        Case("kid empty", |d| d.header("kid", json!("")), Fault::UnknownKey),
        Case("kid in another case", |d| d.header("kid", json!("RSA")), Fault::UnknownKey),
        Case("kid with NUL", |d| d.header("kid", json!("rsa\0")), Fault::UnknownKey),
        Case("kid a number", |d| d.header("kid", json!(1)), Fault::KeyId),
        Case("kid null", |d| d.header("kid", Value::Null), Fault::KeyId),
        Case("kid of 10 kB", |d| d.header("kid", json!("k".repeat(10_000))), Fault::KeyId),
        Case("kid of 1 MB", |d| d.header("kid", json!("k".repeat(700_000))), Fault::TooLarge),
        Case("kid absent with several keys", |d| d.without_header("kid"), Fault::KeyIdAbsent),
        Case("typ at+jwt", |d| d.header("typ", json!("at+jwt")), Fault::Type),
        Case("typ logout+jwt", |d| d.header("typ", json!("logout+jwt")), Fault::Type),
        Case("typ application/AT+JWT", |d| d.header("typ", json!("application/AT+JWT")), Fault::Type),
        Case("typ secevent+jwt", |d| d.header("typ", json!("secevent+jwt")), Fault::Type),
        Case("typ a number", |d| d.header("typ", json!(1)), Fault::Type),
        Case("alg twice", |d| d.append_header(r#""alg":"RS256""#), Fault::NotJson("header")),
        Case("kid twice, escaped", |d| d.append_header(r#""k\u0069d":"rsa""#), Fault::NotJson("header")),
        Case("header not JSON", |d| d.header_text = Some("RS256".to_owned()), Fault::NotJson("header")),
        Case("header a list", |d| d.header_text = Some("[]".to_owned()), Fault::NotJson("header")),
        Case("header nested 10,000 deep", |d| d.header_text = Some(format!("{{\"alg\":{}", "[".repeat(10_000))), Fault::NotJson("header")),
    ])
    .await;
}

#[tokio::test]
async fn a_token_with_two_readings_is_refused() {
    check_refused(&[
        Case("sub twice", |d| d.append_claims(r#""sub":"eva""#), Fault::NotJson("payload")),
        Case("sub twice, escaped", |d| d.append_claims(r#""s\u0075b":"eva""#), Fault::NotJson("payload")),
        Case("a key twice deep inside", |d| d.append_claims(r#""x":[{"a":1,"a":2}]"#), Fault::NotJson("payload")),
        Case(
            "nested 10,000 deep",
            |d| d.append_claims(&format!("\"x\":{}{}", "[".repeat(10_000), "]".repeat(10_000))),
            Fault::NotJson("payload"),
        ),
        Case("payload followed by more", |d| d.claims_text = Some("{} {}".to_owned()), Fault::NotJson("payload")),
        Case("payload text", |d| d.claims_text = Some("\"ana\"".to_owned()), Fault::NotJson("payload")),
        Case("payload empty", |d| d.claims_text = Some(String::new()), Fault::NotJson("payload")),
        Case(
            "exp 1e400",
            |d| {
                d.without("exp");
                d.append_claims(r#""exp":1e400"#)
            },
            Fault::NotJson("payload"),
        ),
        Case("padding", |d| d.twist = |token| format!("{token}=="), Fault::NotCompact),
        Case("white space after", |d| d.twist = |token| format!("{token} "), Fault::NotCompact),
        Case("white space inside", |d| d.twist = |token| token.replacen('.', ".\n", 1), Fault::NotCompact),
        Case("trailing dot", |d| d.twist = |token| format!("{token}."), Fault::NotCompact),
        Case("100 trailing dots", |d| d.twist = |token| format!("{token}{}", ".".repeat(100)), Fault::NotCompact),
        Case("dots alone", |d| d.twist = |_| ".".repeat(60_000), Fault::NotCompact),
        Case("two parts", |d| d.twist = |token| token.rsplit_once('.').unwrap().0.to_owned(), Fault::NotCompact),
        Case("five parts, as if encrypted", |d| d.twist = |token| format!("{token}.AAAA.AAAA"), Fault::NotCompact),
        Case("the other base64 alphabet", |d| d.twist = |token| format!("+/{token}"), Fault::NotCompact),
        Case("1 MB", |d| d.claim("x", json!("x".repeat(700_000))), Fault::TooLarge),
        Case("64 kB and one", |d| d.twist = |token| format!("{token}{}", "A".repeat(65_537 - token.len())), Fault::TooLarge),
    ])
    .await;
}

#[tokio::test]
async fn stray_bits_at_the_end_of_base64_are_refused() {
    // 256 bytes leave four bits in the last character: another character could stand for the same bytes.
    check_refused(&[Case("stray bits", |d| d.twist = flip_stray_bit, Fault::NotCompact)]).await;
}

fn flip_stray_bit(mut token: String) -> String {
    let next = match token.pop().unwrap() {
        'A' => 'B',
        'Q' => 'R',
        'g' => 'h',
        'w' => 'x',
        other => panic!("{other} has stray bits already"),
    };
    token.push(next);
    token
}

#[tokio::test]
async fn times_are_numbers_within_the_skew() {
    check_accepted(&[
        ("exp 59 s ago", |d| d.claim("exp", json!(NOW - 59))),
        ("iat in 60 s", |d| d.claim("iat", json!(NOW + 60))),
        ("nbf in 60 s", |d| d.claim("nbf", json!(NOW + 60))),
        ("exp with a fraction", |d| d.claim("exp", json!(NOW as f64 + 10.5))),
    ])
    .await;
    check_refused(&[
        Case("exp 60 s ago", |d| d.claim("exp", json!(NOW - 60)), Fault::Expired),
        Case("exp long past", |d| d.claim("exp", json!(0)), Fault::Expired),
        Case("exp text", |d| d.claim("exp", json!((NOW + 300).to_string())), Fault::Claim("exp")),
        Case("exp negative", |d| d.claim("exp", json!(-1)), Fault::Claim("exp")),
        Case("exp true", |d| d.claim("exp", json!(true)), Fault::Claim("exp")),
        Case("exp null", |d| d.claim("exp", Value::Null), Fault::Claim("exp")),
        Case("exp absent", |d| d.without("exp"), Fault::Claim("exp")),
        Case(
            "exp 1e300",
            |d| {
                d.without("exp");
                d.append_claims(r#""exp":1e300"#)
            },
            Fault::Claim("exp"),
        ),
        Case("iat absent", |d| d.without("iat"), Fault::Claim("iat")),
        Case("iat text", |d| d.claim("iat", json!(NOW.to_string())), Fault::Claim("iat")),
        Case("iat in an hour", |d| d.claim("iat", json!(NOW + 3_600)), Fault::IssuedInFuture),
        Case("iat in 61 s", |d| d.claim("iat", json!(NOW + 61)), Fault::IssuedInFuture),
        Case("nbf in 61 s", |d| d.claim("nbf", json!(NOW + 61)), Fault::NotYetValid),
        Case("nbf text", |d| d.claim("nbf", json!("0")), Fault::Claim("nbf")),
        Case("nbf null", |d| d.claim("nbf", Value::Null), Fault::Claim("nbf")),
        Case("auth_time text", |d| d.claim("auth_time", json!("0")), Fault::Claim("auth_time")),
    ])
    .await;
}

#[tokio::test]
async fn a_token_for_somebody_else_is_refused() {
    check_accepted(&[
        ("aud a list of one", |d| d.claim("aud", json!(["portcullis"]))),
        ("aud several and azp", |d| {
            d.claim("aud", json!(["other", "portcullis"]));
            d.claim("azp", json!("portcullis"))
        }),
    ])
    .await;
    check_refused(&[
        Case("iss another", |d| d.claim("iss", json!("https://evil.test")), Fault::Issuer),
        Case(
            "iss with a slash",
            |d| {
                let iss = d.claims["iss"].as_str().unwrap().to_owned();
                d.claim("iss", json!(iss + "/"))
            },
            Fault::Issuer,
        ),
        Case(
            "iss in another case",
            |d| {
                let iss = d.claims["iss"].as_str().unwrap().to_uppercase();
                d.claim("iss", json!(iss))
            },
            Fault::Issuer,
        ),
        Case(
            "iss a list",
            |d| {
                let iss = d.claims["iss"].clone();
                d.claim("iss", json!([iss]))
            },
            Fault::Claim("iss"),
        ),
        Case("iss absent", |d| d.without("iss"), Fault::Claim("iss")),
        Case("aud another client", |d| d.claim("aud", json!("other")), Fault::Audience),
        Case("aud in another case", |d| d.claim("aud", json!("Portcullis")), Fault::Audience),
        Case("aud begins alike", |d| d.claim("aud", json!("portcullis-par")), Fault::Audience),
        Case("aud empty list", |d| d.claim("aud", json!([])), Fault::Audience),
        Case("aud absent", |d| d.without("aud"), Fault::Claim("aud")),
        Case("aud a number", |d| d.claim("aud", json!(1)), Fault::Claim("aud")),
        Case("aud a list with a number", |d| d.claim("aud", json!(["portcullis", 1])), Fault::Claim("aud")),
        Case("aud an object", |d| d.claim("aud", json!({ "portcullis": true })), Fault::Claim("aud")),
        Case("aud several without azp", |d| d.claim("aud", json!(["portcullis", "other"])), Fault::AuthorizedParty),
        Case(
            "aud several, azp another",
            |d| {
                d.claim("aud", json!(["portcullis", "other"]));
                d.claim("azp", json!("other"))
            },
            Fault::AuthorizedParty,
        ),
        Case("azp another", |d| d.claim("azp", json!("other")), Fault::AuthorizedParty),
        Case("azp a list", |d| d.claim("azp", json!(["portcullis"])), Fault::AuthorizedParty),
        Case("azp null", |d| d.claim("azp", Value::Null), Fault::AuthorizedParty),
        Case("nonce absent", |d| d.without("nonce"), Fault::Nonce),
        Case("nonce of another sign-in", |d| d.claim("nonce", json!("A".repeat(43))), Fault::Nonce),
        Case("nonce empty", |d| d.claim("nonce", json!("")), Fault::Nonce),
        Case(
            "nonce a list",
            |d| {
                let nonce = d.claims["nonce"].clone();
                d.claim("nonce", json!([nonce]))
            },
            Fault::Nonce,
        ),
        Case("sub absent", |d| d.without("sub"), Fault::Claim("sub")),
        Case("sub a number", |d| d.claim("sub", json!(7)), Fault::Claim("sub")),
        Case("sub empty", |d| d.claim("sub", json!("")), Fault::Subject),
        Case("sub of 256", |d| d.claim("sub", json!("s".repeat(256))), Fault::Subject),
        Case("sub not ASCII", |d| d.claim("sub", json!("аna")), Fault::Subject),
        Case("sub with a line break", |d| d.claim("sub", json!("ana\n")), Fault::Subject),
        Case("sub with a space after", |d| d.claim("sub", json!("ana ")), Fault::Subject),
        Case("at_hash of another token", |d| d.claim("at_hash", json!(at_hash("another"))), Fault::AccessTokenHash),
        Case("at_hash empty", |d| d.claim("at_hash", json!("")), Fault::AccessTokenHash),
        Case("at_hash a number", |d| d.claim("at_hash", json!(1)), Fault::AccessTokenHash),
        Case("sid a number", |d| d.claim("sid", json!(1)), Fault::Claim("sid")),
        Case("amr text", |d| d.claim("amr", json!("mfa")), Fault::Claim("amr")),
        Case("acr a number", |d| d.claim("acr", json!(2)), Fault::Claim("acr")),
    ])
    .await;
}

fn at_hash(access_token: &str) -> String {
    b64(&aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, access_token.as_bytes()).as_ref()[..16])
}

#[tokio::test]
async fn the_access_token_s_hash_is_checked_when_it_is_there() {
    check_accepted(&[("at_hash right", |d| d.claim("at_hash", json!(at_hash(ACCESS_TOKEN))))]).await;
}

#[tokio::test]
async fn what_was_asked_of_the_sign_in_must_be_proven() {
    let op = Op::start().await;
    let fresh = Ask { max_age: Some(Duration::from_secs(100)), ..Ask::default() };
    let strong = Ask { acr_values: vec!["phr".to_owned(), "phrh".to_owned()], ..Ask::default() };
    let cases: &[(&str, &Ask, Forge, Option<Fault>)] = &[
        ("fresh enough", &fresh, |d| d.claim("auth_time", json!(NOW - 160)), None),
        ("too old", &fresh, |d| d.claim("auth_time", json!(NOW - 161)), Some(Fault::AuthTime)),
        ("from the future", &fresh, |d| d.claim("auth_time", json!(NOW + 61)), Some(Fault::AuthTime)),
        ("unknown", &fresh, |d| d.without("auth_time"), Some(Fault::Claim("auth_time"))),
        ("class reached", &strong, |d| d.claim("acr", json!("phrh")), None),
        ("class missed", &strong, |d| d.claim("acr", json!("1")), Some(Fault::Acr)),
        ("class unknown", &strong, |d| d.without("acr"), Some(Fault::Acr)),
    ];
    for (name, ask, forge, expected) in cases {
        let found = sign_in_asking(&idp(&op), &op, ask, forge).await.err();
        assert_eq!(found, expected.map(|fault| FinishFault::Invalid(AnswerFault::IdToken(fault))), "{name}");
    }
}

#[tokio::test]
async fn a_key_id_may_be_absent_with_one_key_only() {
    let op = Op::start().await;
    op.publish(vec![rsa_jwk("rsa", &keys().rsa)]);
    assert!(sign_in(&idp(&op), &op, |d| d.without_header("kid")).await.is_ok());
    // An encryption key beside it signs nothing, so it is no choice.
    let mut for_encryption = rsa_jwk("enc", &keys().other_rsa);
    for_encryption["use"] = json!("enc");
    op.publish(vec![rsa_jwk("rsa", &keys().rsa), for_encryption]);
    assert!(sign_in(&idp(&op), &op, |d| d.without_header("kid")).await.is_ok());
    op.publish(all_keys());
    let refused = sign_in(&idp(&op), &op, |d| d.without_header("kid")).await.err();
    assert_eq!(refused, Some(FinishFault::Invalid(AnswerFault::IdToken(Fault::KeyIdAbsent))));
}
