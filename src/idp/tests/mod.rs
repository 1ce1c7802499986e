//! The relying party against a provider that lies in every way that is known (attacks OI).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod draft;
mod flow;
mod id_token;
mod logout;
mod op;
mod people;
mod provider;
mod real;

use std::time::Duration;

use kernel::time::Timestamp;
use serde_json::json;
use zeroize::Zeroizing;

use super::http::Limits;
use super::{Ask, Begun, CallbackQuery, EmailTrust, FinishFault, Idp, IdpSettings, SignedIn, parse_callback};
use crate::clock::Clock;
use draft::Draft;
use op::{Canned, Op, TOKEN};

const NOW: u64 = 1_800_000_000;
const CLIENT: &str = "portcullis";

fn settings(issuer: &str) -> IdpSettings {
    IdpSettings {
        id: "corp".to_owned(),
        label: "Corp".to_owned(),
        issuer: issuer.to_owned(),
        client_id: CLIENT.to_owned(),
        client_secret: Zeroizing::new("s:cr+t".to_owned()),
        scopes: ["openid", "email", "groups"].map(str::to_owned).to_vec(),
        groups_claim: Some("groups".to_owned()),
        ca: None,
        email_domains: None,
        email_trust: EmailTrust::VerifiedOnly,
        redirect_uri: "https://gate.test/.portcullis/callback".to_owned(),
        post_logout_redirect_uri: "https://gate.test/".to_owned(),
    }
}

fn clock() -> Clock {
    Clock::manual(Timestamp::from_seconds(NOW))
}

fn idp(op: &Op) -> Idp {
    Idp::new(settings(&op.issuer), clock()).unwrap()
}

/// A relying party that waits a short time for what never comes.
fn hasty(op: &Op) -> Idp {
    let limits = Limits { deadline: Duration::from_millis(200), ..Limits::default() };
    Idp::with_limits(settings(&op.issuer), clock(), limits).unwrap()
}

fn parameter(url: &str, name: &str) -> Option<String> {
    let url = url::Url::parse(url).unwrap();
    let mut values = url.query_pairs().filter(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let first = values.next();
    assert_eq!(values.next(), None, "{name} stands twice");
    first
}

fn callback(begun: &Begun) -> CallbackQuery {
    parse_callback(&format!("code=good&state={}", parameter(&begun.url, "state").unwrap())).unwrap()
}

/// What a good token endpoint answers around an ID token.
fn token_answer(id_token: &str) -> Canned {
    Canned::json(&json!({ "token_type": "Bearer", "access_token": ACCESS_TOKEN, "expires_in": 60, "id_token": id_token }))
}

/// A sign-in with an ID token as `forge` leaves it.
async fn sign_in(idp: &Idp, op: &Op, forge: impl FnOnce(&mut Draft)) -> Result<SignedIn, FinishFault> {
    sign_in_asking(idp, op, &Ask::default(), forge).await
}

async fn sign_in_asking(idp: &Idp, op: &Op, ask: &Ask, forge: impl FnOnce(&mut Draft)) -> Result<SignedIn, FinishFault> {
    let begun = idp.begin(ask).await.unwrap();
    let mut draft = Draft::id_token(&op.issuer, &begun.pending.nonce);
    forge(&mut draft);
    op.answer(TOKEN, token_answer(&draft.compact()));
    let callback = callback(&begun);
    idp.finish(begun.pending, &callback).await
}

const ACCESS_TOKEN: &str = "access-token-of-ana";
