//! The audit log: recorder, tree, checkpoints, verification.
