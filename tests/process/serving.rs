//! A gateway that starts or refuses to, reloads, answers its operators, and stops; and the log that it leaves.

use std::fs;
use std::net::TcpListener;
use std::thread;

use rustix::process::Signal;

use super::support::{Upstream, World, truncate, wait};

/// Whether the log holds a record of a configuration change with this outcome.
fn configuration_records(world: &World) -> (usize, usize) {
    let changes = |status: u64| {
        let is = |record: &&serde_json::Value| record["class_uid"] == 3004 && record["status_id"] == status;
        world.records().iter().filter(is).count()
    };
    (changes(1), changes(2))
}

#[test]
fn it_serves_records_and_ends_with_exit_zero_and_an_empty_standard_output() {
    let upstream = Upstream::start();
    let world = World::with_upstream(&upstream.url);
    let gateway = world.serve();
    assert_eq!(world.get("/p/hello"), (200, "ok".to_owned()));
    assert_eq!(world.get("/private").0, 401);
    assert_eq!(world.get("/p%2fhello").0, 400);
    assert!(gateway.stop().success());
    assert_eq!(fs::read_to_string(world.dir.path().join("serve.out")).unwrap(), "");
    assert!(!world.config().join("state/control.sock").exists());
    let (out, _) = world.check(&["audit", "tail"], 0);
    assert!(out.contains("/p/hello") && out.contains("/private"), "{out}");
    let (out, _) = world.check(&["audit", "verify", "--output", "json"], 0);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((report["uncovered"].as_u64(), report["findings"].as_array().map(Vec::len)), (Some(0), Some(0)));
    let lifecycle = world.records().iter().filter(|record| record["class_uid"] == 6002).count();
    assert_eq!(lifecycle, 2, "start and stop");
}

#[test]
fn a_stop_as_soon_as_it_answers_is_as_orderly_as_any() {
    let world = World::new();
    for _ in 0..8 {
        assert!(world.serve().stop().success());
    }
    let lifecycle = world.records().iter().filter(|record| record["class_uid"] == 6002).count();
    assert_eq!(lifecycle, 16, "every start and every stop");
    world.check(&["audit", "verify"], 0);
}

#[test]
fn operations_answer_health_and_metrics_and_nothing_else() {
    let world = World::new();
    let _gateway = world.serve();
    assert_eq!(world.operations("/livez"), Some((200, "alive\n".to_owned())));
    let (status, ready) = world.operations("/readyz").unwrap();
    assert!(status == 200 && ["audit: ok\n", "store: ok\n"].iter().all(|line| ready.contains(line)), "{ready}");
    assert_eq!(world.operations("/config").unwrap().0, 404);
    assert_eq!(world.get("/private").0, 401);
    let (status, metrics) = world.operations("/metrics").unwrap();
    assert_eq!(status, 200);
    assert!(metrics.ends_with("# EOF\n"), "OpenMetrics ends with EOF");
    let mut samples = 0;
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("portcullis_"), "{line}");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let family = name.split('{').next().unwrap();
        let known = |suffix: &str| metrics.contains(&format!("# TYPE {} ", family.strip_suffix(suffix).unwrap_or(family)));
        assert!(["", "_total", "_bucket", "_sum", "_count", "_info"].into_iter().any(known), "{line} has a type");
        samples += 1;
    }
    assert!(samples > 5, "{metrics}");
    assert!(!metrics.contains("app.localhost/private"), "no path in a label");
}

#[test]
fn a_taken_port_is_exit_one_and_says_which() {
    let world = World::new();
    let _taken = TcpListener::bind(("127.0.0.1", world.port)).unwrap();
    let (out, err) = world.check(&["serve"], 1);
    assert!(out.is_empty() && err.contains(&world.port.to_string()), "{err}");
    let world = World::new();
    let _taken = TcpListener::bind(("127.0.0.1", world.operations)).unwrap();
    let (_, err) = world.check(&["serve"], 1);
    assert!(err.contains(&world.operations.to_string()), "{err}");
}

