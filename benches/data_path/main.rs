//! What a request costs: CPU of the gateway and of the proxies that people would use instead, side by side in one run.
//!
//! The gateway does its whole work: TLS 1.3, a session by cookie, a policy of 200 rules over 50 routes, three rate limits,
//! a record `written` to the log before the forward and one at the end. The peers proxy without any of it, but for those
//! that say otherwise. The figure is CPU time of the proxy by the kernel's accounting, divided by requests answered, as a
//! ratio to nginx in the same round; medians of the rounds. On a machine with two cores the proxy has the first, load and
//! upstream have the second.
//!
//! `cargo bench --bench data_path -- [--rounds N] [--seconds N] [--peers nginx,haproxy] [WORK …]`; `--help` lists the works.
//! Needs nginx and h2load (`nghttp2-client`), and for their peers HAProxy and Apache.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout, reason = "a benchmark")]

mod load;
mod machine;
mod minimal;
mod peers;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use machine::median;
use peers::Peer;
use world::{Growth, World};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Work {
    Http1,
    Http2,
    Handshake,
    Resumed,
    Download,
    Upload,
    Idle,
    Latency,
    Routes,
    Sessions,
    Workers,
}

impl Work {
    const ALL: &[(&str, Self, &str)] = &[
        ("http1", Self::Http1, "HTTP/1.1 keep-alive, 64 connections: CPU per request"),
        ("http2", Self::Http2, "HTTP/2, 32 connections of 32 streams: CPU per request"),
        ("handshake", Self::Handshake, "full TLS 1.3 handshake and one request: CPU of both"),
        ("resumed", Self::Resumed, "resumed TLS 1.3 handshake and one request: CPU of both"),
        ("download", Self::Download, "100 MiB answers: MB per CPU second"),
        ("upload", Self::Upload, "1 GiB bodies: MB per CPU second"),
        ("idle", Self::Idle, "idle TLS keep-alive connections: KiB resident each"),
        ("latency", Self::Latency, "2,500 requests a second: time added over direct, median"),
        ("routes", Self::Routes, "CPU per request with 10, 100, 1,000 and 10,000 routes"),
        ("sessions", Self::Sessions, "CPU per request with 10, 1,000 and 100,000 live sessions"),
        ("workers", Self::Workers, "what two cores carry, as a multiple of one"),
    ];
}

/// What the command line asks for.
struct Plan {
    rounds: usize,
    seconds: u64,
    peers: Vec<String>,
    works: Vec<Work>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((minimal::ARGUMENT, rest)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return minimal::run(rest);
    }
    let Some(plan) = plan() else { return };
    machine::describe();
    let needs_world = |work: &&Work| !matches!(work, Work::Routes | Work::Sessions);
    let common: Vec<Work> = plan.works.iter().filter(needs_world).copied().collect();
    if !common.is_empty() {
        let world = World::start(Growth::default());
        for work in common {
            compare(&world, &plan, work);
        }
    }
    for work in plan.works.iter().filter(|work| !needs_world(work)) {
        grow(&plan, *work);
    }
}

fn plan() -> Option<Plan> {
    let mut plan = Plan { rounds: 5, seconds: 4, peers: vec!["nginx".into(), "haproxy".into()], works: Vec::new() };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().expect("the option takes a value");
        match argument.as_str() {
            // What cargo itself says to a benchmark.
            "--bench" => {}
            "--rounds" => plan.rounds = value().parse().expect("a number of rounds"),
            "--seconds" => plan.seconds = value().parse().expect("a number of seconds"),
            "--peers" => plan.peers = value().split(',').map(str::to_owned).collect(),
            "--help" | "-h" => {
                for (name, _, what) in Work::ALL {
                    println!("{name:<10} {what}");
                }
                return None;
            }
            name => {
                let known = Work::ALL.iter().find(|(known, _, _)| *known == name);
                plan.works.push(known.unwrap_or_else(|| panic!("there is no work named {name}")).1);
            }
        }
    }
    if plan.works.is_empty() {
        plan.works = Work::ALL.iter().map(|(_, work, _)| *work).collect();
    }
    Some(plan)
}

