//! How strong and how fresh a person's second factor is, and what a rule asks of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Kinds of second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FactorKind {
    Totp,
    Webauthn,
    RecoveryCode,
}

/// How strong a factor is, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strength {
    Any,
    PhishingResistant,
}

/// A second factor that was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FactorProof {
    pub kind: FactorKind,
    pub at: Timestamp,
}

/// The second factors shown in a session: the latest proof of each kind. Empty means the first factor alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Assurance(Vec<FactorProof>);

/// What is asked of a second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    pub strength: Strength,
    /// Greatest age of the proof.
    pub max_age: Duration,
}

/// How an assurance stands to a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sufficiency {
    Met(FactorProof),
    /// No second factor was shown at all.
    Missing,
    TooWeak,
    TooOld,
}

impl FactorKind {
    #[must_use]
    pub const fn strength(self) -> Strength {
        match self {
            Self::Totp | Self::RecoveryCode => Strength::Any,
            Self::Webauthn => Strength::PhishingResistant,
        }
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Totp => "totp",
            Self::Webauthn => "webauthn",
            Self::RecoveryCode => "recovery-code",
        }
    }
}

impl Strength {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::PhishingResistant => "phishing-resistant",
        }
    }
}

impl Requirement {
    /// The stricter of two, in each respect.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { strength: self.strength.max(other.strength), max_age: self.max_age.min(other.max_age) }
    }
}

impl Assurance {
    /// This assurance after another proof.
    #[must_use]
    pub fn with(&self, proof: FactorProof) -> Self {
        let mut proofs: Vec<_> = self.0.iter().copied().filter(|known| known.kind != proof.kind).collect();
        proofs.push(proof);
        Self(proofs)
    }

    /// Whether a second factor was shown in the session at all.
    #[must_use]
    pub fn has_any(&self) -> bool {
        !self.0.is_empty()
    }

    /// The proofs that were shown at `start` or later.
    #[must_use]
    pub fn shown_since(&self, start: Timestamp) -> Self {
        Self(self.0.iter().copied().filter(|proof| proof.at >= start).collect())
    }

    /// The latest proof of any kind.
    #[must_use]
    pub fn latest(&self) -> Option<FactorProof> {
        self.0.iter().copied().max_by_key(|proof| proof.at)
    }

    /// Compares what was shown with what is asked. A proof from the future (the clock was set back) has no age that is
    /// known, so it does not count.
    #[must_use]
    pub fn meets(&self, requirement: Requirement, now: Timestamp) -> Sufficiency {
        if self.0.is_empty() {
            return Sufficiency::Missing;
        }
        let strong = |proof: &&FactorProof| proof.kind.strength() >= requirement.strength;
        let Some(newest) = self.0.iter().filter(strong).max_by_key(|proof| proof.at) else {
            return Sufficiency::TooWeak;
        };
        let from_the_future = newest.at > now.plus(CLOCK_STEP_MAX);
        if from_the_future || now.since(newest.at) > requirement.max_age { Sufficiency::TooOld } else { Sufficiency::Met(*newest) }
    }
}

/// How far a clock may be set back by time synchronisation before a proof's age counts as unknown.
const CLOCK_STEP_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
#[path = "assurance_tests.rs"]
mod tests;
