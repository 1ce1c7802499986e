//! Answers as well-known providers really give them, whole and with what the standards leave open: each is taken, or refused
//! for a reason that says what to change.

use serde_json::{Value, json};

use super::draft::{Draft, Forge};
use super::op::{Canned, DISCOVERY, JWKS, Op, Signer, TOKEN, USERINFO, all_keys, b64, keys, rsa_jwk};
use super::{ACCESS_TOKEN, NOW, callback, clock, idp, settings, sign_in};
use crate::idp::fault::{AnswerFault, FinishFault, GroupsFault, ProviderFault};
use crate::idp::source::KEEP;
use crate::idp::{Ask, EmailTrust, Idp, IdpSettings, SignedIn};

/// A provider: its metadata beside the endpoints, its keys, the token, and how the operator configures it.
struct Maker {
    name: &'static str,
    metadata: fn(&Op),
    keys: fn() -> Vec<Value>,
    token: Forge,
    configured: fn(&mut IdpSettings),
    email: Option<&'static str>,
    groups: &'static [&'static str],
}

fn more(op: &Op, members: Value) {
    members.as_object().unwrap().iter().for_each(|(name, value)| op.state(name, value.clone()));
}

/// Without `use` and `alg`, with the certificate chain that nobody asks for.
fn bare_rsa() -> Vec<Value> {
    let mut key = rsa_jwk("rsa", &keys().rsa);
    let members = key.as_object_mut().unwrap();
    members.remove("use");
    members.remove("alg");
    key["x5c"] = json!(["MIIC"]);
    key["x5t"] = json!("dGh1bWI");
    vec![key]
}

const MAKERS: &[Maker] = &[
    Maker {
        name: "Keycloak",
        metadata: |op| {
            more(
                op,
                json!({
                    "token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_basic", "client_secret_post", "tls_client_auth"],
                    "check_session_iframe": format!("{}/protocol/openid-connect/login-status-iframe.html", op.issuer),
                    "authorization_response_iss_parameter_supported": false,
                    "mtls_endpoint_aliases": { "token_endpoint": format!("{}/token", op.issuer) },
                    "require_pushed_authorization_requests": false,
                    "backchannel_logout_supported": true,
                }),
            );
        },
        // A key for encryption stands beside the one for signatures.
        keys: || {
            let mut encryption = rsa_jwk("enc", &keys().other_rsa);
            encryption["use"] = json!("enc");
            encryption["alg"] = json!("RSA-OAEP");
            vec![encryption, rsa_jwk("rsa", &keys().rsa)]
        },
        token: |d| {
            d.header("typ", json!("JWT"));
            d.claim("typ", json!("ID"));
            d.claim("azp", json!("portcullis"));
            d.claim("realm_access", json!({ "roles": ["staff", "offline_access"] }));
            d.without("groups");
            d.without("amr");
        },
        configured: |s| s.groups_claim = Some("realm_access.roles".to_owned()),
        email: Some("ana@corp.test"),
        groups: &["staff", "offline_access"],
    },
    Maker {
        name: "Entra",
        metadata: |op| {
            more(
                op,
                json!({
                    "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
                    "tenant_region_scope": "EU", "cloud_instance_name": "microsoftonline.test", "rbac_url": "https://pas.test",
                    "http_logout_supported": true, "response_modes_supported": ["query", "fragment", "form_post"],
                }),
            );
        },
        keys: || {
            let mut key = bare_rsa().remove(0);
            key["issuer"] = json!("https://login.test/tenant/v2.0");
            vec![key]
        },
        // Nobody is vouched for: the operator says that people cannot choose their address there.
        token: |d| {
            d.without("email_verified");
            d.without("auth_time");
            d.claim("aio", json!("x"));
            d.claim("rh", json!("x"));
            d.claim("tid", json!("tenant"));
            d.claim("ver", json!("2.0"));
            d.claim("nbf", json!(NOW - 300));
            d.claim("iat", json!(NOW - 300));
            d.claim("groups", json!(["6f6b1b0e-0000-4000-8000-000000000001"]));
        },
        configured: |s| s.email_trust = EmailTrust::AlsoUnverified,
        email: Some("ana@corp.test"),
        groups: &["6f6b1b0e-0000-4000-8000-000000000001"],
    },
    Maker {
        name: "Google",
        metadata: |op| {
            more(
                op,
                json!({
                    "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
                    "id_token_signing_alg_values_supported": ["RS256"],
                    "code_challenge_methods_supported": ["plain", "S256"],
                    "end_session_endpoint": null,
                }),
            );
        },
        keys: || vec![rsa_jwk("old", &keys().other_rsa), rsa_jwk("rsa", &keys().rsa)],
        token: |d| {
            d.claim("azp", json!("portcullis"));
            d.claim("hd", json!("corp.test"));
            for absent in ["groups", "sid", "auth_time", "amr", "acr"] {
                d.without(absent);
            }
        },
        configured: |s| s.groups_claim = None,
        email: Some("ana@corp.test"),
        groups: &[],
    },
    Maker {
        name: "Okta",
        metadata: |op| {
            more(
                op,
                json!({ "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_jwt", "none"], "dpop_signing_alg_values_supported": ["RS256"] }),
            )
        },
        keys: || vec![rsa_jwk("rsa", &keys().rsa)],
        token: |d| {
            d.claim("ver", json!(1));
            d.claim("jti", json!("ID.x"));
            d.claim("idp", json!("00o1"));
            d.claim("amr", json!(["mfa", "otp", "pwd"]));
            d.without("acr");
            d.claim("auth_time", json!(NOW - 1_000));
        },
        configured: |_| {},
        email: Some("ana@corp.test"),
        groups: &["sre", "dev"],
    },
    Maker {
        name: "Dex",
        metadata: |op| {
            more(
                op,
                json!({ "end_session_endpoint": null, "id_token_signing_alg_values_supported": ["RS256"], "device_authorization_endpoint": format!("{}/device/code", op.issuer) }),
            )
        },
        keys: || vec![rsa_jwk("rsa", &keys().rsa)],
        token: |d| {
            for absent in ["sid", "auth_time", "amr", "acr"] {
                d.without(absent);
            }
            d.claim("sub", json!("CgNhbmESBGxkYXA"));
        },
        configured: |_| {},
        email: Some("ana@corp.test"),
        groups: &["sre", "dev"],
    },
    Maker {
        name: "Zitadel",
        metadata: |op| {
            more(
                op,
                json!({ "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"] }),
            )
        },
        keys: all_keys,
        // Its project is an audience beside the client; the one it was given to is the client.
        token: |d| {
            d.sign("EdDSA", "ed", Signer::Ed);
            d.claim("aud", json!(["301", "portcullis", "302"]));
            d.claim("azp", json!("portcullis"));
            d.claim("client_id", json!("portcullis"));
            d.claim("groups", json!("sre"));
        },
        configured: |_| {},
        email: Some("ana@corp.test"),
        groups: &["sre"],
    },
    Maker {
        name: "Authentik",
        metadata: |op| more(op, json!({ "id_token_signing_alg_values_supported": ["ES384"], "claims_parameter_supported": false })),
        keys: all_keys,
        token: |d| {
            d.sign("ES384", "p384", Signer::Es384);
            d.claim("acr", json!("goauthentik.io/providers/oauth2/default"));
            d.claim("uid", json!("x"));
            // Times as fractions (RFC 7519 §2).
            d.claim("iat", json!(NOW as f64 - 0.5));
            d.claim("exp", json!(NOW as f64 + 300.25));
        },
        configured: |_| {},
        email: Some("ana@corp.test"),
        groups: &["sre", "dev"],
    },
];

