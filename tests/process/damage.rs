//! Files that somebody takes away from a running gateway: nothing opens, nothing is lost, whoever looks is told, and what is put
//! back is taken again without a restart.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use super::support::{Upstream, World, wait};

/// What `/readyz` says, where it holds a text.
fn ready(world: &World, status: u16, text: &str) -> bool {
    world.operations("/readyz").is_some_and(|(found, said)| found == status && said.contains(text))
}

/// Harms a running gateway. While it is harmed it says `told` and is not ready; once mended it is whole again by itself.
fn check(harm: impl FnOnce(&World), told: &str, mend: impl FnOnce(&World)) {
    let upstream = Upstream::start();
    let world = World::with_upstream(&upstream.url);
    let gateway = world.serve();
    assert_eq!(world.get("/p/before").0, 200);
    harm(&world);
    wait("it says what is wrong", || {
        // Records are looked after when there are some.
        let _refused = world.connect().and_then(|mut client| client.get("/p/meanwhile"));
        ready(&world, 503, "") && world.errors().contains(told)
    });
    mend(&world);
    wait("it is ready again", || ready(&world, 200, "configuration: ok"));
    assert_eq!(world.get("/p/after").0, 200);
    world.check(&["user", "list"], 0);
    assert!(gateway.stop().success());
    world.check(&["audit", "verify"], 0);
}

fn away(world: &World, name: &str) -> (PathBuf, PathBuf) {
    (world.config().join(name), world.dir.path().join("away"))
}

fn take(name: &str) -> impl FnOnce(&World) {
    move |world| {
        let (here, there) = away(world, name);
        fs::rename(here, there).unwrap();
    }
}

fn put_back(name: &str) -> impl FnOnce(&World) {
    move |world| {
        let (here, there) = away(world, name);
        fs::rename(there, here).unwrap();
    }
}

#[test]
fn a_folder_of_records_that_was_away_is_gone_on_with() {
    check(take("audit"), "records cannot be kept", put_back("audit"));
}

#[test]
fn a_folder_of_state_that_was_away_is_gone_on_with() {
    check(take("state"), "records cannot be kept", put_back("state"));
}

#[test]
fn a_database_that_is_not_there_is_told_and_nothing_is_written_to_one_that_was_removed() {
    let upstream = Upstream::start();
    let world = World::with_upstream(&upstream.url);
    let gateway = world.serve();
    let name = "state/portcullis.db";
    for another in [false, true] {
        take(name)(&world);
        let (here, _) = away(&world, name);
        if another {
            fs::create_dir(&here).unwrap();
        }
        wait("it is told", || ready(&world, 503, "was removed or replaced"));
        let (_, said) = world.check(&["user", "invite", "ana@example.com"], 1);
        assert!(said.contains("portcullis.db") && said.contains("put it back, or restart"), "{said}");
        if another {
            fs::remove_dir(&here).unwrap();
        }
        put_back(name)(&world);
        wait("it is ready again", || ready(&world, 200, "store: ok"));
        world.check(&["user", "invite", "ana@example.com"], 0);
    }
    assert!(gateway.stop().success());
}

/// The process that took the place of the first one.
fn successor(world: &World) -> Option<i32> {
    let errors = world.errors();
    let line = errors.lines().find(|line| line.contains("the new process serves"))?;
    line.split("process.id=").nth(1)?.split_whitespace().next()?.parse().ok()
}

#[test]
fn a_control_socket_that_was_removed_is_opened_again_and_handed_over() {
    let upstream = Upstream::start();
    let world = World::with_upstream(&upstream.url);
    let gateway = world.serve();
    fs::remove_file(world.config().join("state/control.sock")).unwrap();
    wait("it is there again", || world.run(&["user", "list"]).status.success());
    assert!(world.errors().contains("the control socket was removed, and is there again"), "{}", world.errors());
    gateway.signal(Signal::USR2);
    wait("the old one says who", || successor(&world).is_some());
    world.check(&["user", "list"], 0);
    let next = rustix::process::Pid::from_raw(successor(&world).unwrap()).unwrap();
    rustix::process::kill_process(next, Signal::TERM).unwrap();
    wait("the last gateway has gone", || !world.config().join("state/control.sock").exists());
    drop(gateway);
}

#[test]
fn a_flood_of_reloads_is_borne() {
    let upstream = Upstream::start();
    let world = World::with_upstream(&upstream.url);
    let gateway = world.serve();
    for number in 0..2_000 {
        gateway.signal(Signal::HUP);
        if number % 100 == 0 {
            assert_eq!(world.get(&format!("/p/{number}")).0, 200);
        }
    }
    wait("it is ready", || ready(&world, 200, "configuration: ok"));
    world.edit("routes/app.toml", |route| route.replace("/p/**", "/q/**"));
    gateway.signal(Signal::HUP);
    wait("the last change is taken", || world.connect().and_then(|mut client| client.get("/q/x")).is_ok_and(|(status, _)| status == 200));
    assert_eq!(world.get("/p/x").0, 401);
    assert!(gateway.stop().success());
    world.check(&["audit", "verify"], 0);
}

#[test]
fn a_reload_that_is_asked_for_while_another_one_runs_waits_for_it() {
    let upstream = Upstream::start();
    let world = World::with_upstream(&upstream.url);
    let gateway = world.serve();
    let taken = || world.errors().matches("configuration reloaded").count();
    let mut number = 0;
    wait("two hundred reloads", || {
        number += 1;
        // Both the file and the signal ask for one.
        world.edit("routes/app.toml", |route| format!("{}# change {number}\n", route.split("# change").next().unwrap_or_default()));
        gateway.signal(Signal::HUP);
        taken() >= 200
    });
    assert!(gateway.stop().success());
}

/// Every file of a folder, copied to another.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[test]
fn a_log_that_was_put_back_to_yesterday_does_not_verify_beside_what_the_gateway_remembers() {
    let world = World::new();
    assert!(world.serve().stop().success());
    let yesterday = world.dir.path().join("yesterday");
    copy(&world.audit(), &yesterday);
    let gateway = world.serve();
    assert_eq!(world.get("/p/today").0, 502);
    // While it runs too: what it remembers stands in the log by then.
    world.check(&["audit", "verify"], 0);
    assert!(gateway.stop().success());
    let (told, _) = world.check(&["audit", "verify"], 0);
    assert!(!told.contains("was not looked at"), "{told}");

    fs::remove_dir_all(world.audit()).unwrap();
    copy(&yesterday, &world.audit());
    let (told, _) = world.check(&["audit", "verify"], 1);
    assert!(told.contains("the log was rolled back"), "{told}");
    // An older checkpoint that is given, as every day, takes nothing away from that.
    let kept = yesterday.join("checkpoint");
    let (told, _) = world.check(&["audit", "verify", "--checkpoint", kept.to_str().unwrap(), "--checkpoint", kept.to_str().unwrap()], 1);
    assert!(told.contains("the log was rolled back"), "{told}");
    // The folder alone has nothing to be compared with.
    world.check(&["audit", "verify", "--dir", world.audit().to_str().unwrap()], 0);

    let head = world.config().join("state/audit.head");
    fs::write(&head, "epoch 1\nnonsense\n").unwrap();
    let (told, _) = world.check(&["audit", "verify"], 1);
    assert!(told.contains("the head that the gateway remembers") && told.contains("--checkpoint"), "{told}");
    fs::remove_file(&head).unwrap();
    let (told, _) = world.check(&["audit", "verify"], 0);
    assert!(told.contains("was not looked at by what the gateway remembers"), "{told}");
}
