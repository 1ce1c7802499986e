//! What a peak took is given back.

use std::fs;
use std::io::Write;

use super::support::{Gateway, World, wait};

/// KiB that are resident, by the kernel.
fn resident(gateway: &Gateway) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn memory_that_many_connections_took_is_given_back_though_nobody_asks_for_more() {
    let world = World::new();
    world.edit("portcullis.toml", |main| format!("{main}\n[limits]\nconnections_per_address = {CLIENTS}\n"));
    let gateway = world.serve();
    assert_eq!(world.get("/p/first").0, 502);
    let before = resident(&gateway);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| world.connect().unwrap()).collect();
    for client in &mut clients {
        let head = format!("GET /p/a HTTP/1.1\r\nhost: {}\r\nx: {}", client.host, "y".repeat(UNFINISHED));
        client.stream.get_mut().write_all(head.as_bytes()).unwrap();
    }
    wait("the gateway holds what they sent", || resident(&gateway) > before + CLIENTS * HELD_KIB);
    drop(clients);
    wait("and gives it back", || resident(&gateway) < before + CLIENTS * KEPT_KIB);
}

const CLIENTS: u64 = 800;
/// Bytes of a head that does not end.
const UNFINISHED: usize = 12_000;
/// What each client costs at least, and what remains of it at most: the rest would stay for good.
const HELD_KIB: u64 = 42;
const KEPT_KIB: u64 = 34;