#[test]
fn a_second_gateway_on_the_same_folder_is_refused_and_the_first_goes_on() {
    let upstream = Upstream::start();
    let world = World::with_upstream(&upstream.url);
    let gateway = world.serve();
    let main = fs::read_to_string(world.config().join("portcullis.toml")).unwrap();
    let (port, operations) = (super::support::free_port(), super::support::free_port());
    let second = World::new();
    let ports = |text: String| {
        text.replace(&world.port.to_string(), &port.to_string()).replace(&world.operations.to_string(), &operations.to_string())
    };
    let absolute = |text: String, name: &str| text.replace(&format!("\"{name}"), &format!("\"{}/{name}", world.config().display()));
    let other = ["state", "keys/", "certs/", "audit\""].into_iter().fold(ports(main), absolute);
    second.edit("portcullis.toml", |_| other);
    second.edit("routes/app.toml", |route| route.replace(&second.port.to_string(), &port.to_string()));
    let (out, err) = second.check(&["serve"], 1);
    assert!(out.is_empty() && err.contains("another gateway is running"), "{err}");
    assert_eq!(world.get("/p/x").0, 200);
    world.check(&["user", "list"], 0);
    assert!(gateway.stop().success());
    world.check(&["audit", "verify"], 0);
}

#[test]
fn a_tampered_log_is_not_written_on() {
    let world = World::new();
    assert!(world.serve().stop().success());
    let segment = world.first_segment();
    fs::write(&segment, fs::read_to_string(&segment).unwrap().replacen("portcullis", "portcullys", 1)).unwrap();
    let before = fs::read(&segment).unwrap();
    let (_, err) = world.check(&["serve"], 1);
    assert!(err.contains("the audit log"), "{err}");
    assert_eq!(fs::read(&segment).unwrap(), before);
}

#[test]
fn a_bad_configuration_is_refused_on_reload_recorded_and_the_old_one_goes_on() {
    let upstream = Upstream::start();
    let world = World::with_upstream(&upstream.url);
    let gateway = world.serve();
    let good = fs::read_to_string(world.config().join("routes/app.toml")).unwrap();
    world.edit("routes/app.toml", |route| route + "nonsense = 1\n");
    gateway.signal(Signal::HUP);
    wait("the refusal is recorded", || configuration_records(&world).1 >= 1);
    assert_eq!(world.get("/p/x").0, 200);
    world.edit("routes/app.toml", |_| good.replace("/p/**", "/q/**"));
    gateway.signal(Signal::HUP);
    wait("the mended configuration is in force", || world.get("/q/x").0 == 200);
    assert_eq!(world.get("/p/x").0, 401);
    assert!(gateway.stop().success());
    assert!(configuration_records(&world).0 >= 1);
    world.check(&["audit", "verify"], 0);
}

#[test]
fn a_changed_file_is_followed_without_a_signal() {
    let upstream = Upstream::start();
    let world = World::with_upstream(&upstream.url);
    let gateway = world.serve();
    assert_eq!(world.get("/p/x").0, 200);
    let route = world.config().join("routes/app.toml");
    let text = fs::read_to_string(&route).unwrap();
    fs::write(&route, text.replace("/p/**", "/q/**")).unwrap();
    wait("the changed file is in force", || world.get("/q/x").0 == 200);
    // As editors write: a new file put in place of the old.
    let beside = world.config().join("routes/.app.toml.new");
    fs::write(&beside, text.replace("/p/**", "/r/**")).unwrap();
    fs::rename(&beside, &route).unwrap();
    wait("the replaced file is in force", || world.get("/r/x").0 == 200);
    fs::remove_file(&route).unwrap();
    wait("a removed route is gone", || world.get("/r/x").0 != 200);
    assert!(gateway.stop().success());
}

