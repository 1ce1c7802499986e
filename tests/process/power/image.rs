//! What a disk may hold after the power went at some step: everything that was synced, and of the rest any part in any order.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::trace::Step;

/// Numbers that look random and come again with the same seed.
pub struct Dice(u64);

impl Dice {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit.max(1)
    }

    fn toss(&mut self) -> bool {
        self.below(2) == 0
    }
}

/// How the disk treats what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    LosesAll,
    KeepsAll,
    /// Keeps all but the last write of each file, of which it keeps a part.
    TearsTheLast,
    /// Keeps, loses or tears each write for itself: later ones may be there and earlier ones not.
    Reorders,
}

/// Makes the image of a disk whose power went before step `cut`, in `folder`.
pub fn make(steps: &[Step], cut: usize, dice: &mut Dice, folder: &Path) {
    let moods = [Mood::LosesAll, Mood::KeepsAll, Mood::TearsTheLast, Mood::Reorders, Mood::Reorders];
    let mood = moods[usize::try_from(dice.below(moods.len() as u64)).unwrap()];
    let steps = &steps[..cut];
    for (name, file) in names(steps, dice) {
        let content = content(steps, file, mood, dice);
        fs::write(folder.join(name.file_name().unwrap()), content).unwrap();
    }
}

/// The names as they may stand: each as it was at the last sync of the folder, or as at any time since.
fn names(steps: &[Step], dice: &mut Dice) -> Vec<(PathBuf, usize)> {
    let mut states: HashMap<&PathBuf, Vec<Option<usize>>> = HashMap::new();
    for step in steps {
        match step {
            Step::Link { name, file } => states.entry(name).or_insert_with(|| vec![None]).push(Some(*file)),
            Step::Unlink { name } => states.entry(name).or_insert_with(|| vec![None]).push(None),
            Step::SyncFolder { folder } => {
                for (name, history) in &mut states {
                    if name.parent() == Some(folder) {
                        history.drain(..history.len() - 1);
                    }
                }
            }
            Step::Write { .. } | Step::Truncate { .. } | Step::Sync { .. } | Step::Promised { .. } => {}
        }
    }
    // In a fixed order, so that the same dice give the same image.
    let mut states: Vec<_> = states.into_iter().collect();
    states.sort();
    let mut chosen = Vec::new();
    for (name, history) in states {
        let at = usize::try_from(dice.below(history.len() as u64)).unwrap();
        chosen.extend(history[at].map(|file| (name.clone(), file)));
    }
    chosen
}

fn content(steps: &[Step], file: usize, mood: Mood, dice: &mut Dice) -> Vec<u8> {
    let own = |step: &&Step| match step {
        Step::Write { file: other, .. } | Step::Truncate { file: other, .. } | Step::Sync { file: other } => *other == file,
        Step::Link { .. } | Step::Unlink { .. } | Step::SyncFolder { .. } | Step::Promised { .. } => false,
    };
    let own: Vec<_> = steps.iter().filter(own).collect();
    let synced = own.iter().rposition(|step| matches!(step, Step::Sync { .. })).unwrap_or(0);
    let last_write = own.iter().rposition(|step| matches!(step, Step::Write { .. }));
    let mut content = Vec::new();
    for (index, step) in own.iter().enumerate() {
        let fate = if index <= synced { Fate::Kept } else { fate(mood, Some(index) == last_write, dice) };
        match step {
            Step::Write { at, bytes, .. } => write(&mut content, usize::try_from(*at).unwrap(), bytes, fate, dice),
            Step::Truncate { length, .. } if fate != Fate::Lost => content.resize(usize::try_from(*length).unwrap(), 0),
            Step::Truncate { .. } | Step::Sync { .. } => {}
            Step::Link { .. } | Step::Unlink { .. } | Step::SyncFolder { .. } | Step::Promised { .. } => unreachable!(),
        }
    }
    content
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Kept,
    Lost,
    Torn,
}

fn fate(mood: Mood, is_last: bool, dice: &mut Dice) -> Fate {
    match mood {
        Mood::LosesAll => Fate::Lost,
        Mood::KeepsAll => Fate::Kept,
        Mood::TearsTheLast => {
            if is_last {
                Fate::Torn
            } else {
                Fate::Kept
            }
        }
        Mood::Reorders => [Fate::Kept, Fate::Lost, Fate::Torn][usize::try_from(dice.below(3)).unwrap()],
    }
}

fn write(content: &mut Vec<u8>, at: usize, bytes: &[u8], fate: Fate, dice: &mut Dice) {
    match fate {
        Fate::Kept => put(content, at, bytes, 0, bytes.len()),
        // The length of a file may last although what stands in it does not.
        Fate::Lost if dice.below(4) == 0 && content.len() < at + bytes.len() => content.resize(at + bytes.len(), 0),
        Fate::Lost => {}
        // At any byte, or sector by sector.
        Fate::Torn if dice.toss() => put(content, at, bytes, 0, usize::try_from(dice.below(bytes.len() as u64 + 1)).unwrap()),
        Fate::Torn => {
            let mut from = 0;
            while from < bytes.len() {
                let to = ((at + from) / SECTOR * SECTOR + SECTOR - at).min(bytes.len());
                if dice.toss() {
                    put(content, at, bytes, from, to);
                }
                from = to;
            }
        }
    }
}

/// Writes a part of what was to be written at `at`. What lies between the end of the file and there fills with zeros.
fn put(content: &mut Vec<u8>, at: usize, bytes: &[u8], from: usize, to: usize) {
    if content.len() < at + to {
        content.resize(at + to, 0);
    }
    content[at + from..at + to].copy_from_slice(&bytes[from..to]);
}

const SECTOR: usize = 512;
