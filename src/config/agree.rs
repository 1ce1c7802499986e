//! What two places of a configuration must agree on: addresses, names and ports, and the tests of every route.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use super::compile;
use super::read_main::Main;
use super::read_route::Draft;
use super::reader::Findings;
use super::report::{Problem, Severity};
use super::sections::Class;
use super::source::Place;
use super::trial;

pub(super) fn check(main: Option<&Main>, drafts: &[Draft], classes: &BTreeMap<Arc<str>, Class>, findings: &Findings) {
    let names: Vec<_> = drafts.iter().filter_map(|draft| draft.name.as_ref()).collect();
    once("name", "name", &names, findings);
    let gateway = main.and_then(|main| main.url.as_ref());
    let addresses: Vec<_> = gateway.into_iter().chain(drafts.iter().filter_map(|draft| draft.from.as_ref())).collect();
    once("from", "address", &addresses, findings);
    if let Some(main) = main {
        check_ports(main, drafts, findings);
        super::acme::check(main, drafts, findings);
    }
    for draft in drafts {
        run_tests(draft, classes, findings);
    }
}

/// No two may be the same; the first one keeps it.
fn once<T: PartialEq + Display>(key: &str, word: &str, claims: &[&(T, Place)], findings: &Findings) {
    for (index, (claim, place)) in claims.iter().enumerate() {
        let Some((_, first)) = claims.iter().take(index).find(|(earlier, _)| earlier == claim) else { continue };
        let message = format!("the {word} `{claim}` is taken already");
        let mut problem = problem(place, key, message, format!("give it another {word}, or join the two"));
        problem.other = Some((first.clone(), "first used here"));
        findings.note(problem);
    }
}

/// A port that nobody listens on can never be reached.
fn check_ports(main: &Main, drafts: &[Draft], findings: &Findings) {
    // With a mistake in a listener it is not known which ports there are.
    let Some(listeners) = &main.listeners else { return };
    let ports: Vec<u16> = listeners.iter().map(|(listener, _)| listener.public_port).collect();
    // Port 0 is given by the system when the gateway starts, so every port may turn out to be it.
    if ports.contains(&0) {
        return;
    }
    let gateway = main.url.iter().map(|claim| ("gateway.url", claim));
    let routes = drafts.iter().filter_map(|draft| draft.from.as_ref()).map(|claim| ("from", claim));
    for (key, (authority, place)) in gateway.chain(routes) {
        if ports.contains(&authority.port) {
            continue;
        }
        let known: Vec<String> = ports.iter().map(|port| format!("`https://{}:{port}`", authority.host)).collect();
        let mend = format!("add a [[listener]] for port {}, or write {}", authority.port, known.join(" or "));
        findings.note(problem(place, key, format!("no listener has the port {}", authority.port), mend));
    }
}

fn run_tests(draft: &Draft, classes: &BTreeMap<Arc<str>, Class>, findings: &Findings) {
    // What a route with a mistake in it would decide is not known.
    let Some(file) = &draft.route else { return };
    let route = Arc::new(compile::route(file, classes));
    for (test, place) in &draft.tests {
        if let Err(failed) = trial::run(&route, test) {
            let mend = "correct the rules if the test is right, or the test if the rules are".to_owned();
            let mut problem = problem(place, "test", failed.message, mend);
            problem.notes = failed.notes;
            findings.note(problem);
        }
    }
}

fn problem(place: &Place, key: &str, message: String, mend: String) -> Problem {
    Problem { severity: Severity::Error, place: place.clone(), key: key.to_owned(), message, mend, notes: Vec::new(), other: None }
}
