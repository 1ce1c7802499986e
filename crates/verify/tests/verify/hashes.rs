//! What stands beside the records: tree hashes, checkpoints, the tree at a segment's start, the key.

use std::fs;

use portcullis_verify::layout;
use portcullis_verify::note::split_notes;
use portcullis_verify::verify::FindingKind;

use crate::fixture::{Log, Shape, splice};

fn large() -> Log {
    let mut log = Log::new();
    log.write(Shape { records: 70_000, per_segment: 40_000, per_checkpoint: 5_000 });
    log
}

#[test]
fn an_edited_hash_is_named_at_every_level_and_the_records_stay_good() {
    let log = large();
    for (level, index) in [(0, 0), (0, 39_999), (0, 69_999), (1, 0), (1, 272), (2, 0)] {
        let path = layout::tiles(log.path(), level);
        let whole = fs::read(&path).unwrap();
        splice(&path, index * 32 + 3..index * 32 + 4, &[whole[index * 32 + 3] ^ 1]);
        let report = log.verify();
        assert_eq!(report.findings.len(), 1, "{report:?}");
        let found = &report.findings[0];
        assert_eq!((found.kind, found.file.as_str()), (FindingKind::Hashes, format!("tiles.{level}").as_str()), "{found:?}");
        assert!(found.what.contains(&format!("hash {index} ")), "{found:?}");
        assert_eq!(report.covered, 70_000);
        fs::write(&path, whole).unwrap();
    }
    assert_eq!(log.verify().findings, []);
}

#[test]
fn hashes_that_are_missing_or_too_many_are_named() {
    let log = large();
    for level in 0..3 {
        let path = layout::tiles(log.path(), level);
        let whole = fs::read(&path).unwrap();
        for content in [Vec::new(), whole[..whole.len() - 32].to_vec(), [whole.clone(), vec![0; 32]].concat()] {
            fs::write(&path, content).unwrap();
            assert_eq!(log.kinds(), [FindingKind::Hashes], "level {level}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(log.kinds(), [FindingKind::Hashes], "level {level}");
        fs::write(&path, [whole.clone(), vec![1, 2, 3]].concat()).unwrap();
        let report = log.verify();
        assert!(report.findings.is_empty() && report.remarks[0].contains("3 bytes"), "{report:?}");
        fs::write(&path, whole).unwrap();
    }
}

/// The hash of a record and the record are altered to fit each other.
#[test]
fn a_record_altered_with_its_hash_is_found_by_the_next_checkpoint() {
    let log = Log::small();
    log.edit(0, |lines| lines[4] = lines[4].replace("ana@", "eva@"));
    let forged = log.record(4).replace("ana@", "eva@");
    let leaf = portcullis_verify::tree::leaf_hash(forged.as_bytes());
    splice(&layout::tiles(log.path(), 0), 4 * 32..5 * 32, &leaf);
    let found = log.first();
    assert_eq!((found.kind, found.sequence), (FindingKind::Altered, Some(3)), "{found:?}");
}

#[test]
fn a_changed_frontier_is_named() {
    let log = Log::segmented();
    let path = log.segment(2).frontier;
    for content in [fs::read_to_string(log.segment(1).frontier).unwrap(), String::new(), "20\n".to_owned()] {
        fs::write(&path, content).unwrap();
        assert_eq!((log.kinds(), log.first().file), (vec![FindingKind::Hashes], path.file_name().unwrap().to_str().unwrap().to_owned()));
    }
    // It can be made again from the hashes, and proves nothing.
    fs::remove_file(&path).unwrap();
    let report = log.verify();
    assert!(report.findings.is_empty() && report.remarks[0].contains(path.file_name().unwrap().to_str().unwrap()), "{report:?}");
}

#[test]
fn a_changed_checkpoint_is_named() {
    let log = Log::small();
    let path = log.segment(0).checkpoints;
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, whole.replace("\n6\n", "\n5\n")).unwrap();
    let found = log.first();
    assert_eq!((found.kind, found.what.contains("checkpoint 3")), (FindingKind::Signature, true), "{found:?}");
    fs::write(&path, whole.replace('\n', "\r\n")).unwrap();
    assert!(log.kinds().contains(&FindingKind::Checkpoint));
    fs::write(&path, "").unwrap();
    assert!(log.kinds().contains(&FindingKind::Checkpoint));
    fs::remove_file(&path).unwrap();
    assert!(log.kinds().contains(&FindingKind::Checkpoint));
}

#[test]
fn checkpoints_cut_off_at_a_segments_end_are_named() {
    let log = Log::segmented();
    let path = log.segment(1).checkpoints;
    let whole = fs::read_to_string(&path).unwrap();
    let (notes, _) = split_notes(&whole);
    for left in 0..notes.len() {
        fs::write(&path, notes[..left].iter().map(|note| format!("{note}\n")).collect::<String>()).unwrap();
        assert!(log.kinds().contains(&FindingKind::Checkpoint), "{left}");
    }
    fs::write(&path, &whole[..whole.len() - 9]).unwrap();
    assert!(log.kinds().contains(&FindingKind::Checkpoint));
}

#[test]
fn checkpoints_out_of_order_are_named() {
    let log = Log::segmented();
    let path = log.segment(1).checkpoints;
    let whole = fs::read_to_string(&path).unwrap();
    let mut notes = split_notes(&whole).0;
    notes.swap(1, 2);
    fs::write(&path, notes.iter().map(|note| format!("{note}\n")).collect::<String>()).unwrap();
    let found = log.first();
    assert!(found.kind == FindingKind::Checkpoint && found.what.contains("out of order"), "{found:?}");
}

#[test]
fn a_latest_checkpoint_that_was_put_back_is_named() {
    let log = Log::segmented();
    let notes = fs::read_to_string(log.segment(1).checkpoints).unwrap();
    fs::write(layout::checkpoint(log.path()), split_notes(&notes).0[1]).unwrap();
    let found = log.first();
    assert!(found.kind == FindingKind::Checkpoint && found.what.contains("put back"), "{found:?}");
}

#[test]
fn a_latest_checkpoint_that_is_missing_empty_or_changed_is_named() {
    let log = Log::small();
    let path = layout::checkpoint(log.path());
    let whole = fs::read_to_string(&path).unwrap();
    for (content, kind) in [
        (Vec::new(), FindingKind::Signature),
        (whole.replace("\n10\n", "\n11\n").into_bytes(), FindingKind::Signature),
        (whole.replace('\n', "\r\n").into_bytes(), FindingKind::Signature),
        (format!("{whole}\n").into_bytes(), FindingKind::Signature),
        (vec![0; whole.len()], FindingKind::Signature),
        (whole.as_bytes()[..whole.len() - 3].to_vec(), FindingKind::Signature),
    ] {
        fs::write(&path, &content).unwrap();
        assert_eq!(log.kinds(), [kind], "{content:?}");
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(log.kinds(), [FindingKind::Checkpoint]);
}

#[test]
fn another_key_beside_the_log_is_named() {
    let log = Log::small();
    let path = layout::public_key(log.path());
    for content in [Log::with(8, "a").key.text(), String::new(), "\u{fffd}".to_owned()] {
        fs::write(&path, content).unwrap();
        assert_eq!((log.kinds(), log.first().file.as_str()), (vec![FindingKind::Signature], "audit.pub"));
    }
}