async fn sign_in_at(maker: &Maker) -> Result<SignedIn, FinishFault> {
    let op = Op::start().await;
    (maker.metadata)(&op);
    op.publish((maker.keys)());
    let mut settings = settings(&op.issuer);
    (maker.configured)(&mut settings);
    sign_in(&Idp::new(settings, clock()).unwrap(), &op, maker.token).await
}

#[tokio::test]
async fn the_answers_of_well_known_providers_are_taken() {
    for maker in MAKERS {
        let signed_in = sign_in_at(maker).await.unwrap_or_else(|fault| panic!("{}: {fault}", maker.name));
        assert_eq!(signed_in.identity.email.as_ref().map(|email| email.as_str()), maker.email, "{}", maker.name);
        let groups: Vec<_> = signed_in.identity.groups.iter().map(|group| group.as_str()).collect();
        assert_eq!(groups, maker.groups, "{}", maker.name);
    }
}

#[tokio::test]
async fn an_issuer_that_ends_with_a_slash_is_discovered_and_compared_with_it() {
    let op = Op::start().await;
    let issuer = format!("{}/", op.issuer);
    op.state("issuer", json!(issuer));
    let idp_at = |issuer: &str| Idp::new(settings(issuer), clock()).unwrap();
    let with_slash = |d: &mut Draft| d.claim("iss", json!(d.claims["iss"].as_str().unwrap().to_owned() + "/"));
    assert!(sign_in(&idp_at(&issuer), &op, with_slash).await.is_ok());
    assert_eq!(op.seen(DISCOVERY).len(), 1, "the well-known path has one slash");
    assert!(sign_in(&idp_at(&issuer), &op, |_| {}).await.is_err());
    assert_eq!(idp_at(&op.issuer).source.provider(KEEP).await.err(), Some(ProviderFault::Issuer));
}

/// A sign-in whose token endpoint answers with `answer`, in which `@ID_TOKEN@` and `@ACCESS_TOKEN@` are filled in.
async fn answered(idp: &Idp, op: &Op, answer: &str, content_type: &str) -> Result<SignedIn, FinishFault> {
    let begun = idp.begin(&Ask::default()).await.unwrap();
    let id_token = Draft::id_token(&op.issuer, &begun.pending.nonce).compact();
    let text = answer.replace("@ID_TOKEN@", &id_token).replace("@ACCESS_TOKEN@", ACCESS_TOKEN);
    op.answer(TOKEN, Canned::text(text).header("content-type", content_type));
    let callback = callback(&begun);
    idp.finish(begun.pending, &callback).await
}

