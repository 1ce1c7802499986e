//! The commands about configuration, from their arguments to what they print.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::fs;
use std::path::Path;

use clap::Parser;
use kernel::time::Timestamp;
use zeroize::Zeroizing;

use super::*;
use crate::config::Colour;

fn randomness() -> init::Randomness {
    init::Randomness { master: Zeroizing::new([1; 32]), audit: Zeroizing::new([2; 32]) }
}

fn initialise(dir: &Path, answers: &str) -> (u8, String) {
    answered_by(init::Answerer::Script, dir, answers)
}

fn answered_by(answerer: init::Answerer, dir: &Path, answers: &str) -> (u8, String) {
    let mut said = Vec::new();
    let talk = init::Talk { input: &mut answers.as_bytes(), ask: &mut said, answerer };
    let code = init::run(dir, &randomness(), talk, Colour::Plain).unwrap();
    (code, String::from_utf8(said).unwrap())
}

const ANSWERS: &str =
    "https://gate.example.com:8443\nhttps://idp.example.com\nme \"quoted\"\nhunter2-canary\nwiki http://10.0.0.5:3000\nsre, dev\n";

/// What a command answers with the configuration that `init` writes.
fn answer(run: impl Fn(&Path, &mut Vec<u8>, &mut Vec<u8>) -> u8) -> (u8, String, String) {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(initialise(dir.path(), ANSWERS).0, exit::DONE);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = run(dir.path(), &mut out, &mut err);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: explain::Args,
}

fn explained(words: &[&str]) -> (u8, String, String) {
    let args = Line::try_parse_from(["explain"].iter().chain(words)).unwrap().args;
    let now = Timestamp::from_seconds(1_800_000_000);
    answer(|dir, out, err| explain::run(dir, &args, now, Colour::Plain, out, err).unwrap())
}

#[test]
fn what_init_writes_passes_check() {
    let (code, out, err) = answer(|dir, out, err| check::run(dir, Colour::Plain, out, err).unwrap());
    assert_eq!((code, err.as_str()), (exit::DONE, ""), "{out}");
    assert!(out.starts_with("OK: 1 route, 1 rule, 1 test passed") && out.contains("public rules: none"), "{out}");
}

#[test]
fn init_asks_again_after_an_answer_that_cannot_be_used() {
    let dir = tempfile::tempdir().unwrap();
    let (code, said) = answered_by(init::Answerer::Person, dir.path(), &format!("http://gate.example.com\n{ANSWERS}"));
    assert_eq!(code, exit::DONE, "{said}");
    assert!(said.contains("did you mean `https://gate.example.com`?") && said.contains("SELF-SIGNED"), "{said}");
    assert!(!said.contains("hunter2-canary"));
}

#[test]
fn init_overwrites_nothing_and_writes_nothing_on_half_the_answers() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(initialise(dir.path(), "https://gate.example.com\n").0, exit::NO);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    assert_eq!(initialise(dir.path(), ANSWERS).0, exit::DONE);
    let key = fs::read(dir.path().join("keys/master.key")).unwrap();
    assert_eq!(initialise(dir.path(), ANSWERS).0, exit::NO);
    assert_eq!(fs::read(dir.path().join("keys/master.key")).unwrap(), key);
}

#[test]
fn what_init_writes_of_secrets_and_records_is_the_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(initialise(dir.path(), ANSWERS).0, exit::DONE);
    for name in ["keys", "state", "audit", "keys/master.key", "keys/audit.key", "keys/oidc.secret", "certs/gate.key"] {
        let mode = fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name} has mode {mode:o}");
    }
}

#[test]
fn a_broken_configuration_exits_78_with_nothing_on_stdout() {
    let dir = tempfile::tempdir().unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    assert_eq!(check::run(dir.path(), Colour::Plain, &mut out, &mut err).unwrap(), exit::BAD_CONFIGURATION);
    assert!(out.is_empty() && String::from_utf8(err).unwrap().contains("portcullis init"));
}

#[test]
fn explain_states_decision_grounds_and_reason() {
    let url = "https://wiki.example.com:8443/page?x=1";
    let (code, out, _) = explained(&["GET", url, "--as", "ana@example.com", "--groups", "dev,other"]);
    assert_eq!(code, exit::DONE, "{out}");
    assert!(out.contains("allow by rule `use`"), "{out}");
    let cases: [(&[&str], &str); 6] = [
        (&["GET", url, "--as", "ana@example.com", "--groups", "other"], "deny (no_rule)"),
        (&["GET", url, "--as", "ana@example.com", "--groups", "dev", "--factor-age", "13h"], "challenge (factor_too_old)"),
        (&["GET", url, "--as", "ana@example.com", "--groups", "dev", "--factor", "none"], "challenge (second_factor_required)"),
        (&["GET", url], "challenge (no_session)"),
        (&["GET", "https://other.example.com/"], "deny (unknown_host)"),
        (&["get", url, "--as", "ana@example.com", "--groups", "dev"], "deny (malformed_request)"),
    ];
    for (words, decision) in cases {
        let (code, out, _) = explained(words);
        assert_eq!(code, exit::NO, "{out}");
        assert!(out.contains(decision), "{decision}: {out}");
    }
    assert_eq!(explained(&["GET", "/page"]).0, exit::USAGE);
    let (code, _, err) = explained(&["GET", "https://wiki.example.com:8443/page#part"]);
    assert!(code == exit::USAGE && err.contains("never leaves the browser"), "{err}");
}

#[test]
fn answers_in_json_can_be_read() {
    let (code, out, _) = explained(&["POST", "https://wiki.example.com:8443/", "--sub", "x", "--output", "json"]);
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &value["decision"], &value["reason"]), (exit::NO, &"deny".into(), &"no_rule".into()));
    let args = routes::Args { output: Output::Json };
    let (_, out, _) = answer(|dir, out, err| routes::run(dir, &args, Colour::Plain, out, err).unwrap());
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["routes"][0]["from"], "https://wiki.example.com:8443");
}

#[test]
fn config_show_hides_secrets() {
    let args = config::Args { verb: config::Verb::Show };
    let (code, out, _) = answer(|dir, out, err| config::run(dir, &args, Colour::Plain, out, err).unwrap());
    assert_eq!(code, exit::DONE);
    assert!(out.contains("***") && !out.contains("hunter2-canary"), "{out}");
}

#[test]
fn init_from_a_file_ends_at_the_first_answer_that_cannot_be_used() {
    let slip = ANSWERS.replace("https://idp.example.com", "idp.example.com");
    let dir = tempfile::tempdir().unwrap();
    let (code, said) = initialise(dir.path(), &slip);
    assert_eq!(code, exit::NO);
    assert!(said.contains("2/6") && !said.contains("3/6") && said.ends_with("without six good answers nothing was written\n"), "{said}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
