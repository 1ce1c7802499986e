//! What a receiver is told: facts for a program, and words for the person concerned, in English and German.
//!
//! The person's name and e-mail address are in it, so that the receiver can ask them, unless records seal them: then the
//! pseudonym is, and the address's network. No secret ever is.

use kernel::detection::{DetectionRule, FindingFacts};
use kernel::identity::Email;
use kernel::route::RouteId;
use serde_json::json;

/// The body of the webhook.
#[must_use]
pub fn message(finding: &FindingFacts, gateway: &str) -> String {
    let actor = finding.actor.as_ref();
    let words = words(finding, gateway);
    json!({
        "event": "finding",
        "detection": finding.rule.name(),
        "gateway": gateway,
        "time": finding.last.to_string(),
        "first": finding.first.to_string(),
        "events": finding.events,
        "subject": actor.map(|actor| actor.subject.to_string()),
        "email": actor.and_then(|actor| actor.email.as_ref()).map(Email::as_str),
        "session": actor.and_then(|actor| actor.session).map(|id| id.to_string()),
        "route": finding.route.as_ref().map(RouteId::as_str),
        "address": finding.address.map(|address| address.to_string()),
        "other_address": finding.other_address.map(|address| address.to_string()),
        "requests": finding.requests.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "text": { "en": words.0, "de": words.1 },
    })
    .to_string()
}

/// English and German.
pub(super) fn words(finding: &FindingFacts, gateway: &str) -> (String, String) {
    let from = finding.address.map(|address| address.to_string());
    let (from_en, from_de) = from.map_or_else(Default::default, |from| (format!(" from {from}"), format!(" von {from}")));
    let route = finding.route.as_ref().map_or("?", RouteId::as_str);
    let time = finding.last;
    let (en, de) = match finding.rule {
        DetectionRule::SignInSpray => {
            ("Sign-ins of many people failed".to_owned(), "Anmeldungen vieler Personen sind fehlgeschlagen".to_owned())
        }
        DetectionRule::FactorBruteForce => (
            "Somebody signed in with your password and entered several wrong second factors".to_owned(),
            "Jemand hat sich mit Ihrem Passwort angemeldet und mehrmals einen falschen zweiten Faktor eingegeben".to_owned(),
        ),
        DetectionRule::SessionTwoNetworks => (
            "Your session was used from two different networks by turns".to_owned(),
            "Ihre Sitzung wurde abwechselnd aus zwei verschiedenen Netzen benutzt".to_owned(),
        ),
        DetectionRule::PathScan => (
            "Many different addresses were asked for and denied".to_owned(),
            "Viele verschiedene Adressen wurden aufgerufen und verweigert".to_owned(),
        ),
        DetectionRule::FirstRestrictedAccess => (
            format!("The restricted system {route} was opened in your name for the first time"),
            format!("Das besonders geschützte System {route} wurde erstmals in Ihrem Namen geöffnet"),
        ),
        DetectionRule::NewFactorRestrictedAccess => (
            format!("The restricted system {route} was opened in your name soon after a new second factor was set up"),
            format!(
                "Das besonders geschützte System {route} wurde in Ihrem Namen geöffnet, kurz nachdem ein neuer zweiter Faktor eingerichtet wurde"
            ),
        ),
    };
    let (ask_en, ask_de) = match finding.actor {
        Some(_) => (
            " Was this you? If not, tell your security team at once.",
            " Waren Sie das? Wenn nicht, melden Sie es sofort Ihrem Sicherheitsteam.",
        ),
        None => ("", ""),
    };
    (format!("{gateway}, {time}: {en}{from_en}.{ask_en}"), format!("{gateway}, {time}: {de}{from_de}.{ask_de}"))
}
