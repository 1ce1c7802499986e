//! The log is read with the built binary: found, followed, exported and counted, and every reading is on record.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::support::{Upstream, World, code, text};

fn readings(world: &World) -> Vec<serde_json::Value> {
    let mut records = world.records();
    records.retain(|record| record["unmapped"]["portcullis"]["event"] == "read_log");
    records
}

/// A log with a few requests, and the gateway that wrote it stopped.
fn world() -> (Upstream, World) {
    let upstream = Upstream::start();
    let world = World::with_upstream(&upstream.url);
    let gateway = world.serve();
    assert_eq!(world.get("/p/hello").0, 200);
    assert_eq!(world.get("/private").0, 401);
    assert!(gateway.stop().success());
    (upstream, world)
}

#[test]
fn a_reading_is_recorded_whether_a_gateway_runs_or_not() {
    let (_upstream, world) = world();
    let (out, _) = world.check(&["audit", "search", "--decision", "challenge", "--output", "json"], 0);
    assert_eq!(out.lines().count(), 1, "{out}");
    let found: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(found["unmapped"]["portcullis"]["target"], "/private");
    let of_stopped = readings(&world);
    assert_eq!(of_stopped.len(), 1);
    let own = &of_stopped[0]["unmapped"]["portcullis"];
    assert_eq!(
        (own["command"].as_str(), own["filters"].as_str(), own["records"].as_u64()),
        (Some("search"), Some("--decision challenge"), Some(1))
    );
    let gateway = world.serve();
    let id = found["unmapped"]["portcullis"]["request_id"].as_str().unwrap();
    let (out, _) = world.check(&["audit", "search", "--request-id", &id[..8]], 0);
    assert!(out.contains("/private") && out.lines().count() == 1, "{out}");
    world.check(&["audit", "tail"], 0);
    world.check(&["audit", "stats"], 0);
    assert!(gateway.stop().success());
    let commands: Vec<String> = readings(&world).iter().map(|record| record["unmapped"]["portcullis"]["command"].to_string()).collect();
    assert_eq!(commands, ["\"search\"", "\"search\"", "\"tail\"", "\"stats\""]);
    world.check(&["audit", "verify"], 0);
}

#[test]
fn what_cannot_be_recorded_is_not_shown() {
    let (_upstream, world) = world();
    let copy = world.dir.path().join("copy");
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(world.audit()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    let (out, err) = world.check(&["audit", "tail", "--dir", copy.to_str().unwrap()], 2);
    assert!(out.is_empty() && err.contains("cannot be recorded") && err.contains("jq"), "{out}{err}");
    world.check(&["audit", "tail", "--dir", world.audit().to_str().unwrap()], 0);
    // A gateway holds the log, and something else stands where its socket was.
    let gateway = world.serve();
    let other = world.dir.path().join("no-socket");
    fs::write(&other, "").unwrap();
    fs::rename(&other, world.config().join("state/control.sock")).unwrap();
    for command in ["tail", "search", "stats"] {
        let (out, err) = world.check(&["audit", command], 2);
        assert!(out.is_empty() && err.contains("nothing is shown"), "{out}{err}");
    }
    let file = world.dir.path().join("out.jsonl");
    world.check(&["audit", "export", file.to_str().unwrap()], 2);
    let left: Vec<_> = fs::read_dir(world.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("out")), "{left:?}");
    drop(gateway);
}

#[test]
fn an_export_is_whole_private_and_proven_and_overwrites_nothing() {
    let (_upstream, world) = world();
    let file = world.dir.path().join("out.jsonl");
    let name = file.to_str().unwrap();
    world.check(&["audit", "export", name], 0);
    let exported = fs::read_to_string(&file).unwrap();
    let mut segments: Vec<_> = fs::read_dir(world.audit()).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    segments.sort();
    let log: String = segments.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    assert!(!exported.is_empty() && log.starts_with(&exported));
    for path in [name.to_owned(), format!("{name}.proof")] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert!(!fs::exists(format!("{name}.names.jsonl")).unwrap());
    let again = world.run(&["audit", "export", name]);
    assert!(code(&again) != 0 && text(&again.stderr).contains("is there already"), "{}", text(&again.stderr));
    let key = portcullis_verify::note::PublicKey::parse(&fs::read_to_string(world.audit().join("audit.pub")).unwrap()).unwrap();
    let proven = portcullis_verify::export::check(&file, format!("{name}.proof").as_ref(), &key).unwrap();
    assert_eq!(proven.records as usize, exported.lines().count());
    let table = world.dir.path().join("out.csv");
    world.check(&["audit", "export", table.to_str().unwrap(), "--format", "csv"], 0);
    portcullis_verify::export::check(&table, &world.dir.path().join("out.csv.proof"), &key).unwrap();
}

#[test]
fn wrong_conditions_are_told_before_anything_is_read() {
    let (_upstream, world) = world();
    for arguments in [["--reason", "no-rule"], ["--request-id", "12"], ["--since", "yesterday"], ["--decision", "maybe"]] {
        let (_, err) = world.check(&["audit", "search", arguments[0], arguments[1]], 2);
        assert!(err.contains(arguments[0]), "{err}");
    }
    assert!(readings(&world).is_empty());
}
