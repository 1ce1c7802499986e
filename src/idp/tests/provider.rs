//! Attacks OI-11, OI-12, OI-13: discovery and keys that lie, stall, flood or change.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use kernel::Failure;
use serde_json::{Value, json};

use super::draft::Draft;
use super::op::{Canned, DISCOVERY, JWKS, Op, TOKEN, all_keys, b64, keys, rsa_jwk};
use super::{callback, clock, hasty, idp, settings, sign_in, token_answer};
use crate::idp::fault::{CallFault, ProviderFault as Fault, SettingsFault, TokenFault};
use crate::idp::source::KEEP;
use crate::idp::{AnswerFault, Ask, FinishFault, Idp};

async fn fault_of(idp: &Idp) -> Option<Fault> {
    idp.source.provider(KEEP).await.err()
}

struct Case(&'static str, fn(&Op), Fault);

#[tokio::test]
async fn metadata_that_lies_is_refused() {
    let endpoint = Fault::Endpoint;
    for Case(name, spoil, expected) in [
        Case("issuer another", |op| op.state("issuer", json!("https://evil.test")), Fault::Issuer),
        Case("issuer with a slash", |op| op.state("issuer", json!(format!("{}/", op.issuer))), Fault::Issuer),
        Case("issuer in another case", |op| op.state("issuer", json!(op.issuer.to_uppercase())), Fault::Issuer),
        Case("issuer absent", |op| op.state("issuer", Value::Null), Fault::Issuer),
        Case("issuer a list", |op| op.state("issuer", json!([op.issuer])), Fault::Issuer),
        Case("token endpoint absent", |op| op.state("token_endpoint", Value::Null), Fault::Member("token_endpoint")),
        Case("token endpoint a number", |op| op.state("token_endpoint", json!(1)), Fault::Member("token_endpoint")),
        Case("token endpoint no address", |op| op.state("token_endpoint", json!("/token")), endpoint("token_endpoint")),
        Case("plain http elsewhere", |op| op.state("token_endpoint", json!("http://idp.test/token")), endpoint("token_endpoint")),
        Case("keys at the cloud's metadata", |op| op.state("jwks_uri", json!("http://169.254.169.254/jwks")), endpoint("jwks_uri")),
        Case("the same by https", |op| op.state("jwks_uri", json!("https://169.254.169.254/jwks")), endpoint("jwks_uri")),
        Case("keys in a private network", |op| op.state("jwks_uri", json!("https://10.0.0.1/jwks")), endpoint("jwks_uri")),
        Case("keys in a file", |op| op.state("jwks_uri", json!("file:///etc/passwd")), endpoint("jwks_uri")),
        Case("keys with a user", |op| op.state("jwks_uri", json!("https://u:p@idp.test/jwks")), endpoint("jwks_uri")),
        Case(
            "a script to authorize",
            |op| op.state("authorization_endpoint", json!("javascript:alert(1)")),
            endpoint("authorization_endpoint"),
        ),
        Case(
            "authorize with a fragment",
            |op| op.state("authorization_endpoint", json!("https://idp.test/a#f")),
            endpoint("authorization_endpoint"),
        ),
        Case(
            "authorize with our parameter",
            |op| op.state("authorization_endpoint", json!(format!("{}/a?redirect_uri=x", op.issuer))),
            endpoint("authorization_endpoint"),
        ),
        Case("userinfo plain", |op| op.state("userinfo_endpoint", json!("http://idp.test/u")), endpoint("userinfo_endpoint")),
        Case("sign-out a script", |op| op.state("end_session_endpoint", json!("data:text/html,x")), endpoint("end_session_endpoint")),
        Case("algorithms symmetric only", |op| op.state(ALGORITHMS, json!(["HS256", "none"])), Fault::Algorithms),
        Case("algorithms empty", |op| op.state(ALGORITHMS, json!([])), Fault::Algorithms),
        Case("algorithms absent", |op| op.state(ALGORITHMS, Value::Null), Fault::Member(ALGORITHMS)),
        Case("algorithms text", |op| op.state(ALGORITHMS, json!("RS256")), Fault::Member(ALGORITHMS)),
        Case(
            "client authentication unknown",
            |op| op.state("token_endpoint_auth_methods_supported", json!(["tls_client_auth"])),
            Fault::ClientAuthentication,
        ),
        Case("iss parameter as text", |op| op.state(ISS_PARAMETER, json!("true")), Fault::Member(ISS_PARAMETER)),
    ] {
        let op = Op::start().await;
        spoil(&op);
        assert_eq!(fault_of(&idp(&op)).await, Some(expected), "{name}");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_plain_bounded_json_is_refused() {
    let huge = vec![b' '; 1_048_577];
    let discovery = |fault| Fault::Discovery(fault);
    let status = |code| CallFault::Status(StatusCode::from_u16(code).unwrap());
    let good = |op: &Op| Canned::json(&op.metadata());
    type Spoil = Box<dyn Fn(&Op)>;
    let cases: Vec<(&str, Spoil, Fault)> = vec![
        (
            "redirect",
            Box::new(move |op| op.answer(DISCOVERY, good(op).status(302).header("location", format!("{}/x", op.issuer)))),
            discovery(status(302)),
        ),
        ("redirect 308", Box::new(move |op| op.answer(DISCOVERY, good(op).status(308).header("location", "/x"))), discovery(status(308))),
        ("404", Box::new(move |op| op.answer(DISCOVERY, good(op).status(404))), discovery(status(404))),
        ("500", Box::new(move |op| op.answer(DISCOVERY, good(op).status(500))), discovery(status(500))),
        ("206", Box::new(move |op| op.answer(DISCOVERY, good(op).status(206))), discovery(status(206))),
        ("gzip", Box::new(move |op| op.answer(DISCOVERY, good(op).header("content-encoding", "gzip"))), discovery(CallFault::Encoded)),
        ("HTML", Box::new(|op| op.answer(DISCOVERY, Canned::text("<html>"))), discovery(CallFault::NotJson)),
        ("a list", Box::new(|op| op.answer(DISCOVERY, Canned::text("[]"))), discovery(CallFault::NotJson)),
        (
            "a key twice",
            Box::new(|op| op.answer(DISCOVERY, Canned::text(format!("{{\"issuer\":\"x\",{}", &op.metadata().to_string()[1..])))),
            discovery(CallFault::NotJson),
        ),
        (
            "1 MiB and one byte",
            Box::new({
                let huge = huge.clone();
                move |op| op.answer(DISCOVERY, Canned::text(huge.clone()))
            }),
            discovery(CallFault::TooLarge(1_048_576)),
        ),
        (
            "50 MB of keys",
            Box::new(|op| op.answer(JWKS, Canned::text(vec![b' '; 50_000_000]))),
            Fault::Keys(CallFault::TooLarge(1_048_576)),
        ),
        (
            "keys redirected",
            Box::new(|op| op.answer(JWKS, Canned::text("{}").status(307).header("location", "/x"))),
            Fault::Keys(status(307)),
        ),
        ("keys not JSON", Box::new(|op| op.answer(JWKS, Canned::text("x"))), Fault::Keys(CallFault::NotJson)),
    ];
    for (name, spoil, expected) in cases {
        let op = Op::start().await;
        spoil(&op);
        assert_eq!(fault_of(&idp(&op)).await, Some(expected), "{name}");
        assert_eq!(op.count("/x"), 0, "{name}: a redirect was followed");
    }
}

#[tokio::test]
async fn an_answer_that_never_ends_is_cut_at_the_deadline() {
    let timed_out = CallFault::TimedOut(Duration::from_millis(200));
    let op = Op::start().await;
    op.answer(DISCOVERY, Canned::text("{").stalls());
    assert_eq!(fault_of(&hasty(&op)).await, Some(Fault::Discovery(timed_out.clone())));
    op.answer(DISCOVERY, Canned::json(&op.metadata()));
    op.answer(JWKS, Canned::text("{\"keys\":").stalls());
    assert_eq!(fault_of(&hasty(&op)).await, Some(Fault::Keys(timed_out)));
}

#[tokio::test]
async fn a_key_set_without_a_key_of_ours_is_refused() {
    let rsa = || rsa_jwk("rsa", &keys().rsa);
    let with = |name: &str, value: Value| {
        let mut key = rsa();
        key[name] = value;
        json!({ "keys": [key] })
    };
    let without = |name: &str| with(name, Value::Null);
    for (name, set, expected) in [
        ("no keys", json!({ "keys": [] }), Fault::NoKeys),
        ("keys absent", json!({}), Fault::KeySet),
        ("keys an object", json!({ "keys": {} }), Fault::KeySet),
        ("101 keys", json!({ "keys": vec![rsa(); 101] }), Fault::KeySet),
        ("10,000 keys", json!({ "keys": vec![json!({}); 10_000] }), Fault::KeySet),
        ("symmetric", json!({ "keys": [{ "kty": "oct", "kid": "rsa", "k": b64("secret") }] }), Fault::NoKeys),
        ("use enc", with("use", json!("enc")), Fault::NoKeys),
        ("use a list", with("use", json!(["sig"])), Fault::NoKeys),
        ("alg HS256", with("alg", json!("HS256")), Fault::NoKeys),
        ("alg RSA-OAEP", with("alg", json!("RSA-OAEP")), Fault::NoKeys),
        ("kid a number", with("kid", json!(1)), Fault::NoKeys),
        ("n missing", without("n"), Fault::NoKeys),
        ("n not base64url", with("n", json!("+++=")), Fault::NoKeys),
        ("private", with("d", json!("AQAB")), Fault::NoKeys),
        ("curve unknown", json!({ "keys": [{ "kty": "EC", "crv": "P-521", "x": "AA", "y": "AA" }] }), Fault::NoKeys),
        ("point too short", json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" }] }), Fault::NoKeys),
        (
            "key operations without verify",
            json!({ "keys": [{ "kty": "RSA", "key_ops": ["encrypt"], "n": rsa()["n"], "e": "AQAB" }] }),
            Fault::NoKeys,
        ),
    ] {
        let op = Op::start().await;
        op.answer(JWKS, Canned::json(&set));
        assert_eq!(fault_of(&idp(&op)).await, Some(expected), "{name}");
    }
}

#[tokio::test]
async fn a_key_is_used_only_for_the_algorithm_it_states() {
    let op = Op::start().await;
    let mut key = rsa_jwk("rsa", &keys().rsa);
    key["alg"] = json!("PS256");
    op.publish(vec![key]);
    let found = sign_in(&idp(&op), &op, |_| {}).await.err();
    assert_eq!(found, Some(invalid(TokenFault::UnknownKey)));
}

#[tokio::test]
async fn two_keys_under_one_id_are_no_key() {
    let op = Op::start().await;
    op.publish(vec![rsa_jwk("rsa", &keys().rsa), rsa_jwk("rsa", &keys().other_rsa)]);
    assert_eq!(sign_in(&idp(&op), &op, |_| {}).await.err(), Some(invalid(TokenFault::AmbiguousKey)));
}

#[tokio::test]
async fn unknown_keys_beside_a_known_one_do_no_harm() {
    let op = Op::start().await;
    let mut set = vec![json!({ "kty": "oct", "k": "AA" }), json!("text"), json!({ "kty": "AKP", "kid": "pq" })];
    set.extend(all_keys());
    op.publish(set);
    assert!(sign_in(&idp(&op), &op, |_| {}).await.is_ok());
}

#[tokio::test]
async fn a_flood_of_unknown_keys_costs_one_fetch_in_thirty_seconds() {
    let (op, clock) = (Op::start().await, clock());
    let idp = Idp::new(settings(&op.issuer), clock.clone()).unwrap();
    idp.reachable().await.unwrap();
    assert_eq!(op.count(JWKS), 1);
    for number in 0..10_000 {
        // The signature is never looked at, so that it need not be made.
        let mut draft = Draft::logout(&op.issuer);
        draft.header("kid", json!(format!("unknown-{number}")));
        draft.signer = super::op::Signer::Exactly(vec![0; 256]);
        assert!(idp.verify_logout_token(&draft.compact()).await.is_err());
    }
    assert_eq!(op.count(JWKS), 2);
    clock.advance(Duration::from_secs(29));
    assert!(unknown_key(&idp, &op).await);
    assert_eq!(op.count(JWKS), 2);
    clock.advance(Duration::from_secs(1));
    assert!(unknown_key(&idp, &op).await);
    assert_eq!(op.count(JWKS), 3);
}

async fn unknown_key(idp: &Idp, op: &Op) -> bool {
    let mut draft = Draft::logout(&op.issuer);
    draft.header("kid", json!("unknown"));
    idp.verify_logout_token(&draft.compact()).await.is_err()
}

#[tokio::test]
async fn a_fetch_of_keys_that_fails_is_throttled_as_well() {
    let op = Op::start().await;
    let idp = idp(&op);
    idp.reachable().await.unwrap();
    op.answer(JWKS, Canned::text("").status(503));
    for _ in 0..100 {
        assert!(unknown_key(&idp, &op).await);
    }
    assert_eq!(op.count(JWKS), 2);
    // The keys that were known still serve.
    assert!(sign_in(&idp, &op, |_| {}).await.is_ok());
}

#[tokio::test]
async fn many_unknown_keys_at_once_cost_one_fetch() {
    let op = Arc::new(Op::start().await);
    let idp = Arc::new(idp(&op));
    idp.reachable().await.unwrap();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (idp, op) = (Arc::clone(&idp), Arc::clone(&op));
        callers.spawn(async move { unknown_key(&idp, &op).await });
    }
    assert!(callers.join_all().await.into_iter().all(|refused| refused));
    assert_eq!(op.count(JWKS), 2);
}

#[tokio::test]
async fn a_rotation_just_before_signing_works_at_once() {
    let op = Op::start().await;
    op.publish(vec![rsa_jwk("old", &keys().other_rsa)]);
    let idp = idp(&op);
    let begun = idp.begin(&Ask::default()).await.unwrap();
    op.publish(vec![rsa_jwk("old", &keys().other_rsa), rsa_jwk("rsa", &keys().rsa)]);
    op.answer(TOKEN, token_answer(&Draft::id_token(&op.issuer, &begun.pending.nonce).compact()));
    let callback = callback(&begun);
    assert!(idp.finish(begun.pending, &callback).await.is_ok());
    assert_eq!(op.count(JWKS), 2);
}

#[tokio::test]
async fn a_rotation_is_seen_by_all_who_wait_for_one_fetch() {
    let op = Arc::new(Op::start().await);
    op.publish(vec![rsa_jwk("old", &keys().other_rsa)]);
    let idp = Arc::new(idp(&op));
    idp.reachable().await.unwrap();
    op.publish(all_keys());
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (idp, token) = (Arc::clone(&idp), Draft::logout(&op.issuer).compact());
        callers.spawn(async move { idp.verify_logout_token(&token).await.err() });
    }
    assert!(callers.join_all().await.iter().all(Option::is_none));
    assert_eq!(op.count(JWKS), 2);
}

#[tokio::test]
async fn a_rotation_under_the_same_name_works_at_once() {
    let op = Op::start().await;
    op.publish(vec![rsa_jwk("rsa", &keys().other_rsa)]);
    let idp = idp(&op);
    idp.reachable().await.unwrap();
    op.publish(all_keys());
    assert!(sign_in(&idp, &op, |_| {}).await.is_ok());
}

#[tokio::test]
async fn a_key_that_the_idp_withdrew_stops_working_within_the_hour() {
    let (op, clock) = (Op::start().await, clock());
    let idp = Idp::new(settings(&op.issuer), clock.clone()).unwrap();
    idp.reachable().await.unwrap();
    op.publish(vec![rsa_jwk("new", &keys().other_rsa)]);
    clock.advance(KEEP);
    let late = |d: &mut Draft| ["exp", "iat"].into_iter().for_each(|name| d.claim(name, json!(super::NOW + KEEP.as_secs() + 60)));
    assert_eq!(sign_in(&idp, &op, late).await.err(), Some(invalid(TokenFault::UnknownKey)));
}

#[tokio::test]
async fn discovery_is_fetched_once_for_many_and_again_after_an_hour() {
    let (op, clock) = (Op::start().await, clock());
    let idp = Arc::new(Idp::new(settings(&op.issuer), clock.clone()).unwrap());
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let idp = Arc::clone(&idp);
        callers.spawn(async move { idp.begin(&Ask::default()).await.is_ok() });
    }
    assert!(callers.join_all().await.into_iter().all(|begun| begun));
    assert_eq!(op.count(DISCOVERY), 1);
    clock.advance(KEEP);
    idp.begin(&Ask::default()).await.unwrap();
    assert_eq!(op.count(DISCOVERY), 2);
}

#[tokio::test]
async fn an_idp_that_was_down_is_asked_a_little_and_recovers_by_itself() {
    let (op, clock) = (Op::start().await, clock());
    op.answer(DISCOVERY, Canned::text("").status(503));
    let idp = Idp::new(settings(&op.issuer), clock.clone()).unwrap();
    for _ in 0..10 {
        assert!(matches!(idp.begin(&Ask::default()).await, Err(Failure::Idp(_))));
    }
    assert_eq!(op.count(DISCOVERY), 1);
    op.answer(DISCOVERY, Canned::json(&op.metadata()));
    clock.advance(Duration::from_secs(2));
    assert!(idp.begin(&Ask::default()).await.is_ok());
}

#[tokio::test]
async fn a_caller_who_leaves_while_fetching_does_not_block_the_next() {
    let op = Op::start().await;
    let good = Canned::json(&op.metadata());
    op.answer(DISCOVERY, Canned::text("{").stalls());
    let idp = idp(&op);
    let ask = Ask::default();
    {
        let mut leaving = Box::pin(idp.begin(&ask));
        // Polled until the request has arrived, then dropped.
        while op.count(DISCOVERY) == 0 {
            tokio::select! {
                biased;
                _ = &mut leaving => panic!("it stalls"),
                () = tokio::task::yield_now() => {}
            }
        }
    }
    op.answer(DISCOVERY, good);
    assert!(idp.begin(&Ask::default()).await.is_ok());
}

#[tokio::test]
async fn nobody_listening_is_our_failure_and_says_so() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let issuer = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let idp = Idp::new(settings(&issuer), clock()).unwrap();
    assert!(matches!(idp.reachable().await, Err(Failure::Idp(_))));
}

