//! The second factor: a TOTP code or a recovery code, in one field.
//!
//! Wrong codes are counted per subject over every endpoint, before a code is looked at, so that guesses sent at once share
//! one count. Only who passed the first factor gets here: a stranger can lock nobody out.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use kernel::event::AuthenticationStep;
use kernel::factor::lockout::Allowance;
use kernel::factor::recovery::RecoveryCode;
use kernel::factor::totp::{self, ClockSkew, Step as TotpStep, TotpCode, TotpFault, TotpSecret};
use kernel::identity::Subject;
use kernel::identity::assurance::{FactorKind, FactorProof};
use kernel::policy::Reason;
use kernel::session::Token;
use kernel::session::token::Purpose;
use kernel::{Failure, Refusal, Rejection};

use super::onward::{onward, with_return};
use super::{Desk, Step, see_other, show, with_cookie};
use crate::entropy;
use crate::gateway::Gateway;
use crate::gateway::sessions::Live;
use crate::store::{Factors, TotpFactor};
use crate::web::body::Body;
use crate::web::form::Form;

/// Why a code was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeFault {
    /// Not a code of either kind, or a wrong one.
    Wrong,
    Reused,
    Skewed(ClockSkew),
    /// Too many wrong codes: the next is looked at after this time.
    Wait(Duration),
    /// So many wrong codes in a row that only an admin can help.
    Stopped,
}

impl CodeFault {
    pub const fn reason(self) -> Reason {
        match self {
            Self::Wrong => Reason::FactorCodeWrong,
            Self::Reused => Reason::FactorCodeReused,
            Self::Skewed(_) => Reason::FactorClockSkewed,
            Self::Wait(_) | Self::Stopped => Reason::FactorDelayed,
        }
    }
}

/// `GET /.portcullis/second-factor`.
pub async fn show(desk: Desk<'_>) -> Result<Response<Body>, Refusal> {
    let live = desk.signed_in()?;
    let place = desk.place(desk.parameter("return").as_deref()).map(|(token, _)| token);
    let factors = factors_of(desk.gateway, live).await?;
    if factors.totp.is_none() {
        return see_other(&with_return("/.portcullis/enrol", place.as_ref()));
    }
    Ok(show::second_factor(desk, place.as_ref(), &factors, None))
}

/// `POST /.portcullis/second-factor`.
pub async fn submit(desk: Desk<'_>, form: Form) -> Result<Response<Body>, Refusal> {
    let live = desk.signed_in()?;
    let place = desk.place(form.field("return"));
    let factors = factors_of(desk.gateway, live).await?;
    let Some(factor) = &factors.totp else {
        return see_other(&with_return("/.portcullis/enrol", place.as_ref().map(|(token, _)| token)));
    };
    let code = form.field("code").unwrap_or_default();
    let (kind, judged) = judge(desk, live, factor, code).await?;
    let step = AuthenticationStep::SecondFactor(kind);
    if let Err(fault) = judged {
        desk.record_step(step, Step { failure: Some(fault.reason()), live: Some(live), ..Step::default() }).await?;
        return Ok(show::second_factor(desk, place.as_ref().map(|(token, _)| token), &factors, Some(fault)));
    }
    desk.record_step(step, Step { live: Some(live), ..Step::default() }).await?;
    let cookie = prove(desk, live, kind).await?;
    with_cookie(onward(desk, live, place).await?, &cookie)
}

/// Adds the proof to the session and gives it a new cookie, so that one seen before the second factor is worth nothing
/// after it.
pub async fn prove(desk: Desk<'_>, live: &Arc<Live>, kind: FactorKind) -> Result<Token, Refusal> {
    let proof = FactorProof { kind, at: desk.gateway.clock.now() };
    let old = desk.cookie().ok_or(Failure::Bug("a session was found without a cookie"))?;
    let cookie = entropy::token()?;
    desk.record_authorization(live, kind).await?;
    let proved = desk.gateway.sessions.prove(live, proof).await?;
    if proved && desk.gateway.sessions.rotate(old, cookie.hash(Purpose::Cookie(desk.host()))).await? {
        Ok(cookie)
    } else {
        // The session ended, or another tab rotated the cookie, between the look-up and now.
        Err(Rejection::Challenge(kernel::policy::Challenge::SignIn).into())
    }
}

