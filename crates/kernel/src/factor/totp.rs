//! Time-based one-time codes, RFC 6238: SHA-1, six digits, steps of 30 s, as every authenticator app understands them.
//!
//! A code is judged by the step it belongs to, never by its text, so that no second spelling of a used code is a new code.
//! Every candidate step is computed and compared whatever matched before, so that the time taken tells nothing.

use std::cmp::Ordering;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq, ConstantTimeGreater};
use thiserror::Error;
use totp_rs::{Builder, Secret, Totp};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::time::Timestamp;

/// The key that the gateway and a person's app share: 160 bits, as RFC 4226 §4 R6 recommends.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct TotpSecret([u8; SECRET_BYTES]);

/// Six digits, as a number. `000001` and `1` cannot be confused: only six digits are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TotpCode(u32);

/// A step of 30 s, counted from the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Step(u64);

/// The text is not six ASCII digits, nor two groups of three with one space between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a code is six digits")]
pub struct CodeFault;

/// Why a code was not accepted. Each of them is a wrong attempt and is counted as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TotpFault {
    #[error("the code is wrong")]
    Wrong,
    /// RFC 6238 §5.2: the second use of a code is refused, and so is every code of an earlier step.
    #[error("the code was used before")]
    Replayed,
    /// Wrong now, but right on a clock that differs by ten minutes or less.
    #[error("the code belongs to another time")]
    ClockSkewed(ClockSkew),
}

/// How the clock of a person's device seems to differ from the gateway's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockSkew {
    pub direction: Direction,
    /// Whole minutes, rounded, at least one.
    pub minutes: u64,
    step: Step,
}

/// Where the device's clock stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Ahead,
    Behind,
}

impl TotpSecret {
    /// From 20 random bytes.
    #[must_use]
    pub const fn new(random: [u8; SECRET_BYTES]) -> Self {
        Self(random)
    }

    /// Reads what [`TotpSecret::as_bytes`] gave. `None` for any other length.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }

    /// Base32 in groups of four, for a person who types it into an app.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        let plain = self.base32();
        let mut grouped = Zeroizing::new(String::with_capacity(plain.len() + plain.len() / 4));
        for (index, character) in plain.chars().enumerate() {
            if index > 0 && index % 4 == 0 {
                grouped.push(' ');
            }
            grouped.push(character);
        }
        grouped
    }

    /// The address that an authenticator app reads from the QR code (Key URI format). A colon separates issuer and account,
    /// so neither may hold one: it is left out.
    #[must_use]
    pub fn otpauth_url(&self, issuer: &str, account: &str) -> Zeroizing<String> {
        let encode = |text: &str| utf8_percent_encode(&text.replace(':', ""), LABEL).to_string();
        let (issuer, account, secret) = (encode(issuer), encode(account), self.base32());
        Zeroizing::new(format!(
            "otpauth://totp/{issuer}:{account}?secret={}&issuer={issuer}&algorithm=SHA1&digits=6&period={STEP_SECONDS}",
            secret.as_str()
        ))
    }

    fn base32(&self) -> Zeroizing<String> {
        Zeroizing::new(Secret::new_stack(self.0).to_base32())
    }

    fn totp(&self) -> Totp {
        Builder::new().with_secret(Secret::new_stack(self.0)).with_step_duration(STEP_SECONDS).with_skew(0).build_noncompliant()
    }
}

impl TotpCode {
    /// Reads `123456`, or `123 456` as apps show it and people type it. Everything else is refused, never repaired.
    pub fn parse(text: &str) -> Result<Self, CodeFault> {
        match text.as_bytes() {
            [a, b, c, d, e, f] | [a, b, c, b' ', d, e, f] => {
                [a, b, c, d, e, f].into_iter().try_fold(0, push_digit).map(Self).ok_or(CodeFault)
            }
            _ => Err(CodeFault),
        }
    }

