//! Warnings: what is not wrong, and yet seldom meant.

use kernel::identity::assurance::{FactorKind, Requirement, Strength};
use kernel::policy::rule::{Audience, Methods, Networks, User};
use kernel::request::host::Host;
use kernel::route::matcher::PathPattern;

use super::read_main::Main;
use super::read_route::Draft;
use super::reader::Findings;
use super::report::{Problem, Severity};
use super::route_file::AllowRule;
use super::sections::EmailDomains;
use super::source::Place;

pub(super) fn lint(main: &Main, drafts: &[Draft], findings: &Findings) {
    let warn = |place: &Place, key: &str, message: String, mend: &str| {
        let mend = mend.to_owned();
        findings.note(Problem {
            severity: Severity::Warning,
            place: place.clone(),
            key: key.to_owned(),
            message,
            mend,
            notes: Vec::new(),
            other: None,
        });
    };
    for (place, port) in idle_listeners(main, drafts) {
        warn(
            &place,
            "listener",
            format!("no route and not the gateway itself uses port {port}, so it is not listened on"),
            "remove the listener, or correct its port",
        );
    }
    for draft in drafts {
        let Some(route) = &draft.route else { continue };
        if let (true, Some((_, place))) = (route.rules.is_empty(), &draft.name) {
            warn(place, "allow", format!("the route `{}` has no rules, so nobody gets in", route.name), "add an [[allow]] rule");
        }
        if let (Some((authority, place)), false) = (&draft.from, is_certified(main, &route.from.host)) {
            warn(place, "from", format!("no certificate is for {}", authority.host), "add a [[tls.certificate]] for this host");
        }
        for (rule, place) in route.rules.iter().zip(&draft.rules) {
            if is_too_wide(rule) {
                warn(
                    place,
                    "allow",
                    format!("the rule `{}` opens every path with every method to {}", rule.id, audience_words(rule)),
                    "name the paths and methods that are needed",
                );
            }
            if nobody_can_satisfy(rule) {
                let mend = "this version offers totp alone: nobody passes until webauthn is there, or until `strength` is \"any\"";
                warn(place, "allow", format!("the rule `{}` asks for a phishing-resistant factor", rule.id), mend);
            }
            if names_unbounded_email(main, rule) {
                let mend = "give each [[idp]] its `email_domains`, or name groups";
                warn(
                    place,
                    "allow.who",
                    format!("the rule `{}` names an e-mail address, and several providers may vouch for it", rule.id),
                    mend,
                );
            }
        }
        for (shadowed, by) in shadowed(&route.rules) {
            if let (Some(place), Some(rule), Some(wider)) = (draft.rules.get(shadowed), route.rules.get(shadowed), route.rules.get(by)) {
                let message = format!("the rule `{}` opens nothing that the rule `{}` does not open too", rule.id, wider.id);
                warn(place, "allow", message, "remove one of the two, or narrow the wider one");
            }
        }
    }
    if let (Some((authority, place)), false) = (&main.url, main.url.as_ref().is_none_or(|(url, _)| is_certified(main, &url.host))) {
        warn(place, "gateway.url", format!("no certificate is for {}", authority.host), "add a [[tls.certificate]] for this host");
    }
}

fn idle_listeners(main: &Main, drafts: &[Draft]) -> Vec<(Place, u16)> {
    let froms = drafts.iter().filter_map(|draft| draft.from.as_ref());
    let ports: Vec<u16> = main.url.iter().chain(froms).map(|(authority, _)| authority.port).collect();
    let listeners = main.listeners.iter().flatten();
    let idle = listeners.filter(|(listener, _)| listener.public_port != 0 && !ports.contains(&listener.public_port));
    idle.map(|(listener, place)| (place.clone(), listener.public_port)).collect()
}

/// Whether a certificate names the host. With a mistake in the certificates nothing is said.
fn is_certified(main: &Main, host: &Host) -> bool {
    let Some(tls) = &main.tls else { return true };
    if tls.acme.as_ref().is_some_and(|acme| acme.covers(host)) {
        return true;
    }
    tls.certificates.iter().any(|certificate| certificate.chain.first().is_none_or(|der| certifies(der, host.as_str())))
}

