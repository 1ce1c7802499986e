//! A disk that fills up and a database that is locked: a clear answer meanwhile, and recovery without a restart.

use std::fs;
use std::process::Command;

use rusqlite::Connection;

use super::support::{BINARY, Upstream, World, wait};

#[test]
fn a_full_disk_refuses_requests_and_room_lets_them_pass_again() {
    let upstream = Upstream::start();
    let world = World::with_upstream(&upstream.url);
    // A file that may not grow refuses writes like a full disk. The signal that comes with it is ignored, as on a disk.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" --config \"$1\" serve", BINARY]).arg(world.config());
    let gateway = world.serve_as(command);
    assert_eq!(world.get("/p/before").0, 200);
    let size = fs::metadata(world.first_segment()).unwrap().len();
    gateway.limit_files(Some(size + 5_000));
    let mut refused = 0;
    wait("the disk is full", || {
        refused += 1;
        world.get(&format!("/p/filling-{refused}")).0 == 503
    });
    let (status, problem) = world.get("/p/full");
    assert_eq!(status, 503);
    assert!(problem.contains("audit_unavailable"), "{problem}");
    assert!(!upstream.seen.lock().unwrap().contains("/p/full"), "an unrecorded request does not pass");
    let (status, ready) = world.operations("/readyz").unwrap();
    assert_eq!((status, ready.contains("audit: records cannot be kept")), (503, true), "{ready}");
    let (out, err) = world.check(&["user", "invite", "ana@example.com"], 1);
    assert!(out.is_empty() && err.contains("nothing was changed"), "{err}");

    gateway.limit_files(None);
    wait("requests pass again", || world.get("/p/after").0 == 200);
    assert_eq!(world.operations("/readyz").unwrap().0, 200);
    assert!(gateway.stop().success());
    world.check(&["audit", "verify"], 0);
    let log = fs::read_to_string(world.first_segment()).unwrap();
    for path in upstream.seen.lock().unwrap().iter() {
        assert!(log.contains(&format!("\"{path}\"")), "{path} was forwarded without a record");
    }
}

#[test]
fn a_locked_database_refuses_what_needs_it_and_nothing_else() {
    let upstream = Upstream::start();
    let world = World::with_upstream(&upstream.url);
    let gateway = world.serve();
    let database = Connection::open(world.config().join("state/portcullis.db")).unwrap();
    database.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let (out, err) = world.check(&["user", "invite", "ana@example.com"], 1);
    assert!(out.is_empty() && err.contains("store"), "{err}");
    assert_eq!(world.get("/p/public").0, 200, "what needs no database goes on");
    database.execute_batch("ROLLBACK").unwrap();
    world.check(&["user", "invite", "ana@example.com"], 0);
    assert_eq!(world.operations("/readyz").unwrap().0, 200);
    assert!(gateway.stop().success());
    world.check(&["audit", "verify"], 0);
}