    /// The code of one step, as the person's app computes it.
    fn of(totp: &Totp, step: Step) -> Option<Self> {
        let text = Zeroizing::new(totp.generate(step.0.saturating_mul(STEP_SECONDS)).to_string());
        Self::parse(&text).ok()
    }
}

impl Step {
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The step in which `now` lies.
    #[must_use]
    pub const fn at(now: Timestamp) -> Self {
        Self(now.as_seconds() / STEP_SECONDS)
    }
}

impl TotpFault {
    /// The step that a fault has given away. A code that is diagnosed as "of a clock ahead" will be right soon, and whoever
    /// guessed it now knows; the caller stores this step as used before it answers, so that the diagnosis gives no guess a
    /// second chance.
    #[must_use]
    pub const fn given_away(&self) -> Option<Step> {
        match self {
            Self::Wrong | Self::Replayed => None,
            Self::ClockSkewed(skew) => match skew.direction {
                Direction::Ahead => Some(skew.step),
                Direction::Behind => None,
            },
        }
    }
}

/// Checks a code against the step of `now`, the one before and the one after (RFC 6238 §5.2). Returns the matched step, so
/// that the caller can store it, by compare-and-set; a step at or before `last_used` is `Replayed`, whatever the clock says.
///
/// A wrong code that a clock up to ten minutes off would have shown is `ClockSkewed`: still wrong, with a mend to tell.
pub fn verify(secret: &TotpSecret, code: TotpCode, now: Timestamp, last_used: Option<Step>) -> Result<Step, TotpFault> {
    let current = Step::at(now);
    let Some(step) = latest_match(secret, code, current) else { return Err(TotpFault::Wrong) };
    if last_used.is_some_and(|last| step <= last) {
        return Err(TotpFault::Replayed);
    }
    let distance = step.0.abs_diff(current.0);
    if distance <= WINDOW_STEPS {
        return Ok(step);
    }
    let direction = match step.cmp(&current) {
        Ordering::Less => Direction::Behind,
        Ordering::Equal | Ordering::Greater => Direction::Ahead,
    };
    let seconds = distance.saturating_mul(STEP_SECONDS);
    Err(TotpFault::ClockSkewed(ClockSkew { direction, minutes: (seconds + 30) / 60, step }))
}

/// The step that the code belongs to: the latest of those that would be accepted, else the latest of the others. Where two
/// steps have the same code by chance, taking the earlier one would leave the used code good for the later.
fn latest_match(secret: &TotpSecret, code: TotpCode, current: Step) -> Option<Step> {
    let totp = secret.totp();
    let (mut found, mut best, mut best_is_near) = (Choice::from(0), 0_u64, Choice::from(0));
    for number in current.0.saturating_sub(DIAGNOSIS_STEPS)..=current.0.saturating_add(DIAGNOSIS_STEPS) {
        let candidate = TotpCode::of(&totp, Step(number))?;
        let is_far = number.abs_diff(current.0).ct_gt(&WINDOW_STEPS);
        let take = candidate.0.ct_eq(&code.0) & !(best_is_near & is_far);
        best.conditional_assign(&number, take);
        best_is_near |= take & !is_far;
        found |= take;
    }
    bool::from(found).then_some(Step(best))
}

fn push_digit(value: u32, byte: &u8) -> Option<u32> {
    byte.is_ascii_digit().then(|| value * 10 + u32::from(byte - b'0'))
}

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for TotpCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Length of a secret.
pub const SECRET_BYTES: usize = 20;

/// RFC 6238 §5.2 recommends 30 s; apps know no other.
const STEP_SECONDS: u64 = 30;

/// Steps before and after the present one that are accepted: a code takes a moment to type, and clocks differ a little.
const WINDOW_STEPS: u64 = 1;

/// Steps before and after the present one that are looked at for the sake of a diagnosis: ten minutes.
const DIAGNOSIS_STEPS: u64 = 20;

/// Everything but the unreserved characters of RFC 3986.
const LABEL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
#[path = "totp_tests.rs"]
mod tests;
