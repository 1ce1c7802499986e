//! `kill -9` at any moment: with durability `written`, whatever was answered or forwarded is on record.
//!
//! `PORTCULLIS_KILLS` sets how many kills there are in all; a twentieth of them is done here, to the whole gateway, and the rest
//! to a process that only records (`src/audit/tests/kills.rs`).

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::support::{Upstream, World, wait};

#[test]
fn nothing_that_was_answered_or_forwarded_is_missing_from_the_log_after_kills() {
    let rounds = std::env::var("PORTCULLIS_KILLS").map_or(10, |kills| kills.parse::<u64>().unwrap().div_ceil(20));
    let upstream = Upstream::start();
    let world = World::with_upstream(&upstream.url);
    let answered = Mutex::new(HashSet::new());
    for round in 0..rounds {
        one_round(&world, round, &answered);
    }
    let gateway = world.serve();
    let (status, ready) = world.operations("/readyz").unwrap();
    assert_eq!(status, 200, "{ready}");
    assert!(ready.contains("audit: ok") && ready.contains("store: ok"), "{ready}");
    assert!(gateway.stop().success());
    world.check(&["audit", "verify"], 0);

    let records = world.records();
    let decided: HashSet<_> = records
        .iter()
        .map(|record| &record["unmapped"]["portcullis"])
        .filter(|own| own["event"] == "decision")
        .filter_map(|own| own["raw_target"].as_str())
        .collect();
    let (answered, forwarded) = (answered.into_inner().unwrap(), upstream.seen.lock().unwrap());
    let missing = |ids: &HashSet<String>| ids.iter().filter(|id| !decided.contains(id.as_str())).count();
    println!(
        "{rounds} kills, {} answers, {} forwarded, {} decisions, {} records",
        answered.len(),
        forwarded.len(),
        decided.len(),
        records.len()
    );
    assert!(answered.len() >= rounds as usize && forwarded.len() >= rounds as usize, "there was no load");
    assert_eq!((missing(&answered), missing(&forwarded)), (0, 0), "answered or forwarded without a record");
    for (index, record) in records.iter().enumerate() {
        assert_eq!(record["metadata"]["sequence"], index, "the sequence has no gap");
    }
}

/// Serves under load until a random number of answers came, kills, and gathers what was answered.
fn one_round(world: &World, round: u64, answered: &Mutex<HashSet<String>>) {
    let gateway = world.serve();
    let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
    let kill_after = 1 + RandomState::new().hash_one(round) % 120;
    thread::scope(|scope| {
        for thread in 0..CLIENTS {
            let (stop, count) = (&stop, &count);
            scope.spawn(move || {
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    let Ok(mut client) = world.connect() else { continue };
                    while !stop.load(Ordering::Relaxed) {
                        let path = format!("/p/{round}-{thread}-{number}");
                        number += 1;
                        let Ok((status, _)) = client.get(&path) else { break };
                        assert_eq!(status, 200, "{path}");
                        answered.lock().unwrap().insert(path);
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        wait("enough answers", || count.load(Ordering::Relaxed) >= kill_after);
        gateway.kill();
        stop.store(true, Ordering::Relaxed);
    });
}

const CLIENTS: usize = 6;
