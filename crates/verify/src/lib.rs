//! Verification of the audit log of Portcullis, for whoever does not trust the gateway that wrote it: the Merkle tree of
//! RFC 6962 ([`tree`]) and its hashes on disk ([`tiles`]), signed checkpoints ([`note`]), the files of a log ([`layout`]), what
//! proves that they were not changed ([`verify`]), and proofs of single records ([`proof`], [`prove`]).
//!
//! Reads only. It depends on nothing of the gateway, makes no connection and holds no signing key.

pub mod dropped;
pub mod export;
pub mod layout;
pub mod note;
pub mod proof;
pub mod prove;
pub mod tiles;
pub mod tree;
pub mod verify;
