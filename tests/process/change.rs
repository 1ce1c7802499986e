//! Change under load: reloads, certificate rotations and in-place upgrades, during which no request fails.
//!
//! `PORTCULLIS_RELOADS`, `PORTCULLIS_ROTATIONS` and `PORTCULLIS_UPGRADES` set how many.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use rcgen::{CertificateParams, KeyPair};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::support::{BINARY, Client, Gateway, Upstream, World, wait};

/// A gateway that took another one's place. Killed when dropped.
struct Successor(u32);

impl Successor {
    fn pid(&self) -> Pid {
        Pid::from_raw(self.0.cast_signed()).unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Nobody here is its parent: it has ended when the system says so.
    fn has_ended(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        test_kill_process(self.pid()).is_err() || stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'))
    }

    fn stop(self) {
        self.signal(Signal::TERM);
        wait("the last gateway ends", || self.has_ended());
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        let _it_may_have_ended = kill_process(self.pid(), Signal::KILL);
    }
}

fn times(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |times| times.parse().unwrap())
}

/// Clients that ask without a pause while `change` runs: half of them keep their connections for as long as they may, half
/// open one for each request. Returns how many requests were answered; every one that was not is a finding.
fn under_load(world: &World, change: impl FnOnce()) -> u64 {
    let (stop, answered, failed) = (AtomicBool::new(false), AtomicU64::new(0), Mutex::new(Vec::new()));
    let ask = |kept: &mut Option<Client>, path: &str| -> io::Result<()> {
        let mut client = match kept.take() {
            Some(client) => client,
            None => world.connect()?,
        };
        let (status, body) = client.get(path)?;
        if status != 200 {
            return Err(io::Error::other(format!("{status} {body}")));
        }
        *kept = (!client.closes).then_some(client);
        Ok(())
    };
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (stop, answered, failed, ask) = (&stop, &answered, &failed, &ask);
            scope.spawn(move || {
                let mut kept = None;
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) {
                    count += 1;
                    match ask(&mut kept, &format!("/p/{number}-{count}")) {
                        Ok(()) => drop(answered.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => failed.lock().unwrap().push(error.to_string()),
                    }
                    if number % 2 == 1 {
                        kept = None;
                    }
                }
            });
        }
        let stop_at_the_end = Stop(&stop);
        wait("there is load", || answered.load(Ordering::Relaxed) > 20);
        change();
        let before = answered.load(Ordering::Relaxed);
        wait("there is load still", || answered.load(Ordering::Relaxed) > before + 20 || !failed.lock().unwrap().is_empty());
        drop(stop_at_the_end);
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} requests failed: {:?}\n{}", failed.len(), &failed[..failed.len().min(5)], world.errors());
    answered.into_inner()
}

/// Ends the load, even where the change panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

const CLIENTS: u64 = 4;

/// The process that the latest line of this kind names.
fn named_process(world: &World, line: &str, count: usize) -> Option<u32> {
    let errors = world.errors();
    let lines: Vec<_> = errors.lines().filter(|text| text.contains(line)).collect();
    let number = |text: &str| text.split("process.id=").nth(1)?.split_whitespace().next()?.parse().ok();
    lines.get(count).and_then(|text| number(text))
}

const SERVES: &str = "the new process serves";
const NO_OTHER: &str = "no other process took this one's place";

#[test]
fn no_request_fails_while_gateways_replace_each_other() {
    let upstream = Upstream::start();
    let world = World::with_upstream(&upstream.url);
    let first = world.serve();
    let mut successors: Vec<Successor> = Vec::new();
    let upgrades = times("PORTCULLIS_UPGRADES", 2);
    let answered = under_load(&world, || {
        for upgrade in 0..upgrades {
            match successors.last() {
                None => first.signal(Signal::USR2),
                Some(latest) => latest.signal(Signal::USR2),
            }
            let mut next = None;
            wait("another process serves", || {
                let count = usize::try_from(upgrade).unwrap();
                next = named_process(&world, SERVES, count);
                assert!(!world.errors().contains(NO_OTHER), "{}", world.errors());
                next.is_some()
            });
            successors.push(Successor(next.unwrap()));
            wait("the process before it ends", || {
                u64::try_from(world.errors().matches("the process before this one has ended").count()).unwrap() > upgrade
            });
        }
    });
    println!("{upgrades} upgrades, {answered} requests answered");
    first.ended();
    assert_eq!(world.operations("/readyz").unwrap().0, 200);
    assert!(world.check(&["user", "list"], 0).0.contains("E-MAIL"), "the control socket was handed over");
    successors.pop().unwrap().stop();
    world.check(&["audit", "verify"], 0);
    assert_each_request_has_its_two_records(&world, &upstream);
}