pub(super) fn certifies(der: &[u8], host: &str) -> bool {
    use x509_parser::extensions::GeneralName;
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(der) else { return false };
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return false };
    names.value.general_names.iter().any(|name| match name {
        GeneralName::DNSName(pattern) => names_host(&pattern.to_ascii_lowercase(), host),
        // Addresses are compared by the client alone; one that is listed is taken to be meant.
        GeneralName::IPAddress(_) => host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok(),
        _ => false,
    })
}

/// RFC 6125 §6.4.3: a star is the whole of the first label.
fn names_host(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(parent) => host.split_once('.').is_some_and(|(_, rest)| rest == parent),
        None => pattern == host,
    }
}

fn is_too_wide(rule: &AllowRule) -> bool {
    let everybody = matches!(rule.audience, Audience::Public | Audience::AnyoneSignedIn);
    everybody && rule.methods == Methods::All && rule.except.is_empty() && rule.paths.iter().any(PathPattern::matches_everything)
}

fn audience_words(rule: &AllowRule) -> &'static str {
    match rule.audience {
        Audience::Public => "everybody, signed in or not",
        Audience::AnyoneSignedIn => "everybody who is signed in",
        Audience::Listed { .. } => "those it names",
    }
}

fn nobody_can_satisfy(rule: &AllowRule) -> bool {
    let offered = FactorKind::Totp.strength();
    rule.audience != Audience::Public && rule.requirement.strength == Strength::PhishingResistant && offered < Strength::PhishingResistant
}

fn names_unbounded_email(main: &Main, rule: &AllowRule) -> bool {
    let Some(idps) = &main.idps else { return false };
    let unbounded = idps.len() > 1 && idps.iter().any(|idp| idp.email_domains == EmailDomains::Any);
    let by_email = matches!(&rule.audience, Audience::Listed { users, .. } if users.iter().any(|user| matches!(user, User::Email(_))));
    unbounded && by_email
}

/// Pairs of a rule and one that opens all of it too. Of two equal rules the later one is named.
fn shadowed(rules: &[AllowRule]) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let wider =
            rules.iter().enumerate().find(|(other, wide)| *other != index && covers(wide, rule) && (*other < index || !covers(rule, wide)));
        pairs.extend(wider.map(|(other, _)| (index, other)));
    }
    pairs
}

/// Whether every request that `narrow` allows is allowed by `wide` too. May say no for a pair that does.
fn covers(wide: &AllowRule, narrow: &AllowRule) -> bool {
    let path = |pattern: &PathPattern| wide.paths.iter().any(|wider| wider.covers(pattern));
    let excepted = |pattern: &PathPattern| narrow.except.iter().any(|other| other.covers(pattern));
    covers_methods(&wide.methods, &narrow.methods)
        && covers_networks(&wide.networks, &narrow.networks)
        && covers_audience(&wide.audience, &narrow.audience)
        && wide.hours.is_none()
        && asks_no_more(wide, narrow)
        && narrow.paths.iter().all(path)
        && wide.except.iter().all(excepted)
}

fn asks_no_more(wide: &AllowRule, narrow: &AllowRule) -> bool {
    let stricter = |one: Requirement, other: Requirement| one.strength > other.strength || one.max_age < other.max_age;
    wide.audience == Audience::Public || !stricter(wide.requirement, narrow.requirement)
}

fn covers_methods(wide: &Methods, narrow: &Methods) -> bool {
    match (wide, narrow) {
        (Methods::All, _) => true,
        (Methods::Listed(_), Methods::All) => false,
        (Methods::Listed(wide), Methods::Listed(narrow)) => narrow.iter().all(|method| wide.contains(method)),
    }
}

fn covers_networks(wide: &Networks, narrow: &Networks) -> bool {
    match (wide, narrow) {
        (Networks::Any, _) => true,
        (Networks::Listed(_), Networks::Any) => false,
        (Networks::Listed(wide), Networks::Listed(narrow)) => narrow.iter().all(|inner| wide.iter().any(|outer| outer.contains(inner))),
    }
}

fn covers_audience(wide: &Audience, narrow: &Audience) -> bool {
    match (wide, narrow) {
        (Audience::Public, _) => true,
        (_, Audience::Public) => false,
        (Audience::AnyoneSignedIn, _) => true,
        (Audience::Listed { .. }, Audience::AnyoneSignedIn) => false,
        (Audience::Listed { groups, users }, Audience::Listed { groups: fewer_groups, users: fewer_users }) => {
            fewer_groups.iter().all(|group| groups.contains(group)) && fewer_users.iter().all(|user| users.contains(user))
        }
    }
}