#[test]
fn termination_lets_an_open_request_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let world = World::with_upstream(&format!("http://{}", listener.local_addr().unwrap()));
    let gateway = world.serve();
    thread::scope(|scope| {
        let client = scope.spawn(|| world.get("/p/slow"));
        let (mut held, _) = listener.accept().unwrap();
        // An answer to a request that was not read yet would be an answer to nothing.
        let mut asked = [0; 16];
        std::io::Read::read_exact(&mut held, &mut asked).unwrap();
        assert!(asked.starts_with(b"GET /p/slow"));
        gateway.signal(Signal::TERM);
        // No request is made on what connects meanwhile: this upstream would leave it without an answer.
        wait("new connections are refused", || world.connect().is_err());
        std::io::Write::write_all(&mut held, b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate").unwrap();
        assert_eq!(client.join().unwrap(), (200, "late".to_owned()));
    });
    assert!(gateway.stop().success());
}

#[test]
fn operators_give_orders_to_the_running_gateway() {
    let world = World::new();
    for order in [&["user", "list"][..], &["session", "list"], &["user", "invite", "ana@example.com"]] {
        let (out, err) = world.check(order, 1);
        assert!(out.is_empty() && err.contains("no gateway answers"), "{order:?}: {err}");
    }
    let gateway = world.serve();
    assert!(world.check(&["user", "list"], 0).0.contains("E-MAIL"));
    assert!(world.check(&["session", "list"], 0).0.contains("SESSION"));
    let (code, words) = world.check(&["user", "invite", "ana@example.com"], 0);
    assert!(code.trim().len() > 20 && !words.contains(code.trim()), "the code stands on standard output alone");
    world.check(&["user", "invite", "nobody"], 1);
    for order in [&["user", "show", "eva@example.com"][..], &["user", "lock", "eva@example.com"], &["session", "revoke", "--session", "x"]]
    {
        let (out, err) = world.check(order, 1);
        assert!(out.is_empty() && !err.is_empty(), "{order:?}");
    }
    assert!(world.check(&["session", "revoke", "--all"], 0).0.contains("0 sessions ended"));
    let json = world.check(&["session", "list", "--output", "json"], 0).0;
    serde_json::from_str::<serde_json::Value>(&json).unwrap();
    assert!(gateway.stop().success());
    let code = code.trim();
    assert!(!fs::read_to_string(world.first_segment()).unwrap().contains(code), "a code is not put on record");
    assert!(!world.errors().contains(code));
}

#[test]
fn every_kind_of_tampering_is_told_and_an_intact_log_verifies() {
    let upstream = Upstream::start();
    let world = World::with_upstream(&upstream.url);
    let gateway = world.serve();
    for number in 0..8 {
        assert_eq!(world.get(&format!("/p/{number}")).0, 200);
    }
    assert!(gateway.stop().success());
    world.check(&["audit", "verify"], 0);
    let segment = world.first_segment();
    let intact = fs::read_to_string(&segment).unwrap();
    let lines: Vec<&str> = intact.split_inclusive('\n').collect();
    let swapped = {
        let mut lines = lines.clone();
        lines.swap(3, 4);
        lines.concat()
    };
    let without = |index: usize| [&lines[..index], &lines[index + 1..]].concat().concat();
    let kinds = [
        ("altered", intact.replacen("/p/3", "/p/x", 1)),
        ("deleted", without(3)),
        ("first deleted", without(0)),
        ("duplicated", [&lines[..4], &lines[3..]].concat().concat()),
        ("reordered", swapped),
        ("tail cut", lines[..lines.len() - 1].concat()),
        ("emptied", String::new()),
        ("appended", format!("{intact}{}", lines[2])),
    ];
    for (kind, text) in kinds {
        fs::write(&segment, text).unwrap();
        let (out, _) = world.check(&["audit", "verify"], 1);
        assert!(out.contains("does not verify"), "{kind}: {out}");
    }
    truncate(&segment, 0);
    fs::write(&segment, &intact).unwrap();
    world.check(&["audit", "verify"], 0);
    let stranger = World::new();
    assert!(stranger.serve().stop().success());
    let key = stranger.audit().join("audit.pub");
    world.check(&["audit", "verify", "--public-key", key.to_str().unwrap()], 1);
}
