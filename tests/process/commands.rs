//! Commands that need no gateway: what they answer, where they answer it, and their exit codes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::support::{BINARY, World, code, fed, text};

/// Runs the binary alone; gives exit code, standard output and standard error.
fn bare(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(BINARY).args(arguments).env_remove("PORTCULLIS_CONFIG").output().unwrap();
    (code(&output), text(&output.stdout), text(&output.stderr))
}

#[test]
fn wrong_usage_is_exit_two_and_writes_nothing_to_standard_output() {
    let cases: &[&[&str]] =
        &[&[], &["nonsense"], &["serve", "--nonsense"], &["explain"], &["session", "revoke"], &["audit"], &["completions", "cobol"]];
    for arguments in cases {
        let (exit, out, err) = bare(arguments);
        assert_eq!((exit, out.as_str()), (2, ""), "{arguments:?}");
        assert!(err.contains("--help"), "{arguments:?}: {err}");
    }
}

#[test]
fn help_and_version_are_answers() {
    let (exit, out, err) = bare(&["--help"]);
    assert_eq!((exit, err.as_str()), (0, ""));
    for command in ["demo", "serve", "init", "check", "explain", "routes", "config", "audit", "user", "session", "key"] {
        assert!(out.contains(&format!("  {command} ")), "{command}");
    }
    assert_eq!(bare(&["--version"]), (0, format!("portcullis {}\n", env!("CARGO_PKG_VERSION")), String::new()));
}

#[test]
fn completions_and_the_manual_page_are_written_to_standard_output() {
    let (exit, out, err) = bare(&["completions", "bash"]);
    assert!(exit == 0 && out.starts_with("_portcullis()") && err.is_empty());
    let (exit, out, err) = bare(&["man"]);
    assert!(exit == 0 && out.contains(".TH portcullis 1") && err.is_empty());
}

#[test]
fn init_writes_a_configuration_that_passes_check_and_keeps_secrets_to_its_owner() {
    let world = World::new();
    let (out, err) = world.check(&["check"], 0);
    assert!(out.starts_with("OK: 1 route, 2 rules, 1 test passed"), "{out}");
    assert!(out.contains("app/open: GET /p/** on https://app.localhost"), "the public rule is listed: {out}");
    assert!(!err.contains("error"), "{err}");
    let mode = |name: &str| fs::metadata(world.config().join(name)).unwrap().permissions().mode() & 0o777;
    for folder in ["keys", "state", "audit"] {
        assert_eq!(mode(folder), 0o700, "{folder}");
    }
    for file in ["keys/master.key", "keys/audit.key", "keys/oidc.secret", "certs/gate.key"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
}

#[test]
fn init_overwrites_nothing_and_writes_nothing_when_the_answers_end_early() {
    let world = World::new();
    let before = fs::read(world.config().join("keys/master.key")).unwrap();
    let again = world.init("http://127.0.0.1:9");
    assert_eq!((code(&again), text(&again.stdout).as_str()), (1, ""));
    assert_eq!(fs::read(world.config().join("keys/master.key")).unwrap(), before);
    let elsewhere = world.dir.path().join("other");
    let mut command = Command::new(BINARY);
    command.arg("--config").arg(&elsewhere).arg("init");
    assert_eq!(code(&fed(command, "https://gate.example.com\n")), 1);
    assert!(!elsewhere.exists());
}

#[test]
fn check_tells_every_mistake_once_with_its_place() {
    let world = World::new();
    world.edit("portcullis.toml", |main| main.replace("[audit]", "[audit]\ndurabilty = \"synced\"") + "\n[sesion]\nidle = 1\n");
    world
        .edit("routes/app.toml", |route| route.replace("class = \"internal\"", "class = \"interal\"").replace("\"no_rule\"", "\"no_rul\""));
    let (out, err) = world.check(&["check"], 78);
    assert_eq!(out, "");
    for (mistake, place) in
        [("durabilty", "portcullis.toml:"), ("sesion", "portcullis.toml:"), ("interal", "app.toml:"), ("no_rul", "app.toml:")]
    {
        let headings = err.lines().filter(|line| line.starts_with("error") && line.contains(&format!("`{mistake}`"))).count();
        let quoted = err.lines().filter(|line| line.starts_with("error") && line.contains(&format!("\"{mistake}\""))).count();
        assert_eq!(headings + quoted, 1, "{mistake} is told once:\n{err}");
        assert!(err.lines().any(|line| line.trim_start().starts_with("-->") && line.contains(place)), "{place}\n{err}");
    }
    assert!(err.contains("the configuration is refused: 4 errors"), "{err}");
    assert!(err.contains("did you mean"), "{err}");
}

#[test]
fn a_failing_test_of_a_route_refuses_the_configuration() {
    let world = World::new();
    world.edit("routes/app.toml", |route| route.replace("request = \"GET /\"", "request = \"GET /p/x\""));
    let (out, err) = world.check(&["check"], 78);
    assert_eq!(out, "");
    assert!(err.contains("1 error"), "{err}");
}

#[test]
fn every_command_that_reads_a_broken_configuration_ends_with_78() {
    let world = World::new();
    world.edit("portcullis.toml", |main| main + "\n[sesion]\n");
    let url = "https://app.localhost/";
    let cases: &[&[&str]] =
        &[&["check"], &["serve"], &["routes"], &["config", "show"], &["explain", "GET", url], &["user", "list"], &["session", "list"]];
    for arguments in cases {
        let (out, err) = world.check(arguments, 78);
        assert!(out.is_empty() && err.contains("sesion"), "{arguments:?}: {out} {err}");
    }
}

#[test]
fn a_key_is_made_for_its_owner_and_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("master.key");
    let arguments = ["key", "generate", file.to_str().unwrap()];
    assert_eq!(bare(&arguments), (0, String::new(), String::new()));
    let key = fs::read_to_string(&file).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(key.trim_end().len(), 44, "base64 of 32 bytes");
    let (exit, out, err) = bare(&arguments);
    assert!(exit == 1 && out.is_empty() && err.contains("master.key"), "{err}");
    assert_eq!(fs::read_to_string(&file).unwrap(), key);
}

