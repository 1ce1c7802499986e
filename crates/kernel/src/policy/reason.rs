//! Reason codes: stable words for why something was refused. The same in pages, records, `explain` and answers.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($(#[doc = $doc:literal])* $variant:ident = $code:literal,)*) => {
        /// Why a request was refused, or why a sign-in step failed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[doc = $doc])* $variant,)* }

        impl Reason {
            /// Every code there is, for the docs and for tests.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable code.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// What the code means, in English, for the docs.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),*).trim_ascii(),)* }
            }
        }
    };
}

reasons! {
    /// Nobody is signed in.
    NoSession = "no_session",
    /// Signed in, but no second factor was shown in this session.
    SecondFactorRequired = "second_factor_required",
    /// The second factor that was shown is weaker than the rule asks.
    FactorTooWeak = "factor_too_weak",
    /// The second factor was shown longer ago than the rule allows.
    FactorTooOld = "factor_too_old",
    /// No allow rule matches.
    NoRule = "no_rule",
    /// No route has this host and port.
    UnknownHost = "unknown_host",
    /// A rule matches, but not at this hour.
    OutsideHours = "outside_hours",
    /// A rule matches, but not from this network.
    NetworkNotAllowed = "network_not_allowed",
    /// More requests than the rate allows.
    RateLimited = "rate_limited",
    /// An admin locked the person out.
    LockedOut = "locked_out",
    /// The request has no single reading.
    MalformedRequest = "malformed_request",
    /// The connection was opened for another host.
    Misdirected = "misdirected",
    /// The request came from another site's page.
    CrossSite = "cross_site",
    /// A page of the gateway was asked for in a way it does not answer.
    MethodNotAllowed = "method_not_allowed",
    /// The gateway has no page of that name.
    NoSuchPage = "no_such_page",
    /// The body is larger than the page or the route takes.
    BodyTooLarge = "body_too_large",
    /// The body came too slowly.
    BodyTooSlow = "body_too_slow",
    /// The request has come through this gateway before.
    LoopDetected = "loop_detected",
    /// The sign-in was not begun in this browser, is too old, or was finished already.
    SignInNotBegun = "sign_in_not_begun",
    /// The IdP refused the sign-in.
    IdpRefused = "idp_refused",
    /// What the IdP answered did not pass the checks.
    IdpAnswerInvalid = "idp_answer_invalid",
    /// A place to return to was not one of the gateway's.
    RedirectRejected = "redirect_rejected",
    /// The second factor's code was wrong.
    FactorCodeWrong = "factor_code_wrong",
    /// The second factor's code was used before.
    FactorCodeReused = "factor_code_reused",
    /// The second factor's code belongs to another time: the phone's clock is wrong.
    FactorClockSkewed = "factor_clock_skewed",
    /// Too many wrong codes: wait before the next.
    FactorDelayed = "factor_delayed",
    /// The invitation is unknown, expired or used.
    InviteInvalid = "invite_invalid",
    /// A logout token did not pass the checks.
    LogoutTokenInvalid = "logout_token_invalid",
    /// Records cannot be kept, so nothing may pass.
    AuditUnavailable = "audit_unavailable",
    /// The store did not answer.
    StoreUnavailable = "store_unavailable",
    /// The IdP did not answer.
    IdpUnavailable = "idp_unavailable",
    /// No connection to the upstream.
    UpstreamUnreachable = "upstream_unreachable",
    /// The upstream did not answer in time.
    UpstreamTimedOut = "upstream_timed_out",
    /// What the upstream answered is not HTTP.
    UpstreamAnswerInvalid = "upstream_answer_invalid",
    /// The gateway has as many connections or requests as it may.
    Overloaded = "overloaded",
    /// A defect of the gateway.
    InternalError = "internal_error",
}

impl Reason {
    /// Reads a code.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.code() == code)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        Self::parse(&code).ok_or_else(|| serde::de::Error::custom("not a reason code"))
    }
}

#[cfg(test)]
#[path = "reason_tests.rs"]
mod tests;
