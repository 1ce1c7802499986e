//! Inclusion and consistency proofs of RFC 6962 §2.1.1 and §2.1.2: how they are made, checked, written and read.
//!
//! An inclusion proof is written as C2SP `tlog-proof`, a consistency proof as the request of C2SP `tlog-witness`
//! (`add-checkpoint`). What a proof says is believed only as far as the signed checkpoint in it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use crate::note::{Checkpoint, NoteFault, PublicKey};
use crate::tree::{Hash, leaf_hash, node_hash};

/// That a record stands at a place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inclusion {
    pub index: u64,
    /// The record, as it stands in the log, without its line feed. Carried along as `extra`.
    pub record: Option<Vec<u8>>,
    pub path: Vec<Hash>,
    /// The signed note.
    pub checkpoint: String,
}

/// That the log of a checkpoint begins with the log of an older one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consistency {
    pub old_size: u64,
    pub path: Vec<Hash>,
    /// The newer signed note.
    pub checkpoint: String,
}

#[derive(Debug, Error)]
pub enum ProofFault {
    #[error("this is not a proof: {0}")]
    Form(&'static str),
    #[error("the checkpoint in it does not open: {0}")]
    Checkpoint(#[from] NoteFault),
    #[error("the proof holds no record: give the record that it is of")]
    NoRecord,
    #[error("record {index} is not in a log of {size}")]
    Outside { index: u64, size: u64 },
    #[error("the record is not record {0} of the log that was signed")]
    NotIncluded(u64),
    #[error("the record calls itself record {stated:?}, and the proof is of record {index}")]
    OtherRecord { stated: Option<u64>, index: u64 },
    #[error("the log of {new} records does not begin with the log of {old} that was signed: its past was rewritten")]
    NotConsistent { old: u64, new: u64 },
    #[error("the proof begins with {stated} records, and the older checkpoint is of {old}")]
    OtherOld { stated: u64, old: u64 },
}

/// The path of leaf `index` in the tree of `size` leaves. `node` gives the root of the full subtree of a height and place.
pub fn prove_inclusion<E>(size: u64, index: u64, node: &mut impl FnMut(u32, u64) -> Result<Hash, E>) -> Result<Vec<Hash>, E> {
    let mut path = Vec::new();
    let (mut low, mut high) = (0, size);
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            path.push(subtree(middle, high, node)?);
            high = middle;
        } else {
            path.push(subtree(low, middle, node)?);
            low = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree of `new` leaves begins with that of `old`. Empty for equal sizes and for the empty tree.
pub fn prove_consistency<E>(old: u64, new: u64, node: &mut impl FnMut(u32, u64) -> Result<Hash, E>) -> Result<Vec<Hash>, E> {
    let mut path = Vec::new();
    if old == 0 || old >= new {
        return Ok(path);
    }
    let (mut low, mut high) = (0, new);
    // Whether the subtree is a tree whose root the verifier has: the older one itself.
    let mut known = true;
    while high != old {
        let middle = low + split(high - low);
        if old <= middle {
            path.push(subtree(middle, high, node)?);
            high = middle;
        } else {
            path.push(subtree(low, middle, node)?);
            low = middle;
            known = false;
        }
    }
    if !known {
        path.push(subtree(low, high, node)?);
    }
    path.reverse();
    Ok(path)
}

/// RFC 9162 §2.1.3.2.
#[must_use]
pub fn is_included(leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut place, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for other in path {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            hash = node_hash(other, &hash);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, other);
        }
        place >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// RFC 9162 §2.1.4.2; a log of no records is the beginning of every log.
#[must_use]
pub fn is_consistent(old: (u64, &Hash), new: (u64, &Hash), path: &[Hash]) -> bool {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if old_size == new_size {
        return path.is_empty() && old_root == new_root;
    }
    if old_size == 0 || old_size > new_size {
        return old_size == 0 && path.is_empty();
    }
    let (mut place, mut last) = (old_size - 1, new_size - 1);
    while place & 1 == 1 {
        place >>= 1;
        last >>= 1;
    }
    let mut path = path.iter();
    let first = if old_size.is_power_of_two() { Some(old_root) } else { path.next() };
    let Some(first) = first else { return false };
    let (mut older, mut newer) = (*first, *first);
    for other in path {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            older = node_hash(other, &older);
            newer = node_hash(other, &newer);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            newer = node_hash(&newer, other);
        }
        place >>= 1;
        last >>= 1;
    }
    last == 0 && older == *old_root && newer == *new_root
}

impl Inclusion {
    /// The text of a `.tlog-proof` file.
    #[must_use]
    pub fn text(&self) -> String {
        let extra = self.record.as_ref().map(|record| format!("extra {}\n", STANDARD.encode(record))).unwrap_or_default();
        format!("{FIRST_LINE}\n{extra}index {}\n{}\n{}", self.index, lines(&self.path), self.checkpoint)
    }

    pub fn parse(text: &str) -> Result<Self, ProofFault> {
        let text = text.strip_prefix(FIRST_LINE).and_then(|rest| rest.strip_prefix('\n')).ok_or(ProofFault::Form("its first line"))?;
        let (head, checkpoint) = text.split_once("\n\n").ok_or(ProofFault::Form("it has no checkpoint"))?;
        let mut head = head.split('\n').peekable();
        let extra = head.next_if(|line| line.starts_with("extra ")).and_then(|line| line.strip_prefix("extra "));
        let record = extra.map(|extra| STANDARD.decode(extra)).transpose().map_err(|_| ProofFault::Form("its extra line"))?;
        let index = head.next().and_then(|line| number(line, "index ")).ok_or(ProofFault::Form("its index line"))?;
        Ok(Self { index, record, path: hashes(head)?, checkpoint: checkpoint.to_owned() })
    }

    /// Checks the proof for `record` or, where none is given, for the one that it carries. Returns the checkpoint.
    pub fn check(&self, key: &PublicKey, record: Option<&[u8]>) -> Result<Checkpoint, ProofFault> {
        let checkpoint = key.open(&self.checkpoint)?;
        let record = record.or(self.record.as_deref()).ok_or(ProofFault::NoRecord)?;
        if self.index >= checkpoint.size {
            return Err(ProofFault::Outside { index: self.index, size: checkpoint.size });
        }
        if !is_included(&leaf_hash(record), self.index, checkpoint.size, &self.path, &checkpoint.root) {
            return Err(ProofFault::NotIncluded(self.index));
        }
        let stated = crate::layout::sequence_of(record);
        if stated == Some(self.index) { Ok(checkpoint) } else { Err(ProofFault::OtherRecord { stated, index: self.index }) }
    }
}

impl Consistency {
    /// The body of a witness's `add-checkpoint`.
    #[must_use]
    pub fn text(&self) -> String {
        format!("old {}\n{}\n{}", self.old_size, lines(&self.path), self.checkpoint)
    }

    pub fn parse(text: &str) -> Result<Self, ProofFault> {
        let (head, checkpoint) = text.split_once("\n\n").ok_or(ProofFault::Form("it has no checkpoint"))?;
        let mut head = head.split('\n');
        let old_size = head.next().and_then(|line| number(line, "old ")).ok_or(ProofFault::Form("its first line"))?;
        Ok(Self { old_size, path: hashes(head)?, checkpoint: checkpoint.to_owned() })
    }

    /// Checks that the log of the checkpoint in the proof begins with the log of `old`. Returns both.
    pub fn check(&self, key: &PublicKey, old: &str) -> Result<(Checkpoint, Checkpoint), ProofFault> {
        let (old, new) = (key.open(old)?, key.open(&self.checkpoint)?);
        if old.size != self.old_size {
            return Err(ProofFault::OtherOld { stated: self.old_size, old: old.size });
        }
        if is_consistent((old.size, &old.root), (new.size, &new.root), &self.path) {
            Ok((old, new))
        } else {
            Err(ProofFault::NotConsistent { old: old.size, new: new.size })
        }
    }
}

/// The root over leaves `low` to `high`, exclusive. `low` is a multiple of the largest power of two below their number.
fn subtree<E>(low: u64, high: u64, node: &mut impl FnMut(u32, u64) -> Result<Hash, E>) -> Result<Hash, E> {
    let count = high - low;
    if count.is_power_of_two() {
        let height = count.trailing_zeros();
        return node(height, low >> height);
    }
    let middle = low + split(count);
    let left = subtree(low, middle, node)?;
    Ok(node_hash(&left, &subtree(middle, high, node)?))
}

/// The largest power of two below a number that is greater than one.
const fn split(count: u64) -> u64 {
    1 << (u64::BITS - 1 - (count - 1).leading_zeros())
}

fn lines(path: &[Hash]) -> String {
    path.iter().map(|hash| format!("{}\n", STANDARD.encode(hash))).collect()
}

fn hashes<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<Hash>, ProofFault> {
    let path: Option<Vec<Hash>> = lines.take(PATH_MAX + 1).map(|line| STANDARD.decode(line).ok()?.try_into().ok()).collect();
    path.filter(|path| path.len() <= PATH_MAX).ok_or(ProofFault::Form("its hashes"))
}

/// A decimal number without leading zeros, after a word.
fn number(line: &str, word: &str) -> Option<u64> {
    let digits = line.strip_prefix(word)?;
    let number: u64 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// No proof in a tree of fewer than 2^63 leaves has more hashes.
const PATH_MAX: usize = 64;
