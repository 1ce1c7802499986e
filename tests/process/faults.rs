//! A disk that fills up and a database that is locked: a clear answer meanwhile, and recovery without a restart.

use std::fs;
use std::io::Write;
use std::process::Command;

use rusqlite::Connection;

use super::support::{BINARY, Upstream, World, records_in, wait};

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

/// A file system of its own for the log, as `docs/operating.md` advises, of which a stranger's file takes all that is left.
#[test]
fn a_file_system_that_fills_up_says_so_in_a_last_record_and_goes_on_when_there_is_room() {
    if !may_mount() {
        println!("this machine lets nobody but root mount: the same is tested on a disk of the test's own making in the audit room");
        return;
    }
    let upstream = Upstream::start();
    let world = World::with_upstream(&upstream.url);
    let mut command = Command::new("unshare");
    let script = "mount -t tmpfs -o size=4m,mode=700 tmpfs \"$1/audit\" && exec \"$0\" --config \"$1\" serve";
    command.args(["--map-root-user", "--mount", "sh", "-c", script, BINARY]).arg(world.config());
    let gateway = world.serve_as(command);
    // The mount is seen by the gateway alone, and by whoever looks with its eyes.
    let audit = format!("/proc/{}/root{}", gateway.pid(), world.audit().display());
    let filler = format!("{audit}/filler");
    assert_eq!(world.get("/p/before").0, 200);
    let mut file = fs::File::create(&filler).unwrap();
    // Ends when there is no room for another byte.
    while file.write_all(&[7; 4_096]).is_ok() {}
    let mut refused = 0;
    wait("the room that was taken is used up", || {
        refused += 1;
        world.get(&format!("/p/filling-{refused}")).0 == 503
    });
    assert!(world.get("/p/full").1.contains("audit_unavailable"));
    let events = || {
        let records = records_in(&audit);
        records.iter().filter_map(|record| record["unmapped"]["portcullis"]["event"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(events().last().unwrap(), "log_full");
    assert!(world.operations("/metrics").unwrap().1.contains("portcullis_audit_reserve 0"));

    fs::remove_file(&filler).unwrap();
    drop(file);
    wait("requests pass again", || world.get("/p/after").0 == 200);
    assert!(events().contains(&"log_recovered".to_owned()));
    assert!(world.operations("/metrics").unwrap().1.contains("portcullis_audit_reserve 1"));
    world.check(&["audit", "verify", "--dir", &audit], 0);
    let kept: Vec<_> =
        records_in(&audit).iter().filter_map(|record| record["unmapped"]["portcullis"]["raw_target"].as_str().map(str::to_owned)).collect();
    for path in upstream.seen.lock().unwrap().iter() {
        assert!(kept.contains(path), "{path} was forwarded without a record");
    }
    assert!(gateway.stop().success());
}

fn may_mount() -> bool {
    let tried = Command::new("unshare").args(["--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
    tried.is_ok_and(|output| output.status.success())
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
