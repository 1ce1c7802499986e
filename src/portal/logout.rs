//! The ways out: a person signs out, or the IdP ends a session.

use http::{HeaderValue, Response, StatusCode};
use kernel::event::AuthenticationStep;
use kernel::identity::Subject;
use kernel::policy::Reason;
use kernel::session::EndReason;
use kernel::{Failure, Refusal, Rejection};

use super::{Desk, Step, json, see_other, show};
use crate::entropy;
use crate::store::SessionFilter;
use crate::web::body::Body;
use crate::web::cookie;
use crate::web::form::Form;

/// `POST /.portcullis/sign-out`, on any host: ends the session everywhere, then the IdP's where it offers that
/// (OpenID Connect RP-Initiated Logout 1.0).
pub async fn sign_out(desk: Desk<'_>, _form: Form) -> Result<Response<Body>, Refusal> {
    let signed_out = format!("{}/.portcullis/signed-out", desk.snapshot.authority().origin());
    let Some(live) = &desk.visit.person else {
        return clear(see_other(&signed_out)?);
    };
    let id_token = desk.gateway.store.id_token(live.id()).await.map_err(Failure::from)?;
    desk.record_step(AuthenticationStep::SignOut, Step { live: Some(live), ..Step::default() }).await?;
    desk.gateway.sessions.end(SessionFilter::One(live.id()), EndReason::LogOut).await?;
    let facts = live.facts();
    let at_idp = match desk.snapshot.idp(&facts.idp) {
        // An IdP that does not answer keeps nobody signed in here.
        Some(idp) => idp.sign_out_url(id_token.as_deref().map(String::as_str), Some(&entropy::token()?)).await.unwrap_or_else(|failure| {
            tracing::warn!(idp = %facts.idp, error = %failure, "signed out here, but the IdP could not be asked to");
            None
        }),
        None => None,
    };
    clear(see_other(at_idp.as_deref().unwrap_or(&signed_out))?)
}

/// `GET /.portcullis/signed-out`.
pub fn signed_out(desk: Desk<'_>) -> Result<Response<Body>, Refusal> {
    Ok(show::signed_out(desk))
}

fn clear(mut response: Response<Body>) -> Result<Response<Body>, Refusal> {
    response.headers_mut().append(http::header::SET_COOKIE, cookie::clear());
    Ok(response)
}

/// `POST /.portcullis/backchannel-logout` (OpenID Connect Back-Channel Logout 1.0 §2.5 and §2.8). The token is the proof;
/// no cookie is looked at.
pub async fn backchannel(desk: Desk<'_>, form: Form) -> Result<Response<Body>, Refusal> {
    desk.snapshot.limits.spend_sign_in(desk.visit.address_key())?;
    let Some(token) = form.field("logout_token") else {
        return refuse(desk, None, "there is no logout_token").await;
    };
    let issuer = crate::idp::issuer_hint(token);
    let Some(idp) = desk.snapshot.idps.iter().find(|idp| Some(idp.issuer()) == issuer.as_deref()) else {
        return refuse(desk, None, "the token names no issuer that is configured").await;
    };
    let verified = match idp.verify_logout_token(token).await {
        Ok(verified) => verified,
        Err(crate::idp::LogoutFault::Unreachable(why)) => return Err(Failure::Idp(why).into()),
        Err(crate::idp::LogoutFault::Invalid(why)) => return refuse(desk, Some(idp.id()), &why.to_string()).await,
    };
    let now = desk.gateway.clock.now();
    if !desk.gateway.store.remember_once(verified.jti_hash, verified.until, now).await.map_err(Failure::from)? {
        return refuse(desk, Some(idp.id()), "the token was used before").await;
    }
    let filter = match (verified.sid, verified.sub) {
        (Some(idp_session), _) => SessionFilter::OfIdpSession { issuer: verified.issuer, idp_session },
        (None, Some(sub)) => SessionFilter::OfSubject(Subject { issuer: verified.issuer, sub }),
        (None, None) => return refuse(desk, Some(idp.id()), "the token names neither subject nor session").await,
    };
    let ended = desk.gateway.sessions.end(filter, EndReason::IdpLogOut).await?;
    let detail = Some(format!("{} sessions ended", ended.len()));
    desk.record_step(AuthenticationStep::BackchannelLogout, Step { detail, idp: Some(idp.id()), ..Step::default() }).await?;
    let mut response = json(StatusCode::OK, "{}");
    response.headers_mut().insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn refuse(desk: Desk<'_>, idp: Option<&str>, detail: &str) -> Result<Response<Body>, Refusal> {
    let step = Step { failure: Some(Reason::LogoutTokenInvalid), detail: Some(detail.to_owned()), idp, ..Step::default() };
    desk.record_step(AuthenticationStep::BackchannelLogout, step).await?;
    Err(Rejection::BadSubmission(Reason::LogoutTokenInvalid).into())
}
