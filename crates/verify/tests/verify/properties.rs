//! Properties: proofs of any tree hold, and no change of any byte of any file of a log goes by.

use std::fs;
use std::sync::LazyLock;

use portcullis_verify::layout::{frontier_text, parse_frontier};
use portcullis_verify::proof::{is_consistent, is_included, prove_consistency, prove_inclusion};
use portcullis_verify::tree::{Frontier, Hash, leaf_hash, node_hash};
use portcullis_verify::verify::{Request, VerifyFault, verify};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::fixture::{Log, Shape, files};

fn leaf(index: u64) -> Hash {
    leaf_hash(&index.to_be_bytes())
}

fn node(height: u32, index: u64) -> Result<Hash, ()> {
    if height == 0 { Ok(leaf(index)) } else { Ok(node_hash(&node(height - 1, index * 2)?, &node(height - 1, index * 2 + 1)?)) }
}

fn tree(size: u64) -> Frontier {
    (0..size).fold(Frontier::default(), |mut tree, index| {
        tree.push(leaf(index));
        tree
    })
}

#[test]
fn a_kept_tree_is_read_in_the_one_form_in_which_it_is_written() {
    for size in [0, 1, 3, 40] {
        let text = frontier_text(&tree(size));
        assert_eq!(parse_frontier(&text), Some(tree(size)));
        for other in [format!("+{text}"), format!("0{text}"), format!(" {text}"), format!("{text}\n")] {
            assert_eq!(parse_frontier(&other), None, "{other}");
        }
    }
}

/// Every leaf of every tree up to 64, and every pair of sizes.
#[test]
fn all_proofs_of_small_trees_hold_and_hold_for_nothing_else() {
    let roots: Vec<Hash> = (0..=64).map(|size| tree(size).root()).collect();
    for size in 1..=64_u64 {
        let root = &roots[size as usize];
        for index in 0..size {
            let path = prove_inclusion(size, index, &mut node).unwrap();
            assert!(is_included(&leaf(index), index, size, &path, root));
            for other in (0..size).filter(|other| *other != index) {
                assert!(!is_included(&leaf(index), other, size, &path, root));
            }
            assert!(!is_included(&leaf(index), index, size + 1, &path, &roots[(size as usize + 1) % 65]));
            if let Some((_, shorter)) = path.split_last() {
                assert!(!is_included(&leaf(index), index, size, shorter, root));
            }
            assert!(!is_included(&leaf(index), index, size, &[path, vec![leaf(0)]].concat(), root));
        }
        for old in 0..=size {
            let path = prove_consistency(old, size, &mut node).unwrap();
            let old_root = &roots[old as usize];
            assert!(is_consistent((old, old_root), (size, root), &path), "{old} {size}");
            if old > 0 {
                assert!(!is_consistent((old, &leaf(7)), (size, root), &path));
            }
            if old > 0 && old < size {
                assert!(!is_consistent((old, old_root), (size, &leaf(7)), &path));
                assert!(!is_consistent((old, old_root), (size, root), &path[1..]));
                assert!(!is_consistent((old, old_root), (size, root), &[path.clone(), vec![leaf(0)]].concat()));
                let wrong = old - 1;
                assert!(wrong == 0 || !is_consistent((wrong, old_root), (size, root), &path));
            }
            assert!(old == size || !is_consistent((size, root), (old, old_root), &path));
        }
    }
}

/// Written once; every case works on a copy.
static LOG: LazyLock<Log> = LazyLock::new(|| {
    let mut log = Log::new();
    log.write(Shape { records: 300, per_segment: 70, per_checkpoint: 9 });
    log.record_drop(70);
    log
});

/// Whether a change was found, or remarked on with the name of the file.
fn is_seen(folder: &TempDir, file: &str) -> bool {
    let request = Request { folder: folder.path().to_owned(), public_key: Some(LOG.key.clone()), anchors: vec![LOG.sign()] };
    match verify(&request, &mut |_| ()) {
        Ok(report) => !report.findings.is_empty() || report.remarks.iter().any(|remark| remark.contains(file)),
        Err(VerifyFault::Io { .. }) => true,
        Err(fault) => panic!("{fault}"),
    }
}

/// What a change to a file may leave as it was: spaces in a file of which every value is compared, say.
fn is_immaterial(file: &str) -> bool {
    file == "dropped" || file == "audit.pub"
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn any_changed_byte_of_any_file_is_seen(file in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        let folder = LOG.copy();
        let files = files(folder.path());
        let path = file.get(&files);
        let mut bytes = fs::read(path).unwrap();
        prop_assume!(!bytes.is_empty());
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        fs::write(path, bytes).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        prop_assert!(is_seen(&folder, name) || is_immaterial(name), "{name} at {at} by {flip}");
    }

    #[test]
    fn any_cut_or_added_bytes_of_any_file_are_seen(file in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), more in prop::collection::vec(any::<u8>(), 0..80)) {
        let folder = LOG.copy();
        let files = files(folder.path());
        let path = file.get(&files);
        let whole = fs::read(path).unwrap();
        prop_assume!(!whole.is_empty());
        let changed = [&whole[..at.index(whole.len())], &more].concat();
        prop_assume!(changed != whole);
        fs::write(path, changed).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        prop_assert!(is_seen(&folder, name) || is_immaterial(name), "{name}");
    }
}

/// More with `PORTCULLIS_TAMPER_CASES`.
fn cases() -> u32 {
    std::env::var("PORTCULLIS_TAMPER_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(100)
}
