//! The flow itself: what is sent, what a callback may say (OI-02, OI-05, OI-23), what a token endpoint may answer (OI-14).

use std::pin::Pin;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use http::StatusCode;
use kernel::session::Token;
use kernel::session::token::Purpose;
use serde_json::{Value, json};

use super::draft::Draft;
use super::op::{Canned, Op, TOKEN, b64};
use super::{ACCESS_TOKEN, callback, clock, hasty, idp, parameter, settings, sign_in, token_answer};
use crate::idp::fault::{AnswerFault, CallFault, CallbackFault, FinishFault};
use crate::idp::{Ask, Begun, Idp, Prompt, parse_callback};

#[tokio::test]
async fn a_sign_in_begins_with_everything_that_binds_its_end() {
    let op = Op::start().await;
    let ask = Ask { prompt: Some(Prompt::Login), max_age: Some(Duration::from_secs(60)), acr_values: vec!["a".to_owned(), "b".to_owned()] };
    let Begun { url, pending } = idp(&op).begin(&ask).await.unwrap();
    assert!(url.starts_with(&format!("{}/authorize?", op.issuer)));
    let state = Token::parse(&parameter(&url, "state").unwrap()).unwrap();
    assert_eq!(state.hash(Purpose::State), pending.state);
    let challenge = b64(digest(&SHA256, pending.pkce_verifier.as_bytes()));
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "portcullis"),
        ("redirect_uri", "https://gate.test/.portcullis/callback"),
        ("scope", "openid email groups"),
        ("nonce", &pending.nonce),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        ("prompt", "login"),
        ("max_age", "60"),
        ("acr_values", "a b"),
    ] {
        assert_eq!(parameter(&url, name).as_deref(), Some(value), "{name}");
    }
    assert!(!url.contains(pending.pkce_verifier.as_str()));
}

#[tokio::test]
async fn no_two_sign_ins_share_a_secret() {
    let op = Op::start().await;
    let idp = idp(&op);
    let (one, two) = (idp.begin(&Ask::default()).await.unwrap().pending, idp.begin(&Ask::default()).await.unwrap().pending);
    assert_ne!(one.state, two.state);
    assert_ne!(one.nonce, two.nonce);
    assert_ne!(one.pkce_verifier, two.pkce_verifier);
    assert_ne!(one.nonce, one.pkce_verifier);
}

#[tokio::test]
async fn a_good_sign_in_says_who_it_is() {
    let op = Op::start().await;
    let signed_in = sign_in(&idp(&op), &op, |_| {}).await.unwrap();
    assert_eq!((signed_in.identity.subject.issuer.as_str(), signed_in.identity.subject.sub.as_str()), (op.issuer.as_str(), "ana"));
    assert_eq!(signed_in.identity.email.unwrap().as_str(), "ana@corp.test");
    assert_eq!(signed_in.identity.name.as_deref(), Some("Ana"));
    assert_eq!(signed_in.identity.groups.iter().map(|group| group.as_str()).collect::<Vec<_>>(), ["sre", "dev"]);
    assert_eq!(signed_in.idp_session.as_deref(), Some("s1"));
    assert_eq!(signed_in.auth_time.map(|time| time.as_seconds()), Some(super::NOW - 100));
    assert_eq!((signed_in.amr, signed_in.acr.as_deref()), (vec!["pwd".to_owned()], Some("1")));
    assert_eq!(op.count(super::op::USERINFO), 0);
}

#[tokio::test]
async fn the_code_is_exchanged_with_verifier_and_secret() {
    let op = Op::start().await;
    let idp = idp(&op);
    let begun = idp.begin(&Ask::default()).await.unwrap();
    let verifier = begun.pending.pkce_verifier.to_string();
    op.answer(TOKEN, token_answer(&Draft::id_token(&op.issuer, &begun.pending.nonce).compact()));
    let callback = callback(&begun);
    idp.finish(begun.pending, &callback).await.unwrap();
    let seen = op.seen(TOKEN).remove(0);
    // RFC 6749 §2.3.1: both parts are form-encoded before they are joined.
    assert_eq!(seen.authorization.unwrap(), "Basic cG9ydGN1bGxpczpzJTNBY3IlMkJ0");
    let redirect = "https%3A%2F%2Fgate.test%2F.portcullis%2Fcallback";
    assert_eq!(seen.body, format!("grant_type=authorization_code&code=good&redirect_uri={redirect}&code_verifier={verifier}"));
}

