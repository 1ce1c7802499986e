//! Judges one segment after the other: grows the tree by what a signed root covers, and finds the first record that is not
//! what was signed.

use std::io;
use std::path::Path;

use super::explain::{Bad, missing};
use super::read::{Place, Segment};
use super::{Finding, FindingKind, Head, Source, VerifyFault, Walk};
use crate::layout::{self, SegmentPaths};
use crate::tiles::{LEVELS, TILE_HEIGHT};
use crate::tree::{Frontier, Hash};

/// A tree that has grown, and the roots of the tiles that were completed on the way: level, index and hash.
struct Grown {
    tree: Frontier,
    completed: Vec<(u32, u64, Hash)>,
}

/// What was found out about a segment.
struct Judgement {
    /// The hashes of its records that signed roots cover.
    signed: Vec<Hash>,
    /// The first line that is not what was signed.
    bad: Option<usize>,
    /// The largest signed size that was not reached.
    unmet: Option<u64>,
}

impl Walk<'_> {
    /// Judges one segment; what is found goes to the report.
    pub(super) fn judge(&mut self, paths: &SegmentPaths, place: Place, mut segment: Segment) -> Result<(), VerifyFault> {
        self.report.findings.append(&mut segment.findings);
        self.report.remarks.append(&mut segment.remarks);
        if self.tree.size() == 0 && paths.first > 0 && self.begins == 0 {
            self.begin_after_dropped(paths, &segment)?;
        }
        let size = self.tree.size();
        if paths.first != size {
            let (kind, what) = if paths.first > size {
                (FindingKind::Deleted, missing(size, paths.first))
            } else {
                (FindingKind::Duplicated, format!("it begins again with record {}, after {size} records", paths.first))
            };
            self.found(kind, &paths.records, Some(1), Some(size), what);
            return Ok(());
        }
        self.check_frontier(paths);
        self.remember_heads(&segment.heads);
        let heads = self.heads_within(&mut segment);
        let reach = heads.last().map_or(0, |head| head.checkpoint.size).max(size + segment.leaves.len() as u64);
        let tiles = self.tiles.read(0, size, reach - size)?;
        let judgement = self.meet_all(paths, &segment.leaves, &tiles, heads)?;
        let Some(judgement) = judgement else { return Ok(()) };
        if let Some(at) = judgement.bad {
            return self.explain(&Bad { paths, place, at, signed: &judgement.signed, found: &segment.leaves });
        }
        self.report.bytes += segment.bytes;
        self.take_rest(paths, place, &segment, &tiles, &judgement)
    }

    /// The heads of the segment, and those from outside that it reaches to, by size.
    fn heads_within(&mut self, segment: &mut Segment) -> Vec<Head> {
        let mut heads = std::mem::take(&mut segment.heads);
        let end = self.tree.size() + segment.leaves.len() as u64;
        let signed = heads.last().map_or(0, |head| head.checkpoint.size);
        let (within, beyond) = std::mem::take(&mut self.outside).into_iter().partition(|head| head.checkpoint.size <= end.max(signed));
        self.outside = beyond;
        heads.extend::<Vec<Head>>(within);
        heads.sort_by_key(|head| head.checkpoint.size);
        heads
    }

    /// Grows the tree from head to head: by the hashes beside the records where those lead to the signed root, and otherwise by
    /// the records' own. None when neither does: then that was reported.
    fn meet_all(
        &mut self,
        paths: &SegmentPaths,
        found: &[Hash],
        tiles: &[Hash],
        heads: Vec<Head>,
    ) -> Result<Option<Judgement>, VerifyFault> {
        let mut judgement = Judgement { signed: Vec::new(), bad: None, unmet: None };
        for head in heads {
            let from = judgement.signed.len();
            let to = usize::try_from(head.checkpoint.size.saturating_sub(paths.first)).unwrap_or(usize::MAX);
            let beside = tiles.get(from..to.min(tiles.len())).unwrap_or_default();
            let own = found.get(from..to.min(found.len())).unwrap_or_default();
            let good_so_far = judgement.bad.is_none();
            let (leaves, grown) = match self.grow_to(beside, &head).map(|grown| (beside, grown)) {
                Some(by_the_hashes_beside) => by_the_hashes_beside,
                None if !good_so_far => break,
                None if from + own.len() < to => {
                    judgement.unmet = judgement.unmet.max(Some(head.checkpoint.size));
                    continue;
                }
                None => {
                    let grown = if beside == own { None } else { self.grow_to(own, &head) };
                    let Some(grown) = grown else { return self.contradict(&paths.records, &head).map(|()| None) };
                    let index = first_difference(own, beside).map(|at| paths.first + (from + at) as u64);
                    self.report_hashes(0, index);
                    (own, grown)
                }
            };
            judgement.signed.extend_from_slice(leaves);
            self.take(grown)?;
            if let Some(at) = first_difference(leaves, own).filter(|_| good_so_far) {
                judgement.bad = Some(from + at);
                self.bad_from = Some(paths.first + (from + at) as u64);
            }
            if judgement.bad.is_none() {
                self.report.checkpoints += 1;
                self.report.covered = self.report.covered.max(head.checkpoint.size);
            }
        }
        Ok(Some(judgement))
    }

    fn explain(&mut self, bad: &Bad<'_>) -> Result<(), VerifyFault> {
        let finding: Finding = bad.explain()?;
        self.report.findings.push(finding);
        Ok(())
    }

    /// What no signed root covers, and what there is too much or too little of.
    fn take_rest(
        &mut self,
        paths: &SegmentPaths,
        place: Place,
        segment: &Segment,
        tiles: &[Hash],
        judgement: &Judgement,
    ) -> Result<(), VerifyFault> {
        let signed = judgement.signed.len();
        if let Some(size) = judgement.unmet {
            let kind = match place {
                Place::Earlier { .. } => FindingKind::Deleted,
                Place::Last => FindingKind::TailCut,
            };
            let here = paths.first + segment.leaves.len() as u64;
            let what = format!("{size} records were signed, and {here} are there: {} are missing at the end", size.saturating_sub(here));
            self.found(kind, &paths.records, None, Some(here), what);
            return Ok(());
        }
        let room = match place {
            Place::Earlier { next } => usize::try_from(next.saturating_sub(paths.first)).unwrap_or(usize::MAX),
            Place::Last => usize::MAX,
        };
        let uncovered = segment.leaves.get(signed..).unwrap_or_default();
        let other = uncovered.iter().zip(tiles.get(signed..).unwrap_or_default()).position(|(own, beside)| own != beside);
        let bad =
            [segment.first_odd, other.map(|at| signed + at), (segment.leaves.len() > room).then_some(room)].into_iter().flatten().min();
        if let Some(at) = bad {
            self.bad_from = Some(paths.first + at as u64);
            // Hashes that no root covers are good enough to say what happened, though not to prove it.
            let hashes = if tiles.len() > signed && at >= signed { tiles } else { &judgement.signed };
            let hashes = hashes.get(..hashes.len().min(room)).unwrap_or(hashes);
            return self.explain(&Bad { paths, place, at, signed: hashes, found: &segment.leaves });
        }
        let grown = self.grow(uncovered);
        self.take(grown)?;
        match place {
            Place::Earlier { .. } if segment.unfinished > 0 => {
                let (line, sequence) = (segment.leaves.len() as u64 + 1, self.tree.size());
                self.found(FindingKind::Altered, &paths.records, Some(line), Some(sequence), "the line is not whole".to_owned());
            }
            Place::Last if segment.unfinished > 0 => {
                let (name, bytes) = (paths.name(), segment.unfinished);
                self.report
                    .remarks
                    .push(format!("{name}: the last {bytes} bytes are not a whole line: a gateway writes it now, or was killed"));
            }
            Place::Earlier { .. } | Place::Last => {}
        }
        Ok(())
    }

    /// Neither the records nor the hashes beside them lead to a signed root.
    fn contradict(&mut self, file: &Path, head: &Head) -> Result<(), VerifyFault> {
        let (size, covered) = (head.checkpoint.size, self.report.covered);
        self.bad_from = Some(self.tree.size());
        let (kind, sequence, what) = match head.source {
            Source::Anchor => (
                FindingKind::RolledBack,
                None,
                format!(
                    "the first {size} records are not those of the checkpoint that was kept elsewhere: this is another log, or its past was rewritten"
                ),
            ),
            Source::Segment | Source::Latest if size == covered => (
                FindingKind::Spliced,
                Some(size),
                format!("two heads of {size} records were signed, and they differ: the segment is of another history of this log"),
            ),
            Source::Segment | Source::Latest => (
                FindingKind::Altered,
                Some(covered),
                format!("at least one of the records {covered} to {} is not what was signed", size.saturating_sub(1)),
            ),
        };
        self.found(kind, file, None, sequence, what);
        Ok(())
    }

    fn grow_to(&self, leaves: &[Hash], head: &Head) -> Option<Grown> {
        let grown = self.grow(leaves);
        (grown.tree.size() == head.checkpoint.size && grown.tree.root() == head.checkpoint.root).then_some(grown)
    }

    fn grow(&self, leaves: &[Hash]) -> Grown {
        let mut tree = self.tree.clone();
        let mut completed = Vec::new();
        for leaf in leaves {
            let end = tree.size() + 1;
            tree.push_noting(*leaf, |height, hash| {
                if height % TILE_HEIGHT == 0 && height / TILE_HEIGHT < LEVELS {
                    completed.push((height / TILE_HEIGHT, (end >> height) - 1, *hash));
                }
            });
        }
        Grown { tree, completed }
    }

    /// Goes on with a tree that has grown, and compares the higher levels of tree hashes with it.
    fn take(&mut self, grown: Grown) -> Result<(), VerifyFault> {
        for (level, index, hash) in grown.completed {
            if self.tiles.read(level, index, 1)?.first().is_some_and(|beside| *beside != hash) {
                self.report_hashes(level, Some(index));
            }
        }
        self.tree = grown.tree;
        Ok(())
    }

    fn report_hashes(&mut self, level: u32, index: Option<u64>) {
        let Some(known) = self.bad_levels.get_mut(level as usize) else { return };
        let Some(index) = index.filter(|_| !*known) else { return };
        *known = true;
        let path = layout::tiles(self.folder, level);
        // A level that is too short is reported when its length is known to be wrong.
        if index < self.tiles.width(level) {
            self.found(FindingKind::Hashes, &path, None, None, format!("hash {index} is not what the signed records give"));
        } else {
            *known = false;
        }
    }

    fn check_frontier(&mut self, paths: &SegmentPaths) {
        match layout::read_small(&paths.frontier) {
            Ok(text) if layout::parse_frontier(&text).as_ref() == Some(&self.tree) => {}
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => {
                let name = paths.frontier.file_name().unwrap_or_default().to_string_lossy().into_owned();
                self.report.remarks.push(format!("{name} is missing: the tree at the segment's start, which the tree hashes give too"));
            }
            Ok(_) | Err(_) => {
                let what = "it is not the tree at the segment's start".to_owned();
                self.found(FindingKind::Hashes, &paths.frontier, None, None, what);
            }
        }
    }

    fn remember_heads(&mut self, heads: &[Head]) {
        for head in heads {
            let size = head.checkpoint.size;
            let [latest, _] = self.heads;
            if size > latest {
                self.heads = [size, latest];
            }
        }
    }

    /// The earliest segments are gone. The hashes of their records, or the tree beside the first segment that is left, must lead
    /// to the head that was signed there.
    fn begin_after_dropped(&mut self, paths: &SegmentPaths, segment: &Segment) -> Result<(), VerifyFault> {
        self.begins = paths.first;
        let Some(head) = segment.heads.first().filter(|head| head.checkpoint.size == paths.first).cloned() else { return Ok(()) };
        let start = self.tree.clone();
        let mut contradicted = Vec::new();
        while self.tree.size() < paths.first {
            let from = self.tree.size();
            let next_head = self.outside.first().map_or(u64::MAX, |head| head.checkpoint.size).max(from + 1);
            let leaves = self.tiles.read(0, from, paths.first.min(next_head).min(from + PREFIX_STEP) - from)?;
            if leaves.is_empty() {
                break;
            }
            let grown = self.grow(&leaves);
            self.take(grown)?;
            while let Some(outside) = self.outside.first().filter(|outside| outside.checkpoint.size <= self.tree.size()) {
                if outside.checkpoint.root == self.tree.root() {
                    self.report.checkpoints += 1;
                } else {
                    contradicted.push(outside.clone());
                }
                self.outside.remove(0);
            }
        }
        if self.tree.size() == paths.first && self.tree.root() == head.checkpoint.root {
            return contradicted.first().map_or(Ok(()), |outside| self.contradict(&paths.records, outside));
        }
        let what = format!("the hashes of the dropped records 0 to {} are not those that were signed", paths.first - 1);
        self.found(FindingKind::Hashes, &layout::tiles(self.folder, 0), None, None, what);
        let kept = layout::read_small(&paths.frontier).ok().and_then(|text| layout::parse_frontier(&text));
        self.tree = kept.filter(|tree| tree.size() == paths.first && tree.root() == head.checkpoint.root).unwrap_or(start);
        Ok(())
    }
}

fn first_difference(one: &[Hash], other: &[Hash]) -> Option<usize> {
    let at = one.iter().zip(other).position(|(one, other)| one != other);
    at.or_else(|| (one.len() != other.len()).then_some(one.len().min(other.len())))
}

/// Hashes that are read at a time where the records are gone: two MiB.
const PREFIX_STEP: u64 = 65_536;
