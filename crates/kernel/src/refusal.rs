//! Why a request does not pass: their side, our side, or a defect. Each has one status and one reason code.

use std::time::Duration;

use http::StatusCode;
use thiserror::Error;

use crate::policy::{Challenge, Reason};
use crate::request::headers::HeaderFault;
use crate::request::{ReadFault, RequestFault};

/// A request that does not pass.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    #[error(transparent)]
    Rejection(#[from] Rejection),
    #[error(transparent)]
    Failure(#[from] Failure),
}

/// Their side.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    #[error("{0}")]
    Malformed(RequestFault),
    #[error("the connection was opened for another host")]
    Misdirected,
    /// No route; answered as if nobody were signed in, because nobody can be, there.
    #[error("no route has this host and port")]
    UnknownHost,
    #[error("another step is needed: {}", .0.reason())]
    Challenge(Challenge),
    #[error("{0}")]
    Forbidden(Reason),
    #[error("too many requests")]
    Throttled { retry_after: Duration },
    /// A page of the gateway's own does not exist, or not for this method.
    #[error("{0}")]
    NoPage(Reason),
    /// What was sent to a page of the gateway's own cannot be taken.
    #[error("{0}")]
    BadSubmission(Reason),
    #[error("the body is larger than the page or the route takes")]
    TooLarge,
    #[error("the body came too slowly")]
    TooSlow,
    #[error("the request has come through this gateway before")]
    Loop,
}

/// Our side.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Failure {
    #[error("records cannot be kept")]
    Audit,
    #[error("the store did not answer: {0}")]
    Store(String),
    #[error("the IdP did not answer: {0}")]
    Idp(String),
    #[error("no connection to the upstream: {detail}")]
    UpstreamUnreachable { why: Unreachable, detail: String },
    #[error("the upstream did not answer within {0:?}")]
    UpstreamTimedOut(Duration),
    #[error("the upstream's answer is not HTTP: {0}")]
    UpstreamAnswer(String),
    #[error("the gateway is full")]
    Overloaded,
    #[error("a case that cannot happen: {0}")]
    Bug(&'static str),
}

/// Why there was no connection to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// Its name means nothing.
    Name,
    /// Its address is one that no upstream may have.
    AddressRefused,
    /// Nobody answered in time.
    TimedOut,
    /// The connection was refused, or broke before it was used.
    Connection,
    /// It could not be verified, or did not agree to speak as the route says.
    Tls,
}

impl Refusal {
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Rejection(rejection) => rejection.status(),
            Self::Failure(failure) => failure.status(),
        }
    }

    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Rejection(rejection) => rejection.reason(),
            Self::Failure(failure) => failure.reason(),
        }
    }
}

impl Rejection {
    /// The status for a program. A challenge to a browser's navigation is answered by a redirect instead.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(RequestFault::Framing(fault)) => fault.status(),
            Self::Malformed(RequestFault::Header(HeaderFault::Expectation)) => StatusCode::EXPECTATION_FAILED,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::UnknownHost => StatusCode::UNAUTHORIZED,
            Self::Challenge(Challenge::SignIn | Challenge::SecondFactor) => StatusCode::UNAUTHORIZED,
            Self::Challenge(Challenge::StepUp { .. }) => StatusCode::FORBIDDEN,
            Self::Forbidden(Reason::UnknownHost) => StatusCode::NOT_FOUND,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Throttled { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::NoPage(Reason::MethodNotAllowed) => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoPage(_) => StatusCode::NOT_FOUND,
            Self::BadSubmission(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Loop => StatusCode::LOOP_DETECTED,
        }
    }

    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Malformed(_) => Reason::MalformedRequest,
            Self::Misdirected => Reason::Misdirected,
            Self::UnknownHost => Reason::UnknownHost,
            Self::Challenge(challenge) => challenge.reason(),
            Self::Forbidden(reason) | Self::NoPage(reason) | Self::BadSubmission(reason) => *reason,
            Self::Throttled { .. } => Reason::RateLimited,
            Self::TooLarge => Reason::BodyTooLarge,
            Self::TooSlow => Reason::BodyTooSlow,
            Self::Loop => Reason::LoopDetected,
        }
    }
}

impl Failure {
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Audit | Self::Store(_) | Self::Idp(_) | Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::UpstreamTimedOut(_) | Self::UpstreamUnreachable { why: Unreachable::TimedOut, .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::UpstreamUnreachable { .. } | Self::UpstreamAnswer(_) => StatusCode::BAD_GATEWAY,
            Self::Bug(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Audit => Reason::AuditUnavailable,
            Self::Store(_) => Reason::StoreUnavailable,
            Self::Idp(_) => Reason::IdpUnavailable,
            Self::UpstreamTimedOut(_) | Self::UpstreamUnreachable { why: Unreachable::TimedOut, .. } => Reason::UpstreamTimedOut,
            Self::UpstreamUnreachable { .. } => Reason::UpstreamUnreachable,
            Self::UpstreamAnswer(_) => Reason::UpstreamAnswerInvalid,
            Self::Overloaded => Reason::Overloaded,
            Self::Bug(_) => Reason::InternalError,
        }
    }
}

impl From<ReadFault> for Refusal {
    fn from(fault: ReadFault) -> Self {
        match fault {
            ReadFault::Malformed(fault) => Rejection::Malformed(fault).into(),
            ReadFault::Misdirected => Rejection::Misdirected.into(),
        }
    }
}