#[tokio::test]
async fn an_idp_behind_tls_is_believed_only_with_a_certificate_that_is_vouched_for() {
    let (op, ca) = Op::start_tls().await;
    let stranger = Idp::new(settings(&op.issuer), clock()).unwrap();
    let refused = fault_of(&stranger).await;
    assert!(matches!(&refused, Some(Fault::Discovery(CallFault::Unreachable(text))) if text.contains("certificate")), "{refused:?}");
    assert_eq!(op.count(DISCOVERY), 0);
    let mut settings = settings(&op.issuer);
    settings.ca = Some(ca.into_bytes());
    let idp = Idp::new(settings, clock()).unwrap();
    assert_eq!(sign_in(&idp, &op, |_| {}).await.err(), None);
    // Below TLS, plain http is nowhere to go, on loopback or elsewhere.
    op.state("jwks_uri", json!(op.issuer.replace("https", "http")));
    let idp = Idp::new(idp.settings.clone(), clock()).unwrap();
    assert_eq!(fault_of(&idp).await, Some(Fault::Endpoint("jwks_uri")));
}

#[tokio::test]
async fn reachability_is_at_most_a_minute_old() {
    let (op, clock) = (Op::start().await, clock());
    let idp = Idp::new(settings(&op.issuer), clock.clone()).unwrap();
    idp.reachable().await.unwrap();
    op.answer(DISCOVERY, Canned::text("").status(500));
    clock.advance(Duration::from_secs(59));
    assert!(idp.reachable().await.is_ok());
    clock.advance(Duration::from_secs(1));
    assert!(idp.reachable().await.is_err());
    // What was fetched within the hour still serves.
    assert!(idp.begin(&Ask::default()).await.is_ok());
}

