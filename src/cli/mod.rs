//! Commands: one file per noun.

pub mod audit;