#[test]
fn a_key_file_that_others_can_read_is_refused() {
    let world = World::new();
    fs::set_permissions(world.config().join("keys/master.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let (_, err) = world.check(&["serve"], 78);
    assert!(err.contains("master.key"), "{err}");
}

#[test]
fn explain_says_the_decision_and_the_exit_code_repeats_it() {
    let world = World::new();
    let url = |path: &str| format!("https://app.localhost:{}{path}", world.port);
    let ask = |path: &str, more: &[&str], exit: i32| {
        let url = url(path);
        world.check(&[&["explain", "GET", &url], more].concat(), exit).0
    };
    let person = ["--as", "ana@example.com", "--groups", "admins"];
    assert!(ask("/x", &person, 0).contains("decision: allow"));
    assert!(ask("/p/x", &[], 0).contains("decision: allow"));
    assert!(ask("/x", &["--as", "ana@example.com", "--groups", "dev"], 1).contains("no_rule"));
    assert!(ask("/x", &[], 1).contains("no_session"));
    assert!(ask("/x", &[&person[..], &["--factor", "none"]].concat(), 1).contains("second_factor_required"));
    assert!(ask("/a%2fb", &person, 1).contains("malformed_request"));
    assert!(world.check(&["explain", "GET", "https://elsewhere.localhost/"], 1).0.contains("unknown_host"));
    world.check(&["explain", "GET", "ftp://app.localhost/"], 2);
    let json: serde_json::Value = serde_json::from_str(&ask("/x", &["--output", "json"], 1)).unwrap();
    assert_eq!((json["decision"].as_str(), json["reason"].as_str()), (Some("challenge"), Some("no_session")));
}

#[test]
fn machine_readable_answers_parse_and_hide_secrets() {
    let world = World::new();
    let parse = |arguments: &[&str]| -> serde_json::Value {
        let (out, err) = world.check(arguments, 0);
        assert_eq!(err, "", "{arguments:?}");
        serde_json::from_str(&out).unwrap()
    };
    assert_eq!(parse(&["routes", "--output", "json"])["routes"][0]["name"], "app");
    assert!(parse(&["config", "schema"])["properties"]["gateway"].is_object());
    assert_eq!(parse(&["config", "show"])["audit"]["signing_key"], "***");
    let shown = world.check(&["config", "show"], 0).0;
    let key = fs::read_to_string(world.config().join("keys/audit.key")).unwrap();
    assert!(!shown.contains(key.trim()) && !shown.contains("secret-of-the-client"));
}
