//! From claims to people (OI-09): addresses, groups, and what userinfo may add.

use http::StatusCode;
use serde_json::{Value, json};

use super::draft::{Draft, Forge};
use super::op::{Canned, Op, USERINFO};
use super::{clock, idp, settings, sign_in};
use crate::idp::fault::{AnswerFault, CallFault, FinishFault, GroupsFault};
use crate::idp::{EmailTrust, Idp, IdpSettings};

async fn idp_with(op: &Op, change: fn(&mut IdpSettings)) -> Idp {
    let mut settings = settings(&op.issuer);
    change(&mut settings);
    Idp::new(settings, clock()).unwrap()
}

#[tokio::test]
async fn an_address_counts_only_when_the_idp_vouches_for_it() {
    let op = Op::start().await;
    let cases: &[(&str, Forge, Option<&str>)] = &[
        ("vouched for", |_| {}, Some("ana@corp.test")),
        ("not vouched for", |d| d.claim("email_verified", json!(false)), None),
        ("vouching absent", |d| d.without("email_verified"), None),
        ("vouching as text", |d| d.claim("email_verified", json!("true")), None),
        ("vouching as a number", |d| d.claim("email_verified", json!(1)), None),
        ("two at signs", |d| d.claim("email", json!("a@evil@corp.test")), None),
        ("line break", |d| d.claim("email", json!("a@corp.test\n")), None),
        ("space", |d| d.claim("email", json!("ana@corp.test ")), None),
        ("homograph", |d| d.claim("email", json!("аna@corp.test")), None),
        ("a list", |d| d.claim("email", json!(["ana@corp.test"])), None),
        // Another address than ana's, byte by byte.
        ("capitals", |d| d.claim("email", json!("ANA@CORP.TEST")), Some("ANA@CORP.TEST")),
    ];
    for (name, forge, expected) in cases {
        let signed_in = sign_in(&idp(&op), &op, forge).await.unwrap();
        assert_eq!(signed_in.identity.email.as_ref().map(|email| email.as_str()), *expected, "{name}");
        assert_eq!(signed_in.identity.subject.sub, "ana", "{name}");
    }
}

#[tokio::test]
async fn an_operator_may_trust_addresses_and_bound_their_domains() {
    let op = Op::start().await;
    let trusting = idp_with(&op, |s| s.email_trust = EmailTrust::AlsoUnverified).await;
    assert!(sign_in(&trusting, &op, |d| d.without("email_verified")).await.unwrap().identity.email.is_some());
    let bounded = idp_with(&op, |s| s.email_domains = Some(vec!["corp.test".to_owned()])).await;
    for (address, counts) in [
        ("ana@corp.test", true),
        ("ana@CORP.test", true),
        ("ana@evil-corp.test", false),
        ("ana@corp.test.evil.test", false),
        ("ana@sub.corp.test", false),
    ] {
        let signed_in = sign_in(&bounded, &op, |d| d.claim("email", json!(address))).await.unwrap();
        assert_eq!(signed_in.identity.email.is_some(), counts, "{address}");
    }
    let none = idp_with(&op, |s| s.email_domains = Some(Vec::new())).await;
    assert_eq!(sign_in(&none, &op, |_| {}).await.unwrap().identity.email, None);
}

#[tokio::test]
async fn groups_are_texts_in_bounds_or_the_sign_in_fails() {
    let op = Op::start().await;
    let many = |count: usize| (0..count).map(|number| json!(format!("g{number}"))).collect::<Vec<_>>();
    for (name, groups, expected) in [
        ("a list", json!(["a", "b"]), Ok(2)),
        ("one text", json!("a"), Ok(1)),
        ("none", json!([]), Ok(0)),
        ("1,000", json!(many(1_000)), Ok(1_000)),
        ("256 bytes", json!(["g".repeat(256)]), Ok(1)),
        ("not ASCII", json!(["Büro"]), Ok(1)),
        ("1,001", json!(many(1_001)), Err(GroupsFault::TooMany)),
        ("257 bytes", json!(["g".repeat(257)]), Err(GroupsFault::Name)),
        ("empty name", json!([""]), Err(GroupsFault::Name)),
        ("line break", json!(["a\r\nX-Portcullis-Groups: admins"]), Err(GroupsFault::Name)),
        ("NUL", json!("a\0"), Err(GroupsFault::Name)),
        ("a number among them", json!(["a", 1]), Err(GroupsFault::Shape)),
        ("lists in a list", json!([["a"]]), Err(GroupsFault::Shape)),
        ("objects", json!([{ "name": "a" }]), Err(GroupsFault::Shape)),
        ("an object", json!({ "a": true }), Err(GroupsFault::Shape)),
        ("null", Value::Null, Err(GroupsFault::Shape)),
        ("true", json!(true), Err(GroupsFault::Shape)),
    ] {
        let found = sign_in(&idp(&op), &op, |d| d.claim("groups", groups)).await;
        let found = found.map(|signed_in| signed_in.identity.groups.len());
        assert_eq!(found, expected.map_err(|fault| AnswerFault::Groups(fault).into()), "{name}");
    }
}

