//! The IdP's answer: bound to the browser that began, checked whole, then a session.

use std::sync::Arc;

use http::Response;
use kernel::event::{AccountChange, Actor, AuthenticationStep, ChangedBy};
use kernel::identity::assurance::Assurance;
use kernel::policy::Reason;
use kernel::session::token::Purpose;
use kernel::session::{EndReason, Session, SessionState, Token};
use kernel::{Failure, Refusal, Rejection};

use super::onward::onward;
use super::{Desk, Step, sign_in, with_cookie};
use crate::entropy;
use crate::gateway::pending::{SignIn, StartedAgain};
use crate::gateway::sessions::Live;
use crate::idp::{self, FinishFault, SignedIn};
use crate::store::{NewSession, SessionFilter, Sight};
use crate::web::body::Body;

/// `GET /.portcullis/callback`.
pub async fn answer(desk: Desk<'_>) -> Result<Response<Body>, Refusal> {
    let query = desk.request.query.as_deref().unwrap_or_default();
    let Ok(callback) = idp::parse_callback(query) else {
        return refuse(desk, None, Reason::SignInNotBegun, "the callback's parameters are missing, doubled or too long").await;
    };
    let Some(sign_in) = desk.gateway.pending.take_sign_in(callback.state.hash(Purpose::State)) else {
        return refuse(desk, None, Reason::SignInNotBegun, "the state is unknown, used or too old").await;
    };
    if !is_of_this_browser(&desk, &sign_in) {
        return overtaken(desk, sign_in).await;
    }
    let Some(idp) = desk.snapshot.idp(&sign_in.idp) else {
        return refuse(desk, Some(&sign_in.idp), Reason::SignInNotBegun, "the IdP is no longer configured").await;
    };
    match idp.finish(sign_in.pending.clone(), &callback).await {
        Ok(signed_in) => welcome(desk, sign_in, signed_in).await,
        Err(FinishFault::IdpRefused { error }) => refuse(desk, Some(&sign_in.idp), Reason::IdpRefused, &error).await,
        Err(FinishFault::Invalid(why)) => refuse(desk, Some(&sign_in.idp), Reason::IdpAnswerInvalid, &why.to_string()).await,
        Err(FinishFault::Unreachable(why)) => {
            tracing::error!(idp = %sign_in.idp, error = %why, "the IdP did not answer during a sign-in");
            let step = Step { failure: Some(Reason::IdpUnavailable), idp: Some(&sign_in.idp), ..Step::default() };
            desk.record_step(AuthenticationStep::SignIn, step).await?;
            Err(Failure::Idp(why).into())
        }
    }
}

/// The browser that began shows the cookie it had then, or the session that grew from it in another tab.
fn is_of_this_browser(desk: &Desk<'_>, sign_in: &SignIn) -> bool {
    let same = desk.cookie() == Some(sign_in.browser);
    same || desk.visit.person.as_ref().is_some_and(|live| live.facts().lineage == sign_in.browser)
}

/// Another tab of the same browser was faster and set another cookie, or this is another browser altogether. The code is
/// not redeemed. Who has a session goes on with it; who has none begins again, once.
async fn overtaken(desk: Desk<'_>, sign_in: SignIn) -> Result<Response<Body>, Refusal> {
    let place = sign_in.place.clone();
    if let Some(live) = &desk.visit.person {
        let place = place.and_then(|token| desk.place(Some(&token.text())));
        return onward(desk, live, place).await;
    }
    let known = desk.snapshot.idp(&sign_in.idp).is_some();
    match (desk.cookie(), sign_in.started_again) {
        (Some(_), StartedAgain::No) if known => sign_in::start(desk, &sign_in.idp, place, StartedAgain::Yes).await,
        _ => refuse(desk, Some(&sign_in.idp), Reason::SignInNotBegun, "the sign-in was begun in another browser").await,
    }
}