/// Every request that the upstream saw was decided, and its end is on record.
fn assert_each_request_has_its_two_records(world: &World, upstream: &Upstream) {
    let records = world.records();
    let own = |event: &'static str| records.iter().map(|record| &record["unmapped"]["portcullis"]).filter(move |own| own["event"] == event);
    let decided: std::collections::HashMap<_, _> =
        own("decision").map(|own| (own["raw_target"].as_str().unwrap(), own["request_id"].as_str().unwrap())).collect();
    let ended: std::collections::HashSet<_> = own("exchange_end").map(|own| own["request_id"].as_str().unwrap()).collect();
    for path in upstream.seen.lock().unwrap().iter() {
        let id = decided.get(path.as_str()).unwrap_or_else(|| panic!("{path} was forwarded without a record"));
        assert!(ended.contains(id), "{path} has no end on record");
    }
    for (index, record) in records.iter().enumerate() {
        assert_eq!(record["metadata"]["sequence"], index, "the sequence has no gap");
    }
}

#[test]
fn what_began_in_one_process_ends_there_and_is_recorded_by_the_next() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let world = World::with_upstream(&format!("http://{}", listener.local_addr().unwrap()));
    let gateway = world.serve();
    thread::scope(|scope| {
        let client = scope.spawn(|| world.get("/p/slow"));
        let (mut held, _) = listener.accept().unwrap();
        let mut asked = [0; 16];
        std::io::Read::read_exact(&mut held, &mut asked).unwrap();
        gateway.signal(Signal::USR2);
        wait("another process serves", || named_process(&world, SERVES, 0).is_some());
        let next = Successor(named_process(&world, SERVES, 0).unwrap());
        std::io::Write::write_all(&mut held, b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate").unwrap();
        assert_eq!(client.join().unwrap(), (200, "late".to_owned()));
        gateway.ended();
        next.stop();
    });
    let records = world.records();
    let ends = |record: &&serde_json::Value| record["unmapped"]["portcullis"]["event"] == "exchange_end";
    assert_eq!(records.iter().filter(ends).count(), 1, "the end of the exchange is on record");
    let text = fs::read_to_string(world.first_segment()).unwrap();
    assert!(text.contains("in place of process") && text.contains("handed over to process"), "start and stop tell of it");
    world.check(&["audit", "verify"], 0);
}