#[tokio::test]
async fn the_secret_stands_in_the_form_where_the_idp_wants_it_there() {
    let op = Op::start().await;
    op.state("token_endpoint_auth_methods_supported", json!(["private_key_jwt", "client_secret_post"]));
    sign_in(&idp(&op), &op, |_| {}).await.unwrap();
    let seen = op.seen(TOKEN).remove(0);
    assert_eq!(seen.authorization, None);
    assert!(seen.body.ends_with("&client_id=portcullis&client_secret=s%3Acr%2Bt"));
}

#[tokio::test]
async fn parameters_are_pushed_to_an_idp_that_wants_them_pushed() {
    let op = Op::start().await;
    op.state("require_pushed_authorization_requests", json!(true));
    op.state("pushed_authorization_request_endpoint", json!(format!("{}/par", op.issuer)));
    op.answer("/par", Canned::json(&json!({ "request_uri": "urn:x:1", "expires_in": 60 })).status(201));
    let begun = idp(&op).begin(&Ask::default()).await.unwrap();
    assert_eq!(begun.url, format!("{}/authorize?client_id=portcullis&request_uri=urn%3Ax%3A1", op.issuer));
    let pushed = op.seen("/par").remove(0);
    assert!(pushed.authorization.is_some() && pushed.body.contains("code_challenge_method=S256"));
    op.answer("/par", Canned::json(&json!({ "error": "invalid_request" })).status(400));
    assert!(idp(&op).begin(&Ask::default()).await.is_err());
}

#[test]
fn a_callback_has_one_reading_or_none() {
    let state = Token::new([7; 32]).text();
    let check = |query: &str, expected: Option<CallbackFault>| {
        let query = query.replace("STATE", &state);
        assert_eq!(parse_callback(&query).err(), expected, "{query}");
    };
    check("code=c&state=STATE", None);
    check("code=c&state=STATE&iss=https%3A%2F%2Fidp.test&session_state=x.y&scope=openid+email", None);
    check("error=access_denied&error_description=no&state=STATE", None);
    check("code=c", Some(CallbackFault::State));
    check("code=c&state=", Some(CallbackFault::State));
    check("code=c&state=short", Some(CallbackFault::State));
    check("code=c&state=STATEx", Some(CallbackFault::State));
    check("code=c&state=STATE%20", Some(CallbackFault::State));
    check("error=access_denied", Some(CallbackFault::State));
    check("code=c&state=STATE&state=STATE", Some(CallbackFault::Duplicate));
    check("code=c&state=STATE&st%61te=STATE", Some(CallbackFault::Duplicate));
    check("code=c&code=d&state=STATE", Some(CallbackFault::Duplicate));
    check("code=c&code=&state=STATE", Some(CallbackFault::Duplicate));
    check("code=c&iss=a&iss=a&state=STATE", Some(CallbackFault::Duplicate));
    check("error=a&error=b&state=STATE", Some(CallbackFault::Duplicate));
    check("code=c&state=STATE&x=1&x=2", Some(CallbackFault::Duplicate));
    check("state=STATE", Some(CallbackFault::Answer));
    check("code=&state=STATE", Some(CallbackFault::Answer));
    check("code=c&error=x&state=STATE", Some(CallbackFault::Answer));
    check("", Some(CallbackFault::State));
    check("code=%&state=STATE", Some(CallbackFault::Encoding));
    check("code=%4&state=STATE", Some(CallbackFault::Encoding));
    check("code=%zz&state=STATE", Some(CallbackFault::Encoding));
    check("code=%+1&state=STATE", Some(CallbackFault::Encoding));
    check("code=%ff&state=STATE", Some(CallbackFault::Encoding));
    check("code=%00&state=STATE", Some(CallbackFault::Encoding));
    check("code=c%0d%0ax&state=STATE", Some(CallbackFault::Encoding));
    check("code&state=STATE", Some(CallbackFault::Encoding));
    check(&format!("code=c&state={}", "s".repeat(102_400)), Some(CallbackFault::TooLong));
}

#[tokio::test]
async fn a_callback_for_another_sign_in_spends_no_code() {
    let op = Op::start().await;
    let idp = idp(&op);
    let (one, two) = (idp.begin(&Ask::default()).await.unwrap(), idp.begin(&Ask::default()).await.unwrap());
    let crossed = callback(&two);
    assert_eq!(idp.finish(one.pending, &crossed).await.err(), Some(AnswerFault::State.into()));
    assert_eq!(op.count(TOKEN), 0);
}

#[tokio::test]
async fn a_sign_in_begun_at_one_idp_does_not_end_at_another() {
    let (op, other) = (Op::start().await, Op::start().await);
    let begun = idp(&op).begin(&Ask::default()).await.unwrap();
    let callback = callback(&begun);
    assert_eq!(idp(&other).finish(begun.pending, &callback).await.err(), Some(AnswerFault::State.into()));
    assert_eq!(other.count(TOKEN), 0);
}

