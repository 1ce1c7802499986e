//! The audit log: recorder, tree, checkpoints, verification.
//!
//! One writer owns the files ([`log`], [`pen`]); everybody else hands events over ([`recorder`]) and is answered when the
//! durability in force holds. A request whose record cannot be kept does not pass. The files are read back by [`verify`] and
//! [`tail`], which need no running gateway. Formats: OCSF JSON lines ([`record`]), RFC 6962 tree ([`tree`]), C2SP
//! checkpoints ([`note`]). Shipping to a SIEM reads the segments from the disk ([`sinks`]).

mod batch;
mod dropping;
pub mod export;
mod fence;
pub mod follow;
pub mod index;
mod log;
pub mod media;
mod meters;
pub mod note;
mod pace;
mod pen;
mod plain;
pub mod pseudonym;
mod queue;
pub mod record;
mod recorder;
mod recover;
mod relay;
mod reserve;
pub mod retention;
mod scan;
pub mod search;
mod segment;
pub mod sinks;
pub mod stats;
pub mod tail;
pub mod text;
mod tiles;
mod writer;

pub use dropping::{DropFault, drop_segments};
pub use fence::{HEAD, checkpoint_of_head};
pub use meters::StatsSnapshot;
/// What an auditor has too: tree, files, verification.
pub use portcullis_verify::{dropped, layout, proof, prove, tree, verify};
pub use recorder::{Durability, Observer, QUEUE, Recorder, SEGMENT_BYTES, Settings};
pub use recover::StartFault;
pub use relay::RelayFault;

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;
