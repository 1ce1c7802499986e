//! Questions to the policy that no request asked: `[[test]]` and `explain`. The answer comes from the very comparison that
//! judges requests.

use std::sync::Arc;

use http::{Method, Version};
use kernel::identity::assurance::{Assurance, FactorProof};
use kernel::identity::{Identity, Subject};
use kernel::policy::decide::{Person, Presented};
use kernel::policy::explain::{Explanation, Verdict, explain};
use kernel::policy::rule::{AudienceOutcome, FactorOutcome, Outcome, PathOutcome, Rule};
use kernel::policy::{Challenge, Reason};
use kernel::request::client::ClientAddress;
use kernel::request::host::Authority;
use kernel::request::path::CanonicalPath;
use kernel::request::{Caller, CanonicalRequest, RequestId, Upgrade};
use kernel::route::Route;
use kernel::session::SessionId;
use kernel::time::Timestamp;

use super::route_file::{Expectation, RouteTest, ShownFactor, TestPerson};
use super::values::write_duration;

/// A request that might be made.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    pub person: Option<&'a TestPerson>,
    pub method: Method,
    pub path: CanonicalPath,
    pub client: Option<ClientAddress>,
    pub at: Timestamp,
}

/// How one criterion of a rule stands to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ground {
    pub criterion: &'static str,
    pub holds: bool,
    pub words: String,
}

/// Why a test failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub message: String,
    pub notes: Vec<String>,
}

/// The decision about a request that might be made, with its grounds.
#[must_use]
pub fn ask(route: &Arc<Route>, question: &Question<'_>) -> Explanation {
    let request = request(&route.from, question);
    let Some(person) = question.person else {
        return explain(route, &request, &Presented::Nobody, question.at);
    };
    let subject = Subject { issuer: "https://somewhere.invalid".to_owned(), sub: person.sub.to_string() };
    let identity = Arc::new(Identity { subject, email: person.email.clone(), name: None, groups: person.groups.clone() });
    let assurance = match person.factor {
        ShownFactor::None => Assurance::default(),
        ShownFactor::Shown { kind, age } => Assurance::default().with(FactorProof { kind, at: question.at.minus(age) }),
    };
    let presented = Presented::Person(Person { session: SessionId::new([0; 16]), identity: &identity, assurance: &assurance });
    explain(route, &request, &presented, question.at)
}

fn request(authority: &Authority, question: &Question<'_>) -> CanonicalRequest {
    let unspecified = ClientAddress::new(std::net::Ipv4Addr::UNSPECIFIED.into());
    CanonicalRequest {
        id: RequestId::new([0; 16]),
        received: question.at,
        method: question.method.clone(),
        authority: authority.clone(),
        port: authority.port,
        path: question.path.clone(),
        query: None,
        client: question.client,
        peer: question.client.unwrap_or(unspecified),
        version: Version::HTTP_11,
        caller: Caller::Navigation,
        upgrade: Upgrade::None,
        has_second_spellings: false,
        raw_target: question.path.as_str().into(),
    }
}

/// What matched and what did not, criterion by criterion.
#[must_use]
pub fn grounds(rule: &Rule, outcome: &Outcome) -> Vec<Ground> {
    let ground = |criterion, holds, words: &str| Ground { criterion, holds, words: words.to_owned() };
    let (path, path_words) = match outcome.path {
        PathOutcome::Matches => (true, "is listed"),
        PathOutcome::NotListed => (false, "is not listed"),
        PathOutcome::Excepted => (false, "is excepted"),
    };
    let (who, who_words) = match outcome.audience {
        AudienceOutcome::Public => (true, "everybody"),
        AudienceOutcome::Member => (true, "is named"),
        AudienceOutcome::NotMember => (false, "is not named"),
        AudienceOutcome::NobodySignedIn => (false, "nobody is signed in"),
    };
    let listed = |holds: bool| if holds { "is listed" } else { "is not listed" };
    vec![
        ground("method", outcome.method, listed(outcome.method)),
        ground("path", path, path_words),
        ground("from", outcome.network, if outcome.network { "is allowed" } else { "is not in the networks" }),
        ground("hours", outcome.hours, if outcome.hours { "is inside" } else { "is outside" }),
        ground("who", who, who_words),
        factor_ground(rule, outcome.factor),
    ]
}

