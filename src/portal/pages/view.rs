//! What the pages show, as typed data. No text for people and no HTML: words come from [`super::messages`], and every value
//! is escaped by the template that writes it.

use std::time::Duration;

use ipnet::IpNet;
use kernel::identity::assurance::Requirement;
use kernel::policy::decide::StepUp;
use kernel::policy::hours::Hours;
use kernel::request::RequestId;
use kernel::session::SessionId;
use kernel::time::Timestamp;
use zeroize::Zeroizing;

use crate::web::language::Language;
use crate::web::security::FormTargets;

/// What every page has.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    pub language: Language,
    /// Who is signed in, as the person knows herself: e-mail address or name. Shown with a sign-out button.
    pub signed_in: Option<String>,
    /// The portal's address, where a link to it makes sense.
    pub portal: Option<String>,
    /// Where the answers to this page's forms may lead besides its own host.
    pub form_targets: FormTargets,
}

/// Which IdP to sign in with.
#[derive(Clone, Debug)]
pub struct Chooser {
    /// The host that the person is on her way to.
    pub destination: Option<String>,
    pub providers: Vec<Provider>,
}

#[derive(Clone, Debug)]
pub struct Provider {
    pub name: String,
    /// Where the choice leads.
    pub href: String,
}

/// The stop on the way to the IdP that saves the fragment of the address, which browsers show to scripts alone.
#[derive(Clone, Debug)]
pub struct Hop {
    /// Where to go on; holds a query already or not. The script adds `fragment=…`, percent-encoded.
    pub continue_to: String,
}

/// A field that a form carries along unseen.
#[derive(Clone, Debug)]
pub struct Hidden {
    pub name: &'static str,
    pub value: Zeroizing<String>,
}

/// Asks for a code of the enrolled factor. Posts `code` to [`super::SECOND_FACTOR`].
#[derive(Clone, Debug)]
pub struct SecondFactor {
    /// The host that the person is on her way to.
    pub destination: Option<String>,
    /// Why a factor is asked for again; none at the first time.
    pub step_up: Option<(Requirement, StepUp)>,
    pub fault: Option<CodeFault>,
    /// Unused recovery codes. With none left the page does not offer them.
    pub recovery_codes_left: u32,
    pub hidden: Vec<Hidden>,
}

/// Why a code was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeFault {
    /// It is neither six digits nor a recovery code.
    Unreadable,
    Wrong,
    Reused,
    /// It would be right on another clock.
    ClockBehind(Duration),
    ClockAhead(Duration),
    /// Too many wrong codes: none is looked at before this time has passed.
    Wait(Duration),
    /// So many wrong codes in a row that only an admin can help.
    Stopped,
}

/// Enrols a TOTP factor. Posts `code` (and `invite`) to [`super::ENROL`].
#[derive(Clone, Debug)]
pub struct Enrolment {
    pub invite: Invite,
    /// None while the invitation is still asked for.
    pub secret: Option<EnrolmentSecret>,
    pub fault: Option<EnrolmentFault>,
    pub hidden: Vec<Hidden>,
}

#[derive(Clone, Debug)]
pub enum Invite {
    NotNeeded,
    /// A field asks for it, with an explanation of how to get one.
    Asked,
    /// It was good; carried along in a hidden field `invite`.
    Shown(Zeroizing<String>),
}

#[derive(Clone)]
pub struct EnrolmentSecret {
    /// Base32 without padding; the page groups it by four.
    pub base32: Zeroizing<String>,
    /// The `otpauth://` address; drawn as the QR code and offered as a link.
    pub otpauth: Zeroizing<String>,
}

impl std::fmt::Debug for EnrolmentSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EnrolmentSecret(***)")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnrolmentFault {
    Code(CodeFault),
    /// Unknown, expired or used.
    Invite,
}

/// Shows recovery codes, once.
#[derive(Clone)]
pub struct RecoveryCodes {
    pub codes: Vec<Zeroizing<String>>,
    /// Where "I have stored them" leads.
    pub continue_to: String,
}

impl std::fmt::Debug for RecoveryCodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecoveryCodes").field("codes", &self.codes.len()).finish_non_exhaustive()
    }
}

/// The portal.
#[derive(Clone, Debug)]
pub struct Portal {
    pub now: Timestamp,
    /// What the person may open now, and what she may open after a step-up.
    pub systems: Vec<System>,
    pub sessions: Vec<SessionLine>,
    pub factors: FactorLines,
    pub notice: Option<Notice>,
}

#[derive(Clone, Debug)]
pub struct System {
    pub name: String,
    pub href: String,
    pub host: String,
    pub class: String,
    pub owner: Option<String>,
    pub data: Vec<String>,
    /// What will be asked for on opening it; none when it opens at once.
    pub step_up: Option<Requirement>,
}

/// One of the person's sessions. Its button posts `session` (the id) to [`super::END_SESSION`].
#[derive(Clone, Debug)]
pub struct SessionLine {
    pub id: SessionId,
    pub place: SessionPlace,
    /// As the browser named itself; the page shows browser and system in words.
    pub user_agent: Option<String>,
    pub address: Option<String>,
    pub began: Timestamp,
    pub last_seen: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionPlace {
    ThisBrowser,
    Elsewhere,
}

/// The person's factors. "New recovery codes" posts to [`super::RECOVERY_CODES`].
#[derive(Clone, Copy, Debug, Default)]
pub struct FactorLines {
    /// When the TOTP factor was enrolled.
    pub totp: Option<Timestamp>,
    pub recovery_codes_left: u32,
}

/// What was just done, told on the next page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    SessionEnded,
    OtherSessionsEnded,
}

/// After sign-out.
#[derive(Clone, Debug)]
pub struct SignedOut {
    pub idp: IdpSession,
    /// Where one signs in again.
    pub again: String,
}

/// What became of the session at the IdP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdpSession {
    Ended,
    /// The IdP was not asked, or could not be: signing in again may need no password.
    Kept,
}

/// What an error page can tell beyond the refusal itself.
#[derive(Clone, Debug)]
pub struct ErrorContext {
    pub frame: Frame,
    pub request_id: RequestId,
    /// The host that was asked for; none where it could not be read.
    pub host: Option<String>,
    /// The route, told only to who is signed in.
    pub system: Option<RefusedSystem>,
    /// Where to sign in, or to show the factor that is asked for.
    pub next: Option<String>,
    pub remedy: Remedy,
}

#[derive(Clone, Debug)]
pub struct RefusedSystem {
    pub name: String,
    /// Whom to ask.
    pub owner: Option<String>,
}

/// What the nearest rule asks, where it can be told.
#[derive(Clone, Debug, Default)]
pub struct Remedy {
    pub hours: Option<Hours>,
    pub networks: Vec<IpNet>,
}
