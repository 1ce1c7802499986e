//! Under a service manager: sockets that it gives, and what it is told.

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::support::{BINARY, Upstream, World, code, text, wait};

/// A gateway that is given two sockets, as descriptors 3 and 4. The shell becomes the gateway, so that its number is known.
fn given(world: &World, sockets: [&TcpListener; 2], names: &str, pid: &str) -> Command {
    let mut command = Command::new("sh");
    let script =
        format!("exec 3<&0 4>&1 </dev/null >&2; LISTEN_PID={pid} LISTEN_FDS=2 LISTEN_FDNAMES={names} exec \"$0\" --config \"$1\" serve");
    command.args(["-c", &script, BINARY]).arg(world.config()).env_remove("PORTCULLIS_LOG");
    let [first, second] = sockets.map(|socket| OwnedFd::from(socket.try_clone().unwrap()));
    command.stdin(Stdio::from(first)).stdout(Stdio::from(second));
    command
}

fn both(world: &World) -> [TcpListener; 2] {
    [world.port, world.operations].map(|port| TcpListener::bind(("127.0.0.1", port)).unwrap())
}

#[test]
fn sockets_of_the_service_manager_are_taken_by_name_or_by_address() {
    for names in ["https:operations", "portcullis.socket:portcullis.socket"] {
        let upstream = Upstream::start();
        let world = World::with_upstream(&upstream.url);
        let [https, operations] = both(&world);
        let gateway = world.serve_with(given(&world, [&https, &operations], names, "$$"));
        assert_eq!(world.get("/p/x").0, 200);
        // Theirs is gone, the gateway's is open; a gateway that opened its own would not have started.
        drop((https, operations));
        assert_eq!(world.get("/p/y").0, 200);
        assert!(gateway.stop().success());
    }
}

#[test]
fn sockets_that_are_not_what_the_configuration_says_are_a_clear_error() {
    let check = |names: &str, expected: &[&str]| {
        let world = World::new();
        let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
        let operations = TcpListener::bind(("127.0.0.1", world.operations)).unwrap();
        let output = given(&world, [&elsewhere, &operations], names, "$$").stderr(Stdio::piped()).output().unwrap();
        let told = text(&output.stderr);
        assert_eq!(code(&output), 1, "{told}");
        let at = elsewhere.local_addr().unwrap().to_string();
        assert!(told.contains(&at) && expected.iter().all(|words| told.contains(words)), "{told}");
    };
    check("https:operations", &["https", "make both the same"]);
    check("smtp:operations", &["is for no listener", "smtp", "https, operations"]);
}

#[test]
fn sockets_of_another_process_are_not_touched() {
    let world = World::new();
    let [https, operations] = both(&world);
    let output = given(&world, [&https, &operations], "https:operations", "1").stderr(Stdio::piped()).output().unwrap();
    let told = text(&output.stderr);
    // So it opens its own, and finds the address taken.
    assert!(code(&output) == 1 && told.contains("bind") && told.contains(&world.port.to_string()), "{told}");
}

#[test]
fn the_service_manager_is_told_of_start_reload_life_hand_over_and_stop() {
    let upstream = Upstream::start();
    let world = World::with_upstream(&upstream.url);
    let path = world.dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut signs_of_life = 0;
    let mut next = || loop {
        let mut buffer = [0; 4_096];
        let length = manager.recv(&mut buffer).unwrap();
        let words = text(&buffer[..length]);
        if words != "WATCHDOG=1" {
            return words;
        }
        signs_of_life += 1;
    };
    let mut command = world.command(&["serve"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "100000");
    let gateway = world.serve_as(command);
    assert_eq!(next(), "READY=1\nSTATUS=serving");
    gateway.signal(Signal::HUP);
    let words = next();
    let micros = words.split("MONOTONIC_USEC=").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    assert!(words.starts_with("RELOADING=1\n") && micros.parse::<u64>().unwrap() > 0, "{words}");
    assert_eq!(next(), "READY=1\nSTATUS=serving");
    gateway.signal(Signal::USR2);
    assert!(next().starts_with("RELOADING=1\n"));
    let words = next();
    let process: i32 = words.strip_prefix("MAINPID=").unwrap().parse().unwrap();
    assert_eq!(next(), "READY=1\nSTATUS=serving", "from the new process");
    assert_eq!(world.get("/p/x").0, 200);
    kill_process(Pid::from_raw(process).unwrap(), Signal::TERM).unwrap();
    assert!(next().starts_with("STOPPING=1\n"));
    assert!(signs_of_life > 0);
    wait("the last gateway has gone", || !world.config().join("state/control.sock").exists());
    drop(gateway);
    assert!(fs::read_to_string(world.first_segment()).unwrap().contains("handed over to process"));
}