fn factor_ground(rule: &Rule, outcome: FactorOutcome) -> Ground {
    let wanted = format!("{} within {}", rule.requirement.strength.as_str(), write_duration(rule.requirement.max_age));
    let (holds, words) = match outcome {
        FactorOutcome::NotAsked => (true, "not asked".to_owned()),
        FactorOutcome::Met(proof) => (true, format!("{} meets {wanted}", proof.kind.as_str())),
        FactorOutcome::Missing => (false, format!("none shown, needs {wanted}")),
        FactorOutcome::TooWeak => (false, format!("too weak, needs {wanted}")),
        FactorOutcome::TooOld => (false, format!("too old, needs {wanted}")),
    };
    Ground { criterion: "factor", holds, words }
}

/// One line for a rule: its grounds.
pub(super) fn line(rule: &Rule, outcome: &Outcome) -> String {
    let mark = |ground: Ground| format!("{} {}{}", ground.criterion, if ground.holds { "" } else { "NOT: " }, ground.words);
    let grounds: Vec<String> = grounds(rule, outcome).into_iter().map(mark).collect();
    format!("rule `{}`: {}", rule.id, grounds.join("; "))
}

/// The decision in words: `deny (no_rule)`, `allow by rule read`.
#[must_use]
pub fn verdict_words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Allow(rule) => format!("allow by rule `{rule}`"),
        Verdict::Challenge(challenge) => format!("challenge ({})", challenge.reason()),
        Verdict::Deny(reason) => format!("deny ({reason})"),
    }
}

/// Runs a `[[test]]`.
pub(super) fn run(route: &Arc<Route>, test: &RouteTest) -> Result<(), Failed> {
    let Ok(path) = &test.path else {
        // Such a request is refused before any route is asked.
        return judge(
            test,
            &Verdict::Deny(Reason::MalformedRequest),
            vec!["the path has two readings, so the request is refused".to_owned()],
        );
    };
    let at = test.at.unwrap_or(MOMENT);
    let question = Question { person: test.person.as_ref(), method: test.method.clone(), path: path.clone(), client: test.client, at };
    let explanation = ask(route, &question);
    let by_rule = route.rules.iter().zip(&explanation.rules);
    let mut notes: Vec<String> = by_rule.map(|(rule, (_, outcome))| line(rule, outcome)).collect();
    if notes.is_empty() {
        notes.push("the route has no rules".to_owned());
    }
    judge(test, &explanation.verdict, notes)
}

fn judge(test: &RouteTest, verdict: &Verdict, notes: Vec<String>) -> Result<(), Failed> {
    let decided = match verdict {
        Verdict::Allow(_) => Expectation::Allow,
        Verdict::Challenge(Challenge::SignIn | Challenge::SecondFactor | Challenge::StepUp { .. }) => Expectation::Challenge,
        Verdict::Deny(_) => Expectation::Deny,
    };
    let reason_fits = test.reason.is_none_or(|reason| verdict.reason() == Some(reason));
    if decided == test.expect && reason_fits {
        return Ok(());
    }
    let expected = match test.reason {
        Some(reason) => format!("{} ({reason})", test.expect.word()),
        None => test.expect.word().to_owned(),
    };
    Err(Failed { message: format!("this test fails: expected {expected}, decided {}", verdict_words(verdict)), notes })
}

/// The moment of a test that names none: a Wednesday at noon, UTC. The same at every check, so that a configuration that
/// was taken by day is not refused by night.
const MOMENT: Timestamp = Timestamp::from_seconds(1_735_732_800);
