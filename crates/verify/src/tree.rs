//! The Merkle tree of RFC 6962 §2.1 over the lines of the log, as its frontier: the roots of the full subtrees from left to
//! right, which is all that is needed to append a leaf and to state the root. At most 64 hashes, however long the log is.

use aws_lc_rs::digest::{Context, SHA256, digest};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// A tree of `size` leaves, without the leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// Largest subtree first; one for each bit that is set in `size`.
    hashes: Vec<Hash>,
}

impl Frontier {
    /// A frontier that was kept. None when the number of hashes does not fit the size.
    #[must_use]
    pub fn from_parts(size: u64, hashes: Vec<Hash>) -> Option<Self> {
        (size.count_ones() as usize == hashes.len()).then_some(Self { size, hashes })
    }

    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// Becomes another tree, in its own memory.
    pub fn set_to(&mut self, other: &Self) {
        self.size = other.size;
        self.hashes.clone_from(&other.hashes);
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: Hash) {
        self.push_noting(leaf, |_, _| ());
    }

    /// Appends a leaf, and tells of every subtree that it completes: its height, from one, and its root. Every bit at the end
    /// of the size that is set means such a subtree.
    pub fn push_noting(&mut self, leaf: Hash, mut completed: impl FnMut(u32, &Hash)) {
        let mut hash = leaf;
        for height in 1..=self.size.trailing_ones() {
            // The number of hashes equals the number of set bits, so there is one to take.
            let Some(left) = self.hashes.pop() else { break };
            hash = node_hash(&left, &hash);
            completed(height, &hash);
        }
        self.hashes.push(hash);
        self.size = self.size.saturating_add(1);
    }

    /// The root; the hash of nothing for the empty tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut subtrees = self.hashes.iter().rev();
        let Some(last) = subtrees.next() else { return sha256(&[]) };
        subtrees.fold(*last, |right, left| node_hash(left, &right))
    }
}

/// The hash of a leaf: of the line as it stands in the file, without its line feed.
#[must_use]
pub fn leaf_hash(line: &[u8]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[LEAF]);
    context.update(line);
    to_hash(context.finish().as_ref())
}

/// As [`leaf_hash`], of a line that already has a byte before it for the prefix: one pass over memory, for who hashes many.
pub fn leaf_hash_in_place(prefixed: &mut [u8]) -> Hash {
    if let Some(first) = prefixed.first_mut() {
        *first = LEAF;
    }
    sha256(prefixed)
}

/// The hash of an inner node.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [NODE; 65];
    let (_, hashes) = bytes.split_at_mut(1);
    let (first, second) = hashes.split_at_mut(left.len());
    first.copy_from_slice(left);
    second.copy_from_slice(right);
    sha256(&bytes)
}

/// Plain SHA-256.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Hash {
    to_hash(digest(&SHA256, bytes).as_ref())
}

fn to_hash(bytes: &[u8]) -> Hash {
    bytes.try_into().unwrap_or_default()
}

/// RFC 6962 §2.1: leaves and nodes are hashed under different prefixes, so that neither passes for the other.
const LEAF: u8 = 0;
const NODE: u8 = 1;
