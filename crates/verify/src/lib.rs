//! Verification of the audit log of Portcullis, for whoever does not trust the gateway that wrote it: the Merkle tree of
//! RFC 6962 ([`tree`]), signed checkpoints ([`note`]), the files of a log ([`layout`]) and what proves that they were not
//! changed ([`verify`]).
//!
//! Reads only. It depends on nothing of the gateway, makes no connection and holds no signing key.

pub mod export;
pub mod layout;
pub mod note;
pub mod tree;
pub mod verify;
