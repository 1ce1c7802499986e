//! The hand-over of a session to a route's host: a one-time code in, the host's cookie out. Good for the browser that
//! asked, for thirty seconds, once.

use http::Response;
use kernel::event::AuthenticationStep;
use kernel::policy::{Challenge, Reason};
use kernel::session::Token;
use kernel::session::token::Purpose;
use kernel::{Refusal, Rejection};

use super::{Desk, Step, see_other, with_cookie};
use crate::entropy;
use crate::web::body::Body;

/// `GET /.portcullis/finish?code=…`.
pub async fn finish(desk: Desk<'_>) -> Result<Response<Body>, Refusal> {
    let code = desk.parameter("code").as_deref().and_then(Token::parse);
    let found = code.and_then(|code| desk.gateway.pending.take_finish(code.hash(Purpose::Finish)));
    let Some(finish) = found.filter(|finish| finish.host == *desk.host()) else {
        return refuse(desk, "the code is unknown, used or too old").await;
    };
    let place = finish.place.on_host();
    if desk.visit.person.as_ref().is_some_and(|live| live.id() == finish.session) {
        return see_other(&place);
    }
    match desk.cookie() {
        Some(cookie) if cookie == finish.browser => {}
        // Another tab of this browser was faster and set another cookie: the place itself asks again, once more.
        Some(_) => return see_other(&place),
        None => return refuse(desk, "the browser that asked kept no cookie, or this is another browser").await,
    }
    let Some(live) = desk.gateway.sessions.live(finish.session) else {
        return refuse(desk, "the session ended during the hand-over").await;
    };
    desk.record_step(AuthenticationStep::Finish, Step { live: Some(&live), ..Step::default() }).await?;
    let cookie = entropy::token()?;
    if !desk.gateway.sessions.bind(&live, cookie.hash(Purpose::Cookie(desk.host())), desk.host().clone()).await? {
        return refuse(desk, "the session ended during the hand-over").await;
    }
    with_cookie(see_other(&place)?, &cookie)
}

async fn refuse(desk: Desk<'_>, detail: &str) -> Result<Response<Body>, Refusal> {
    let step = Step { failure: Some(Reason::SignInNotBegun), detail: Some(detail.to_owned()), ..Step::default() };
    desk.record_step(AuthenticationStep::Finish, step).await?;
    Err(match desk.visit.person {
        Some(_) => Rejection::BadSubmission(Reason::SignInNotBegun).into(),
        // A stranger is answered as on a host that no route has.
        None => Rejection::Challenge(Challenge::SignIn).into(),
    })
}