#[tokio::test]
async fn a_token_answer_may_say_more_or_less_than_it_must() {
    let op = Op::start().await;
    for (name, answer, content_type) in [
        ("no expires_in", r#"{"token_type":"Bearer","access_token":"@ACCESS_TOKEN@","id_token":"@ID_TOKEN@"}"#, "application/json"),
        ("another case", r#"{"token_type":"bearer","access_token":"@ACCESS_TOKEN@","id_token":"@ID_TOKEN@"}"#, "application/json"),
        ("capitals", r#"{"token_type":"BEARER","access_token":"@ACCESS_TOKEN@","id_token":"@ID_TOKEN@"}"#, "application/json"),
        (
            "charset",
            r#"{"token_type":"Bearer","access_token":"@ACCESS_TOKEN@","id_token":"@ID_TOKEN@"}"#,
            "application/json; charset=utf-8",
        ),
        (
            "a refresh token and the like",
            r#"{"token_type":"Bearer","scope":"openid","expires_in":"3599","ext_expires_in":3599,"refresh_token":"r","refresh_expires_in":0,"not-before-policy":0,"session_state":"s","access_token":"@ACCESS_TOKEN@","id_token":"@ID_TOKEN@"}"#,
            "application/json;charset=UTF-8",
        ),
        (
            "white space",
            "\r\n{ \"token_type\" : \"Bearer\" ,\n \"access_token\":\"@ACCESS_TOKEN@\",\t\"id_token\":\"@ID_TOKEN@\" }\n",
            "application/json",
        ),
    ] {
        assert!(answered(&idp(&op), &op, answer, content_type).await.is_ok(), "{name}");
    }
    assert_eq!(op.seen(TOKEN).iter().filter(|seen| seen.body.contains("refresh_token")).count(), 0, "no token is refreshed");
}

#[tokio::test]
async fn keys_of_every_kind_beside_ours_do_no_harm() {
    let op = Op::start().await;
    let p521 = json!({ "kty": "EC", "crv": "P-521", "kid": "p521", "use": "sig", "alg": "ES512", "x": b64([1; 66]), "y": b64([2; 66]) });
    let mut set = vec![
        p521,
        json!({ "kty": "EC", "crv": "secp256k1", "kid": "k1", "x": b64([1; 32]), "y": b64([2; 32]) }),
        json!({ "kty": "OKP", "crv": "Ed448", "kid": "ed448", "x": b64([1; 57]) }),
        json!({ "kty": "OKP", "crv": "X25519", "kid": "x25519", "use": "enc", "x": b64([1; 32]) }),
        json!({ "kty": "AKP", "alg": "ML-DSA-65", "kid": "pq", "pub": "AA" }),
        json!({ "kty": "oct", "kid": "rsa", "k": b64([7; 32]) }),
        // The curve and the algorithm contradict each other: a key for nothing.
        json!({ "kty": "EC", "crv": "P-384", "kid": "odd", "alg": "ES512", "x": b64([1; 48]), "y": b64([2; 48]) }),
        json!({ "kid": "nothing" }),
        json!({ "kty": "RSA", "kid": "half", "n": "AQAB" }),
        Value::Null,
    ];
    set.extend(bare_rsa());
    op.answer(JWKS, Canned::json(&json!({ "keys": set, "extra": true })));
    assert!(sign_in(&idp(&op), &op, |_| {}).await.is_ok());
    for kid in ["p521", "k1", "ed448", "odd", "half"] {
        assert!(sign_in(&idp(&op), &op, |d| d.header("kid", json!(kid))).await.is_err(), "{kid}");
    }
}

#[tokio::test]
async fn what_cannot_be_taken_says_what_to_change() {
    let op = Op::start().await;
    let told = async |forge: Forge| sign_in(&idp(&op), &op, forge).await.err().map(|fault| fault.to_string()).unwrap_or_default();
    let overage: Forge = |d| {
        d.without("groups");
        d.claim("_claim_names", json!({ "groups": "src1" }));
        d.claim("_claim_sources", json!({ "src1": { "endpoint": "https://graph.test/v1.0/users/x/getMemberObjects" } }));
    };
    assert!(told(overage).await.contains("only the groups"), "Entra");
    // Zitadel's roles are an object of objects.
    let roles: Forge = |d| d.claim("groups", json!({ "staff": { "301": "corp.test" } }));
    assert_eq!(told(roles).await, format!("groups: {}", GroupsFault::Shape));
    let bare: Forge = |d| d.without("groups");
    op.answer(USERINFO, Canned::text("e30.e30.AA").header("content-type", "application/jwt"));
    assert_eq!(told(bare).await, AnswerFault::UserinfoSigned.to_string());
    let encrypted: Forge = |d| d.twist = |token| format!("{token}.AA.AA");
    assert!(told(encrypted).await.contains("three parts"));
}