#[test]
fn settings_that_cannot_work_are_refused_without_asking_anybody() {
    let issuer = |text: &str| Idp::new(settings(text), clock()).err();
    for text in [
        "http://idp.test",
        "http://10.0.0.1",
        "https://idp.test/?x",
        "https://idp.test/#x",
        "https://u@idp.test",
        "idp.test",
        "",
        "ftp://idp.test",
    ] {
        assert_eq!(issuer(text), Some(SettingsFault::Issuer), "{text}");
    }
    for text in ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1/realm", "http://idp.localhost"] {
        assert_eq!(issuer(text), None, "{text}");
    }
    let with = |change: fn(&mut crate::idp::IdpSettings)| {
        let mut settings = settings("http://127.0.0.1:1");
        change(&mut settings);
        Idp::new(settings, clock()).err()
    };
    assert_eq!(with(|s| s.client_id.clear()), Some(SettingsFault::Empty("client id")));
    assert_eq!(with(|s| s.client_secret.clear()), Some(SettingsFault::Empty("client secret")));
    assert_eq!(with(|s| s.groups_claim = Some(String::new())), Some(SettingsFault::Empty("groups claim")));
    assert_eq!(with(|s| s.scopes.retain(|scope| scope != "openid")), Some(SettingsFault::Scopes));
    assert_eq!(with(|s| s.scopes.push("a b".to_owned())), Some(SettingsFault::Scopes));
    assert_eq!(with(|s| s.redirect_uri = "/callback".to_owned()), Some(SettingsFault::Address("redirect address")));
    let with_ca = |pem: &[u8]| {
        let mut settings = settings("https://idp.test");
        settings.ca = Some(pem.to_vec());
        Idp::new(settings, clock()).err()
    };
    assert!(matches!(with_ca(b"no certificate"), Some(SettingsFault::Ca(_))));
    assert!(matches!(with_ca(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), Some(SettingsFault::Ca(_))));
}

fn invalid(fault: TokenFault) -> FinishFault {
    FinishFault::Invalid(AnswerFault::IdToken(fault))
}

const ALGORITHMS: &str = "id_token_signing_alg_values_supported";
const ISS_PARAMETER: &str = "authorization_response_iss_parameter_supported";