#[test]
fn a_gateway_whose_successor_does_not_start_goes_on_unharmed() {
    let upstream = Upstream::start();
    let world = World::with_upstream(&upstream.url);
    let program = world.dir.path().join("portcullis");
    if fs::hard_link(BINARY, &program).is_err() {
        fs::copy(BINARY, &program).unwrap();
    }
    // A program of another kind takes more than the gateway may reach: a shell.
    world.edit("portcullis.toml", |main| main + "\n[sandbox]\nmode = \"off\"\n");
    let mut command = Command::new(&program);
    command.arg("--config").arg(world.config()).arg("serve").env_remove("PORTCULLIS_LOG").env("TOKIO_WORKER_THREADS", "3");
    let gateway = world.serve_as(command);
    let good = fs::read_to_string(world.config().join("portcullis.toml")).unwrap();
    under_load(&world, || {
        world.edit("portcullis.toml", |main| main + "\n[nonsense]\n");
        gateway.signal(Signal::USR2);
        wait("it says so", || world.errors().contains(NO_OTHER));
        world.edit("portcullis.toml", |_| good.clone());
    });
    // Another program stands in the gateway's place: it says that all is ready, and ends as soon as it is to open the log.
    let script = "#!/bin/sh\nread -r hello\necho '\"prepared\"' >&0\nread -r word\necho \"it was told $word\" >&2\necho \"it has $TOKIO_WORKER_THREADS workers\" >&2\nexit 3\n";
    fs::remove_file(&program).unwrap();
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    under_load(&world, || {
        gateway.signal(Signal::USR2);
        wait("it says so again", || world.errors().matches(NO_OTHER).count() == 2);
    });
    assert!(world.errors().contains("it was told \"log_closed\""), "{}", world.errors());
    // A limit on processors is not to be seen by a process that is confined from its first moment.
    assert!(world.errors().contains("it has 3 workers"), "{}", world.errors());
    assert_eq!(world.get("/p/after").0, 200);
    assert!(gateway.stop().success());
    world.check(&["audit", "verify"], 0);
    assert_each_request_has_its_two_records(&world, &upstream);
}

#[test]
fn no_request_fails_while_configuration_and_certificates_change() {
    let upstream = Upstream::start();
    let world = World::with_upstream(&upstream.url);
    let gateway = world.serve();
    let (reloads, rotations) = (times("PORTCULLIS_RELOADS", 10), times("PORTCULLIS_ROTATIONS", 5));
    let taken = || {
        let metrics = world.operations("/metrics").unwrap().1;
        let line = metrics.lines().find(|line| line.starts_with("portcullis_configuration_reloads_total{result=\"taken\"}"));
        line.and_then(|line| line.rsplit(' ').next()).map_or(0, |count| count.parse::<u64>().unwrap())
    };
    let answered = under_load(&world, || {
        for number in 0..reloads {
            let before = taken();
            world.edit("routes/app.toml", |route| {
                let route = route.split("# change").next().unwrap().to_owned();
                format!("{route}# change\n[[allow]]\nid = \"more\"\npublic = true\nmethods = [\"GET\"]\npaths = [\"/more-{number}/**\"]\n")
            });
            gateway.signal(Signal::HUP);
            wait("the configuration is taken", || taken() > before);
        }
        for number in 0..rotations {
            let before = taken();
            rotate(&world);
            gateway.signal(Signal::HUP);
            // A look between the two renames refuses the pair; the gateway looks again by itself.
            wait("the certificate is taken", || taken() > before);
            assert_eq!(world.get(&format!("/p/rotated-{number}")).0, 200, "the new certificate is shown");
        }
    });
    println!("{reloads} reloads, {rotations} rotations, {answered} requests answered");
    assert!(gateway.stop().success());
    world.check(&["audit", "verify"], 0);
}

/// Puts another certificate in place of the one there is. Clients here read the file before each connection: key and
/// certificate are replaced as one, by a link, as ACME clients and orchestrators do.
fn rotate(world: &World) {
    let certs = world.config().join("certs");
    let key = KeyPair::generate().unwrap();
    let names = ["gate.localhost".to_owned(), "*.localhost".to_owned(), "app.localhost".to_owned()];
    let fresh = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    let old = fs::read_to_string(certs.join("gate.pem")).unwrap();
    // Clients trust both for a moment, because which one is shown changes between their look and their handshake.
    let trusted = world.trusted();
    fs::write(trusted.with_extension("new"), old + &fresh.pem()).unwrap();
    fs::rename(trusted.with_extension("new"), &trusted).unwrap();
    fs::write(certs.join("gate.key.new"), key.serialize_pem()).unwrap();
    fs::set_permissions(certs.join("gate.key.new"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    fs::write(certs.join("gate.pem.new"), fresh.pem()).unwrap();
    fs::rename(certs.join("gate.key.new"), certs.join("gate.key")).unwrap();
    fs::rename(certs.join("gate.pem.new"), certs.join("gate.pem")).unwrap();
}

impl Gateway {
    fn ended(mut self) {
        wait("the process before ends", || self.has_ended());
    }
}
