//! Readers of the same formats that others wrote: they open our checkpoints, rebuild our tree from our files, and agree with
//! our proofs, and we with theirs.

use std::fs;
use std::path::{Path, PathBuf};

use portcullis_verify::layout;
use portcullis_verify::proof::{prove_consistency, prove_inclusion};
use portcullis_verify::tiles::Tiles;
use portcullis_verify::verify::read_record;
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{
    Checkpoint, Hash, HashReader, Tile, TileHashReader, TileReader, check_record, check_tree, prove_record, prove_tree, record_hash,
    tree_hash,
};

use crate::fixture::{Log, Shape};

/// Takes tiles out of our files: eight KiB at the tile's index, or what there is of them.
struct Slices(PathBuf);

impl TileReader for Slices {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let slice = |tile: &Tile| {
            let file = fs::read(layout::tiles(&self.0, u32::from(tile.level()))).unwrap();
            let start = tile.level_index() as usize * 8_192;
            file[start..start + tile.width() as usize * 32].to_vec()
        };
        Ok(tiles.iter().map(slice).collect())
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

fn log() -> Log {
    let mut log = Log::new();
    log.write(Shape { records: 70_000, per_segment: 30_000, per_checkpoint: 10_000 });
    log
}

/// Our checkpoint as they open it.
fn open(log: &Log, note: &str) -> Checkpoint {
    let known = VerifierList::new(vec![Box::new(StandardVerifier::new(&log.key.text()).unwrap())]);
    let note = Note::from_bytes(note.as_bytes()).unwrap();
    assert_eq!(note.verify(&known).unwrap().0.len(), 1);
    Checkpoint::from_bytes(note.text()).unwrap()
}

fn latest(folder: &Path) -> String {
    fs::read_to_string(layout::checkpoint(folder)).unwrap()
}

#[test]
fn others_open_our_checkpoints() {
    let log = log();
    let checkpoint = open(&log, &latest(log.path()));
    assert_eq!((checkpoint.origin(), checkpoint.size(), checkpoint.extension()), (crate::fixture::ORIGIN, 70_000, ""));
    let ours = log.key.open(&latest(log.path())).unwrap();
    assert_eq!(checkpoint.hash().0, ours.root);
    let mut forged = latest(log.path());
    forged = forged.replace("\n70000\n", "\n70001\n");
    let known = VerifierList::new(vec![Box::new(StandardVerifier::new(&log.key.text()).unwrap())]);
    assert!(Note::from_bytes(forged.as_bytes()).unwrap().verify(&known).is_err());
}

#[test]
fn others_rebuild_the_tree_from_our_files() {
    let log = log();
    let checkpoint = open(&log, &latest(log.path()));
    let slices = Slices(log.path().to_owned());
    let reader = TileHashReader::new(checkpoint.size(), *checkpoint.hash(), &slices);
    assert_eq!(tree_hash(checkpoint.size(), &reader).unwrap(), *checkpoint.hash());
    let earlier = tree_hash(60_000, &reader).unwrap();
    let note = fs::read_to_string(log.segment(2).checkpoints).unwrap();
    let signed = open(&log, portcullis_verify::note::split_notes(&note).0[0]);
    assert_eq!((signed.size(), *signed.hash()), (60_000, earlier));
}

#[test]
fn our_proofs_and_theirs_are_the_same_and_hold_in_both() {
    let log = log();
    let checkpoint = open(&log, &latest(log.path()));
    let (size, root) = (checkpoint.size(), *checkpoint.hash());
    let slices = Slices(log.path().to_owned());
    let reader = TileHashReader::new(size, root, &slices);
    let tiles = Tiles::open(log.path()).unwrap();
    let mut node = |height, index| tiles.node(height, index);
    for index in [0, 1, 255, 256, 29_999, 65_535, 65_536, 69_998, 69_999] {
        let ours: Vec<Hash> = prove_inclusion(size, index, &mut node).unwrap().into_iter().map(Hash).collect();
        assert_eq!(ours, prove_record(size, index, &reader).unwrap(), "{index}");
        let record = read_record(&log.segments(), index).unwrap().unwrap();
        assert_eq!(String::from_utf8(record.clone()).unwrap(), log.record(index));
        check_record(&ours, size, root, index, record_hash(&record)).unwrap();
        assert!(check_record(&ours, size, root, index, record_hash(b"another")).is_err());
    }
    for old in [1, 2, 255, 256, 257, 32_768, 65_536, 69_999, 70_000] {
        let ours: Vec<Hash> = prove_consistency(old, size, &mut node).unwrap().into_iter().map(Hash).collect();
        assert_eq!(ours, prove_tree(size, old, &reader).unwrap(), "{old}");
        let old_root = tree_hash(old, &reader).unwrap();
        check_tree(&ours, size, root, old, old_root).unwrap();
        assert_eq!(tiles.frontier(old).unwrap().root(), old_root.0);
    }
}

#[test]
fn others_refuse_a_tile_that_was_changed() {
    let mut log = Log::new();
    // A size whose subtrees stand in different tiles: of those that share one, this reader forgets to check the next.
    log.write(Shape { records: 65_536 + 256 + 1, per_segment: 30_000, per_checkpoint: 10_000 });
    let checkpoint = open(&log, &latest(log.path()));
    let slices = Slices(log.path().to_owned());
    let reader = TileHashReader::new(checkpoint.size(), *checkpoint.hash(), &slices);
    let indexes = [tlog_tiles::stored_hash_index(0, 300)];
    assert!(reader.read_hashes(&indexes).is_ok());
    let hash = fs::read(layout::tiles(log.path(), 0)).unwrap()[300 * 32];
    crate::fixture::splice(&layout::tiles(log.path(), 0), 300 * 32..300 * 32 + 1, &[hash ^ 1]);
    assert!(reader.read_hashes(&indexes).is_err());
}
