//! What comes after a step: the next one that is missing, or the place that the person wanted.

use std::sync::Arc;

use http::Response;
use kernel::Refusal;
use kernel::policy::Reason;
use kernel::route::Target;
use kernel::session::Token;
use kernel::session::token::Purpose;

use super::{Desk, see_other};
use crate::entropy;
use crate::gateway::pending::{Finish, Place};
use crate::gateway::sessions::Live;
use crate::web::body::Body;

/// Sends a person with a live session on.
pub async fn onward(desk: Desk<'_>, live: &Arc<Live>, place: Option<(Token, Place)>) -> Result<Response<Body>, Refusal> {
    let facts = live.facts();
    if !facts.assurance.has_any() {
        let factors = desk.gateway.store.factors(facts.identity.subject.clone()).await.map_err(kernel::Failure::from)?;
        let page = if factors.totp.is_some() { "/.portcullis/second-factor" } else { "/.portcullis/enrol" };
        return see_other(&with_return(page, place.as_ref().map(|(token, _)| token)));
    }
    let Some((_, Place { place, browser })) = place else {
        return see_other("/");
    };
    if place.authority == *desk.snapshot.authority() {
        return see_other(&place.on_host());
    }
    match desk.snapshot.table.find_authority(&place.authority) {
        Target::Route(_) => {
            let code = entropy::token()?;
            let location = format!("{}/.portcullis/finish?code={}", place.authority.origin(), code.text());
            let finish = Finish { session: live.id(), host: place.authority.host.clone(), browser, place };
            desk.gateway.pending.put_finish(code.hash(Purpose::Finish), finish);
            see_other(&location)
        }
        // Whoever asked for a host that no route has learns it here, signed in.
        Target::Unknown | Target::Gateway => Err(kernel::Rejection::Forbidden(Reason::UnknownHost).into()),
    }
}

/// The link on a page that stood between two steps (recovery codes): goes on where the sign-in was.
pub async fn resume(desk: Desk<'_>) -> Result<Response<Body>, Refusal> {
    let live = desk.signed_in()?;
    let place = desk.place(desk.parameter("return").as_deref());
    onward(desk, live, place).await
}

/// An address of the gateway's own that remembers the place to return to.
pub fn with_return(path: &str, place: Option<&Token>) -> String {
    match place {
        Some(token) => format!("{path}?return={}", token.text()),
        None => path.to_owned(),
    }
}
