//! What an auditor reads. A note opens only as what was signed; a proof, a key and a tree are read in the one form in which they are
//! written; a proof that holds is the proof of that tree. Input: three numbers, then text: what is signed, and read as each of these.

use std::sync::LazyLock;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portcullis_verify::note::{Checkpoint, PublicKey, split_notes};
use portcullis_verify::proof::{Consistency, Inclusion, is_consistent, is_included, prove_consistency, prove_inclusion};
use portcullis_verify::tree::{Frontier, Hash, leaf_hash};
use portcullis_verify::{dropped, layout};

pub fn check(data: &[u8]) {
    let Some((&[size, index, change], rest)) = data.split_first_chunk() else { return };
    check_tree(u64::from(size), u64::from(index), rest);
    // Of any bytes, to see that it does not fail.
    let _unknown = dropped::statement(rest);
    check_sequence(rest);
    let Ok(text) = std::str::from_utf8(rest) else { return };
    check_note(text, usize::from(index), change);
    check_forms(text);
}

/// A note of any text, signed here, and the same note with one byte changed.
fn check_note(text: &str, at: usize, change: u8) {
    let (pair, key) = &*KEY;
    let body = format!("{text}\n");
    let signature = [&key.id()[..], pair.sign(body.as_bytes()).as_ref()].concat();
    let note = format!("{body}\n\u{2014} {} {}\n", key.name(), STANDARD.encode(signature));
    let printable = !body.chars().any(|letter| letter.is_control() && letter != '\n');
    assert_eq!(key.open_text(&note).ok(), printable.then(|| body.clone()), "{note}");

    let plain = plain_checkpoint(&body).filter(|_| printable);
    assert_eq!(key.open(&note).ok(), plain.filter(|checkpoint| checkpoint.origin == key.name()), "{note}");

    let mut changed = note.clone().into_bytes();
    let (at, length) = (at * 7 % changed.len(), changed.len());
    changed[at] = changed[at].wrapping_add(change);
    if let Some(opened) = std::str::from_utf8(&changed).ok().and_then(|changed| key.open_text(changed).ok()) {
        assert_eq!(opened, body, "byte {at} of {length} was changed");
    }
    // As it came, in case that somebody has found a signature.
    assert_eq!(key.open(text).ok(), key.open_text(text).ok().and_then(|text| plain_checkpoint(&text)));

    let file = format!("{note}\n{note}\n{text}");
    for file in [text, &file] {
        let (notes, rest) = split_notes(file);
        assert_eq!(notes.iter().map(|note| format!("{note}\n")).collect::<String>() + rest, *file, "nothing is lost");
        assert!(notes.iter().all(|note| note.ends_with('\n')), "{notes:?}");
    }
    if !body.contains("\n\n") && body != "\n" {
        assert!(split_notes(&file).0.starts_with(&[&note, &note]), "{file}");
    }
}

/// C2SP `tlog-checkpoint`: origin, size, root, then lines that may follow.
fn plain_checkpoint(text: &str) -> Option<Checkpoint> {
    let lines: Vec<&str> = text.lines().collect();
    let [origin, size, root, more @ ..] = lines.as_slice() else { return None };
    let forbidden = |letter: char| letter.is_whitespace() || letter.is_control() || letter == '+';
    if origin.is_empty() || origin.contains(forbidden) || more.contains(&"") {
        return None;
    }
    let size: u64 = size.parse().ok().filter(|number: &u64| number.to_string() == *size)?;
    let bytes = STANDARD.decode(root).ok().filter(|bytes| STANDARD.encode(bytes) == *root)?;
    Some(Checkpoint { origin: (*origin).to_owned(), size, root: bytes.try_into().ok()? })
}

fn check_forms(text: &str) {
    if let Ok(key) = PublicKey::parse(text) {
        assert_eq!(key.text(), text.trim());
    }
    if let Ok(proof) = Inclusion::parse(text) {
        assert_eq!(proof.text(), text);
        assert!(proof.check(&KEY.1, None).is_err(), "nobody has signed this");
    }
    if let Ok(proof) = Consistency::parse(text) {
        assert_eq!(proof.text(), text);
    }
    if let Some(tree) = layout::parse_frontier(text) {
        assert_eq!(layout::frontier_text(&tree), text);
    }
}

/// What a line states last is what a reader of JSON finds last.
fn check_sequence(line: &[u8]) {
    let Some(sequence) = layout::sequence_of(line) else { return };
    let Ok(record) = serde_json::from_slice::<serde_json::Value>(line) else { return };
    let last =
        record.as_object().and_then(|record| record.values().filter_map(|value| value["sequence"].as_u64()).find(|n| *n == sequence));
    assert_eq!(last, Some(sequence), "{record}");
}

/// A tree of `size` records: its proofs hold, and no other hashes, which the text gives, prove anything.
fn check_tree(size: u64, index: u64, rest: &[u8]) {
    let size = size % 40 + 1;
    let index = index % size;
    let (tree, older) = (tree(size), tree(index));
    let path = prove_inclusion(size, index, &mut node).unwrap_or_default();
    let growth = prove_consistency(index, size, &mut node).unwrap_or_default();
    let is_in = |path: &[Hash]| is_included(&leaf(index), index, size, path, &tree.root());
    let is_grown = |path: &[Hash]| is_consistent((index, &older.root()), (size, &tree.root()), path);
    assert!(is_in(&path) && is_grown(&growth));

    for (genuine, holds) in [(&path, &is_in as &dyn Fn(&[Hash]) -> bool), (&growth, &is_grown)] {
        let mut other = genuine.clone();
        match rest {
            [at, with, bit, ..] if !other.is_empty() => {
                let (at, with) = (usize::from(*at) % other.len(), usize::from(*with) % other.len());
                other.swap(at, with);
                other[at][usize::from(*bit) % 32] ^= bit & 0x80;
                other.truncate(with + usize::from(*bit >> 3));
            }
            [bit, ..] => other.push([*bit; 32]),
            [] => {}
        }
        assert_eq!(holds(&other), other == *genuine, "{size} {index} {other:?}");
    }
    assert_eq!(layout::parse_frontier(&layout::frontier_text(&tree)).as_ref(), Some(&tree));
}

fn tree(size: u64) -> Frontier {
    let mut tree = Frontier::default();
    (0..size).for_each(|index| tree.push(leaf(index)));
    tree
}

fn leaf(index: u64) -> Hash {
    leaf_hash(&index.to_be_bytes())
}

fn node(height: u32, index: u64) -> Result<Hash, ()> {
    let mut tree = Frontier::default();
    (index << height..(index + 1) << height).for_each(|index| tree.push(leaf(index)));
    Ok(tree.root())
}

static KEY: LazyLock<(Ed25519KeyPair, PublicKey)> = LazyLock::new(|| {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a key");
    let key = PublicKey::new("log", pair.public_key().as_ref().try_into().expect("32 bytes")).expect("a name");
    (pair, key)
});
