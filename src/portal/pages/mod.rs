//! Pages for people, rendered on the server. They work without scripts, except where the platform shows something to
//! scripts alone (the fragment of an address, the clipboard).
//!
//! Every function takes typed data and returns the whole answer: status, security headers, HTML.
//!
//! ```ignore
//! fn chooser(frame: &Frame, view: &Chooser) -> Response<Body>;                  // 200
//! fn hop(frame: &Frame, view: &Hop) -> Response<Body>;                          // 200
//! fn second_factor(frame: &Frame, view: &SecondFactor) -> Response<Body>;       // 200; 400 or 429 with a fault
//! fn enrolment(frame: &Frame, view: &Enrolment) -> Response<Body>;              // 200; 400 or 429 with a fault
//! fn recovery_codes(frame: &Frame, view: &RecoveryCodes) -> Response<Body>;     // 200
//! fn portal(frame: &Frame, view: &Portal) -> Response<Body>;                    // 200
//! fn sign_out(frame: &Frame) -> Response<Body>;                                 // 200: asks, for a GET
//! fn signed_out(frame: &Frame, view: &SignedOut) -> Response<Body>;             // 200
//! fn error(refusal: &Refusal, context: &ErrorContext) -> Response<Body>;        // the refusal's status
//! ```

pub mod view;

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