#[tokio::test]
async fn a_sign_in_ends_within_ten_minutes() {
    let (op, clock) = (Op::start().await, clock());
    let idp = Idp::new(settings(&op.issuer), clock.clone()).unwrap();
    let begun = idp.begin(&Ask::default()).await.unwrap();
    clock.advance(Duration::from_secs(601));
    let callback = callback(&begun);
    assert_eq!(idp.finish(begun.pending, &callback).await.err(), Some(AnswerFault::Expired.into()));
}

#[tokio::test]
async fn the_callback_s_issuer_must_be_the_one_asked() {
    let op = Op::start().await;
    let right = op.issuer.clone();
    for (name, always, issuer, expected) in [
        ("right and promised", true, Some(right.clone()), None),
        ("right, not promised", false, Some(right.clone()), None),
        ("absent, not promised", false, None, None),
        ("absent, promised", true, None, Some(AnswerFault::IssuerMissing)),
        ("wrong, promised", true, Some("https://evil.test".to_owned()), Some(AnswerFault::Issuer)),
        ("wrong, not promised", false, Some("https://evil.test".to_owned()), Some(AnswerFault::Issuer)),
        ("with a slash", false, Some(format!("{right}/")), Some(AnswerFault::Issuer)),
        ("empty", false, Some(String::new()), Some(AnswerFault::Issuer)),
    ] {
        op.state("authorization_response_iss_parameter_supported", json!(always));
        let idp = idp(&op);
        let begun = idp.begin(&Ask::default()).await.unwrap();
        op.answer(TOKEN, token_answer(&Draft::id_token(&op.issuer, &begun.pending.nonce).compact()));
        let before = op.count(TOKEN);
        let issuer = issuer.map_or(String::new(), |issuer| format!("&iss={issuer}"));
        let query = format!("code=good&state={}{issuer}", parameter(&begun.url, "state").unwrap());
        let found = idp.finish(begun.pending, &parse_callback(&query).unwrap()).await.err();
        assert_eq!(op.count(TOKEN) > before, expected.is_none(), "{name}: the code went out");
        assert_eq!(found, expected.map(FinishFault::Invalid), "{name}");
    }
}

#[tokio::test]
async fn an_idp_s_refusal_keeps_only_a_harmless_code() {
    let op = Op::start().await;
    let idp = idp(&op);
    for (sent, kept) in [
        ("access_denied", "access_denied"),
        ("login_required", "login_required"),
        ("%3Cscript%3Ealert(1)%3C%2Fscript%3E", "unnamed_error"),
        ("a+b", "unnamed_error"),
        ("", "unnamed_error"),
        (&"x".repeat(65), "unnamed_error"),
    ] {
        let begun = idp.begin(&Ask::default()).await.unwrap();
        let query = format!("error={sent}&error_description=%3Cscript%3E&state={}", parameter(&begun.url, "state").unwrap());
        let found = idp.finish(begun.pending, &parse_callback(&query).unwrap()).await.err();
        assert_eq!(found, Some(FinishFault::IdpRefused { error: kept.to_owned() }), "{sent}");
    }
    assert_eq!(op.count(TOKEN), 0);
}

