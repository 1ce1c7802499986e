//! Enrolment of the first factor: QR code, secret, link; confirmed by a code; protected by an invitation or by the time
//! since the subject was first seen.
//!
//! The secret lives in memory until its first code is checked. A page that was only looked at enrols nothing.

use http::Response;
use kernel::event::{AccountChange, ChangedBy};
use kernel::factor::recovery::{CODE_BYTES, CODES, RecoveryCode};
use kernel::factor::totp::{self, TotpCode, TotpSecret};
use kernel::identity::Identity;
use kernel::identity::assurance::FactorKind;
use kernel::policy::Reason;
use kernel::session::token::Purpose;
use kernel::session::{Token, TokenHash};
use kernel::{Failure, Refusal};
use zeroize::Zeroizing;

use super::factor::{CodeFault, allow_attempt, factors_of, of_totp, prove};
use super::{Desk, see_other, show, with_cookie};
use crate::entropy;
use crate::gateway::EnrolmentPolicy;
use crate::gateway::pending::Enrolment;
use crate::store::TotpFactor;
use crate::web::body::Body;
use crate::web::form::Form;

/// What is wrong with what was submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnrolFault {
    Code(CodeFault),
    InviteInvalid,
}

impl EnrolFault {
    pub const fn reason(self) -> Reason {
        match self {
            Self::Code(fault) => fault.reason(),
            Self::InviteInvalid => Reason::InviteInvalid,
        }
    }
}

/// Whether the page still has to ask for an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InviteField {
    Ask,
    Settled,
}

/// `GET /.portcullis/enrol`.
pub async fn show(desk: Desk<'_>) -> Result<Response<Body>, Refusal> {
    let live = desk.signed_in()?;
    let place = desk.place(desk.parameter("return").as_deref()).map(|(token, _)| token);
    if factors_of(desk.gateway, live).await?.totp.is_some() {
        // A second enrolment would need the first factor's proof; an admin resets a factor that is lost.
        return see_other("/");
    }
    let enrolment = pending(desk)?;
    let field = invite_field(desk, &enrolment).await?;
    page(desk, &enrolment, field, place.as_ref(), None)
}

/// `POST /.portcullis/enrol`: the invitation, the code, or both.
pub async fn submit(desk: Desk<'_>, form: Form) -> Result<Response<Body>, Refusal> {
    let live = desk.signed_in()?;
    let place = desk.place(form.field("return")).map(|(token, _)| token);
    if factors_of(desk.gateway, live).await?.totp.is_some() {
        return see_other("/");
    }
    let identity = live.facts().identity.clone();
    let mut enrolment = pending(desk)?;
    let mut field = invite_field(desk, &enrolment).await?;
    // One submission is one attempt, whatever it holds; it is counted before anything in it is looked at.
    let attempted = form.field("invite").is_some() || form.field("code").is_some();
    if attempted && let Err(fault) = allow_attempt(desk, &identity.subject).await? {
        return refuse(desk, &enrolment, field, place.as_ref(), &identity, EnrolFault::Code(fault)).await;
    }
    if let (InviteField::Ask, Some(text)) = (field, form.field("invite").filter(|text| !text.is_empty())) {
        match good_invite(desk, &identity, text).await? {
            Some(invite) => {
                enrolment.invite = Some(invite);
                desk.gateway.pending.put_enrolment(live.id(), enrolment.clone());
                field = InviteField::Settled;
            }
            None => return refuse(desk, &enrolment, field, place.as_ref(), &identity, EnrolFault::InviteInvalid).await,
        }
    }
    let code = form.field("code").unwrap_or_default();
    match (field, code) {
        (InviteField::Settled, "") => page(desk, &enrolment, field, place.as_ref(), None),
        (InviteField::Ask, _) => refuse(desk, &enrolment, field, place.as_ref(), &identity, EnrolFault::InviteInvalid).await,
        (InviteField::Settled, code) => confirm(desk, &enrolment, code, place, &identity).await,
    }
}

