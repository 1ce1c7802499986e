//! Writes the tree's hashes: the files `tiles.0` to `tiles.4`, whose form and reader stand in the verifier.
//!
//! Invariants: hashes are on disk before a checkpoint covers them; a file holds no hash of a record that was not synced before;
//! what was written in an attempt that failed is cut off before the next. They can be made again from the records, until
//! retention has dropped some of those.

use std::io;
use std::path::{Path, PathBuf};

use portcullis_verify::proof::prove_consistency;
use portcullis_verify::tiles::{HASH_BYTES, LEVELS, TILE_HEIGHT, TileFault, Tiles as Reader};

use super::layout;
use super::log::LogFault;
use super::media::{Media, MediaFile};
use super::tree::{Frontier, Hash};

/// The files, open to append to.
pub struct Tiles {
    folder: PathBuf,
    levels: Vec<Level>,
    /// The tree whose hashes are in the files.
    tree: Frontier,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Clean,
    /// The last attempt failed: files may hold more than counts.
    Dirty,
}

struct Level {
    path: PathBuf,
    file: Box<dyn MediaFile>,
    /// Bytes that count.
    length: u64,
}

impl Tiles {
    /// The files of a log that begins.
    pub fn create(media: &dyn Media, folder: &Path) -> Result<Self, LogFault> {
        let mut tiles = Self::open_files(media, folder, &Frontier::default())?;
        tiles.cut()?;
        Ok(tiles)
    }

    /// The files of a log whose last segment begins at `start` and holds `leaves`. What the files lack is added, what they have
    /// too much is cut off; where they do not lead to `start`, they are made again from the leaves of the earlier segments,
    /// which `earlier` gives in order. Its error says that they cannot be given.
    pub fn resume<E: From<LogFault>>(
        media: &dyn Media,
        folder: &Path,
        start: &Frontier,
        leaves: &[Hash],
        earlier: impl FnOnce(&mut dyn FnMut(&[Hash]) -> Result<(), LogFault>) -> Result<(), E>,
    ) -> Result<Self, E> {
        let reader = Reader::open(folder).map_err(read_fault)?;
        let leads_to_start = reader.frontier(start.size()).is_ok_and(|tree| tree == *start);
        let whole = (0..LEVELS).all(|level| reader.width(level) >= width(start.size(), level));
        let mut tiles = if leads_to_start && whole {
            Self::open_files(media, folder, start)?
        } else {
            let mut tiles = Self::open_files(media, folder, &Frontier::default())?;
            tiles.cut()?;
            earlier(&mut |leaves| tiles.extend(leaves))?;
            if tiles.tree != *start {
                return Err(LogFault::Altered(layout::tiles(folder, 0)).into());
            }
            tiles
        };
        // Written again: they are few, and what a crash left of them is not looked into.
        tiles.cut()?;
        tiles.extend(leaves)?;
        Ok(tiles)
    }

    /// The tree over the first `size` records, as the files have it.
    #[must_use]
    pub fn tree(folder: &Path, size: u64) -> Option<Frontier> {
        Reader::open(folder).and_then(|reader| reader.frontier(size)).ok()
    }

    fn open_files(media: &dyn Media, folder: &Path, tree: &Frontier) -> Result<Self, LogFault> {
        let open = |level| {
            let path = layout::tiles(folder, level);
            let file = media.open(&path).map_err(|source| LogFault::Write { path: path.clone(), source })?;
            Ok(Level { path, file, length: width(tree.size(), level) * HASH_BYTES })
        };
        let levels: Result<Vec<Level>, LogFault> = (0..LEVELS).map(open).collect();
        Ok(Self { folder: folder.to_owned(), levels: levels?, tree: tree.clone(), state: State::Clean })
    }

    /// Adds the hashes of more records, and of the subtrees that they complete; on disk when this returns. On a fault none of
    /// them count.
    pub fn extend(&mut self, leaves: &[Hash]) -> Result<(), LogFault> {
        if leaves.is_empty() {
            return Ok(());
        }
        if self.state == State::Dirty {
            self.cut()?;
        }
        let mut tree = self.tree.clone();
        let mut more: Vec<Vec<u8>> = vec![Vec::new(); self.levels.len()];
        for leaf in leaves {
            let mut note = |level: u32, hash: &Hash| {
                if let Some(bytes) = more.get_mut(level as usize) {
                    bytes.extend_from_slice(hash);
                }
            };
            note(0, leaf);
            tree.push_noting(*leaf, |height, hash| {
                if height % TILE_HEIGHT == 0 {
                    note(height / TILE_HEIGHT, hash);
                }
            });
        }
        self.state = State::Dirty;
        for (level, bytes) in self.levels.iter_mut().zip(&more).filter(|(_, bytes)| !bytes.is_empty()) {
            level.write(bytes)?;
        }
        for (level, _) in self.levels.iter_mut().zip(&more).filter(|(_, bytes)| !bytes.is_empty()) {
            level.sync()?;
        }
        for (level, bytes) in self.levels.iter_mut().zip(&more) {
            level.length = level.length.saturating_add(bytes.len() as u64);
        }
        self.tree = tree;
        self.state = State::Clean;
        Ok(())
    }

    /// The proof, from the files, that the tree in them begins with the tree of `old` records.
    pub fn consistency(&self, old: u64) -> Result<Vec<Hash>, LogFault> {
        let reader = Reader::open(&self.folder).map_err(read_fault)?;
        prove_consistency(old, self.tree.size(), &mut |height, index| reader.node(height, index)).map_err(read_fault)
    }

    /// After a fault: files that are gone are put back from what is still open, and what does not count is cut off. What a
    /// failed sync left behind is cut off too, and goes to the disk again with the next attempt, as new bytes.
    pub fn mend(&mut self, media: &dyn Media) -> Result<(), LogFault> {
        for level in &mut self.levels {
            level.put_back(media)?;
        }
        self.cut()
    }

    /// Cuts off what does not count.
    pub fn cut(&mut self) -> Result<(), LogFault> {
        for level in &mut self.levels {
            level.file.truncate(level.length).map_err(|source| LogFault::Write { path: level.path.clone(), source })?;
            level.sync()?;
        }
        self.state = State::Clean;
        Ok(())
    }
}

impl Level {
    fn write(&mut self, bytes: &[u8]) -> Result<(), LogFault> {
        if !self.file.is_at(&self.path) {
            return Err(LogFault::Gone(self.path.clone()));
        }
        let fault = |source| LogFault::Write { path: self.path.clone(), source };
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => return Err(fault(io::ErrorKind::WriteZero.into())),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(again) if again.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(fault(source)),
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), LogFault> {
        self.file.sync().map_err(|source| LogFault::Sync { path: self.path.clone(), source })
    }

    fn put_back(&mut self, media: &dyn Media) -> Result<(), LogFault> {
        if self.file.is_at(&self.path) {
            return Ok(());
        }
        let fault = |source| LogFault::Write { path: self.path.clone(), source };
        self.file.put_copy(&self.path, self.length).map_err(fault)?;
        self.file = media.open(&self.path).map_err(fault)?;
        Ok(())
    }
}

impl std::fmt::Debug for Tiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tiles").field("size", &self.tree.size()).finish_non_exhaustive()
    }
}

/// Hashes that a level has for a log of `size` records.
const fn width(size: u64, level: u32) -> u64 {
    size >> (level * TILE_HEIGHT)
}

fn read_fault(fault: TileFault) -> LogFault {
    match fault {
        TileFault::Io { path, source } => LogFault::Read { path, source },
        TileFault::Missing { path, .. } => LogFault::Altered(path),
    }
}