/// One work, the gateway and the peers in turn, round after round.
fn compare(world: &World, plan: &Plan, work: Work) {
    let title = Work::ALL.iter().find(|(_, known, _)| *known == work).expect("all works are listed").2;
    println!("\n{title}");
    let mut peers: Vec<Peer> = plan.peers.iter().filter_map(|name| Peer::start(name, world)).collect();
    peers.push(Peer::gateway(world));
    let mut figures: BTreeMap<usize, Vec<(f64, f64)>> = BTreeMap::new();
    for round in 0..plan.rounds {
        let mut base = None;
        for (at, peer) in peers.iter().enumerate() {
            let Some(figure) = measure(world, plan, work, peer) else { continue };
            let base = *base.get_or_insert(figure);
            figures.entry(at).or_default().push((figure, figure / base));
            eprintln!("  round {round}: {} {figure:.2} {}", peer.name, unit(work));
        }
    }
    for (at, values) in figures {
        let (absolute, ratio): (Vec<f64>, Vec<f64>) = values.into_iter().unzip();
        let (low, high) = (ratio.iter().copied().fold(f64::MAX, f64::min), ratio.iter().copied().fold(f64::MIN, f64::max));
        println!(
            "  {:<28} {:>10.2} {:<14} ratio {:.2} ({low:.2} - {high:.2})",
            peers[at].name,
            median(absolute),
            unit(work),
            median(ratio)
        );
    }
}

const fn unit(work: Work) -> &'static str {
    match work {
        Work::Http1 | Work::Http2 | Work::Handshake | Work::Resumed | Work::Routes | Work::Sessions => "us CPU/request",
        Work::Download | Work::Upload => "MB/CPU s",
        Work::Idle => "KiB",
        Work::Latency => "us added",
        Work::Workers => "times",
    }
}

fn measure(world: &World, plan: &Plan, work: Work, peer: &Peer) -> Option<f64> {
    let span = Duration::from_secs(plan.seconds);
    match work {
        Work::Http1 => Some(per_request(peer, || load::http1(peer, span))),
        Work::Http2 => Some(per_request(peer, || load::http2(peer, span))),
        Work::Handshake => Some(per_request(peer, || load::connections(world, peer, span, load::Resumption::Never))),
        Work::Resumed => Some(per_request(peer, || load::connections(world, peer, span, load::Resumption::Always))),
        Work::Download => Some(1.0 / per_request(peer, || load::download(world, peer, DOWNLOADS)) * 1e6),
        Work::Upload => Some(1.0 / per_request(peer, || load::upload(world, peer)) * 1e6),
        Work::Idle => Some(load::idle(world, peer, IDLE_CONNECTIONS)),
        Work::Latency => Some(load::added_latency(world, peer, span)),
        Work::Workers => peer.is_gateway.then(|| workers(peer, span)),
        Work::Routes | Work::Sessions => None,
    }
}

/// CPU microseconds of the proxy for each thing that `load` says was done.
fn per_request(peer: &Peer, load: impl FnOnce() -> f64) -> f64 {
    let before = machine::cpu(peer.pid);
    let done = load();
    let spent = machine::cpu(peer.pid) - before;
    assert!(done > 0.0, "{} answered nothing; see its log", peer.name);
    spent.as_secs_f64() * 1e6 / done
}

/// How the cost of a request grows with what the gateway holds.
fn grow(plan: &Plan, work: Work) {
    let title = Work::ALL.iter().find(|(_, known, _)| *known == work).expect("all works are listed").2;
    println!("\n{title}");
    let sizes: &[usize] = if work == Work::Routes { &[10, 100, 1_000, 10_000] } else { &[10, 1_000, 100_000] };
    let worlds: Vec<World> = sizes
        .iter()
        .map(|&size| {
            let growth = Growth::default();
            World::start(if work == Work::Routes { Growth { routes: size, ..growth } } else { Growth { sessions: size, ..growth } })
        })
        .collect();
    let mut figures = vec![Vec::new(); sizes.len()];
    for _ in 0..plan.rounds {
        let mut base = None;
        for (world, figures) in worlds.iter().zip(&mut figures) {
            let peer = Peer::gateway(world);
            let figure = per_request(&peer, || load::http1(&peer, Duration::from_secs(plan.seconds)));
            let base = *base.get_or_insert(figure);
            figures.push((figure, figure / base));
        }
    }
    for (size, values) in sizes.iter().zip(figures) {
        let (absolute, ratio): (Vec<f64>, Vec<f64>) = values.into_iter().unzip();
        println!("  {size:<28} {:>10.2} {:<14} ratio {:.2}", median(absolute), unit(work), median(ratio));
    }
}

/// What two cores carry as a multiple of one. The load has one of them as well, so that the figure is in terms of CPU: if a request
/// costs on two cores what it costs on one, two carry twice as much.
fn workers(peer: &Peer, span: Duration) -> f64 {
    let one = per_request(peer, || load::http1(peer, span));
    machine::allow_cores(peer.pid, "0,1");
    let two = per_request(peer, || load::http1(peer, span));
    machine::allow_cores(peer.pid, "0");
    eprintln!("  on one core {one:.2} us, on two {two:.2} us");
    2.0 * one / two
}

const DOWNLOADS: usize = 4;
const IDLE_CONNECTIONS: usize = 2_000;