async fn confirm(
    desk: Desk<'_>,
    enrolment: &Enrolment,
    code: &str,
    place: Option<Token>,
    identity: &Identity,
) -> Result<Response<Body>, Refusal> {
    let live = desk.signed_in()?;
    let subject = identity.subject.clone();
    let failed = |fault| refuse(desk, enrolment, InviteField::Settled, place.as_ref(), identity, EnrolFault::Code(fault));
    let Ok(code) = TotpCode::parse(code) else { return failed(CodeFault::Wrong).await };
    let secret = TotpSecret::from_slice(&enrolment.secret).ok_or(Failure::Bug("a fresh TOTP secret has not its length"))?;
    let now = desk.gateway.clock.now();
    let step = match totp::verify(&secret, code, now, None) {
        Ok(step) => step,
        Err(fault) => return failed(of_totp(fault)).await,
    };
    let store = &desk.gateway.store;
    if let (Some(invite), Some(email)) = (enrolment.invite, identity.email.as_ref()) {
        // Used up by whoever confirms first; a second browser with the same invitation is refused here.
        if !store.use_invite(invite, email.to_string(), now).await.map_err(Failure::from)? {
            desk.gateway.pending.drop_enrolment(live.id());
            return refuse(desk, enrolment, InviteField::Ask, place.as_ref(), identity, EnrolFault::InviteInvalid).await;
        }
    }
    let codes = recovery_codes()?;
    let hashes = codes.iter().map(|code| code.hash(&subject)).collect();
    let by = ChangedBy::Person(subject.clone());
    desk.record_change(AccountChange::EnrolFactor(FactorKind::Totp), identity, by, None).await?;
    let factor = TotpFactor { secret: enrolment.secret.clone(), enrolled: now, last_step: step.number() };
    desk.gateway.pending.drop_enrolment(live.id());
    if !store.enrol_totp(subject.clone(), factor, hashes).await.map_err(Failure::from)? {
        // Of two enrolments at once the other one won.
        return see_other("/.portcullis/second-factor");
    }
    store.clear_failures(subject).await.map_err(Failure::from)?;
    let cookie = prove(desk, live, FactorKind::Totp).await?;
    let shown: Vec<_> = codes.iter().map(RecoveryCode::text).collect();
    with_cookie(show::recovery_codes(desk, place.as_ref(), &shown), &cookie)
}

/// Ten codes nobody has seen yet.
pub fn recovery_codes() -> Result<[RecoveryCode; CODES], Failure> {
    let mut random = [[0; CODE_BYTES]; CODES];
    for bytes in &mut random {
        *bytes = entropy::bytes()?;
    }
    Ok(RecoveryCode::set(random))
}

/// The secret that this session was shown before, or a fresh one.
fn pending(desk: Desk<'_>) -> Result<Enrolment, Refusal> {
    let live = desk.signed_in()?;
    if let Some(enrolment) = desk.gateway.pending.enrolment(live.id()) {
        return Ok(enrolment);
    }
    let secret = TotpSecret::new(entropy::bytes()?);
    let enrolment = Enrolment { secret: Zeroizing::new(secret.as_bytes().to_vec()), invite: None };
    desk.gateway.pending.put_enrolment(live.id(), enrolment.clone());
    Ok(enrolment)
}

async fn invite_field(desk: Desk<'_>, enrolment: &Enrolment) -> Result<InviteField, Refusal> {
    if enrolment.invite.is_some() {
        return Ok(InviteField::Settled);
    }
    let EnrolmentPolicy::FirstLogin(window) = desk.snapshot.enrolment else {
        return Ok(InviteField::Ask);
    };
    let subject = desk.signed_in()?.facts().identity.subject.clone();
    let record = desk.gateway.store.subject(subject).await.map_err(Failure::from)?;
    let within = record.is_some_and(|record| desk.gateway.clock.now().since(record.first_seen) < window);
    Ok(if within { InviteField::Settled } else { InviteField::Ask })
}

/// An invitation is for one e-mail address; a person whose IdP vouches for none cannot be invited.
async fn good_invite(desk: Desk<'_>, identity: &Identity, text: &str) -> Result<Option<TokenHash>, Refusal> {
    let (Some(token), Some(email)) = (Token::parse(text.trim_ascii()), identity.email.as_ref()) else {
        return Ok(None);
    };
    let invite = token.hash(Purpose::Invite);
    let now = desk.gateway.clock.now();
    let good = desk.gateway.store.invite_is_good(invite, email.to_string(), now).await.map_err(Failure::from)?;
    if good {
        desk.gateway.store.clear_failures(identity.subject.clone()).await.map_err(Failure::from)?;
    }
    Ok(good.then_some(invite))
}

async fn refuse(
    desk: Desk<'_>,
    enrolment: &Enrolment,
    field: InviteField,
    place: Option<&Token>,
    identity: &Identity,
    fault: EnrolFault,
) -> Result<Response<Body>, Refusal> {
    let by = ChangedBy::Person(identity.subject.clone());
    desk.record_change(AccountChange::EnrolFactor(FactorKind::Totp), identity, by, Some(fault.reason())).await?;
    page(desk, enrolment, field, place, Some(fault))
}

fn page(
    desk: Desk<'_>,
    enrolment: &Enrolment,
    field: InviteField,
    place: Option<&Token>,
    fault: Option<EnrolFault>,
) -> Result<Response<Body>, Refusal> {
    let live = desk.signed_in()?;
    let secret = TotpSecret::from_slice(&enrolment.secret).ok_or(Failure::Bug("a fresh TOTP secret has not its length"))?;
    let facts = live.facts();
    let account = facts.identity.email.as_ref().map_or_else(|| facts.identity.subject.sub.clone(), ToString::to_string);
    let url = secret.otpauth_url(desk.snapshot.authority().host.as_str(), &account);
    Ok(show::enrol(desk, place, field, &secret.text(), &url, fault))
}
