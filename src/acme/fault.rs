//! Why a certificate was not had.

use std::time::Duration;

use thiserror::Error;

use crate::listener::{CertificateFault, ChallengeFault};
use crate::store::StoreFault;

#[derive(Debug, Error)]
pub enum AcmeFault {
    #[error("{}", said(.0))]
    Authority(#[from] instant_acme::Error),
    #[error("the authority does not find that the host is ours: {0}")]
    Refused(String),
    #[error("the authority offers no {0} challenge for the host")]
    NoChallenge(&'static str),
    #[error("the order was not done within {0:?}")]
    TimedOut(Duration),
    #[error("{0}")]
    Challenge(#[from] ChallengeFault),
    #[error("what was issued is not used: {0}")]
    Issued(#[from] CertificateFault),
    #[error("what was issued is not for the host")]
    OtherHost,
    #[error("a key or a request could not be made: {0}")]
    Request(#[from] rcgen::Error),
    #[error("the account that is kept cannot be read")]
    Account,
    #[error("TLS towards the authority cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    #[error("{0}")]
    Store(#[from] StoreFault),
    #[error("the issue could not be recorded: {0}")]
    Record(kernel::Failure),
}

impl AcmeFault {
    /// The authority does not know the account, or knows it as one that was ended: another is to be made.
    pub fn is_account_unknown(&self) -> bool {
        let Self::Authority(instant_acme::Error::Api(problem)) = self else { return false };
        problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:accountDoesNotExist")
    }
}

/// What an authority says is a stranger's text: of a bounded length, and without control characters.
fn said(error: &instant_acme::Error) -> String {
    plain(&match error {
        instant_acme::Error::Api(problem) => problem_text(problem),
        other => chain(other),
    })
}

pub fn problem_text(problem: &instant_acme::Problem) -> String {
    let mut text = problem.detail.clone().unwrap_or_else(|| "no detail".to_owned());
    if let Some(kind) = &problem.r#type {
        text.push_str(&format!(" ({})", kind.trim_start_matches("urn:ietf:params:acme:error:")));
    }
    for more in &problem.subproblems {
        text.push_str(&format!("; {more}"));
    }
    plain(&text)
}

fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(REASON_CHARACTERS_MAX).collect()
}

/// An error and its causes: hyper's own text says only that something failed.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = inner.source();
    }
    text
}

const REASON_CHARACTERS_MAX: usize = 500;