#[tokio::test]
async fn a_token_endpoint_that_does_not_answer_as_asked_signs_nobody_in() {
    let op = Op::start().await;
    let part = |fault| FinishFault::Invalid(AnswerFault::TokenEndpoint(fault));
    let lacks = |name| FinishFault::Invalid(AnswerFault::TokenResponse(name));
    let refused = |error: &str| FinishFault::IdpRefused { error: error.to_owned() };
    let status = |code| CallFault::Status(StatusCode::from_u16(code).unwrap());
    let unreachable = |fault: CallFault| FinishFault::Unreachable(format!("token endpoint: {fault}"));
    type Change = fn(&mut Value);
    let shaped = |change: Change| -> Box<dyn Fn(Value) -> Canned> {
        Box::new(move |mut good| {
            change(&mut good);
            Canned::json(&good)
        })
    };
    let whole = |canned: Canned| -> Box<dyn Fn(Value) -> Canned> { Box::new(move |_| canned.clone()) };
    let cases = vec![
        ("HTML", whole(Canned::text("<html>Sign in</html>").header("content-type", "text/html")), part(CallFault::NotJson)),
        ("empty", whole(Canned::text("")), part(CallFault::NotJson)),
        ("a list", whole(Canned::text("[]")), part(CallFault::NotJson)),
        ("ID token missing", shaped(|good| good["id_token"] = Value::Null), lacks("id_token")),
        ("ID token empty", shaped(|good| good["id_token"] = json!("")), lacks("id_token")),
        ("ID token an object", shaped(|good| good["id_token"] = json!({})), lacks("id_token")),
        ("access token missing", shaped(|good| good["access_token"] = Value::Null), lacks("access_token")),
        ("token type MAC", shaped(|good| good["token_type"] = json!("mac")), lacks("token_type")),
        ("token type DPoP", shaped(|good| good["token_type"] = json!("DPoP")), lacks("token_type")),
        ("token type missing", shaped(|good| good["token_type"] = Value::Null), lacks("token_type")),
        (
            "ID token twice",
            Box::new(|good: Value| Canned::text(format!("{{\"id_token\":\"x\",{}", &good.to_string()[1..]))),
            part(CallFault::NotJson),
        ),
        ("good but 400", Box::new(|good: Value| Canned::json(&good).status(400)), part(status(400))),
        ("good but 201", Box::new(|good: Value| Canned::json(&good).status(201)), part(status(201))),
        ("good but redirected", Box::new(|good: Value| Canned::json(&good).status(307).header("location", "/x")), part(status(307))),
        ("good but 200 with a place to go", Box::new(|good: Value| Canned::json(&good).header("location", "/x")), part(status(200))),
        ("good but gzip", Box::new(|good: Value| Canned::json(&good).header("content-encoding", "gzip")), part(CallFault::Encoded)),
        ("over 1 MiB", whole(Canned::text(vec![b' '; 2_000_000])), part(CallFault::TooLarge(1_048_576))),
        ("code used before", whole(Canned::json(&json!({ "error": "invalid_grant" })).status(400)), refused("invalid_grant")),
        ("client unknown", whole(Canned::json(&json!({ "error": "invalid_client" })).status(401)), refused("invalid_client")),
        ("error with markup", whole(Canned::json(&json!({ "error": "<b>" })).status(400)), refused("unnamed_error")),
        ("400 and HTML", whole(Canned::text("<html>").status(400)), part(status(400))),
        ("503", whole(Canned::text("<html>").status(503)), unreachable(status(503))),
        ("stalls", whole(Canned::text("{").stalls()), unreachable(CallFault::TimedOut(Duration::from_millis(200)))),
    ];
    for (name, answer, expected) in cases {
        let idp = hasty(&op);
        let begun = idp.begin(&Ask::default()).await.unwrap();
        let id_token = Draft::id_token(&op.issuer, &begun.pending.nonce).compact();
        op.answer(TOKEN, answer(json!({ "token_type": "Bearer", "access_token": ACCESS_TOKEN, "id_token": id_token })));
        let callback = callback(&begun);
        assert_eq!(idp.finish(begun.pending, &callback).await.err(), Some(expected), "{name}");
    }
    assert_eq!(op.count("/x"), 0);
}

#[tokio::test]
async fn a_token_for_one_sign_in_does_not_end_another() {
    let op = Op::start().await;
    let idp = idp(&op);
    let (one, two) = (idp.begin(&Ask::default()).await.unwrap(), idp.begin(&Ask::default()).await.unwrap());
    op.answer(TOKEN, token_answer(&Draft::id_token(&op.issuer, &one.pending.nonce).compact()));
    let callback = callback(&two);
    let found = idp.finish(two.pending, &callback).await.err();
    assert_eq!(found, Some(AnswerFault::IdToken(crate::idp::TokenFault::Nonce).into()));
}

#[tokio::test]
async fn a_person_who_leaves_during_the_exchange_leaves_nothing_behind() {
    let op = Op::start().await;
    let idp = idp(&op);
    let begun = idp.begin(&Ask::default()).await.unwrap();
    op.answer(TOKEN, Canned::text("{").stalls());
    let callback = callback(&begun);
    {
        // A sign-in can be handed to another thread.
        let mut leaving: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(idp.finish(begun.pending, &callback));
        while op.count(TOKEN) == 0 {
            tokio::select! {
                biased;
                _ = &mut leaving => panic!("it stalls"),
                () = tokio::task::yield_now() => {}
            }
        }
    }
    assert!(sign_in(&idp, &op, |_| {}).await.is_ok());
}

#[tokio::test]
async fn secrets_are_not_printed() {
    let op = Op::start().await;
    let idp = idp(&op);
    let begun = idp.begin(&Ask::default()).await.unwrap();
    let query = callback(&begun);
    let printed = format!("{idp:?} {:?} {query:?}", begun.pending);
    for secret in ["s:cr+t", begun.pending.nonce.as_str(), begun.pending.pkce_verifier.as_str(), "good"] {
        assert!(!printed.contains(secret), "{secret}");
    }
}
