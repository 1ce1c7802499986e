//! Pages for people, rendered on the server. They work without scripts, except where the platform shows something to
//! scripts alone (the fragment of an address, the clipboard).
//!
//! Every function takes typed data and returns the whole answer: status, security headers, HTML. Values are escaped by the
//! templates; nothing here is handed HTML.

mod base;
mod error;
mod factor;
mod messages;
mod overview;
mod qr;
#[cfg(test)]
mod tests;
pub mod view;
mod words;

pub use error::error;
pub use factor::{enrolment, recovery_codes, second_factor};
pub use overview::portal;

use askama::Template;
use http::{Response, StatusCode};

use crate::portal::pages::base::{Base, respond};
use crate::portal::pages::messages::Messages;
use crate::portal::pages::view::{Chooser, Frame, Hop, IdpSession, SignedOut};
use crate::web::assets::Asset;
use crate::web::body::Body;

/// Where the forms post to, on whichever host the page is.
pub const SECOND_FACTOR: &str = "/.portcullis/second-factor";
pub const ENROL: &str = "/.portcullis/enrol";
pub const SIGN_OUT: &str = "/.portcullis/sign-out";
/// Field `session`: the id of one session, or [`OTHERS`] or [`EVERYWHERE`].
pub const END_SESSION: &str = "/.portcullis/sessions/end";
pub const RECOVERY_CODES: &str = "/.portcullis/recovery-codes";

/// Value of `session`: every session but this one.
pub const OTHERS: &str = "others";
/// Value of `session`: every session, this one too.
pub const EVERYWHERE: &str = "everywhere";

/// Asks which IdP to sign in with.
#[must_use]
pub fn chooser(frame: &Frame, view: &Chooser) -> Response<Body> {
    let t = Messages::of(frame.language);
    respond(StatusCode::OK, frame, &ChooserPage { base: Base::new(frame, t.chooser.title), t, view })
}

/// Goes on to the sign-in with the fragment of the address.
#[must_use]
pub fn hop(frame: &Frame, view: &Hop) -> Response<Body> {
    let t = Messages::of(frame.language);
    respond(StatusCode::OK, frame, &HopPage { base: Base::new(frame, t.hop.title), t, view, script: Asset::Hop.href() })
}

/// Asks before signing out, for whoever came by a link.
#[must_use]
pub fn sign_out(frame: &Frame) -> Response<Body> {
    let t = Messages::of(frame.language);
    respond(StatusCode::OK, frame, &SignOutPage { base: Base::new(frame, t.sign_out_page.title), t })
}

/// After sign-out.
#[must_use]
pub fn signed_out(frame: &Frame, view: &SignedOut) -> Response<Body> {
    let t = Messages::of(frame.language);
    let kept = match view.idp {
        IdpSession::Ended => false,
        IdpSession::Kept => true,
    };
    respond(StatusCode::OK, frame, &SignedOutPage { base: Base::new(frame, t.signed_out.title), t, view, kept })
}

#[derive(Template)]
#[template(path = "chooser.html")]
struct ChooserPage<'a> {
    base: Base<'a>,
    t: &'static Messages,
    view: &'a Chooser,
}

#[derive(Template)]
#[template(path = "hop.html")]
struct HopPage<'a> {
    base: Base<'a>,
    t: &'static Messages,
    view: &'a Hop,
    script: &'static str,
}

#[derive(Template)]
#[template(path = "sign_out.html")]
struct SignOutPage<'a> {
    base: Base<'a>,
    t: &'static Messages,
}

#[derive(Template)]
#[template(path = "signed_out.html")]
struct SignedOutPage<'a> {
    base: Base<'a>,
    t: &'static Messages,
    view: &'a SignedOut,
    kept: bool,
}
