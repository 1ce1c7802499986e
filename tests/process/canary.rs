//! AU-02 with the binary: it logs everything, and no secret.

use std::fs;
use std::path::{Path, PathBuf};

use super::support::{Upstream, World};

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).filter(|path| path.is_file()).collect()
}

#[test]
fn a_binary_at_trace_writes_no_query_and_no_key_anywhere() {
    let upstream = Upstream::start();
    let world = World::with_upstream(&upstream.url);
    let mut secrets: Vec<String> = (0..6).map(|number| format!("canary-{number}-{}", std::process::id())).collect();
    for name in ["keys/master.key", "keys/audit.key", "keys/oidc.secret"] {
        let path = world.config().join(name);
        secrets.extend(fs::read_to_string(&path).ok().map(|text| text.trim().to_owned()));
    }
    secrets.push("secret-of-the-client".to_owned());
    assert!(secrets.len() >= 9, "{:?}", files(&world.config()));
    let mut command = world.command(&["serve"]);
    command.env("PORTCULLIS_LOG", "trace");
    let gateway = world.serve_as(command);
    let statuses = [
        world.get(&format!("/p/ok?token={}", secrets[0])).0,
        world.get(&format!("/private?token={}", secrets[1])).0,
        world.get(&format!("//double?token={}", secrets[2])).0,
        world.get(&format!("/.portcullis/finish?code={}", secrets[3])).0,
    ];
    assert_eq!(statuses[0], 200);
    assert!(statuses[1..].iter().all(|status| (400..500).contains(status)), "{statuses:?}");
    assert!(upstream.seen.lock().unwrap().contains(&format!("/p/ok?token={}", secrets[0])), "the upstream gets the query");
    let metrics = world.operations("/metrics").unwrap().1;
    assert!(gateway.stop().success());
    assert!(world.errors().contains("stopping"), "the log was captured");
    let mut places: Vec<(String, Vec<u8>)> = vec![("/metrics".to_owned(), metrics.into_bytes())];
    let written = [world.dir.path().join("serve.err"), world.dir.path().join("serve.out")];
    let kept = [world.config().join("state"), world.audit()].into_iter().flat_map(|folder| files(&folder));
    places.extend(written.into_iter().chain(kept).map(|path| (path.display().to_string(), fs::read(path).unwrap())));
    for (place, content) in places {
        for secret in &secrets {
            let held = content.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!held, "{place} holds {secret}");
        }
    }
}
