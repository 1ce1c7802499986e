//! The beginning of a sign-in: which IdP, and off to it. The place to return to stays on the server.

use http::{Response, StatusCode};
use kernel::Refusal;
use kernel::policy::Reason;
use kernel::redirect::{Fragment, ReturnPlace};
use kernel::request::headers;
use kernel::session::Token;
use kernel::session::token::Purpose;

use super::onward::onward;
use super::{Desk, redirect, show, with_cookie};
use crate::entropy;
use crate::gateway::pending::{Place, SignIn, StartedAgain};
use crate::web::body::Body;

/// `GET /.portcullis/sign-in`: a chooser where there are several IdPs; a page that saves the address's fragment where the
/// browser can run one; else straight to the IdP.
pub async fn begin(desk: Desk<'_>) -> Result<Response<Body>, Refusal> {
    let place = desk.place(desk.parameter("return").as_deref()).map(|(token, place)| keep_fragment(&desk, token, place));
    if let Some(live) = &desk.visit.person {
        return onward(desk, live, place).await;
    }
    let token = place.as_ref().map(|(token, _)| token);
    let named = desk.parameter("idp");
    let chosen = match (named.as_deref(), desk.snapshot.idps.as_slice()) {
        (Some(id), _) => Some(desk.snapshot.idp(id).ok_or(kernel::Rejection::NoPage(Reason::NoSuchPage))?.id()),
        (None, [only]) => Some(only.id()),
        (None, _) => None,
    };
    let Some(idp) = chosen else {
        return Ok(show::chooser(desk, &desk.snapshot.idps, token));
    };
    if desk.parameter("go").is_none() && named.is_none() && shows_pages(&desk) && token.is_some() {
        return Ok(show::hop(desk, token));
    }
    start(desk, idp, place.map(|(token, _)| token), StartedAgain::No).await
}

/// Sends the browser to the IdP, and remembers what for.
pub async fn start(desk: Desk<'_>, idp: &str, place: Option<Token>, started_again: StartedAgain) -> Result<Response<Body>, Refusal> {
    desk.snapshot.limits.spend_sign_in(desk.visit.address_key())?;
    let idp = desk.snapshot.idp(idp).ok_or(kernel::Failure::Bug("a chosen IdP is not in the snapshot"))?;
    let begun = idp.begin(&crate::idp::Ask::default()).await?;
    // A browser that brings a token keeps it: its other tabs are bound to it. What a token is worth is decided at its end.
    let (token, response) = match headers::own_cookie(&desk.head.headers).and_then(Token::parse) {
        Some(token) => (token, redirect(StatusCode::FOUND, &begun.url)?),
        None => {
            let token = entropy::token()?;
            let response = with_cookie(redirect(StatusCode::FOUND, &begun.url)?, &token)?;
            (token, response)
        }
    };
    let browser = token.hash(Purpose::Cookie(desk.host()));
    let state = begun.pending.state;
    let sign_in = SignIn { idp: idp.id().to_owned(), pending: begun.pending, browser, place, started_again };
    desk.gateway.pending.put_sign_in(state, sign_in);
    Ok(response)
}

/// The fragment that the browser's script found, put beside the place. Only the first one counts.
fn keep_fragment(desk: &Desk<'_>, token: Token, place: Place) -> (Token, Place) {
    let Some(fragment) = desk.parameter("fragment").as_deref().and_then(Fragment::parse) else {
        return (token, place);
    };
    if place.place.fragment.is_some() {
        return (token, place);
    }
    let place = Place { place: ReturnPlace { fragment: Some(fragment), ..place.place }, ..place };
    desk.gateway.pending.put_place(token.hash(Purpose::Return), place.clone());
    (token, place)
}

/// Whether a browser is at the other end that runs pages: all of a navigation's fetch metadata is there. A program that
/// follows redirects has no fragment to save.
fn shows_pages(desk: &Desk<'_>) -> bool {
    let fields = &desk.head.headers;
    let is = |name: http::HeaderName, value: &str| fields.get(name).is_some_and(|field| field.as_bytes() == value.as_bytes());
    is(headers::SEC_FETCH_MODE, "navigate")
        && is(headers::SEC_FETCH_DEST, "document")
        && fields.contains_key(headers::SEC_FETCH_SITE)
        && fields.contains_key(http::header::UPGRADE_INSECURE_REQUESTS)
}
