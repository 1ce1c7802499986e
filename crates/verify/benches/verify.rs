//! How fast a log is verified, and how long proofs take: `cargo bench -p portcullis-verify`. The size in MiB is
//! `PORTCULLIS_VERIFY_MIB`, 1,024 unless it is set; records of 600 bytes, segments of 64 MiB. Proofs are made over
//! `PORTCULLIS_PROOF_RECORDS` records too, 1,000,000 unless it is set, of which there are the hashes alone: 32 bytes each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "measurements")]
#![allow(dead_code, reason = "shares what it writes logs with")]

#[path = "../tests/verify/fixture.rs"]
mod fixture;

use std::time::Instant;

use std::fs::File;
use std::io::{BufWriter, Write};

use fixture::{Log, Shape};
use portcullis_verify::proof::{is_consistent, is_included, prove_consistency, prove_inclusion};
use portcullis_verify::tiles::{LEVELS, TILE_HEIGHT, Tiles};
use portcullis_verify::tree::{Frontier, Hash, sha256};
use portcullis_verify::{layout, prove};

const RECORD: u64 = 600;
const ROUNDS: usize = 5;

fn main() {
    verify();
    prove_much();
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.replace(['_', ','], "").parse().unwrap())
}

fn leaf(index: u64) -> Hash {
    sha256(&index.to_be_bytes())
}

/// Proofs over the hashes of a log whose records are not there.
fn prove_much() {
    let size = number("PORTCULLIS_PROOF_RECORDS", 1_000_000);
    let folder = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let mut files: Vec<_> =
        (0..LEVELS).map(|level| BufWriter::with_capacity(1 << 20, File::create(layout::tiles(folder.path(), level)).unwrap())).collect();
    let (mut tree, mut half) = (Frontier::default(), None);
    for index in 0..size {
        if index == size / 2 {
            half = Some(tree.root());
        }
        files[0].write_all(&leaf(index)).unwrap();
        tree.push_noting(leaf(index), |height, hash| {
            if height % TILE_HEIGHT == 0 {
                files[(height / TILE_HEIGHT) as usize].write_all(hash).unwrap();
            }
        });
    }
    files.iter_mut().for_each(|file| file.flush().unwrap());
    println!("{size} hashes written in {:.1} s", began.elapsed().as_secs_f64());
    let root = tree.root();
    let began = Instant::now();
    for number in 0..PROOFS {
        // Spread over the whole, and never the same tile twice in a row.
        let index = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % size;
        let tiles = Tiles::open(folder.path()).unwrap();
        let path = prove_inclusion(size, index, &mut |height, index| tiles.node(height, index)).unwrap();
        assert!(is_included(&leaf(index), index, size, &path, &root));
    }
    println!("inclusion over {size} records, made and checked: {:.3} ms", began.elapsed().as_secs_f64() * 1e3 / PROOFS as f64);
    let began = Instant::now();
    for _ in 0..PROOFS {
        let tiles = Tiles::open(folder.path()).unwrap();
        let path = prove_consistency(size / 2, size, &mut |height, index| tiles.node(height, index)).unwrap();
        assert!(is_consistent((size / 2, &half.unwrap()), (size, &root), &path));
    }
    println!("consistency from {} to {size}, made and checked: {:.3} ms", size / 2, began.elapsed().as_secs_f64() * 1e3 / PROOFS as f64);
}

const PROOFS: u64 = 1_000;

fn verify() {
    let mib = number("PORTCULLIS_VERIFY_MIB", 1_024);
    let mut log = Log::new();
    log.padding = "p".repeat(RECORD as usize - log.record(1_000_000).len() - 1);
    let records = (mib << 20) / RECORD;
    log.write(Shape { records, per_segment: (64 << 20) / RECORD, per_checkpoint: 20_000 });
    let mut speeds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            let report = log.verify();
            assert!(report.findings.is_empty() && report.records == records, "{report:?}");
            report.bytes as f64 / 1e6 / began.elapsed().as_secs_f64()
        })
        .collect();
    speeds.sort_by(f64::total_cmp);
    let cores = std::thread::available_parallelism().unwrap();
    println!(
        "verify: {records} records, {mib} MiB, {cores} cores: median {:.0} MB/s ({:.0} to {:.0})",
        speeds[ROUNDS / 2],
        speeds[0],
        speeds[ROUNDS - 1]
    );
    let began = Instant::now();
    for number in 0..100 {
        prove::inclusion(log.path(), &log.key, number * records / 100 / 100).unwrap();
    }
    println!("inclusion proof, record read and proof checked: {:.2} ms", began.elapsed().as_secs_f64() * 10.0);
}
