//! Where a sink stands, on disk: `sinks/NAME.json` in the folder of the log, so that a log that is moved takes its positions along.
//!
//! Written whole and synced after the receiver has acknowledged, never before: a crash sends again, and loses nothing. It carries
//! a code that takes a secret of the gateway to make, because whoever may write to the folder could otherwise keep records from
//! the receiver by one number. An earlier position put back is not noticed, and has records sent twice.

use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};

use super::super::follow::Place;
use super::super::media::{Disk, Media, make_folder};
use super::super::note::hex;
use super::fault::SinkFault;

/// What a receiver has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    pub place: Place,
    /// Size of the latest checkpoint that it has.
    pub checkpoint: u64,
}

/// What a file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    Proven(Position),
    /// This gateway did not write it for this sink of this log.
    Unproven,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    place: Place,
    checkpoint: u64,
    /// Over all of the above and the names of log and sink, in hex. Missing where an old version, or somebody else, wrote it.
    #[serde(default)]
    proof: String,
}

/// Proves positions of the sinks of one log.
#[derive(Clone, Debug)]
pub struct Prover {
    key: hmac::Key,
    origin: String,
}

impl Prover {
    /// From the secret that signs the log, so that there is no other one to keep.
    #[must_use]
    pub fn new(signing_key: &[u8; 32], origin: &str) -> Self {
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, signing_key), PURPOSE);
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()), origin: origin.to_owned() }
    }

    fn proof(&self, sink: &str, position: Position) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        // Each text with its length, so that none can be moved into the next.
        for text in [&*self.origin, sink] {
            context.update(&(text.len() as u64).to_be_bytes());
            context.update(text.as_bytes());
        }
        let Position { place: Place { next, segment, offset }, checkpoint } = position;
        [next, segment, offset, checkpoint].iter().for_each(|number| context.update(&number.to_be_bytes()));
        context.sign().as_ref().first_chunk().copied().unwrap_or_default()
    }
}

/// The file of one sink.
#[derive(Clone, Debug)]
pub struct PositionFile {
    path: PathBuf,
    sink: String,
    prover: Prover,
}

impl PositionFile {
    #[must_use]
    pub fn new(audit_dir: &Path, sink: &str, prover: Prover) -> Self {
        Self { path: folder(audit_dir).join(format!("{sink}.json")), sink: sink.to_owned(), prover }
    }

    /// None for a sink that never had anything acknowledged.
    pub fn load(&self) -> Result<Option<Stored>, SinkFault> {
        let bytes = match Disk.read(&self.path) {
            Ok(bytes) => bytes,
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(fault) => return Err(self.fault(&fault)),
        };
        // A position that cannot be read is not guessed at.
        let Text { place, checkpoint, proof } = serde_json::from_slice(&bytes).map_err(|fault| self.fault(&fault))?;
        let position = Position { place, checkpoint };
        let expected = hex(&self.prover.proof(&self.sink, position));
        let is_proven = aws_lc_rs::constant_time::verify_slices_are_equal(proof.as_bytes(), expected.as_bytes()).is_ok();
        Ok(Some(if is_proven { Stored::Proven(position) } else { Stored::Unproven }))
    }

    pub fn save(&self, position: Position) -> Result<(), SinkFault> {
        let folder = self.path.parent().unwrap_or(&self.path);
        let Position { place, checkpoint } = position;
        let text = Text { place, checkpoint, proof: hex(&self.prover.proof(&self.sink, position)) };
        let text = serde_json::to_vec(&text).map_err(|fault| self.fault(&fault))?;
        let save = || {
            make_folder(folder)?;
            Disk.replace(&self.path, &text)?;
            Disk.sync_folder(folder)
        };
        save().map_err(|fault: io::Error| self.fault(&fault))
    }

    fn fault(&self, fault: &dyn std::fmt::Display) -> SinkFault {
        SinkFault::Position { path: self.path.clone(), why: fault.to_string() }
    }
}

fn folder(audit_dir: &Path) -> PathBuf {
    audit_dir.join("sinks")
}

/// Keeps what is derived for positions apart from whatever else may be derived from the same secret.
const PURPOSE: &[u8] = b"portcullis: positions of sinks, 1";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use std::fs;
    use tempfile::tempdir;

    use super::*;

    const POSITION: Position = Position { place: Place { next: 9, segment: 4, offset: 700 }, checkpoint: 8 };

    fn file(folder: &Path, sink: &str, key: u8, origin: &str) -> PositionFile {
        PositionFile::new(folder, sink, Prover::new(&[key; 32], origin))
    }

    #[test]
    fn what_was_saved_is_proven() {
        let folder = tempdir().unwrap();
        let ours = file(folder.path(), "one", 7, "portcullis/gate.test");
        assert_eq!(ours.load().unwrap(), None);
        ours.save(POSITION).unwrap();
        assert_eq!(ours.load().unwrap(), Some(Stored::Proven(POSITION)));
    }

    #[test]
    fn no_number_can_be_changed_and_no_proof_left_out() {
        let folder = tempdir().unwrap();
        let ours = file(folder.path(), "one", 7, "portcullis/gate.test");
        ours.save(POSITION).unwrap();
        let good = fs::read_to_string(&ours.path).unwrap();
        for (from, to) in [
            ("\"next\":9", "\"next\":10"),
            ("\"segment\":4", "\"segment\":5"),
            ("700", "701"),
            (":8,", ":9,"),
            ("\"proof\":\"", "\"proof\":\"0"),
        ] {
            let bad = good.replace(from, to);
            assert_ne!(bad, good, "{from}");
            fs::write(&ours.path, bad).unwrap();
            assert_eq!(ours.load().unwrap(), Some(Stored::Unproven), "{from}");
        }
        fs::write(&ours.path, "{\"place\":{\"next\":9,\"segment\":4,\"offset\":700},\"checkpoint\":8}").unwrap();
        assert_eq!(ours.load().unwrap(), Some(Stored::Unproven));
        fs::write(&ours.path, "{}").unwrap();
        assert!(ours.load().is_err());
    }

    #[test]
    fn a_position_counts_for_one_sink_of_one_log() {
        let folder = tempdir().unwrap();
        file(folder.path(), "one", 7, "portcullis/gate.test").save(POSITION).unwrap();
        fs::copy(folder.path().join("sinks/one.json"), folder.path().join("sinks/two.json")).unwrap();
        for (sink, key, origin) in
            [("two", 7, "portcullis/gate.test"), ("one", 8, "portcullis/gate.test"), ("one", 7, "portcullis/other.test")]
        {
            assert_eq!(file(folder.path(), sink, key, origin).load().unwrap(), Some(Stored::Unproven), "{sink} {key} {origin}");
        }
    }
}
