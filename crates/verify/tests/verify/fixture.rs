//! Writes logs as the gateway writes them, from the description of their form alone.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portcullis_verify::dropped::Dropped;
use portcullis_verify::layout::{self, SegmentPaths};
use portcullis_verify::note::{Checkpoint, PublicKey};
use portcullis_verify::tree::{Frontier, Hash, leaf_hash};
use portcullis_verify::verify::{Finding, FindingKind, Report, Request, verify};
use tempfile::TempDir;

pub const ORIGIN: &str = "portcullis/gate.test";

/// A log on disk, and what is needed to write on.
pub struct Log {
    pub folder: TempDir,
    pub key: PublicKey,
    pair: Ed25519KeyPair,
    tree: Frontier,
    tiles: Vec<Vec<Hash>>,
    /// What makes two logs of one key differ.
    salt: String,
    /// Fills a record up to a size, for measurements.
    pub padding: String,
}

/// How a log is written.
#[derive(Clone, Copy)]
pub struct Shape {
    pub records: u64,
    pub per_segment: u64,
    pub per_checkpoint: u64,
}

impl Log {
    pub fn new() -> Self {
        Self::with(7, "a")
    }

    pub fn with(seed: u8, salt: &str) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let key = PublicKey::new(ORIGIN, pair.public_key().as_ref().try_into().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(layout::public_key(folder.path()), format!("{}\n", key.text())).unwrap();
        Self { folder, key, pair, tree: Frontier::default(), tiles: vec![Vec::new(); 5], salt: salt.to_owned(), padding: String::new() }
    }

    /// A log of ten records in one segment, with a checkpoint every three.
    pub fn small() -> Self {
        let mut log = Self::new();
        log.write(Shape { records: 10, per_segment: 100, per_checkpoint: 3 });
        log
    }

    /// Forty records in four segments.
    pub fn segmented() -> Self {
        let mut log = Self::new();
        log.write(Shape { records: 40, per_segment: 10, per_checkpoint: 4 });
        log
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn segments(&self) -> Vec<SegmentPaths> {
        layout::segments(self.path()).unwrap()
    }

    pub fn segment(&self, index: usize) -> SegmentPaths {
        self.segments().swap_remove(index)
    }

    /// Writes more segments.
    pub fn write(&mut self, shape: Shape) {
        let end = self.tree.size() + shape.records;
        while self.tree.size() < end {
            let to = (self.tree.size() + shape.per_segment).min(end);
            self.write_segment(to, shape.per_checkpoint, &|log, sequence| log.record(sequence));
        }
        self.write_hashes();
    }

    /// Writes a segment of one record, which says that those before `end` were dropped.
    pub fn record_drop(&mut self, end: u64) -> Dropped {
        let recorded = self.tree.size();
        let own = format!(r#""event":"drop_records","first":0,"next":{end},"segments":1"#);
        self.write_segment(recorded + 1, 1, &|_, sequence| line(&own, sequence));
        self.write_hashes();
        let dropped = Dropped { end, recorded };
        fs::write(layout::dropped(self.path()), dropped.text()).unwrap();
        dropped
    }

    fn write_segment(&mut self, end: u64, per_checkpoint: u64, record: &dyn Fn(&Self, u64) -> String) {
        let first = self.tree.size();
        let paths = SegmentPaths::new(self.path(), first, "2026-11-25T08:00:00Z");
        fs::write(&paths.frontier, layout::frontier_text(&self.tree)).unwrap();
        let (mut records, mut notes) = (String::new(), format!("{}\n", self.sign()));
        for sequence in first..end {
            let record = record(self, sequence);
            self.push(leaf_hash(record.as_bytes()));
            records.push_str(&record);
            records.push('\n');
            if (sequence + 1 - first).is_multiple_of(per_checkpoint) || sequence + 1 == end {
                notes.push_str(&format!("{}\n", self.sign()));
            }
        }
        fs::write(&paths.records, records).unwrap();
        fs::write(&paths.checkpoints, notes).unwrap();
    }

    fn write_hashes(&self) {
        fs::write(layout::checkpoint(self.path()), self.sign()).unwrap();
        for (level, hashes) in (0..).zip(&self.tiles) {
            fs::write(layout::tiles(self.path(), level), hashes.concat()).unwrap();
        }
    }

    fn push(&mut self, leaf: Hash) {
        self.tiles[0].push(leaf);
        let tiles = &mut self.tiles;
        self.tree.push_noting(leaf, |height, hash| {
            if height.is_multiple_of(8) {
                tiles[height as usize / 8].push(*hash);
            }
        });
    }

    pub fn record(&self, sequence: u64) -> String {
        line(
            &format!(
                r#""event":"decision","user":"ana@example.com","log":"{}","padding":"{}","number":{}"#,
                self.salt,
                self.padding,
                sequence * 7
            ),
            sequence,
        )
    }

    /// The signed head of what was written.
    pub fn sign(&self) -> String {
        self.sign_head(&self.tree)
    }

    pub fn sign_head(&self, tree: &Frontier) -> String {
        let text = Checkpoint { origin: ORIGIN.to_owned(), size: tree.size(), root: tree.root() }.text();
        let signature = [self.key.id().as_slice(), self.pair.sign(text.as_bytes()).as_ref()].concat();
        format!("{text}\n\u{2014} {ORIGIN} {}\n", STANDARD.encode(signature))
    }

    pub fn verify(&self) -> Report {
        self.verify_with(None)
    }

    pub fn verify_with(&self, anchor: Option<String>) -> Report {
        verify(
            &Request { folder: self.path().to_owned(), public_key: Some(self.key.clone()), anchors: anchor.into_iter().collect() },
            &mut |_| (),
        )
        .unwrap()
    }

    /// What is found first.
    pub fn first(&self) -> Finding {
        self.verify().findings.into_iter().next().expect("the change is found")
    }

    pub fn kinds(&self) -> Vec<FindingKind> {
        self.verify().findings.iter().map(|finding| finding.kind).collect()
    }

    /// Changes the lines of a segment.
    pub fn edit(&self, segment: usize, change: impl FnOnce(&mut Vec<String>)) {
        let path = self.segment(segment).records;
        let mut lines: Vec<String> = fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
        change(&mut lines);
        fs::write(&path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    }

    pub fn copy(&self) -> TempDir {
        let to = tempfile::tempdir().unwrap();
        for path in files(self.path()) {
            fs::copy(&path, to.path().join(path.file_name().unwrap())).unwrap();
        }
        to
    }
}

fn line(own: &str, sequence: u64) -> String {
    format!(
        r#"{{"class_uid":4002,"unmapped":{{"portcullis":{{{own}}}}},"time":1790000000000,"metadata":{{"uid":"{sequence:032x}","sequence":{sequence}}}}}"#
    )
}

pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

pub fn remove(segments: &[SegmentPaths]) {
    for path in segments.iter().flat_map(|paths| [&paths.records, &paths.checkpoints, &paths.frontier]) {
        fs::remove_file(path).unwrap();
    }
}

/// Changes bytes of a file.
pub fn splice(path: &Path, at: Range<usize>, with: &[u8]) {
    let mut bytes = fs::read(path).unwrap();
    bytes.splice(at, with.iter().copied());
    fs::write(path, bytes).unwrap();
}
