//! The signer of checkpoints. It never signs a head that contradicts one that it signed before. What a checkpoint is, and how
//! it is opened, stands in the verifier, which holds no signing key.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub use portcullis_verify::note::*;

use super::proof::is_consistent;
use super::tree::{Frontier, Hash};

/// Signs the heads of one log.
pub struct Signer {
    key: Ed25519KeyPair,
    public: PublicKey,
    last: Option<Checkpoint>,
}

impl Signer {
    /// A signer from its 32 bytes of seed. `name` is the origin line and the key's name.
    pub fn new(seed: &[u8; 32], name: &str) -> Result<Self, NoteFault> {
        let key = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NoteFault::Key)?;
        let public = key.public_key().as_ref().try_into().map_err(|_| NoteFault::Key)?;
        Ok(Self { key, public: PublicKey::new(name, public)?, last: None })
    }

    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    #[must_use]
    pub const fn last(&self) -> Option<&Checkpoint> {
        self.last.as_ref()
    }

    /// Takes over a checkpoint that was signed by an earlier run, after it was verified.
    pub fn resume(&mut self, last: Checkpoint) {
        self.last = Some(last);
    }

    /// Signs the head of a tree that has not grown since the last one, or is the first.
    pub fn sign(&mut self, tree: &Frontier) -> Result<String, NoteFault> {
        self.sign_growth(tree, &[])
    }

    /// Signs the head of `tree`. `growth` is the consistency proof, read back from the tree's hashes on disk, that the tree begins
    /// with the one that was signed last: one that shrank, or lacks what was signed, is refused.
    pub fn sign_growth(&mut self, tree: &Frontier, growth: &[Hash]) -> Result<String, NoteFault> {
        let head = Checkpoint { origin: self.public.name().to_owned(), size: tree.size(), root: tree.root() };
        if let Some(last) = &self.last
            && !is_consistent((last.size, &last.root), (head.size, &head.root), growth)
        {
            return Err(NoteFault::Inconsistent { signed: last.size, new: head.size });
        }
        let text = head.text();
        let mut signature = self.public.id().to_vec();
        signature.extend_from_slice(self.key.sign(text.as_bytes()).as_ref());
        self.last = Some(head);
        Ok(format!("{text}\n\u{2014} {} {}\n", self.public.name(), STANDARD.encode(signature)))
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("public", &self.public).field("last", &self.last).finish_non_exhaustive()
    }
}
