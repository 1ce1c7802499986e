//! What a running gateway can reach of its machine.

use std::fs;
use std::net::TcpListener;

use rustix::process::Signal;

use super::support::{Upstream, World, wait};

/// Whether the kernel confines as much as it may: else nothing is to be seen.
fn is_confined(world: &World) -> bool {
    let ready = world.operations("/readyz").unwrap().1;
    let line = ready.lines().find(|line| line.starts_with("sandbox: ")).unwrap().to_owned();
    let whole = line == "sandbox: files and ports";
    if !whole {
        println!("this kernel confines less: {line}");
    }
    whole
}

fn refused(world: &World) -> usize {
    world.errors().matches("configuration refused").count()
}

#[test]
fn a_running_gateway_reads_no_file_outside_and_files_inside_as_ever() {
    let upstream = Upstream::start();
    let world = World::with_upstream(&upstream.url);
    let gateway = world.serve();
    if !is_confined(&world) {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    let certs = world.config().join("certs");
    for file in ["gate.pem", "gate.key"] {
        fs::copy(certs.join(file), outside.path().join(file)).unwrap();
        fs::copy(certs.join(file), certs.join(format!("new-{file}"))).unwrap();
    }
    let good = fs::read_to_string(world.config().join("portcullis.toml")).unwrap();
    let with = |folder: &str, prefix: &str| {
        good.replace("certs/gate.pem", &format!("{folder}/{prefix}gate.pem"))
            .replace("certs/gate.key", &format!("{folder}/{prefix}gate.key"))
    };
    fs::write(world.config().join("portcullis.toml"), with(outside.path().to_str().unwrap(), "")).unwrap();
    gateway.signal(Signal::HUP);
    wait("a certificate outside is refused", || refused(&world) >= 1);
    assert!(world.errors().contains("may not be read by this user"), "{}", world.errors());
    assert_eq!(world.get("/p/x").0, 200);
    // The same files, other names, inside.
    let before = world.errors().matches("configuration reloaded").count();
    fs::write(world.config().join("portcullis.toml"), with("certs", "new-")).unwrap();
    gateway.signal(Signal::HUP);
    wait("a new file inside is taken", || world.errors().matches("configuration reloaded").count() > before);
    assert!(gateway.stop().success());
}

#[test]
fn an_upstream_on_a_port_that_was_not_named_takes_a_restart_or_a_key() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for named in [false, true] {
        let upstream = Upstream::start();
        let world = World::with_upstream(&upstream.url);
        if named {
            world.edit("portcullis.toml", |main| format!("{main}\n[sandbox]\nports = [\"{other}\"]\n"));
        }
        let gateway = world.serve();
        if !is_confined(&world) {
            return;
        }
        world.edit("routes/app.toml", |route| route.replace(&upstream.url, &format!("http://127.0.0.1:{other}")));
        gateway.signal(Signal::HUP);
        if named {
            wait("it is taken", || world.errors().contains("configuration reloaded"));
        } else {
            wait("it is refused", || refused(&world) >= 1);
            assert!(world.errors().contains(&format!("port {other} is beyond what the process may reach")), "{}", world.errors());
            assert_eq!(world.get("/p/x").0, 200, "the old one stays");
        }
        assert!(gateway.stop().success());
    }
}

#[test]
fn a_successor_may_reach_no_more_than_the_process_before_it() {
    let upstream = Upstream::start();
    let world = World::with_upstream(&upstream.url);
    let gateway = world.serve();
    if !is_confined(&world) {
        return;
    }
    let other = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    world.edit("routes/app.toml", |route| route.replace(&upstream.url, &format!("http://127.0.0.1:{other}")));
    gateway.signal(Signal::USR2);
    wait("it is refused", || world.errors().contains("no other process took this one's place"));
    assert!(world.errors().contains(&format!("port {other} is beyond what the process before this one may reach")), "{}", world.errors());
    assert_eq!(world.get("/p/x").0, 200);
    assert!(gateway.stop().success());
}

#[test]
fn a_gateway_leaves_no_core_file() {
    let world = World::new();
    let gateway = world.serve();
    let limits = fs::read_to_string(format!("/proc/{}/limits", gateway.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"]);
    assert!(gateway.stop().success());
}
