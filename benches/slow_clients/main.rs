//! What slow clients and floods of connections cost those who behave: how many of these are served and how long they wait,
//! and what the gateway holds for each of the others.
//!
//! `cargo bench --bench slow_clients -- [KIND …]`; without a kind, all of them. `CLIENTS` (10,000), `SECONDS` (20) and `ADDRESSES`
//! (100) set how many there are, for how long and from how many addresses of this machine; `GOOD` (200) how many requests a second those who behave make, half
//! of them on connections of their own. Takes `ulimit -n` of more than twice the clients. The figure of the goal: `CLIENTS=10000 SECONDS=600`, every good request
//! answered, their 99 % at most three times what it is without the others, at most 16 KiB for a connection before TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout, reason = "a benchmark")]
#![allow(dead_code, reason = "the tests' helpers do more than is needed here")]

mod good;
#[path = "../data_path/machine.rs"]
mod machine;
mod slow;
#[path = "../../tests/process/support.rs"]
mod support;

use std::time::Duration;

use good::Served;
use machine::{describe, resident_kib};
use slow::{Kind, Slow};
use support::{Upstream, World};

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub clients: usize,
    pub addresses: usize,
    pub span: Duration,
    pub good_a_second: u32,
}

fn number<N: std::str::FromStr>(variable: &str, otherwise: N) -> N
where
    N::Err: std::fmt::Debug,
{
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

fn main() {
    let plan = Plan {
        clients: number("CLIENTS", 10_000),
        addresses: number("ADDRESSES", 100),
        span: Duration::from_secs(number("SECONDS", 20)),
        good_a_second: number("GOOD", 200),
    };
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    describe();
    println!("{} clients from {} addresses for {} s each", plan.clients, plan.addresses, plan.span.as_secs());
    for (name, kind, what) in Kind::ALL {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            println!("\n{name}: {what}");
            measure(plan, *kind);
        }
    }
}

fn measure(plan: Plan, kind: Kind) {
    let upstream = Upstream::start();
    let world = World::with_upstream(&upstream.url);
    world.edit("routes/app.toml", |route| route.replace("methods = [\"GET\"]", "methods = [\"GET\", \"POST\"]"));
    let gateway = world.serve();
    let quiet = good::ask(&world, plan.good_a_second, plan.span.min(QUIET_MAX));
    println!("  alone:      {quiet}");
    let before = resident_kib(gateway.pid());
    let slow = Slow::start(&world, plan, kind);
    let settled = resident_kib(gateway.pid());
    let open = slow.open();
    println!("  {open} open after the first round: {:.1} KiB each", (settled - before) / open.max(1) as f64);
    let most = Watched::begin(gateway.pid());
    let busy = good::ask(&world, plan.good_a_second, plan.span);
    println!("  among them: {busy}");
    let ratio = |of: fn(&Served) -> f64| of(&busy) / of(&quiet);
    println!(
        "  ratio: median {:.2}, 99 % {:.2}; {}",
        ratio(|served| served.percentile(50)),
        ratio(|served| served.percentile(99)),
        slow.told()
    );
    println!("  resident: {:.1} MiB before, {:.1} at most", before / 1024.0, most.end() / 1024.0);
    drop(slow);
    std::thread::sleep(AFTERWARDS.min(plan.span * 3));
    println!("  resident {} s after their end: {:.1} MiB", AFTERWARDS.min(plan.span * 3).as_secs(), resident_kib(gateway.pid()) / 1024.0);
    let metrics = world.operations("/metrics").unwrap().1;
    for line in metrics.lines().filter(|line| line.starts_with("portcullis_connections_total")) {
        println!("  {line}");
    }
    assert!(gateway.stop().success());
}

/// The most memory that a process had.
struct Watched {
    over: std::sync::Arc<std::sync::atomic::AtomicBool>,
    thread: std::thread::JoinHandle<f64>,
}

impl Watched {
    fn begin(pid: u32) -> Self {
        let over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let seen = std::sync::Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut most: f64 = 0.0;
            while !seen.load(std::sync::atomic::Ordering::Relaxed) {
                most = most.max(resident_kib(pid));
                std::thread::sleep(Duration::from_millis(200));
            }
            most
        });
        Self { over, thread }
    }

    fn end(self) -> f64 {
        self.over.store(true, std::sync::atomic::Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Long enough for a 99 %.
const QUIET_MAX: Duration = Duration::from_secs(20);
/// After which memory is to be what it was.
const AFTERWARDS: Duration = Duration::from_secs(60);