async fn welcome(desk: Desk<'_>, sign_in: SignIn, signed_in: SignedIn) -> Result<Response<Body>, Refusal> {
    let now = desk.gateway.clock.now();
    let identity = signed_in.identity.clone();
    let (record, sight) = desk.gateway.store.see_subject(identity.clone(), now).await.map_err(Failure::from)?;
    if sight == Sight::First {
        desk.record_change(AccountChange::FirstSeen, &identity, ChangedBy::Gateway, None).await?;
    }
    let actor = Actor {
        subject: identity.subject.clone(),
        email: identity.email.clone(),
        groups: identity.groups.iter().map(ToString::to_string).collect(),
        session: None,
    };
    if record.locked {
        let step = Step { failure: Some(Reason::LockedOut), idp: Some(&sign_in.idp), actor: Some(actor), ..Step::default() };
        desk.record_step(AuthenticationStep::SignIn, step).await?;
        return Err(Rejection::Forbidden(Reason::LockedOut).into());
    }
    let place = sign_in.place.as_ref().and_then(|token| desk.place(Some(&token.text())));
    if let Some(live) = &desk.visit.person {
        if live.facts().identity.subject == identity.subject {
            desk.record_step(AuthenticationStep::SignIn, Step { idp: Some(&sign_in.idp), live: Some(live), ..Step::default() }).await?;
            if desk.gateway.sessions.reauthenticate(live, identity, signed_in.idp_session.clone()).await? {
                return onward(desk, live, place).await;
            }
        } else {
            let step = AuthenticationStep::Expire(EndReason::Replace);
            desk.record_step(step, Step { idp: Some(&live.facts().idp), live: Some(live), ..Step::default() }).await?;
            desk.gateway.sessions.end(SessionFilter::One(live.id()), EndReason::Replace).await?;
        }
    }
    let id = entropy::session_id()?;
    let actor = Actor { session: Some(id), ..actor };
    desk.record_step(AuthenticationStep::SignIn, Step { idp: Some(&sign_in.idp), actor: Some(actor), ..Step::default() }).await?;
    let (live, cookie) = begin_session(&desk, &sign_in, signed_in, id).await?;
    with_cookie(onward(desk, &live, place).await?, &cookie)
}

/// A new session with a new cookie: whatever cookie the browser brought is worth nothing afterwards (OI-16).
async fn begin_session(
    desk: &Desk<'_>,
    sign_in: &SignIn,
    signed_in: SignedIn,
    id: kernel::session::SessionId,
) -> Result<(Arc<Live>, Token), Refusal> {
    let cookie = entropy::token()?;
    let session = Session {
        id,
        idp: sign_in.idp.clone(),
        identity: signed_in.identity,
        assurance: Assurance::default(),
        state: SessionState::begin(desk.gateway.clock.now()),
        idp_session: signed_in.idp_session,
        lineage: sign_in.browser,
        address: desk.request.client,
        user_agent: desk.visit.user_agent.as_ref().map(|agent| agent.chars().take(USER_AGENT_CHARACTERS_MAX).collect()),
    };
    let new = NewSession {
        session,
        cookie: cookie.hash(Purpose::Cookie(desk.host())),
        host: desk.host().clone(),
        id_token: Some(signed_in.id_token),
    };
    let live = desk.gateway.sessions.begin(new).await?;
    Ok((live, cookie))
}

async fn refuse(desk: Desk<'_>, idp: Option<&str>, reason: Reason, detail: &str) -> Result<Response<Body>, Refusal> {
    tracing::warn!(deny.reason = %reason, detail, "a sign-in was refused");
    let step = Step { failure: Some(reason), detail: Some(detail.to_owned()), idp, ..Step::default() };
    desk.record_step(AuthenticationStep::SignIn, step).await?;
    Err(Rejection::BadSubmission(reason).into())
}

/// How much of a browser's name is kept with a session.
const USER_AGENT_CHARACTERS_MAX: usize = 256;
