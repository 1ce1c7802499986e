//! The tree's hashes on disk: `tiles.0` holds the hash of every record, `tiles.1` the root of every 256 of them, `tiles.2` the
//! root of every 65,536, and so on, each in one file that only grows.
//!
//! The slice of 8 KiB at `8192 * N` of `tiles.L` is the tile `tile/L/N` of C2SP `tlog-tiles`; what is shorter at the end is its
//! partial tile. With them a proof reads some kilobytes, whatever the size of the log. Reads only; what a hash is worth is
//! known only once it leads to a signed root.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::layout;
use crate::tree::{Frontier, Hash, node_hash};

/// The files of tree hashes, as long as they were when they were opened.
#[derive(Debug)]
pub struct Tiles {
    levels: Vec<Level>,
}

#[derive(Debug)]
struct Level {
    path: PathBuf,
    file: Option<File>,
    bytes: u64,
}

#[derive(Debug, Error)]
pub enum TileFault {
    #[error("cannot read {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} does not hold hash {index}")]
    Missing { path: PathBuf, index: u64 },
}

impl Tiles {
    /// Opens what there is. A file that is missing holds no hashes.
    pub fn open(folder: &Path) -> Result<Self, TileFault> {
        let levels: Result<Vec<Level>, TileFault> = (0..LEVELS).map(|level| Level::open(layout::tiles(folder, level))).collect();
        Ok(Self { levels: levels? })
    }

    /// How many whole hashes a level has.
    #[must_use]
    pub fn width(&self, level: u32) -> u64 {
        self.level(level).map_or(0, |level| level.bytes / HASH_BYTES)
    }

    /// Bytes after the last whole hash of a level.
    #[must_use]
    pub fn torn(&self, level: u32) -> u64 {
        self.level(level).map_or(0, |level| level.bytes % HASH_BYTES)
    }

    /// Whether the level has a file.
    #[must_use]
    pub fn has(&self, level: u32) -> bool {
        self.level(level).is_some_and(|level| level.file.is_some())
    }

    /// Hashes of a level, as many as there are of the `count` from `start`.
    pub fn read(&self, level: u32, start: u64, count: u64) -> Result<Vec<Hash>, TileFault> {
        let Some(level) = self.level(level) else { return Ok(Vec::new()) };
        let count = count.min((level.bytes / HASH_BYTES).saturating_sub(start));
        let Some(file) = level.file.as_ref().filter(|_| count > 0) else { return Ok(Vec::new()) };
        let fault = |source| TileFault::Io { path: level.path.clone(), source };
        let mut bytes = vec![0; usize::try_from(count * HASH_BYTES).map_err(|_| fault(io::ErrorKind::OutOfMemory.into()))?];
        file.read_exact_at(&mut bytes, start * HASH_BYTES).map_err(fault)?;
        Ok(bytes.as_chunks::<32>().0.to_vec())
    }

    /// The root of the full subtree of `1 << height` leaves that begins at leaf `index << height`.
    pub fn node(&self, height: u32, index: u64) -> Result<Hash, TileFault> {
        let level = (height / TILE_HEIGHT).min(LEVELS - 1);
        let within = height - level * TILE_HEIGHT;
        let (count, start) = (1_u64 << within, index << within);
        let mut hashes = self.read(level, start, count)?;
        if hashes.len() as u64 != count {
            let path = self.level(level).map(|level| level.path.clone()).unwrap_or_default();
            return Err(TileFault::Missing { path, index: start + hashes.len() as u64 });
        }
        while hashes.len() > 1 {
            hashes = hashes.as_chunks::<2>().0.iter().map(|[left, right]| node_hash(left, right)).collect();
        }
        hashes.first().copied().ok_or(TileFault::Missing { path: PathBuf::new(), index: start })
    }

    /// The tree over the first `size` leaves.
    pub fn frontier(&self, size: u64) -> Result<Frontier, TileFault> {
        let mut hashes = Vec::new();
        for height in (0..u64::BITS).rev().filter(|height| size >> height & 1 == 1) {
            // The leaves left of this subtree fill larger ones, so that it begins at a multiple of its size.
            hashes.push(self.node(height, (size >> height) - 1)?);
        }
        // There is one hash for each bit that is set.
        Ok(Frontier::from_parts(size, hashes).unwrap_or_default())
    }

    fn level(&self, level: u32) -> Option<&Level> {
        self.levels.get(level as usize)
    }
}

impl Level {
    fn open(path: PathBuf) -> Result<Self, TileFault> {
        let fault = |source| TileFault::Io { path: path.clone(), source };
        match File::open(&path) {
            Ok(file) => {
                let bytes = file.metadata().map_err(fault)?.len();
                Ok(Self { path, file: Some(file), bytes })
            }
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(Self { path, file: None, bytes: 0 }),
            Err(source) => Err(fault(source)),
        }
    }
}

/// Levels of tiles that are kept: the highest has one hash for 2^32 records.
pub const LEVELS: u32 = 5;

/// Height of a tile: it has 256 hashes.
pub const TILE_HEIGHT: u32 = 8;

/// Bytes of a hash.
pub const HASH_BYTES: u64 = 32;