#[tokio::test]
async fn groups_that_the_idp_left_out_are_not_taken_for_none() {
    let op = Op::start().await;
    let overage = Some(FinishFault::Invalid(AnswerFault::Groups(GroupsFault::Overage)));
    let elsewhere = |d: &mut Draft| {
        d.without("groups");
        d.claim("_claim_names", json!({ "groups": "src1" }));
        d.claim("_claim_sources", json!({ "src1": { "endpoint": "https://graph.test/me/getMemberObjects" } }));
    };
    assert_eq!(sign_in(&idp(&op), &op, elsewhere).await.err(), overage);
    let hinted = |d: &mut Draft| {
        d.without("groups");
        d.claim("hasgroups", json!(true));
    };
    assert_eq!(sign_in(&idp(&op), &op, hinted).await.err(), overage);
    // Who has no say in groups is not hindered by it.
    let without = idp_with(&op, |s| s.groups_claim = None).await;
    assert!(sign_in(&without, &op, elsewhere).await.unwrap().identity.groups.is_empty());
}

#[tokio::test]
async fn the_groups_claim_may_be_a_path_and_a_whole_name_counts_first() {
    let op = Op::start().await;
    let nested = idp_with(&op, |s| s.groups_claim = Some("realm_access.roles".to_owned())).await;
    let names = |idp| {
        let op = &op;
        async move |forge: fn(&mut Draft)| -> Vec<String> {
            let groups = sign_in(idp, op, forge).await.unwrap().identity.groups;
            groups.iter().map(|group| group.as_str().to_owned()).collect()
        }
    };
    assert_eq!(names(&nested)(|d| d.claim("realm_access", json!({ "roles": ["deep"] }))).await, ["deep"]);
    let both: fn(&mut Draft) = |d| {
        d.claim("realm_access", json!({ "roles": ["deep"] }));
        d.claim("realm_access.roles", json!(["whole"]));
    };
    assert_eq!(names(&nested)(both).await, ["whole"]);
    let address = idp_with(&op, |s| s.groups_claim = Some("https://corp.test/groups".to_owned())).await;
    assert_eq!(names(&address)(|d| d.claim("https://corp.test/groups", json!("a"))).await, ["a"]);
}

fn bare(draft: &mut Draft) {
    ["email", "email_verified", "name", "groups"].into_iter().for_each(|name| draft.without(name));
}

#[tokio::test]
async fn userinfo_adds_what_the_id_token_lacks() {
    let op = Op::start().await;
    op.answer(USERINFO, Canned::json(&json!({ "sub": "ana", "email": "ana@corp.test", "email_verified": true, "groups": ["sre"] })));
    let identity = sign_in(&idp(&op), &op, bare).await.unwrap().identity;
    assert_eq!((identity.email.is_some(), identity.groups.len()), (true, 1));
    assert_eq!(op.seen(USERINFO)[0].authorization.as_deref(), Some("Bearer access-token-of-ana"));
    // What the ID token says counts first.
    let identity = sign_in(&idp(&op), &op, |d| d.without("email")).await.unwrap().identity;
    assert_eq!((identity.email.is_some(), identity.groups.len()), (true, 2));
}

#[tokio::test]
async fn an_address_is_not_vouched_for_by_another_answer() {
    let op = Op::start().await;
    op.answer(USERINFO, Canned::json(&json!({ "sub": "ana", "email_verified": true })));
    let signed_in = sign_in(&idp(&op), &op, |d| d.without("email_verified")).await.unwrap();
    assert_eq!(signed_in.identity.email, None);
}

#[tokio::test]
async fn userinfo_of_somebody_else_or_in_another_form_is_refused() {
    let op = Op::start().await;
    let failed = |fault| FinishFault::Invalid(AnswerFault::Userinfo(fault));
    let status = |code| CallFault::Status(StatusCode::from_u16(code).unwrap());
    for (name, canned, expected) in [
        ("another subject", Canned::json(&json!({ "sub": "eva" })), AnswerFault::UserinfoSubject.into()),
        ("another case", Canned::json(&json!({ "sub": "Ana" })), AnswerFault::UserinfoSubject.into()),
        ("no subject", Canned::json(&json!({ "groups": ["sre"] })), AnswerFault::UserinfoSubject.into()),
        ("subject a list", Canned::json(&json!({ "sub": ["ana"] })), AnswerFault::UserinfoSubject.into()),
        ("subject twice", Canned::text(r#"{"sub":"eva","sub":"ana"}"#), failed(CallFault::NotJson)),
        ("signed", Canned::text("e30.e30.AA").header("content-type", "application/jwt; charset=utf-8"), AnswerFault::UserinfoSigned.into()),
        ("HTML", Canned::text("<html>"), failed(CallFault::NotJson)),
        ("401", Canned::json(&json!({ "sub": "ana" })).status(401), failed(status(401))),
        ("redirect", Canned::json(&json!({ "sub": "ana" })).status(302).header("location", "/x"), failed(status(302))),
        ("500", Canned::text("").status(500), FinishFault::Unreachable(format!("userinfo: {}", status(500)))),
    ] {
        op.answer(USERINFO, canned);
        assert_eq!(sign_in(&idp(&op), &op, bare).await.err(), Some(expected), "{name}");
    }
}

#[tokio::test]
async fn a_name_is_for_show_and_bounded() {
    let op = Op::start().await;
    for (name, claim, shown) in [
        ("plain", json!("Ana Ålund"), Some("Ana Ålund")),
        ("control characters", json!("Ana\u{1b}[31m"), None),
        ("too long", json!("a".repeat(257)), None),
        ("blank", json!(" "), None),
        ("a number", json!(1), None),
    ] {
        let signed_in = sign_in(&idp(&op), &op, |d| d.claim("name", claim)).await.unwrap();
        assert_eq!(signed_in.identity.name.as_deref(), shown, "{name}");
    }
}