async fn judge(desk: Desk<'_>, live: &Live, factor: &TotpFactor, code: &str) -> Result<(FactorKind, Result<(), CodeFault>), Refusal> {
    let subject = live.facts().identity.subject.clone();
    let recovery = RecoveryCode::parse(code).ok();
    let kind = if recovery.is_some() { FactorKind::RecoveryCode } else { FactorKind::Totp };
    if let Err(fault) = allow_attempt(desk, &subject).await? {
        return Ok((kind, Err(fault)));
    }
    let judged = match recovery {
        Some(recovery) => {
            let hash = recovery.hash(&subject);
            let used = desk.gateway.store.use_recovery_code(subject.clone(), hash).await.map_err(Failure::from)?;
            if used { Ok(()) } else { Err(CodeFault::Wrong) }
        }
        None => judge_totp(desk, &subject, factor, code).await?,
    };
    if judged.is_ok() {
        desk.gateway.store.clear_failures(subject).await.map_err(Failure::from)?;
    }
    Ok((kind, judged))
}

async fn judge_totp(desk: Desk<'_>, subject: &Subject, factor: &TotpFactor, code: &str) -> Result<Result<(), CodeFault>, Refusal> {
    let Ok(code) = TotpCode::parse(code) else {
        return Ok(Err(CodeFault::Wrong));
    };
    let secret = TotpSecret::from_slice(&factor.secret).ok_or(Failure::Store("a TOTP secret has not its length".into()))?;
    let last_used = Some(TotpStep::new(factor.last_step));
    Ok(match totp::verify(&secret, code, desk.gateway.clock.now(), last_used) {
        Ok(step) => {
            let first = desk.gateway.store.accept_totp_step(subject.clone(), step.number()).await.map_err(Failure::from)?;
            if first { Ok(()) } else { Err(CodeFault::Reused) }
        }
        Err(fault) => {
            if let Some(step) = fault.given_away() {
                // The page will say how far the clock is off, which tells a guesser that this code is right at its time.
                desk.gateway.store.accept_totp_step(subject.clone(), step.number()).await.map_err(Failure::from)?;
            }
            Err(of_totp(fault))
        }
    })
}

/// How the kernel's word on a code reads on a page.
pub const fn of_totp(fault: TotpFault) -> CodeFault {
    match fault {
        TotpFault::Wrong => CodeFault::Wrong,
        TotpFault::Replayed => CodeFault::Reused,
        TotpFault::ClockSkewed(skew) => CodeFault::Skewed(skew),
    }
}

/// Judges whether a code may be tried now, and counts the attempt as failed before it is made; success clears the count.
pub async fn allow_attempt(desk: Desk<'_>, subject: &Subject) -> Result<Result<(), CodeFault>, Refusal> {
    match desk.snapshot.limits.spend_second_factor(subject) {
        Ok(()) => {}
        Err(Rejection::Throttled { retry_after }) => return Ok(Err(CodeFault::Wait(retry_after))),
        Err(other) => return Err(other.into()),
    }
    let allowance = desk.gateway.store.begin_attempt(subject.clone(), desk.gateway.clock.now()).await.map_err(Failure::from)?;
    Ok(match allowance {
        Allowance::Try => Ok(()),
        Allowance::Wait(wait) => Err(CodeFault::Wait(wait)),
        Allowance::Stopped => Err(CodeFault::Stopped),
    })
}

pub async fn factors_of(gateway: &Gateway, live: &Live) -> Result<Factors, Failure> {
    let subject = live.facts().identity.subject.clone();
    Ok(gateway.store.factors(subject).await?)
}
